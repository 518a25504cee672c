/* SPDX-License-Identifier: MIT */
/*
 * Regions come and go: names, attachments, homes, addresses; and nothing of them stays behind.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>

#include "mpi_test.h"

#define SPACE_BYTES (256ul << 20)

/*
 * What a process has
 */

struct footprint {
	unsigned maps;
	unsigned fds;
	uint64_t memfd_bytes;
};

/* Mappings of the segments, and what the global range is cut into; a sanitizer has many of its own.
 */
static unsigned count_maps(uintptr_t base)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		uintptr_t start = strtoul(line, NULL, 16);

		n += strstr(line, "/memfd:dsm") || (start >= base && start - base < SPACE_BYTES);
	}
	fclose(f);
	return n;
}

/* Memory in the segment itself, which is what a region that was not given back would be in. */
static uint64_t memfd_bytes(const char *fd)
{
	char path[300], target[64] = "";
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%s", fd);
	if (readlink(path, target, sizeof(target) - 1) < 0 || strncmp(target, "/memfd:dsm", 10) ||
	    stat(path, &st) < 0)
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

static struct footprint footprint(const void *base)
{
	struct footprint f = { .maps = count_maps((uintptr_t)base) };
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	CHECK(dir != NULL);
	while ((e = readdir(dir))) {
		f.fds++;
		f.memfd_bytes += memfd_bytes(e->d_name);
	}
	closedir(dir);
	return f;
}

/*
 * Names
 */

static void attach(struct dsm *d)
{
	struct dsm_attr attr = { .name = "attach", .page_size = 16384, .home = DSM_HOME_CYCLIC };
	struct dsm_attr other = attr, by_name = { .name = "attach" };
	size_t len = TEST_BLOCK + 100;
	struct dsm_region_info info;
	void *p, *q;

	CHECK_FAILS_NULL(dsm_alloc(d, 0, &by_name), ENOENT, "attach");
	test_barrier(d);
	p = dsm_alloc(d, len, &attr);
	CHECK(p != NULL);
	q = dsm_alloc(d, 0, &by_name);
	CHECK(q == p);
	CHECK(dsm_alloc(d, len, &by_name) == p);
	CHECK(dsm_alloc(d, 0, &attr) == p);
	CHECK_FAILS_NULL(dsm_alloc(d, len + 1, &by_name), EEXIST, "2097252");
	other.page_size = 8192;
	CHECK_FAILS_NULL(dsm_alloc(d, 0, &other), EEXIST, "16384");
	other = attr;
	other.home = DSM_HOME_RANK;
	CHECK_FAILS_NULL(dsm_alloc(d, 0, &other), EEXIST, "attach");
	other = attr;
	other.release = DSM_RELEASE_WRITE_THROUGH;
	CHECK_FAILS_NULL(dsm_alloc(d, len, &other), EEXIST, "attach");

	CHECK_EQ(dsm_region_get(d, (char *)p + len - 1, &info), 0);
	CHECK(info.addr == p);
	CHECK_EQ(info.len, len);
	CHECK_EQ(info.page_size, 16384);
	CHECK_EQ(info.home, DSM_HOME_CYCLIC);
	CHECK_EQ(info.release, DSM_RELEASE_KEEP);
	CHECK(strcmp(info.name, "attach") == 0);
	test_barrier(d);
	/* Four attachments a rank; the region lives as long as the last. */
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(dsm_free(d, p), 0);
	*(volatile char *)p = 1;
	test_barrier(d);
	CHECK_EQ(dsm_free(d, p), 0);
	test_barrier(d);
	CHECK_FAILS_NULL(dsm_alloc(d, 0, &by_name), ENOENT, "attach");
	CHECK_FAILS(dsm_region_get(d, p, &info), EFAULT, "");
	CHECK_FAILS(dsm_free(d, p), EINVAL, "freed before");
	test_barrier(d);
}

/* All at once, many times over: one of them creates it, whoever it is. */
static void name_race(struct dsm *d)
{
	struct dsm_attr attr = { .name = "name_race" };

	for (unsigned i = 0; i < 30; i++) {
		_Atomic uint64_t *p = dsm_alloc(d, TEST_PAGE, &attr);

		CHECK(p != NULL);
		atomic_fetch_add(p, 1);
		test_barrier(d);
		CHECK_EQ(*p, dsm_size(d));
		test_barrier(d);
		CHECK_EQ(dsm_free(d, p), 0);
		/* No barrier: the next round meets frees that are still under way. */
		attr.name = i % 2 ? "name_race" : "other_race";
	}
	test_barrier(d);
}

/* One rank allocates, hands the pointer to the others, and another frees. */
static void hand_out(struct dsm *d)
{
	uint64_t **board = test_alloc(d, "board", sizeof(*board), (struct dsm_attr){ 0 });
	unsigned last = dsm_size(d) - 1;

	for (unsigned i = 0; i < 10; i++) {
		uint64_t *p;

		if (dsm_rank(d) == 0) {
			p = dsm_alloc(d, 3 * TEST_PAGE, NULL);
			CHECK(p != NULL);
			p[0] = 7;
			*board = p;
		}
		test_barrier(d);
		p = *board;
		CHECK_EQ(p[0], 7);
		p[1 + dsm_rank(d)] = dsm_rank(d);
		test_barrier(d);
		for (unsigned r = 0; r <= last; r++)
			CHECK_EQ(p[1 + r], r);
		test_barrier(d);
		if (dsm_rank(d) == last)
			CHECK_EQ(dsm_free(d, p), 0);
	}
	test_free(d, board);
}

/*
 * Freeing
 */

static void free_acquired(struct dsm *d)
{
	char *p = dsm_alloc(d, 4 * TEST_PAGE, NULL);

	CHECK(p != NULL);
	CHECK_EQ(dsm_acquire(d, p + 100, 10, DSM_READ), 0);
	CHECK_EQ(dsm_acquire(d, p + TEST_PAGE, TEST_PAGE, DSM_WRITE), 0);
	CHECK_FAILS(dsm_free(d, p), EBUSY, "2 acquired");
	CHECK_EQ(dsm_release(d, p + 100, 10), 0);
	CHECK_FAILS(dsm_free(d, p), EBUSY, "1 acquired");
	CHECK_EQ(dsm_release(d, p + TEST_PAGE, TEST_PAGE), 0);
	CHECK_FAILS(dsm_free(d, p + 1), EINVAL, "start of a region");
	CHECK_FAILS(dsm_free(d, p + TEST_PAGE), EINVAL, "start of a region");
	test_barrier(d);
	CHECK_EQ(dsm_free(d, p), 0);
	CHECK_FAILS(dsm_free(d, p), EINVAL, "freed before"); /* nobody allocates meanwhile */
	test_barrier(d);
}

static sigjmp_buf after_fault;
static volatile void *fault_addr;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	fault_addr = info->si_addr;
	siglongjmp(after_fault, 1);
}

/* A touch of what was freed is a SIGSEGV in every rank, as after munmap(). */
static void touch_freed(struct dsm *d)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;
	volatile char *p = test_alloc(d, "touch_freed", TEST_PAGE, (struct dsm_attr){ 0 });

	*p = 1;
	test_free(d, (void *)p);
	CHECK_EQ(sigaction(SIGSEGV, &act, &old), 0);
	if (sigsetjmp(after_fault, 1) == 0) {
		*p = 2;
		CHECK(!"touching a freed region went through");
	}
	CHECK(fault_addr == p);
	CHECK_EQ(sigaction(SIGSEGV, &old, NULL), 0);
	test_barrier(d);
}

/* Regions come and go, touched by all, of all kinds: nothing stays. Freed addresses come back, and
 * what is there is zero again. */
static void come_and_go(struct dsm *d, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct dsm_attr attr = { .home = (enum dsm_home_policy)(i % 4),
					 .page_size = i % 3 ? 0 : 65536 };
		size_t n = (1 + i % 3) * TEST_BLOCK / sizeof(uint64_t);
		uint64_t *p;
		char name[32];

		/* Not the name of the round before, which some rank may still be attached to. */
		snprintf(name, sizeof(name), "come_and_go.%u", i);
		p = test_alloc(d, name, n * sizeof(*p), attr);
		for (size_t k = dsm_rank(d); k < test_rounds((unsigned)n); k += 509) {
			uint64_t seen = p[k];

			CHECK(seen == 0 || seen == i + 1);
			p[k] = i + 1;
		}
		CHECK_EQ(dsm_prefetch(d, p, n * sizeof(*p), i % 2 ? DSM_READ : DSM_WRITE), 0);
		test_barrier(d);
		CHECK_EQ(dsm_free(d, p), 0);
	}
	test_barrier(d);
}

static void no_leak(struct dsm *d)
{
	struct footprint before, after;
	void *base = test_alloc(d, "base", 1, (struct dsm_attr){ 0 });

	test_free(d, base);
	come_and_go(d, 4 + test_rounds(4)); /* whatever is set up on first use is now */
	before = footprint(base);
	test_barrier(d); /* nobody has a new region yet */
	come_and_go(d, test_rounds(24));
	after = footprint(base);
	test_barrier(d);
	CHECK(after.maps <= before.maps);
	CHECK(after.fds <= before.fds);
	CHECK(after.memfd_bytes <= before.memfd_bytes + TEST_BLOCK);
	CHECK_EQ(test_stats(d).home_pages, 0);
	CHECK_EQ(test_stats(d).cached_pages, 0);
	test_barrier(d);
}

/* Freed right behind a hint: what is on its way arrives nowhere. */
static void free_in_flight(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_CYCLIC };
	size_t len = 4 * TEST_BLOCK;

	for (unsigned i = 0; i < test_rounds(20); i++) {
		char *p = test_alloc(d, i % 2 ? "in_flight" : "on_its_way", len, attr);

		memset(p + dsm_rank(d) * TEST_PAGE, 1, TEST_PAGE);
		test_barrier(d);
		CHECK_EQ(dsm_prefetch(d, p, len, dsm_rank(d) % 2 ? DSM_READ : DSM_WRITE), 0);
		CHECK_EQ(dsm_free(d, p), 0);
	}
	test_barrier(d);
}

/*
 * Homes
 */

static void homes(struct dsm *d)
{
	unsigned size = dsm_size(d), blocks = 2 * size;
	struct dsm_attr attr = { .home = DSM_HOME_CYCLIC };
	char *p = test_alloc(d, "homes", blocks * TEST_BLOCK, attr);

	for (unsigned b = 0; b < blocks; b++)
		CHECK_EQ(dsm_home(d, p + b * TEST_BLOCK + 5), b % size);
	test_free(d, p);
	attr.home = DSM_HOME_BLOCKED;
	p = test_alloc(d, "homes", blocks * TEST_BLOCK, attr);
	for (unsigned b = 0; b < blocks; b++)
		CHECK_EQ(dsm_home(d, p + b * TEST_BLOCK), b / 2);
	test_free(d, p);
	attr.home = DSM_HOME_RANK;
	attr.home_rank = size - 1;
	p = test_alloc(d, "homes", blocks * TEST_BLOCK, attr);
	CHECK_EQ(dsm_home(d, p + TEST_BLOCK), size - 1);
	test_free(d, p);
}

/* Each block is touched first by another rank, by another kind of access. */
static void first_touch(struct dsm *d)
{
	struct dsm_attr attr = { .home = DSM_HOME_FIRST_TOUCH };
	unsigned size = dsm_size(d), blocks = 4 * size + 1;
	char *p = test_alloc(d, "first_touch", blocks * TEST_BLOCK, attr);

	test_barrier(d);
	for (unsigned b = 0; b < blocks; b++) {
		char *at = p + b * TEST_BLOCK + 77;

		CHECK_FAILS(dsm_home(d, at), ENODATA, "touched");
		CHECK_EQ(dsm_prefetch(d, at, 1, DSM_READ), 0); /* touches nothing */
	}
	test_barrier(d);
	for (unsigned b = dsm_rank(d); b < blocks - 1; b += size) {
		char *at = p + b * TEST_BLOCK + 80;

		switch (b / size) {
		case 0:
			*(volatile char *)at = 1;
			break;
		case 1:
			CHECK_EQ(*(volatile char *)at, 0);
			break;
		case 2:
			CHECK_EQ(dsm_acquire(d, at, 10, DSM_READ), 0);
			CHECK_EQ(dsm_release(d, at, 10), 0);
			break;
		default:
			CHECK_EQ(dsm_fetch_add64(d, (uint64_t *)at, 1, NULL), 0);
			break;
		}
	}
	test_barrier(d);
	for (unsigned b = 0; b < blocks - 1; b++)
		CHECK_EQ(dsm_home(d, p + b * TEST_BLOCK), b % size);
	CHECK_FAILS(dsm_home(d, p + (blocks - 1) * TEST_BLOCK), ENODATA, "");
	test_barrier(d); /* the last one: all at once, and all agree */
	CHECK_EQ(dsm_fetch_add32(d, (uint32_t *)(p + (blocks - 1) * TEST_BLOCK), 1, NULL), 0);
	test_barrier(d);
	CHECK_EQ(*(uint32_t *)(p + (blocks - 1) * TEST_BLOCK), size);
	CHECK(dsm_home(d, p + (blocks - 1) * TEST_BLOCK) >= 0);
	test_free(d, p);
}

/*
 * Room
 */

/* One rank fills the range, with the others looking on, and empties it. */
static void exhaust(struct dsm *d)
{
	void *p[SPACE_BYTES / TEST_BLOCK];
	unsigned n = 0, all = SPACE_BYTES / TEST_BLOCK;

	if (dsm_rank(d) == dsm_size(d) - 1) {
		CHECK_FAILS_NULL(dsm_alloc(d, SPACE_BYTES + 1, NULL), ENOMEM, "268435457");
		CHECK_FAILS_NULL(dsm_alloc(d, SIZE_MAX, NULL), ENOMEM, "DSM_SPACE");
		/* A byte takes a block of addresses, but only a page of memory. */
		while (n < all && (p[n] = dsm_alloc(d, 1, NULL)))
			n++;
		CHECK_EQ(n, all);
		CHECK_FAILS_NULL(dsm_alloc(d, 1, NULL), ENOMEM, "DSM_SPACE");
		CHECK_EQ(dsm_free(d, p[5]), 0);
		CHECK_EQ(dsm_free(d, p[7]), 0);
		CHECK_FAILS_NULL(dsm_alloc(d, 2 * TEST_BLOCK, NULL), ENOMEM, "4194304");
		CHECK(dsm_alloc(d, TEST_BLOCK, NULL) == p[5]);
		CHECK(dsm_alloc(d, TEST_BLOCK, NULL) == p[7]);
		for (unsigned i = 0; i < all; i++)
			CHECK_EQ(dsm_free(d, p[i]), 0);
	}
	test_barrier(d);
}

/* The tail of the last page can be touched, and the length is what was asked for. */
static void odd_lengths(struct dsm *d)
{
	static const size_t len[] = { 1, 4095, 4096, 4097, TEST_BLOCK - 1, TEST_BLOCK + 1 };

	for (unsigned i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		struct dsm_region_info info;
		char *p = test_alloc(d, "odd", len[i], (struct dsm_attr){ 0 });

		CHECK_EQ(p[len[i] - 1], 0);
		test_barrier(d);
		if (dsm_rank(d) == 0)
			p[len[i] - 1] = 3;
		test_barrier(d);
		CHECK_EQ(p[len[i] - 1], 3);
		CHECK_EQ(dsm_region_get(d, p, &info), 0);
		CHECK_EQ(info.len, len[i]);
		test_free(d, p);
	}
}

/* What calls return may be wanted in shared memory, on a page that is not here. */
static void results_in_shared_memory(struct dsm *d)
{
	struct {
		struct dsm_region_info info;
		struct dsm_stats stats;
		uint64_t old;
		uint64_t counter;
		char name[32];
	} *s = test_alloc(d, "results", sizeof(*s), (struct dsm_attr){ .home = DSM_HOME_RANK });
	void *other;

	for (unsigned r = 0; r < dsm_size(d); r++) {
		bool others = dsm_rank(d) == (r + 1) % dsm_size(d);

		test_barrier(d);
		if (others)
			memset(&s->info, 0, sizeof(s->info));
		test_barrier(d);
		if (r == dsm_rank(d)) {
			CHECK_EQ(dsm_region_get(d, s, &s->info), 0);
			CHECK_EQ(s->info.len, sizeof(*s));
		}
		test_barrier(d);
		if (others)
			memset(&s->stats, 0, sizeof(s->stats));
		test_barrier(d);
		if (r == dsm_rank(d)) {
			CHECK_EQ(dsm_stats_get(d, &s->stats, sizeof(s->stats)), 0);
			CHECK(s->stats.barriers > 0);
			CHECK_EQ(dsm_fetch_add64(d, &s->counter, 1, &s->old), 0);
			CHECK_EQ(s->old, r);
			strcpy(s->name, "named there");
		}
	}
	test_barrier(d);
	other = test_alloc(d, s->name, 1, (struct dsm_attr){ .home = DSM_HOME_RANK });
	test_free(d, other);
	test_free(d, s);
}

int main(void)
{
	struct dsm_config config = { .space = SPACE_BYTES };
	struct dsm *d = test_init_config(&config);

	STEP(attach(d));
	STEP(name_race(d));
	STEP(hand_out(d));
	STEP(free_acquired(d));
	STEP(touch_freed(d));
	STEP(no_leak(d));
	STEP(free_in_flight(d));
	STEP(homes(d));
	STEP(first_touch(d));
	STEP(exhaust(d));
	STEP(odd_lengths(d));
	STEP(results_in_shared_memory(d));
	test_fini(d);
	return 0;
}
