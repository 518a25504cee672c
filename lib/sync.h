/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation: locks, semaphores, condition variables and barriers as pure state machines.
 *
 * Events in (a call, a message, a death), actions out through struct sync_ops; no threads, clock or
 * system calls, so the simulator runs this object too. All functions are called with the node's
 * lock held.
 *
 * An object is named by a 64-bit key; its home is sync_home(key). The home queues requests first
 * come, first served. A lock stays with the rank that had it last until another asks (cached), and
 * is handed from holder to next holder directly.
 */
#ifndef DSM_SYNC_H
#define DSM_SYNC_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "wire.h"

struct sync;
struct sync_wait;

struct sync_ops {
	/* rank may be the own one: it is delivered by sync_message() after the current event. */
	void (*send)(void *env, unsigned rank, const struct msg *m);
	/* w->result is set; w is not touched again. */
	void (*wake)(void *env, struct sync_wait *w);
};

/* One waiting thread; embedded by the caller, who keeps it until woken or cancelled for good. */
struct sync_wait {
	struct cds_list_head link;
	uint64_t key;
	uint64_t lock_key; /* of a condition variable's wait */
	uint32_t id;
	uint8_t kind;
	bool cancelled;
	int result; /* 0 or negative errno */
	unsigned blame; /* rank that an error is about, or WIRE_NO_RANK */
};

/* -ENOMEM. */
int sync_create(struct sync **s, unsigned rank, unsigned size, const struct sync_ops *ops,
		void *env);
void sync_destroy(struct sync *s);

unsigned sync_home(const struct sync *s, uint64_t key);

/*
 * Begin to take a lock. 0: taken, no message was needed. 1: w waits and will be woken.
 * -EBUSY (try_only): another rank or thread has it for certain, or -EHOSTDOWN, -ENOMEM.
 * A try that must ask the home waits like the others (1) and is woken with -EBUSY if it is taken.
 */
int sync_lock(struct sync *s, uint64_t key, struct sync_wait *w, bool try_only);
/* -EPERM: this rank does not hold it. */
int sync_unlock(struct sync *s, uint64_t key);
/* The rank that holds or was last granted the lock, as far as this rank knows; WIRE_NO_RANK. */
unsigned sync_lock_holder(struct sync *s, uint64_t key);

/*
 * 0: done. 1: w waits. Negative: at once -EHOSTDOWN (w->blame), -ENOMEM, or one of those that else
 * come through w->result: -EAGAIN (try_only: the value is 0), -EBUSY (set: somebody waits),
 * -EOVERFLOW (set, post: above INT32_MAX). A post that was cancelled has taken place.
 */
int sync_sem_set(struct sync *s, uint64_t key, uint32_t value, struct sync_wait *w);
int sync_sem_post(struct sync *s, uint64_t key, struct sync_wait *w);
int sync_sem_wait(struct sync *s, uint64_t key, struct sync_wait *w, bool try_only);

/*
 * Enqueues w, then unlocks lock_key, which may come after the return. 1: w waits; lock_key is
 * released by the time w is woken or withdrawn, and the caller takes it again. -EPERM: lock not
 * held. -ENOMEM, -EHOSTDOWN (w->blame: the home is down): lock_key is released all the same.
 */
int sync_cond_wait(struct sync *s, uint64_t key, uint64_t lock_key, struct sync_wait *w);
/*
 * 0: done. 1: w waits for the home's word that it is. -EHOSTDOWN (w->blame). One that was cancelled
 * has taken place, or will.
 */
int sync_cond_signal(struct sync *s, uint64_t key, bool all, struct sync_wait *w);

/*
 * Withdraw a wait that timed out. 0: w is free, result says how it ended (-ETIMEDOUT). 1: the home
 * must answer first: w will be woken with -ETIMEDOUT, or 0 if it was granted meanwhile. A second
 * call for the same wait gives up on a home that does not answer and returns 0; what is granted to
 * that wait later goes to the next in line.
 */
int sync_cancel(struct sync *s, struct sync_wait *w);

/*
 * Dissemination barrier (Hensgen, Finkel, Manber 1988). leave: the barrier of dsm_fini(), which
 * does not fail when a rank that has passed it goes down. 0: all are here. 1: w waits. -EBUSY:
 * another wait is in it. -EHOSTDOWN (w->blame). A rank that gave up (sync_cancel) has arrived all
 * the same: its next call resumes that barrier.
 */
int sync_barrier(struct sync *s, struct sync_wait *w, bool leave);

/* Has this rank arrived at a barrier that it has not left? If not, MSG_BARRIER can wait: nothing
 * follows from it before this rank arrives. */
bool sync_in_barrier(const struct sync *s);

void sync_message(struct sync *s, const struct msg *m);
/* A rank died: waits that need it end with -EHOSTDOWN. */
void sync_rank_down(struct sync *s, unsigned rank);

#endif
