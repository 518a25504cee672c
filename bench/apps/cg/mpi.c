/* SPDX-License-Identifier: MIT */
/*
 * Each rank makes the matrix and keeps its rows. Before each product everybody's part of p is
 * gathered.
 */
#include "cg.h"
#include "mpi_form.h"

struct own {
	struct csr a; /* own rows */
	double *p; /* all of it */
	int *counts, *displs; /* by rank: its part of p */
	size_t begin;
	struct cg_vectors v;
};

static void gather(struct own *o)
{
	MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, o->p, o->counts, o->displs, MPI_DOUBLE,
		       MPI_COMM_WORLD);
}

static double dot(const struct own *o, const double *a, const double *b)
{
	return mpi_sum(cg_dot(a, b, o->v.n));
}

static double solve(struct own *o)
{
	double *mine = o->p + o->begin, rho;
	struct cg_vectors *v = &o->v;

	cg_begin(v);
	cg_direct(mine, v, 0);
	gather(o);
	rho = dot(o, v->r, v->r);
	for (unsigned i = 0; i < CG_STEPS; i++) {
		double before = rho;

		csr_multiply(&o->a, o->p, v->q, 0, v->n);
		cg_advance(v, mine, rho / dot(o, mine, v->q));
		rho = dot(o, v->r, v->r);
		cg_direct(mine, v, rho / before);
		gather(o);
	}
	memcpy(mine, v->z, v->n * sizeof(double));
	gather(o);
	csr_multiply(&o->a, o->p, v->q, 0, v->n);
	return sqrt(mpi_sum(cg_residual(v)));
}

static double iterate(struct own *o)
{
	double zx;

	solve(o);
	zx = dot(o, o->v.x, o->v.z);
	cg_normalize(&o->v, dot(o, o->v.z, o->v.z));
	return 1 / zx;
}

static size_t own_init(struct own *o, const struct run *run, const struct cg_size *s)
{
	struct csr all;
	size_t nelements, end = part_begin(s->n, run->rank + 1, run->size);

	cg_matrix(&all, s);
	nelements = all.first[s->n];
	o->begin = part_begin(s->n, run->rank, run->size);
	csr_slice(&o->a, &all, o->begin, end);
	csr_free(&all);
	o->p = must_calloc(s->n, sizeof(*o->p));
	o->counts = must_calloc(run->size, sizeof(*o->counts));
	o->displs = must_calloc(run->size, sizeof(*o->displs));
	for (unsigned r = 0; r < run->size; r++) {
		o->displs[r] = (int)part_begin(s->n, r, run->size);
		o->counts[r] = (int)part_begin(s->n, r + 1, run->size) - o->displs[r];
	}
	cg_vectors_init(&o->v, end - o->begin);
	return nelements;
}

static void own_fini(struct own *o)
{
	cg_vectors_fini(&o->v);
	csr_free(&o->a);
	free(o->p);
	free(o->counts);
	free(o->displs);
}

void cg_mpi(struct run *run)
{
	struct cg_size s = cg_size(run->class);
	size_t nelements;
	double zeta = 0;
	struct own o;

	nelements = own_init(&o, run, &s);
	iterate(&o);
	for (size_t i = 0; i < o.v.n; i++)
		o.v.x[i] = 1;
	mpi_start(run);
	for (unsigned i = 0; i < s.iterations; i++)
		zeta = s.shift + iterate(&o);
	mpi_stop(run);
	cg_report(run, &s, nelements, zeta);
	own_fini(&o);
}
