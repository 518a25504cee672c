/* SPDX-License-Identifier: MIT */
/*
 * Bulk reads: dsm_acquire(DSM_READ) of ranges that are Clean at the other rank.
 *
 * A region holds many ranges of the size under test; a block of measurements acquires and releases
 * each once, in random order. The time is that of dsm_acquire alone. As with misses, a range is
 * here for the first time or comes back into the frames that an invalidation left.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "floor_fault.h"
#include "floor_memory.h"
#include "tests.h"

struct acquire_pass {
	bool fresh;
	size_t range_bytes;
	size_t nranges;
	uint32_t *order;
	uint8_t *region;
	uint64_t generation;
	struct floor_fault *fill;
	struct floor_fault *fill_anonymous;
	uint8_t *from, *to; /* for memcpy */
	struct samples acquire, floor, floor_anonymous, floor_memcpy;
};

static void run_fill_floor(struct acquire_pass *p, struct floor_fault *f, struct samples *s)
{
	enum floor_state state = p->fresh ? FLOOR_MISSING : FLOOR_UNMAPPED;

	floor_fault_prepare(f, state);
	for (size_t i = 0; i < p->nranges; i++) {
		size_t start = p->order[i] * p->range_bytes;
		uint64_t start_ns = bench_now_ns();

		floor_fault_fill(f, state, start, p->range_bytes);
		samples_add(s, bench_us_since(start_ns));
	}
}

static void run_floors(struct acquire_pass *p)
{
	run_fill_floor(p, p->fill, &p->floor);
	if (p->fill_anonymous)
		run_fill_floor(p, p->fill_anonymous, &p->floor_anonymous);
	for (size_t i = 0; i < p->nranges; i++) {
		size_t start = p->order[i] * p->range_bytes;
		uint64_t start_ns = bench_now_ns();

		__builtin_memcpy(p->to + start, p->from + start, p->range_bytes);
		samples_add(&p->floor_memcpy, bench_us_since(start_ns));
	}
}

static void check(struct bench *b, struct acquire_pass *p, size_t start)
{
	for (size_t at = start; at < start + p->range_bytes; at += PAGE_BYTES) {
		uint64_t got = *(const volatile uint64_t *)(p->region + at);

		if (got != bench_word(at / PAGE_BYTES, p->generation))
			bench_fail(b,
				   "page %zu holds %#llx after dsm_acquire, its home wrote %#llx",
				   at / PAGE_BYTES, (unsigned long long)got,
				   (unsigned long long)bench_word(at / PAGE_BYTES, p->generation));
	}
}

static void run_acquires(struct bench *b, struct acquire_pass *p)
{
	for (size_t i = 0; i < p->nranges; i++) {
		size_t start = p->order[i] * p->range_bytes;
		uint64_t start_ns = bench_now_ns();

		bench_acquire(b, p->region + start, p->range_bytes, DSM_READ);
		samples_add(&p->acquire, bench_us_since(start_ns));
		check(b, p, start);
		bench_release(b, p->region + start, p->range_bytes);
	}
}

static void run_block(struct bench *b, struct acquire_pass *p)
{
	size_t len_bytes = p->nranges * p->range_bytes;

	if (p->fresh || !p->region)
		p->region = bench_alloc(b, len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	bench_publish(b, p->region, len_bytes, 1, ++p->generation);
	if (!b->rank) {
		run_floors(p);
		run_acquires(b, p);
	}
	bench_barrier(b);
	if (p->fresh) {
		bench_free(b, p->region);
		p->region = NULL;
	}
}

static void start_pass(struct bench *b, struct acquire_pass *p)
{
	size_t len_bytes;

	p->nranges = bench_ranges(p->range_bytes);
	len_bytes = p->nranges * p->range_bytes;
	p->order = bench_permutation(b, p->nranges);
	if (b->rank)
		return;
	p->fill = floor_fault_create(b, FLOOR_MEMFD, FLOOR_SLEEPS, len_bytes);
	if (p->fresh)
		p->fill_anonymous = floor_fault_create(b, FLOOR_ANONYMOUS, FLOOR_SLEEPS, len_bytes);
	p->from = floor_memory_alloc(b, len_bytes);
	p->to = floor_memory_alloc(b, len_bytes);
}

static void end_pass(struct bench *b, struct acquire_pass *p)
{
	size_t len_bytes = p->nranges * p->range_bytes;

	if (p->region)
		bench_free(b, p->region);
	free(p->order);
	if (b->rank)
		return;
	floor_fault_destroy(p->fill);
	floor_fault_destroy(p->fill_anonymous);
	floor_memory_free(p->from, len_bytes);
	floor_memory_free(p->to, len_bytes);
}

/* The rate aimed at is that of UFFDIO_COPY: a refill has another floor. */
static void add_target(struct row *row, bool fresh)
{
	if (row->bytes == PAGE_BYTES) {
		row->target_kind = TARGET_MEDIAN_US;
		row->target = 3;
	} else if (fresh && row->bytes >= 1ul << 20) {
		row->target_kind = TARGET_RATIO;
		row->target = 1 / 0.8;
	}
}

static void report_pass(struct bench *b, struct acquire_pass *p)
{
	struct report *r = b->report;
	struct row *row, *floor;

	row = report_result(r, p->fresh ? "first time here" : "invalidated before", p->range_bytes,
			    &p->acquire);
	row->has_rate = true;
	row->key = p->fresh ? "acquire_first" : "acquire_again";
	add_target(row, p->fresh);
	floor = report_floor(r,
			     p->fresh ? "one UFFDIO_COPY(WP) of the range into a memfd"
				      : "memcpy into the frames and one UFFDIO_CONTINUE(WP)",
			     p->range_bytes, &p->floor);
	floor->has_rate = true;
	floor->key = row->key;
	row->floor = floor;
	if (p->fresh)
		report_floor(r, "one UFFDIO_COPY(WP) of the range into anonymous memory",
			     p->range_bytes, &p->floor_anonymous)
			->has_rate = true;
	report_floor(r, "memcpy between private memory", p->range_bytes, &p->floor_memcpy)
		->has_rate = true;
}

static void run_pass(struct bench *b, size_t range_bytes, bool fresh)
{
	struct acquire_pass p = { .fresh = fresh, .range_bytes = range_bytes };
	size_t wanted = bench_iterations(b, 0);

	start_pass(b, &p);
	for (size_t block = 0;
	     block <= (wanted ? (wanted - 1) / p.nranges + 1 : b->options->blocks); block++) {
		run_block(b, &p);
		if (block)
			continue;
		samples_clear(&p.acquire); /* the warm-up */
		samples_clear(&p.floor);
		samples_clear(&p.floor_anonymous);
		samples_clear(&p.floor_memcpy);
	}
	report_pass(b, &p);
	end_pass(b, &p);
}

void test_acquire_read(struct bench *b)
{
	static const size_t usual[] = { PAGE_BYTES, 1ul << 20 };
	const struct options *o = b->options;
	unsigned n = o->nbytes ? o->nbytes : 2;

	if (n > 4) {
		report_note(b->report, "only the first 4 of %u sizes are measured", n);
		n = 4;
	}
	for (unsigned i = 0; i < n; i++) {
		size_t bytes = o->nbytes ? o->bytes[i] : usual[i];

		bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
		run_pass(b, bytes, true);
		run_pass(b, bytes, false);
	}
}
