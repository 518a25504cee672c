/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation: locks, barrier, remote atomics.
 *
 * Operations near the clock's own cost are timed by the batch: a sample is then the time of one of
 * BATCH operations.
 */
#include <pthread.h>
#include <string.h>

#include "bench.h"
#include "floor_memory.h"
#include "tests.h"

#define BATCH         32
#define RELOCKS       20000 /* samples */
#define HANDOVERS     1000 /* by each rank */
#define BARRIERS      5000
#define CONTENDED_NS  20000000u /* a block */
#define BARRIER_BYTES (256ul << 20)
#define ATOMICS       10000 /* samples */

static void lock(struct bench *b, const void *name)
{
	int ret = dsm_lock(b->dsm, name);

	if (ret)
		bench_fail(b, "dsm_lock: %s", strerror(-ret));
}

static void unlock(struct bench *b, const void *name)
{
	int ret = dsm_unlock(b->dsm, name);

	if (ret)
		bench_fail(b, "dsm_unlock: %s", strerror(-ret));
}

/*
 * relock
 */

static void run_relocks(struct bench *b, size_t n, struct samples *relock, struct samples *mutex)
{
	static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
	const void *name = &own;

	for (size_t i = 0; i < n; i++) {
		uint64_t start_ns = bench_now_ns();

		for (int j = 0; j < BATCH; j++) {
			pthread_mutex_lock(&own);
			pthread_mutex_unlock(&own);
		}
		samples_add(mutex, bench_us_since(start_ns) / BATCH);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t start_ns = bench_now_ns();

		for (int j = 0; j < BATCH; j++) {
			lock(b, name);
			unlock(b, name);
		}
		samples_add(relock, bench_us_since(start_ns) / BATCH);
	}
}

void test_relock(struct bench *b)
{
	struct samples relock = SAMPLES_INIT, mutex = SAMPLES_INIT;
	size_t n = bench_block_iterations(b, RELOCKS);
	struct row *row;

	for (unsigned block = 0; block <= b->options->blocks && !b->rank; block++) {
		run_relocks(b, n, &relock, &mutex);
		if (block)
			continue;
		samples_clear(&relock); /* the warm-up */
		samples_clear(&mutex);
	}
	bench_barrier(b);
	row = report_result(b->report, "lock and unlock", 0, &relock);
	row->target_kind = TARGET_MEDIAN_US;
	row->target = 0.2;
	row->floor = report_floor(b->report, "lock and unlock of a pthread mutex", 0, &mutex);
}

/*
 * lock_handover: the lock goes round all ranks. The turn passes through the side
 * channel after dsm_unlock(), so that the time of dsm_lock() is that of fetching the lock from the
 * rank that had it last. Rank 0's and 1's times count.
 */

static void take_lock(struct bench *b, const void *name, bool spin, struct samples *s)
{
	uint64_t start_ns;

	side_turn_wait(b, spin);
	start_ns = bench_now_ns();
	lock(b, name);
	samples_add(s, bench_us_since(start_ns));
	unlock(b, name);
	side_turn_pass(b, (b->rank + 1) % b->size);
}

struct handover {
	bool spin; /* how a rank waits for its turn */
	size_t turns; /* of each rank in a block */
	struct samples taken, asleep, spinning;
};

static struct row *run_handovers(struct bench *b, struct handover *h, const void *name)
{
	struct row *row;

	for (unsigned block = 0; block <= b->options->blocks; block++) {
		bench_barrier(b);
		side_round_trips(b, false, h->turns, &h->asleep);
		side_round_trips(b, true, h->turns, &h->spinning);
		bench_barrier(b);
		for (size_t i = 0; i < h->turns; i++)
			take_lock(b, name, h->spin, &h->taken);
		if (block)
			continue;
		samples_clear(&h->taken); /* the warm-up */
		if (h->spin)
			continue; /* the floors go on from the pass before */
		samples_clear(&h->asleep);
		samples_clear(&h->spinning);
	}
	side_samples_give(b, &h->taken);
	if (b->rank)
		samples_clear(&h->taken);
	row = report_result(b->report,
			    h->spin ? "dsm_lock, the other rank's thread spins"
				    : "dsm_lock, the other rank's thread sleeps",
			    0, &h->taken);
	row->key = h->spin ? "lock_handover" : "lock_handover_asleep";
	row->target_kind = TARGET_MEDIAN_US;
	row->target = 10;
	return row;
}

void test_lock_handover(struct bench *b)
{
	struct handover h = { .turns = bench_block_iterations(b, HANDOVERS) };
	uint8_t *name = bench_alloc(b, PAGE_BYTES, 1, DSM_RELEASE_KEEP);
	struct row *sleeps, *spins;

	if (!b->rank)
		side_turn_pass(b, 0);
	sleeps = run_handovers(b, &h, name);
	h.spin = true;
	spins = run_handovers(b, &h, name);
	sleeps->floor = report_floor(b->report, "message round trip between the processes, futex",
				     64, &h.asleep);
	spins->floor = report_floor(b->report, "message round trip between the processes, spinning",
				    64, &h.spinning);
	bench_free(b, name);
}

/*
 * lock_contended: all ranks want the lock all the time. The lock protects a plain word of the side
 * channel; a sample is the time that one critical section took, over a block.
 */

static void run_contended(struct bench *b, const void *name, struct samples *s)
{
	struct side *side = b->side;
	uint64_t before, start_ns, taken = 0;

	bench_barrier(b);
	before = side->protected;
	bench_barrier(b);
	start_ns = bench_now_ns();
	do {
		lock(b, name);
		side->protected ++;
		unlock(b, name);
		taken++;
	} while (bench_now_ns() - start_ns < CONTENDED_NS);
	bench_barrier(b);
	samples_add(s, bench_us_since(start_ns) / (double)(side->protected - before));
	__atomic_fetch_add(&side->taken, taken, __ATOMIC_SEQ_CST);
	bench_barrier(b);
	if (side->protected != side->taken)
		bench_fail(b, "%llu counted under the lock, which was taken %llu times",
			   (unsigned long long)side->protected, (unsigned long long)side->taken);
	bench_barrier(b);
}

void test_lock_contended(struct bench *b)
{
	uint8_t *name = bench_alloc(b, PAGE_BYTES, 1, DSM_RELEASE_KEEP);
	struct samples s = SAMPLES_INIT;

	for (unsigned block = 0; block <= b->options->blocks; block++) {
		run_contended(b, name, &s);
		if (!block)
			samples_clear(&s); /* the warm-up */
	}
	report_result(b->report, "dsm_lock, a plain increment, dsm_unlock; all ranks at once", 0,
		      &s);
	bench_free(b, name);
}

/*
 * barrier
 */

static void run_barriers(struct bench *b, size_t n, struct samples *barriers)
{
	bench_barrier(b);
	for (size_t i = 0; i < n; i++) {
		uint64_t start_ns = bench_now_ns();

		bench_barrier(b);
		samples_add(barriers, bench_us_since(start_ns));
	}
}

static void run_barrier_blocks(struct bench *b, struct samples *barriers, struct samples *spinning,
			       struct samples *asleep)
{
	size_t n = bench_block_iterations(b, BARRIERS);

	for (unsigned block = 0; block <= b->options->blocks; block++) {
		side_round_trips(b, true, n, spinning);
		side_round_trips(b, false, n, asleep);
		run_barriers(b, n, barriers);
		if (block)
			continue;
		samples_clear(barriers); /* the warm-up */
		samples_clear(spinning);
		samples_clear(asleep);
	}
}

static void run_barrier_pass(struct bench *b, const char *label, uint64_t cached_bytes)
{
	struct samples barriers = SAMPLES_INIT, spinning = SAMPLES_INIT, asleep = SAMPLES_INIT;
	struct row *row;

	run_barrier_blocks(b, &barriers, &spinning, &asleep);
	row = report_result(b->report, label, cached_bytes, &barriers);
	row->key = cached_bytes ? "barrier_cached" : "barrier";
	row->target_kind = TARGET_MEDIAN_US;
	row->target = 3;
	row->floor = report_floor(b->report, "message round trip between the processes, spinning",
				  64, &spinning);
	report_floor(b->report, "message round trip between the processes, futex", 64, &asleep);
}

void test_barrier(struct bench *b)
{
	size_t len_bytes = bench_bytes(b, BARRIER_BYTES);
	struct dsm_stats stats;
	uint8_t *region;

	run_barrier_pass(b, "nothing cached", 0);
	region = bench_alloc(b, len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	bench_publish(b, region, len_bytes, 1, 1);
	if (!b->rank)
		load_sum(region, len_bytes);
	run_barrier_pass(b, "after rank 0 has read #bytes of rank 1's", len_bytes);
	dsm_stats_get(b->dsm, &stats, sizeof(stats));
	report_note(b->report, "rank 0 has %llu pages of rank 1's during the second row",
		    (unsigned long long)stats.cached_pages);
	bench_free(b, region);
}

/*
 * fetch_add: a word homed at rank 1, by rank 0 alone while the others sleep, or from all at once.
 */

static void add_remote(struct bench *b, uint64_t *word)
{
	int ret = dsm_fetch_add64(b->dsm, word, 1, NULL);

	if (ret)
		bench_fail(b, "dsm_fetch_add64: %s", strerror(-ret));
}

static void add_plain(struct bench *b, uint64_t *word)
{
	(void)b;
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
}

typedef void add_function(struct bench *b, uint64_t *word);

static void time_adds(struct bench *b, add_function *add, uint64_t *word, size_t n,
		      struct samples *s)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t start_ns = bench_now_ns();

		for (int j = 0; j < BATCH; j++)
			add(b, word);
		samples_add(s, bench_us_since(start_ns) / BATCH);
	}
}

/* All but rank 0 add for as long as rank 0 measures, and count what they added. */
static void add_until_stopped(struct bench *b, add_function *add, uint64_t *word, uint64_t *count)
{
	uint32_t stop = ++b->stops;

	/* pairs with the release in bench_stop_partner() */
	while (b->rank && __atomic_load_n(&b->side->stop, __ATOMIC_ACQUIRE) != stop) {
		for (int j = 0; j < BATCH; j++)
			add(b, word);
		*count += BATCH;
	}
}

/* Adds n * BATCH from rank 0, with the others adding beside it or not. */
static void run_adds(struct bench *b, add_function *add, uint64_t *word, bool both, size_t n,
		     struct samples *s, uint64_t *count)
{
	bench_barrier(b);
	if (both)
		add_until_stopped(b, add, word, count);
	if (!b->rank) {
		time_adds(b, add, word, n, s);
		*count += n * BATCH;
		if (both)
			bench_stop_partner(b);
	}
	bench_barrier(b);
}

static void run_add_pass(struct bench *b, uint64_t *word, bool both, uint64_t *count)
{
	struct samples remote = SAMPLES_INIT, plain = SAMPLES_INIT;
	size_t n = bench_block_iterations(b, ATOMICS);
	uint64_t ignored = 0;
	struct row *row, *floor;

	for (unsigned block = 0; block <= b->options->blocks; block++) {
		if (!b->far)
			run_adds(b, add_plain, &b->side->word, both, n, &plain, &ignored);
		run_adds(b, add_remote, word, both, n, &remote, count);
		if (block)
			continue;
		samples_clear(&remote); /* the warm-up */
		samples_clear(&plain);
	}
	row = report_result(b->report, both ? "by all ranks at once, seen by rank 0" : "by rank 0",
			    8, &remote);
	row->key = both ? "fetch_add_all" : "fetch_add";
	row->target_kind = TARGET_MEDIAN_US;
	row->target = 1;
	if (b->far)
		return; /* there is no plain memory that all have */
	floor = report_floor(b->report,
			     both ? "C11 atomic on plain shared memory, by all at once"
				  : "C11 atomic on plain shared memory",
			     8, &plain);
	floor->key = row->key;
	row->floor = floor;
}

void test_fetch_add(struct bench *b)
{
	uint64_t *word = (void *)bench_alloc(b, PAGE_BYTES, 1, DSM_RELEASE_WRITE_THROUGH);
	uint64_t count = 0, sum = 0;

	run_add_pass(b, word, false, &count);
	run_add_pass(b, word, true, &count);
	if (!b->rank)
		b->side->count = 0;
	bench_barrier(b);
	if (b->rank)
		__atomic_fetch_add(&b->side->count, count, __ATOMIC_SEQ_CST);
	bench_barrier(b);
	if (!b->rank) {
		int ret = dsm_fetch_add64(b->dsm, word, 0, &sum);

		if (ret || sum != count + b->side->count)
			bench_fail(b, "the word is %llu after %llu additions (%s)",
				   (unsigned long long)sum,
				   (unsigned long long)(count + b->side->count), strerror(-ret));
	}
	bench_free(b, word);
}
