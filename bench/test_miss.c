/* SPDX-License-Identifier: MIT */
/*
 * Read misses by faults.
 *
 * The home (rank 1) writes the pages and releases them written through, so that they are Clean and
 * the miss is one-sided; then it sleeps in a barrier, or computes. Rank 0 loads one word a page,
 * in random order over four times as many pages as it touches, so that no stream is to be seen
 * and prefetch has nothing to go by. A page is missed for the first time, when it gets a frame
 * here, or again after an invalidation, which leaves the frame: the two have different floors.
 */
#include <stdlib.h>

#include "bench.h"
#include "fault_floors.h"
#include "tests.h"

#define ITERATIONS 2000
#define SPREAD     4 /* pages in the region for each that is touched */

struct miss_pass {
	bool fresh; /* pages that were never here, not pages that were invalidated */
	bool busy_home;
	size_t touched; /* pages a block of measurements */
	size_t npages;
	uint32_t *order;
	uint8_t *region;
	struct fault_floors floors;
	struct samples times;
	uint64_t generation;
};

static void check(struct bench *b, struct miss_pass *p)
{
	for (size_t i = 0; i < p->touched; i++) {
		size_t page = p->order[i];
		uint64_t got = *(const volatile uint64_t *)(p->region + page * PAGE_BYTES);

		if (got != bench_word(page, p->generation))
			bench_fail(b, "page %zu holds %#llx, its home wrote %#llx", page,
				   (unsigned long long)got,
				   (unsigned long long)bench_word(page, p->generation));
	}
}

static void measure(struct miss_pass *p)
{
	/* one page untimed: what is fetched once a block of 2 MiB belongs to no page */
	size_t last = p->order[p->npages - 1];

	fault_floors_run(&p->floors, p->order, p->touched);
	(void)*(const volatile uint64_t *)(p->region + last * PAGE_BYTES);
	fault_time_loads(p->region, p->order, p->touched, &p->times);
}

static void run_block(struct bench *b, struct miss_pass *p)
{
	size_t len_bytes = p->npages * PAGE_BYTES;

	if (!p->region)
		p->region = bench_alloc(b, len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	bench_publish(b, p->region, len_bytes, 1, ++p->generation);
	if (p->busy_home)
		bench_compute(b); /* rank 1 returns when rank 0 stops it */
	if (b->rank == 0) {
		measure(p);
		check(b, p);
		if (p->busy_home)
			bench_stop_partner(b);
	}
	bench_barrier(b);
	if (p->fresh) {
		bench_free(b, p->region);
		p->region = NULL;
	}
}

static void run_pass(struct bench *b, struct miss_pass *p)
{
	p->touched = bench_block_iterations(b, ITERATIONS);
	p->npages = SPREAD * p->touched;
	p->order = bench_permutation(b, p->npages);
	fault_floors_init(&p->floors, b, p->fresh ? FLOOR_MISSING : FLOOR_UNMAPPED, false,
			  p->npages);
	for (unsigned block = 0; block <= b->options->blocks; block++) {
		run_block(b, p);
		if (block)
			continue;
		samples_clear(&p->times); /* the warm-up */
		fault_floors_clear(&p->floors);
	}
	if (p->region)
		bench_free(b, p->region);
}

static struct row *report_pass(struct bench *b, struct miss_pass *p, const char *label,
			       const char *key)
{
	struct row *row = report_result(b->report, label, PAGE_BYTES, &p->times);

	row->key = key;
	row->floor = fault_floors_report(&p->floors, b, key);
	fault_floors_fini(&p->floors);
	free(p->order);
	return row;
}

/* How many misses needed nothing of the home's CPU. */
static void note_one_sided(struct bench *b, const struct dsm_stats *before)
{
	struct dsm_stats after;

	dsm_stats_get(b->dsm, &after, sizeof(after));
	report_note(
		b->report, "%llu read misses at rank 0, %llu of them one-sided; %llu prefetched",
		(unsigned long long)(after.read_misses - before->read_misses),
		(unsigned long long)(after.read_misses_one_sided - before->read_misses_one_sided),
		(unsigned long long)(after.prefetched_pages - before->prefetched_pages));
}

void test_read_miss(struct bench *b)
{
	struct miss_pass first = { .fresh = true }, again = { .fresh = false };
	struct dsm_stats before;
	struct row *row;

	dsm_stats_get(b->dsm, &before, sizeof(before));
	run_pass(b, &first);
	row = report_pass(b, &first, "first touch of a page", "read_miss_first");
	row->target_kind = TARGET_RATIO;
	row->target = 1.3;
	run_pass(b, &again);
	row = report_pass(b, &again, "page that was invalidated before", "read_miss");
	row->target_kind = TARGET_RATIO;
	row->target = 1.3;
	note_one_sided(b, &before);
}

void test_read_miss_busy_home(struct bench *b)
{
	struct miss_pass pass = { .busy_home = true };
	struct dsm_stats before;
	struct row *row;

	dsm_stats_get(b->dsm, &before, sizeof(before));
	run_pass(b, &pass);
	row = report_pass(b, &pass, "page that was invalidated before, home computes",
			  "read_miss_busy_home");
	row->target_kind = TARGET_P99_US;
	row->target = 100;
	note_one_sided(b, &before);
}
