/* SPDX-License-Identifier: MIT */
/*
 * One run: a kernel on so many ranks; what was counted; which laws held.
 */
#ifndef SCALE_KERNEL_RUN_H
#define SCALE_KERNEL_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels.h"
#include "machine.h"

#define RUN_LAWS_MAX  8u
#define RUN_LAW_BYTES 160u

struct run_params {
	const struct topology *topology;
	const struct cost *cost;
	unsigned npages; /* of a rank in each region, at least RUN_PAGES_MIN */
	unsigned iterations;
	uint64_t seed;
	unsigned group; /* see struct machine_layout */
};

#define RUN_PAGES_MIN 8u

struct law {
	bool held;
	char text[RUN_LAW_BYTES];
};

/* A home that has more than its share of the traffic. */
struct hot {
	unsigned rank;
	const char *region;
	double share; /* of all bytes to and from homes */
	uint64_t messages, chains;
};

/* The edge that was in use for the largest part of the time, in one direction. */
struct busiest {
	const char *name;
	bool up;
	double share;
};

struct run {
	const struct kernel *kernel;
	struct run_params params;
	unsigned n;
	unsigned iterations; /* measured */
	struct machine *machine;
	/* results */
	struct machine_counts counts;
	uint64_t operations; /* loads, stores and puts that had to go further than the page table;
			      * locks taken; barriers */
	uint64_t time_ps; /* of the measured iterations */
	struct hot hot;
	bool has_hot;
	struct busiest busiest;
	unsigned directory_bytes;
	unsigned group; /* ranks that share a counter of readers, 1 if none do */
	struct law law[RUN_LAWS_MAX];
	unsigned nlaws;
	bool broken; /* a law */
	uint64_t events;
};

/* 0; -EINVAL, -ENOMEM, -EDEADLK: error_text(). A broken law is no error. */
int run_kernel(struct run *run, const struct kernel *k, unsigned n,
	       const struct run_params *params);

/* Of the kernels' laws: record one, and whether it held. */
void run_law(struct run *run, bool held, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Rounds of a barrier: log2 of n, rounded up. */
unsigned run_rounds(unsigned n);

void run_csv_head(FILE *out);
void run_csv(const struct run *run, FILE *out);
void run_text_head(FILE *out);
void run_text(const struct run *run, FILE *out);

#endif
