/* SPDX-License-Identifier: MIT */
/*
 * Linearizability (Herlihy, Wing, 1990): is there one order of all operations of a history that
 * respects real time and in which each returns what a sequential object would?
 */
#ifndef LITMUS_LINEAR_H
#define LITMUS_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

#define LINEAR_MAX 64u /* operations of a history that linear_check() takes */

enum linear_op {
	LINEAR_LOAD, /* of a register: result */
	LINEAR_STORE, /* a */
	LINEAR_ADD, /* a; result: the value before */
	LINEAR_SWAP, /* from a to b, if it is a; result: the value before */
	LINEAR_LOCK, /* of a lock, by thread a (not 0); b: it was ready to wait */
	LINEAR_UNLOCK, /* by thread a */
	LINEAR_BUSY, /* an attempt that found it locked, or a thread waiting for it */
};

struct linear_event {
	uint64_t call_ns;
	uint64_t return_ns;
	uint64_t a, b;
	uint64_t result;
	enum linear_op op;
};

enum linear_result { LINEAR_YES, LINEAR_NO, LINEAR_TOO_MANY };

/* Search all orders. LINEAR_TOO_MANY: given up, which long histories can lead to. */
enum linear_result linear_check(const struct linear_event *events, unsigned n, uint64_t initial);

/*
 * A history of LINEAR_ADD alone, each of 1, of any length, from 0: the results have to be 0 to n -
 * 1, and one that returned before another was called has the smaller. Sorts events[]. Returns the
 * place of the first that is wrong, or n.
 */
unsigned linear_check_adds(struct linear_event *events, unsigned n);

#endif
