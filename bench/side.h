/* SPDX-License-Identifier: MIT */
/*
 * Side channel: plain shared memory between the ranks of a host, without libdsm.
 *
 * Passes turns, so that a strict alternation costs the library one hand-over and nothing else, and
 * carries the floors that two processes measure together. Ranks on several hosts have the same by
 * other means (bench->far): no plain memory is shared then, and floors that need any are left out.
 */
#ifndef BENCH_SIDE_H
#define BENCH_SIDE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;
struct samples;

#define SIDE_SAMPLES_MAX (1u << 16)
#define SIDE_RANKS_MAX   64u
#define SIDE_INODES_MAX  8u

/* One shared memory object that a rank has open. */
struct side_inode {
	uint64_t ino;
	uint64_t bytes;
};

/* What a rank's memory is, see test_memory.c. */
struct side_usage {
	uint64_t anon_bytes;
	uint64_t table_bytes; /* page tables */
	unsigned ninodes;
	struct side_inode inode[SIDE_INODES_MAX];
};

/* Words that different processes write are on different cache lines. */
struct side {
	alignas(64) uint64_t magic;
	alignas(64) uint32_t turn; /* futex: the rank whose turn it is */
	alignas(64) uint32_t ping; /* futex, written by rank 0 */
	alignas(64) uint32_t pong; /* futex, written by rank 1 */
	alignas(64) uint32_t stop; /* written by rank 0 */
	alignas(64) uint64_t word; /* for the floor of remote atomics */
	alignas(64) uint64_t count; /* of remote atomics, by all ranks but 0 */
	alignas(64) uint64_t protected; /* by the lock under test */
	alignas(64) uint64_t taken; /* how often that lock was taken */
	uint32_t nsamples;
	double samples[SIDE_SAMPLES_MAX];
	struct side_usage usage[SIDE_RANKS_MAX];
};

/* Collective. Ends the job if it fails. */
void side_open(struct bench *b);
void side_close(struct bench *b);

/* Rank 0 and 1: wait until it is this rank's turn, spinning or asleep; give it to one of them. */
void side_turn_wait(struct bench *b, bool spin);
void side_turn_pass(struct bench *b, unsigned to);

/* Hand rank 1's samples to rank 0, who appends them to s. Collective. */
void side_samples_give(struct bench *b, struct samples *s);

/*
 * n round trips of a message between rank 0 and 1, timed by rank 0: by spinning, each on a core of
 * its own if it may use two, or asleep on a futex. Others return at once.
 */
void side_round_trips(struct bench *b, bool spin, size_t n, struct samples *s);

#endif
