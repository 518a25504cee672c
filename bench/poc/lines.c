/* SPDX-License-Identifier: MIT */
/*
 * What a call of each back end takes, and a line in it, where this runs: on lines that were written
 * before (dirty) or cleaned before (clean). A straight line through medians for one line and
 *for 64.
 *
 * Prints for each back end that is there:
 *	part BACK_END CALL LINES NS_A_CALL NS_A_LINE
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "maintenance_internal.h"

#define PAGE    4096
#define LINE    64
#define PAGES   64
#define REPEATS 20

typedef void (*call_fn)(struct maintenance *m, uintptr_t addr, size_t len_bytes);

static uint8_t *memory;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a_, const void *b_)
{
	uint64_t a = *(const uint64_t *)a_, b = *(const uint64_t *)b_;

	return (a > b) - (a < b);
}

/* The median of calls for len_bytes at the start of each page. */
static double median_ns(struct maintenance *m, call_fn call, size_t len_bytes, bool dirty)
{
	static uint64_t ns[PAGES * REPEATS];
	size_t n = 0;

	for (int i = 0; i < REPEATS; i++) {
		for (size_t page = 0; page < PAGES; page++) {
			uintptr_t at = (uintptr_t)memory + page * PAGE;
			uint64_t began_ns;

			memset(memory + page * PAGE, i, PAGE);
			if (!dirty)
				m->ops->clean(m, at, PAGE);
			began_ns = now_ns();
			call(m, at, len_bytes);
			ns[n++] = now_ns() - began_ns;
		}
	}
	qsort(ns, n, sizeof(*ns), by_value);
	return (double)ns[n / 2];
}

static void nothing(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	(void)m;
	(void)addr;
	(void)len_bytes;
}

static void measure(struct maintenance *m, call_fn call, const char *name)
{
	for (int dirty = 1; dirty >= 0; dirty--) {
		double clock = median_ns(m, nothing, LINE, dirty);
		double one = median_ns(m, call, LINE, dirty);
		double line = (median_ns(m, call, PAGE, dirty) - one) / (PAGE / LINE - 1.0);

		double call_ns = one - clock - line;

		/* Where a clock's tick is longer than the call. */
		printf("part %s %s %s %.0f %.2f\n", maintenance_name(m), name,
		       dirty ? "dirty" : "clean", call_ns > 0 ? call_ns : 0, line);
	}
}

int main(void)
{
	static const enum maintenance_kind kinds[] = { MAINTENANCE_USER, MAINTENANCE_KERNEL };
	struct maintenance m;

	memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED) {
		perror("lines: mmap");
		return 1;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (maintenance_init(&m, kinds[i], NULL))
			continue;
		measure(&m, m.ops->clean, "clean");
		measure(&m, m.ops->invalidate, "invalidate");
		maintenance_fini(&m);
	}
	return 0;
}
