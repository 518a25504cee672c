/* SPDX-License-Identifier: MIT */
/*
 * Three ranks, each the home of some pages, that write and read one another's in turns, and count
 * in them by remote atomics: every way in which a page, a grant, a reader or a message crosses the
 * network. Exit status 0 if all data is right.
 *
 * Where ranks 0 and 1 share memory and rank 2 is reached by RDMA, a page that a device reads was
 * written last by its home, by a device, by the home's neighbour, or by whoever did an atomic.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dsm/dsm.h"

#define RANKS  3
#define PAGE   4096
#define PAGES  8
#define ROUNDS 3
/* More than one a home: the second's key is read to where the first's was. */
#define REGIONS (2 * RANKS)

static struct dsm *dsm;
static unsigned rank;

static void check(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "cache_traffic: rank %u: %s\n", rank, dsm_errmsg());
	exit(1);
}

static void *region(char kind, unsigned i)
{
	const char name[] = { kind, (char)('0' + i), 0 };
	struct dsm_attr attr = { .name = name, .home = DSM_HOME_RANK, .home_rank = i % RANKS };
	void *p = dsm_alloc(dsm, PAGES * PAGE, &attr);

	if (!p)
		check(-1);
	return p;
}

static void expect(uint64_t is, uint64_t expected, const char *what, unsigned round, size_t i)
{
	if (is == expected)
		return;
	fprintf(stderr, "cache_traffic: rank %u, round %u: %s %zu is %llu, not %llu\n", rank, round,
		what, i, (unsigned long long)is, (unsigned long long)expected);
	exit(1);
}

static uint8_t written(unsigned round, size_t i)
{
	return (uint8_t)(round * 31 + i / 64 + i / PAGE + 1);
}

static void write_all(uint8_t *p, unsigned round)
{
	for (size_t i = 0; i < (size_t)PAGES * PAGE; i += 64)
		p[i] = written(round, i);
}

static void read_all(const uint8_t *p, unsigned round)
{
	for (size_t i = 0; i < (size_t)PAGES * PAGE; i += 64)
		expect(p[i], written(round, i), "byte", round, i);
}

/* One rank writes, then all read. */
static void turn(uint8_t *p[REGIONS], unsigned round)
{
	for (unsigned i = 0; i < REGIONS && rank == round % RANKS; i++)
		write_all(p[i], round);
	check(dsm_barrier(dsm));
	for (unsigned i = 0; i < REGIONS; i++)
		read_all(p[i], round);
	check(dsm_barrier(dsm));
}

/* All count, one word a page, then all read; who reads first takes the page out of atomics. */
static void count(uint64_t *p[RANKS], unsigned round)
{
	const size_t words = PAGE / sizeof(uint64_t);
	uint64_t before;

	for (unsigned i = 0; i < RANKS; i++)
		for (size_t page = 0; page < PAGES; page++)
			check(dsm_fetch_add64(dsm, &p[i][page * words + page], rank + 1, &before));
	check(dsm_barrier(dsm));
	for (unsigned i = 0; i < RANKS; i++)
		for (size_t page = 0; page < PAGES; page++)
			expect(p[i][page * words + page],
			       (uint64_t)(round + 1) * RANKS * (RANKS + 1) / 2, "sum", round, page);
	check(dsm_barrier(dsm));
}

int main(void)
{
	uint8_t *pages[REGIONS];
	uint64_t *counters[RANKS];

	check(dsm_init(&dsm, NULL));
	rank = dsm_rank(dsm);
	for (unsigned i = 0; i < REGIONS; i++)
		pages[i] = region('p', i);
	for (unsigned i = 0; i < RANKS; i++)
		counters[i] = region('c', i);
	/* A key that is read lies beside others. */
	check(dsm_barrier(dsm));
	for (unsigned round = 0; round < ROUNDS; round++) {
		turn(pages, round);
		count(counters, round);
	}
	check(dsm_fini(dsm));
	return 0;
}
