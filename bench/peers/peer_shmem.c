/* SPDX-License-Identifier: MIT */
/*
 * Peer: OpenSHMEM, as Open MPI has it.
 *
 * A get is complete when it returns, a put after shmem_quiet(). The lock is a symmetric variable:
 * one on the heap, as a static one is out of reach in a position-independent program.
 */
#include <shmem.h>
#include <stdio.h>
#include <string.h>

#include "peer.h"

static uint8_t *memory;
static uint64_t *words, *shared;
static long *lock;

void peer_init(int *argc, char ***argv, size_t window_bytes)
{
	(void)argc;
	(void)argv;
	shmem_init();
	memory = shmem_malloc(window_bytes);
	words = shmem_malloc(PEER_SHARED * sizeof(*words));
	lock = shmem_malloc(sizeof(*lock));
	if (!memory || !words || !lock) {
		fprintf(stderr,
			"openshmem: no symmetric memory for %zu bytes; raise "
			"SHMEM_SYMMETRIC_SIZE\n",
			window_bytes);
		shmem_global_exit(1);
	}
	memset(words, 0, PEER_SHARED * sizeof(*words));
	*lock = 0;
	shared = shmem_ptr(words, 0);
	shmem_barrier_all();
}

void peer_fini(void)
{
	shmem_barrier_all();
	/* Open MPI 4.1's shmem_finalize() ends in a hook of a library that it has unloaded. */
	shmem_global_exit(0);
}

unsigned peer_rank(void)
{
	return (unsigned)shmem_my_pe();
}

unsigned peer_size(void)
{
	return (unsigned)shmem_n_pes();
}

uint8_t *peer_window(void)
{
	return memory;
}

void peer_sync(void)
{
	shmem_barrier_all();
}

void peer_progress(void)
{
	shmem_quiet();
}

void peer_barrier(void)
{
	shmem_barrier_all();
}

void peer_get(void *to, size_t offset, size_t len_bytes)
{
	shmem_getmem(to, memory + offset, len_bytes, PEER_HOME);
}

void peer_put(const void *from, size_t offset, size_t len_bytes)
{
	shmem_putmem(memory + offset, from, len_bytes, PEER_HOME);
}

void peer_complete(void)
{
	shmem_quiet();
}

uint64_t peer_fetch_add(size_t offset)
{
	return (uint64_t)shmem_long_atomic_fetch_add((long *)(memory + offset), 1, PEER_HOME);
}

void peer_lock(void)
{
	shmem_set_lock(lock);
}

void peer_unlock(void)
{
	shmem_clear_lock(lock);
}

uint64_t *peer_shared(void)
{
	return shared;
}
