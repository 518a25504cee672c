/* SPDX-License-Identifier: MIT */
/*
 * Rank 0 makes the matrix in shared memory, and each rank reads its rows of it: once, as nobody
 * writes them again. Of the vectors r alone is shared; each rank writes its part, which lives in
 * its memory, and makes all of p from all of r: the barrier of the sum of r's squares has told
 * that r is there, where p would want one of its own.
 */
#include "cg.h"
#include "team.h"

/* What a rank works with. */
struct own {
	const struct csr *a; /* columns are places in r, and so in p */
	size_t begin, end; /* rows */
	struct vector r;
	double *p; /* all of it, ordered as r */
	double *theirs; /* another rank's part of r */
	struct cg_vectors v; /* v.r is the own part of r */
};

/* p = r + beta p, all of both. */
static void direct(const struct team *t, const struct own *o, double beta)
{
	/* Each begins with its own, so that they do not all read the same rank's at a time. */
	for (unsigned k = 0; k < t->size; k++) {
		unsigned rank = (t->rank + k) % t->size;
		const double *r = vector_part(&o->r, rank);
		double *p = o->p + rank * o->r.pitch;

		if (k) {
			team_read(t, o->theirs, r, vector_len(&o->r, rank) * sizeof(*r));
			r = o->theirs;
		}
		for (size_t i = 0; i < vector_len(&o->r, rank); i++)
			p[i] = r[i] + beta * p[i];
	}
}

static double dot(struct team *t, const struct own *o, const double *a, const double *b)
{
	return team_sum(t, cg_dot(a, b, o->v.n));
}

static double solve(struct team *t, const struct own *o)
{
	size_t bytes = o->v.n * sizeof(double);
	const struct cg_vectors *v = &o->v;
	const double *mine = o->p + t->rank * o->r.pitch;
	double rho;

	team_write_begin(t, v->r, bytes);
	cg_begin(v);
	team_write_end(t, v->r, bytes);
	rho = dot(t, o, v->r, v->r);
	direct(t, o, 0);
	for (unsigned i = 0; i < CG_STEPS; i++) {
		double before = rho, pq;

		csr_multiply(o->a, o->p, v->q, o->begin, o->end);
		pq = dot(t, o, mine, v->q);
		team_write_begin(t, v->r, bytes);
		cg_advance(v, mine, rho / pq);
		team_write_end(t, v->r, bytes);
		rho = dot(t, o, v->r, v->r);
		direct(t, o, rho / before);
	}
	/* The residual needs all of z: r is free to hold it. */
	team_write_begin(t, v->r, bytes);
	memcpy(v->r, v->z, bytes);
	team_write_end(t, v->r, bytes);
	TRY(dsm_barrier(t->dsm));
	direct(t, o, 0);
	csr_multiply(o->a, o->p, v->q, o->begin, o->end);
	return sqrt(team_sum(t, cg_residual(v)));
}

static double iterate(struct team *t, const struct own *o)
{
	double zx;

	solve(t, o);
	zx = dot(t, o, o->v.x, o->v.z);
	cg_normalize(&o->v, dot(t, o, o->v.z, o->v.z));
	return 1 / zx;
}

/* The matrix goes where all ranks see it. */
static void share_matrix(struct team *t, struct csr *shared, const struct cg_size *s,
			 const struct vector *r)
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
			shared->column[k] = (uint32_t)vector_place(r, made.column[k]);
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

	team_share_vector(t, &o.r, s.n, 0);
	share_matrix(t, &a, &s, &o.r);
	o.p = must_calloc(t->size * o.r.pitch, sizeof(*o.p)); /* mostly never touched */
	o.theirs = must_calloc(o.r.each, sizeof(*o.theirs));
	o.begin = vector_begin(&o.r, t->rank);
	o.end = o.begin + vector_len(&o.r, t->rank);
	cg_vectors_init(&o.v, o.end - o.begin);
	o.v.r = vector_part(&o.r, t->rank);
	iterate(t, &o);
	for (size_t i = 0; i < o.v.n; i++)
		o.v.x[i] = 1;
	dsm_start(run, t);
	for (unsigned i = 0; i < s.iterations; i++)
		zeta = s.shift + iterate(t, &o);
	dsm_stop(run, t);
	cg_report(run, &s, a.first[s.n], zeta);
	cg_vectors_fini(&o.v);
	free(o.theirs);
	free(o.p);
}
