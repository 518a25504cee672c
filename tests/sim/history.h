/* SPDX-License-Identifier: MIT */
/*
 * What threads did and saw, and whether it is sequentially consistent (Lamport, 1979): is there one
 * order of all operations, each thread's in its program's order, in which each load returns what
 * was stored last? Locks and barriers are operations on locations like others.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define HISTORY_THREADS_MAX 16u
#define HISTORY_MAX         1024u
#define HISTORY_WORDS_MAX   40u

enum event_kind {
	EVENT_LOAD, /* result */
	EVENT_STORE, /* a */
	EVENT_ADD, /* 1; result: the value before */
	EVENT_SWAP, /* from a to b; result: the value before */
	EVENT_LOCK, /* by the event's thread */
	EVENT_UNLOCK,
	EVENT_ARRIVE, /* at a barrier */
	EVENT_LEAVE, /* a: how often all must have arrived */
};

struct event {
	uint8_t kind; /* enum event_kind */
	uint8_t thread;
	uint16_t word; /* location */
	uint64_t a, b;
	uint64_t result;
};

/* In the order in which they took place. */
struct history {
	unsigned n;
	unsigned nthreads;
	struct event event[HISTORY_MAX];
};

enum history_result { HISTORY_YES, HISTORY_NO, HISTORY_UNDECIDED };

void history_add(struct history *h, struct event e);
/* Undecided: too long, or too many orders had to be tried. */
enum history_result history_check(const struct history *h);
void history_print(const struct history *h, FILE *to);

#endif
