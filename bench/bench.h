/* SPDX-License-Identifier: MIT */
/*
 * What every test of dsm_bench works with.
 *
 * All ranks run the same test function. Rank 0 measures, rank 1 is its partner, further ranks only
 * take part in what is collective. Every rank fills a report; only rank 0's is printed.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "dsm/dsm.h"
#include "host.h"
#include "options.h"
#include "report.h"
#include "samples.h"
#include "side.h"

#define PAGE_BYTES 4096ul

struct bench {
	struct dsm *dsm;
	unsigned rank;
	unsigned size;
	const struct options *options;
	const struct host *host;
	struct side *side;
	bool far; /* ranks are on several hosts; the same in every rank */
	bool turn; /* far: this rank has it */
	struct report *report;
	unsigned regions; /* made so far: their names; the same in every rank */
	uint32_t rounds; /* of side_round_trips(); the same in rank 0 and 1 */
	uint32_t stops; /* of bench_stop_partner(); the same in every rank */
};

static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Microseconds since start_ns. */
static inline double bench_us_since(uint64_t start_ns)
{
	return (double)(bench_now_ns() - start_ns) / 1000.0;
}

/* End the job: print what failed, with the library's sentence if it has one. */
void bench_fail(const struct bench *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* dsm_barrier(); ends the job if it fails. */
void bench_barrier(struct bench *b);

/* Of what ten blocks have, what as many blocks as are asked for have, at least 1. */
size_t bench_share(const struct bench *b, size_t whole);
/* Iterations asked for, or fallback; the share of one block, at least 1. */
size_t bench_iterations(const struct bench *b, size_t fallback);
size_t bench_block_iterations(const struct bench *b, size_t fallback);
/* The first size asked for by --bytes, or fallback, in whole pages. */
size_t bench_bytes(const struct bench *b, size_t fallback);

/* How many ranges of so many bytes a pass goes over: of 32 MiB, at most 256, at least 1. */
size_t bench_ranges(size_t range_bytes);

/*
 * A region whose blocks all live at one rank. Collective. With DSM_RELEASE_WRITE_THROUGH what its
 * home has released is Clean.
 */
uint8_t *bench_alloc(struct bench *b, size_t len_bytes, unsigned home,
		     enum dsm_release_policy release);
void bench_free(struct bench *b, void *addr);

/*
 * Collective: the home writes the first word of every page and releases it, which takes the copies
 * from all others and leaves the pages Clean.
 */
void bench_publish(struct bench *b, uint8_t *addr, size_t len_bytes, unsigned home,
		   uint64_t generation);
/* What bench_publish() wrote into a page. */
static inline uint64_t bench_word(size_t page, uint64_t generation)
{
	return (generation << 32) + page + 1;
}

/* dsm_acquire(), dsm_release(); a failure ends the job. */
void bench_acquire(struct bench *b, const void *addr, size_t len_bytes, enum dsm_mode mode);
void bench_read(struct bench *b, void *to, const void *from, size_t len_bytes);
void bench_release(struct bench *b, const void *addr, size_t len_bytes);

/* 0 .. n - 1 in a random order that is the same in every run and rank; free() it. */
uint32_t *bench_permutation(struct bench *b, size_t n);

/*
 * All ranks call bench_compute(): rank 1 computes in it, without calling the library, until rank 0,
 * for which as for others it returns at once, calls bench_stop_partner().
 */
void bench_compute(struct bench *b);
void bench_stop_partner(struct bench *b);

#endif
