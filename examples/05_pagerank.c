/* SPDX-License-Identifier: MIT */
/*
 * Idea: which packages does everything else rest on? PageRank over the dependencies of the packages
 * that are installed here. Rank 0 reads them and allocates the graph like malloc: the others find
 * it by the pointers that it stores. Nobody writes the graph again, so after the first iteration
 * each rank has its share of it at the speed of private memory. What changes is one number a node:
 * each rank's numbers live in its own memory, and travel once an iteration.
 *
 * Command: mpirun -n 4 build/examples/05_pagerank [FILE]
 * FILE: in dpkg's format (default /var/lib/dpkg/status), or a list of links, two names a line.
 *
 * Expected output (differs by what is installed; DSM_STATS=1 adds what the library did):
 *	849 nodes, 2725 links, 56 iterations on 4 ranks
 *	 1. libc6                             22.17 %
 *	... and nine more ...
 *	same as alone
 */
#include <math.h>

#include "example.h"
#include "graph.h"
#include "parts.h"

#define DAMPING    0.85
#define ITERATIONS 200
#define PRECISION  1e-10

/* What rank 0 hands out. */
struct job {
	uint32_t nnodes; /* 0: there is nothing to do */
	uint32_t *first; /* node v is linked to by link[first[v]] to link[first[v + 1] - 1] */
	uint32_t *link; /* each is where the other's number is, counted in doubles in parts */
	uint32_t *nout; /* by node: how many it links to */
	struct parts parts;
};

/* Put the graph into shared memory: links by the node they lead to. */
static void share_graph(struct dsm *dsm, struct job *job, const struct graph *graph)
{
	TRY_PTR(job->first = dsm_alloc(dsm, (graph->nnodes + 2) * sizeof(uint32_t), NULL));
	TRY_PTR(job->link = dsm_alloc(dsm, (graph->nlinks + 1) * sizeof(uint32_t), NULL));
	TRY_PTR(job->nout = dsm_alloc(dsm, graph->nnodes * sizeof(uint32_t), NULL));
	parts_alloc(dsm, &job->parts, graph->nnodes);
	graph_sort(graph, job->first, job->link, job->nout);
	for (uint32_t i = 0; i < graph->nlinks; i++)
		job->link[i] = parts_place(&job->parts, job->link[i]);
	job->nnodes = graph->nnodes; /* the others look at it after the barrier */
}

/* Compute the new numbers of own nodes from everybody's old ones. */
static void compute(const struct job *job, unsigned rank, unsigned old, double base)
{
	const double *out = (const double *)job->parts.vector[old];
	const struct part *before = parts_get(&job->parts, old, rank);
	struct part *now = parts_get(&job->parts, !old, rank);
	uint32_t begin = rank * job->parts.nodes, end = begin + job->parts.nodes;

	now->idle = now->change = 0;
	for (uint32_t v = begin; v < end && v < job->nnodes; v++) {
		double sum = 0, value, nout = job->nout[v] ? job->nout[v] : 1;

		for (uint32_t i = job->first[v]; i < job->first[v + 1]; i++)
			sum += out[job->link[i]];
		value = base + DAMPING * sum;
		now->idle += job->nout[v] ? 0 : value;
		now->change += fabs(value - before->out[v - begin] * nout);
		now->out[v - begin] = value / nout;
	}
}

/* Iterate until nothing changes; returns how often. The result is of that number's parity. */
static unsigned iterate(struct dsm *dsm, const struct job *job)
{
	unsigned i;

	for (i = 0; i <= ITERATIONS; i++) {
		double idle, change, base = 1.0 / job->nnodes; /* to start with */

		parts_prefetch(dsm, &job->parts, i % 2);
		parts_sum(dsm, &job->parts, i % 2, &idle, &change);
		if (i && change < PRECISION)
			break;
		if (i)
			base *= 1 - DAMPING + DAMPING * idle;
		compute(job, dsm_rank(dsm), i % 2, base);
		TRY(dsm_barrier(dsm)); /* every part is new; the old ones may be overwritten */
	}
	return i;
}

/* Rank 0: take the result home, print it and compare it with the same done alone. */
static bool report(struct dsm *dsm, const struct job *job, const struct graph *graph, unsigned n)
{
	double *result = parts_collect(&job->parts, n % 2, job->nout, job->nnodes);
	bool same = result && graph_print(graph, result, n, dsm_size(dsm)) &&
		    graph_check(graph, result, DAMPING, n);

	free(result);
	return same;
}

int main(int argc, char **argv)
{
	struct dsm_attr attr = { .name = "pagerank" };
	struct graph graph;
	unsigned iterations;
	struct job *job;
	struct dsm *dsm;
	bool good;

	TRY(dsm_init(&dsm, NULL));
	TRY_PTR(job = dsm_alloc(dsm, sizeof(*job), &attr));
	if (dsm_rank(dsm) == 0 && graph_read(&graph, argc, argv))
		share_graph(dsm, job, &graph);
	TRY(dsm_barrier(dsm));
	good = job->nnodes; /* else rank 0 could not read it and said why; all end together */
	iterations = good ? iterate(dsm, job) : 0;
	if (good && dsm_rank(dsm) == 0)
		good = report(dsm, job, &graph, iterations);
	TRY(dsm_fini(dsm));
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
