/* SPDX-License-Identifier: MIT */
/*
 * dsm_apps_mpi: the applications as one writes them by hand over MPI.
 *
 *	mpirun -n 2 build/bench/apps/dsm_apps_mpi --class=W heat
 */
#include "mpi_form.h"

#define DESCRIBE(name, unit, what) { #name, unit, what },
static const struct app apps[] = { APPS(DESCRIBE) };

#define MPI(name, unit, what) name##_mpi,
static void (*const mpi[])(struct run *) = { APPS(MPI) };

#define NAPPS (sizeof(apps) / sizeof(apps[0]))

int main(int argc, char **argv)
{
	struct options o = { apps, NAPPS, .form = "mpi" };
	int rank, size;

	options_read(&o, argc, argv, "mpi");
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	for (unsigned i = 0; i < NAPPS; i++) {
		struct run run = { &apps[i], "mpi", o.class, .rank = (unsigned)rank,
				   .size = (unsigned)size };

		if (o.chosen[i])
			mpi[i](&run);
	}
	MPI_Finalize();
	free(o.chosen);
	return run_status();
}
