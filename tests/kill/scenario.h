/* SPDX-License-Identifier: MIT */
/*
 * A scenario: what the victim does before it dies, and what must then happen to the others.
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "rank.h"

/* When the driver strikes. All begin when every rank has told that it is ready. */
enum moment {
	KILL_READY, /* at once; the others may go on when it is dead */
	KILL_WAITING, /* when all threads of the others wait */
	KILL_FROZEN, /* it is stopped, the others go on, and when they wait it is killed */
	STOP, /* it is stopped, the others go on; when they are ready it is continued */
	KILL_STARTING, /* a random time after the processes are started; nobody tells anything */
	KILL_LEAVING, /* a random time after all are ready and may go on */
};

struct scenario {
	const char *name;
	enum moment moment;
	void (*victim)(struct rank *r); /* ends by rank_die(), but in STOP */
	void (*survivor)(struct rank *r); /* NULL: the scenario has a main of its own */
	int (*main)(struct rank *r); /* called before dsm_init() */
	unsigned timeout_ms; /* DSM_TIMEOUT_MS; 0: longer than any scenario */
	bool leaves; /* dsm_fini() is what the others are in */
};

extern const struct scenario sync_scenarios[], page_scenarios[], call_scenarios[];

#endif
