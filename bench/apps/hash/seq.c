/* SPDX-License-Identifier: MIT */
#include "hash.h"

static void count_keys(struct run *run, struct hash_size s)
{
	struct stripe *stripes = must_calloc(s.stripes, sizeof(*stripes));
	double counts = 0, checksum = 0;

	memset(stripes, 0, s.stripes * sizeof(*stripes)); /* touched, as in the other forms */
	seq_start(run);
	for (size_t i = 0; i < s.operations; i++) {
		uint64_t key = hash_key(&s, i);

		hash_count(&stripes[hash_stripe(key)], key);
	}
	seq_stop(run);
	hash_check(stripes, s.stripes, &counts, &checksum);
	hash_report(run, &s, counts, checksum);
	free(stripes);
}

void hash_seq(struct run *run)
{
	count_keys(run, hash_size(run->class, false));
}

void hash_local_seq(struct run *run)
{
	count_keys(run, hash_size(run->class, true));
}
