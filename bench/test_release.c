/* SPDX-License-Identifier: MIT */
/*
 * Write-back: dsm_release, with write-through, of ranges that were written here and live at the
 * other rank.
 *
 * A region holds many ranges of the size under test; a block of measurements acquires each for
 * writing, writes to every page and releases it, in random order. The time is that of dsm_release
 * alone. The home sees afterwards what was written.
 */
#include <stdlib.h>

#include "bench.h"
#include "floor_fault.h"
#include "tests.h"

struct release_pass {
	size_t range_bytes;
	size_t nranges;
	uint32_t *order;
	uint8_t *region;
	uint64_t generation;
	struct floor_fault *put;
	struct samples release, floor;
};

static void run_put_floor(struct release_pass *p)
{
	floor_fault_prepare(p->put, FLOOR_WRITABLE);
	for (size_t i = 0; i < p->nranges; i++) {
		uint64_t start_ns = bench_now_ns();

		floor_fault_put(p->put, p->order[i] * p->range_bytes, p->range_bytes);
		samples_add(&p->floor, bench_us_since(start_ns));
	}
}

static void write_range(struct release_pass *p, size_t start)
{
	for (size_t at = start; at < start + p->range_bytes; at += PAGE_BYTES)
		*(volatile uint64_t *)(p->region + at) = bench_word(at / PAGE_BYTES, p->generation);
}

static void run_releases(struct bench *b, struct release_pass *p)
{
	for (size_t i = 0; i < p->nranges; i++) {
		size_t start = p->order[i] * p->range_bytes;
		uint64_t start_ns;

		bench_acquire(b, p->region + start, p->range_bytes, DSM_WRITE);
		write_range(p, start);
		start_ns = bench_now_ns();
		bench_release(b, p->region + start, p->range_bytes);
		samples_add(&p->release, bench_us_since(start_ns));
	}
}

static void check_home(struct bench *b, const struct release_pass *p)
{
	for (size_t at = 0; at < p->nranges * p->range_bytes; at += PAGE_BYTES) {
		uint64_t got = *(const volatile uint64_t *)(p->region + at);

		if (got != bench_word(at / PAGE_BYTES, p->generation))
			bench_fail(b, "page %zu holds %#llx at its home, rank 0 wrote %#llx",
				   at / PAGE_BYTES, (unsigned long long)got,
				   (unsigned long long)bench_word(at / PAGE_BYTES, p->generation));
	}
}

static void run_block(struct bench *b, struct release_pass *p)
{
	p->generation++;
	if (!b->rank) {
		run_put_floor(p);
		run_releases(b, p);
	}
	bench_barrier(b);
	if (b->rank == 1)
		check_home(b, p);
	bench_barrier(b);
}

static void start_pass(struct bench *b, struct release_pass *p)
{
	size_t len_bytes;

	p->nranges = bench_ranges(p->range_bytes);
	len_bytes = p->nranges * p->range_bytes;
	p->order = bench_permutation(b, p->nranges);
	p->region = bench_alloc(b, len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	if (!b->rank)
		p->put = floor_fault_create(b, FLOOR_MEMFD, FLOOR_SLEEPS, len_bytes);
}

static void report_pass(struct bench *b, struct release_pass *p)
{
	struct row *row, *floor;

	row = report_result(b->report, "all pages written", p->range_bytes, &p->release);
	row->has_rate = true;
	floor = report_floor(b->report, "one UFFDIO_WRITEPROTECT of the range, memcpy",
			     p->range_bytes, &p->floor);
	floor->has_rate = true;
	row->floor = floor;
	if (p->range_bytes >= 1ul << 20) {
		row->target_kind = TARGET_RATIO;
		row->target = 1 / 0.8;
	}
}

static void run_pass(struct bench *b, size_t range_bytes)
{
	struct release_pass p = { .range_bytes = range_bytes };
	size_t wanted = bench_iterations(b, 0), blocks;

	start_pass(b, &p);
	blocks = wanted ? (wanted - 1) / p.nranges + 1 : b->options->blocks;
	for (size_t block = 0; block <= blocks; block++) {
		run_block(b, &p);
		if (block)
			continue;
		samples_clear(&p.release); /* the warm-up */
		samples_clear(&p.floor);
	}
	report_pass(b, &p);
	bench_free(b, p.region);
	free(p.order);
	floor_fault_destroy(p.put);
}

void test_write_back(struct bench *b)
{
	static const size_t usual[] = { PAGE_BYTES, 1ul << 20 };
	const struct options *o = b->options;
	unsigned n = o->nbytes ? o->nbytes : 2;

	for (unsigned i = 0; i < n; i++) {
		size_t bytes = o->nbytes ? o->bytes[i] : usual[i];

		run_pass(b, (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
	}
}
