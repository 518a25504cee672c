/* SPDX-License-Identifier: MIT */
/*
 * NAS FT: the heat equation in a periodic box by Fourier transforms (RNR-94-007, section 2.4.5). A
 * random box is transformed once; each iteration multiplies by a Gaussian and transforms back.
 *
 * A transform along one axis works on rows: n rows of m numbers, m transforms side by side. So a
 * row may lie anywhere: that is how a rank's slab is read where another rank has left it.
 */
#ifndef FT_H
#define FT_H

#include "app.h"

#define FT_ITERATIONS 6
#define FT_AXIS_MAX   128

struct complex {
	double re, im;
};

struct ft_size {
	size_t nx, ny, nz; /* powers of two, at least 4 */
	struct complex checksums[FT_ITERATIONS]; /* published */
};

extern const struct ft_size ft_size_s, ft_size_w;

static inline const struct ft_size *ft_size(char class)
{
	return class == 'S' ? &ft_size_s : &ft_size_w;
}

/* Addresses of rows. */
struct rows {
	struct complex *at[FT_AXIS_MAX];
};

struct ft {
	const struct ft_size *s;
	struct complex root[FT_AXIS_MAX]; /* of the longest axis */
	double decay[3][FT_AXIS_MAX]; /* by axis and frequency: the factor of an iteration */
	struct complex *work[2], *plane; /* room for one plane each */
};

void ft_init(struct ft *ft, const struct ft_size *s);
void ft_fini(struct ft *ft);

/* rows.at[i] = base + i * stride */
static inline void rows_set(struct rows *rows, size_t n, struct complex *base, size_t stride)
{
	for (size_t i = 0; i < n; i++)
		rows->at[i] = base + i * stride;
}

/* m transforms of length n. Rows of `out` may be those of `in`. @inverse: without the 1/n. */
void ft_rows(const struct ft *ft, const struct rows *in, const struct rows *out, size_t n, size_t m,
	     bool inverse);

/* Transform the rows of a plane of ny rows of nx, each by itself, in place. */
void ft_along_x(const struct ft *ft, struct complex *plane, bool inverse);

/* Random numbers for planes z from begin to end - 1; u begins with plane begin. */
void ft_fill(const struct ft *ft, struct complex *u, size_t begin, size_t end);

/* One iteration of u, ordered y, z, x, that begins with plane y = begin and ends before end. */
void ft_decay(const struct ft *ft, struct complex *u, size_t begin, size_t end);

/* What plane z of the result adds to the iteration's checksum. */
void ft_checksum(const struct ft *ft, const struct complex *plane, size_t z, struct complex *sum);

void ft_report(const struct run *run, const struct ft *ft, const struct complex *checksums);

#endif /* FT_H */
