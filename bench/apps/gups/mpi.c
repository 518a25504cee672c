/* SPDX-License-Identifier: MIT */
/*
 * Each update is an accumulate into the window of the rank that has the word; now and then all
 * that are under way are waited for.
 */
#include "gups.h"
#include "mpi_form.h"

static void updates(const struct gups_size *s, MPI_Win window, size_t each, size_t first,
		    size_t end)
{
	uint64_t r = gups_number(first), ahead[GUPS_AHEAD];

	for (size_t k = first; k < end; k++, r = gups_next(r)) {
		size_t word = r & (s->n - 1), slot = k % GUPS_AHEAD;

		ahead[slot] = r;
		MPI_Accumulate(&ahead[slot], 1, MPI_UINT64_T, (int)(word / each),
			       (MPI_Aint)(word % each), 1, MPI_UINT64_T, MPI_BXOR, window);
		if (slot == GUPS_AHEAD - 1)
			MPI_Win_flush_all(window);
	}
	MPI_Win_flush_all(window);
}

void gups_mpi(struct run *run)
{
	struct gups_size s = gups_size(run->class);
	size_t each = s.n / run->size, begin = run->rank * each, wrong;
	double checksum = 0;
	uint64_t *table;
	MPI_Win window;

	if (s.n % run->size)
		die("gups: %u ranks do not divide %zu words", run->size, s.n);
	MPI_Win_allocate((MPI_Aint)(each * sizeof(*table)), sizeof(*table), MPI_INFO_NULL,
			 MPI_COMM_WORLD, &table, &window);
	MPI_Win_lock_all(MPI_MODE_NOCHECK, window);
	gups_fill(table, begin, begin + each);
	MPI_Win_sync(window);
	mpi_start(run);
	updates(&s, window, each, part_begin(s.updates, run->rank, run->size),
		part_begin(s.updates, run->rank + 1, run->size));
	mpi_stop(run);
	MPI_Win_sync(window);
	wrong = gups_undo(&s, table, begin, begin + each, &checksum);
	MPI_Win_unlock_all(window);
	checksum = mpi_sum(checksum);
	gups_report(run, &s, checksum, mpi_sum((double)wrong));
	MPI_Win_free(&window);
}
