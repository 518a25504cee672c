/* SPDX-License-Identifier: MIT */
#include "is.h"

static void rank_keys(const struct is_size *s, uint32_t *keys, uint32_t *counts, unsigned iteration)
{
	is_change(s, keys, 0, s->n, iteration);
	memset(counts, 0, s->range * sizeof(*counts));
	is_count(counts, keys, s->n);
	is_accumulate(counts, s->range, 0);
}

void is_seq(struct run *run)
{
	struct is_size s = is_size(run->class);
	uint32_t *keys = must_calloc(s.n, sizeof(*keys)), tests[IS_TESTS];
	uint32_t *counts = must_calloc(s.range, sizeof(*counts));
	unsigned passed = 0;

	is_fill(&s, keys, 0, s.n);
	is_tests(&s, tests);
	rank_keys(&s, keys, counts, 1); /* untimed, by the specification */
	seq_start(run);
	for (unsigned i = 1; i <= IS_ITERATIONS; i++) {
		rank_keys(&s, keys, counts, i);
		passed += is_check(&s, tests, counts, 0, s.range, i);
	}
	seq_stop(run);
	is_report(run, &s, counts, passed);
	free(keys);
	free(counts);
}
