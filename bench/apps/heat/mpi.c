/* SPDX-License-Identifier: MIT */
/*
 * Each rank computes a slab of rows in its own memory, with room for a neighbour's row above and
 * below, which are exchanged before each step.
 */
#include "heat.h"
#include "mpi_form.h"

struct slab {
	size_t n;
	size_t first, rows; /* of the plate; row 0 of the slab is row first - 1 */
	int above, below; /* ranks */
	double *cells[2];
};

static double *row(const struct slab *s, unsigned which, size_t i)
{
	return s->cells[which] + i * s->n;
}

static void exchange(const struct slab *s, unsigned which)
{
	int n = (int)s->n;

	MPI_Sendrecv(row(s, which, 1), n, MPI_DOUBLE, s->above, 0, row(s, which, s->rows + 1), n,
		     MPI_DOUBLE, s->below, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	MPI_Sendrecv(row(s, which, s->rows), n, MPI_DOUBLE, s->below, 1, row(s, which, 0), n,
		     MPI_DOUBLE, s->above, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void slab_init(struct slab *s, const struct run *run, size_t n)
{
	s->n = n;
	s->first = part_begin(n, run->rank, run->size);
	s->rows = part_begin(n, run->rank + 1, run->size) - s->first;
	s->above = run->rank ? (int)run->rank - 1 : MPI_PROC_NULL;
	s->below = run->rank + 1 < run->size ? (int)run->rank + 1 : MPI_PROC_NULL;
	for (unsigned i = 0; i < 2; i++) {
		s->cells[i] = must_calloc((s->rows + 2) * n, sizeof(double));
		if (s->first == 0)
			heat_edge(row(s, i, 1), n);
	}
}

void heat_mpi(struct run *run)
{
	struct heat_size size = heat_size(run->class);
	double checksum = 0;
	struct slab s;
	size_t from, to;
	bool ok = true;

	slab_init(&s, run, size.n);
	from = s.first == 0 ? 2 : 1; /* the edges stay */
	to = s.first + s.rows == s.n ? s.rows : s.rows + 1;
	mpi_start(run);
	for (unsigned step = 0; step < size.steps; step++) {
		unsigned old = step % 2;

		exchange(&s, old);
		for (size_t i = from; i < to; i++)
			heat_row(row(&s, !old, i), row(&s, old, i - 1), row(&s, old, i),
				 row(&s, old, i + 1), s.n);
	}
	mpi_stop(run);
	for (size_t i = 1; i <= s.rows; i++)
		ok &= heat_check_row(row(&s, size.steps % 2, i), s.n, &checksum);
	checksum = mpi_sum(checksum);
	ok = mpi_sum(!ok) == 0;
	heat_report(run, size, checksum, ok);
	free(s.cells[0]);
	free(s.cells[1]);
}
