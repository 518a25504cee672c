/* SPDX-License-Identifier: MIT */
/*
 * Rank 0 makes the graph in shared memory, where each rank reads its part of it: once, as nobody
 * writes it again. Two vectors of numbers in turn, of which each rank writes its part.
 */
#include "pagerank.h"
#include "team.h"

static void share_graph(struct team *t, struct graph *g, const struct vector *value)
{
	size_t nlinks = g->n * PAGERANK_LINKS;

	g->first = team_share(t, (g->n + 1) * sizeof(uint32_t), DSM_HOME_BLOCKED);
	g->link = team_share(t, nlinks * sizeof(uint32_t), DSM_HOME_BLOCKED);
	if (t->rank == 0) {
		pagerank_graph(g);
		for (size_t i = 0; i < nlinks; i++)
			g->link[i] = (uint32_t)vector_place(value, g->link[i]);
	}
	TRY(dsm_barrier(t->dsm));
}

static void iterate(struct team *t, const struct graph *g, const struct vector *old,
		    const struct vector *new)
{
	double *mine = vector_part(new, t->rank);
	size_t begin = vector_begin(new, t->rank), n = vector_len(new, t->rank);

	team_write_soon(t, mine, n * sizeof(*mine));
	team_fetch_vector(t, old);
	team_write_begin(t, mine, n * sizeof(*mine));
	pagerank_step(g, old->at, mine, begin, begin + n);
	team_write_end(t, mine, n * sizeof(*mine));
	TRY(dsm_barrier(t->dsm));
}

void pagerank_dsm(struct run *run, struct team *t)
{
	struct graph g = { .n = pagerank_size(run->class) };
	double sum = 0, squares = 0;
	struct vector value[2];

	team_share_vector(t, &value[0], g.n, 0);
	team_share_vector(t, &value[1], g.n, 0);
	share_graph(t, &g, &value[0]);
	pagerank_begin(g.n, vector_part(&value[0], t->rank), vector_len(&value[0], t->rank));
	TRY(dsm_barrier(t->dsm));
	iterate(t, &g, &value[0], &value[1]); /* brings the graph here */
	dsm_start(run, t);
	for (unsigned i = 0; i < PAGERANK_ITERATIONS; i++)
		iterate(t, &g, &value[i % 2], &value[!(i % 2)]);
	dsm_stop(run, t);
	for (unsigned r = 0; r < t->size && t->rank == 0; r++) {
		const struct vector *v = &value[PAGERANK_ITERATIONS % 2];

		pagerank_check(vector_part(v, r), vector_len(v, r), &sum, &squares);
	}
	pagerank_report(run, g.n, sum, squares);
}
