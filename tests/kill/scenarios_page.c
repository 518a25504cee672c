/* SPDX-License-Identifier: MIT */
/*
 * A rank dies that is the home of pages, or has them for writing, while others load, store,
 * acquire, add to, and free them.
 */
#include <stdio.h>
#include <string.h>

#include "scenario.h"

#define PAGES 64u

/* A region of PAGES pages with one home, or by another policy. Collective. */
static uint8_t *region(const struct rank *r, const char *name, enum dsm_home_policy policy,
		       unsigned home)
{
	struct dsm_attr attr = { .name = name, .home = policy, .home_rank = home };
	uint8_t *p = dsm_alloc(r->d, PAGES * PAGE_BYTES, &attr);

	CHECK(p);
	CHECK_IS(dsm_barrier(r->d), 0);
	return p;
}

static uint8_t *page(uint8_t *region_start, unsigned i)
{
	return region_start + i * PAGE_BYTES;
}

/* Memory that the dead have nothing to do with works: the survivors count together in it. */
static void survivors_memory_works(struct rank *r, uint8_t *own)
{
	uint64_t *count = (uint64_t *)own, old;

	for (unsigned i = 0; i < 100; i++) {
		__atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
		CHECK_IS(dsm_fetch_add64(r->d, count + 1, 1, &old), 0);
		CHECK_IS(dsm_acquire(r->d, page(own, 2), 8 * PAGE_BYTES, DSM_WRITE), 0);
		++*(uint64_t *)page(own, 7);
		CHECK_IS(dsm_release(r->d, page(own, 2), 8 * PAGE_BYTES), 0);
	}
	/* Both add 100 to each, and leave when the sum is there. */
	while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < 100 * (r->size - 1))
		;
	while (__atomic_load_n(count + 1, __ATOMIC_SEQ_CST) < 100 * (r->size - 1))
		;
	CHECK_IS(dsm_acquire(r->d, page(own, 7), PAGE_BYTES, DSM_READ), 0);
	CHECK(*(uint64_t *)page(own, 7) >= 100);
	CHECK_IS(dsm_release(r->d, page(own, 7), PAGE_BYTES), 0);
}

/* A page that is lost: whatever is tried fails, and again. */
static void page_is_lost(struct rank *r, uint8_t *p)
{
	uint8_t value;

	for (unsigned i = 0; i < 2; i++) {
		CHECK(!rank_load(p, &value));
		CHECK(!rank_store(p, 1));
		CHECK_BLAMES(dsm_acquire(r->d, p, 1, DSM_READ), EHOSTDOWN, r->victim);
		CHECK_BLAMES(dsm_acquire(r->d, p, 1, DSM_WRITE), EHOSTDOWN, r->victim);
		CHECK_BLAMES(dsm_fetch_add64(r->d, (uint64_t *)p, 1, NULL), EHOSTDOWN, r->victim);
		CHECK_BLAMES(dsm_compare_swap32(r->d, (uint32_t *)p, 0, 1, NULL), EHOSTDOWN,
			     r->victim);
		CHECK_IS(dsm_release(r->d, p, 1), -EINVAL);
		CHECK_IS(dsm_prefetch(r->d, p, 1, DSM_READ), 0);
	}
}

/*
 * The home died
 */

static void home_dies(struct rank *r)
{
	uint8_t *p = region(r, "dead", DSM_HOME_RANK, r->victim);

	region(r, "own", DSM_HOME_RANK, r->home);
	for (unsigned i = 0; i < PAGES; i++)
		*page(p, i) = (uint8_t)(i + 1);
	CHECK_IS(dsm_barrier(r->d), 0);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_die(r);
}

static void home_died(struct rank *r)
{
	uint8_t *p = region(r, "dead", DSM_HOME_RANK, r->victim), value;
	uint8_t *own = region(r, "own", DSM_HOME_RANK, r->home);

	CHECK_IS(dsm_barrier(r->d), 0);
	CHECK_IS(*page(p, 3), 4); /* Shared from now on */
	if (r->rank == r->home)
		*page(p, 9) = 99; /* Modified here */
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	rank_until_down(r);
	/* What is here stays; no more than that can be had of it. */
	CHECK(rank_load(page(p, 3), &value));
	CHECK_IS(value, 4);
	CHECK_IS(dsm_acquire(r->d, page(p, 3), PAGE_BYTES, DSM_READ), 0);
	CHECK_IS(dsm_release(r->d, page(p, 3), PAGE_BYTES), 0);
	CHECK_BLAMES(dsm_acquire(r->d, page(p, 3), PAGE_BYTES, DSM_WRITE), EHOSTDOWN, r->victim);
	CHECK(!rank_store(page(p, 3), 5));
	if (r->rank == r->home) {
		CHECK(rank_load(page(p, 9), &value));
		CHECK_IS(value, 99);
		CHECK(rank_store(page(p, 9), 98));
		CHECK_IS(*page(p, 9), 98);
	} else {
		page_is_lost(r, page(p, 9));
	}
	page_is_lost(r, page(p, 40));
	page_is_lost(r, page(p, PAGES - 1));
	survivors_memory_works(r, own);
}

/* An acquire that fails in the middle holds nothing of what it had. */
static void half_dies(struct rank *r)
{
	region(r, "half", DSM_HOME_RANK, r->home);
	rank_die(r);
}

static void half_died(struct rank *r)
{
	struct dsm_attr attr = { .name = "cyclic", .home = DSM_HOME_CYCLIC };
	uint8_t *own = region(r, "half", DSM_HOME_RANK, r->home);
	uint8_t *p = dsm_alloc(r->d, r->size * BLOCK_BYTES, &attr), *edge, *good;
	unsigned before = r->victim ? r->victim - 1 : r->victim + 1;

	CHECK(p);
	rank_ready();
	rank_await_go();
	rank_until_down(r);
	/* From the block in front of the victim's into it, or (victim 0) from its block on. */
	edge = p + (r->victim ? r->victim : 1) * BLOCK_BYTES;
	good = p + before * BLOCK_BYTES;
	for (unsigned i = 0; i < 20; i++) {
		CHECK_BLAMES(dsm_acquire(r->d, edge - 4 * PAGE_BYTES, 8 * PAGE_BYTES, DSM_WRITE),
			     EHOSTDOWN, r->victim);
		CHECK_IS(dsm_release(r->d, edge - 4 * PAGE_BYTES, 8 * PAGE_BYTES), -EINVAL);
		/* The other does the same: what either kept the other would wait for. */
		CHECK_IS(dsm_acquire(r->d, good, BLOCK_BYTES, DSM_WRITE), 0);
		CHECK_IS(dsm_release(r->d, good, BLOCK_BYTES), 0);
	}
	survivors_memory_works(r, own);
}

/*
 * The owner died: home lives, page is Modified at the dead
 */

static void owner_dies(struct rank *r)
{
	uint8_t *p = region(r, "owned", DSM_HOME_RANK, r->home);

	region(r, "own", DSM_HOME_RANK, r->home);
	memset(p, 7, PAGES * PAGE_BYTES);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_die(r);
}

static void owner_died(struct rank *r)
{
	uint8_t *p = region(r, "owned", DSM_HOME_RANK, r->home);
	uint8_t *own = region(r, "own", DSM_HOME_RANK, r->home);

	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	rank_until_down(r);
	page_is_lost(r, page(p, 0));
	page_is_lost(r, page(p, 20));
	page_is_lost(r, page(p, PAGES - 1));
	survivors_memory_works(r, own);
}

/*
 * Threads wait for a page when its holder dies
 */

static void holder(struct rank *r, unsigned home, enum dsm_mode mode)
{
	uint8_t *p = region(r, "held", DSM_HOME_RANK, home);

	CHECK_IS(dsm_acquire(r->d, p, PAGES * PAGE_BYTES, mode), 0);
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_die(r);
}

static void holder_at_home(struct rank *r)
{
	holder(r, r->victim, DSM_WRITE);
}

static void holder_away(struct rank *r)
{
	holder(r, r->home, DSM_WRITE);
}

/* The three ways to wait: a load, a store, an acquire; one for each rank that can. */
static void held_page(struct rank *r, unsigned home, bool acquire)
{
	uint8_t *p = region(r, "held", DSM_HOME_RANK, home), value;

	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	if (acquire)
		CHECK_BLAMES(dsm_acquire(r->d, page(p, 1), 3 * PAGE_BYTES,
					 r->rank == r->home ? DSM_READ : DSM_WRITE),
			     EHOSTDOWN, r->victim);
	else if (r->rank == r->home)
		CHECK(!rank_load(page(p, 1), &value));
	else
		CHECK(!rank_store(page(p, 1), 1));
	rank_until_down(r);
	page_is_lost(r, page(p, 1));
}

static void touch_held_at_home(struct rank *r)
{
	held_page(r, r->victim, false);
}

static void touch_held_away(struct rank *r)
{
	held_page(r, r->home, false);
}

static void acquire_held_at_home(struct rank *r)
{
	held_page(r, r->victim, true);
}

static void acquire_held_away(struct rank *r)
{
	held_page(r, r->home, true);
}

/* The dead had it for reading alone: whoever waited to write it gets it. */
static void reader_dies(struct rank *r)
{
	holder(r, r->home, DSM_READ);
}

static void reader_died(struct rank *r)
{
	uint8_t *p = region(r, "held", DSM_HOME_RANK, r->home);

	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	if (r->rank == r->home)
		CHECK(rank_store(page(p, 1), 1));
	else
		CHECK_IS(dsm_acquire(r->d, page(p, 2), PAGE_BYTES, DSM_WRITE), 0);
	rank_until_down(r);
	if (r->rank != r->home)
		CHECK_IS(dsm_release(r->d, page(p, 2), PAGE_BYTES), 0);
	survivors_memory_works(r, page(p, PAGES / 2));
}

/* A remote atomic on a page that the dead held. */
static void atomic_on_held(struct rank *r)
{
	uint8_t *p = region(r, "held", DSM_HOME_RANK, r->home);

	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	CHECK_BLAMES(dsm_fetch_add64(r->d, (uint64_t *)page(p, 5), 1, NULL), EHOSTDOWN, r->victim);
}

/*
 * First touch: the rank dies that says whose a block is
 */

static uint8_t *first_touch(struct rank *r)
{
	struct dsm_attr attr = { .name = "first", .home = DSM_HOME_FIRST_TOUCH };
	uint8_t *p = dsm_alloc(r->d, 2 * r->size * BLOCK_BYTES, &attr);

	CHECK(p);
	CHECK_IS(dsm_barrier(r->d), 0);
	return p;
}

static void arbiter_dies(struct rank *r)
{
	first_touch(r);
	rank_die(r);
}

/* One of the blocks has the victim as arbiter, whichever it is: go through them all. */
static void arbiter_died(struct rank *r)
{
	uint8_t *p = first_touch(r), value;
	unsigned dead = 0;

	rank_ready();
	rank_await_go(); /* it is stopped: one of these waits until it is killed */
	for (unsigned b = 0; b < 2 * r->size; b++) {
		uint8_t *at = p + b * BLOCK_BYTES;
		int home;

		if (b < r->size && r->rank != r->home) {
			if (!rank_load(at, &value))
				dead++;
			continue;
		}
		home = dsm_acquire(r->d, at, PAGE_BYTES, DSM_READ);
		if (home == 0) {
			CHECK_IS(dsm_release(r->d, at, PAGE_BYTES), 0);
			continue;
		}
		CHECK_IS(home, -EHOSTDOWN);
		CHECK(rank_said(r->victim));
		CHECK_BLAMES(dsm_home(r->d, at), EHOSTDOWN, r->victim);
		dead++;
	}
	CHECK_IS(dead, 2);
}

/*
 * A rank that is stopped: the message names the page and who has it
 */

static void stopped_with_pages(struct rank *r)
{
	uint8_t *p = region(r, "stopped", DSM_HOME_RANK, r->home);
	uint8_t *q = region(r, "at_home", DSM_HOME_RANK, r->victim);

	CHECK_IS(dsm_acquire(r->d, p, PAGE_BYTES, DSM_WRITE), 0);
	*page(p, 0) = 1;
	*page(p, 2) = 3;
	*page(q, 0) = 5;
	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	CHECK_IS(dsm_release(r->d, p, PAGE_BYTES), 0);
}

static void wants_pages_of_stopped(struct rank *r)
{
	uint8_t *p = region(r, "stopped", DSM_HOME_RANK, r->home);
	uint8_t *q = region(r, "at_home", DSM_HOME_RANK, r->victim);
	char name[32];
	int err = -ETIMEDOUT;

	CHECK_IS(dsm_barrier(r->d), 0);
	rank_ready();
	rank_await_go();
	snprintf(name, sizeof(name), "%p", (void *)page(p, 2));
	CHECK_BLAMES(dsm_acquire(r->d, page(p, 2), PAGE_BYTES, DSM_READ), ETIMEDOUT, r->victim);
	CHECK(strstr(dsm_errmsg(), name));
	CHECK_BLAMES(dsm_acquire_timed(r->d, page(p, 0), PAGE_BYTES, DSM_WRITE, 50), ETIMEDOUT,
		     r->victim);
	/* Reading from a home needs nothing of it, even stopped. Writing does. */
	CHECK_IS(dsm_acquire_timed(r->d, page(q, 9), PAGE_BYTES, DSM_READ, 50), 0);
	CHECK_IS(dsm_release(r->d, page(q, 9), PAGE_BYTES), 0);
	CHECK_BLAMES(dsm_acquire_timed(r->d, page(q, 10), PAGE_BYTES, DSM_WRITE, 50), ETIMEDOUT,
		     r->victim);
	CHECK_BLAMES(dsm_fetch_add64(r->d, (uint64_t *)page(p, 2), 1, NULL), ETIMEDOUT, r->victim);
	CHECK(!dsm_alloc(r->d, PAGE_BYTES, NULL) && errno == ETIMEDOUT && *dsm_errmsg());
	rank_ready();
	rank_await_go();
	for (unsigned tries = 0; err == -ETIMEDOUT && tries < 20; tries++)
		err = dsm_acquire(r->d, p, 4 * PAGE_BYTES, DSM_WRITE);
	CHECK_IS(err, 0);
	CHECK_IS(*page(p, 0), 1);
	CHECK_IS(*page(p, 2), 3);
	CHECK_IS(dsm_release(r->d, p, 4 * PAGE_BYTES), 0);
	CHECK_IS(*page(q, 0), 5);
	*page(q, 10) = 1;
}

const struct scenario page_scenarios[] = {
	{ "home", KILL_READY, home_dies, home_died, NULL, 0, false },
	{ "half_acquired", KILL_READY, half_dies, half_died, NULL, 0, false },
	{ "owner", KILL_READY, owner_dies, owner_died, NULL, 0, false },
	{ "touch_held_at_home", KILL_WAITING, holder_at_home, touch_held_at_home, NULL, 0, false },
	{ "touch_held_away", KILL_WAITING, holder_away, touch_held_away, NULL, 0, false },
	{ "acquire_held_at_home", KILL_WAITING, holder_at_home, acquire_held_at_home, NULL, 0,
	  false },
	{ "acquire_held_away", KILL_WAITING, holder_away, acquire_held_away, NULL, 0, false },
	{ "reader", KILL_WAITING, reader_dies, reader_died, NULL, 0, false },
	{ "atomic", KILL_WAITING, holder_away, atomic_on_held, NULL, 0, false },
	{ "first_touch", KILL_FROZEN, arbiter_dies, arbiter_died, NULL, 0, false },
	{ "stopped_page", STOP, stopped_with_pages, wants_pages_of_stopped, NULL, 800, false },
	{ NULL, KILL_READY, NULL, NULL, NULL, 0, false },
};
