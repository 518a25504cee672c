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
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dsm/dsm.h"

#define TEST_PAGE  4096ul
#define TEST_BLOCK (2ul << 20)

static unsigned test_rank;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "rank %u: %s:%d: %s is false; libdsm says: %s\n",          \
				test_rank, __FILE__, __LINE__, #cond, dsm_errmsg());                \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_) {                                                                    \
			fprintf(stderr, "rank %u: %s:%d: %s is %lld, not %s = %lld; libdsm says: %s\n", \
				test_rank, __FILE__, __LINE__, #a, a_, #b, b_, dsm_errmsg());       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static inline struct dsm *test_init(void)
{
	struct dsm *d = NULL;
	int err = dsm_init(&d, NULL);

	if (err < 0) {
		fprintf(stderr, "dsm_init: %s\n", dsm_errmsg());
		_exit(err == -EPERM || err == -ENOSYS || err == -EOPNOTSUPP ? 77 : 1);
	}
	test_rank = dsm_rank(d);
	return d;
}

static inline void test_fini(struct dsm *d)
{
	CHECK_EQ(dsm_fini(d), 0);
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

#endif
