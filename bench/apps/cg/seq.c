/* SPDX-License-Identifier: MIT */
#include "cg.h"

static double solve(const struct csr *a, struct cg_vectors *v, double *p)
{
	double rho;

	cg_begin(v);
	memcpy(p, v->r, v->n * sizeof(*p));
	rho = cg_dot(v->r, v->r, v->n);
	for (unsigned i = 0; i < CG_STEPS; i++) {
		double before = rho;

		csr_multiply(a, p, v->q, 0, v->n);
		cg_advance(v, p, rho / cg_dot(p, v->q, v->n));
		rho = cg_dot(v->r, v->r, v->n);
		cg_direct(p, v, rho / before);
	}
	csr_multiply(a, v->z, v->q, 0, v->n);
	return sqrt(cg_residual(v));
}

/* One step of the inverse iteration; returns what it estimates. */
static double iterate(const struct csr *a, struct cg_vectors *v, double *p)
{
	double zx;

	solve(a, v, p);
	zx = cg_dot(v->x, v->z, v->n);
	cg_normalize(v, cg_dot(v->z, v->z, v->n));
	return 1 / zx;
}

void cg_seq(struct run *run)
{
	struct cg_size s = cg_size(run->class);
	struct cg_vectors v;
	double *p = must_calloc(s.n, sizeof(*p)), zeta = 0;
	struct csr a;

	cg_matrix(&a, &s);
	cg_vectors_init(&v, s.n);
	iterate(&a, &v, p); /* untimed, by the specification */
	for (size_t i = 0; i < s.n; i++)
		v.x[i] = 1;
	seq_start(run);
	for (unsigned i = 0; i < s.iterations; i++)
		zeta = s.shift + iterate(&a, &v, p);
	seq_stop(run);
	cg_report(run, &s, a.first[s.n], zeta);
	cg_vectors_fini(&v);
	csr_free(&a);
	free(p);
}
