/* SPDX-License-Identifier: MIT */
/*
 * Each rank makes the graph and keeps its nodes'; after each iteration all numbers are gathered.
 */
#include "mpi_form.h"
#include "pagerank.h"

struct own {
	struct graph g; /* own nodes; links are nodes */
	size_t begin;
	double *all, *value; /* everybody's numbers, own new ones */
	int *counts, *displs; /* by rank: its nodes */
};

static void own_init(struct own *o, const struct run *run, size_t n)
{
	size_t end = part_begin(n, run->rank + 1, run->size);
	struct graph whole = { n, must_calloc(n + 1, sizeof(uint32_t)),
			       must_calloc(n * PAGERANK_LINKS, sizeof(uint32_t)) };
	uint32_t from, nlinks;

	pagerank_graph(&whole);
	o->begin = part_begin(n, run->rank, run->size);
	from = whole.first[o->begin];
	nlinks = whole.first[end] - from;
	o->g.n = n;
	o->g.first = must_calloc(end - o->begin + 1, sizeof(uint32_t));
	o->g.link = must_calloc(nlinks, sizeof(uint32_t));
	for (size_t v = o->begin; v <= end; v++)
		o->g.first[v - o->begin] = whole.first[v] - from;
	memcpy(o->g.link, whole.link + from, nlinks * sizeof(uint32_t));
	free(whole.first);
	free(whole.link);
	o->all = must_calloc(n, sizeof(double));
	o->value = must_calloc(end - o->begin, sizeof(double));
	o->counts = must_calloc(run->size, sizeof(int));
	o->displs = must_calloc(run->size, sizeof(int));
	for (unsigned r = 0; r < run->size; r++) {
		o->displs[r] = (int)part_begin(n, r, run->size);
		o->counts[r] = (int)part_begin(n, r + 1, run->size) - o->displs[r];
	}
}

static void own_fini(struct own *o)
{
	free(o->g.first);
	free(o->g.link);
	free(o->all);
	free(o->value);
	free(o->counts);
	free(o->displs);
}

static void iterate(const struct own *o, size_t own)
{
	pagerank_step(&o->g, o->all, o->value, 0, own);
	MPI_Allgatherv(o->value, (int)own, MPI_DOUBLE, o->all, o->counts, o->displs, MPI_DOUBLE,
		       MPI_COMM_WORLD);
}

void pagerank_mpi(struct run *run)
{
	size_t n = pagerank_size(run->class), own;
	double sum = 0, squares = 0;
	struct own o;

	own_init(&o, run, n);
	own = (size_t)o.counts[run->rank];
	pagerank_begin(n, o.all, n);
	iterate(&o, own);
	pagerank_begin(n, o.all, n);
	mpi_start(run);
	for (unsigned i = 0; i < PAGERANK_ITERATIONS; i++)
		iterate(&o, own);
	mpi_stop(run);
	pagerank_check(o.all, n, &sum, &squares);
	pagerank_report(run, n, sum, squares);
	own_fini(&o);
}
