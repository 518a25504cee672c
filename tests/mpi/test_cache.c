/* SPDX-License-Identifier: MIT */
/*
 * A cache that is much smaller than the region: all is read and written correctly, the budget is
 * kept, and what cannot fit is refused. Then what the cache does of its own accord: streams are
 * fetched ahead, and a miss on Clean memory leaves its home alone.
 *
 * Each part is a cluster of its own, so this is also a program that joins and leaves many times.
 */
#include "mpi_test.h"

#define CACHE_BYTES (4ul << 20)
#define REGION      (4 * CACHE_BYTES)
#define WORDS       (REGION / sizeof(uint64_t))
/* What a stream may have under way beyond the budget. */
#define SLACK_PAGES (CACHE_BYTES / TEST_PAGE / 8)

static uint64_t value(uint64_t i, uint64_t round)
{
	return (i + round * 1000003) * 0x9e3779b97f4a7c15ull;
}

static void check_budget(struct dsm *d, uint64_t slack_pages)
{
	uint64_t cached = test_stats(d).cached_pages, budget = CACHE_BYTES / TEST_PAGE;

	CHECK_EQ(cached > budget + slack_pages ? cached : 0, 0);
}

/* One word in 16, so that each page is visited but little time is spent in it. */
#define STEP_WORDS 16u

static void read_all(struct dsm *d, const uint64_t *p, uint64_t round, uint64_t slack_pages)
{
	for (uint64_t i = 0; i < WORDS; i += STEP_WORDS) {
		CHECK_EQ(p[i], value(i, round));
		if (i % (64 * TEST_PAGE) == 0)
			check_budget(d, slack_pages);
	}
	check_budget(d, slack_pages);
}

static void write_share(struct dsm *d, uint64_t *p, uint64_t round)
{
	uint64_t share = WORDS / dsm_size(d), first = dsm_rank(d) * share;

	for (uint64_t i = first; i < first + share; i += STEP_WORDS)
		p[i] = value(i, round);
}

/* By plain loads and stores, each rank its share, which lives everywhere. */
static void plain(struct dsm *d, struct dsm_attr attr)
{
	uint64_t slack = SLACK_PAGES + attr.page_size / TEST_PAGE;
	uint64_t *p = test_alloc(d, "plain", REGION, attr);

	for (uint64_t round = 1; round <= test_rounds(2); round++) {
		write_share(d, p, round);
		test_barrier(d);
		read_all(d, p, round, slack);
		test_barrier(d);
	}
	/* Those who have less at home than they read must have given something up. */
	if (dsm_size(d) > 1)
		CHECK(test_stats(d).evictions > 0);
	else
		CHECK_EQ(test_stats(d).cached_pages, 0);
	test_free(d, p);
}

/* The same by acquire and release, half a cache at a time. */
static void acquired(struct dsm *d, struct dsm_attr attr)
{
	uint64_t *p = test_alloc(d, "acquired", REGION, attr);
	size_t piece = CACHE_BYTES / 2;

	for (uint64_t round = 1; round <= test_rounds(2); round++) {
		for (size_t at = 0; at < REGION; at += piece) {
			uint64_t *from = p + at / sizeof(*p);

			if (at / piece % dsm_size(d) != dsm_rank(d))
				continue;
			CHECK_EQ(dsm_acquire(d, from, piece, DSM_WRITE), 0);
			for (uint64_t i = 0; i < piece / sizeof(*p); i += STEP_WORDS)
				from[i] = value(from - p + i, round);
			check_budget(d, SLACK_PAGES);
			CHECK_EQ(dsm_release(d, from, piece), 0);
		}
		test_barrier(d);
		for (size_t at = 0; at < REGION; at += piece) {
			uint64_t *from = p + at / sizeof(*p);

			CHECK_EQ(dsm_acquire(d, from, piece, DSM_READ), 0);
			for (uint64_t i = 0; i < piece / sizeof(*p); i += STEP_WORDS)
				CHECK_EQ(from[i], value(from - p + i, round));
			CHECK_EQ(dsm_release(d, from, piece), 0);
		}
		test_barrier(d);
	}
	test_free(d, p);
}

/* More than the cache takes: refused, with nothing held, and the pages are as usable as before. */
static void too_much(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK };
	uint64_t *p = test_alloc(d, "too_much", REGION, attr);

	if (dsm_rank(d) == 0) { /* what lives here needs no cache */
		CHECK_EQ(dsm_acquire(d, p, REGION, DSM_WRITE), 0);
		memset(p, 7, REGION);
		CHECK_EQ(dsm_release(d, p, REGION), 0);
	}
	test_barrier(d);
	if (dsm_rank(d) == 1) {
		CHECK_FAILS(dsm_acquire(d, p, REGION, DSM_READ), ENOMEM, "DSM_CACHE_SIZE");
		check_budget(d, 0); /* nor is it overrun by what was asked for ahead */
		CHECK_FAILS(dsm_release(d, p, REGION), EINVAL, "");
		CHECK_FAILS(dsm_acquire(d, p, REGION, DSM_WRITE), ENOMEM, "4194304");
		CHECK_EQ(dsm_acquire(d, p, CACHE_BYTES / 2, DSM_READ), 0);
		CHECK_FAILS(dsm_acquire(d, p + WORDS / 2, CACHE_BYTES, DSM_READ), ENOMEM, "held");
		CHECK_EQ(dsm_prefetch(d, p, REGION, DSM_READ), 0); /* does what it can */
		check_budget(d, SLACK_PAGES);
		/* Beside what is held there is room for plain accesses to all the rest. */
		for (uint64_t i = 0; i < WORDS; i += STEP_WORDS)
			CHECK_EQ(p[i], 0x0707070707070707);
		check_budget(d, SLACK_PAGES);
		CHECK_EQ(dsm_release(d, p, CACHE_BYTES / 2), 0);
	}
	test_free(d, p);
}

/* A hint brings pages; afterwards nobody faults on them. */
static void hint(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK };
	uint64_t *p = test_alloc(d, "hint", CACHE_BYTES, attr);
	size_t len = CACHE_BYTES / 4, words = len / sizeof(*p);
	struct dsm_stats before, after;

	if (dsm_rank(d) == 0)
		memset(p, 1, CACHE_BYTES);
	test_barrier(d);
	/* What its home has written is asked for by message, which takes a while; wait by acquire.
	 */
	if (dsm_rank(d) == 1) {
		before = test_stats(d);
		CHECK_EQ(dsm_prefetch(d, p, len, DSM_READ), 0);
		CHECK_EQ(dsm_acquire(d, p, len, DSM_READ), 0);
		CHECK_EQ(dsm_release(d, p, len), 0);
		CHECK_EQ(dsm_prefetch(d, p + words, len, DSM_WRITE), 0);
		CHECK_EQ(dsm_acquire(d, p + words, len, DSM_WRITE), 0);
		CHECK_EQ(dsm_release(d, p + words, len), 0);
		after = test_stats(d);
		CHECK(after.cached_pages - before.cached_pages >= 2 * len / TEST_PAGE);
		before = after;
		for (size_t i = 0; i < words; i += STEP_WORDS)
			p[words + i] = p[i] + 1;
		after = test_stats(d);
		CHECK_EQ(after.read_misses, before.read_misses);
		CHECK_EQ(after.write_misses + after.write_upgrades,
			 before.write_misses + before.write_upgrades);
	}
	test_barrier(d);
	for (size_t i = 0; dsm_size(d) > 1 && i < words; i += STEP_WORDS)
		CHECK_EQ(p[words + i], 0x0101010101010102);
	test_free(d, p);
}

/* Released by write-through: the pages are Clean at home, and the next reader needs no recall. */
static void write_through(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK, .release = DSM_RELEASE_WRITE_THROUGH };
	uint64_t *p = test_alloc(d, "write_through", CACHE_BYTES / 2, attr);
	unsigned writer = dsm_size(d) - 1;
	size_t len = CACHE_BYTES / 2;
	struct dsm_stats before;

	if (dsm_rank(d) == writer) {
		before = test_stats(d);
		CHECK_EQ(dsm_acquire(d, p, len, DSM_WRITE), 0);
		memset(p, 5, len);
		CHECK_EQ(dsm_release(d, p, len), 0);
		if (writer)
			CHECK_EQ(test_stats(d).write_backs - before.write_backs, len / TEST_PAGE);
	}
	test_barrier(d);
	before = test_stats(d);
	for (size_t i = 0; i < len / sizeof(*p); i += STEP_WORDS)
		CHECK_EQ(p[i], 0x0505050505050505);
	test_barrier(d);
	CHECK_EQ(test_stats(d).downgrades, before.downgrades);
	test_free(d, p);
}

/* A rank that walks through Clean memory fetches ahead, and its home hears nothing of it. */
static void stream(struct dsm *d, enum dsm_mode mode)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK };
	uint64_t *p = test_alloc(d, "stream", CACHE_BYTES / 2, attr), sum = 0;
	uint64_t pages = CACHE_BYTES / 2 / TEST_PAGE, misses;
	struct dsm_stats before, after;

	test_barrier(d);
	before = test_stats(d);
	test_barrier(d);
	if (dsm_rank(d) == 1) {
		for (size_t i = 0; i < pages * TEST_PAGE / sizeof(*p); i += STEP_WORDS) {
			if (mode == DSM_WRITE)
				p[i] = i;
			else
				sum += p[i];
		}
		CHECK_EQ(sum, 0);
		after = test_stats(d);
		misses = after.read_misses - before.read_misses + after.write_misses -
			 before.write_misses;
		CHECK(misses < pages / 8);
		/* Others were on their way when the thread came to them: neither a miss nor ahead.
		 */
		CHECK(after.prefetched_pages - before.prefetched_pages > pages / 8);
		if (mode == DSM_READ)
			CHECK_EQ(after.read_misses_one_sided - before.read_misses_one_sided,
				 misses);
	}
	test_barrier(d);
	after = test_stats(d);
	/* Two barriers and no more, each of at most log2(64) messages. */
	if (dsm_rank(d) == 0 && mode == DSM_READ)
		CHECK(after.messages_received - before.messages_received <= 2 * 6);
	test_free(d, p);
}

/* What its home has written is not had ahead of a stream of stores; then it is not asked for ahead
 * at every store either. */
static void stream_into_used(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK };
	uint64_t *p = test_alloc(d, "stream_into_used", CACHE_BYTES / 2, attr);
	uint64_t pages = CACHE_BYTES / 2 / TEST_PAGE;
	struct dsm_stats before;

	for (size_t i = 0; dsm_rank(d) == 0 && i < pages * TEST_PAGE / sizeof(*p); i += STEP_WORDS)
		p[i] = i;
	test_barrier(d);
	before = test_stats(d);
	for (size_t i = 0; dsm_rank(d) == 1 && i < pages * TEST_PAGE / sizeof(*p); i += STEP_WORDS)
		p[i] = i + 1;
	if (dsm_rank(d) == 1)
		CHECK(test_stats(d).messages_sent - before.messages_sent < 4 * pages);
	test_barrier(d);
	for (size_t i = 0; dsm_rank(d) == 0 && i < pages * TEST_PAGE / sizeof(*p); i += STEP_WORDS)
		CHECK_EQ(p[i], i + (dsm_size(d) > 1));
	test_free(d, p);
}

static struct dsm *join(void)
{
	struct dsm_config config = { .cache_size = CACHE_BYTES };

	return test_init_config(&config);
}

int main(void)
{
	static const size_t page_bytes[] = { 0, 64ul << 10, TEST_BLOCK };
	struct dsm *d;

	for (unsigned i = 0; i < sizeof(page_bytes) / sizeof(page_bytes[0]); i++) {
		struct dsm_attr attr = { .home = DSM_HOME_CYCLIC, .page_size = page_bytes[i] };

		d = join();
		STEP(plain(d, attr));
		attr.home = DSM_HOME_BLOCKED;
		attr.release = DSM_RELEASE_WRITE_THROUGH;
		STEP(acquired(d, attr));
		test_fini(d);
	}
	d = join();
	STEP(too_much(d));
	STEP(hint(d));
	STEP(write_through(d));
	STEP(stream(d, DSM_READ));
	STEP(stream(d, DSM_WRITE));
	STEP(stream_into_used(d));
	test_fini(d);
	return 0;
}
