/* SPDX-License-Identifier: MIT */
/*
 * Runs a plan in a virtual cluster under one schedule, and judges it.
 *
 * Beside what the cluster checks after each event (virtual_check.c): nobody else stores to a page
 * that a rank holds, or loads one that it holds to write; locks exclude; nobody leaves a barrier
 * before all have come; a call fails only if a rank has died; every thread comes to its end; and
 * the history of all is sequentially consistent.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "history.h"
#include "plan.h"

struct run_options {
	uint64_t seed; /* of the schedule */
	const struct decisions *replay; /* the schedule, instead */
	struct decisions *record; /* or NULL */
	unsigned checks; /* CHECK_STATES, CHECK_VALUES */
	bool trace;
};

struct run_result {
	uint64_t events;
	uint64_t messages;
	uint64_t accesses; /* that have come to their end, with locks and barriers */
	uint64_t failed; /* for a rank that died, or memory */
	uint64_t undecided; /* histories */
};

/* Ends in cluster_failed() if something is wrong. Adds to *result. */
void run_plan(const struct plan *plan, const struct run_options *o, struct run_result *result);
/* Of the run under way, for cluster_failed(): what its threads saw. */
const struct history *run_history(void);

#endif
