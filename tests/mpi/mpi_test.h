/* SPDX-License-Identifier: MIT */
/*
 * For tests that run as several ranks under a launcher: a check that says where, and which rank.
 *
 * A failing rank leaves at once with status 1, without dsm_fini(): the others then see it die, and
 * fail too, so a failure anywhere ends the whole test.
 */
#ifndef MPI_TEST_H
#define MPI_TEST_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dsm/dsm.h"

#define TEST_PAGE  4096ul
#define TEST_BLOCK (2ul << 20)

static unsigned test_rank;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "rank %u: %s:%d: %s is false; libdsm says: %s\n",          \
				test_rank, __FILE__, __LINE__, #cond, dsm_errmsg());               \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_) {                                                                    \
			fprintf(stderr,                                                            \
				"rank %u: %s:%d: %s is %lld, not %s = %lld; libdsm says: %s\n",    \
				test_rank, __FILE__, __LINE__, #a, a_, #b, b_, dsm_errmsg());      \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* The call fails with this errno, and its sentence has this text in it ("": it has any). */
#define CHECK_FAILS(call, err, text)                                                               \
	do {                                                                                       \
		CHECK_EQ(call, -(err));                                                            \
		CHECK(dsm_errmsg()[0] && strstr(dsm_errmsg(), text));                              \
	} while (0)

/* The same for a call that returns memory. */
#define CHECK_FAILS_NULL(call, err, text)                                                          \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) == NULL);                                                             \
		CHECK_EQ(errno, err);                                                              \
		CHECK(dsm_errmsg()[0] && strstr(dsm_errmsg(), text));                              \
	} while (0)

/* One step of a test; TEST_VERBOSE=1 in the environment: say in each rank how long it took. */
#define STEP(call)                                                                                 \
	do {                                                                                       \
		double start_ = test_seconds();                                                    \
		call;                                                                              \
		if (getenv("TEST_VERBOSE"))                                                        \
			fprintf(stderr, "rank %u: %7.3f s %s\n", test_rank,                        \
				test_seconds() - start_, #call);                                   \
	} while (0)

/* How often something is done. TEST_SHORT=1 in the environment: a tenth of that, for machines as
 * slow as emulated ones. */
static inline unsigned test_rounds(unsigned n)
{
	return getenv("TEST_SHORT") ? (n + 9) / 10 : n;
}

static inline double test_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A process that may not have userfaultfd is no rank: such a test is skipped. */
static inline struct dsm *test_init_config(const struct dsm_config *config)
{
	struct dsm *d = NULL;
	int err = dsm_init(&d, config);

	if (err < 0) {
		fprintf(stderr, "dsm_init: %s\n", dsm_errmsg());
		_exit(err == -EPERM || err == -ENOSYS || err == -EOPNOTSUPP ? 77 : 1);
	}
	test_rank = dsm_rank(d);
	return d;
}

static inline struct dsm *test_init(void)
{
	return test_init_config(NULL);
}

static inline void test_fini(struct dsm *d)
{
	CHECK_EQ(dsm_fini(d), 0);
}

/* The same, with stderr going to a file; what came is then in text. */
static inline void test_fini_captured(struct dsm *d, char *text, size_t size)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO), err;
	size_t n;

	CHECK(file != NULL && saved >= 0);
	CHECK(dup2(fileno(file), STDERR_FILENO) >= 0);
	err = dsm_fini(d);
	CHECK(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	CHECK_EQ(err, 0);
	rewind(file);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
	if (getenv("TEST_VERBOSE"))
		fputs(text, stderr);
}

/* The same region in every rank: collective. */
static inline void *test_alloc(struct dsm *d, const char *name, size_t len, struct dsm_attr attr)
{
	void *p;

	attr.name = name;
	p = dsm_alloc(d, len, &attr);
	CHECK(p != NULL);
	return p;
}

/* Free it everywhere, and wait: the name can then be used anew. */
static inline void test_free(struct dsm *d, void *p)
{
	CHECK_EQ(dsm_barrier(d), 0);
	CHECK_EQ(dsm_free(d, p), 0);
	CHECK_EQ(dsm_barrier(d), 0);
}

static inline void test_barrier(struct dsm *d)
{
	CHECK_EQ(dsm_barrier(d), 0);
}

static inline struct dsm_stats test_stats(struct dsm *d)
{
	struct dsm_stats s;

	CHECK_EQ(dsm_stats_get(d, &s, sizeof(s)), 0);
	return s;
}

/* A thread of a test: which of its rank, and which of all. */
struct test_thread {
	struct dsm *d;
	void *arg;
	unsigned index; /* in the rank */
	unsigned all; /* rank * threads a rank + index */
	void (*run)(struct test_thread *t);
	pthread_t id;
};

#define TEST_THREADS_MAX 8u

static inline void *test_thread_main(void *arg)
{
	struct test_thread *t = arg;

	t->run(t);
	return NULL;
}

/* Run n threads in this rank and wait for them. */
static inline void test_threads(struct dsm *d, unsigned n, void (*run)(struct test_thread *t),
				void *arg)
{
	struct test_thread t[TEST_THREADS_MAX];

	CHECK(n <= TEST_THREADS_MAX);
	for (unsigned i = 0; i < n; i++) {
		t[i] = (struct test_thread){
			.d = d, .arg = arg, .index = i, .all = dsm_rank(d) * n + i, .run = run
		};
		CHECK_EQ(pthread_create(&t[i].id, NULL, test_thread_main, &t[i]), 0);
	}
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(pthread_join(t[i].id, NULL), 0);
}

#endif
