/* SPDX-License-Identifier: MIT */
/*
 * See spin.h.
 */
#include "spin.h"

#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "team.h"

#define TURNS          40u /* of a thread */
#define STUCK_AFTER_NS 20000000000u /* a lock that nobody can take any more */

struct lock {
	atomic_flag flag;
	_Alignas(64) _Atomic uint32_t ticket;
	_Atomic uint32_t serving;
};

struct guarded {
	struct lock *lock;
	uint64_t *counter;
};

/* Between two looks at a lock that is taken; a broken one ends the test, not the day. */
static void pause_turn(uint64_t begin_ns)
{
	sched_yield();
	if (check_clock_ns() - begin_ns < STUCK_AFTER_NS)
		return;
	printf("STUCK: a C11 lock on a shared page cannot be taken\n");
	fflush(stdout);
	_exit(1);
}

static void flag_turn(struct guarded *g)
{
	uint64_t begin = check_clock_ns();

	while (atomic_flag_test_and_set_explicit(&g->lock->flag, memory_order_acquire))
		pause_turn(begin);
	*g->counter += 1;
	atomic_flag_clear_explicit(&g->lock->flag, memory_order_release);
}

static void ticket_turn(struct guarded *g)
{
	uint64_t begin = check_clock_ns();
	uint32_t mine = atomic_fetch_add_explicit(&g->lock->ticket, 1, memory_order_relaxed);

	while (atomic_load_explicit(&g->lock->serving, memory_order_acquire) != mine)
		pause_turn(begin);
	*g->counter += 1;
	atomic_store_explicit(&g->lock->serving, mine + 1, memory_order_release);
}

static void add_turn(struct guarded *g)
{
	atomic_fetch_add_explicit((_Atomic uint64_t *)g->counter, 1, memory_order_relaxed);
}

static void swap_turn(struct guarded *g)
{
	_Atomic uint64_t *counter = (_Atomic uint64_t *)g->counter;
	uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(counter, &old, old + 1, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

struct kind {
	const char *name;
	void (*turn)(struct guarded *g);
};

static const struct kind kinds[] = {
	{ "test-and-set lock", flag_turn },
	{ "ticket lock", ticket_turn },
	{ "atomic_fetch_add", add_turn },
	{ "atomic_compare_exchange", swap_turn },
};

static const struct kind *kind_now;

static void take_turns(struct member *m)
{
	for (unsigned i = 0; i < TURNS; i++)
		kind_now->turn(m->arg);
}

static bool test(struct dsm *d, const struct kind *kind, struct guarded *g, const char *where)
{
	uint64_t expected = (uint64_t)team_size(d) * TURNS;
	bool good;

	kind_now = kind;
	if (check_rank == 0)
		*g->counter = 0;
	team_run(d, take_turns, g, 0);
	good = *g->counter == expected;
	if (!good && check_rank == 0)
		printf("LOST: %s, counter %s: %" PRIu64 " of %" PRIu64 "\n", kind->name, where,
		       *g->counter, expected);
	CHECK(dsm_barrier(d) == 0);
	return good;
}

static unsigned run_round(struct dsm *d, uint8_t *region, unsigned round)
{
	static const char *const where[] = { "on the lock's page", "on another page",
					     "on a page with another home" };
	unsigned home = round % dsm_size(d), other = (round + 1) % dsm_size(d), bad = 0;
	uint8_t *page = region + home * BLOCK_BYTES;
	struct guarded g = { .lock = (struct lock *)page };
	uint8_t *counters[] = { page + PAGE_BYTES / 2, page + PAGE_BYTES,
				region + other * BLOCK_BYTES + 2 * PAGE_BYTES };

	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (unsigned c = 0; c < 3; c++) {
			g.counter = (uint64_t *)counters[c];
			bad += !test(d, &kinds[k], &g, where[c]);
		}
	}
	return bad;
}

unsigned spin_run(struct dsm *d, unsigned rounds)
{
	struct dsm_attr attr = { .name = "spin", .home = DSM_HOME_CYCLIC };
	uint8_t *region = dsm_alloc(d, dsm_size(d) * BLOCK_BYTES, &attr);
	unsigned bad = 0;

	CHECK(region != NULL);
	for (unsigned i = 0; i < rounds; i++)
		bad += run_round(d, region, i);
	CHECK(dsm_barrier(d) == 0);
	CHECK(dsm_free(d, region) == 0);
	if (check_rank == 0)
		printf("C11 locks and counters: %u of %zu lost a count\n\n", bad,
		       (size_t)rounds * 3 * sizeof(kinds) / sizeof(kinds[0]));
	return check_rank == 0 ? bad : 0;
}
