/* SPDX-License-Identifier: MIT */
/*
 * Each rank sorts what is not its own into shared memory that lives at it, and copies what the
 * others have there for it. Two arrays a rank, in turn: a rank that is late still reads the one.
 */
#include "buckets.h"
#include "team.h"

/* Pages of a bucket: its ends share a page with the next, which is fetched twice. */
#define BUCKETS_PAGES 4

/* What a rank leaves for the others; updates follow, rank by rank but for its own. */
struct counts {
	uint32_t of[PAGE_BYTES / sizeof(uint32_t)];
	uint64_t updates[];
};

struct buckets {
	struct gups_size s;
	unsigned shift;
	uint64_t *table; /* shared, a part a rank */
	char *sorted[2]; /* shared: a struct counts a rank */
	size_t pitch;
	uint64_t *made, *own, *theirs; /* updates; those that stay here; those from another rank */
};

static struct counts *counts_of(const struct buckets *b, unsigned turn, unsigned r)
{
	return (struct counts *)(b->sorted[turn] + r * b->pitch);
}

/* Where in what rank r has left are those for rank `to`? */
static uint64_t *updates_for(struct counts *c, const uint32_t *counts, unsigned r, unsigned to)
{
	size_t before = 0;

	for (unsigned i = 0; i < to; i++)
		before += i == r ? 0 : counts[i];
	return c->updates + before;
}

static void sort(const struct team *t, const struct buckets *b, unsigned turn, size_t n)
{
	struct counts *mine = counts_of(b, turn, t->rank);
	uint32_t counts[t->size];
	uint64_t *to[t->size];
	size_t bytes;

	buckets_count(b->made, n, counts, t->size, b->s.n - 1, b->shift);
	bytes = sizeof(*mine) + (n - counts[t->rank]) * sizeof(uint64_t);
	team_write_begin(t, mine, bytes);
	memcpy(mine->of, counts, sizeof(counts));
	for (unsigned r = 0; r < t->size; r++)
		to[r] = r == t->rank ? b->own : updates_for(mine, counts, t->rank, r);
	buckets_sort(b->made, n, to, b->s.n - 1, b->shift);
	team_write_end(t, mine, bytes);
}

static void apply(const struct team *t, const struct buckets *b, unsigned turn, unsigned r)
{
	struct counts *c = counts_of(b, turn, r);
	const uint64_t *updates = b->own;
	uint32_t counts[t->size];

	team_read(t, counts, c->of, sizeof(counts));
	if (r != t->rank) {
		team_read(t, b->theirs, updates_for(c, counts, r, t->rank),
			  counts[t->rank] * sizeof(*updates));
		updates = b->theirs;
	}
	buckets_apply(b->table, b->s.n - 1, updates, counts[t->rank]);
}

static void all_updates(struct team *t, const struct buckets *b)
{
	size_t k = part_begin(b->s.updates, t->rank, t->size), n;
	size_t end = part_begin(b->s.updates, t->rank + 1, t->size);
	size_t rounds = (b->s.updates / t->size + b->s.bucket - 1) / b->s.bucket;
	uint64_t r = gups_number(k);

	for (unsigned turn = 0; rounds--; turn = !turn, k += n) {
		n = end - k < b->s.bucket ? end - k : b->s.bucket;
		r = buckets_make(b->made, n, r);
		sort(t, b, turn, n);
		TRY(dsm_barrier(t->dsm));
		for (unsigned i = 0; i < t->size; i++)
			apply(t, b, turn, (t->rank + i) % t->size);
	}
}

void gups_buckets_dsm(struct run *run, struct team *t)
{
	struct buckets b = { .s = gups_buckets_size(run->class) };
	size_t begin = part_begin(b.s.n, t->rank, t->size), wrong = 0;
	size_t bytes = sizeof(struct counts) + b.s.bucket * sizeof(uint64_t);
	double checksum = 0;

	b.shift = buckets_shift(&b.s, t->size);
	b.table = team_share(t, b.s.n * sizeof(*b.table), DSM_HOME_BLOCKED);
	for (unsigned i = 0; i < 2; i++)
		b.sorted[i] = team_share_parts(t, bytes, bytes / t->size / BUCKETS_PAGES, &b.pitch);
	b.made = must_calloc(b.s.bucket, sizeof(*b.made));
	b.own = must_calloc(b.s.bucket, sizeof(*b.own));
	b.theirs = must_calloc(b.s.bucket, sizeof(*b.theirs));
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
	free(b.theirs);
	free(b.own);
}
