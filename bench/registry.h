/* SPDX-License-Identifier: MIT */
/* Registry: the table of tests. */
#ifndef BENCH_REGISTRY_H
#define BENCH_REGISTRY_H

#include <stddef.h>

struct bench;

struct bench_test {
	const char *name;
	const char *meaning;
	unsigned ranks; /* needed at least */
	const char *target;
	const char *reference; /* what peers were measured to need */
	void (*run)(struct bench *b);
};

/* The table; *count receives the number of rows. */
const struct bench_test *registry_tests(size_t *count);

/* NULL if there is no such test. */
const struct bench_test *registry_find(const char *name);
/* The name that is most like this one; never NULL. */
const char *registry_nearest(const char *name);

#endif
