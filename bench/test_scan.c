/* SPDX-License-Identifier: MIT */
/*
 * Scans: much memory by plain loads and stores, cold and warm.
 *
 * Reading is the sum of all 64-bit words in ascending order. A sample of a scan is one pass over
 * the whole range, so there are few; #bytes is the range.
 */
#include <string.h>

#include "bench.h"
#include "floor_fault.h"
#include "floor_memory.h"
#include "tests.h"

#define SCANS       5
#define SCAN_BYTES  (256ul << 20)
#define WRITE_BYTES (128ul << 20)
#define HIT_BYTES   (64ul << 20)
#define HITS        40
#define GATHER      (1ul << 18) /* loads a sample */
#define BATCH_BYTES (1ul << 20) /* of UFFDIO_COPY */

static void time_sum(struct bench *b, const uint8_t *memory, size_t len_bytes, uint64_t want,
		     struct samples *s)
{
	uint64_t start_ns = bench_now_ns(), sum = load_sum(memory, len_bytes);

	samples_add(s, bench_us_since(start_ns));
	if (sum != want)
		bench_fail(b, "the sum over %zu bytes is %#llx, not %#llx", len_bytes,
			   (unsigned long long)sum, (unsigned long long)want);
}

/* What bench_publish() wrote, summed. */
static uint64_t published_sum(size_t len_bytes, uint64_t generation)
{
	uint64_t sum = 0;

	for (size_t page = 0; page < len_bytes / PAGE_BYTES; page++)
		sum += bench_word(page, generation);
	return sum;
}

static struct row *report_rate(struct bench *b, const char *label, size_t bytes, struct samples *s)
{
	struct row *row = report_result(b->report, label, bytes, s);

	row->has_rate = true;
	return row;
}

static struct row *report_rate_floor(struct bench *b, const char *label, size_t bytes,
				     struct samples *s)
{
	struct row *row = report_floor(b->report, label, bytes, s);

	row->has_rate = true;
	return row;
}

/* The cache must hold the range, or "again" is "cold". */
static void note_evictions(struct bench *b, const struct dsm_stats *before)
{
	struct dsm_stats after;

	dsm_stats_get(b->dsm, &after, sizeof(after));
	if (after.evictions > before->evictions)
		report_note(b->report,
			    "%llu pages were evicted: DSM_CACHE_SIZE is too small for this range",
			    (unsigned long long)(after.evictions - before->evictions));
}

/*
 * scan
 */

struct scan {
	size_t len_bytes;
	uint8_t *private;
	uint64_t private_sum;
	struct floor_fault *fill;
	struct samples cold, refill, again, plain, copy;
};

/* What the same pages cost if they are only copied in, a megabyte a call, without a fault. */
static void time_batched_copy(struct scan *s)
{
	uint64_t start_ns;

	floor_fault_prepare(s->fill, FLOOR_MISSING);
	start_ns = bench_now_ns();
	for (size_t at = 0; at < s->len_bytes; at += BATCH_BYTES) {
		size_t rest = s->len_bytes - at;

		floor_fault_fill(s->fill, FLOOR_MISSING, at,
				 rest < BATCH_BYTES ? rest : BATCH_BYTES);
	}
	samples_add(&s->copy, bench_us_since(start_ns));
	floor_fault_prepare(s->fill, FLOOR_MISSING); /* gives the memory back */
}

static void scan_floors(struct bench *b, struct scan *s)
{
	if (b->rank)
		return;
	time_batched_copy(s);
	time_sum(b, s->private, s->len_bytes, s->private_sum, &s->plain);
}

static void scan_shared(struct bench *b, struct scan *s, const uint8_t *region, uint64_t generation,
			struct samples *times)
{
	if (!b->rank)
		time_sum(b, region, s->len_bytes, published_sum(s->len_bytes, generation), times);
	bench_barrier(b);
}

static void run_scan(struct bench *b, struct scan *s)
{
	uint8_t *region = bench_alloc(b, s->len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);

	bench_publish(b, region, s->len_bytes, 1, 1);
	scan_floors(b, s);
	scan_shared(b, s, region, 1, &s->cold);
	scan_shared(b, s, region, 1, &s->again);
	bench_publish(b, region, s->len_bytes, 1, 2);
	scan_shared(b, s, region, 2, &s->refill);
	bench_free(b, region);
}

static void report_scan(struct bench *b, struct scan *s)
{
	struct row *cold, *refill, *again, *copy, *plain;

	cold = report_rate(b, "cold, first time here", s->len_bytes, &s->cold);
	refill = report_rate(b, "cold, invalidated before", s->len_bytes, &s->refill);
	again = report_rate(b, "again after a barrier", s->len_bytes, &s->again);
	copy = report_rate_floor(b, "UFFDIO_COPY(WP) into a memfd, 1 MiB a call", s->len_bytes,
				 &s->copy);
	plain = report_rate_floor(b, "private memory in 4 KiB pages", s->len_bytes, &s->plain);
	cold->key = "scan_first";
	refill->key = "scan_refill";
	again->key = "scan_again";
	cold->floor = copy;
	refill->floor = copy;
	again->floor = plain;
	cold->target_kind = refill->target_kind = TARGET_MB_PER_S;
	cold->target = refill->target = 1000;
	again->target_kind = TARGET_RATIO;
	again->target = 1.1;
}

static void clear_scan(struct scan *s)
{
	samples_clear(&s->cold);
	samples_clear(&s->refill);
	samples_clear(&s->again);
	samples_clear(&s->plain);
	samples_clear(&s->copy);
}

void test_scan(struct bench *b)
{
	struct scan s = { .len_bytes = bench_bytes(b, SCAN_BYTES) };
	size_t n = bench_iterations(b, bench_share(b, SCANS));
	struct dsm_stats before;

	dsm_stats_get(b->dsm, &before, sizeof(before));
	if (!b->rank) {
		s.private = floor_memory_alloc(b, s.len_bytes);
		s.private_sum = load_sum(s.private, s.len_bytes);
		s.fill = floor_fault_create(b, FLOOR_MEMFD, FLOOR_SLEEPS, s.len_bytes);
	}
	for (size_t i = 0; i <= n; i++) {
		run_scan(b, &s);
		if (!i)
			clear_scan(&s); /* the warm-up: memory that the machine gives out anew */
	}
	report_scan(b, &s);
	note_evictions(b, &before);
	if (b->rank)
		return;
	floor_memory_free(s.private, s.len_bytes);
	floor_fault_destroy(s.fill);
}

/*
 * write_scan: rank 0 overwrites what rank 1 wrote; rank 1 reads it, which also cleans the pages.
 */

struct write_scan {
	size_t len_bytes;
	uint8_t *region;
	uint8_t *private, *copy;
	unsigned char value;
	struct samples bulk, stores, floor;
};

static void write_floor(struct write_scan *w)
{
	uint64_t start_ns = bench_now_ns();

	memset(w->private, w->value, w->len_bytes);
	memcpy(w->copy, w->private, w->len_bytes);
	samples_add(&w->floor, bench_us_since(start_ns));
}

static void write_shared(struct bench *b, struct write_scan *w, bool bulk)
{
	uint64_t start_ns = bench_now_ns();

	if (bulk)
		bench_acquire(b, w->region, w->len_bytes, DSM_WRITE);
	memset(w->region, w->value, w->len_bytes);
	if (bulk)
		bench_release(b, w->region, w->len_bytes);
	samples_add(bulk ? &w->bulk : &w->stores, bench_us_since(start_ns));
}

static void check_written(struct bench *b, struct write_scan *w)
{
	for (size_t at = 0; at < w->len_bytes; at += PAGE_BYTES / 2)
		if (*(volatile unsigned char *)(w->region + at) != w->value)
			bench_fail(b, "byte %zu is not %u, which rank 0 wrote", at, w->value);
}

static void run_write(struct bench *b, struct write_scan *w, bool bulk)
{
	bench_publish(b, w->region, w->len_bytes, 1, 1);
	w->value++;
	if (!b->rank)
		write_shared(b, w, bulk);
	bench_barrier(b);
	if (b->rank == 1)
		check_written(b, w);
	bench_barrier(b);
}

static void report_write_scan(struct bench *b, struct write_scan *w)
{
	struct row *bulk, *stores, *floor;

	bulk = report_rate(b, "dsm_acquire(WRITE), memset, dsm_release(write through)",
			   w->len_bytes, &w->bulk);
	stores = report_rate(b, "memset alone, a fault a page", w->len_bytes, &w->stores);
	floor = report_rate_floor(b, "memset and memcpy of private memory", w->len_bytes,
				  &w->floor);
	bulk->key = "write_scan";
	stores->key = "write_scan_faults";
	bulk->floor = floor;
	stores->floor = floor;
}

void test_write_scan(struct bench *b)
{
	struct write_scan w = { .len_bytes = bench_bytes(b, WRITE_BYTES) };
	size_t n = bench_iterations(b, bench_share(b, SCANS));
	struct dsm_stats before;

	dsm_stats_get(b->dsm, &before, sizeof(before));
	w.region = bench_alloc(b, w.len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	if (!b->rank) {
		w.private = floor_memory_alloc(b, w.len_bytes);
		w.copy = floor_memory_alloc(b, w.len_bytes);
	}
	for (size_t i = 0; i <= n; i++) {
		if (!b->rank)
			write_floor(&w);
		run_write(b, &w, true);
		run_write(b, &w, false);
		if (i)
			continue;
		samples_clear(&w.floor); /* the warm-up */
		samples_clear(&w.bulk);
		samples_clear(&w.stores);
	}
	report_write_scan(b, &w);
	note_evictions(b, &before);
	bench_free(b, w.region);
	if (b->rank)
		return;
	floor_memory_free(w.private, w.len_bytes);
	floor_memory_free(w.copy, w.len_bytes);
}

/*
 * hit
 */

struct hits {
	struct samples sequential, random;
};

static void time_hits(const uint8_t *memory, size_t len_bytes, struct hits *h)
{
	volatile uint64_t sum;
	uint64_t start_ns = bench_now_ns();

	sum = load_sum(memory, len_bytes);
	samples_add(&h->sequential, bench_us_since(start_ns));
	start_ns = bench_now_ns();
	sum = load_gather(memory, len_bytes, GATHER);
	samples_add(&h->random, bench_us_since(start_ns) / GATHER);
	(void)sum;
}

static void report_hits(struct bench *b, size_t len_bytes, struct hits *shared,
			struct hits *private)
{
	struct row *sequential, *random;

	sequential = report_rate(b, "sequential, the whole range", len_bytes, &shared->sequential);
	random = report_result(b->report, "random, one load", 8, &shared->random);
	sequential->floor = report_rate_floor(b, "private memory in 4 KiB pages, sequential",
					      len_bytes, &private->sequential);
	random->floor = report_floor(b->report, "private memory in 4 KiB pages, random", 8,
				     &private->random);
	sequential->key = "hit_sequential";
	random->key = "hit_random";
	sequential->target_kind = random->target_kind = TARGET_RATIO;
	sequential->target = random->target = 1.1;
}

void test_hit(struct bench *b)
{
	size_t len_bytes = bench_bytes(b, HIT_BYTES), n = bench_iterations(b, bench_share(b, HITS));
	uint8_t *region = bench_alloc(b, len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	struct hits shared = { SAMPLES_INIT, SAMPLES_INIT };
	struct hits private = { SAMPLES_INIT, SAMPLES_INIT };
	uint8_t *memory = NULL;
	struct dsm_stats before;

	dsm_stats_get(b->dsm, &before, sizeof(before));
	bench_publish(b, region, len_bytes, 1, 1);
	if (!b->rank)
		memory = floor_memory_alloc(b, len_bytes);
	for (size_t i = 0; i <= n && !b->rank; i++) {
		time_hits(memory, len_bytes, &private);
		time_hits(region, len_bytes, &shared);
		if (i)
			continue;
		samples_clear(&shared.sequential); /* the warm-up brings the pages here */
		samples_clear(&shared.random);
		samples_clear(&private.sequential);
		samples_clear(&private.random);
	}
	if (!b->rank)
		floor_memory_free(memory, len_bytes);
	report_hits(b, len_bytes, &shared, &private);
	note_evictions(b, &before);
	bench_free(b, region);
}
