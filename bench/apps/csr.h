/* SPDX-License-Identifier: MIT */
/*
 * Sparse matrices by rows: the elements of row i are from first[i] to first[i + 1] - 1.
 */
#ifndef CSR_H
#define CSR_H

#include "app.h"

struct csr {
	size_t n; /* rows */
	uint32_t *first; /* n + 1 */
	uint32_t *column; /* where in the vector an element's factor is */
	double *value;
};

/* y[i] = row i times x, for rows from begin to end - 1; y begins with row begin. */
static inline void csr_multiply(const struct csr *a, const double *x, double *y, size_t begin,
				size_t end)
{
	for (size_t i = begin; i < end; i++) {
		double sum = 0;

		for (uint32_t k = a->first[i]; k < a->first[i + 1]; k++)
			sum += a->value[k] * x[a->column[k]];
		y[i - begin] = sum;
	}
}

static inline void csr_alloc(struct csr *a, size_t n, size_t nelements)
{
	a->n = n;
	a->first = must_calloc(n + 1, sizeof(*a->first));
	a->column = must_calloc(nelements, sizeof(*a->column));
	a->value = must_calloc(nelements, sizeof(*a->value));
}

static inline void csr_free(struct csr *a)
{
	free(a->first);
	free(a->column);
	free(a->value);
}

/* Rows from begin to end - 1 as a matrix of its own, with the same columns. */
static inline void csr_slice(struct csr *part, const struct csr *a, size_t begin, size_t end)
{
	uint32_t from = a->first[begin], n = a->first[end] - from;

	csr_alloc(part, end - begin, n);
	for (size_t i = begin; i <= end; i++)
		part->first[i - begin] = a->first[i] - from;
	memcpy(part->column, a->column + from, n * sizeof(*a->column));
	memcpy(part->value, a->value + from, n * sizeof(*a->value));
}

#endif /* CSR_H */
