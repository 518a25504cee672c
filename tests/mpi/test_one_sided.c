/* SPDX-License-Identifier: MIT */
/*
 * A read miss needs nothing of the home: while the last rank scans memory that lives at rank 0,
 * which computes and does not call for it, rank 0 receives no message, whatever the transport.
 *
 * Rank 0 learns of the end of the scan by a flag, in a page that it has a copy of: the few messages
 * that it may have received until it sees the flag come after the scan, and are no match for its
 * pages.
 */
#include "mpi_test.h"

#define PAGES (TEST_BLOCK / TEST_PAGE + 100)
#define WORDS (TEST_PAGE / sizeof(uint64_t))
/* Of the flag's page, and of ranks that have seen it and go on. */
#define FEW 8u

static uint64_t value(size_t page)
{
	return page * 0x9e3779b97f4a7c15ull + 7;
}

/* Written at home and released through: every page is Clean. */
static void fill(struct dsm *d, uint64_t *p)
{
	CHECK_EQ(dsm_acquire(d, p, PAGES * TEST_PAGE, DSM_WRITE), 0);
	for (size_t i = 0; i < PAGES; i++)
		p[i * WORDS + i % WORDS] = value(i);
	CHECK_EQ(dsm_release(d, p, PAGES * TEST_PAGE), 0);
}

/* Compute until the flag is there. All messages of a barrier to this rank have come when it
 * returns.
 */
static void compute(struct dsm *d, _Atomic uint64_t *flag)
{
	struct dsm_stats before, now, after;
	uint64_t sum = 0;

	CHECK_EQ(atomic_load(flag), 0);
	test_barrier(d);
	before = after = test_stats(d);
	for (;;) {
		for (unsigned i = 0; i < 1000; i++) {
			sum += i;
			__asm__ volatile("" : "+r"(sum)); /* computed indeed */
		}
		now = test_stats(d);
		if (atomic_load(flag))
			break;
		after = now;
	}
	CHECK(after.messages_received - before.messages_received <= FEW);
	CHECK(after.messages_sent - before.messages_sent <= FEW);
}

static void scan(struct dsm *d, const uint64_t *p)
{
	struct dsm_stats before = test_stats(d), after;

	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(p[i * WORDS + i % WORDS], value(i));
	after = test_stats(d);
	CHECK_EQ(after.messages_sent - before.messages_sent, 0);
	CHECK_EQ(after.messages_received - before.messages_received, 0);
	CHECK_EQ(after.fetched_bytes - before.fetched_bytes, PAGES * TEST_PAGE);
	CHECK(after.read_misses > before.read_misses);
	CHECK_EQ(after.read_misses_one_sided - before.read_misses_one_sided,
		 after.read_misses - before.read_misses);
}

static void run(struct dsm *d, unsigned last)
{
	struct dsm_attr here = { .home = DSM_HOME_RANK, .release = DSM_RELEASE_WRITE_THROUGH };
	struct dsm_attr there = { .home = DSM_HOME_RANK, .home_rank = last };
	uint64_t *p = test_alloc(d, "scanned", PAGES * TEST_PAGE, here);
	_Atomic uint64_t *flag = test_alloc(d, "flag", TEST_PAGE, there);

	if (dsm_rank(d) == 0)
		fill(d, p);
	test_barrier(d);
	if (dsm_rank(d) == last) {
		test_barrier(d);
		scan(d, p);
		atomic_store(flag, 1);
	} else {
		/* The others too stay out of the next barrier until the scan is over. */
		compute(d, flag);
	}
	test_free(d, (void *)(uintptr_t)flag);
	test_free(d, p);
}

int main(void)
{
	struct dsm *d = test_init();

	if (dsm_size(d) > 1)
		run(d, dsm_size(d) - 1);
	test_fini(d);
	return 0;
}
