/* SPDX-License-Identifier: MIT */
/*
 * What every part of the litmus tests needs: the handle, the rank, a check that ends this rank (the
 * others then see it die, and end too), the common clock, and random numbers.
 */
#ifndef LITMUS_CHECK_H
#define LITMUS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "dsm/dsm.h"

#define PAGE_BYTES  4096ul
#define BLOCK_BYTES (2ul << 20)
#define CACHE_LINE  64ul

/* This rank; set once, before any other thread is started. */
extern unsigned check_rank;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "rank %u: %s:%d: %s is false; libdsm says: %s\n",          \
				check_rank, __FILE__, __LINE__, #cond, dsm_errmsg());              \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* CLOCK_MONOTONIC, ns: one clock for all ranks of a machine. */
static inline uint64_t check_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The next of a sequence of random numbers (a Weyl sequence, mixed). */
static inline uint64_t check_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 32) * 0xd6e8feb86659fd93ull;
	z = (z ^ z >> 32) * 0xd6e8feb86659fd93ull;
	return z ^ z >> 32;
}

#endif
