/* SPDX-License-Identifier: MIT */
/*
 * Rank 0 makes the matrix in shared memory, and each rank reads its rows of it: once, as nobody
 * writes them again. Of the vectors p alone is shared; each rank writes its part, which lives in
 * its memory, and reads all of it.
 */
#include "cg.h"
#include "team.h"

/* What a rank works with. */
struct own {
	const struct csr *a; /* columns are places in p */
	size_t begin, end; /* rows */
	struct vector p;
	struct cg_vectors v;
};

/* Write the own part of p: r + beta p; everybody's is there when it returns. */
static void direct(struct team *t, struct own *o, double beta)
{
	double *mine = vector_part(&o->p, t->rank);

	team_write_begin(t, mine, o->v.n * sizeof(double));
	cg_direct(mine, &o->v, beta);
	team_write_end(t, mine, o->v.n * sizeof(double));
	TRY(dsm_barrier(t->dsm));
	team_fetch_vector(t, &o->p);
}

static double dot(struct team *t, const struct own *o, const double *a, const double *b)
{
	return team_sum(t, cg_dot(a, b, o->v.n));
}

static double solve(struct team *t, struct own *o)
{
	double *mine = vector_part(&o->p, t->rank), rho;
	struct cg_vectors *v = &o->v;

	cg_begin(v);
	direct(t, o, 0);
	rho = dot(t, o, v->r, v->r);
	for (unsigned i = 0; i < CG_STEPS; i++) {
		double before = rho;

		csr_multiply(o->a, o->p.at, v->q, o->begin, o->end);
		cg_advance(v, mine, rho / dot(t, o, mine, v->q));
		rho = dot(t, o, v->r, v->r);
		direct(t, o, rho / before);
	}
	/* The residual needs all of z: p is free to hold it. */
	team_write_begin(t, mine, v->n * sizeof(double));
	memcpy(mine, v->z, v->n * sizeof(double));
	team_write_end(t, mine, v->n * sizeof(double));
	TRY(dsm_barrier(t->dsm));
	team_fetch_vector(t, &o->p);
	csr_multiply(o->a, o->p.at, v->q, o->begin, o->end);
	return sqrt(team_sum(t, cg_residual(v)));
}

static double iterate(struct team *t, struct own *o)
{
	double zx;

	solve(t, o);
	zx = dot(t, o, o->v.x, o->v.z);
	cg_normalize(&o->v, dot(t, o, o->v.z, o->v.z));
	return 1 / zx;
}

/* The matrix goes where all ranks see it. */
static void share_matrix(struct team *t, struct csr *shared, const struct cg_size *s,
			 const struct vector *p)
{
	size_t room = s->n * (s->nonzeros + 1) * (s->nonzeros + 1);
	struct csr made;

	shared->n = s->n;
	shared->first = team_share(t, (s->n + 1) * sizeof(uint32_t), DSM_HOME_BLOCKED);
	shared->column = team_share(t, room * sizeof(uint32_t), DSM_HOME_BLOCKED);
	shared->value = team_share(t, room * sizeof(double), DSM_HOME_BLOCKED);
	if (t->rank == 0) {
		cg_matrix(&made, s);
		memcpy(shared->first, made.first, (s->n + 1) * sizeof(uint32_t));
		for (uint32_t k = 0; k < made.first[s->n]; k++) {
			shared->column[k] = (uint32_t)vector_place(p, made.column[k]);
			shared->value[k] = made.value[k];
		}
		csr_free(&made);
	}
	TRY(dsm_barrier(t->dsm));
}

void cg_dsm(struct run *run, struct team *t)
{
	struct cg_size s = cg_size(run->class);
	double zeta = 0;
	struct csr a;
	struct own o = { .a = &a };

	team_share_vector(t, &o.p, s.n, 0);
	share_matrix(t, &a, &s, &o.p);
	o.begin = vector_begin(&o.p, t->rank);
	o.end = o.begin + vector_len(&o.p, t->rank);
	cg_vectors_init(&o.v, o.end - o.begin);
	iterate(t, &o);
	for (size_t i = 0; i < o.v.n; i++)
		o.v.x[i] = 1;
	dsm_start(run, t);
	for (unsigned i = 0; i < s.iterations; i++)
		zeta = s.shift + iterate(t, &o);
	dsm_stop(run, t);
	cg_report(run, &s, a.first[s.n], zeta);
	cg_vectors_fini(&o.v);
}
