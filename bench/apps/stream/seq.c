/* SPDX-License-Identifier: MIT */
#include "stream.h"

void stream_seq(struct run *run)
{
	double best[STREAM_KERNELS] = { 1e9, 1e9, 1e9, 1e9 }, checksum = 0;
	struct stream_size size = stream_size(run->class);
	struct stream_arrays s = { must_calloc(size.n, sizeof(double)),
				   must_calloc(size.n, sizeof(double)),
				   must_calloc(size.n, sizeof(double)) };
	bool ok;

	stream_fill(s, 0, size.n);
	for (unsigned pass = 0; pass < size.passes; pass++) {
		for (unsigned k = 0; k < STREAM_KERNELS; k++) {
			seq_start(run);
			stream_kernel(k, s, 0, size.n);
			seq_stop(run);
			if (pass && run->seconds < best[k])
				best[k] = run->seconds;
		}
	}
	ok = stream_check(s, 0, size.n, size.passes, &checksum);
	stream_report(run, best, size.n, checksum, ok);
	free(s.a);
	free(s.b);
	free(s.c);
}
