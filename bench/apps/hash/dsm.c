/* SPDX-License-Identifier: MIT */
/*
 * One table in shared memory, and one lock a stripe, named by its address: the program of threads.
 */
#include "hash.h"
#include "team.h"

static void count_keys(struct run *run, struct team *t, struct hash_size s)
{
	struct stripe *stripes = team_share(t, s.stripes * sizeof(*stripes), DSM_HOME_BLOCKED);
	size_t end = part_begin(s.operations, t->rank + 1, t->size);
	double counts = 0, checksum = 0;

	dsm_start(run, t);
	for (size_t i = part_begin(s.operations, t->rank, t->size); i < end; i++) {
		uint64_t key = hash_key(&s, i);
		struct stripe *stripe = &stripes[hash_stripe(key)];

		TRY(dsm_lock(t->dsm, stripe));
		/* The first access is a store: the page comes for writing at once, where a load
		 * would have it come to be read and then asked for again. */
		*(volatile uint64_t *)&stripe->writer = t->rank;
		hash_count(stripe, key);
		TRY(dsm_unlock(t->dsm, stripe));
	}
	dsm_stop(run, t);
	if (t->rank == 0)
		hash_check(stripes, s.stripes, &counts, &checksum);
	hash_report(run, &s, counts, checksum);
}

void hash_dsm(struct run *run, struct team *t)
{
	count_keys(run, t, hash_size(run->class, false));
}

void hash_local_dsm(struct run *run, struct team *t)
{
	count_keys(run, t, hash_size(run->class, true));
}
