/* SPDX-License-Identifier: MIT */
#include "ft.h"

/* Along x and y, plane by plane; then along z, into u ordered y, z, x. */
static void forward(const struct ft *ft, struct complex *box, struct complex *u)
{
	const struct ft_size *s = ft->s;
	struct rows in = { 0 }, out = { 0 };

	for (size_t z = 0; z < s->nz; z++) {
		struct complex *plane = box + z * s->ny * s->nx;

		ft_fill(ft, plane, z, z + 1);
		ft_along_x(ft, plane, false);
		rows_set(&in, s->ny, plane, s->nx);
		ft_rows(ft, &in, &in, s->ny, s->nx, false);
	}
	for (size_t y = 0; y < s->ny; y++) {
		rows_set(&in, s->nz, box + y * s->nx, s->ny * s->nx);
		rows_set(&out, s->nz, u + y * s->nz * s->nx, s->nx);
		ft_rows(ft, &in, &out, s->nz, s->nx, false);
	}
}

static void back(const struct ft *ft, struct complex *u, struct complex *box, struct complex *sum)
{
	const struct ft_size *s = ft->s;
	struct rows in = { 0 }, out = { 0 };

	for (size_t y = 0; y < s->ny; y++) {
		rows_set(&in, s->nz, u + y * s->nz * s->nx, s->nx);
		rows_set(&out, s->nz, box + y * s->nx, s->ny * s->nx);
		ft_rows(ft, &in, &out, s->nz, s->nx, true);
	}
	for (size_t z = 0; z < s->nz; z++) {
		struct complex *plane = box + z * s->ny * s->nx;

		rows_set(&in, s->ny, plane, s->nx);
		ft_rows(ft, &in, &in, s->ny, s->nx, true);
		ft_along_x(ft, plane, true);
		ft_checksum(ft, plane, z, sum);
	}
}

void ft_seq(struct run *run)
{
	const struct ft_size *s = ft_size(run->class);
	size_t n = s->nx * s->ny * s->nz;
	struct complex *box = must_calloc(n, sizeof(*box)), *u = must_calloc(n, sizeof(*u));
	struct complex checksums[FT_ITERATIONS] = { 0 };
	struct ft ft;

	ft_init(&ft, s);
	memset(box, 0, n * sizeof(*box)); /* touched, as in the other forms */
	memset(u, 0, n * sizeof(*u));
	seq_start(run);
	forward(&ft, box, u);
	for (unsigned i = 0; i < FT_ITERATIONS; i++) {
		ft_decay(&ft, u, 0, s->ny);
		back(&ft, u, box, &checksums[i]);
	}
	seq_stop(run);
	ft_report(run, &ft, checksums);
	ft_fini(&ft);
	free(box);
	free(u);
}
