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
 *	 2. libgcc-s1                         19.70 %
 *	... and eight more ...
 *	same as alone
 */
#include <math.h>

#include "example.h"
#include "graph.h"

#define DAMPING    0.85
#define ITERATIONS 200
#define PRECISION  1e-10

/* The numbers of one rank: whole blocks, so that they live in its own memory. */
struct part {
	double idle; /* sum of the nodes that link to nobody */
	double change; /* by the latest iteration */
	double out[]; /* what a node gives to each node it links to: its value / its links */
};

/* What rank 0 hands out. Node v is number v % part_nodes of part v / part_nodes. */
struct job {
	uint32_t nnodes, nlinks, part_nodes;
	size_t part_bytes;
	char *parts[2]; /* of even and of odd iterations */
	uint32_t *first; /* node v is linked to by link[first[v]] to link[first[v + 1] - 1] */
	uint32_t *link; /* each is where the other's number is, counted in doubles in parts */
	uint32_t *nout; /* by node: how many it links to */
};

static struct part *part(const struct job *job, unsigned parity, unsigned rank)
{
	return (struct part *)(job->parts[parity] + rank * job->part_bytes);
}

static uint32_t place(const struct job *job, uint32_t node)
{
	return (uint32_t)(node / job->part_nodes * (job->part_bytes / sizeof(double)) +
			  offsetof(struct part, out) / sizeof(double) + node % job->part_nodes);
}

static double value(const struct job *job, unsigned parity, uint32_t node)
{
	double out = ((double *)job->parts[parity])[place(job, node)];

	return job->nout[node] ? out * job->nout[node] : out;
}

/* Put the graph into shared memory: links by the node they lead to. */
static void share_graph(struct dsm *dsm, struct job *job, const struct graph *graph)
{
	job->part_nodes = (graph->nnodes + dsm_size(dsm) - 1) / dsm_size(dsm);
	job->part_bytes =
		round_up(sizeof(struct part) + job->part_nodes * sizeof(double), BLOCK_SIZE);
	for (unsigned i = 0; i < 2; i++) /* part r is the r-th of size equal parts: at rank r */
		TRY_PTR(job->parts[i] = dsm_alloc(dsm, dsm_size(dsm) * job->part_bytes, NULL));
	TRY_PTR(job->first = dsm_alloc(dsm, (graph->nnodes + 2) * sizeof(uint32_t), NULL));
	TRY_PTR(job->nout = dsm_alloc(dsm, graph->nnodes * sizeof(uint32_t), NULL));
	TRY_PTR(job->link = dsm_alloc(dsm, (graph->nlinks + 1) * sizeof(uint32_t), NULL));

	/* Count, add up, fill in; first[v + 1] moves from the first of v's links past the last. */
	for (uint32_t i = 0; i < graph->nlinks; i++) {
		job->nout[graph->link[i].from]++;
		job->first[graph->link[i].to + 2]++;
	}
	for (uint32_t v = 2; v < graph->nnodes + 2; v++)
		job->first[v] += job->first[v - 1];
	for (uint32_t i = 0; i < graph->nlinks; i++)
		job->link[job->first[graph->link[i].to + 1]++] = place(job, graph->link[i].from);
	job->nlinks = graph->nlinks;
	job->nnodes = graph->nnodes; /* last: the others look at it after the barrier */
}

/* Compute the new numbers of own nodes from everybody's old ones. */
static void compute(const struct job *job, unsigned rank, unsigned old, double base)
{
	const double *out = (const double *)job->parts[old];
	struct part *mine = part(job, !old, rank);
	uint32_t begin = rank * job->part_nodes, end = begin + job->part_nodes;
	double idle = 0, change = 0;

	for (uint32_t v = begin; v < end && v < job->nnodes; v++) {
		double sum = 0, now;

		for (uint32_t i = job->first[v]; i < job->first[v + 1]; i++)
			sum += out[job->link[i]];
		now = base + DAMPING * sum;
		idle += job->nout[v] ? 0 : now;
		change += fabs(now - value(job, old, v));
		mine->out[v - begin] = job->nout[v] ? now / job->nout[v] : now;
	}
	mine->idle = idle;
	mine->change = change;
}

/* Iterate until nothing changes; returns how often. The result is of that number's parity. */
static unsigned iterate(struct dsm *dsm, const struct job *job)
{
	size_t len = sizeof(struct part) + job->part_nodes * sizeof(double);
	unsigned i;

	for (i = 0; i <= ITERATIONS; i++) {
		double idle = 0, change = 0, base = 1.0 / job->nnodes; /* to start with */

		for (unsigned r = 0; r < dsm_size(dsm); r++)
			if (r != dsm_rank(dsm))
				TRY(dsm_prefetch(dsm, part(job, i % 2, r), len, DSM_READ));
		for (unsigned r = 0; r < dsm_size(dsm); r++) {
			idle += part(job, i % 2, r)->idle;
			change += part(job, i % 2, r)->change;
		}
		if (i && change < PRECISION)
			break;
		if (i)
			base *= 1 - DAMPING + DAMPING * idle;
		compute(job, dsm_rank(dsm), i % 2, base);
		TRY(dsm_barrier(dsm)); /* every part is new; the old ones may be overwritten */
		if (dsm_rank(dsm) == 0)
			progress("ranking", i, ITERATIONS);
	}
	return i;
}

/* Rank 0: take the result home, print it and compare it with the same done alone. */
static bool report(const struct job *job, const struct graph *graph, unsigned iterations)
{
	double *result = calloc(job->nnodes, sizeof(*result));
	bool same;

	for (uint32_t v = 0; result && v < job->nnodes; v++)
		result[v] = value(job, iterations % 2, v);
	same = result && graph_print_top(graph, result) &&
	       graph_check(graph, result, DAMPING, iterations);
	printf("%s", same ? "same as alone\n" : "");
	fflush(stdout); /* before the statistics, which go to stderr */
	free(result);
	return same;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/var/lib/dpkg/status";
	struct dsm_attr attr = { .name = "pagerank" };
	struct graph graph = { 0 };
	bool good = true;
	struct job *job;
	struct dsm *dsm;

	TRY(dsm_init(&dsm, NULL));
	TRY_PTR(job = dsm_alloc(dsm, sizeof(*job), &attr));
	if (dsm_rank(dsm) == 0) {
		if (argc > 2)
			fprintf(stderr, "usage: %s [FILE]\n", argv[0]);
		else if (graph_read(&graph, path))
			share_graph(dsm, job, &graph);
	}
	TRY(dsm_barrier(dsm));
	if (job->nnodes) {
		unsigned iterations = iterate(dsm, job);

		if (dsm_rank(dsm) == 0) {
			printf("%" PRIu32 " nodes, %" PRIu32 " links, %u iterations on %u ranks\n",
			       job->nnodes, job->nlinks, iterations, dsm_size(dsm));
			good = report(job, &graph, iterations);
		}
	} else {
		good = false; /* rank 0 could not read it and said why; all end together */
	}
	TRY(dsm_fini(dsm));
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
