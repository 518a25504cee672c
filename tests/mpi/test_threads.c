/* SPDX-License-Identifier: MIT */
/*
 * Several threads a rank on shared pages: nothing is lost, nothing is seen out of order, and no two
 * faults, acquires or locks get into one another's way.
 *
 * The order tests run freely, without a step that all take together: each writer counts its word
 * up, each reader notes what it saw, and the notes are compared at the end.
 */
#include <sched.h>

#include "mpi_test.h"

#define THREADS     3u
#define SAMPLES_MAX 1000u
#define WORDS       (TEST_PAGE / sizeof(uint64_t))
#define RANKS       64u

static unsigned rounds, samples;

static unsigned total(struct dsm *d)
{
	return dsm_size(d) * THREADS;
}

/* Small steps for a generator of one's own in each thread. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Let about so much time pass as it takes to move a page: who does all its rounds while it has the
 * page meets nobody. */
static void pace(unsigned i)
{
	double until = test_seconds() + (i % 8) * 1e-6;

	while (test_seconds() < until)
		;
}

/*
 * Counting
 */

/* Each thread has a word and a byte of its own, and all share the page. */
static void count_own(struct test_thread *t)
{
	volatile uint64_t *word = (volatile uint64_t *)t->arg + t->all;
	volatile uint8_t *byte = (volatile uint8_t *)t->arg + TEST_PAGE / 2 + t->all;

	for (unsigned i = 0; i < rounds; i++) {
		*word += 1;
		*byte = (uint8_t)(*byte + 1);
		pace(i);
	}
}

static void false_sharing(struct dsm *d)
{
	uint64_t *p = test_alloc(d, "false_sharing", TEST_PAGE, (struct dsm_attr){ 0 });

	test_threads(d, THREADS, count_own, p);
	test_barrier(d);
	for (unsigned i = 0; i < total(d); i++) {
		CHECK_EQ(p[i], rounds);
		CHECK_EQ(((uint8_t *)p)[TEST_PAGE / 2 + i], (uint8_t)rounds);
	}
	test_free(d, p);
}

struct counters {
	_Atomic uint64_t added;
	_Atomic uint32_t swapped;
	_Atomic uint16_t small;
	_Atomic uint8_t bits[RANKS * THREADS];
	atomic_flag flag;
	uint64_t flagged; /* guarded by flag */
};

static void count_atomically(struct test_thread *t)
{
	struct counters *c = t->arg;

	for (unsigned i = 0; i < rounds; i++) {
		uint32_t old = atomic_load(&c->swapped);

		atomic_fetch_add(&c->added, 1);
		while (!atomic_compare_exchange_weak(&c->swapped, &old, old + 1))
			;
		atomic_fetch_add(&c->small, 1);
		atomic_fetch_xor(&c->bits[t->all % RANKS], 1u << (t->all / RANKS));
		pace(i);
	}
	for (unsigned i = 0; i < 20; i++) {
		while (atomic_flag_test_and_set(&c->flag))
			sched_yield();
		c->flagged++;
		atomic_flag_clear(&c->flag);
	}
}

static void atomics(struct dsm *d)
{
	struct counters *c = test_alloc(d, "atomics", sizeof(*c), (struct dsm_attr){ 0 });

	test_threads(d, THREADS, count_atomically, c);
	test_barrier(d);
	CHECK_EQ(c->added, total(d) * rounds);
	CHECK_EQ(c->swapped, total(d) * rounds);
	CHECK_EQ(c->small, (uint16_t)(total(d) * rounds));
	for (unsigned i = 0; i < RANKS; i++)
		CHECK_EQ(c->bits[i], 0); /* rounds is even */
	CHECK_EQ(c->flagged, total(d) * 20);
	test_free(d, c);
}

/*
 * Order. Participants 0 to 3 are spread over the ranks; a rank may have several.
 */

struct words {
	_Alignas(TEST_PAGE) _Atomic uint64_t x;
	_Alignas(TEST_PAGE) _Atomic uint64_t y;
	_Alignas(TEST_PAGE) uint64_t first[4][SAMPLES_MAX];
	uint64_t second[4][SAMPLES_MAX];
};

/* Store buffering: x = i; r = y | y = i; r = x. */
static void store_then_load(struct test_thread *t, unsigned who)
{
	struct words *w = t->arg;
	_Atomic uint64_t *mine = who ? &w->y : &w->x, *other = who ? &w->x : &w->y;

	for (unsigned i = 1; i < samples; i++) {
		atomic_store(mine, i);
		w->first[who][i] = atomic_load(other);
		pace(i);
	}
}

/* The same with plain accesses. Between ranks they are as good: a page is taken away only when what
 * was stored to it is there. */
static void store_then_load_plain(struct test_thread *t, unsigned who)
{
	struct words *w = t->arg;
	volatile uint64_t *x = (volatile uint64_t *)&w->x, *y = (volatile uint64_t *)&w->y;
	volatile uint64_t *mine = who ? y : x, *other = who ? x : y;

	for (unsigned i = 1; i < samples; i++) {
		*mine = i;
		w->first[who][i] = *other;
		pace(i);
	}
}

/* If participant 0 wrote i and then saw less than j, then participant 1, which wrote j and then
 * looked, saw at least i. */
static void check_store_buffering(const struct words *w)
{
	for (unsigned i = 1; i < samples; i++)
		for (unsigned j = (unsigned)w->first[0][i] + 1; j < samples; j++)
			CHECK(w->first[1][j] >= i);
}

/* Message passing: data, then a flag, by 0; the others read the flag, then the data. As plain as it
 * may be where participants are threads of one rank. */
static void pass_message(struct test_thread *t, unsigned who)
{
	struct words *w = t->arg;
	uint64_t latest = 0;

	for (unsigned i = 1; i < samples; i++) {
		uint64_t seen;

		pace(i);
		if (who == 0) {
			atomic_store_explicit(&w->x, i, memory_order_relaxed);
			atomic_store_explicit(&w->y, i, memory_order_release);
			continue;
		}
		seen = atomic_load_explicit(&w->y, memory_order_acquire);
		CHECK(atomic_load_explicit(&w->x, memory_order_relaxed) >= seen);
		CHECK(seen >= latest);
		latest = seen;
	}
}

/* Two writers, and two readers that look in opposite orders. */
static void independent(struct test_thread *t, unsigned who)
{
	struct words *w = t->arg;

	for (unsigned i = 1; i < samples; i++) {
		pace(i);
		if (who < 2) {
			atomic_store(who ? &w->y : &w->x, i);
		} else {
			w->first[who][i] = atomic_load(who == 2 ? &w->x : &w->y);
			w->second[who][i] = atomic_load(who == 2 ? &w->y : &w->x);
		}
	}
}

/* No two readings may disagree about which of two writes came first. */
static void check_independent(const struct words *w)
{
	for (unsigned i = 1; i < samples; i++)
		for (unsigned j = 1; j < samples; j++)
			CHECK(!(w->first[2][i] > w->second[3][j] &&
				w->first[3][j] > w->second[2][i]));
}

struct order_test {
	const char *name;
	void (*part)(struct test_thread *t, unsigned who);
	void (*check)(const struct words *w);
	unsigned participants;
	bool needs_ranks; /* one participant a rank, no two in one */
};

static const struct order_test order_tests[] = {
	{ "store buffering", store_then_load, check_store_buffering, 2, false },
	{ "store buffering, plain", store_then_load_plain, check_store_buffering, 2, true },
	{ "message passing", pass_message, NULL, 4, false },
	{ "independent reads", independent, check_independent, 4, false },
};

static const struct order_test *order_now;

static void order_part(struct test_thread *t)
{
	unsigned who = t->index * dsm_size(t->d) + dsm_rank(t->d);

	if (who < order_now->participants)
		order_now->part(t, who);
}

static void order(struct dsm *d, const struct order_test *test, enum dsm_home_policy home)
{
	struct dsm_attr attr = { .home = home, .home_rank = dsm_size(d) - 1 };
	struct words *w;

	if (test->needs_ranks && dsm_size(d) < test->participants)
		return;
	w = test_alloc(d, test->name, sizeof(*w), attr);
	order_now = test;
	test_barrier(d);
	test_threads(d, (test->participants + dsm_size(d) - 1) / dsm_size(d), order_part, w);
	test_barrier(d);
	if (test->check && dsm_rank(d) == 0)
		test->check(w);
	test_free(d, w);
}

/*
 * Faults
 */

#define FAULT_PAGES 64u

struct fault_test {
	uint64_t *pages;
	pthread_barrier_t together;
};

/* All threads of all ranks touch the same fresh page at once, then the next. */
static void fault_together(struct test_thread *t)
{
	struct fault_test *f = t->arg;

	for (unsigned i = 0; i < FAULT_PAGES; i++) {
		_Atomic uint64_t *p = (_Atomic uint64_t *)f->pages + i * WORDS;

		pthread_barrier_wait(&f->together);
		if ((i + t->all) % 3 == 0)
			atomic_fetch_add(p, 1);
		else
			CHECK(*p <= total(t->d));
	}
}

static void same_page(struct dsm *d, enum dsm_home_policy home)
{
	struct fault_test f;
	unsigned expected;

	f.pages = test_alloc(d, "same_page", FAULT_PAGES * TEST_PAGE,
			     (struct dsm_attr){ .home = home });
	CHECK_EQ(pthread_barrier_init(&f.together, NULL, THREADS), 0);
	test_threads(d, THREADS, fault_together, &f);
	pthread_barrier_destroy(&f.together);
	test_barrier(d);
	for (unsigned i = 0; i < FAULT_PAGES; i++) {
		expected = 0;
		for (unsigned all = 0; all < total(d); all++)
			expected += (i + all) % 3 == 0;
		CHECK_EQ(f.pages[i * WORDS], expected);
	}
	test_free(d, f.pages);
}

/*
 * Acquire and release; locks
 */

#define HELD_PAGES 16u

/* Ranges that overlap, for reading and for writing, in all threads of all ranks. A hold keeps other
 * ranks away, not the threads of the own one, so these still count by atomics. */
static void hold_ranges(struct test_thread *t)
{
	uint64_t *p = t->arg;
	uint32_t seed = t->all + 1;

	for (unsigned i = 0; i < 60; i++) {
		unsigned first = next_random(&seed) % HELD_PAGES;
		unsigned n = 1 + next_random(&seed) % (HELD_PAGES - first);
		uint64_t *from = p + first * WORDS, before;
		size_t len = n * TEST_PAGE;

		if (next_random(&seed) % 4) {
			CHECK_EQ(dsm_acquire(t->d, from, len, DSM_WRITE), 0);
			for (unsigned k = 0; k < n; k++)
				__atomic_fetch_add(from + k * WORDS, 1, __ATOMIC_SEQ_CST);
			__atomic_fetch_add(p + HELD_PAGES * WORDS, n, __ATOMIC_SEQ_CST);
		} else {
			CHECK_EQ(dsm_acquire(t->d, from, len, DSM_READ), 0);
			before = __atomic_load_n(from, __ATOMIC_SEQ_CST);
			CHECK(__atomic_load_n(from, __ATOMIC_SEQ_CST) >= before);
		}
		CHECK_EQ(dsm_release(t->d, from, len), 0);
	}
}

static void holds(struct dsm *d, enum dsm_release_policy release)
{
	struct dsm_attr attr = { .home = DSM_HOME_CYCLIC, .release = release };
	uint64_t *p = test_alloc(d, "holds", (HELD_PAGES + 1) * TEST_PAGE, attr), sum = 0;

	test_threads(d, THREADS, hold_ranges, p);
	test_barrier(d);
	for (unsigned i = 0; i < HELD_PAGES; i++)
		sum += p[i * WORDS];
	CHECK_EQ(sum, p[HELD_PAGES * WORDS]);
	test_free(d, p);
}

struct locked {
	uint64_t counter[3]; /* each guarded by a lock that is named by its address */
};

static void count_locked(struct test_thread *t)
{
	struct locked *l = t->arg;

	for (unsigned i = 0; i < 60; i++) {
		volatile uint64_t *c = &l->counter[(i + t->all) % 3];
		uint64_t before;

		CHECK_EQ(dsm_lock(t->d, c), 0);
		before = *c;
		sched_yield();
		*c = before + 1;
		CHECK_EQ(dsm_unlock(t->d, c), 0);
	}
}

static void locks(struct dsm *d)
{
	struct locked *l = test_alloc(d, "locks", sizeof(*l), (struct dsm_attr){ 0 });

	test_threads(d, THREADS, count_locked, l);
	test_barrier(d);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(l->counter[i], total(d) * 20);
	test_free(d, l);
}

/* Everything at once: one thread faults, one acquires, one uses remote atomics on the same words.
 */
static void mix_part(struct test_thread *t)
{
	uint64_t *p = t->arg;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t *word = p + (i % 4) * WORDS;

		switch (t->index) {
		case 0:
			__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
			break;
		case 1:
			CHECK_EQ(dsm_acquire(t->d, word, 8, DSM_WRITE), 0);
			__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
			CHECK_EQ(dsm_release(t->d, word, 8), 0);
			break;
		default:
			CHECK_EQ(dsm_fetch_add64(t->d, word, 1, NULL), 0);
			break;
		}
	}
}

static void mixed(struct dsm *d)
{
	uint64_t *p = test_alloc(d, "mixed", 4 * TEST_PAGE, (struct dsm_attr){ 0 });

	test_threads(d, THREADS, mix_part, p);
	test_barrier(d);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(p[i * WORDS], total(d) * 25);
	test_free(d, p);
}

int main(void)
{
	struct dsm *d = test_init();

	CHECK(dsm_size(d) <= RANKS);
	rounds = test_rounds(1000);
	samples = test_rounds(SAMPLES_MAX);
	STEP(false_sharing(d));
	STEP(atomics(d));
	for (unsigned i = 0; i < sizeof(order_tests) / sizeof(order_tests[0]); i++) {
		STEP(order(d, &order_tests[i], DSM_HOME_BLOCKED));
		STEP(order(d, &order_tests[i], DSM_HOME_RANK));
	}
	STEP(same_page(d, DSM_HOME_BLOCKED));
	STEP(same_page(d, DSM_HOME_FIRST_TOUCH));
	STEP(holds(d, DSM_RELEASE_KEEP));
	STEP(holds(d, DSM_RELEASE_WRITE_THROUGH));
	STEP(locks(d));
	STEP(mixed(d));
	test_fini(d);
	return 0;
}
