/* SPDX-License-Identifier: MIT */
/*
 * Remote atomics by all ranks at once, on words that live at each of them: of 8 bytes, of 4, and of
 * 4 inside a word that others add to as one of 8. Whoever executes them, a processor or an adapter,
 * of whatever rank, none may be lost and none be seen twice. Now and then a load or a store takes
 * the page away in between.
 *
 * Argument: how often each thread does all of them.
 */
#include "mpi_test.h"

#define THREADS  2u
#define ROUNDS   300u
#define RANKS    8u
#define HIGH_ONE (1ull << 32)

struct words {
	uint64_t count; /* fetch-add */
	uint64_t swapped; /* added to by compare-and-swap */
	uint64_t wide; /* one part added to as 4 bytes, the other as part of 8 */
	uint32_t narrow[2]; /* neighbours: fetch-add, and added to by compare-and-swap */
	uint64_t plain; /* stored to by C11 atomics */
	uint64_t sum; /* of what the fetch-adds of count returned */
};

struct work {
	struct words *at[RANKS]; /* by home */
	unsigned rounds;
};

static void swap_add64(struct test_thread *t, uint64_t *word)
{
	uint64_t seen = 0, old;

	for (;; seen = old) {
		CHECK_EQ(dsm_compare_swap64(t->d, word, seen, seen + 1, &old), 0);
		if (old == seen)
			return;
	}
}

static void swap_add32(struct test_thread *t, uint32_t *word)
{
	uint32_t seen = 0, old;

	for (;; seen = old) {
		CHECK_EQ(dsm_compare_swap32(t->d, word, seen, seen + 1, &old), 0);
		if (old == seen)
			return;
	}
}

/* Returns what the count was. */
static uint64_t one_of_each(struct test_thread *t, struct words *w)
{
	uint32_t *low = (uint32_t *)(void *)&w->wide;
	uint64_t old;

	CHECK_EQ(dsm_fetch_add64(t->d, &w->count, 1, &old), 0);
	CHECK_EQ(dsm_fetch_add32(t->d, low, 1, NULL), 0);
	CHECK_EQ(dsm_fetch_add64(t->d, &w->wide, HIGH_ONE, NULL), 0);
	CHECK_EQ(dsm_fetch_add32(t->d, &w->narrow[0], 1, NULL), 0);
	swap_add32(t, &w->narrow[1]);
	swap_add64(t, &w->swapped);
	return old;
}

static void take_part(struct test_thread *t)
{
	const struct work *work = t->arg;
	uint64_t sum[RANKS] = { 0 }, last[RANKS] = { 0 };
	unsigned n = dsm_size(t->d);

	for (unsigned i = 0; i < work->rounds; i++) {
		unsigned home = (t->all + i) % n;
		struct words *w = work->at[home];
		uint64_t old = one_of_each(t, w);

		CHECK(i < n || old > last[home]); /* it only grows */
		last[home] = old;
		sum[home] += old;
		if (i % 16 == 7)
			CHECK(__atomic_load_n(&w->count, __ATOMIC_SEQ_CST) > old);
		if (i % 16 == 15)
			__atomic_fetch_add(&w->plain, 1, __ATOMIC_SEQ_CST);
	}
	for (unsigned home = 0; home < n; home++)
		CHECK_EQ(dsm_fetch_add64(t->d, &work->at[home]->sum, sum[home], NULL), 0);
}

static void check(struct dsm *d, const struct work *work)
{
	uint64_t each = (uint64_t)work->rounds * dsm_size(d) * THREADS, total = 0;

	for (unsigned home = 0; home < dsm_size(d); home++) {
		const struct words *w = work->at[home];
		uint64_t n = w->count;

		CHECK_EQ(w->sum, n * (n - 1) / 2); /* 0 to n - 1, if each was seen once */
		CHECK_EQ(w->swapped, n);
		CHECK_EQ(w->wide, n * HIGH_ONE + n);
		CHECK_EQ(w->narrow[0], n);
		CHECK_EQ(w->narrow[1], n);
		total += n;
	}
	CHECK_EQ(total, each);
}

int main(int argc, char **argv)
{
	struct work work = { .rounds = argc > 1 ? (unsigned)atoi(argv[1]) : ROUNDS };
	struct dsm *d = test_init();
	char name[24];

	CHECK(dsm_size(d) <= RANKS && work.rounds > 0);
	for (unsigned home = 0; home < dsm_size(d); home++) {
		snprintf(name, sizeof(name), "words.%u", home);
		work.at[home] =
			test_alloc(d, name, sizeof(struct words),
				   (struct dsm_attr){ .home = DSM_HOME_RANK, .home_rank = home });
	}
	test_barrier(d);
	STEP(test_threads(d, THREADS, take_part, &work));
	test_barrier(d);
	check(d, &work);
	for (unsigned home = 0; home < dsm_size(d); home++)
		test_free(d, work.at[home]);
	test_fini(d);
	return 0;
}
