/* SPDX-License-Identifier: MIT */
/*
 * Each rank has its part of the arrays and sees no other.
 */
#include "mpi_form.h"
#include "stream.h"

static void pass(struct run *run, struct stream_arrays s, size_t n, double *best)
{
	for (unsigned k = 0; k < STREAM_KERNELS; k++) {
		mpi_start(run);
		stream_kernel(k, s, 0, n);
		mpi_stop(run);
		if (run->seconds < best[k])
			best[k] = run->seconds;
	}
}

void stream_mpi(struct run *run)
{
	double best[STREAM_KERNELS] = { 1e9, 1e9, 1e9, 1e9 }, first[STREAM_KERNELS], checksum = 0;
	struct stream_size size = stream_size(run->class);
	size_t n = part_begin(size.n, run->rank + 1, run->size) -
		   part_begin(size.n, run->rank, run->size);
	struct stream_arrays s = { must_calloc(n, sizeof(double)), must_calloc(n, sizeof(double)),
				   must_calloc(n, sizeof(double)) };
	bool ok;

	stream_fill(s, 0, n);
	memcpy(first, best, sizeof(first));
	pass(run, s, n, first);
	for (unsigned i = 1; i < size.passes; i++)
		pass(run, s, n, best);
	ok = stream_check(s, 0, n, size.passes, &checksum);
	checksum = mpi_sum(checksum);
	ok = mpi_sum(!ok) == 0;
	stream_report(run, best, size.n, checksum, ok);
	free(s.a);
	free(s.b);
	free(s.c);
}
