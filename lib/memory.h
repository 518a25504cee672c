/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process may still take before the kernel starts to kill.
 */
#ifndef DSM_MEMORY_H
#define DSM_MEMORY_H

#include <stdint.h>

/*
 * Bytes: what the machine has left, or what the memory cgroup (version 1 or 2, or one above it)
 * leaves, whichever is less. *limit receives what set it, for messages: "the machine" or
 * "its memory cgroup". UINT64_MAX if nothing can be read. May block on file reads; any thread.
 */
uint64_t memory_available(const char **limit);

#endif
