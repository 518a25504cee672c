/* SPDX-License-Identifier: MIT */
/*
 * Each rank has its rows of the matrix and its part of the vector. First it finds out which
 * elements of others its columns name, renumbers the columns so that these follow its own, and
 * tells their ranks; before each product everybody packs and sends what it was asked for.
 */
#include "mpi_form.h"
#include "spmv.h"

struct product {
	struct csr a; /* own rows; columns: own elements, then the others' */
	size_t begin, n;
	double *x[2]; /* own elements, then the others' */
	unsigned size;
	int *want, *want_at; /* by rank: how many of its elements, and from where in what others
				have */
	int *give, *give_at; /* by rank: how many of the own ones */
	uint32_t *given; /* which: own elements */
	double *packed;
};

static unsigned owner(size_t n, size_t element, unsigned size)
{
	unsigned r = (unsigned)(element * size / n);

	while (part_begin(n, r + 1, size) <= element)
		r++;
	while (part_begin(n, r, size) > element)
		r--;
	return r;
}

/* Number the others' elements that are named in ascending order. Returns which they are. */
static uint32_t *renumber(struct product *p, size_t n)
{
	uint32_t *place = must_calloc(n, sizeof(*place)), *wanted, nwanted = 0;

	for (uint32_t k = 0; k < p->a.first[p->n]; k++)
		place[p->a.column[k]] = 1;
	for (size_t i = 0; i < n; i++) {
		bool own = i >= p->begin && i < p->begin + p->n;

		if (place[i] && !own)
			p->want[owner(n, i, p->size)]++;
		nwanted += place[i] && !own;
	}
	wanted = must_calloc(nwanted, sizeof(*wanted));
	nwanted = 0;
	for (size_t i = 0; i < n; i++) {
		if (i >= p->begin && i < p->begin + p->n) {
			place[i] = (uint32_t)(i - p->begin);
		} else if (place[i]) {
			wanted[nwanted] = (uint32_t)i;
			place[i] = (uint32_t)p->n + nwanted++;
		}
	}
	for (uint32_t k = 0; k < p->a.first[p->n]; k++)
		p->a.column[k] = place[p->a.column[k]];
	free(place);
	return wanted;
}

/* Where each rank's begin; returns how many in all. */
static int add_up(int *at, const int *counts, unsigned size)
{
	int sum = 0;

	for (unsigned r = 0; r < size; r++) {
		at[r] = sum;
		sum += counts[r];
	}
	return sum;
}

/* Tell the others what is wanted of them. */
static void agree(struct product *p, size_t n)
{
	uint32_t *wanted = renumber(p, n);
	int nwanted = add_up(p->want_at, p->want, p->size), ngiven;

	MPI_Alltoall(p->want, 1, MPI_INT, p->give, 1, MPI_INT, MPI_COMM_WORLD);
	ngiven = add_up(p->give_at, p->give, p->size);
	p->given = must_calloc((size_t)ngiven, sizeof(*p->given));
	p->packed = must_calloc((size_t)ngiven, sizeof(*p->packed));
	MPI_Alltoallv(wanted, p->want, p->want_at, MPI_UINT32_T, p->given, p->give, p->give_at,
		      MPI_UINT32_T, MPI_COMM_WORLD);
	for (int i = 0; i < ngiven; i++)
		p->given[i] -= (uint32_t)p->begin;
	for (unsigned i = 0; i < 2; i++)
		p->x[i] = must_calloc(p->n + (size_t)nwanted, sizeof(double));
	free(wanted);
}

static void product_init(struct product *p, const struct run *run, size_t edge, size_t n)
{
	p->size = run->size;
	p->begin = part_begin(n, run->rank, run->size);
	p->n = part_begin(n, run->rank + 1, run->size) - p->begin;
	csr_alloc(&p->a, p->n, p->n * SPMV_NEIGHBOURS);
	spmv_matrix(&p->a, edge, p->begin, p->begin + p->n);
	p->want = must_calloc(4 * p->size, sizeof(int));
	p->want_at = p->want + p->size;
	p->give = p->want_at + p->size;
	p->give_at = p->give + p->size;
	agree(p, n);
}

static void product_fini(struct product *p)
{
	csr_free(&p->a);
	free(p->want);
	free(p->given);
	free(p->packed);
	free(p->x[0]);
	free(p->x[1]);
}

/* Sends to and receives from those ranks alone that have something for one another. */
static void exchange(const struct product *p, double *x)
{
	MPI_Request requests[2 * p->size];
	MPI_Status statuses[2 * p->size]; /* gcc warns of MPICH's MPI_STATUSES_IGNORE */
	int n = 0;

	for (unsigned r = 0; r < p->size; r++)
		if (p->want[r])
			MPI_Irecv(x + p->n + p->want_at[r], p->want[r], MPI_DOUBLE, (int)r, 0,
				  MPI_COMM_WORLD, &requests[n++]);
	for (unsigned r = 0; r < p->size; r++) {
		for (int i = p->give_at[r]; i < p->give_at[r] + p->give[r]; i++)
			p->packed[i] = x[p->given[i]];
		if (p->give[r])
			MPI_Isend(p->packed + p->give_at[r], p->give[r], MPI_DOUBLE, (int)r, 0,
				  MPI_COMM_WORLD, &requests[n++]);
	}
	MPI_Waitall(n, requests, statuses);
}

static void multiply(const struct product *p, unsigned old)
{
	exchange(p, p->x[old]);
	csr_multiply(&p->a, p->x[old], p->x[!old], 0, p->n);
}

void spmv_mpi(struct run *run)
{
	size_t edge = spmv_edge(run->class), n = edge * edge * edge;
	struct product p = { 0 };
	double sum = 0, squares = 0;

	product_init(&p, run, edge, n);
	spmv_begin(p.x[0], p.begin, p.begin + p.n);
	multiply(&p, 0);
	mpi_start(run);
	for (unsigned i = 0; i < SPMV_PRODUCTS; i++)
		multiply(&p, i % 2);
	mpi_stop(run);
	spmv_check(p.x[SPMV_PRODUCTS % 2], p.n, &sum, &squares);
	sum = mpi_sum(sum);
	squares = mpi_sum(squares);
	spmv_report(run, edge, sum, squares);
	product_fini(&p);
}
