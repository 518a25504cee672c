/* SPDX-License-Identifier: MIT */
/*
 * Each rank sorts its updates in shared memory that lives at it, and reads what the others have
 * there for it. Two sorted arrays a rank, in turn: a rank that is late still reads the one.
 */
#include "buckets.h"
#include "team.h"

struct buckets {
	struct gups_size s;
	unsigned shift;
	uint64_t *table; /* shared, a part a rank */
	char *sorted[2]; /* shared, a part a rank: bounds, then updates */
	size_t pitch;
	uint64_t *made;
};

/* The bounds of rank r's buckets; its updates follow on the next page. */
static uint32_t *first_of(const struct buckets *b, unsigned turn, unsigned r)
{
	return (uint32_t *)(b->sorted[turn] + r * b->pitch);
}

static uint64_t *sorted_of(const struct buckets *b, unsigned turn, unsigned r)
{
	return (uint64_t *)((char *)first_of(b, turn, r) + PAGE_BYTES);
}

static void apply(const struct team *t, const struct buckets *b, unsigned turn, unsigned r)
{
	const uint32_t *first = first_of(b, turn, r);
	const uint64_t *updates = sorted_of(b, turn, r) + first[t->rank];
	size_t n = first[t->rank + 1] - first[t->rank];

	if (r != t->rank)
		team_fetch(t, updates, n * sizeof(*updates));
	buckets_apply(b->table, b->s.n - 1, updates, n);
}

static void all_updates(struct team *t, const struct buckets *b)
{
	size_t k = part_begin(b->s.updates, t->rank, t->size), n;
	size_t end = part_begin(b->s.updates, t->rank + 1, t->size);
	size_t rounds = (b->s.updates / t->size + b->s.bucket - 1) / b->s.bucket;
	uint64_t r = gups_number(k);

	for (unsigned turn = 0; rounds--; turn = !turn, k += n) {
		uint32_t *mine = first_of(b, turn, t->rank);
		size_t bytes = PAGE_BYTES + b->s.bucket * sizeof(uint64_t);

		n = end - k < b->s.bucket ? end - k : b->s.bucket;
		r = buckets_make(b->made, n, r);
		team_write_begin(t, mine, bytes);
		buckets_sort(b->made, n, sorted_of(b, turn, t->rank), mine, t->size, b->s.n - 1,
			     b->shift);
		team_write_end(t, mine, bytes);
		TRY(dsm_barrier(t->dsm));
		/* Nobody reads the other array any more: its copies go while there is work here. */
		team_write_soon(t, first_of(b, !turn, t->rank), bytes);
		for (unsigned i = 0; i < t->size; i++)
			apply(t, b, turn, (t->rank + i) % t->size);
	}
}

void gups_buckets_dsm(struct run *run, struct team *t)
{
	struct buckets b = { .s = gups_buckets_size(run->class) };
	size_t begin = part_begin(b.s.n, t->rank, t->size), wrong = 0;
	size_t bytes = PAGE_BYTES + b.s.bucket * sizeof(uint64_t);
	double checksum = 0;

	b.shift = buckets_shift(&b.s, t->size);
	b.table = team_share(t, b.s.n * sizeof(*b.table), DSM_HOME_BLOCKED);
	for (unsigned i = 0; i < 2; i++)
		b.sorted[i] = team_share_parts(t, bytes, bytes / t->size / 32, &b.pitch);
	b.made = must_calloc(b.s.bucket, sizeof(*b.made));
	gups_fill(b.table + begin, begin, part_begin(b.s.n, t->rank + 1, t->size));
	dsm_start(run, t);
	all_updates(t, &b);
	dsm_stop(run, t);
	if (t->rank == 0) {
		team_write_begin(t, b.table, b.s.n * sizeof(*b.table));
		wrong = gups_undo(&b.s, b.table, 0, b.s.n, &checksum);
		team_write_end(t, b.table, b.s.n * sizeof(*b.table));
	}
	gups_report(run, &b.s, checksum, (double)wrong);
	free(b.made);
}
