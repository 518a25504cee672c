/* SPDX-License-Identifier: MIT */
/*
 * Two ranks, each the home of some pages, that write and read one another's in turns: every way in
 * which a page, a grant, a reader or a message crosses the network. Exit status 0 if all data is
 * right.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dsm/dsm.h"

#define PAGE   4096
#define PAGES  16
#define ROUNDS 6
/* More than one a home: the second's key is read to where the first's was. */
#define REGIONS 4

static struct dsm *dsm;

static void check(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "cache_traffic: %s\n", dsm_errmsg());
	exit(1);
}

static uint8_t expected(unsigned round, unsigned writer, size_t i)
{
	return (uint8_t)(round * 31 + writer * 7 + i / 64 + i / PAGE + 1);
}

static void write_all(uint8_t *p, unsigned round, unsigned writer)
{
	for (size_t i = 0; i < (size_t)PAGES * PAGE; i += 64)
		p[i] = expected(round, writer, i);
}

static void read_all(const uint8_t *p, unsigned round, unsigned writer)
{
	for (size_t i = 0; i < (size_t)PAGES * PAGE; i += 64) {
		if (p[i] == expected(round, writer, i))
			continue;
		fprintf(stderr, "cache_traffic: round %u: byte %zu is %u, not %u\n", round, i, p[i],
			expected(round, writer, i));
		exit(1);
	}
}

int main(void)
{
	uint8_t *p[REGIONS];
	unsigned rank;

	check(dsm_init(&dsm, NULL));
	rank = dsm_rank(dsm);
	for (unsigned i = 0; i < REGIONS; i++) {
		const char name[] = { (char)('a' + i), 0 };
		struct dsm_attr attr = { .name = name, .home = DSM_HOME_RANK, .home_rank = i % 2 };

		p[i] = dsm_alloc(dsm, PAGES * PAGE, &attr);
		if (!p[i])
			check(-1);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned writer = round % 2;

		for (unsigned i = 0; i < REGIONS && rank == writer; i++)
			write_all(p[i], round, writer);
		check(dsm_barrier(dsm));
		for (unsigned i = 0; i < REGIONS; i++)
			read_all(p[i], round, writer);
		check(dsm_barrier(dsm));
	}
	check(dsm_fini(dsm));
	return 0;
}
