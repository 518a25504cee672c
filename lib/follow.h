/* SPDX-License-Identifier: MIT */
/*
 * The agent follows the thread that faults, to its processor (DSM_FAULT_HANDLER=core).
 */
#ifndef DSM_FOLLOW_H
#define DSM_FOLLOW_H

#include <stdint.h>
#include <sys/types.h>

struct follow {
	pid_t tid; /* whom; 0: nobody yet */
	unsigned strangers; /* faults in a row of others */
	uint64_t look_ns; /* when to look again where it is */
	int cpu; /* 1 + where the agent is; 0: wherever the scheduler put it */
};

/* In the agent: a thread has had a fault served. */
void follow_thread(struct follow *f, pid_t tid, uint64_t now_ns);

#endif
