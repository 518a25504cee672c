/* SPDX-License-Identifier: MIT */
/*
 * Counters and latency histograms.
 *
 * struct dsm_stats is counters, then histograms, both of 64-bit words alone: sums walk it as
 * arrays, so a counter that is added to dsm.h is summed without a word here. What it is called and
 * its unit stand in the tables of stats_print(); the assertion there tells when a row is missing.
 */
#define _GNU_SOURCE
#include "stats.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "table.h"

#define COUNTERS   (offsetof(struct dsm_stats, read_miss_ns) / sizeof(uint64_t))
#define HISTOGRAMS ((sizeof(struct dsm_stats) / sizeof(uint64_t) - COUNTERS) / HIST_WORDS)
#define HIST_WORDS (sizeof(struct dsm_hist) / sizeof(uint64_t))

static_assert(sizeof(struct dsm_stats) ==
		      COUNTERS * sizeof(uint64_t) + HISTOGRAMS * sizeof(struct dsm_hist),
	      "counters first, then histograms");

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned i = 63 - (unsigned)__builtin_clzll(ns | 1);

	return i < DSM_HIST_BUCKETS ? i : DSM_HIST_BUCKETS - 1;
}

static void raise_to(uint64_t *max, uint64_t value)
{
	uint64_t now = load(max);

	while (now < value && !__atomic_compare_exchange_n(max, &now, value, true, __ATOMIC_RELAXED,
							   __ATOMIC_RELAXED))
		;
}

void stats_record(struct dsm_hist *h, uint64_t ns)
{
	stats_inc(&h->count);
	stats_add(&h->sum_ns, ns);
	stats_inc(&h->bucket[bucket_of(ns)]);
	raise_to(&h->max_ns, ns);
}

/* The place of the wanted duration between the ends of bucket i, of which it is the @part (0..1).
 */
static uint64_t interpolate(unsigned i, double part, uint64_t max_ns)
{
	uint64_t low = i ? UINT64_C(1) << i : 0;
	uint64_t high = i < DSM_HIST_BUCKETS - 1 ? UINT64_C(1) << (i + 1) : max_ns;

	if (high > max_ns)
		high = max_ns;
	if (high < low)
		return high;
	return low + (uint64_t)(part * (double)(high - low));
}

/*
 * Counts by the buckets rather than by h->count: while other threads record, the two may differ,
 * and the walk must end inside.
 */
uint64_t stats_percentile(const struct dsm_hist *h, double share)
{
	uint64_t max_ns = load(&h->max_ns);
	uint64_t bucket[DSM_HIST_BUCKETS];
	double wanted, below = 0;
	uint64_t total = 0;

	for (unsigned i = 0; i < DSM_HIST_BUCKETS; i++) {
		bucket[i] = load(&h->bucket[i]);
		total += bucket[i];
	}
	wanted = (share < 0 ? 0 : share) * (double)total;
	for (unsigned i = 0; i < DSM_HIST_BUCKETS; i++) {
		if (bucket[i] && below + (double)bucket[i] >= wanted)
			return interpolate(i, (wanted - below) / (double)bucket[i], max_ns);
		below += (double)bucket[i];
	}
	return max_ns;
}

static void hist_sum(struct dsm_hist *sum, const struct dsm_hist *h)
{
	sum->count += load(&h->count);
	sum->sum_ns += load(&h->sum_ns);
	raise_to(&sum->max_ns, load(&h->max_ns));
	for (unsigned i = 0; i < DSM_HIST_BUCKETS; i++)
		sum->bucket[i] += load(&h->bucket[i]);
}

void stats_sum(struct stats *sum, const struct stats *s)
{
	const struct dsm_hist *from = &s->pub.read_miss_ns;
	const uint64_t *counter = (const uint64_t *)&s->pub;
	struct dsm_hist *to = &sum->pub.read_miss_ns;
	uint64_t *total = (uint64_t *)&sum->pub;

	for (size_t i = 0; i < COUNTERS; i++)
		total[i] += load(&counter[i]);
	for (size_t i = 0; i < HISTOGRAMS; i++)
		hist_sum(&to[i], &from[i]);
	for (size_t i = 0; i < MSG_KINDS; i++)
		sum->sent[i] += load(&s->sent[i]);
}

/*
 * Printing
 */

enum unit { UNIT_NONE, UNIT_PAGES, UNIT_FRAMES, UNIT_BYTES };

struct counter_row {
	size_t offset;
	const char *name;
	enum unit unit;
	size_t part_of; /* 1 + offset of the counter that this is a part of; 0: none */
};

#define AT(field) offsetof(struct dsm_stats, field)
#define COUNTER(f, n, u)                                                                           \
	{                                                                                          \
		AT(f), n, u, 0                                                                     \
	}
#define PART(f, n, of)                                                                             \
	{                                                                                          \
		AT(f), n, UNIT_NONE, 1 + AT(of)                                                    \
	}

static const struct counter_row counter_rows[] = {
	COUNTER(read_misses, "read misses", UNIT_NONE),
	PART(read_misses_one_sided, "one-sided", read_misses),
	COUNTER(write_misses, "write misses", UNIT_NONE),
	COUNTER(write_upgrades, "write upgrades", UNIT_NONE),
	COUNTER(home_faults, "faults at home", UNIT_NONE),
	COUNTER(prefetched_pages, "prefetched", UNIT_PAGES),
	COUNTER(invalidations, "invalidations", UNIT_NONE),
	COUNTER(downgrades, "downgrades", UNIT_NONE),
	COUNTER(evictions, "evictions", UNIT_NONE),
	COUNTER(write_backs, "write-backs", UNIT_PAGES),
	COUNTER(recalls_deferred, "recalls deferred", UNIT_NONE),
	COUNTER(fetched_bytes, "fetched", UNIT_BYTES),
	COUNTER(written_bytes, "written", UNIT_BYTES),
	COUNTER(messages_sent, "messages sent", UNIT_NONE),
	COUNTER(messages_received, "messages received", UNIT_NONE),
	COUNTER(atomics_remote, "remote atomics", UNIT_NONE),
	COUNTER(lock_acquires, "lock acquires", UNIT_NONE),
	PART(lock_acquires_local, "without a message", lock_acquires),
	COUNTER(barriers, "barriers", UNIT_NONE),
	COUNTER(cached_pages, "cached now", UNIT_FRAMES),
	COUNTER(home_pages, "at home now", UNIT_FRAMES),
};
static_assert(sizeof(counter_rows) / sizeof(counter_rows[0]) == COUNTERS, "a row a counter");

static const struct {
	size_t offset;
	const char *name;
} hist_rows[] = {
	{ AT(read_miss_ns), "read miss" }, { AT(write_miss_ns), "write miss" },
	{ AT(acquire_ns), "acquire" },     { AT(lock_ns), "lock" },
	{ AT(barrier_ns), "barrier" },
};
static_assert(sizeof(hist_rows) / sizeof(hist_rows[0]) == HISTOGRAMS, "a row a histogram");

/* Three significant digits: "1.23 us", "12.3 us", "123 us". */
static const char *scaled(char *buf, size_t len, double value, const char *const *units,
			  unsigned nunits, double step)
{
	unsigned i = 0;
	int digits;

	while (value >= step && i + 1 < nunits) {
		value /= step;
		i++;
	}
	digits = i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
	snprintf(buf, len, "%.*f %s", digits, value, units[i]);
	return buf;
}

static const char *duration(char *buf, size_t len, uint64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };

	return scaled(buf, len, (double)ns, units, 4, 1000);
}

static const char *bytes(char *buf, size_t len, uint64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };

	return scaled(buf, len, (double)n, units, 5, 1024);
}

static void print_counter(struct table *t, const struct dsm_stats *s, const struct counter_row *row)
{
	uint64_t value = *(const uint64_t *)((const char *)s + row->offset);
	uint64_t whole;
	char text[32];

	table_add(t, "  %s%-*s %15" PRIu64, row->part_of ? "  " : "", row->part_of ? 20 : 22,
		  row->name, value);
	if (row->part_of) {
		whole = *(const uint64_t *)((const char *)s + row->part_of - 1);
		if (whole)
			table_add(t, "  %.1f %%", 100.0 * (double)value / (double)whole);
	} else if (row->unit == UNIT_BYTES) {
		table_add(t, "  bytes (%s)", bytes(text, sizeof(text), value));
	} else if (row->unit == UNIT_PAGES) {
		table_add(t, "  pages");
	} else if (row->unit == UNIT_FRAMES) {
		table_add(t, "  frames of 4 KiB");
	}
	table_add(t, "\n");
}

static void print_hist(struct table *t, const char *name, const struct dsm_hist *h)
{
	char mean[32], p50[32], p99[32], max[32];

	if (!h->count)
		return;
	table_add(t, "  %-12s %10" PRIu64 " %9s %9s %9s %9s\n", name, h->count,
		  duration(mean, sizeof(mean), h->sum_ns / h->count),
		  duration(p50, sizeof(p50), stats_percentile(h, 0.5)),
		  duration(p99, sizeof(p99), stats_percentile(h, 0.99)),
		  duration(max, sizeof(max), h->max_ns));
}

void stats_print(const struct stats *s, unsigned ranks)
{
	struct table t = { .len = 0 };

	table_add(&t, "libdsm statistics, sum over %u rank%s\n", ranks, ranks == 1 ? "" : "s");
	for (size_t i = 0; i < COUNTERS; i++)
		print_counter(&t, &s->pub, &counter_rows[i]);
	table_add(&t, "  %-12s %10s %9s %9s %9s %9s\n", "latency", "count", "mean", "50 %", "99 %",
		  "max");
	for (size_t i = 0; i < HISTOGRAMS; i++)
		print_hist(&t, hist_rows[i].name,
			   (const struct dsm_hist *)((const char *)&s->pub + hist_rows[i].offset));
	table_add(&t, "  messages sent, by kind\n");
	for (unsigned i = 0; i < MSG_KINDS; i++) {
		if (s->sent[i])
			table_add(&t, "    %-20s %15" PRIu64 "\n", msg_name(i), s->sent[i]);
	}
	table_flush(&t);
}
