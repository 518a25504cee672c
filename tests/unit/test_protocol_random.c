/* SPDX-License-Identifier: MIT */
/*
 * The protocol under random schedules: a few ranks with a few threads each load, store, add, hold
 * and prefetch a few pages, in every order that the virtual cluster can make of it; ranks die.
 *
 * A failure prints its seed; SEED=<seed> runs that schedule alone, TRACE=1 shows its events.
 * SCHEDULES=<n> sets how many are run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "virtual_cluster.h"
#include "valgrind_here.h"

#define SCHEDULES_DEFAULT  3000u
#define SCHEDULES_VALGRIND 300u
#define THREADS_MAX        16u

enum op { OP_LOAD, OP_STORE, OP_ADD, OP_HOLD, OP_PREFETCH, OPS };
enum phase {
	PHASE_NEXT,
	PHASE_TRY,
	PHASE_FAULTED,
	PHASE_WAIT,
	PHASE_HOLD,
	PHASE_UPGRADE,
	PHASE_OVER
};

struct thread {
	unsigned rank;
	enum phase phase;
	enum op op;
	bool write; /* a hold's or prefetch's mode */
	uint64_t page; /* of a hold: the first */
	unsigned word;
	unsigned npages; /* of a hold: to be held; and held already */
	unsigned held;
	unsigned wakes; /* of the granule, when the wait began */
	unsigned fails;
	unsigned left; /* operations, and accesses in a hold */
	unsigned hold_left;
	bool upgrading; /* a read hold's thread wants to write too */
};

struct run {
	struct cluster *c;
	struct thread thread[THREADS_MAX];
	unsigned adds_percent; /* how much of the work is remote atomics */
	unsigned fresh_percent;
};

static struct granule *granule(struct run *run, const struct thread *t)
{
	return cluster_granule(run->c, t->rank, t->page + 0, t->word);
}

static uint64_t any_page(struct run *run)
{
	return run->c->page[cluster_random(run->c, run->c->npages)];
}

/*
 * Loads and stores: through the mapping, or else a fault, which is served some time later
 */

static void access_try(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	bool done = t->op == OP_STORE ? cluster_store(c, t->rank, t->page, t->word)
				      : cluster_load(c, t->rank, t->page, t->word);

	if (done || granule(run, t)->access == ACCESS_POISONED) {
		t->phase = PHASE_NEXT;
		return;
	}
	t->wakes = granule(run, t)->fault_wakes;
	t->fails = granule(run, t)->fails;
	t->phase = PHASE_FAULTED;
}

static void access_fault(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	unsigned ahead = (unsigned)cluster_random(c, 4);

	t->phase = PHASE_WAIT;
	cluster_enter(c, t->rank);
	if (t->op == OP_STORE)
		cache_write(cluster_rank(c, t->rank), t->page, ahead, true);
	else
		cache_read(cluster_rank(c, t->rank), t->page, ahead, true);
	cluster_leave(c, t->rank);
}

/*
 * Calls: look, ask, wait, look again
 */

static bool call_ready(struct run *run, const struct thread *t, uint64_t page)
{
	const struct protocol *p = cluster_rank(run->c, t->rank);

	if (t->op == OP_ADD)
		return cache_can_atomic(p, page);
	return t->write ? cache_can_write(p, page) : cache_can_read(p, page);
}

static void call_ask(struct run *run, const struct thread *t, uint64_t page)
{
	struct protocol *p = cluster_rank(run->c, t->rank);
	unsigned ahead = (unsigned)cluster_random(run->c, 4);

	if (t->op == OP_ADD && !p->pages[page].readers_holding)
		cache_atomic(p, page);
	else if (t->op == OP_ADD || t->write)
		cache_write(p, page, ahead, false);
	else
		cache_read(p, page, ahead, false);
}

static uint64_t call_page(struct run *run, const struct thread *t)
{
	struct protocol *p = cluster_rank(run->c, t->rank);

	return t->page + (uint64_t)t->held * protocol_granules(p, t->page);
}

static void unhold(struct run *run, struct thread *t)
{
	bool push = cluster_chance(run->c, 50);

	if (t->held)
		cache_unhold(cluster_rank(run->c, t->rank), t->page, t->held, t->write, push);
	t->held = 0;
	t->phase = PHASE_NEXT;
}

/* The page is here as it is wanted. */
static void call_got(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;

	if (t->op == OP_ADD) {
		cluster_add(c, t->rank, t->page, t->word);
		t->phase = PHASE_NEXT;
		return;
	}
	cache_hold(cluster_rank(c, t->rank), call_page(run, t), t->write);
	t->phase = ++t->held == t->npages ? PHASE_HOLD : PHASE_TRY;
	t->hold_left = (unsigned)cluster_random(c, 6);
}

static void call_try(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	struct protocol *p = cluster_rank(c, t->rank);
	uint64_t page = call_page(run, t);
	struct granule *g = &c->rank[t->rank].granules[page];

	cluster_enter(c, t->rank);
	if (!call_ready(run, t, page) && !p->pages[page].lost) {
		t->wakes = g->call_wakes;
		t->fails = g->fails;
		call_ask(run, t, page);
	}
	if (call_ready(run, t, page)) {
		call_got(run, t);
	} else if (p->pages[page].lost || g->fails != t->fails) {
		unhold(run, t);
	} else {
		t->phase = PHASE_WAIT;
	}
	cluster_leave(c, t->rank);
}

static void hold_run(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	uint64_t page = t->page + cluster_random(c, t->npages) *
					  protocol_granules(cluster_rank(c, t->rank), t->page);
	unsigned word = (unsigned)cluster_random(c, CLUSTER_WORDS);

	if (t->hold_left) {
		t->hold_left--;
		/* Not with two pages: to wait for the first with the second held could deadlock. */
		if (!t->write && t->npages == 1 && cluster_chance(c, 20))
			t->phase = PHASE_UPGRADE;
		else if (t->write)
			cluster_store(c, t->rank, page, word);
		else
			cluster_load(c, t->rank, page, word);
		return;
	}
	if (c->rank[t->rank].busy)
		return;
	cluster_enter(c, t->rank);
	unhold(run, t);
	cluster_leave(c, t->rank);
}

/* Write to a page that is held for reading. */
static void upgrade_try(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	struct protocol *p = cluster_rank(c, t->rank);
	struct granule *g = &c->rank[t->rank].granules[t->page];

	cluster_enter(c, t->rank);
	t->held = 0; /* the page that is waited for is the first */
	t->upgrading = true;
	if (!cache_can_write(p, t->page) && !p->pages[t->page].lost) {
		t->wakes = g->call_wakes;
		t->fails = g->fails;
		cache_write(p, t->page, 0, false);
	}
	t->phase = PHASE_WAIT;
	if (cache_can_write(p, t->page) || p->pages[t->page].lost || g->fails != t->fails) {
		cluster_store(c, t->rank, t->page, 0);
		t->held = 1;
		t->upgrading = false;
		t->phase = PHASE_HOLD;
	}
	cluster_leave(c, t->rank);
}

static void prefetch(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	struct protocol *p = cluster_rank(c, t->rank);

	cluster_enter(c, t->rank);
	if (!p->pages[t->page].pending && !p->pages[t->page].lost && !call_ready(run, t, t->page))
		call_ask(run, t, t->page);
	cluster_leave(c, t->rank);
	t->phase = PHASE_NEXT;
}

/*
 * Threads
 */

/* A hold of two pages needs the second to be followed too, in the same block. */
static unsigned hold_length(struct run *run, uint64_t page)
{
	uint64_t next = page + protocol_granules(&run->c->rank[0].protocol, page);

	for (unsigned i = 0; i < run->c->npages; i++)
		if (run->c->page[i] == next &&
		    next / GRANULES_PER_BLOCK == page / GRANULES_PER_BLOCK)
			return 1 + (unsigned)cluster_random(run->c, 2);
	return 1;
}

static void next_op(struct run *run, struct thread *t)
{
	struct cluster *c = run->c;
	uint64_t dice = cluster_random(c, 100);

	if (t->left == 0) {
		t->phase = PHASE_OVER;
		return;
	}
	t->left--;
	t->page = any_page(run);
	t->word = (unsigned)cluster_random(c, CLUSTER_WORDS);
	t->write = cluster_chance(c, 50);
	t->held = 0;
	t->npages = hold_length(run, t->page);
	if (cluster_chance(c, run->adds_percent))
		t->op = OP_ADD;
	else
		t->op = dice < 35   ? OP_LOAD
			: dice < 65 ? OP_STORE
			: dice < 85 ? OP_HOLD
				    : OP_PREFETCH;
	t->phase = PHASE_TRY;
}

static bool thread_waits(struct run *run, const struct thread *t)
{
	const struct granule *g;

	if (t->phase != PHASE_WAIT)
		return false;
	if (t->op == OP_LOAD || t->op == OP_STORE)
		return granule(run, t)->fault_wakes == t->wakes;
	g = &run->c->rank[t->rank].granules[call_page(run, t)];
	return g->call_wakes == t->wakes;
}

static bool is_access(const struct thread *t)
{
	return t->op == OP_LOAD || t->op == OP_STORE;
}

static bool app_ready(void *app, unsigned i)
{
	struct run *run = app;
	const struct thread *t = &run->thread[i];
	const struct vrank *v = &run->c->rank[t->rank];

	if (t->phase == PHASE_OVER || v->dead || thread_waits(run, t))
		return false;
	/* A mapped access needs no lock; all else does. */
	return !v->busy || (t->phase == PHASE_TRY && is_access(t)) || t->phase == PHASE_HOLD;
}

/* What made it wait has happened: failed, or look again. */
static void woken(struct run *run, struct thread *t)
{
	uint64_t page = is_access(t) ? t->page : call_page(run, t);

	t->phase = t->upgrading ? PHASE_UPGRADE : PHASE_TRY;
	if (run->c->rank[t->rank].granules[page].fails == t->fails)
		return;
	if (t->upgrading) {
		t->held = 1;
		t->upgrading = false;
		t->phase = PHASE_HOLD;
		return;
	}
	if (is_access(t)) {
		t->phase = PHASE_NEXT;
		return;
	}
	cluster_enter(run->c, t->rank);
	unhold(run, t);
	cluster_leave(run->c, t->rank);
}

static void app_run(void *app, unsigned i)
{
	struct run *run = app;
	struct thread *t = &run->thread[i];

	switch (t->phase) {
	case PHASE_NEXT:
		next_op(run, t);
		break;
	case PHASE_TRY:
		if (is_access(t))
			access_try(run, t);
		else if (t->op == OP_PREFETCH)
			prefetch(run, t);
		else
			call_try(run, t);
		break;
	case PHASE_FAULTED:
		access_fault(run, t);
		break;
	case PHASE_WAIT:
		woken(run, t);
		break;
	case PHASE_HOLD:
		hold_run(run, t);
		break;
	case PHASE_UPGRADE:
		upgrade_try(run, t);
		break;
	case PHASE_OVER:
		break;
	}
}

/* Not before the threads that faulted on the page have had it; and now and then not even then. */
static bool settled(void *app, unsigned rank, uint64_t page)
{
	struct run *run = app;

	for (unsigned i = 0; i < run->c->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (t->rank == rank && t->page == page && is_access(t) &&
		    (t->phase == PHASE_TRY || t->phase == PHASE_WAIT) && !thread_waits(run, t))
			return cluster_chance(run->c, 30);
	}
	return !cluster_chance(run->c, run->fresh_percent);
}

/*
 * A schedule
 */

static void set_up_pages(struct cluster *c)
{
	for (unsigned b = 0; b < c->nblocks; b++) {
		unsigned n = 1 + (unsigned)cluster_random(c, 3);

		cluster_block(c, b, (unsigned)cluster_random(c, c->n),
			      cluster_chance(c, 30) ? 1 + (unsigned)cluster_random(c, 2) : 0);
		for (unsigned i = 0; i < n; i++)
			cluster_page(c, b, i);
	}
}

static struct run *run_create(uint64_t seed)
{
	static const unsigned percents[] = { 0, 3, 10, 25 };
	struct run *run = calloc(1, sizeof(*run));
	unsigned n = 2 + (unsigned)(seed % 4);
	bool small = seed / 4 % 3 == 0;
	struct cluster *c = cluster_create(n, 1 + (unsigned)(seed / 3 % 2),
					   seed & 1 ? CLUSTER_RDMA : CLUSTER_SHM,
					   small ? 1 + seed / 12 % 6 : 4096, seed);

	run->c = c;
	c->random *= 0x9e3779b97f4a7c15ull;
	set_up_pages(c);
	c->slow = (enum cluster_slow)cluster_random(c, SLOW_KINDS);
	c->slow_rank = (unsigned)cluster_random(c, n);
	c->preempt_percent = percents[cluster_random(c, 4)];
	c->map_fail_percent = cluster_chance(c, 10) ? 5 : 0;
	run->adds_percent = percents[cluster_random(c, 4)];
	run->fresh_percent = percents[cluster_random(c, 4)];
	c->app = run;
	c->app_ready = app_ready;
	c->app_run = app_run;
	c->settled = settled;
	c->nthreads = n * (1 + (unsigned)cluster_random(c, 3));
	for (unsigned i = 0; i < c->nthreads; i++)
		run->thread[i] = (struct thread){ .rank = i % n,
						  .left = 3 + (unsigned)cluster_random(c, 15) };
	return run;
}

static void nothing_waits(struct run *run)
{
	for (unsigned i = 0; i < run->c->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (!run->c->rank[t->rank].dead && t->phase != PHASE_OVER)
			cluster_fail(run->c, "thread %u of rank %u waits for page %#llx for ever",
				     i, t->rank, (unsigned long long)t->page);
	}
	cluster_check_quiet(run->c);
}

/* Everybody reads everything once more: what was stored and added is there. */
static void read_all(struct run *run)
{
	struct cluster *c = run->c;

	for (unsigned r = 0; r < c->n; r++) {
		for (unsigned i = 0; !c->rank[r].dead && i < c->npages; i++) {
			run->thread[0] = (struct thread){ .rank = r,
							  .phase = PHASE_TRY,
							  .op = OP_LOAD,
							  .page = c->page[i],
							  .word = i % CLUSTER_WORDS };
			cluster_run(c);
			nothing_waits(run);
		}
	}
}

static void one_schedule(uint64_t seed)
{
	struct run *run = run_create(seed);
	struct cluster *c = run->c;
	unsigned deaths = cluster_chance(c, 30) ? 1 + (unsigned)cluster_random(c, c->n - 1) : 0;

	while (cluster_step(c)) {
		if (deaths && cluster_random(c, 300) == 0) {
			unsigned r = (unsigned)cluster_random(c, c->n);

			if (!c->rank[r].dead)
				cluster_kill(c, r, cluster_chance(c, 30));
			deaths--;
		}
		if (cluster_random(c, 200) == 0)
			cluster_reclaim(c, (unsigned)cluster_random(c, c->n), any_page(run));
	}
	nothing_waits(run);
	c->map_fail_percent = 0;
	read_all(run);
	cluster_destroy(c);
	free(run);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void random_schedules__keep_every_rule(void **state)
{
	uint64_t n = number_of("SCHEDULES",
			       RUNNING_ON_VALGRIND ? SCHEDULES_VALGRIND : SCHEDULES_DEFAULT);
	uint64_t first = number_of("FIRST", 1);

	(void)state;
	if (getenv("SEED")) {
		one_schedule(number_of("SEED", 1));
		return;
	}
	for (uint64_t seed = first; seed < first + n; seed++)
		one_schedule(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_schedules__keep_every_rule),
	};

	return cmocka_run_group_tests_name("protocol, random schedules", tests, NULL, NULL);
}
