/* SPDX-License-Identifier: MIT */
/*
 * NAS CG: the smallest eigenvalue of a sparse symmetric matrix by inverse iteration, each step of
 * which solves A z = x by 25 steps of conjugate gradient (RNR-94-007, section 2.4.4). The shift's
 * sum with it is published.
 *
 * The vectors are in parts: a rank has rows begin to begin + n - 1, and p alone is needed whole.
 */
#ifndef CG_H
#define CG_H

#include "csr.h"

#define CG_STEPS 25

struct cg_size {
	size_t n;
	unsigned nonzeros; /* of each of the vectors that the matrix is made of */
	unsigned iterations;
	double shift;
	double zeta; /* published */
};

static inline struct cg_size cg_size(char class)
{
	return class == 'S' ? (struct cg_size){ 1400, 7, 15, 10, 8.5971775078648 }
			    : (struct cg_size){ 7000, 8, 15, 12, 10.362595087124 };
}

/* The matrix, in private memory. */
void cg_matrix(struct csr *a, const struct cg_size *s);

/* Own parts of the vectors. */
struct cg_vectors {
	size_t n;
	double *x, *z, *r, *q;
};

static inline void cg_vectors_init(struct cg_vectors *v, size_t n)
{
	v->n = n;
	v->x = must_calloc(4 * n, sizeof(double));
	v->z = v->x + n;
	v->r = v->z + n;
	v->q = v->r + n;
	for (size_t i = 0; i < n; i++)
		v->x[i] = 1;
}

static inline void cg_vectors_fini(struct cg_vectors *v)
{
	free(v->x);
}

static inline double cg_dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* Begin to solve: z = 0, r = x. */
static inline void cg_begin(const struct cg_vectors *v)
{
	for (size_t i = 0; i < v->n; i++) {
		v->z[i] = 0;
		v->r[i] = v->x[i];
	}
}

/* z += alpha p, r -= alpha q */
static inline void cg_advance(const struct cg_vectors *v, const double *p, double alpha)
{
	for (size_t i = 0; i < v->n; i++) {
		v->z[i] += alpha * p[i];
		v->r[i] -= alpha * v->q[i];
	}
}

/* p = r + beta p */
static inline void cg_direct(double *p, const struct cg_vectors *v, double beta)
{
	for (size_t i = 0; i < v->n; i++)
		p[i] = v->r[i] + beta * p[i];
}

/* The next x: z made one long. */
static inline void cg_normalize(const struct cg_vectors *v, double zz)
{
	double scale = 1 / sqrt(zz);

	for (size_t i = 0; i < v->n; i++)
		v->x[i] = scale * v->z[i];
}

/* |x - A z|, where q is A z: own part of its square. */
static inline double cg_residual(const struct cg_vectors *v)
{
	double sum = 0;

	for (size_t i = 0; i < v->n; i++)
		sum += (v->x[i] - v->q[i]) * (v->x[i] - v->q[i]);
	return sum;
}

/* @nelements: of the matrix; @zeta: what came out */
static inline void cg_report(const struct run *run, const struct cg_size *s, size_t nelements,
			     double zeta)
{
	double flop = 2.0 * s->iterations *
		      ((CG_STEPS + 1) * (double)nelements + CG_STEPS * 5.0 * (double)s->n);

	if (run->rank == 0)
		run_report(run, &(struct result){ .work = 1e-6 * flop,
						  .checksum = zeta,
						  .ok = close_to(zeta, s->zeta, 1e-10) });
}

#endif /* CG_H */
