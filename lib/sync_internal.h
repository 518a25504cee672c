/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the synchronisation share: objects, pools, waits.
 *
 * Objects live in one hash table by key and type; they and the entries of their queues come from
 * pools, because message handlers run in the agent, which must not call malloc().
 */
#ifndef DSM_SYNC_INTERNAL_H
#define DSM_SYNC_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/list.h>

#include "pool.h"
#include "rankset.h"
#include "sync.h"

#define SYNC_OBJECTS_MAX    (1u << 25) /* of one rank, all types */
#define SYNC_ENTRIES_MAX    (1u << 22) /* waits in the queues of one home */
#define SYNC_SEM_MAX        ((uint32_t)INT32_MAX)
#define TABLE_FIRST_BUCKETS 64u
#define TABLE_SEGMENTS      26u /* 2^31 buckets */
#define WAIT_BUCKETS        64u

enum object_type { OBJECT_LOCK, OBJECT_LOCK_HOME, OBJECT_SEM, OBJECT_COND };

struct object {
	struct object *chain; /* next in the bucket */
	uint64_t key;
	uint8_t type; /* enum object_type */
};

/* A lock as a rank sees it; kept until the end, once used. */
struct lock {
	struct object object;
	bool token; /* the right to take it is here */
	bool held; /* a thread of this rank has it; implies token, unless broken */
	uint16_t holder; /* last rank known to have the token, if it is not here */
	uint16_t broken; /* WIRE_NO_RANK, or the dead rank to blame */
	uint16_t next_rank; /* to hand over to, or WIRE_NO_RANK; implies token and held */
	uint32_t next_id;
	uint32_t asked; /* waits of this rank in the home's queue, or on the way there */
	uint64_t gen; /* number of the latest token that was here */
	uint64_t next_gen;
	struct cds_list_head local; /* waits that the home does not know; implies held */
};

/* A lock as its home sees it. */
struct lock_home {
	struct object object;
	uint16_t holder; /* the rank that was granted the token last */
	uint16_t prev; /* the rank that handed it over, or WIRE_NO_RANK */
	uint16_t broken; /* WIRE_NO_RANK, or the dead holder */
	uint32_t holder_id; /* the wait that it was granted to */
	uint64_t gen; /* the token's number */
	uint64_t gen_last; /* the highest number given out */
	uint64_t gen_named; /* the number given to the head of the queue; 0: none is named */
	struct cds_list_head queue; /* struct entry; see lock_enqueue() for where a try may stand */
};

/* A semaphore or a condition variable at its home; dropped when it is as a new one would be. */
struct queue {
	struct object object;
	uint32_t value; /* semaphore; above 0 implies an empty queue */
	struct cds_list_head queue; /* struct entry */
};

/* One waiting thread of some rank in a home's queue. */
struct entry {
	struct cds_list_head link;
	uint32_t id;
	uint16_t rank;
	bool try_only;
};

/* The items of struct sync's pool of objects; a wait is there when its thread gave it up. */
union item {
	struct object object;
	struct lock lock;
	struct lock_home lock_home;
	struct queue queue;
	struct sync_wait wait;
};

/* All objects of a rank; see sync_table.c. */
struct table {
	struct object **segment[TABLE_SEGMENTS];
	uint32_t nbuckets;
	uint32_t mask; /* nbuckets is in mask + 1 ... 2 * mask + 1 */
	uint32_t nobjects;
};

struct barrier {
	uint64_t epoch; /* of the barrier that is under way or comes next */
	uint32_t seen[2]; /* rounds that arrived, for epochs of either parity */
	uint32_t round;
	bool leave;
	bool active; /* this rank has arrived */
	bool done; /* complete, but nobody has been told */
	uint16_t blame; /* WIRE_NO_RANK, or the dead rank for which it failed for good */
	struct sync_wait *w;
};

struct sync {
	unsigned rank;
	unsigned size;
	unsigned rounds; /* of a barrier: log2 of size, rounded up */
	uint32_t id_last;
	const struct sync_ops *ops;
	void *env;
	struct table table;
	struct pool objects; /* union item */
	struct pool entries; /* struct entry */
	size_t objects_max;
	size_t entries_max;
	struct barrier barrier;
	struct barrier leave;
	struct rankset down;
	struct cds_list_head waits[WAIT_BUCKETS]; /* waits for a message, by id */
};

/* What a wait waits for, in sync_wait.kind. */
enum wait_kind {
	WAIT_NONE, /* over */
	WAIT_LOCK_LOCAL, /* in lock.local */
	WAIT_LOCK, /* at the home, as all that follow */
	WAIT_SEM,
	WAIT_SEM_DONE, /* a post or set: done when it arrives, only the answer is missing */
	WAIT_COND_ENTERING, /* not known to be enqueued: lock_key is still held */
	WAIT_COND,
	WAIT_COND_DONE, /* a signal: as WAIT_SEM_DONE */
	WAIT_BARRIER,
	WAIT_LEAVE,
};
#define WAIT_GHOST 0x80u /* with one of these: its thread is gone, the answer is still to come */

/* A key's hash: its high half chooses the home, its low half the bucket. */
uint64_t sync_hash(uint64_t key);

/* -ENOMEM. */
int object_table_init(struct table *t);
void object_table_fini(struct table *t);

/* Objects: find gives NULL if there is none; get makes one, NULL if there is no memory. */
struct object *object_find(const struct sync *s, uint64_t key, enum object_type type);
struct object *object_get(struct sync *s, uint64_t key, enum object_type type);
void object_drop(struct sync *s, struct object *o);
/* Call visit() for all; it may drop the one that it is called for, and makes none. */
void object_for_each(struct sync *s, void (*visit)(struct sync *s, struct object *o, unsigned arg),
		     unsigned arg);
/* A pool's item, zeroed, for what is not in the table; NULL beyond SYNC_OBJECTS_MAX. */
union item *item_get(struct sync *s);

/* Queues of entries. entry_add: NULL if there is no memory. */
struct entry *entry_add(struct sync *s, struct cds_list_head *queue, unsigned rank, uint32_t id);
struct entry *entry_find(struct cds_list_head *queue, unsigned rank, uint32_t id);
struct entry *entry_first(struct cds_list_head *queue);
void entry_drop(struct sync *s, struct entry *e);
/* Remove all of a rank's. */
void entry_drop_rank(struct sync *s, struct cds_list_head *queue, unsigned rank);
/* A rank has died: remove all, and answer those of other ranks with -EHOSTDOWN. */
void queue_rank_down(struct sync *s, struct cds_list_head *queue, unsigned rank, unsigned kind,
		     uint64_t key);

bool sync_is_down(const struct sync *s, unsigned rank);
/* The lowest rank that is down, WIRE_NO_RANK if none is. */
unsigned sync_first_down(const struct sync *s);
/* Fills in slots and src; to a rank that is down: nothing. */
void sync_send(struct sync *s, unsigned rank, struct msg *m);
/* The one shape of all answers: LockReply, SemReply, CondReply. @err: positive errno or 0. */
void sync_reply(struct sync *s, unsigned kind, uint64_t key, const struct entry *to, int err,
		unsigned blame, unsigned holder);

/* The home of key is down: record that in w and return -EHOSTDOWN with a sentence; else 0. */
int sync_home_check(struct sync *s, uint64_t key, struct sync_wait *w, const char *what);
/* Register w as waiting for an answer from the home. */
void wait_begin(struct sync *s, struct sync_wait *w, enum wait_kind kind, uint64_t key);
/* Undo wait_begin() without a wake-up. */
void wait_forget(struct sync_wait *w, int result);
/* The wait that an answer is for, NULL if unknown. @kind: without WAIT_GHOST. */
struct sync_wait *wait_find(struct sync *s, enum wait_kind kind, uint64_t key, uint64_t id);
/* End a wait and wake its thread. False: the thread was gone, nobody takes what was granted. */
bool wait_end(struct sync *s, struct sync_wait *w, int result, unsigned blame);
/* Common part of the replies' handlers: the wait ends as the message says. */
void wait_reply(struct sync *s, struct sync_wait *w, const struct msg *m);

/* Message handlers, the sender's rank is known to be valid and up. */
void lock_message_get(struct sync *s, const struct msg *m);
void lock_message_forward(struct sync *s, const struct msg *m);
void lock_message_grant(struct sync *s, const struct msg *m);
void lock_message_passed(struct sync *s, const struct msg *m);
void lock_message_refuse(struct sync *s, const struct msg *m);
void lock_message_cancel(struct sync *s, const struct msg *m);
void lock_message_reply(struct sync *s, const struct msg *m);
void sem_message_wait(struct sync *s, const struct msg *m);
void sem_message_post(struct sync *s, const struct msg *m);
void sem_message_set(struct sync *s, const struct msg *m);
void sem_message_cancel(struct sync *s, const struct msg *m);
void sem_message_reply(struct sync *s, const struct msg *m);
void cond_message_wait(struct sync *s, const struct msg *m);
void cond_message_queued(struct sync *s, const struct msg *m);
void cond_message_signal(struct sync *s, const struct msg *m);
void cond_message_cancel(struct sync *s, const struct msg *m);
void cond_message_reply(struct sync *s, const struct msg *m);
void barrier_message(struct sync *s, const struct msg *m);

/* A rank died: what becomes of an object; sem and cond may drop it. */
void lock_rank_down(struct sync *s, struct lock *l, unsigned rank);
void lock_home_rank_down(struct sync *s, struct lock_home *h, unsigned rank);
void sem_rank_down(struct sync *s, struct queue *q, unsigned rank);
void cond_rank_down(struct sync *s, struct queue *q, unsigned rank);
void barrier_rank_down(struct sync *s, struct barrier *b, unsigned rank);

/* New objects, the header filled in. */
void lock_init(struct sync *s, struct lock *l);
void lock_home_init(struct sync *s, struct lock_home *h);
/* A wait of this rank is not in the home's queue any more. */
void lock_answered(struct sync *s, uint64_t key);
/* If w holds its lock until it is known to be queued: it need not any more. */
void cond_let_go(struct sync *s, struct sync_wait *w);
void barrier_init(struct barrier *b, bool leave);

#endif
