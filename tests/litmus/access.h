/* SPDX-License-Identifier: MIT */
/*
 * Ways to make the accesses of a litmus program.
 */
#ifndef LITMUS_ACCESS_H
#define LITMUS_ACCESS_H

#include "program.h"

struct dsm;

enum access {
	ACCESS_RELAXED, /* C11 relaxed: a plain instruction; the compiler keeps the order */
	ACCESS_ACQREL, /* C11: loads acquire, stores release */
	ACCESS_FENCED, /* C11 relaxed with a sequentially consistent fence between any two */
	ACCESS_SEQCST, /* C11 sequentially consistent */
	ACCESS_REMOTE, /* dsm_fetch_add64() of 0; dsm_compare_swap64() until it stores */
	ACCESS_MIXED, /* even threads as SEQCST, odd ones as REMOTE */
	ACCESS_HELD, /* relaxed, between dsm_acquire() and dsm_release() */
	ACCESS_LOCKED, /* relaxed, under a dsm_lock() that is named by the location */
	ACCESS_COUNT
};

/* Is it sequentially consistent by contract? */
static inline bool access_is_strong(enum access a)
{
	return a != ACCESS_RELAXED && a != ACCESS_ACQREL;
}

/* Run thread t of p: at[l] is the word of location l, seen[] receives what the loads return. */
void access_run(struct dsm *d, enum access a, const struct program *p, unsigned t,
		uint64_t *const *at, uint8_t *seen);

#endif
