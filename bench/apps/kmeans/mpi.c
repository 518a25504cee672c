/* SPDX-License-Identifier: MIT */
/*
 * Each rank has a part of the points; the sums are added up.
 */
#include "kmeans.h"
#include "mpi_form.h"

void kmeans_mpi(struct run *run)
{
	size_t n = kmeans_size(run->class), begin = part_begin(n, run->rank, run->size);
	size_t own = part_begin(n, run->rank + 1, run->size) - begin;
	struct kmeans_point *points = must_calloc(own, sizeof(*points)), centres[KMEANS_CENTRES];
	struct kmeans_sums sums, total;
	double distance = INFINITY;
	bool ok = true;

	kmeans_fill(points, begin, begin + own);
	kmeans_begin(centres);
	mpi_start(run);
	for (unsigned i = 0; i < KMEANS_ITERATIONS; i++) {
		kmeans_assign(points, own, centres, &sums);
		MPI_Allreduce(&sums, &total, KMEANS_DOUBLES, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
		kmeans_move(centres, &total);
		ok &= kmeans_better(&total, n, &distance);
	}
	mpi_stop(run);
	kmeans_report(run, n, distance, ok);
	free(points);
}
