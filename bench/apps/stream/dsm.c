/* SPDX-License-Identifier: MIT */
/*
 * Three arrays in shared memory, each rank on the part that lives in its own. Rank 0 then checks
 * all of it in place.
 */
#include "stream.h"
#include "team.h"

static void pass(const struct team *t, struct stream_arrays s, size_t n, double *best)
{
	size_t begin = part_begin(n, t->rank, t->size), end = part_begin(n, t->rank + 1, t->size);

	for (unsigned k = 0; k < STREAM_KERNELS; k++) {
		double start, seconds;

		TRY(dsm_barrier(t->dsm));
		start = now_s();
		stream_kernel(k, s, begin, end);
		TRY(dsm_barrier(t->dsm));
		seconds = now_s() - start;
		if (seconds < best[k])
			best[k] = seconds;
	}
}

void stream_dsm(struct run *run, struct team *t)
{
	double best[STREAM_KERNELS] = { 1e9, 1e9, 1e9, 1e9 }, first[STREAM_KERNELS], checksum = 0;
	struct stream_size size = stream_size(run->class);
	size_t bytes = size.n * sizeof(double);
	struct stream_arrays s = { team_share(t, bytes, DSM_HOME_BLOCKED),
				   team_share(t, bytes, DSM_HOME_BLOCKED),
				   team_share(t, bytes, DSM_HOME_BLOCKED) };
	bool ok = true;

	stream_fill(s, part_begin(size.n, t->rank, t->size),
		    part_begin(size.n, t->rank + 1, t->size));
	memcpy(first, best, sizeof(first));
	pass(t, s, size.n, first);
	dsm_start(run, t);
	for (unsigned i = 1; i < size.passes; i++)
		pass(t, s, size.n, best);
	dsm_stop(run, t);
	if (t->rank == 0)
		ok = stream_check(s, 0, size.n, size.passes, &checksum);
	stream_report(run, best, size.n, checksum, ok);
}
