/* SPDX-License-Identifier: MIT */
/*
 * A rank dies while others wait in a barrier, for a lock, for a semaphore, for a condition.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "scenario.h"

/* So many names that every rank is the home of some. */
#define NAMES 24u

static const void *name_of(unsigned i)
{
	return (const void *)(uintptr_t)(0x1000 + i * 64);
}

/*
 * Barrier
 */

static void victim_dies(struct rank *r)
{
	rank_die(r);
}

static void in_barrier(struct rank *r)
{
	rank_ready();
	CHECK_BLAMES(dsm_barrier(r->d), EHOSTDOWN, r->victim);
	CHECK_BLAMES(dsm_barrier(r->d), EHOSTDOWN, r->victim);
}

/*
 * Locks: the victim holds the first half of them
 */

static void holds_locks(struct rank *r)
{
	for (unsigned i = 0; i < NAMES; i++)
		CHECK_IS(dsm_lock(r->d, name_of(i)), 0);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_die(r);
}

struct waiting {
	pthread_t thread;
	struct rank *rank;
	unsigned i;
	int result;
	bool blames;
};

static void *wait_for_lock(void *arg)
{
	struct waiting *w = arg;

	w->result = dsm_lock(w->rank->d, name_of(w->i));
	w->blames = rank_said(w->rank->victim);
	return NULL;
}

static void in_threads(struct rank *r, struct waiting *w, unsigned n, void *(*run)(void *arg))
{
	for (unsigned i = 0; i < n; i++) {
		w[i].rank = r;
		w[i].i = i;
		CHECK(pthread_create(&w[i].thread, NULL, run, &w[i]) == 0);
	}
}

/* Locks that have nothing to do with the dead go on: the others exclude one another by them. */
static void other_locks_work(struct rank *r)
{
	unsigned working = 0;

	for (unsigned i = NAMES; i < 3 * NAMES; i++) {
		int err = dsm_lock(r->d, name_of(i));

		if (err == 0) {
			CHECK_IS(dsm_unlock(r->d, name_of(i)), 0);
			working++;
		} else {
			CHECK_IS(err, -EHOSTDOWN);
			CHECK(rank_said(r->victim));
		}
	}
	/* With three ranks two in three live on, give or take the hash. */
	CHECK(working >= NAMES / 2 && working < 2 * NAMES);
}

static void wants_locks(struct rank *r)
{
	struct waiting w[NAMES];

	CHECK_IS(dsm_barrier(r->d), 0);
	in_threads(r, w, NAMES, wait_for_lock);
	rank_ready();
	for (unsigned i = 0; i < NAMES; i++) {
		CHECK(pthread_join(w[i].thread, NULL) == 0);
		CHECK_IS(w[i].result, -EHOSTDOWN);
		CHECK(w[i].blames);
		CHECK_IS(dsm_lock_timed(r->d, name_of(i), 1000), -EHOSTDOWN);
		CHECK_IS(dsm_unlock(r->d, name_of(i)), -EPERM);
	}
	other_locks_work(r);
}

/*
 * Locks that a survivor holds or has cached
 */

static void asks_nothing(struct rank *r)
{
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_die(r);
}

static void keeps_locks(struct rank *r)
{
	unsigned first = r->rank == r->home ? 0 : NAMES;

	for (unsigned i = first; i < first + NAMES; i++)
		CHECK_IS(dsm_lock(r->d, name_of(i)), 0);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	rank_until_down(r);
	/* What is held can be given up, whoever was its home. */
	for (unsigned i = first; i < first + NAMES; i++)
		CHECK_IS(dsm_unlock(r->d, name_of(i)), 0);
	other_locks_work(r);
}

/*
 * Semaphores: each is waited for by each survivor
 */

static void *wait_for_sem(void *arg)
{
	struct waiting *w = arg;

	w->result = dsm_sem_wait(w->rank->d, name_of(w->i));
	w->blames = rank_said(w->rank->victim);
	return NULL;
}

static void in_semaphores(struct rank *r)
{
	struct waiting w[NAMES];
	unsigned posted = 0;

	in_threads(r, w, NAMES, wait_for_sem);
	rank_ready();
	rank_until_down(r);
	/* Wherever it lives, who would have posted may be the dead one. */
	for (unsigned i = 0; i < NAMES; i++) {
		CHECK(pthread_join(w[i].thread, NULL) == 0);
		CHECK_IS(w[i].result, -EHOSTDOWN);
		CHECK(w[i].blames);
	}
	for (unsigned i = 0; i < NAMES; i++) {
		const void *name = name_of(NAMES * (1 + r->rank) + i);
		int err = dsm_sem_post(r->d, name);

		CHECK(err == 0 || err == -EHOSTDOWN);
		CHECK_IS(dsm_sem_wait(r->d, name), err); /* what is there can be had */
		CHECK_IS(dsm_sem_wait(r->d, name), -EHOSTDOWN);
		CHECK(rank_said(r->victim));
		posted += err == 0;
	}
	CHECK(posted > 0 && posted < NAMES);
}

/*
 * Condition variables: i's lock is number NAMES + i, so that homes of both come in all pairs
 */

static atomic_uint nwaiting;

static void *wait_for_cond(void *arg)
{
	struct waiting *w = arg;
	struct dsm *d = w->rank->d;
	const void *lock = name_of(NAMES * (1 + w->rank->rank) + w->i);

	w->result = dsm_lock(d, lock);
	if (w->result == 0) {
		nwaiting++;
		w->result = dsm_cond_wait(d, name_of(w->i), lock);
	}
	w->blames = rank_said(w->rank->victim);
	if (w->result == 0)
		CHECK_IS(dsm_unlock(d, lock), 0);
	return NULL;
}

static void in_conditions(struct rank *r)
{
	struct waiting w[NAMES];

	in_threads(r, w, NAMES, wait_for_cond);
	rank_ready();
	rank_until_down(r);
	CHECK(nwaiting == NAMES);
	for (unsigned i = 0; i < NAMES; i++) {
		CHECK(pthread_join(w[i].thread, NULL) == 0);
		CHECK_IS(w[i].result, -EHOSTDOWN);
		CHECK(w[i].blames);
	}
}

/* The home of some is stopped, so that the signal waits for its answer; then it dies. */
static void *signal_cond(void *arg)
{
	struct waiting *w = arg;

	w->result = dsm_cond_signal(w->rank->d, name_of(w->i));
	w->blames = rank_said(w->rank->victim);
	return NULL;
}

static void in_signals(struct rank *r)
{
	struct waiting w[NAMES];
	unsigned done = 0;

	rank_ready();
	rank_await_go();
	in_threads(r, w, NAMES, signal_cond);
	for (unsigned i = 0; i < NAMES; i++) {
		CHECK(pthread_join(w[i].thread, NULL) == 0);
		CHECK(w[i].result == 0 || w[i].result == -EHOSTDOWN);
		CHECK(w[i].result == 0 || w[i].blames);
		done += w[i].result == 0;
	}
	CHECK(done > 0 && done < NAMES);
}

/*
 * A rank that is stopped, and goes on
 */

static void stopped_with_locks(struct rank *r)
{
	for (unsigned i = 0; i < NAMES; i++)
		CHECK_IS(dsm_lock(r->d, name_of(i)), 0);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	for (unsigned i = 0; i < NAMES; i++)
		CHECK_IS(dsm_unlock(r->d, name_of(i)), 0);
}

/* One signal to a home that does not answer. */
static void signals_stopped(struct rank *r)
{
	unsigned i = 0;
	int err = 0;

	for (; err == 0 && i < NAMES; i++)
		err = dsm_cond_signal(r->d, name_of(i));
	CHECK_IS(err, -ETIMEDOUT);
	CHECK(rank_said(r->victim));
}

static void waits_for_stopped(struct rank *r)
{
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	for (unsigned i = 0; i < 4; i++) {
		CHECK_BLAMES(dsm_lock_timed(r->d, name_of(i), 20), ETIMEDOUT, r->victim);
		CHECK_IS(dsm_unlock(r->d, name_of(i)), -EPERM);
	}
	signals_stopped(r);
	rank_ready();
	rank_await_go();
	for (unsigned i = 0; i < NAMES; i++) {
		int err = -ETIMEDOUT;

		for (unsigned tries = 0; err == -ETIMEDOUT && tries < 20; tries++)
			err = dsm_lock(r->d, name_of(i));
		CHECK_IS(err, 0);
		CHECK_IS(dsm_unlock(r->d, name_of(i)), 0);
	}
}

const struct scenario sync_scenarios[] = {
	{ "barrier", KILL_WAITING, victim_dies, in_barrier, NULL, 0, false },
	{ "lock_held_by_dead", KILL_WAITING, holds_locks, wants_locks, NULL, 0, false },
	{ "lock_held_by_survivor", KILL_READY, asks_nothing, keeps_locks, NULL, 0, false },
	{ "semaphore", KILL_WAITING, victim_dies, in_semaphores, NULL, 0, false },
	{ "condition", KILL_WAITING, victim_dies, in_conditions, NULL, 0, false },
	{ "signal", KILL_FROZEN, victim_dies, in_signals, NULL, 0, false },
	{ "stopped_lock", STOP, stopped_with_locks, waits_for_stopped, NULL, 800, false },
	{ NULL, KILL_READY, NULL, NULL, NULL, 0, false },
};
