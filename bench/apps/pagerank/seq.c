/* SPDX-License-Identifier: MIT */
#include "pagerank.h"

void pagerank_seq(struct run *run)
{
	size_t n = pagerank_size(run->class);
	struct graph g = { n, must_calloc(n + 1, sizeof(uint32_t)),
			   must_calloc(n * PAGERANK_LINKS, sizeof(uint32_t)) };
	double *value[2] = { must_calloc(n, sizeof(double)), must_calloc(n, sizeof(double)) };
	double sum = 0, squares = 0;

	pagerank_graph(&g);
	pagerank_begin(n, value[0], n);
	pagerank_step(&g, value[0], value[1], 0, n); /* untimed, as in the other forms */
	seq_start(run);
	for (unsigned i = 0; i < PAGERANK_ITERATIONS; i++)
		pagerank_step(&g, value[i % 2], value[!(i % 2)], 0, n);
	seq_stop(run);
	pagerank_check(value[PAGERANK_ITERATIONS % 2], n, &sum, &squares);
	pagerank_report(run, n, sum, squares);
	free(value[0]);
	free(value[1]);
	free(g.first);
	free(g.link);
}
