/* SPDX-License-Identifier: MIT */
/*
 * Each rank has its rows of the matrix, and a part of each of two vectors in shared memory. It
 * reads the others' elements where they are; which ones, nobody has to know. Only to be faster does
 * a rank ask ahead for those from the lowest to the highest that its columns name.
 */
#include "spmv.h"
#include "team.h"

struct product {
	struct csr a; /* own rows; columns are places in the vectors */
	struct vector x[2];
	size_t low, high; /* elements before and after the own part that the rows name */
};

static void own_rows(struct product *p, size_t edge, const struct team *t)
{
	size_t begin = vector_begin(&p->x[0], t->rank), n = vector_len(&p->x[0], t->rank);

	csr_alloc(&p->a, n, n * SPMV_NEIGHBOURS);
	spmv_matrix(&p->a, edge, begin, begin + n);
	p->low = begin;
	p->high = begin + n;
	for (uint32_t k = 0; k < p->a.first[n]; k++) {
		uint32_t column = p->a.column[k];

		p->low = column < p->low ? column : p->low;
		p->high = column >= p->high ? column + 1 : p->high;
		p->a.column[k] = (uint32_t)vector_place(&p->x[0], column);
	}
}

/* Elements from begin to end - 1, part by part. */
static void fetch(const struct team *t, const struct vector *x, size_t begin, size_t end)
{
	while (begin < end) {
		size_t next = (begin / x->each + 1) * x->each;

		next = next < end ? next : end;
		team_fetch(t, x->at + vector_place(x, begin), (next - begin) * sizeof(double));
		begin = next;
	}
}

static void multiply(const struct team *t, const struct product *p, unsigned old)
{
	const struct vector *x = &p->x[old], *y = &p->x[!old];
	size_t begin = vector_begin(x, t->rank), n = p->a.n;
	double *mine = vector_part(y, t->rank);

	team_write_soon(t, mine, n * sizeof(*mine));
	fetch(t, x, p->low, begin);
	fetch(t, x, begin + n, p->high);
	team_write_begin(t, mine, n * sizeof(*mine));
	csr_multiply(&p->a, x->at, mine, 0, n);
	team_write_end(t, mine, n * sizeof(*mine));
	TRY(dsm_barrier(t->dsm));
}

void spmv_dsm(struct run *run, struct team *t)
{
	size_t edge = spmv_edge(run->class), n = edge * edge * edge;
	double sum = 0, squares = 0;
	struct product p;

	for (unsigned i = 0; i < 2; i++)
		team_share_vector(t, &p.x[i], n, edge * edge * sizeof(double));
	own_rows(&p, edge, t);
	spmv_begin(vector_part(&p.x[0], t->rank), vector_begin(&p.x[0], t->rank),
		   vector_begin(&p.x[0], t->rank + 1));
	TRY(dsm_barrier(t->dsm));
	multiply(t, &p, 0);
	dsm_start(run, t);
	for (unsigned i = 0; i < SPMV_PRODUCTS; i++)
		multiply(t, &p, i % 2);
	dsm_stop(run, t);
	for (unsigned r = 0; r < t->size && t->rank == 0; r++)
		spmv_check(vector_part(&p.x[SPMV_PRODUCTS % 2], r), vector_len(&p.x[0], r), &sum,
			   &squares);
	spmv_report(run, edge, sum, squares);
	csr_free(&p.a);
}
