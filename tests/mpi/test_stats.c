/* SPDX-License-Identifier: MIT */
/*
 * Statistics: what a rank counts, what older programs get of it, and the sum that rank 0 prints at
 * the end.
 */
#include <stddef.h>

#include "mpi_test.h"

#define PAGES 8u

/* Everything that a rank does is counted, and by nobody else. */
static void counted(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK };
	uint64_t *p = test_alloc(d, "counted", PAGES * TEST_PAGE, attr);
	struct dsm_stats before = test_stats(d), after;
	unsigned last = dsm_size(d) - 1;

	CHECK(before.home_pages == (dsm_rank(d) == 0 ? PAGES : 0));
	CHECK_EQ(before.cached_pages, 0);
	test_barrier(d);
	if (dsm_rank(d) == last)
		for (unsigned i = 0; i < PAGES; i++)
			p[i * (TEST_PAGE / sizeof(*p))] = 1;
	CHECK_EQ(dsm_lock(d, p), 0);
	CHECK_EQ(dsm_unlock(d, p), 0);
	test_barrier(d);
	after = test_stats(d);
	CHECK_EQ(after.barriers - before.barriers, 2);
	CHECK_EQ(after.barrier_ns.count - before.barrier_ns.count, 2);
	CHECK_EQ(after.lock_acquires - before.lock_acquires, 1);
	if (last > 0 && dsm_rank(d) == last) {
		CHECK(after.write_misses > before.write_misses);
		CHECK(after.write_miss_ns.count > before.write_miss_ns.count);
		CHECK(after.write_miss_ns.max_ns > 0);
		CHECK_EQ(after.fetched_bytes - before.fetched_bytes, PAGES * TEST_PAGE);
		CHECK_EQ(after.cached_pages, PAGES);
	}
	if (last > 0)
		CHECK(after.messages_sent > before.messages_sent);
	test_free(d, p);
}

/* An older program's struct is smaller, a newer one's larger. */
static void sizes(struct dsm *d)
{
	struct {
		struct dsm_stats known;
		uint64_t later[4];
	} s;
	const size_t old = offsetof(struct dsm_stats, write_misses);

	test_barrier(d);
	memset(&s, 0x5a, sizeof(s));
	CHECK_EQ(dsm_stats_get(d, &s.known, old), 0);
	CHECK(s.known.read_misses != 0x5a5a5a5a5a5a5a5a);
	CHECK_EQ(s.known.write_misses, 0x5a5a5a5a5a5a5a5a);
	CHECK_EQ(dsm_stats_get(d, &s.known, sizeof(s)), 0);
	CHECK(s.known.barriers > 0);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(s.later[i], 0);
	CHECK_EQ(dsm_stats_get(d, &s.known, 1), 0);
}

/* The value in the line that begins with this name. */
static uint64_t printed(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	CHECK(line != NULL);
	return strtoull(line + strlen(name), NULL, 10);
}

/* Rank r passes r + 10 barriers of its own, so to speak: locks, which the others do not count. */
static void sum(struct dsm *d)
{
	unsigned rank = dsm_rank(d), size = dsm_size(d), locks = 0;
	char text[16384], header[64];

	for (unsigned i = 0; i < 10 + rank; i++) {
		CHECK_EQ(dsm_lock(d, (void *)(uintptr_t)(64 + rank)), 0);
		CHECK_EQ(dsm_unlock(d, (void *)(uintptr_t)(64 + rank)), 0);
	}
	for (unsigned i = 0; i < 5; i++)
		test_barrier(d);
	for (unsigned r = 0; r < size; r++)
		locks += 10 + r;
	test_fini_captured(d, text, sizeof(text));
	if (rank != 0) { /* one prints for all */
		CHECK(strstr(text, "statistics") == NULL);
		return;
	}
	snprintf(header, sizeof(header), "sum over %u rank", size);
	CHECK(strstr(text, header));
	CHECK_EQ(printed(text, "\n  lock acquires"), locks);
	CHECK_EQ(printed(text, "\n  barriers"), 5 * size);
	if (size > 1)
		CHECK_EQ(printed(text, "\n  messages sent"),
			 printed(text, "\n  messages received"));
	CHECK(strstr(text, "\n  barrier "));
}

/* Not asked for: nothing is printed. */
static void silent(struct dsm *d)
{
	char text[16384];

	test_barrier(d);
	test_fini_captured(d, text, sizeof(text));
	CHECK_EQ(strlen(text), 0);
}

int main(void)
{
	struct dsm_config config = { .stats = "1" };
	struct dsm *d;

	d = test_init();
	STEP(counted(d));
	STEP(sizes(d));
	STEP(silent(d));
	d = test_init_config(&config);
	STEP(sum(d));
	return 0;
}
