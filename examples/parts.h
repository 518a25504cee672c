/* SPDX-License-Identifier: MIT */
/*
 * The numbers of 05_pagerank: one a node, two vectors of them, for even and for odd iterations.
 * Each rank writes one part and reads all. A part is whole blocks of a region whose homes are
 * blocked, so it lives in the memory of the rank that writes it.
 */
#ifndef EXAMPLE_PARTS_H
#define EXAMPLE_PARTS_H

#include <stddef.h>

#include "example.h"

struct part {
	double idle; /* sum of the nodes that link to nobody */
	double change; /* by the latest iteration */
	double out[]; /* what a node gives to each node it links to: its value / its links */
};

/* Node v is number v % nodes of part v / nodes. */
struct parts {
	uint32_t nodes;
	size_t bytes;
	char *vector[2];
};

static inline void parts_alloc(struct dsm *dsm, struct parts *parts, uint32_t nnodes)
{
	parts->nodes = (nnodes + dsm_size(dsm) - 1) / dsm_size(dsm);
	parts->bytes = round_up(sizeof(struct part) + parts->nodes * sizeof(double), BLOCK_SIZE);
	for (unsigned i = 0; i < 2; i++) /* part r is the r-th of size equal parts: at rank r */
		TRY_PTR(parts->vector[i] = dsm_alloc(dsm, dsm_size(dsm) * parts->bytes, NULL));
}

static inline struct part *parts_get(const struct parts *parts, unsigned parity, unsigned rank)
{
	return (struct part *)(parts->vector[parity] + rank * parts->bytes);
}

/* Where a node's number is in a vector, counted in doubles. */
static inline uint32_t parts_place(const struct parts *parts, uint32_t node)
{
	return (uint32_t)(node / parts->nodes * (parts->bytes / sizeof(double)) +
			  offsetof(struct part, out) / sizeof(double) + node % parts->nodes);
}

/* Ask for the parts of the others, all at once. */
static inline void parts_prefetch(struct dsm *dsm, const struct parts *parts, unsigned parity)
{
	size_t len = sizeof(struct part) + parts->nodes * sizeof(double);

	for (unsigned r = 0; r < dsm_size(dsm); r++)
		if (r != dsm_rank(dsm))
			TRY(dsm_prefetch(dsm, parts_get(parts, parity, r), len, DSM_READ));
}

/* What the parts say of themselves, added up. */
static inline void parts_sum(struct dsm *dsm, const struct parts *parts, unsigned parity,
			     double *idle, double *change)
{
	*idle = *change = 0;
	for (unsigned r = 0; r < dsm_size(dsm); r++) {
		*idle += parts_get(parts, parity, r)->idle;
		*change += parts_get(parts, parity, r)->change;
	}
}

/* All nodes' values in private memory, to be freed; NULL: no memory. */
static inline double *parts_collect(const struct parts *parts, unsigned parity,
				    const uint32_t *nout, uint32_t nnodes)
{
	const double *out = (const double *)parts->vector[parity];
	double *result = calloc(nnodes, sizeof(*result));

	for (uint32_t v = 0; result && v < nnodes; v++)
		result[v] = out[parts_place(parts, v)] * (nout[v] ? nout[v] : 1);
	return result;
}

#endif /* EXAMPLE_PARTS_H */
