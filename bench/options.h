/* SPDX-License-Identifier: MIT */
/* Options: what the command line asks for. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_BYTES_MAX 16

struct options {
	bool help;
	bool list;
	bool json;
	size_t iterations; /* 0: each test's own */
	size_t bytes[OPTIONS_BYTES_MAX];
	unsigned nbytes; /* 0: each test's own */
	char **names; /* of tests, part of argv */
	unsigned nnames;
};

/*
 * Read the command line. 0, or -EINVAL with a sentence in *message (static storage) that says what
 * is allowed. Names of tests are not looked at.
 */
int options_parse(struct options *o, int argc, char **argv, const char **message);

#endif
