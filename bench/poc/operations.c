/* SPDX-License-Identifier: MIT */
/*
 * What cache maintenance adds to libdsm's own operations: runs as two ranks that reach one another
 *by RDMA, by hand. Rank 0 is the home of some pages and publishes them; rank 1 reads each (a read
 *miss), writes to each (an upgrade); rank 0 reads each (a write-back: rank 1's page is recalled).
 *
 * Prints a line for each operation, in nanoseconds:
 *	sample BACK_END OPERATION NS
 * and, where /sys/kernel/debug/dsm_cache is, for each kind of operation what the module was asked
 *to do meanwhile, by both ranks, over the number of operations: count BACK_END OPERATION CALLS
 *LINES
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dsm/dsm.h"

#define PAGE    4096
#define PAGES   64
#define ROUNDS  4 /* the first is not counted: pages and keys come for the first time */
#define ACCOUNT "/sys/kernel/debug/dsm_cache/account"

struct work {
	long calls, lines;
};

static struct dsm *dsm;
static unsigned rank;
static const char *back_end;
static uint64_t *pages;

static void check(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "operations: rank %u: %s\n", rank, dsm_errmsg());
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct work work_so_far(void)
{
	struct work work = { 0, 0 };
	char name[32];
	long value;
	FILE *f = fopen(ACCOUNT, "re");

	while (f && fscanf(f, "%31s %ld", name, &value) == 2) {
		if (!strcmp(name, "ranges_ever"))
			work.calls = value;
		else if (!strcmp(name, "lines_ever"))
			work.lines = value;
	}
	if (f)
		fclose(f);
	return work;
}

static volatile uint64_t *word(unsigned page)
{
	return pages + (size_t)page * PAGE / sizeof(uint64_t);
}

static void is(unsigned page, uint64_t expected)
{
	if (*word(page) == expected)
		return;
	fprintf(stderr, "operations: rank %u: page %u holds %" PRIu64 ", not %" PRIu64 "\n", rank,
		page, *word(page), expected);
	exit(1);
}

/* One access a page, each timed; store is the value to store, or 0 to load. */
static void each_page(const char *operation, unsigned round, uint64_t store)
{
	struct work before = work_so_far(), after;
	uint64_t ns[PAGES];

	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t began_ns = now_ns();

		if (store)
			*word(i) = store;
		else
			(void)*word(i);
		ns[i] = now_ns() - began_ns;
	}
	after = work_so_far();
	if (!round)
		return;
	for (unsigned i = 0; i < PAGES; i++)
		printf("sample %s %s %" PRIu64 "\n", back_end, operation, ns[i]);
	printf("count %s %s %.2f %.2f\n", back_end, operation,
	       (double)(after.calls - before.calls) / PAGES,
	       (double)(after.lines - before.lines) / PAGES);
}

static void publish(uint64_t value)
{
	check(dsm_acquire(dsm, pages, (size_t)PAGES * PAGE, DSM_WRITE));
	for (unsigned i = 0; i < PAGES; i++)
		*word(i) = value;
	check(dsm_release(dsm, pages, (size_t)PAGES * PAGE));
}

static void run_round(unsigned round)
{
	uint64_t first = 2 * round + 1, second = first + 1;

	if (rank == 0)
		publish(first);
	check(dsm_barrier(dsm));
	if (rank == 1)
		each_page("read_miss", round, 0);
	for (unsigned i = 0; i < PAGES; i++)
		is(i, first);
	check(dsm_barrier(dsm));
	/* Its home holds it Shared as well, so it is asked to give it up. */
	if (rank == 1)
		each_page("upgrade", round, second);
	check(dsm_barrier(dsm));
	if (rank == 0)
		each_page("write_back", round, 0);
	for (unsigned i = 0; i < PAGES; i++)
		is(i, second);
	check(dsm_barrier(dsm));
}

int main(void)
{
	struct dsm_attr attr = { .name = "pages",
				 .home = DSM_HOME_RANK,
				 .home_rank = 0,
				 .release = DSM_RELEASE_WRITE_THROUGH };

	/* Both ranks print to one place: line by line. */
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	back_end = getenv("DSM_CACHE_MAINTENANCE");
	if (!back_end)
		back_end = "auto";
	check(dsm_init(&dsm, NULL));
	rank = dsm_rank(dsm);
	pages = dsm_alloc(dsm, (size_t)PAGES * PAGE, &attr);
	if (!pages)
		check(-1);
	for (unsigned round = 0; round < ROUNDS; round++)
		run_round(round);
	check(dsm_fini(dsm));
	return 0;
}
