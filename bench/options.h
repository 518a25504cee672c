/* SPDX-License-Identifier: MIT */
/* Options: what the command line asks for. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "transfer.h"

#define OPTIONS_BYTES_MAX  16
#define OPTIONS_BLOCKS     10u
#define OPTIONS_BLOCKS_MAX 1000u

struct options {
	bool help;
	bool list;
	bool json;
	bool csv;
	const char *system; /* what csv calls libdsm */
	const char *repeat; /* number of this run in csv */
	unsigned blocks; /* of measurements, after one of warm-up */
	size_t iterations; /* 0: each test's own */
	size_t bytes[OPTIONS_BYTES_MAX];
	unsigned nbytes; /* 0: each test's own */
	size_t sizes[TRANSFER_SIZES_MAX + 1]; /* of get and put, 0 behind the last */
	char **names; /* of tests, part of argv */
	unsigned nnames;
};

/*
 * Read the command line. 0, or -EINVAL with a sentence in *message (static storage) that says what
 * is allowed. Names of tests are not looked at.
 */
int options_parse(struct options *o, int argc, char **argv, const char **message);

#endif
