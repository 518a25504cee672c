/* SPDX-License-Identifier: MIT */
/*
 * Locks, barrier, condition variables and semaphores: the calls. A call begins its event in the
 * state machines of sync.h under the node's lock, then waits outside it.
 */
#include <errno.h>

#include "error.h"
#include "node.h"

struct sync_call {
	struct sync_wait wait;
	struct waiter waiter;
};

void sync_call_done(void *env, struct sync_wait *w)
{
	struct sync_call *c = caa_container_of(w, struct sync_call, wait);

	(void)env;
	waiter_complete(&c->waiter, w->result);
}

static void call_init(struct sync_call *c)
{
	*c = (struct sync_call){ .wait = { .blame = WIRE_NO_RANK }, .waiter = WAITER_INIT };
}

/* The event's end: deliver what it sent to the own rank, and let go of the lock. */
static void leave(struct dsm *d)
{
	node_run_local(d);
	node_unlock(d);
}

/* Withdraw a wait. True: it is given up. False: the home answers first. */
static bool withdraw(struct dsm *d, struct sync_call *c)
{
	bool ended = sync_cancel(d->sync, &c->wait) == 0;

	if (ended)
		waiter_complete(&c->waiter, c->wait.result);
	node_run_local(d);
	return ended;
}

/* The end of a call that began with err; 1: it is to be waited for. At the deadline the wait is
 * withdrawn, which the home may have to confirm; a home that does not answer that in time either is
 * given up. Lets go of the lock. */
static int finish(struct dsm *d, struct sync_call *c, int err, uint64_t deadline_ns)
{
	node_run_local(d);
	if (err == 1) {
		while (waiter_wait(d, &c->waiter, deadline_ns) < 0 && !withdraw(d, c))
			deadline_ns = node_deadline(DSM_FOREVER, d->settings.timeout_ms);
		err = c->waiter.result;
	}
	node_unlock(d);
	return err;
}

/* Put a failure into words. */
static int explain(const struct dsm *d, int err, const struct sync_call *c, const char *what,
		   const volatile void *name, unsigned holder)
{
	const void *n = (const void *)(uintptr_t)name;

	switch (err) {
	case 0:
		return 0;
	case -EHOSTDOWN:
		return error_set(EHOSTDOWN, "%s %p: who held or kept it is gone: %s", what, n,
				 node_fate(d, c->wait.blame).text);
	case -ETIMEDOUT:
		if (holder == WIRE_NO_RANK)
			return error_set(ETIMEDOUT, "%s %p: not had in time", what, n);
		return error_set(ETIMEDOUT, "%s %p: not had in time; rank %u has it", what, n,
				 holder);
	case -EBUSY:
		return error_set(EBUSY, "%s %p is in use", what, n);
	case -EAGAIN:
		return error_set(EAGAIN, "%s %p is 0", what, n);
	case -EPERM:
		return error_set(EPERM, "%s %p is not held by this rank", what, n);
	default:
		return error_set_sys(-err, "%s %p", what, n);
	}
}

/*
 * Locks
 */

static unsigned lock_holder(struct dsm *d, uint64_t key)
{
	unsigned holder;

	node_lock(d);
	holder = sync_lock_holder(d->sync, key);
	node_unlock(d);
	return holder;
}

static int lock(struct dsm *d, const volatile void *name, bool try_only, uint64_t deadline_ns)
{
	uint64_t key = (uintptr_t)name, start = clock_ns();
	struct sync_call c;
	int begun, err;

	call_init(&c);
	node_lock(d);
	begun = sync_lock(d->sync, key, &c.wait, try_only);
	err = finish(d, &c, begun, deadline_ns);
	if (begun == 0)
		stats_inc(&d->stats.pub.lock_acquires_local);
	else if (begun == 1)
		__atomic_store_n(&d->lock_moved, err == 0, __ATOMIC_RELAXED);
	if (err < 0)
		return explain(d, err, &c, "lock", name, lock_holder(d, key));
	stats_inc(&d->stats.pub.lock_acquires);
	stats_record(&d->stats.pub.lock_ns, clock_ns() - start);
	return 0;
}

int dsm_lock(struct dsm *dsm, const volatile void *name)
{
	error_clear();
	return lock(dsm, name, false, node_deadline(DSM_FOREVER, dsm->settings.sync_timeout_ms));
}

int dsm_lock_try(struct dsm *dsm, const volatile void *name)
{
	error_clear();
	return lock(dsm, name, true, node_deadline(DSM_FOREVER, dsm->settings.timeout_ms));
}

int dsm_lock_timed(struct dsm *dsm, const volatile void *name, int timeout_ms)
{
	error_clear();
	return lock(dsm, name, false, node_deadline(timeout_ms, dsm->settings.sync_timeout_ms));
}

int dsm_unlock(struct dsm *dsm, const volatile void *name)
{
	struct sync_call none;
	int err;

	error_clear();
	node_lock(dsm);
	err = sync_unlock(dsm->sync, (uintptr_t)name);
	leave(dsm);
	/* A lock that came from another rank will soon be asked for again: the agent, who will have
	 * to answer, had better be awake, if that costs nobody a processor. */
	if (__atomic_exchange_n(&dsm->lock_moved, false, __ATOMIC_RELAXED) &&
	    agent_may_poll(dsm, clock_ns()))
		agent_kick(dsm);
	call_init(&none);
	return explain(dsm, err, &none, "lock", name, WIRE_NO_RANK);
}

/*
 * Barriers
 */

static int barrier(struct dsm *d, bool last, unsigned *blame)
{
	uint64_t deadline = node_deadline(DSM_FOREVER, d->settings.sync_timeout_ms);
	struct sync_call c;
	int err;

	call_init(&c);
	node_lock(d);
	err = sync_barrier(d->sync, &c.wait, last);
	/* Others' arrivals matter from now on: see doze() in agent.c. */
	if (err == 1 && d->agent_asleep)
		d->transport->ops->sleep(d->transport, false);
	err = finish(d, &c, err, deadline);
	*blame = c.wait.blame;
	switch (err) {
	case -EHOSTDOWN:
		return error_set(EHOSTDOWN, "barrier: %s", node_fate(d, *blame).text);
	case -ETIMEDOUT:
		return error_set(ETIMEDOUT, "barrier: not every rank came within %llu ms",
				 (unsigned long long)d->settings.sync_timeout_ms);
	case -EBUSY:
		return error_set(EBUSY, "another thread of this rank is in the barrier");
	default:
		return err;
	}
}

int dsm_barrier(struct dsm *dsm)
{
	uint64_t start = clock_ns();
	unsigned blame;
	int err;

	error_clear();
	err = barrier(dsm, false, &blame);
	if (err < 0)
		return err;
	stats_inc(&dsm->stats.pub.barriers);
	stats_record(&dsm->stats.pub.barrier_ns, clock_ns() - start);
	return 0;
}

int sync_leave(struct dsm *dsm, unsigned *blame)
{
	return barrier(dsm, true, blame);
}

/*
 * Condition variables
 */

static int cond_wait(struct dsm *d, const volatile void *cond, const volatile void *lock_name,
		     uint64_t deadline_ns)
{
	struct sync_call c;
	int begun, err, lock_err;

	error_clear();
	call_init(&c);
	node_lock(d);
	begun = sync_cond_wait(d->sync, (uintptr_t)cond, (uintptr_t)lock_name, &c.wait);
	err = finish(d, &c, begun, deadline_ns);
	if (begun == -EPERM)
		return explain(d, err, &c, "lock", lock_name, WIRE_NO_RANK);
	if (err == -EHOSTDOWN)
		return explain(d, err, &c, "condition variable", cond, WIRE_NO_RANK);
	lock_err =
		lock(d, lock_name, false, node_deadline(DSM_FOREVER, d->settings.sync_timeout_ms));
	if (lock_err < 0)
		return lock_err;
	return explain(d, err, &c, "condition variable", cond, WIRE_NO_RANK);
}

int dsm_cond_wait(struct dsm *dsm, const volatile void *cond, const volatile void *lock_name)
{
	return cond_wait(dsm, cond, lock_name,
			 node_deadline(DSM_FOREVER, dsm->settings.sync_timeout_ms));
}

int dsm_cond_wait_timed(struct dsm *dsm, const volatile void *cond, const volatile void *lock_name,
			int timeout_ms)
{
	return cond_wait(dsm, cond, lock_name,
			 node_deadline(timeout_ms, dsm->settings.sync_timeout_ms));
}

static int cond_signal(struct dsm *d, const volatile void *cond, bool all)
{
	struct sync_call c;
	int err;

	error_clear();
	call_init(&c);
	node_lock(d);
	err = sync_cond_signal(d->sync, (uintptr_t)cond, all, &c.wait);
	err = finish(d, &c, err, node_deadline(DSM_FOREVER, d->settings.timeout_ms));
	if (err == -ETIMEDOUT)
		return error_set(ETIMEDOUT,
				 "condition variable %p: its home, rank %u, did not confirm the "
				 "signal in time; it may still come",
				 (const void *)(uintptr_t)cond,
				 sync_home(d->sync, (uintptr_t)cond));
	return explain(d, err, &c, "condition variable", cond, WIRE_NO_RANK);
}

int dsm_cond_signal(struct dsm *dsm, const volatile void *cond)
{
	return cond_signal(dsm, cond, false);
}

int dsm_cond_broadcast(struct dsm *dsm, const volatile void *cond)
{
	return cond_signal(dsm, cond, true);
}

/*
 * Semaphores
 */

enum sem_op { SEM_SET, SEM_POST, SEM_WAIT, SEM_TRY };

static int sem_begin(struct dsm *d, uint64_t key, enum sem_op op, uint32_t value,
		     struct sync_call *c)
{
	if (op == SEM_SET)
		return sync_sem_set(d->sync, key, value, &c->wait);
	if (op == SEM_POST)
		return sync_sem_post(d->sync, key, &c->wait);
	return sync_sem_wait(d->sync, key, &c->wait, op == SEM_TRY);
}

static int sem(struct dsm *d, const volatile void *name, enum sem_op op, uint32_t value,
	       uint64_t deadline_ns)
{
	struct sync_call c;
	int err;

	error_clear();
	call_init(&c);
	node_lock(d);
	err = sem_begin(d, (uintptr_t)name, op, value, &c);
	err = finish(d, &c, err, deadline_ns);
	return explain(d, err, &c, "semaphore", name, WIRE_NO_RANK);
}

int dsm_sem_init(struct dsm *dsm, const volatile void *name, unsigned value)
{
	return sem(dsm, name, SEM_SET, value, node_deadline(DSM_FOREVER, dsm->settings.timeout_ms));
}

int dsm_sem_post(struct dsm *dsm, const volatile void *name)
{
	return sem(dsm, name, SEM_POST, 0, node_deadline(DSM_FOREVER, dsm->settings.timeout_ms));
}

int dsm_sem_wait(struct dsm *dsm, const volatile void *name)
{
	return sem(dsm, name, SEM_WAIT, 0,
		   node_deadline(DSM_FOREVER, dsm->settings.sync_timeout_ms));
}

int dsm_sem_try(struct dsm *dsm, const volatile void *name)
{
	return sem(dsm, name, SEM_TRY, 0, node_deadline(DSM_FOREVER, dsm->settings.timeout_ms));
}

int dsm_sem_wait_timed(struct dsm *dsm, const volatile void *name, int timeout_ms)
{
	return sem(dsm, name, SEM_WAIT, 0,
		   node_deadline(timeout_ms, dsm->settings.sync_timeout_ms));
}
