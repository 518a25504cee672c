/* SPDX-License-Identifier: MIT */
/*
 * The heat of a square plate whose upper edge is held at 100 degrees and the others at 0: each cell
 * becomes the mean of its four neighbours, step by step, from one copy of the plate to the other.
 */
#ifndef HEAT_H
#define HEAT_H

#include "app.h"

struct heat_size {
	size_t n; /* cells in a row, and rows */
	unsigned steps;
};

static inline struct heat_size heat_size(char class)
{
	return class == 'S' ? (struct heat_size){ 256, 40 } : (struct heat_size){ 1024, 400 };
}

static inline void heat_edge(double *row, size_t n)
{
	for (size_t j = 0; j < n; j++)
		row[j] = 100;
}

/* A row's next values, from its own and its neighbours'; its ends stay. */
static inline void heat_row(double *restrict out, const double *up, const double *mid,
			    const double *down, size_t n)
{
	for (size_t j = 1; j < n - 1; j++)
		out[j] = 0.25 * ((up[j] + down[j]) + (mid[j - 1] + mid[j + 1]));
}

/* Add a row to the checksum. False: it is not symmetric, as it has to be to the last bit. */
static inline bool heat_check_row(const double *row, size_t n, double *checksum)
{
	bool symmetric = true;

	for (size_t j = 0; j < n; j++) {
		*checksum += row[j];
		symmetric &= row[j] == row[n - 1 - j];
	}
	return symmetric;
}

static inline void heat_report(const struct run *run, struct heat_size s, double checksum, bool ok)
{
	if (run->rank == 0)
		run_report(run, &(struct result){ .work = 1e-6 * (double)(s.n * s.n) * s.steps,
						  .checksum = checksum,
						  .ok = ok });
}

#endif /* HEAT_H */
