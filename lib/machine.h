/* SPDX-License-Identifier: MIT */
/*
 * Machine: how much memory this process may use. For the default cache size, and for dsm_info.
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
 * The same for any place: @self is a file like /proc/self/cgroup, @root the directory that cgroup
 * file systems are mounted at. For tests.
 */
uint64_t machine_cgroup_bytes_at(const char *self, const char *root);

#endif
