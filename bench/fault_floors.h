/* SPDX-License-Identifier: MIT */
/*
 * Fault floors: the bare userfaultfd round trips that a test of faults is compared with, in the
 * handler modes that this machine can run, measured by the loop that measures the test.
 */
#ifndef BENCH_FAULT_FLOORS_H
#define BENCH_FAULT_FLOORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "floor_fault.h"
#include "samples.h"

struct bench;
struct report;
struct row;

#define FAULT_FLOORS_MAX 6

struct fault_floor {
	struct floor_fault *fault;
	enum floor_state state;
	enum floor_handler handler;
	const char *label;
	struct samples times;
};

struct fault_floors {
	struct fault_floor floor[FAULT_FLOORS_MAX];
	unsigned n;
	size_t npages;
	bool write; /* stores, not loads */
};

/* Rank 0 has floors, other ranks none: then all of these do nothing. */
void fault_floors_init(struct fault_floors *ff, struct bench *b, enum floor_state state, bool write,
		       size_t npages);
void fault_floors_fini(struct fault_floors *ff);

/* Measure n accesses of each, to the pages that order names. */
void fault_floors_run(struct fault_floors *ff, const uint32_t *order, size_t n);
/* Forget what was measured: the warm-up. */
void fault_floors_clear(struct fault_floors *ff);

/*
 * Report all, in csv under this key; the row that has the library's handler mode is returned (NULL
 * in other ranks).
 */
const struct row *fault_floors_report(struct fault_floors *ff, struct bench *b, const char *key);

/* Time one load from, or one store to, each of n pages in the order given. */
void fault_time_loads(const uint8_t *memory, const uint32_t *order, size_t n, struct samples *s);
void fault_time_stores(uint8_t *memory, const uint32_t *order, size_t n, struct samples *s);

#endif
