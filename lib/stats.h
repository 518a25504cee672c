/* SPDX-License-Identifier: MIT */
/*
 * Counters and latency histograms of this rank, and their sum over ranks.
 *
 * Counters are bumped with relaxed atomics from any thread; readers see each counter whole, not a
 * snapshot of all of them at one moment.
 */
#ifndef DSM_STATS_H
#define DSM_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "dsm/dsm.h"
#include "wire.h"

struct stats {
	struct dsm_stats pub;
	uint64_t sent[MSG_KINDS]; /* messages by kind */
};

static inline void stats_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline void stats_inc(uint64_t *counter)
{
	stats_add(counter, 1);
}

/* Count one duration. */
void stats_record(struct dsm_hist *h, uint64_t ns);

/* The duration below which share (0..1) of the recorded ones lie, ns, interpolated in its bucket.
 */
uint64_t stats_percentile(const struct dsm_hist *h, double share);

/* *sum += *s: counters and buckets add, maxima take the larger. */
void stats_sum(struct stats *sum, const struct stats *s);

/* Print *s, the sum over @ranks ranks, to stderr as an aligned table with units. */
void stats_print(const struct stats *s, unsigned ranks);

/* Monotonic clock, ns. */
uint64_t clock_ns(void);

#endif
