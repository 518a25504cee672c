/* SPDX-License-Identifier: MIT */
/*
 * A rank dies while others allocate, free, start, and leave.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scenario.h"

static void victim_dies(struct rank *r)
{
	rank_die(r);
}

/*
 * dsm_alloc, dsm_free
 */

static void alloc_fails(struct rank *r, size_t len, const char *name)
{
	struct dsm_attr attr = { .name = name, .home = DSM_HOME_CYCLIC };

	errno = 0;
	CHECK(!dsm_alloc(r->d, len, &attr));
	CHECK_IS(errno, EHOSTDOWN);
	CHECK(rank_said(r->victim));
}

/* The victim is stopped, so that the request waits for it; then it dies. */
static void in_alloc(struct rank *r)
{
	rank_ready();
	rank_await_go();
	alloc_fails(r, 3 * BLOCK_BYTES, r->rank == r->home ? "a" : NULL);
	rank_until_down(r);
	alloc_fails(r, PAGE_BYTES, "a");
}

static void frees_never(struct rank *r)
{
	struct dsm_attr attr = { .name = "to be freed", .home = DSM_HOME_CYCLIC };

	CHECK(dsm_alloc(r->d, 4 * BLOCK_BYTES, &attr));
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_die(r);
}

/* The last attachment is the dead's, so what the survivors free in time is theirs alone. */
static void in_free(struct rank *r)
{
	struct dsm_attr attr = { .name = "to be freed", .home = DSM_HOME_CYCLIC };
	void *shared = dsm_alloc(r->d, 4 * BLOCK_BYTES, &attr);
	void *own = dsm_alloc(r->d, 2 * BLOCK_BYTES, NULL);
	int err;

	CHECK(shared && own);
	memset(own, 1, BLOCK_BYTES);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	err = dsm_free(r->d, own);
	if (r->victim == 0)
		CHECK(err == -EHOSTDOWN && rank_said(0));
	else
		CHECK_IS(err, 0);
	rank_until_down(r);
	err = dsm_free(r->d, shared);
	if (r->victim == 0)
		CHECK(err == -EHOSTDOWN && rank_said(0));
	else
		CHECK_IS(err, 0);
	alloc_fails(r, PAGE_BYTES, NULL);
}

/* Again and again, until the rank that may die at any time has died. */
static void allocates_always(struct rank *r)
{
	int err = 0;

	rank_ready();
	rank_await_go();
	for (unsigned i = 0; err == 0; i++) {
		uint8_t *p = dsm_alloc(r->d, (1 + i % 3) * BLOCK_BYTES, NULL);

		err = p ? 0 : -errno;
		if (!p)
			break;
		/* Blocked: the ends live at the first and the last rank. */
		if (r->rank != r->victim) {
			uint8_t value;

			rank_store(p, 1);
			rank_load(p + (1 + i % 3) * BLOCK_BYTES - 1, &value);
		}
		err = dsm_free(r->d, p);
	}
	CHECK(r->rank == r->victim || err == -EHOSTDOWN);
	CHECK(dsm_errmsg()[0]); /* of the victim, or of a rank that has seen it die and left */
}

static void dies_allocating(struct rank *r)
{
	allocates_always(r);
	_Exit(0); /* it goes on until it is killed, or is alone */
}

/*
 * dsm_init, dsm_fini
 */

/* Whenever it dies: the others learn of it in dsm_init(), or after. */
static int starts(struct rank *r)
{
	struct dsm *d;
	int err = dsm_init(&d, NULL);

	if (err < 0) {
		/* Who dies before it has said a word is a rank that does not come. */
		CHECK(err == -EHOSTDOWN || err == -ETIMEDOUT);
		CHECK(dsm_errmsg()[0]);
		return 0;
	}
	while (r->rank == r->victim)
		pause();
	CHECK_IS(dsm_barrier(d), -EHOSTDOWN);
	CHECK_IS(dsm_fini(d), -EHOSTDOWN);
	return 0;
}

static void leaves(struct rank *r)
{
	uint8_t *p = dsm_alloc(r->d, 3 * BLOCK_BYTES, NULL);

	CHECK(p);
	memset(p, 1, 3 * BLOCK_BYTES);
	rank_ready();
	/* and goes on into dsm_fini() */
}

static void all_leave(struct rank *r)
{
	leaves(r);
	rank_await_go();
}

static int leaves_at_once(struct rank *r)
{
	int err;

	CHECK_IS(dsm_init(&r->d, NULL), 0);
	all_leave(r);
	err = dsm_fini(r->d);
	/* It may have died behind its last barrier. */
	CHECK(err == 0 || err == -EHOSTDOWN);
	CHECK(err == 0 || rank_said(r->victim));
	return 0;
}

/*
 * One survivor leaves by dsm_fini(), and what it kept is gone with it. Whatever the last one is
 * told then, it is told who died.
 */

static void leaves_alone(struct rank *r)
{
	rank_ready();
	rank_await_go();
	rank_until_down(r);
	/* and goes on into dsm_fini() */
}

/* A lock whose home, or whose holder, is the rank that leaves; there is one among so many. */
static bool has_noticed(const struct rank *r)
{
	bool noticed = false;

	for (uintptr_t i = 1; i <= 32; i++) {
		int err = dsm_lock(r->d, (const void *)(i * 64));

		if (err == 0) {
			CHECK_IS(dsm_unlock(r->d, (const void *)(i * 64)), 0);
			continue;
		}
		CHECK_IS(err, -EHOSTDOWN);
		CHECK(rank_said(r->victim));
		noticed |= rank_said(r->home);
	}
	return noticed;
}

static void is_left_alone(struct rank *r)
{
	if (r->rank == r->home) {
		leaves_alone(r);
		return;
	}
	rank_ready();
	rank_await_go();
	while (!has_noticed(r))
		;
	CHECK_BLAMES(dsm_barrier(r->d), EHOSTDOWN, r->victim);
	alloc_fails(r, PAGE_BYTES, NULL);
	/* and leaves too, naming the victim: run_rank() */
}

const struct scenario call_scenarios[] = {
	{ "alloc", KILL_FROZEN, victim_dies, in_alloc, NULL, 0, false },
	{ "free", KILL_FROZEN, frees_never, in_free, NULL, 0, false },
	{ "alloc_free", KILL_LEAVING, dies_allocating, allocates_always, NULL, 0, false },
	{ "init", KILL_STARTING, NULL, NULL, starts, 800, false },
	{ "fini_waiting", KILL_WAITING, victim_dies, leaves, NULL, 0, true },
	{ "fini_alone", KILL_READY, victim_dies, is_left_alone, NULL, 0, true },
	{ "fini", KILL_LEAVING, NULL, NULL, leaves_at_once, 0, false },
	{ NULL, KILL_READY, NULL, NULL, NULL, 0, false },
};
