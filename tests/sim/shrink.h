/* SPDX-License-Identifier: MIT */
/*
 * Makes a schedule that fails smaller, as long as it still fails: fewer ranks, threads, operations
 * and incidents; then fewer decisions of the schedule that are not the plainest one (delta
 * debugging: Zeller, Hildebrandt, 2002).
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "worker.h"

struct shrunk {
	struct plan plan;
	struct decisions decisions;
	size_t ndecided; /* decisions that are not the plainest */
	unsigned nops;
	uint64_t tries; /* schedules run for it */
	char text[WORKER_TEXT_MAX]; /* what goes wrong; it need not be what did at first */
};

/* Seed fails under these checks. Release s->decisions.value by free(). */
void shrink(uint64_t seed, unsigned checks, struct shrunk *s);
/* The program, the trace of what happens, the state at the end. False: it did not fail again. */
bool shrunk_print(const struct shrunk *s, unsigned checks);

#endif
