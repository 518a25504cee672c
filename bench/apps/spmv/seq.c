/* SPDX-License-Identifier: MIT */
#include "spmv.h"

void spmv_seq(struct run *run)
{
	size_t edge = spmv_edge(run->class), n = edge * edge * edge;
	double *x[2] = { must_calloc(n, sizeof(double)), must_calloc(n, sizeof(double)) };
	double sum = 0, squares = 0;
	struct csr a;

	csr_alloc(&a, n, spmv_elements_max(edge));
	spmv_matrix(&a, edge, 0, n);
	spmv_begin(x[0], 0, n);
	csr_multiply(&a, x[0], x[1], 0, n); /* untimed, as in the other forms */
	seq_start(run);
	for (unsigned i = 0; i < SPMV_PRODUCTS; i++)
		csr_multiply(&a, x[i % 2], x[!(i % 2)], 0, n);
	seq_stop(run);
	spmv_check(x[SPMV_PRODUCTS % 2], n, &sum, &squares);
	spmv_report(run, edge, sum, squares);
	csr_free(&a);
	free(x[0]);
	free(x[1]);
}
