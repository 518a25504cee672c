/* SPDX-License-Identifier: MIT */
#include "gups.h"

static void all_updates(struct run *run, const struct gups_size *s)
{
	uint64_t *table = must_calloc(s->n, sizeof(*table)), r = 1;
	double checksum = 0;
	size_t wrong;

	gups_fill(table, 0, s->n);
	seq_start(run);
	for (size_t k = 0; k < s->updates; k++, r = gups_next(r))
		table[r & (s->n - 1)] ^= r;
	seq_stop(run);
	wrong = gups_undo(s, table, 0, s->n, &checksum);
	gups_report(run, s, checksum, (double)wrong);
	free(table);
}

void gups_seq(struct run *run)
{
	struct gups_size s = gups_size(run->class);

	all_updates(run, &s);
}

/* One thread has no reason for buckets. */
void gups_buckets_seq(struct run *run)
{
	struct gups_size s = gups_buckets_size(run->class);

	all_updates(run, &s);
}
