/* SPDX-License-Identifier: MIT */
/*
 * Plain loads and stores, C11 atomics, acquire and release: every rank sees what any rank wrote.
 */
#include "mpi_test.h"

/* Each rank writes in turn, all others read. */
static void one_page(struct dsm *d)
{
	volatile uint64_t *p = test_alloc(d, "one_page", TEST_PAGE, (struct dsm_attr){ 0 });

	CHECK_EQ(p[0], 0);
	CHECK_EQ(dsm_barrier(d), 0);
	for (unsigned round = 1; round <= test_rounds(20); round++) {
		for (unsigned w = 0; w < dsm_size(d); w++) {
			if (w == dsm_rank(d))
				p[w] = round * 100 + w;
			CHECK_EQ(dsm_barrier(d), 0);
			CHECK_EQ(p[w], round * 100 + w);
			CHECK_EQ(dsm_barrier(d), 0);
		}
	}
	test_free(d, (void *)p);
}

/* A counter that everybody increments by C11 atomics loses nothing. */
static void atomic_counter(struct dsm *d)
{
	_Atomic uint64_t *p = test_alloc(d, "counter", TEST_PAGE, (struct dsm_attr){ 0 });
	const unsigned n = test_rounds(500);

	for (unsigned i = 0; i < n; i++)
		atomic_fetch_add(p, 1);
	CHECK_EQ(dsm_barrier(d), 0);
	CHECK_EQ(*p, n * dsm_size(d));
	test_free(d, p);
}

/* Every placement: each rank fills its share, then reads all. */
static void placement(struct dsm *d, enum dsm_home_policy home, size_t page_size,
		      enum dsm_release_policy release)
{
	struct dsm_attr attr = { .home = home,
				 .home_rank = dsm_size(d) - 1,
				 .page_size = page_size,
				 .release = release };
	size_t n = 5 * TEST_BLOCK / sizeof(uint32_t), share = n / dsm_size(d);
	uint32_t *p = test_alloc(d, "placement", n * sizeof(*p), attr);
	uint32_t *own = p + dsm_rank(d) * share;

	CHECK_EQ(dsm_acquire(d, own, share * sizeof(*p), DSM_WRITE), 0);
	for (size_t i = 0; i < share; i++)
		own[i] = (uint32_t)(own - p + i) * 2654435761u;
	CHECK_EQ(dsm_release(d, own, share * sizeof(*p)), 0);
	CHECK_EQ(dsm_barrier(d), 0);
	for (size_t i = 0; i < share * dsm_size(d); i++)
		CHECK_EQ(p[i], (uint32_t)i * 2654435761u);
	test_free(d, p);
}

/* Acquire for reading after another rank wrote; write(2) from and read(2) into shared pages. */
static void acquire_read(struct dsm *d)
{
	size_t len = 3 * TEST_BLOCK;
	uint8_t *p = test_alloc(d, "acquire", len, (struct dsm_attr){ .home = DSM_HOME_CYCLIC });

	for (unsigned w = 0; w < dsm_size(d); w++) {
		if (w == dsm_rank(d))
			memset(p, (int)w + 1, len);
		CHECK_EQ(dsm_barrier(d), 0);
		CHECK_EQ(dsm_acquire(d, p + 100, len - 200, DSM_READ), 0);
		for (size_t i = 100; i < len - 100; i += 64)
			CHECK_EQ(p[i], w + 1);
		CHECK_EQ(dsm_release(d, p + 100, len - 200), 0);
		CHECK_EQ(dsm_barrier(d), 0);
	}
	test_free(d, p);
}

static void remote_atomics(struct dsm *d)
{
	uint64_t *p = test_alloc(d, "fetch_add", 2 * TEST_BLOCK,
				 (struct dsm_attr){ .home = DSM_HOME_CYCLIC });
	uint64_t *q = p + TEST_BLOCK / sizeof(*p), old;
	uint32_t *r = (uint32_t *)(p + 8), old32;
	const unsigned n = test_rounds(1000);

	for (unsigned i = 0; i < n; i++) {
		CHECK_EQ(dsm_fetch_add64(d, p, 1, &old), 0);
		CHECK_EQ(dsm_fetch_add64(d, q, 2, NULL), 0);
		CHECK_EQ(dsm_fetch_add32(d, r, 3, NULL), 0);
		if (i % 100 == 0) /* mixed with plain and C11 accesses of the same words */
			atomic_fetch_add((_Atomic uint64_t *)q, 1);
	}
	do {
		old = __atomic_load_n(p + 1, __ATOMIC_SEQ_CST);
		CHECK_EQ(dsm_compare_swap64(d, p + 1, old, old + 1, &old), 0);
	} while (__atomic_load_n(p + 1, __ATOMIC_SEQ_CST) <= old);
	CHECK_EQ(dsm_barrier(d), 0);
	CHECK_EQ(*p, n * dsm_size(d));
	CHECK_EQ(*q, (2 * n + n / 100) * dsm_size(d));
	CHECK_EQ(*r, 3 * n * dsm_size(d));
	CHECK_EQ(dsm_compare_swap32(d, r + 1, 1, 5, &old32), 0);
	CHECK_EQ(old32, 0);
	test_free(d, p);
}

/* All words of each page alike, as their last holder left them? */
static uint64_t alike(const uint64_t *page, size_t words)
{
	for (size_t i = 1; i < words; i++)
		CHECK_EQ(page[i], page[0]);
	return page[0];
}

/*
 * One rank writes all of some pages again and again while it holds them, and the others look: never
 * at a page that is half written, and never at an older one than before. The writer is the pages'
 * home, or another rank.
 */
static void look(struct dsm *d, unsigned writer, enum dsm_release_policy release)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK, .release = release };
	size_t words = TEST_PAGE / sizeof(uint64_t), n = 4 * words;
	uint64_t *p = test_alloc(d, "look", n * sizeof(*p), attr), seen[n], last = 0;
	const unsigned rounds = test_rounds(2000);

	for (unsigned round = 1; dsm_rank(d) == writer && round <= rounds; round++) {
		CHECK_EQ(dsm_acquire(d, p, n * sizeof(*p), DSM_WRITE), 0);
		for (size_t i = 0; i < n; i++)
			p[i] = round;
		CHECK_EQ(dsm_release(d, p, n * sizeof(*p)), 0);
	}
	for (unsigned i = 0; dsm_rank(d) != writer && i < rounds; i++) {
		CHECK_EQ(dsm_read(d, seen, p, n * sizeof(*p)), 0);
		for (size_t k = 0; k < n; k += words)
			CHECK_EQ(alike(seen + k, words) >= last, 1);
		last = seen[0] < seen[n - 1] ? seen[0] : seen[n - 1];
	}
	CHECK_EQ(dsm_barrier(d), 0);
	CHECK_EQ(dsm_read(d, seen, (uint8_t *)p + 4, n * sizeof(*p) - 8), 0); /* not whole pages */
	CHECK_EQ(memcmp(seen, (uint8_t *)p + 4, n * sizeof(*p) - 8), 0);
	test_free(d, p);
}

/* Of what is Clean at its home, by whatever way it is reached, a look leaves nothing behind: it is
 * no miss, and who writes next takes nothing away. */
static void look_leaves_nothing(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK, .release = DSM_RELEASE_WRITE_THROUGH };
	const size_t len = 4 * TEST_PAGE;
	uint8_t *p = test_alloc(d, "left", len, attr), seen[len];
	struct dsm_stats before = test_stats(d), after;

	for (unsigned round = 1; round <= 5; round++) {
		if (dsm_rank(d) == 0) {
			CHECK_EQ(dsm_acquire(d, p, len, DSM_WRITE), 0);
			memset(p, (int)round, len);
			CHECK_EQ(dsm_release(d, p, len), 0);
		}
		CHECK_EQ(dsm_barrier(d), 0);
		CHECK_EQ(dsm_read(d, seen, p, len), 0);
		for (size_t i = 0; i < len; i++)
			CHECK_EQ(seen[i], round);
		CHECK_EQ(dsm_barrier(d), 0);
	}
	after = test_stats(d);
	CHECK_EQ(after.read_misses - before.read_misses, 0);
	CHECK_EQ(after.invalidations - before.invalidations, 0);
	CHECK_EQ(after.fetched_bytes - before.fetched_bytes, dsm_rank(d) ? 5 * len : 0);
	test_free(d, p);
}

/* More than a window, over the homes of all ranks; into shared memory, too. */
static void look_far(struct dsm *d)
{
	size_t len = 3 * TEST_BLOCK;
	uint8_t *p = test_alloc(d, "far", len, (struct dsm_attr){ .home = DSM_HOME_CYCLIC });
	uint8_t *to = test_alloc(d, "to", dsm_size(d) * len,
				 (struct dsm_attr){ .home = DSM_HOME_BLOCKED });

	to += dsm_rank(d) * len;
	for (unsigned w = 0; w < dsm_size(d); w++) {
		if (w == dsm_rank(d))
			memset(p, (int)w + 1, len);
		CHECK_EQ(dsm_barrier(d), 0);
		CHECK_EQ(dsm_read(d, to, p, len), 0);
		for (size_t i = 0; i < len; i += 64)
			CHECK_EQ(to[i], w + 1);
		CHECK_EQ(dsm_barrier(d), 0);
	}
	test_free(d, to - dsm_rank(d) * len);
	test_free(d, p);
}

int main(void)
{
	struct dsm *d = test_init();

	one_page(d);
	atomic_counter(d);
	placement(d, DSM_HOME_BLOCKED, 0, DSM_RELEASE_KEEP);
	placement(d, DSM_HOME_CYCLIC, 0, DSM_RELEASE_WRITE_THROUGH);
	placement(d, DSM_HOME_RANK, 16384, DSM_RELEASE_KEEP);
	placement(d, DSM_HOME_FIRST_TOUCH, 0, DSM_RELEASE_WRITE_THROUGH);
	placement(d, DSM_HOME_CYCLIC, TEST_BLOCK, DSM_RELEASE_WRITE_THROUGH);
	acquire_read(d);
	remote_atomics(d);
	look(d, 0, DSM_RELEASE_KEEP);
	look(d, 0, DSM_RELEASE_WRITE_THROUGH);
	look(d, dsm_size(d) - 1, DSM_RELEASE_WRITE_THROUGH);
	look_leaves_nothing(d);
	look_far(d);
	test_fini(d);
	return 0;
}
