/* SPDX-License-Identifier: MIT */
#include "kmeans.h"

void kmeans_seq(struct run *run)
{
	size_t n = kmeans_size(run->class);
	struct kmeans_point *points = must_calloc(n, sizeof(*points)), centres[KMEANS_CENTRES];
	struct kmeans_sums sums;
	double distance = INFINITY;
	bool ok = true;

	kmeans_fill(points, 0, n);
	kmeans_begin(centres);
	seq_start(run);
	for (unsigned i = 0; i < KMEANS_ITERATIONS; i++) {
		kmeans_assign(points, n, centres, &sums);
		kmeans_move(centres, &sums);
		ok &= kmeans_better(&sums, n, &distance);
	}
	seq_stop(run);
	kmeans_report(run, n, distance, ok);
	free(points);
}
