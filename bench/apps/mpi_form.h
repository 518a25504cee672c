/* SPDX-License-Identifier: MIT */
/*
 * What the MPI forms share. An MPI call that fails ends the job: that is MPI's default.
 */
#ifndef MPI_FORM_H
#define MPI_FORM_H

#include <mpi.h>

#include "app.h"

static inline void mpi_start(struct run *run)
{
	MPI_Barrier(MPI_COMM_WORLD);
	run->start = now_s();
}

static inline void mpi_stop(struct run *run)
{
	MPI_Barrier(MPI_COMM_WORLD);
	run->seconds = now_s() - run->start;
}

static inline double mpi_sum(double mine)
{
	double sum;

	MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
	return sum;
}

#endif /* MPI_FORM_H */
