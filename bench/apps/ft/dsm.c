/* SPDX-License-Identifier: MIT */
/*
 * A rank has planes z for the transforms along x and y, and planes y for those along z. What it has
 * transformed one way it leaves in its memory, for each rank a block in the order z, y, x; the
 * first pass of the other way reads it there. There is no exchange, and no second copy.
 */
#include "ft.h"
#include "team.h"

struct box {
	struct ft ft;
	size_t ny, nz; /* planes a rank */
	size_t block_bytes; /* what goes from one rank to another */
	size_t pitch; /* from a rank's part to the next, in numbers */
	struct complex *shared; /* after a transform */
	struct complex *u; /* own planes y, in the order y, z, x */
	struct complex *plane;
};

/* Row x at y, z, which rank `from` leaves in its part for rank `to`. */
static struct complex *row(const struct box *b, size_t from, size_t to, size_t y, size_t z)
{
	return b->shared + from * b->pitch +
	       ((to * b->nz + z % b->nz) * b->ny + y % b->ny) * b->ft.s->nx;
}

/* Once everybody has written its part: what the others have left for this rank. */
static void fetch(const struct team *t, const struct box *b)
{
	TRY(dsm_barrier(t->dsm));
	for (unsigned i = 1; i < t->size; i++)
		team_fetch(t, row(b, (t->rank + i) % t->size, t->rank, 0, 0), b->block_bytes);
}

/* Along z, from planes y in private memory to shared memory. */
static void back_along_z(const struct team *t, const struct box *b)
{
	const struct ft_size *s = b->ft.s;
	struct complex *mine = row(b, t->rank, 0, 0, 0);
	struct rows in = { 0 }, out = { 0 };

	team_write_begin(t, mine, t->size * b->block_bytes);
	for (size_t y = 0; y < b->ny; y++) {
		rows_set(&in, s->nz, b->u + y * s->nz * s->nx, s->nx);
		for (size_t z = 0; z < s->nz; z++)
			out.at[z] = row(b, t->rank, z / b->nz, y, z);
		ft_rows(&b->ft, &in, &out, s->nz, s->nx, true);
	}
	team_write_end(t, mine, t->size * b->block_bytes);
}

static void back(struct team *t, const struct box *b, struct complex *sum)
{
	const struct ft_size *s = b->ft.s;
	struct complex mine = { 0, 0 };
	struct rows in = { 0 }, out = { 0 };

	back_along_z(t, b);
	fetch(t, b);
	for (size_t z = t->rank * b->nz; z < (t->rank + 1) * b->nz; z++) {
		for (size_t y = 0; y < s->ny; y++)
			in.at[y] = row(b, y / b->ny, t->rank, y, z);
		rows_set(&out, s->ny, b->plane, s->nx);
		ft_rows(&b->ft, &in, &out, s->ny, s->nx, true);
		ft_along_x(&b->ft, b->plane, true);
		ft_checksum(&b->ft, b->plane, z, &mine);
	}
	sum->re = team_sum(t, mine.re);
	sum->im = team_sum(t, mine.im);
}

/* Along x and y, from planes z to shared memory; then along z, to planes y. */
static void forward(struct team *t, const struct box *b)
{
	const struct ft_size *s = b->ft.s;
	struct complex *mine = row(b, t->rank, 0, 0, 0);
	struct rows in = { 0 }, out = { 0 };

	team_write_begin(t, mine, t->size * b->block_bytes);
	for (size_t z = t->rank * b->nz; z < (t->rank + 1) * b->nz; z++) {
		ft_fill(&b->ft, b->plane, z, z + 1);
		ft_along_x(&b->ft, b->plane, false);
		rows_set(&in, s->ny, b->plane, s->nx);
		for (size_t y = 0; y < s->ny; y++)
			out.at[y] = row(b, t->rank, y / b->ny, y, z);
		ft_rows(&b->ft, &in, &out, s->ny, s->nx, false);
	}
	team_write_end(t, mine, t->size * b->block_bytes);
	fetch(t, b);
	for (size_t y = 0; y < b->ny; y++) {
		for (size_t z = 0; z < s->nz; z++)
			in.at[z] = row(b, z / b->nz, t->rank, y, z);
		rows_set(&out, s->nz, b->u + y * s->nz * s->nx, s->nx);
		ft_rows(&b->ft, &in, &out, s->nz, s->nx, false);
	}
	TRY(dsm_barrier(t->dsm)); /* everybody has read it */
}

void ft_dsm(struct run *run, struct team *t)
{
	const struct ft_size *s = ft_size(run->class);
	struct complex checksums[FT_ITERATIONS];
	struct box b = { .ny = s->ny / t->size, .nz = s->nz / t->size };
	size_t part = b.ny * s->nz * s->nx;

	if (s->ny % t->size || s->nz % t->size)
		die("ft: %u ranks do not divide %zu and %zu planes", t->size, s->ny, s->nz);
	ft_init(&b.ft, s);
	b.block_bytes = part / t->size * sizeof(*b.u);
	b.shared =
		(struct complex *)team_share_parts(t, part * sizeof(*b.u), b.block_bytes, &b.pitch);
	b.pitch /= sizeof(*b.u);
	b.u = must_calloc(part, sizeof(*b.u));
	b.plane = must_calloc(s->ny * s->nx, sizeof(*b.plane));
	memset(b.u, 0, part * sizeof(*b.u));
	memset(row(&b, t->rank, 0, 0, 0), 0, part * sizeof(*b.u));
	dsm_start(run, t);
	forward(t, &b);
	for (unsigned i = 0; i < FT_ITERATIONS; i++) {
		ft_decay(&b.ft, b.u, t->rank * b.ny, (t->rank + 1) * b.ny);
		back(t, &b, &checksums[i]);
	}
	dsm_stop(run, t);
	ft_report(run, &b.ft, checksums);
	ft_fini(&b.ft);
	free(b.u);
	free(b.plane);
}
