/* SPDX-License-Identifier: MIT */
/*
 * Peer: what the measuring program needs of a system for one-sided communication. One thin layer a
 * system implements it; one is linked into a program. One thread a rank; a call that fails ends the
 * job, as both systems do by themselves.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <stddef.h>
#include <stdint.h>

#define PEER_HOME 1u /* the rank whose memory the others use */

/* Words of peer_shared(), on different cache lines. */
enum peer_word {
	PEER_TURN = 0, /* the rank whose turn it is */
	PEER_PROTECTED = 8, /* what the lock protects */
	PEER_TAKEN = 16, /* how often the lock was taken */
	PEER_COUNT = 24, /* repetitions, by rank 0 */
	PEER_STOP = 32, /* no time left, by rank 0 */
	PEER_SHARED = 40,
};

/* Collective. A window of so many bytes at every rank. */
void peer_init(int *argc, char ***argv, size_t window_bytes);
void peer_fini(void);

unsigned peer_rank(void);
unsigned peer_size(void);

/* This rank's part of the window, for loads and stores while no other rank uses it. */
uint8_t *peer_window(void);
/* Before and after loads and stores of the own part: a barrier that also orders these. */
void peer_sync(void);
/* Let the system serve other ranks while this one waits for something else. */
void peer_progress(void);
/* The barrier that is measured. */
void peer_barrier(void);

/* To and from the home's part of the window; not complete before peer_complete(). */
void peer_get(void *to, size_t offset, size_t len_bytes);
void peer_put(const void *from, size_t offset, size_t len_bytes);
void peer_complete(void);

/* Complete when it returns: add 1 to a 64-bit word of the home's, return what it was. */
uint64_t peer_fetch_add(size_t offset);

/* A lock that lives at the home. */
void peer_lock(void);
void peer_unlock(void);

/*
 * PEER_SHARED 64-bit words of plain memory, zero at first, that all ranks share; or NULL where the
 * system has none: they pass turns and check the lock, outside of what is measured.
 */
uint64_t *peer_shared(void);

#endif
