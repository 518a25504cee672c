/* SPDX-License-Identifier: MIT */
/*
 * Runs in a process of their own: one that crashes, loops or fails ends that process, leaves its
 * memory behind, and is known to the parent by what it wrote into memory that both share.
 */
#ifndef SIM_WORKER_H
#define SIM_WORKER_H

#include "run.h"

#define WORKER_TEXT_MAX 256

/* What runs of which seeds; a run's plan is made from its seed, or given. */
struct job {
	const struct plan *plan; /* or NULL: of each seed's own */
	const struct decisions *replay; /* or NULL: random ones */
	uint64_t first; /* seed */
	uint64_t schedules;
	unsigned checks;
	bool trace;
	bool show; /* print the state at a failure */
	bool record; /* the decisions; see worker_decisions() */
	uint64_t seconds; /* stop after so many; 0: do not */
};

struct outcome {
	bool failed;
	uint64_t seed; /* of the run that failed, or the last */
	uint64_t schedules; /* run, with the one that failed */
	struct run_result sum;
	char text[WORKER_TEXT_MAX]; /* what was wrong */
};

/* Run until one fails. Aborts if there are no processes or no memory to be had. */
void worker_run(const struct job *job, struct outcome *outcome);
/* Of the last job's last run, if it was to record them; valid until the next job. */
const struct decisions *worker_decisions(void);

#endif
