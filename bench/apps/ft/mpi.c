/* SPDX-License-Identifier: MIT */
/*
 * A rank has planes z for the transforms along x and y, and planes y for those along z. Between
 * them everybody sends a block to everybody.
 */
#include "ft.h"
#include "mpi_form.h"

struct box {
	struct ft ft;
	unsigned rank, size;
	size_t ny, nz; /* planes a rank */
	size_t block; /* numbers that go from one rank to another */
	struct complex *send, *recv; /* a block a rank, in the order z, y, x */
	struct complex *u; /* own planes y, in the order y, z, x */
	struct complex *plane;
};

/* Row x at y, z, counted from the first of the block, in rank r's block. */
static struct complex *row(const struct box *b, struct complex *blocks, size_t r, size_t y,
			   size_t z)
{
	return blocks + r * b->block + (z * b->ny + y) * b->ft.s->nx;
}

static void exchange(const struct box *b)
{
	int n = (int)(2 * b->block);

	MPI_Alltoall(b->send, n, MPI_DOUBLE, b->recv, n, MPI_DOUBLE, MPI_COMM_WORLD);
}

static void back(const struct box *b, struct complex *sum)
{
	const struct ft_size *s = b->ft.s;
	struct complex mine = { 0, 0 };
	struct rows in = { 0 }, out = { 0 };

	for (size_t y = 0; y < b->ny; y++) {
		rows_set(&in, s->nz, b->u + y * s->nz * s->nx, s->nx);
		for (size_t z = 0; z < s->nz; z++)
			out.at[z] = row(b, b->send, z / b->nz, y, z % b->nz);
		ft_rows(&b->ft, &in, &out, s->nz, s->nx, true);
	}
	exchange(b);
	for (size_t z = 0; z < b->nz; z++) {
		for (size_t y = 0; y < s->ny; y++)
			in.at[y] = row(b, b->recv, y / b->ny, y % b->ny, z);
		rows_set(&out, s->ny, b->plane, s->nx);
		ft_rows(&b->ft, &in, &out, s->ny, s->nx, true);
		ft_along_x(&b->ft, b->plane, true);
		ft_checksum(&b->ft, b->plane, b->rank * b->nz + z, &mine);
	}
	MPI_Allreduce(&mine, sum, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

static void forward(const struct box *b)
{
	const struct ft_size *s = b->ft.s;
	struct rows in = { 0 }, out = { 0 };

	for (size_t z = 0; z < b->nz; z++) {
		size_t plane = b->rank * b->nz + z;

		ft_fill(&b->ft, b->plane, plane, plane + 1);
		ft_along_x(&b->ft, b->plane, false);
		rows_set(&in, s->ny, b->plane, s->nx);
		for (size_t y = 0; y < s->ny; y++)
			out.at[y] = row(b, b->send, y / b->ny, y % b->ny, z);
		ft_rows(&b->ft, &in, &out, s->ny, s->nx, false);
	}
	exchange(b);
	for (size_t y = 0; y < b->ny; y++) {
		for (size_t z = 0; z < s->nz; z++)
			in.at[z] = row(b, b->recv, z / b->nz, y, z % b->nz);
		rows_set(&out, s->nz, b->u + y * s->nz * s->nx, s->nx);
		ft_rows(&b->ft, &in, &out, s->nz, s->nx, false);
	}
}

void ft_mpi(struct run *run)
{
	const struct ft_size *s = ft_size(run->class);
	struct complex checksums[FT_ITERATIONS];
	struct box b = { .rank = run->rank, .size = run->size };
	size_t part;

	b.ny = s->ny / run->size;
	b.nz = s->nz / run->size;
	b.block = b.nz * b.ny * s->nx;
	part = b.block * run->size;
	if (s->ny % run->size || s->nz % run->size)
		die("ft: %u ranks do not divide %zu and %zu planes", run->size, s->ny, s->nz);
	ft_init(&b.ft, s);
	b.send = must_calloc(part, sizeof(*b.u));
	b.recv = must_calloc(part, sizeof(*b.u));
	b.u = must_calloc(part, sizeof(*b.u));
	b.plane = must_calloc(s->ny * s->nx, sizeof(*b.plane));
	exchange(&b); /* touches all of it, and has MPI do what it does at the first exchange */
	memset(b.u, 0, part * sizeof(*b.u));
	mpi_start(run);
	forward(&b);
	for (unsigned i = 0; i < FT_ITERATIONS; i++) {
		ft_decay(&b.ft, b.u, b.rank * b.ny, (b.rank + 1) * b.ny);
		back(&b, &checksums[i]);
	}
	mpi_stop(run);
	ft_report(run, &b.ft, checksums);
	ft_fini(&b.ft);
	free(b.send);
	free(b.recv);
	free(b.u);
	free(b.plane);
}
