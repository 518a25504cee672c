/* SPDX-License-Identifier: MIT */
/*
 * The plate of 04_heat, row by row: its size, its edge, a step of one row; and all steps alone in
 * private memory, to compare with.
 */
#ifndef EXAMPLE_HEAT_H
#define EXAMPLE_HEAT_H

#include <stdbool.h>
#include <string.h>

#include "example.h"

#define N         1024u /* cells in a row, and rows */
#define ROW_BYTES (N * sizeof(double))
#define STEPS     300u /* unless the command says how many */

/* The upper edge is hot; everything else is zero already. */
static inline void heat_edge(double *row)
{
	for (unsigned j = 0; j < N; j++)
		row[j] = 100;
}

/* A row's next values, from its own and its neighbours'; its ends stay. */
static inline void relax(double *restrict out, const double *up, const double *mid,
			 const double *down)
{
	for (unsigned j = 1; j < N - 1; j++)
		out[j] = 0.25 * (up[j] + down[j] + mid[j - 1] + mid[j + 1]);
}

/* All steps alone; the result is at plate + steps % 2 * N * N. NULL: no memory. */
static inline double *heat_alone(unsigned steps)
{
	double *plate = calloc(2 * N, ROW_BYTES);

	if (!plate)
		return NULL;
	heat_edge(plate);
	heat_edge(plate + N * N);
	for (unsigned step = 0; step < steps; step++) {
		const double *old = plate + step % 2 * N * N;
		double *next = plate + (step + 1) % 2 * N * N;

		for (unsigned i = 1; i < N - 1; i++)
			relax(next + i * N, old + (i - 1) * N, old + i * N, old + (i + 1) * N);
	}
	return plate;
}

/* Compare the result, by rows, with the one computed alone; says on stderr what differs. */
static inline bool heat_check(double *const row[N], unsigned steps)
{
	double *plate = heat_alone(steps);
	bool same = plate;

	if (!plate)
		fprintf(stderr, "04_heat: no memory for the comparison\n");
	for (unsigned i = 0; same && i < N; i++) {
		same = !memcmp(row[i], plate + (steps % 2 * N + i) * N, ROW_BYTES);
		if (!same)
			fprintf(stderr, "04_heat: row %u differs from the same run alone\n", i);
	}
	free(plate);
	return same;
}

#endif /* EXAMPLE_HEAT_H */
