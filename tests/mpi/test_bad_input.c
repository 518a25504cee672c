/* SPDX-License-Identifier: MIT */
/*
 * What no program should pass: each call refuses it with the errno that dsm.h promises and a
 * sentence that names the values, and the rank is as before.
 */
#include "mpi_test.h"

#define LEN (3 * TEST_PAGE)

struct place {
	struct dsm *d;
	char *p; /* a region of LEN bytes */
	char *next; /* the one behind it, which begins in another block */
	char *outside; /* in the global range, in no region */
};

static const char *text_of(const volatile void *addr)
{
	static char text[32];

	snprintf(text, sizeof(text), "%p", (const void *)(uintptr_t)addr);
	return text;
}

/*
 * dsm_init
 */

/* Before any cluster: each of these is refused, and the next try starts afresh. */
static void init(void)
{
	struct dsm *untouched = (struct dsm *)8, *d = untouched;
	const struct {
		struct dsm_config config;
		int err;
		const char *text;
	} bad[] = {
		{ { .base = 4096 }, EINVAL, "DSM_BASE" },
		{ { .base = 0x7fffffe00000 }, EINVAL, "DSM_SPACE" },
		{ { .space = 4096 }, EINVAL, "DSM_SPACE" },
		{ { .space = UINT64_MAX }, EINVAL, "DSM_SPACE" },
		{ { .cache_size = 1 }, EINVAL, "DSM_CACHE_SIZE" },
		{ { .page_size = 12288 }, EINVAL, "DSM_PAGE_SIZE" },
		{ { .page_size = 4 << 20 }, EINVAL, "DSM_PAGE_SIZE" },
		{ { .timeout_ms = UINT64_MAX }, EINVAL, "DSM_TIMEOUT_MS" },
		{ { .token = "short" }, EINVAL, "DSM_TOKEN" },
		{ { .launch = "magic" }, EINVAL, "magic" },
		{ { .transport = "carrier pigeon" }, EINVAL, "carrier pigeon" },
		{ { .userfaultfd = "maybe" }, EINVAL, "maybe" },
		{ { .log = "loud" }, EINVAL, "loud" },
		{ { .spin_us = "-1" }, EINVAL, "DSM_SPIN_US" },
		{ { .prefetch = "many" }, EINVAL, "many" },
		{ { .stats = "perhaps" }, EINVAL, "perhaps" },
		{ { .launch = "tcp", .rank = "x" }, EINVAL, "DSM_RANK" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if ((bad[i].config.rank && getenv("DSM_RANK")) ||
		    (bad[i].config.timeout_ms && getenv("DSM_TIMEOUT_MS")) ||
		    (bad[i].config.transport && getenv("DSM_TRANSPORT")))
			continue; /* the environment is worth more */
		CHECK_FAILS(dsm_init(&d, &bad[i].config), bad[i].err, bad[i].text);
		CHECK(d == untouched);
	}
}

static void init_twice(struct dsm *d)
{
	struct dsm *untouched = (struct dsm *)8, *second = untouched;

	CHECK_FAILS(dsm_init(&second, NULL), EALREADY, "dsm_fini");
	CHECK(second == untouched);
	test_barrier(d); /* the first one works on */
}

/*
 * Memory
 */

static void alloc(struct dsm *d)
{
	char name[DSM_NAME_MAX + 2], rank[16];
	struct dsm_attr attr;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(rank, sizeof(rank), "%u", dsm_size(d));
	CHECK_FAILS_NULL(dsm_alloc(d, 0, NULL), EINVAL, "0");
	attr = (struct dsm_attr){ .name = "" };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "empty");
	attr = (struct dsm_attr){ .name = name };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "63");
	for (size_t bytes = 1; bytes; bytes <<= 7) { /* 16384 and 2 MiB are right */
		attr = (struct dsm_attr){ .page_size = bytes };
		if (bytes >= TEST_PAGE && bytes <= TEST_BLOCK)
			continue;
		CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "page_size");
	}
	attr = (struct dsm_attr){ .page_size = 3 * TEST_PAGE };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "12288");
	attr = (struct dsm_attr){ .page_size = SIZE_MAX };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "page_size");
	attr = (struct dsm_attr){ .home = (enum dsm_home_policy)99 };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "99");
	attr = (struct dsm_attr){ .home = DSM_HOME_RANK, .home_rank = dsm_size(d) };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, rank);
	attr.home_rank = UINT32_MAX;
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "4294967295");
	attr = (struct dsm_attr){ .release = (enum dsm_release_policy)7 };
	CHECK_FAILS_NULL(dsm_alloc(d, 1, &attr), EINVAL, "7");
	CHECK_FAILS_NULL(dsm_alloc(d, SIZE_MAX, NULL), ENOMEM, "DSM_SPACE");
	CHECK_FAILS_NULL(dsm_alloc(d, (size_t)1 << 47, NULL), ENOMEM, "140737488355328");
	/* A name of the full length is right. */
	name[DSM_NAME_MAX] = '\0';
	test_free(d, test_alloc(d, name, 1, (struct dsm_attr){ 0 }));
}

static void release(const struct place *at)
{
	int local;

	CHECK_FAILS(dsm_free(at->d, NULL), EINVAL, "start of a region");
	CHECK_FAILS(dsm_free(at->d, &local), EINVAL, text_of(&local));
	CHECK_FAILS(dsm_free(at->d, at->p + 1), EINVAL, text_of(at->p + 1));
	CHECK_FAILS(dsm_free(at->d, at->outside), EINVAL, text_of(at->outside));
	CHECK_FAILS(dsm_free(at->d, (void *)UINTPTR_MAX), EINVAL, "");
}

static void look_up(const struct place *at)
{
	struct dsm_region_info info, untouched;
	int local;

	memset(&untouched, 0x5a, sizeof(untouched));
	info = untouched;
	CHECK_FAILS(dsm_region_get(at->d, NULL, &info), EFAULT, "no region");
	CHECK_FAILS(dsm_region_get(at->d, &local, &info), EFAULT, text_of(&local));
	CHECK_FAILS(dsm_region_get(at->d, at->outside, &info), EFAULT, text_of(at->outside));
	CHECK_FAILS(dsm_region_get(at->d, (void *)UINTPTR_MAX, &info), EFAULT, "");
	CHECK(memcmp(&info, &untouched, sizeof(info)) == 0);
	CHECK_FAILS(dsm_home(at->d, NULL), EFAULT, "no region");
	CHECK_FAILS(dsm_home(at->d, at->outside), EFAULT, text_of(at->outside));
	CHECK_FAILS(dsm_home(at->d, (void *)UINTPTR_MAX), EFAULT, "");
}

/* Ranges that acquire, prefetch and read must all refuse. */
static void ranges(const struct place *at)
{
	const struct {
		char *addr;
		size_t len;
		int err;
	} bad[] = {
		{ at->p, 0, EINVAL },
		{ at->p, SIZE_MAX, EINVAL },
		{ at->p + 1, SIZE_MAX, EINVAL },
		{ at->p, SIZE_MAX / 2, EFAULT },
		{ at->p, LEN + 1, EFAULT },
		{ at->p, TEST_BLOCK + 1, EFAULT },
		{ at->p + LEN, 1, EFAULT },
		{ at->p - 1, 2, EFAULT },
		{ at->next - 1, 2, EFAULT },
		{ at->outside, 1, EFAULT },
		{ NULL, 1, EFAULT },
		{ NULL, 0, EINVAL },
		{ (char *)UINTPTR_MAX, 1, EFAULT },
		{ (char *)UINTPTR_MAX, 2, EINVAL },
	};
	static const enum dsm_mode modes[] = { DSM_READ, DSM_WRITE };
	char to;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned m = 0; m < 2; m++) {
			CHECK_FAILS(dsm_acquire(at->d, bad[i].addr, bad[i].len, modes[m]),
				    bad[i].err, bad[i].addr ? text_of(bad[i].addr) : "");
			CHECK_FAILS(dsm_acquire_timed(at->d, bad[i].addr, bad[i].len, modes[m], 0),
				    bad[i].err, "bytes");
			CHECK_FAILS(dsm_prefetch(at->d, bad[i].addr, bad[i].len, modes[m]),
				    bad[i].err, "bytes");
		}
		CHECK_FAILS(dsm_read(at->d, &to, bad[i].addr, bad[i].len), bad[i].err, "bytes");
		CHECK_FAILS(dsm_release(at->d, bad[i].addr, bad[i].len), EINVAL, "not acquired");
	}
}

static void modes(const struct place *at)
{
	static const int bad[] = { 0, 3, -1, 99 };

	for (unsigned i = 0; i < 4; i++) {
		enum dsm_mode mode = (enum dsm_mode)bad[i];

		CHECK_FAILS(dsm_acquire(at->d, at->p, 1, mode), EINVAL, "DSM_READ");
		CHECK_FAILS(dsm_prefetch(at->d, at->p, 1, mode), EINVAL, "DSM_WRITE");
	}
}

/* A release must give the same range; a range is released as often as it was acquired. */
static void pairs(const struct place *at)
{
	struct dsm *d = at->d;

	CHECK_FAILS(dsm_release(d, at->p, 1), EINVAL, "not acquired");
	CHECK_EQ(dsm_acquire(d, at->p, 100, DSM_READ), 0);
	CHECK_FAILS(dsm_release(d, at->p, 99), EINVAL, "99 bytes");
	CHECK_FAILS(dsm_release(d, at->p + 1, 100), EINVAL, text_of(at->p + 1));
	CHECK_EQ(dsm_acquire(d, at->p, 100, DSM_WRITE), 0);
	CHECK_EQ(dsm_release(d, at->p, 100), 0);
	CHECK_EQ(dsm_release(d, at->p, 100), 0);
	CHECK_FAILS(dsm_release(d, at->p, 100), EINVAL, "100 bytes");
	test_barrier(d);
}

static void atomics(const struct place *at)
{
	uint64_t old64 = 42, *local64 = &old64;
	uint32_t old32 = 42, *local32 = &old32;

	for (unsigned k = 1; k < 8; k++) {
		uint64_t *p64 = (uint64_t *)(void *)(at->p + k);
		uint32_t *p32 = (uint32_t *)(void *)(at->p + k);

		CHECK_FAILS(dsm_fetch_add64(at->d, p64, 1, local64), EINVAL, text_of(p64));
		CHECK_FAILS(dsm_compare_swap64(at->d, p64, 0, 1, local64), EINVAL, "8 bytes");
		if (k == 4)
			continue;
		CHECK_FAILS(dsm_fetch_add32(at->d, p32, 1, local32), EINVAL, text_of(p32));
		CHECK_FAILS(dsm_compare_swap32(at->d, p32, 0, 1, local32), EINVAL, "4 bytes");
	}
	CHECK_FAILS(dsm_fetch_add64(at->d, NULL, 1, local64), EFAULT, "");
	CHECK_FAILS(dsm_fetch_add64(at->d, local64, 1, NULL), EFAULT, text_of(local64));
	CHECK_FAILS(dsm_fetch_add32(at->d, local32, 1, NULL), EFAULT, text_of(local32));
	CHECK_FAILS(dsm_compare_swap64(at->d, (uint64_t *)(void *)at->outside, 0, 1, local64),
		    EFAULT, text_of(at->outside));
	CHECK_FAILS(dsm_compare_swap32(at->d, (uint32_t *)(UINTPTR_MAX - 3), 0, 1, local32), EFAULT,
		    "");
	CHECK_EQ(old64, 42); /* written only on success */
	CHECK_EQ(old32, 42);
	CHECK_EQ(*(uint64_t *)(void *)at->p, 0);
}

/*
 * The rest
 */

static void sync_objects(struct dsm *d)
{
	CHECK_FAILS(dsm_unlock(d, NULL), EPERM, "");
	CHECK_FAILS(dsm_cond_wait(d, NULL, NULL), EPERM, "");
	CHECK_FAILS(dsm_sem_init(d, NULL, UINT32_MAX), EOVERFLOW, "");
	CHECK_FAILS(dsm_sem_try(d, (void *)UINTPTR_MAX), EAGAIN, "");
	/* Any value is a name, these two as well; a negative time is the default one. */
	test_barrier(d);
	CHECK_EQ(dsm_lock_timed(d, NULL, -5), 0);
	CHECK_EQ(dsm_unlock(d, NULL), 0);
	CHECK_EQ(dsm_lock(d, (void *)UINTPTR_MAX), 0);
	CHECK_EQ(dsm_unlock(d, (void *)UINTPTR_MAX), 0);
	test_barrier(d);
}

static void statistics(struct dsm *d)
{
	struct dsm_stats s;

	memset(&s, 0x5a, sizeof(s));
	CHECK_FAILS(dsm_stats_get(d, &s, 0), EINVAL, "sizeof");
	CHECK_EQ(s.read_misses, 0x5a5a5a5a5a5a5a5a);
}

/* The text is this thread's own, and a call that works leaves none. */
static void no_text(struct test_thread *t)
{
	CHECK(dsm_errmsg()[0] == '\0');
	CHECK_FAILS(dsm_unlock(t->d, (void *)7), EPERM, "0x7");
}

static void texts(struct dsm *d)
{
	CHECK_FAILS(dsm_unlock(d, (void *)9), EPERM, "0x9");
	test_threads(d, 2, no_text, NULL);
	CHECK(strstr(dsm_errmsg(), "0x9"));
	test_barrier(d);
	CHECK(dsm_errmsg()[0] == '\0');
}

/* A region goes only when no rank has acquired any of it. */
static void free_what_another_holds(const struct place *at)
{
	unsigned char *volatile *shared = (unsigned char *volatile *)at->p;
	struct dsm *d = at->d;
	unsigned char *p;

	if (dsm_size(d) < 2)
		return;
	if (dsm_rank(d) == 0) {
		*shared = dsm_alloc(d, LEN, NULL);
		CHECK(*shared != NULL);
	}
	test_barrier(d);
	p = *shared;
	if (dsm_rank(d) == 1)
		CHECK_EQ(dsm_acquire(d, p + TEST_PAGE, TEST_PAGE, DSM_WRITE), 0);
	test_barrier(d);
	if (dsm_rank(d) == 0)
		CHECK_FAILS(dsm_free(d, p), EBUSY, "rank 1");
	test_barrier(d);
	p[0] = 1; /* it is there still, everywhere */
	CHECK_EQ(dsm_acquire(d, p, TEST_PAGE, DSM_READ), 0);
	CHECK_EQ(dsm_release(d, p, TEST_PAGE), 0);
	if (dsm_rank(d) == 1)
		CHECK_EQ(dsm_release(d, p + TEST_PAGE, TEST_PAGE), 0);
	test_barrier(d);
	if (dsm_rank(d) == 0)
		CHECK_EQ(dsm_free(d, p), 0);
	test_barrier(d);
	CHECK_FAILS(dsm_home(d, p), EFAULT, "in no region");
}

int main(void)
{
	struct place at;
	struct dsm *d;

	init();
	d = test_init();
	init_twice(d);
	alloc(d);
	at.d = d;
	at.p = test_alloc(d, "place", LEN, (struct dsm_attr){ 0 });
	at.next = test_alloc(d, "next", LEN, (struct dsm_attr){ 0 });
	at.outside = at.next + 8 * TEST_BLOCK;
	test_barrier(d);
	release(&at);
	look_up(&at);
	ranges(&at);
	modes(&at);
	pairs(&at);
	atomics(&at);
	sync_objects(d);
	statistics(d);
	texts(d);
	free_what_another_holds(&at);
	test_free(d, at.next);
	test_free(d, at.p); /* -EBUSY if anything had been left held */
	test_fini(d);
	return 0;
}
