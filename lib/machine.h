/* SPDX-License-Identifier: MIT */
/*
 * Machine: how much memory this process may use, and how much it may still take. For the default
 * cache size, for regions before they are populated, and for dsm_info.
 *
 * All calls read files and may block on that; any thread, without malloc.
 */
#ifndef DSM_MACHINE_H
#define DSM_MACHINE_H

#include <stdint.h>

/* "No limit", where a limit is asked for. */
#define MACHINE_NO_LIMIT UINT64_MAX

/* Bytes of memory of the machine; 0 if unknown. */
uint64_t machine_memory_bytes(void);

/* Bytes that the kernel could give out now without swapping; 0 if unknown. */
uint64_t machine_available_bytes(void);

/* The least of the memory limits of this process's cgroup and those above it (v2 and v1). */
uint64_t machine_cgroup_bytes(void);

/*
 * What the machine has left, swap included, or what the memory cgroups leave, whichever is less:
 * beyond it the kernel starts to kill. *limit receives what set it, for messages: "the machine" or
 * "its memory cgroup". MACHINE_NO_LIMIT if nothing can be read.
 */
uint64_t machine_left_bytes(const char **limit);

/*
 * What the cgroups allow, and what they leave, for any place: @self is a file like
 * /proc/self/cgroup, @root the directory that cgroup file systems are mounted at. For tests.
 */
uint64_t machine_cgroup_bytes_at(const char *self, const char *root);
uint64_t machine_cgroup_left_bytes_at(const char *self, const char *root);

#endif
