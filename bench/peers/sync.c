/* SPDX-License-Identifier: MIT */
/*
 * Peers: barrier, lock and fetch-and-add, timed as dsm_bench times them (../test_sync.c).
 *
 * Where ranks outnumber processors and wait without giving theirs away, a barrier may take longer
 * than a scheduler's slice: barriers and hand-overs are as many as fit a block, within bounds.
 */
#include <sched.h>

#include "measure.h"
#include "peer.h"

#define BARRIERS       200 /* a block */
#define ATOMICS        500 /* batches a block */
#define CONTENDED_NS   20000000u /* a block */
#define BLOCK_US       10000.0 /* barriers, or hand-overs, of a block */
#define COUNT_MIN      5u
#define COUNT_MAX      500u
#define SPINS_TO_YIELD 50

/* How many of these take a block, by what rank 0 has seen in the warm-up; collective. */
static unsigned count_for(struct samples *s)
{
	struct summary summary;
	double n;

	if (!peer_shared())
		return COUNT_MIN;
	samples_summarize(s, &summary);
	n = summary.mean_us > 0 ? BLOCK_US / summary.mean_us : COUNT_MIN;
	n = n < COUNT_MIN ? COUNT_MIN : n > COUNT_MAX ? COUNT_MAX : n;
	if (!peer_rank())
		__atomic_store_n(peer_shared() + PEER_COUNT, (uint64_t)n, __ATOMIC_RELEASE);
	peer_barrier();
	return (unsigned)__atomic_load_n(peer_shared() + PEER_COUNT, __ATOMIC_ACQUIRE);
}

static void run_barriers(struct samples *s, unsigned n)
{
	peer_barrier();
	for (unsigned i = 0; i < n; i++) {
		uint64_t start_ns = now_ns();

		peer_barrier();
		samples_add(s, us_since(start_ns));
	}
}

static void run_adds(struct samples *s)
{
	for (unsigned i = 0; i < ATOMICS; i++) {
		uint64_t start_ns = now_ns();

		for (unsigned j = 0; j < BATCH; j++)
			peer_fetch_add(0);
		samples_add(s, us_since(start_ns) / BATCH);
	}
}

static void run_adds_alone(struct samples *s, unsigned n)
{
	(void)n;
	if (!peer_rank())
		run_adds(s);
	peer_barrier();
}

static void run_adds_by_all(struct samples *s, unsigned n)
{
	(void)n;
	peer_barrier();
	run_adds(s);
	peer_barrier();
}

static void run_relocks(struct samples *s, unsigned n)
{
	(void)n;
	for (unsigned i = 0; !peer_rank() && i < ATOMICS; i++) {
		uint64_t start_ns = now_ns();

		for (unsigned j = 0; j < BATCH; j++) {
			peer_lock();
			peer_unlock();
		}
		samples_add(s, us_since(start_ns) / BATCH);
	}
	peer_barrier();
}

/*
 * Pairs with the release in run_handovers(). A system whose locks need the home's help gets it
 * here; a program that computes instead would not give it.
 */
static void await_turn(const uint64_t *turn)
{
	for (unsigned spins = 1; __atomic_load_n(turn, __ATOMIC_ACQUIRE) != peer_rank(); spins++) {
		peer_progress();
		if (spins % SPINS_TO_YIELD == 0)
			sched_yield();
	}
}

/* The lock goes round; who has had it passes the turn on, so nobody asks for it too early. */
static void run_handovers(struct samples *s, unsigned n)
{
	uint64_t *turn = peer_shared() + PEER_TURN;

	peer_barrier();
	for (unsigned i = 0; i < n; i++) {
		uint64_t start_ns;

		await_turn(turn);
		start_ns = now_ns();
		peer_lock();
		samples_add(s, us_since(start_ns));
		peer_unlock();
		__atomic_store_n(turn, (peer_rank() + 1) % peer_size(), __ATOMIC_RELEASE);
	}
	peer_barrier();
}

/* All want the lock all the time; the sample is the time that one critical section took. */
static void run_contended(struct samples *s, unsigned n)
{
	uint64_t *count = peer_shared() + PEER_PROTECTED, before, start_ns, done = 0;

	(void)n;
	peer_barrier();
	before = *count;
	peer_barrier();
	start_ns = now_ns();
	do {
		peer_lock();
		(*count)++;
		peer_unlock();
		done++;
	} while (now_ns() - start_ns < CONTENDED_NS);
	peer_barrier();
	samples_add(s, us_since(start_ns) / (double)(*count - before));
	__atomic_fetch_add(peer_shared() + PEER_TAKEN, done, __ATOMIC_SEQ_CST);
	peer_barrier();
}

static void run_blocks(const struct measure *m, const char *test, size_t bytes,
		       void run(struct samples *s, unsigned n))
{
	struct samples s = SAMPLES_INIT;
	unsigned n = COUNT_MIN;

	for (unsigned block = 0; block <= m->blocks; block++) {
		run(&s, n);
		if (block)
			continue;
		n = count_for(&s);
		samples_clear(&s); /* the warm-up */
	}
	measure_report(m, test, bytes, &s);
	samples_free(&s);
}

/* The word must hold what all have added. */
static void check_adds(const struct measure *m)
{
	uint64_t each = (uint64_t)(m->blocks + 1) * ATOMICS * BATCH;
	uint64_t want = each * (peer_size() + 1), got;

	peer_sync();
	got = *(volatile uint64_t *)peer_window();
	if (peer_rank() == PEER_HOME && got != want)
		measure_fail(m, "the word is %llu after %llu additions", (unsigned long long)got,
			     (unsigned long long)want);
	peer_sync();
}

/* As many as went through the lock, one at a time. */
static void check_contended(const struct measure *m)
{
	uint64_t got = peer_shared()[PEER_PROTECTED], want = peer_shared()[PEER_TAKEN];

	if (got != want)
		measure_fail(m, "%llu counted under the lock, which was taken %llu times",
			     (unsigned long long)got, (unsigned long long)want);
}

void measure_sync(const struct measure *m)
{
	peer_sync();
	*(uint64_t *)peer_window() = 0;
	peer_sync();
	run_blocks(m, "barrier", 0, run_barriers);
	run_blocks(m, "fetch_add", 8, run_adds_alone);
	run_blocks(m, "fetch_add_all", 8, run_adds_by_all);
	check_adds(m);
	run_blocks(m, "relock", 0, run_relocks);
	if (!peer_shared())
		return;
	run_blocks(m, "lock_handover", 0, run_handovers);
	run_blocks(m, "lock_contended", 0, run_contended);
	check_contended(m);
}
