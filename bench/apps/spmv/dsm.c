/* SPDX-License-Identifier: MIT */
/*
 * Each rank has its rows of the matrix, and a part of each of two vectors in shared memory. It
 * reads the others' elements where they are; which ones, nobody has to know. Only to be faster do
 * ranks tell one another the lowest and the highest that their columns name: a rank then asks ahead
 * for what it will read, and releases of its part what others will.
 */
#include "spmv.h"
#include "team.h"

/* Elements from low to high - 1. */
struct span {
	size_t low, high;
};

struct product {
	struct csr a; /* own rows; columns are places in the vectors */
	struct vector x[2];
	struct span *named; /* shared, by rank */
	struct span front, back; /* of the own part: what ranks before and after this one read */
};

static void own_rows(struct product *p, size_t edge, const struct team *t)
{
	size_t begin = vector_begin(&p->x[0], t->rank), n = vector_len(&p->x[0], t->rank);
	struct span named = { begin, begin + n };

	csr_alloc(&p->a, n, n * SPMV_NEIGHBOURS);
	spmv_matrix(&p->a, edge, begin, begin + n);
	for (uint32_t k = 0; k < p->a.first[n]; k++) {
		uint32_t column = p->a.column[k];

		named.low = column < named.low ? column : named.low;
		named.high = column >= named.high ? column + 1 : named.high;
		p->a.column[k] = (uint32_t)vector_place(&p->x[0], column);
	}
	p->named[t->rank] = named;
}

/* What the others read of the own part, once all have said so. */
static void find_readers(struct product *p, const struct team *t)
{
	size_t begin = vector_begin(&p->x[0], t->rank), end = begin + p->a.n;

	p->front = (struct span){ begin, begin };
	p->back = (struct span){ end, end };
	for (unsigned r = 0; r < t->size; r++) {
		const struct span *named = &p->named[r];

		if (r < t->rank && named->high > p->front.high)
			p->front.high = named->high < end ? named->high : end;
		if (r > t->rank && named->low < p->back.low)
			p->back.low = named->low > begin ? named->low : begin;
	}
}

/* Do something with elements of the own part of y. */
static void own_span(const struct team *t, const struct vector *y, struct span s,
		     void (*what)(const struct team *t, const void *at, size_t bytes))
{
	if (s.low < s.high)
		what(t, y->at + vector_place(y, s.low), (s.high - s.low) * sizeof(double));
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

	own_span(t, y, p->front, team_write_soon);
	own_span(t, y, p->back, team_write_soon);
	fetch(t, x, p->named[t->rank].low, begin);
	fetch(t, x, begin + n, p->named[t->rank].high);
	own_span(t, y, p->front, team_write_begin);
	own_span(t, y, p->back, team_write_begin);
	csr_multiply(&p->a, x->at, vector_part(y, t->rank), 0, n);
	own_span(t, y, p->front, team_write_end);
	own_span(t, y, p->back, team_write_end);
	TRY(dsm_barrier(t->dsm));
}

void spmv_dsm(struct run *run, struct team *t)
{
	size_t edge = spmv_edge(run->class), n = edge * edge * edge;
	double sum = 0, squares = 0;
	struct product p;

	for (unsigned i = 0; i < 2; i++)
		team_share_vector(t, &p.x[i], n, edge * edge * sizeof(double));
	p.named = team_share(t, t->size * sizeof(*p.named), DSM_HOME_BLOCKED);
	own_rows(&p, edge, t);
	spmv_begin(vector_part(&p.x[0], t->rank), vector_begin(&p.x[0], t->rank),
		   vector_begin(&p.x[0], t->rank + 1));
	TRY(dsm_barrier(t->dsm));
	find_readers(&p, t);
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
