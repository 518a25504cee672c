/* SPDX-License-Identifier: MIT */
/* Samples: measured times of one thing, and what perftest's columns say of them. One thread. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>

struct samples {
	double *us;
	size_t n;
	size_t max;
};

#define SAMPLES_INIT                                                                               \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

struct summary {
	size_t n;
	double min_us, max_us, median_us, mean_us, stdev_us, p99_us, p999_us;
};

/* Append a time; not while something is being timed: it may allocate. */
void samples_add(struct samples *s, double us);
/* Forget all samples: those of the warm-up. */
void samples_clear(struct samples *s);
void samples_free(struct samples *s);

/* Sorts the samples. All zeros if there are none. */
void samples_summarize(struct samples *s, struct summary *summary);

#endif
