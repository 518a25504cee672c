/* SPDX-License-Identifier: MIT */
#include "heat.h"

void heat_seq(struct run *run)
{
	struct heat_size s = heat_size(run->class);
	double *plate[2], checksum = 0;
	bool ok = true;

	for (unsigned i = 0; i < 2; i++) {
		plate[i] = must_calloc(s.n * s.n, sizeof(double));
		heat_edge(plate[i], s.n);
	}
	seq_start(run);
	for (unsigned step = 0; step < s.steps; step++) {
		const double *old = plate[step % 2];
		double *new = plate[!(step % 2)];

		for (size_t i = 1; i < s.n - 1; i++)
			heat_row(new + i *s.n, old + (i - 1) * s.n, old + i * s.n,
				 old + (i + 1) * s.n, s.n);
	}
	seq_stop(run);
	for (size_t i = 0; i < s.n; i++)
		ok &= heat_check_row(plate[s.steps % 2] + i * s.n, s.n, &checksum);
	heat_report(run, s, checksum, ok);
	free(plate[0]);
	free(plate[1]);
}
