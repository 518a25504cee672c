/* SPDX-License-Identifier: MIT */
/*
 * One rank for fuzzing: the library's node with all that is above transport and pager, in one
 * thread. Its pager keeps a model of the mapping; its transport gives it what the script says that
 * the others send, also while it waits in a call.
 */
#ifndef FUZZ_NODE_RANK_H
#define FUZZ_NODE_RANK_H

#include "fuzz.h"
#include "node.h"

#define NODE_BLOCKS 4u
#define NODE_BASE   0x7e8000000000u
/* The top bit of a step's first byte: somebody else's, so it can be taken while this rank waits. */
#define STEP_OTHERS 0x80u

/* A message, of one slot or as many as a region message has. */
union node_message {
	struct msg msg;
	struct msg_region region;
};

/* The rank of the input that is being run. */
extern struct dsm *node;
extern struct input *script;

void node_rank_create(struct input *in, unsigned rank, unsigned size);
void node_rank_destroy(void);

/* A step of the others: a message, a death, a completion, time. False: the next is not theirs. */
bool node_rank_step(void);
/* A number from the script: small, a rank, a page, or one that this rank has sent before. */
uint64_t node_rank_value(void);
/* An address of the global range, or near it, or not. */
uint64_t node_rank_addr(void);
/* The latest message of a kind that this rank sent, among the last few; NULL. */
const union node_message *node_rank_sent(enum msg_kind kind);
/* A thread faults. */
void node_rank_fault(uint64_t granule, bool write);
/* What a peer can write without asking: own directory words. */
void node_rank_scribble(void);
/* How pager and one-sided operations behave from now on: MOOD_* bits. */
#define MOOD_ASYNC    1u /* chains complete later */
#define MOOD_NO_MAP   2u /* no memory to map pages */
#define MOOD_NO_FETCH 4u /* chains fail at once */
#define MOOD_NO_WATCH 8u /* no region can be watched */
void node_rank_mood(uint8_t mood);
/* What must be true between events. */
void node_rank_check(void);

#endif
