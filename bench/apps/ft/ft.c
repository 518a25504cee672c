/* SPDX-License-Identifier: MIT */
#include "ft.h"
#include "nas.h"

#define ALPHA 1e-6

const struct ft_size ft_size_s = {
	64,
	64,
	64,
	{ { 554.6087004964, 484.5363331978 },
	  { 554.6385409189, 486.5304269511 },
	  { 554.6148406171, 488.3910722336 },
	  { 554.5423607415, 490.1273169046 },
	  { 554.4255039624, 491.7475857993 },
	  { 554.2683411902, 493.2597244941 } },
};

const struct ft_size ft_size_w = {
	128,
	128,
	32,
	{ { 567.3612178944, 529.3246849175 },
	  { 563.1436885271, 528.2149986629 },
	  { 559.4024089970, 527.0996558037 },
	  { 556.0698047020, 526.0027904925 },
	  { 553.0898991250, 524.9400845633 },
	  { 550.4159734538, 523.9212247086 } },
};

static void decay_init(double *decay, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double k = i < n / 2 ? (double)i : (double)i - (double)n; /* frequency */

		decay[i] = exp(-4 * ALPHA * M_PI * M_PI * k * k);
	}
}

void ft_init(struct ft *ft, const struct ft_size *s)
{
	size_t longest = s->nx > s->nz ? s->nx : s->nz;

	ft->s = s;
	for (size_t i = 0; i < FT_AXIS_MAX; i++) {
		double angle = 2 * M_PI * (double)i / FT_AXIS_MAX;

		ft->root[i] = (struct complex){ cos(angle), sin(angle) };
	}
	decay_init(ft->decay[0], s->nx);
	decay_init(ft->decay[1], s->ny);
	decay_init(ft->decay[2], s->nz);
	for (unsigned i = 0; i < 2; i++)
		ft->work[i] = must_calloc(longest * (s->nx > s->ny ? s->nx : s->ny),
					  sizeof(struct complex));
	ft->plane = must_calloc(s->nx * s->ny, sizeof(struct complex));
}

void ft_fini(struct ft *ft)
{
	free(ft->work[0]);
	free(ft->work[1]);
	free(ft->plane);
}

/* sum = a + b, product = (a - b) w, for m numbers. */
static void butterfly(struct complex *restrict sum, struct complex *restrict product,
		      const struct complex *a, const struct complex *b, struct complex w, size_t m)
{
	for (size_t i = 0; i < m; i++) {
		double re = a[i].re - b[i].re, im = a[i].im - b[i].im;

		sum[i].re = a[i].re + b[i].re;
		sum[i].im = a[i].im + b[i].im;
		product[i].re = re * w.re - im * w.im;
		product[i].im = re * w.im + im * w.re;
	}
}

/* One pass of Stockham's algorithm: `together` transforms of length `len` become twice as many. */
static void pass(const struct ft *ft, const struct rows *in, const struct rows *out, size_t len,
		 size_t together, size_t m, bool inverse)
{
	for (size_t p = 0; p < len / 2; p++) {
		struct complex w = ft->root[p * (FT_AXIS_MAX / len)];

		w.im = inverse ? w.im : -w.im;
		for (size_t q = 0; q < together; q++)
			butterfly(out->at[q + together * 2 * p],
				  out->at[q + together * (2 * p + 1)], in->at[q + together * p],
				  in->at[q + together * (p + len / 2)], w, m);
	}
}

void ft_rows(const struct ft *ft, const struct rows *in, const struct rows *out, size_t n, size_t m,
	     bool inverse)
{
	struct rows work[2] = { 0 };
	size_t together = 1;
	unsigned turn = 0;

	rows_set(&work[0], n, ft->work[0], m);
	rows_set(&work[1], n, ft->work[1], m);
	for (size_t len = n; len > 1; len /= 2, together *= 2, turn = !turn) {
		const struct rows *to = len == 2 ? out : &work[turn];

		pass(ft, in, to, len, together, m, inverse);
		in = to;
	}
}

static void transpose(struct complex *restrict out, const struct complex *restrict in, size_t rows,
		      size_t columns)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < columns; j++)
			out[j * rows + i] = in[i * columns + j];
}

void ft_along_x(const struct ft *ft, struct complex *plane, bool inverse)
{
	size_t nx = ft->s->nx, ny = ft->s->ny;
	struct rows rows = { 0 };

	transpose(ft->plane, plane, ny, nx);
	rows_set(&rows, nx, ft->plane, ny);
	ft_rows(ft, &rows, &rows, nx, ny, inverse);
	transpose(plane, ft->plane, nx, ny);
}

void ft_fill(const struct ft *ft, struct complex *u, size_t begin, size_t end)
{
	size_t plane = ft->s->nx * ft->s->ny;
	uint64_t random = nas_skip(NAS_SEED, 2 * begin * plane);

	for (size_t i = 0; i < (end - begin) * plane; i++) {
		u[i].re = nas_random(&random);
		u[i].im = nas_random(&random);
	}
}

void ft_decay(const struct ft *ft, struct complex *u, size_t begin, size_t end)
{
	const struct ft_size *s = ft->s;

	for (size_t y = begin; y < end; y++) {
		for (size_t z = 0; z < s->nz; z++, u += s->nx) {
			double factor = ft->decay[1][y] * ft->decay[2][z];

			for (size_t x = 0; x < s->nx; x++) {
				u[x].re *= factor * ft->decay[0][x];
				u[x].im *= factor * ft->decay[0][x];
			}
		}
	}
}

void ft_checksum(const struct ft *ft, const struct complex *plane, size_t z, struct complex *sum)
{
	const struct ft_size *s = ft->s;
	double n = (double)(s->nx * s->ny * s->nz);

	for (size_t j = 1; j <= 1024; j++) {
		const struct complex *u = plane + 3 * j % s->ny * s->nx + j % s->nx;

		if (5 * j % s->nz != z)
			continue;
		sum->re += u->re / n;
		sum->im += u->im / n;
	}
}

void ft_report(const struct run *run, const struct ft *ft, const struct complex *checksums)
{
	const struct ft_size *s = ft->s;
	double n = (double)(s->nx * s->ny * s->nz), sum = 0;
	bool ok = true;

	for (unsigned i = 0; i < FT_ITERATIONS; i++) {
		ok &= close_to(checksums[i].re, s->checksums[i].re, 1e-12) &&
		      close_to(checksums[i].im, s->checksums[i].im, 1e-12);
		sum += checksums[i].re + checksums[i].im;
	}
	if (run->rank == 0)
		run_report(run,
			   &(struct result){ .work = 1e-6 * 5 * n * log2(n) * (FT_ITERATIONS + 1),
					     .checksum = sum,
					     .ok = ok });
}
