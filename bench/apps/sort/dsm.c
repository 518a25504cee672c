/* SPDX-License-Identifier: MIT */
/*
 * The keys are in shared memory, each rank's part at it. Samples are read out of the others' parts,
 * bounds are searched for there, and the pieces are merged from there: each key is read once where
 * its rank has left it.
 */
#include "sort.h"
#include "team.h"

/* A page is long for the sake of the pieces, and short for that of samples and bounds. */
#define SORT_UNIT ((size_t)16 << 10)

struct sorting {
	size_t n, room; /* keys in all; room for a rank's sorted piece */
	char *parts, *results[2];
	size_t pitch, results_pitch;
	struct piece *sorted; /* by rank: the result */
};

static uint64_t *part(const struct sorting *s, unsigned r)
{
	return (uint64_t *)(s->parts + r * s->pitch);
}

static size_t part_len(const struct sorting *s, const struct team *t, unsigned r)
{
	return part_begin(s->n, r + 1, t->size) - part_begin(s->n, r, t->size);
}

static void splitters(const struct team *t, const struct sorting *s, uint64_t *splitter)
{
	uint64_t samples[t->size * SORT_SAMPLES];

	/* Before they are needed, one after the other; all of them are on their way at once. */
	for (unsigned i = 0; i < t->size * SORT_SAMPLES; i++) {
		unsigned r = i / SORT_SAMPLES;
		size_t n = part_len(s, t, r);
		const uint64_t *at = part(s, r) + sort_sample_at(n, i % SORT_SAMPLES);

		if (r != t->rank)
			team_fetch_soon(t, at, sizeof(*at));
	}
	for (unsigned r = 0; r < t->size; r++)
		for (unsigned i = 0; i < SORT_SAMPLES; i++)
			samples[r * SORT_SAMPLES + i] =
				part(s, r)[sort_sample_at(part_len(s, t, r), i)];
	sort_splitters(samples, t->size, splitter);
}

/* The own piece of each rank's keys; returns how many there are. */
static size_t find_pieces(const struct team *t, const struct sorting *s, const uint64_t *splitter,
			  struct piece *pieces)
{
	size_t sum = 0;

	for (unsigned r = 0; r < t->size; r++) {
		size_t n = part_len(s, t, r), from, to = n;

		from = t->rank ? sort_below(part(s, r), n, splitter[t->rank]) : 0;
		if (t->rank + 1 < t->size)
			to = sort_below(part(s, r), n, splitter[t->rank + 1]);
		pieces[r] = (struct piece){ part(s, r) + from, to - from };
		sum += to - from;
		if (r != t->rank)
			team_fetch(t, pieces[r].keys, pieces[r].n * sizeof(uint64_t));
	}
	return sum;
}

static uint64_t *result(const struct sorting *s, unsigned which, unsigned r)
{
	return (uint64_t *)(s->results[which] + r * s->results_pitch);
}

static void sort_all(struct team *t, const struct sorting *s)
{
	size_t n = part_len(s, t, t->rank), len;
	uint64_t *mine = part(s, t->rank), splitter[t->size];
	struct piece pieces[t->size];

	team_write_begin(t, mine, n * sizeof(*mine));
	sort_keys(mine, result(s, 0, t->rank), n);
	team_write_end(t, mine, n * sizeof(*mine));
	TRY(dsm_barrier(t->dsm));
	splitters(t, s, splitter);
	len = find_pieces(t, s, splitter, pieces);
	if (len > s->room)
		die("sort: %zu keys fell to rank %u, which has room for %zu", len, t->rank,
		    s->room);
	s->sorted[t->rank] =
		sort_pieces(pieces, t->size, result(s, 0, t->rank), result(s, 1, t->rank));
}

void sort_dsm(struct run *run, struct team *t)
{
	struct sorting s = { .n = sort_size(run->class) };
	struct sort_check check = { .sorted = true };

	s.room = sort_room(s.n, t->size);
	s.parts = team_share_parts(t, (s.n / t->size + 1) * sizeof(uint64_t), SORT_UNIT, &s.pitch);
	for (unsigned i = 0; i < 2; i++) {
		s.results[i] =
			team_share_parts(t, s.room * sizeof(uint64_t), SORT_UNIT, &s.results_pitch);
		memset(result(&s, i, t->rank), 0, s.room * sizeof(uint64_t));
	}
	s.sorted = team_share(t, t->size * sizeof(*s.sorted), DSM_HOME_BLOCKED);
	sort_fill(part(&s, t->rank), part_begin(s.n, t->rank, t->size),
		  part_begin(s.n, t->rank + 1, t->size));
	dsm_start(run, t);
	sort_all(t, &s);
	dsm_stop(run, t);
	for (unsigned r = 0; r < t->size && t->rank == 0; r++)
		sort_check(&check, s.sorted[r].keys, s.sorted[r].n);
	if (t->rank == 0)
		sort_report(run, s.n, check);
}
