/* SPDX-License-Identifier: MIT */
/*
 * PageRank of a random graph: few nodes have many links that lead to them. A rank computes a part
 * of the nodes, from all nodes' numbers of the iteration before.
 */
#ifndef PAGERANK_H
#define PAGERANK_H

#include "app.h"

#define PAGERANK_DAMPING    0.85
#define PAGERANK_LINKS      16 /* that lead away from a node */
#define PAGERANK_ITERATIONS 20

/* Links that lead to node v are link[first[v]] to link[first[v + 1] - 1]. */
struct graph {
	size_t n;
	uint32_t *first; /* n + 1 */
	uint32_t *link; /* where in the vector the other node's number is */
};

static inline size_t pagerank_size(char class)
{
	return class == 'S' ? 1 << 12 : 1 << 17;
}

/* Where link k of node v leads: to low numbers more often, and these scattered over all nodes. */
static inline uint32_t pagerank_target(size_t n, size_t v, unsigned k)
{
	double u = uniform(v * PAGERANK_LINKS + k);
	uint64_t popular = (uint64_t)((double)n * u * u * u);

	return (uint32_t)(popular * 2654435761u % n); /* odd, and n is a power of two */
}

/* Fill first and link, which have room. */
static inline void pagerank_graph(struct graph *g)
{
	uint32_t *next = must_calloc(g->n, sizeof(*next));

	memset(g->first, 0, (g->n + 1) * sizeof(*g->first));
	for (size_t v = 0; v < g->n; v++)
		for (unsigned k = 0; k < PAGERANK_LINKS; k++)
			g->first[pagerank_target(g->n, v, k) + 1]++;
	for (size_t v = 0; v < g->n; v++) {
		next[v] = g->first[v];
		g->first[v + 1] += g->first[v];
	}
	for (size_t v = 0; v < g->n; v++)
		for (unsigned k = 0; k < PAGERANK_LINKS; k++)
			g->link[next[pagerank_target(g->n, v, k)]++] = (uint32_t)v;
	free(next);
}

/* Numbers of nodes from begin to end - 1; `value` begins with node begin. */
static inline void pagerank_step(const struct graph *g, const double *old, double *value,
				 size_t begin, size_t end)
{
	for (size_t v = begin; v < end; v++) {
		double sum = 0;

		for (uint32_t i = g->first[v]; i < g->first[v + 1]; i++)
			sum += old[g->link[i]];
		value[v - begin] = (1 - PAGERANK_DAMPING) / (double)g->n +
				   PAGERANK_DAMPING / PAGERANK_LINKS * sum;
	}
}

static inline void pagerank_begin(size_t n, double *value, size_t own)
{
	for (size_t i = 0; i < own; i++)
		value[i] = 1 / (double)n;
}

/* Add a part's numbers to their sum, and to that of their squares. */
static inline void pagerank_check(const double *value, size_t n, double *sum, double *squares)
{
	for (size_t i = 0; i < n; i++) {
		*sum += value[i];
		*squares += value[i] * value[i];
	}
}

static inline void pagerank_report(const struct run *run, size_t n, double sum, double squares)
{
	if (run->rank == 0)
		run_report(run, &(struct result){ .work = 1e-6 * (double)n * PAGERANK_LINKS *
							  PAGERANK_ITERATIONS,
						  .checksum = squares * (double)n,
						  .ok = close_to(sum, 1, 1e-9) });
}

#endif /* PAGERANK_H */
