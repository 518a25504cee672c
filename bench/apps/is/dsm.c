/* SPDX-License-Identifier: MIT */
/*
 * Each rank counts in shared memory that lives at it; then it copies everybody's counts of its part
 * of the range of values, and leaves the result in shared memory, where rank 0 checks all of it.
 */
#include "is.h"
#include "team.h"

struct ranking {
	struct is_size s;
	size_t begin, end; /* own keys */
	uint32_t from, to; /* own values */
	uint32_t *keys, tests[IS_TESTS];
	char *counts; /* a part a rank */
	size_t pitch;
	uint32_t *upto; /* the result */
	uint32_t *theirs; /* another rank's counts of own values */
};

static uint32_t *counts_of(const struct ranking *r, unsigned rank)
{
	return (uint32_t *)(r->counts + rank * r->pitch);
}

static void count(const struct team *t, const struct ranking *r, unsigned iteration)
{
	uint32_t *mine = counts_of(r, t->rank);
	size_t bytes = r->s.range * sizeof(*mine);

	is_change(&r->s, r->keys, r->begin, r->end, iteration);
	team_write_begin(t, mine, bytes);
	memset(mine, 0, bytes);
	is_count(mine, r->keys, r->end - r->begin);
	team_write_end(t, mine, bytes);
}

/* Everybody's counts of own values; returns their sum. */
static uint32_t add_up(const struct team *t, const struct ranking *r)
{
	uint32_t sum = 0, n = r->to - r->from, *upto = r->upto + r->from;

	memcpy(upto, counts_of(r, t->rank) + r->from, n * sizeof(*upto));
	for (unsigned i = 1; i < t->size; i++) {
		team_read(t, r->theirs, counts_of(r, (t->rank + i) % t->size) + r->from,
			  n * sizeof(*r->theirs));
		for (uint32_t k = 0; k < n; k++)
			upto[k] += r->theirs[k];
	}
	for (uint32_t k = 0; k < n; k++)
		sum += upto[k];
	return sum;
}

static unsigned rank_keys(struct team *t, const struct ranking *r, unsigned iteration)
{
	double sums[t->size], below = 0;

	count(t, r, iteration);
	TRY(dsm_barrier(t->dsm));
	team_gather(t, add_up(t, r), sums);
	for (unsigned q = 0; q < t->rank; q++)
		below += sums[q];
	is_accumulate(r->upto + r->from, r->to - r->from, (uint32_t)below);
	return is_check(&r->s, r->tests, r->upto + r->from, r->from, r->to, iteration);
}

void is_dsm(struct run *run, struct team *t)
{
	struct ranking r = { .s = is_size(run->class) };
	double passed = 0;

	r.begin = part_begin(r.s.n, t->rank, t->size);
	r.end = part_begin(r.s.n, t->rank + 1, t->size);
	r.from = (uint32_t)part_begin(r.s.range, t->rank, t->size);
	r.to = (uint32_t)part_begin(r.s.range, t->rank + 1, t->size);
	r.keys = must_calloc(r.end - r.begin, sizeof(*r.keys));
	r.theirs = must_calloc(r.to - r.from, sizeof(*r.theirs));
	r.counts = team_share_parts(t, r.s.range * sizeof(uint32_t),
				    r.s.range / t->size * sizeof(uint32_t), &r.pitch);
	r.upto = team_share(t, r.s.range * sizeof(uint32_t), DSM_HOME_BLOCKED);
	is_fill(&r.s, r.keys, r.begin, r.end);
	is_tests(&r.s, r.tests);
	rank_keys(t, &r, 1);
	dsm_start(run, t);
	for (unsigned i = 1; i <= IS_ITERATIONS; i++)
		passed += rank_keys(t, &r, i);
	dsm_stop(run, t);
	passed = team_sum(t, passed);
	if (t->rank == 0)
		is_report(run, &r.s, r.upto, passed);
	free(r.theirs);
	free(r.keys);
}
