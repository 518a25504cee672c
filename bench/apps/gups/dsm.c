/* SPDX-License-Identifier: MIT */
/*
 * Each rank updates any word by a C11 atomic. The page of a word that another rank had last has to
 * come here, alone, for one update: this is what pages with one writer are worst at.
 */
#include <stdatomic.h>

#include "gups.h"
#include "team.h"

void gups_dsm(struct run *run, struct team *t)
{
	struct gups_size s = gups_size(run->class);
	size_t begin = part_begin(s.n, t->rank, t->size), wrong = 0;
	size_t first = part_begin(s.updates, t->rank, t->size);
	size_t end = part_begin(s.updates, t->rank + 1, t->size);
	_Atomic uint64_t *table = team_share(t, s.n * sizeof(*table), DSM_HOME_BLOCKED);
	uint64_t r = gups_number(first);
	double checksum = 0;

	gups_fill((uint64_t *)table + begin, begin, part_begin(s.n, t->rank + 1, t->size));
	dsm_start(run, t);
	for (size_t k = first; k < end; k++, r = gups_next(r))
		atomic_fetch_xor_explicit(&table[r & (s.n - 1)], r, memory_order_relaxed);
	dsm_stop(run, t);
	if (t->rank == 0) {
		team_write_begin(t, (uint64_t *)table, s.n * sizeof(*table));
		wrong = gups_undo(&s, (uint64_t *)table, 0, s.n, &checksum);
		team_write_end(t, (uint64_t *)table, s.n * sizeof(*table));
	}
	gups_report(run, &s, checksum, (double)wrong);
}
