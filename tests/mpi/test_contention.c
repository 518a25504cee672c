/* SPDX-License-Identifier: MIT */
/*
 * The report on contention (DSM_STATS=pages) leads to the cause: programs that share a page falsely
 * or truly on purpose, each in a region of its own, and the verdict that rank 0 prints for each.
 */
#include "mpi_test.h"

#define ROUNDS 40u
#define WORDS  (TEST_PAGE / sizeof(uint64_t))

/* The page of each region that ranks fight over. */
#define FOUGHT 1u

struct regions {
	volatile uint64_t *false_sharing;
	volatile uint64_t *halves;
	_Atomic uint64_t *counter;
	volatile uint64_t *flag;
	volatile uint64_t *acquired;
	uint64_t *mixed;
	volatile uint64_t *quiet;
};

static void *region(struct dsm *d, const char *name)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK };

	return test_alloc(d, name, 4 * TEST_PAGE, attr);
}

/* Each rank has a counter of its own, and all of them lie in one cache line. */
static void share_falsely(struct dsm *d, struct regions *r)
{
	r->false_sharing = region(d, "false");
	for (unsigned i = 0; i < ROUNDS; i++) {
		r->false_sharing[FOUGHT * WORDS + dsm_rank(d)]++;
		test_barrier(d);
	}
}

/* Even ranks write one half of a page at random, odd ranks the other. */
static void share_halves(struct dsm *d, struct regions *r)
{
	unsigned half = dsm_rank(d) % 2;

	r->halves = region(d, "halves");
	for (unsigned i = 0; i < 4 * ROUNDS; i++) {
		if (i % 2 == half)
			r->halves[FOUGHT * WORDS + half * WORDS / 2 + i * 7919 % (WORDS / 2)] = i;
		test_barrier(d);
	}
}

static void share_a_counter(struct dsm *d, struct regions *r)
{
	r->counter = region(d, "counter");
	for (unsigned i = 0; i < ROUNDS; i++) {
		r->counter[FOUGHT * WORDS + 5]++;
		test_barrier(d);
	}
	CHECK_EQ(r->counter[FOUGHT * WORDS + 5], (uint64_t)ROUNDS * dsm_size(d));
}

static void share_a_flag(struct dsm *d, struct regions *r)
{
	r->flag = region(d, "flag");
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (dsm_rank(d) == dsm_size(d) - 1)
			r->flag[FOUGHT * WORDS] = i;
		test_barrier(d);
		CHECK_EQ(r->flag[FOUGHT * WORDS], i);
		test_barrier(d);
	}
}

static void share_by_calls(struct dsm *d, struct regions *r)
{
	volatile uint64_t *own;

	r->acquired = region(d, "acquired");
	own = r->acquired + FOUGHT * WORDS + dsm_rank(d);
	for (unsigned i = 0; i < ROUNDS; i++) {
		CHECK_EQ(dsm_acquire(d, own, sizeof(*own), DSM_WRITE), 0);
		*own = i;
		CHECK_EQ(dsm_release(d, own, sizeof(*own)), 0);
		test_barrier(d);
	}
}

static void mix_atomics(struct dsm *d, struct regions *r)
{
	r->mixed = region(d, "mixed");
	for (unsigned i = 0; i < ROUNDS; i++) {
		CHECK_EQ(dsm_fetch_add64(d, &r->mixed[FOUGHT * WORDS], 1, NULL), 0);
		test_barrier(d);
		CHECK_EQ(((volatile uint64_t *)r->mixed)[FOUGHT * WORDS + 8], 0);
		test_barrier(d);
	}
}

/* Every rank has a page of its own, and reads one that nobody writes any more. */
static void do_not_share(struct dsm *d, struct regions *r)
{
	r->quiet = region(d, "quiet");
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (dsm_rank(d) < 3)
			r->quiet[(1 + dsm_rank(d)) * WORDS] = i;
		CHECK_EQ(r->quiet[0], 0);
		test_barrier(d);
	}
}

/* What is said of the page of a region that was fought over, up to the next page. */
static void section(const char *text, const char *name, char *out, size_t size)
{
	char header[128];
	const char *from, *to;
	size_t n;

	snprintf(header, sizeof(header), "\n  page +%#x of region \"%s\"",
		 (unsigned)(FOUGHT * TEST_PAGE), name);
	from = strstr(text, header);
	CHECK(from != NULL);
	to = strstr(from + 1, "\n  page ");
	n = to ? (size_t)(to - from) : strlen(from);
	CHECK(n < size);
	memcpy(out, from, n);
	out[n] = '\0';
}

static void check_verdict(const char *text, const char *name, const char *verdict)
{
	char page[4096];

	section(text, name, page, sizeof(page));
	CHECK(strstr(page, verdict) != NULL);
	CHECK(strstr(page, "home: rank 0") != NULL);
}

/* Each rank's own place is shown, by its offset in the region. */
static void check_places(const char *text, unsigned size)
{
	char page[4096], place[64];

	section(text, "false", page, sizeof(page));
	for (unsigned r = 0; r < size; r++) {
		snprintf(place, sizeof(place), "  +%#x written",
			 (unsigned)(FOUGHT * TEST_PAGE + r * sizeof(uint64_t)));
		CHECK(strstr(page, place) != NULL);
	}
}

static void check_report(const char *text, unsigned size)
{
	CHECK(strstr(text, "libdsm statistics") != NULL);
	CHECK(strstr(text, "\"quiet\"") == NULL);
	if (size == 1) {
		CHECK(strstr(text, "contention: 0 pages that ranks took") != NULL);
		return;
	}
	CHECK(strstr(text, "contention: 6 pages that ranks took") != NULL);
	check_verdict(text, "false", "false sharing: ");
	check_places(text, size);
	check_verdict(text, "counter", "true sharing, several writers: ");
	check_verdict(text, "flag", "true sharing, one writer: ");
	check_verdict(text, "acquired", "moved by calls: ");
	check_verdict(text, "mixed", "remote atomics and plain accesses: ");
	/* With four ranks two write each half. */
	check_verdict(text, "halves", size == 2 ? "false sharing: " : "sharing");
}

static void fight(struct dsm *d, char *text, size_t size)
{
	struct regions r;

	STEP(share_falsely(d, &r));
	STEP(share_halves(d, &r));
	STEP(share_a_counter(d, &r));
	STEP(share_a_flag(d, &r));
	STEP(share_by_calls(d, &r));
	STEP(mix_atomics(d, &r));
	STEP(do_not_share(d, &r));
	/* Most programs free their regions before the report is made. */
	test_free(d, (void *)r.false_sharing);
	test_free(d, (void *)r.counter);
	test_fini_captured(d, text, size);
}

/* Without being asked nothing is said of pages. */
static void not_asked(void)
{
	struct dsm_config config = { .stats = "1" };
	struct dsm *d = test_init_config(&config);
	static char text[65536];
	struct regions r;

	share_falsely(d, &r);
	test_fini_captured(d, text, sizeof(text));
	CHECK(strstr(text, "contention") == NULL);
}

int main(void)
{
	struct dsm_config config = { .stats = "pages" };
	struct dsm *d = test_init_config(&config);
	unsigned rank = dsm_rank(d), size = dsm_size(d);
	static char text[65536];

	fight(d, text, sizeof(text));
	if (rank == 0)
		check_report(text, size);
	else
		CHECK(strstr(text, "contention") == NULL);
	not_asked();
	return 0;
}
