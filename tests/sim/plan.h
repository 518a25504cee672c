/* SPDX-License-Identifier: MIT */
/*
 * What one run of the simulator does, apart from the order in which it happens: the ranks, their
 * pages, the program of each thread, the incidents. Made from a seed; made smaller by shrink.c.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "virtual_cluster.h"

#define PLAN_RANKS_MAX     5u
#define PLAN_THREADS_MAX   12u
#define PLAN_OPS_MAX       40u
#define PLAN_PAGES_MAX     6u
#define PLAN_LOCKS         3u
#define PLAN_INCIDENTS_MAX 6u

enum op_kind {
	OP_NONE,
	OP_LOAD,
	OP_STORE,
	OP_ADD,
	OP_SWAP,
	OP_PREFETCH,
	OP_HOLD,
	OP_UNHOLD,
	OP_LOCK,
	OP_UNLOCK,
	OP_BARRIER,
	OP_LOOK, /* dsm_read() */
	OP_KINDS
};

enum lock_how { LOCK_WAIT, LOCK_TRY, LOCK_TIMED };

struct op {
	uint8_t kind; /* enum op_kind */
	uint8_t page; /* index in plan.page; of a lock: its number */
	uint8_t word;
	uint8_t npages; /* of a hold */
	uint8_t write; /* of a hold, a prefetch; of its end: with write-through */
	uint8_t ahead;
	uint8_t how; /* enum lock_how */
	uint8_t pair; /* common to hold and unhold, lock and unlock; number of a barrier */
};

struct plan_thread {
	uint8_t rank;
	uint8_t nops;
	struct op op[PLAN_OPS_MAX];
};

enum incident_kind { INCIDENT_DEATH, INCIDENT_PAUSE, INCIDENT_RECLAIM, INCIDENT_KINDS };

struct incident {
	uint8_t kind; /* enum incident_kind */
	uint8_t rank;
	uint8_t page; /* index, of a reclaim */
	uint8_t drain; /* of a death: all that was sent arrives */
	uint32_t event; /* when */
	uint32_t events; /* how long, of a pause */
};

struct plan_page {
	uint8_t block;
	uint8_t index;
};

struct plan {
	uint8_t nranks;
	uint8_t nblocks;
	uint8_t npages;
	uint8_t nthreads;
	uint8_t nbarriers;
	uint8_t nincidents;
	uint8_t mode; /* enum cluster_mode */
	uint8_t slow; /* enum cluster_slow */
	uint8_t slow_rank;
	uint8_t preempt_percent;
	uint8_t map_fail_percent;
	uint8_t fresh_percent;
	uint8_t group; /* ranks that share a counter of readers; 0: none */
	uint16_t cache_granules;
	uint8_t home[CLUSTER_BLOCKS_MAX];
	uint8_t shift[CLUSTER_BLOCKS_MAX];
	struct plan_page page[PLAN_PAGES_MAX];
	struct plan_thread thread[PLAN_THREADS_MAX];
	struct incident incident[PLAN_INCIDENTS_MAX];
};

/* What is in a seed above its lower 40 bits is the number of ranks that share a counter of readers.
 */
#define PLAN_GROUP_SHIFT 40

void plan_create(struct plan *p, uint64_t seed);
void plan_print(const struct plan *p, FILE *to);
/* "store", and with its operands. */
const char *op_name(unsigned kind);
void op_print(const struct op *op, FILE *to);

/* Parts of a program that go together: remove an operation and its partner, in all threads if it is
 * a barrier. */
void plan_remove_op(struct plan *p, unsigned thread, unsigned op);
void plan_remove_thread(struct plan *p, unsigned thread);
void plan_remove_rank(struct plan *p, unsigned rank);
void plan_remove_incident(struct plan *p, unsigned i);

#endif
