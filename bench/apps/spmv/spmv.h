/* SPDX-License-Identifier: MIT */
/*
 * y = A x, again and again, with a sparse matrix that couples each point of a cubic grid with its
 * neighbours (up to 26). A is I - c L with a graph's Laplacian L: it is symmetric and its rows sum
 * to 1, so the sum of the vector stays what it was.
 *
 * Nothing below knows of the grid but the making of the matrix: what a rank needs of the others'
 * parts is what its columns name.
 */
#ifndef SPMV_H
#define SPMV_H

#include "csr.h"

#define SPMV_PRODUCTS   40
#define SPMV_WEIGHT     (1.0 / 32)
#define SPMV_NEIGHBOURS 27

/* Points along an edge of the cube. */
static inline size_t spmv_edge(char class)
{
	return class == 'S' ? 12 : 48;
}

static inline size_t spmv_elements_max(size_t edge)
{
	return edge * edge * edge * SPMV_NEIGHBOURS;
}

/* Append the row of point x, y, z. Returns where the next row's elements go. */
static inline uint32_t spmv_row(struct csr *a, uint32_t at, size_t edge, size_t x, size_t y,
				size_t z)
{
	uint32_t diagonal = at;
	double sum = 0;

	for (size_t k = z ? z - 1 : 0; k <= z + 1 && k < edge; k++) {
		for (size_t j = y ? y - 1 : 0; j <= y + 1 && j < edge; j++) {
			for (size_t i = x ? x - 1 : 0; i <= x + 1 && i < edge; i++) {
				bool self = i == x && j == y && k == z;

				if (self)
					diagonal = at;
				sum += self ? 0 : SPMV_WEIGHT;
				a->column[at] = (uint32_t)((k * edge + j) * edge + i);
				a->value[at++] = SPMV_WEIGHT;
			}
		}
	}
	a->value[diagonal] = 1 - sum;
	return at;
}

/* Rows from begin to end - 1 as a matrix of its own, with columns of the whole. */
static inline void spmv_matrix(struct csr *a, size_t edge, size_t begin, size_t end)
{
	uint32_t at = 0;

	for (size_t i = begin; i < end; i++) {
		a->first[i - begin] = at;
		at = spmv_row(a, at, edge, i % edge, i / edge % edge, i / edge / edge);
	}
	a->first[end - begin] = at;
}

/* The first vector's elements. */
static inline void spmv_begin(double *x, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		x[i - begin] = uniform(i);
}

static inline void spmv_check(const double *x, size_t n, double *sum, double *squares)
{
	for (size_t i = 0; i < n; i++) {
		*sum += x[i];
		*squares += x[i] * x[i];
	}
}

static inline double spmv_elements(size_t edge)
{
	double along = 3.0 * (double)edge - 2;

	return along * along * along;
}

static inline void spmv_report(const struct run *run, size_t edge, double sum, double squares)
{
	double expected = 0;

	for (size_t i = 0; i < edge * edge * edge; i++)
		expected += uniform(i);
	if (run->rank == 0)
		run_report(run,
			   &(struct result){ .work = 2e-6 * spmv_elements(edge) * SPMV_PRODUCTS,
					     .checksum = squares,
					     .ok = close_to(sum, expected, 1e-10) });
}

#endif /* SPMV_H */
