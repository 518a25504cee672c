/* SPDX-License-Identifier: MIT */
/*
 * See contention_report.h.
 *
 * A rank sends the pages that it gave up most often. Rank 0 sorts all notes by page, judges each
 * page by what the ranks say of it, and prints the pages that moved most, with the region, the
 * place in it, each rank's part, and what may be done.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "contention_report.h"
#include "error.h"
#include "log.h"
#include "node.h"
#include "table.h"

#define PAGES_MAX      (CONTENTION_SETS * CONTENTION_WAYS)
#define SENT_MAX       256u /* pages that a rank sends, where ranks are few */
#define ALL_SENT_MAX   65536u /* that all ranks send together, about */
#define PRINTED_MAX    20u /* pages printed one by one */
#define RANKS_PRINTED  8u /* of a page */
#define PLACES_PRINTED 3u /* of a rank */
#define WORDS          (sizeof(struct contention_page) / sizeof(uint64_t))
#define WORDS_SENT     6u /* in a message */

/* What others sent, at rank 0: each pages from every rank. */
struct contention_parts {
	unsigned each;
	struct contention_page page[];
};

/* All notes on one page. */
struct fight {
	const struct contention_page *notes; /* n of them, of as many ranks */
	unsigned n;
	uint64_t times;
	enum contention_kind kind;
};

/* Pages that a rank sends. */
static unsigned sent_max(const struct dsm *d)
{
	unsigned share = ALL_SENT_MAX / d->size;

	return share < SENT_MAX ? share + 1 : SENT_MAX;
}

int contention_start(struct dsm *d)
{
	size_t others = d->rank == 0 ? (size_t)d->size * sent_max(d) : 0;

	d->contention = calloc(1, sizeof(*d->contention));
	if (!d->contention)
		return error_set_sys(ENOMEM, "no memory for notes on contention");
	d->protocol.contention = d->contention;
	if (!others)
		return 0;
	d->contention_parts =
		calloc(1, sizeof(*d->contention_parts) + others * sizeof(struct contention_page));
	if (!d->contention_parts)
		return error_set_sys(ENOMEM, "no memory for %u ranks' notes on contention",
				     d->size);
	d->contention_parts->each = sent_max(d);
	return 0;
}

void contention_stop(struct dsm *d)
{
	free(d->contention);
	free(d->contention_parts);
}

void contention_region_gone(struct dsm *d, const struct region *r)
{
	uint64_t first = r->first_block * GRANULES_PER_BLOCK;

	contention_note_region(d->contention, r->id, first, r->name);
	contention_forget(d->contention, first, r->nblocks * GRANULES_PER_BLOCK, r->id);
}

/* Nothing is noted any more: regions that are still there count as gone, so that all notes name
 * theirs. Lock held. */
static void close_notes(struct dsm *d)
{
	struct region *r;

	cds_list_for_each_entry (r, &d->regions.list, link)
		contention_region_gone(d, r);
	d->protocol.contention = NULL;
}

static int by_times(const void *a, const void *b)
{
	uint64_t x = contention_times(*(struct contention_page *const *)a);
	uint64_t y = contention_times(*(struct contention_page *const *)b);

	return (x < y) - (x > y);
}

static void send_page(struct dsm *d, const struct contention_page *e, unsigned index)
{
	const uint64_t *words = (const uint64_t *)e;

	for (unsigned i = 0; i < WORDS; i += WORDS_SENT) {
		struct msg m = { .kind = MSG_CONTENTION,
				 .slots = 1,
				 .src = (uint16_t)d->rank,
				 .flags = (uint32_t)(index * WORDS + i) };

		for (unsigned k = 0; k < WORDS_SENT; k++)
			m.word[k] = words[i + k];
		node_send(d, 0, &m);
	}
}
_Static_assert(sizeof(struct contention_page) % (WORDS_SENT * sizeof(uint64_t)) == 0,
	       "messages are full");

/* The own pages that were given up, most often first; returns their number. */
static unsigned own_pages(struct dsm *d, struct contention_page *own[PAGES_MAX])
{
	struct contention_page *e = &d->contention->page[0][0];
	unsigned n = 0;

	for (unsigned i = 0; i < PAGES_MAX; i++, e++)
		if (contention_times(e))
			own[n++] = e;
	qsort(own, n, sizeof(own[0]), by_times);
	return n;
}

void contention_send(struct dsm *d)
{
	struct contention_page *own[PAGES_MAX];
	unsigned n;

	close_notes(d);
	n = own_pages(d, own);
	for (unsigned i = 0; i < n && i < sent_max(d); i++)
		send_page(d, own[i], i);
}

void contention_message(struct dsm *d, const struct msg *m)
{
	struct contention_parts *parts = d->contention_parts;
	uint64_t index = m->flags;
	uint64_t *words;

	if (!parts || m->src >= d->size || index % WORDS_SENT || index >= parts->each * WORDS)
		return;
	words = (uint64_t *)&parts->page[(size_t)m->src * parts->each];
	for (unsigned i = 0; i < WORDS_SENT; i++)
		words[index + i] = m->word[i];
}

/*
 * Sorting
 */

/* Another rank's notes are not to lead anybody out of an array. */
static bool is_sane(const struct dsm *d, const struct contention_page *e)
{
	return contention_times(e) && e->page < d->space.len_bytes >> GRANULE_SHIFT &&
	       e->page_shift <= BLOCK_SHIFT - GRANULE_SHIFT && e->place_shift <= BLOCK_SHIFT &&
	       e->nplaces <= CONTENTION_PLACES;
}

/* All notes in one array, in no order; returns their number. */
static unsigned gather(struct dsm *d, struct contention_page *all)
{
	const struct contention_parts *parts = d->contention_parts;
	struct contention_page *own[PAGES_MAX];
	unsigned n = own_pages(d, own);

	for (unsigned i = 0; i < n; i++) {
		all[i] = *own[i];
		all[i].rank = (uint16_t)d->rank;
	}
	for (unsigned i = 0; i < d->size * parts->each; i++) {
		if (!is_sane(d, &parts->page[i]))
			continue;
		all[n] = parts->page[i];
		all[n++].rank = (uint16_t)(i / parts->each);
	}
	return n;
}

static int by_page(const void *a, const void *b)
{
	const struct contention_page *x = a, *y = b;

	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return (int)x->rank - (int)y->rank;
}

static int by_fights(const void *a, const void *b)
{
	const struct fight *x = a, *y = b;

	if (x->times != y->times)
		return x->times < y->times ? 1 : -1;
	return by_page(x->notes, y->notes);
}

static struct fight fight_of(const struct contention_page *notes, unsigned n)
{
	struct fight f = { .notes = notes, .n = n, .kind = contention_judge(notes, n) };

	for (unsigned i = 0; i < n; i++)
		f.times += contention_times(&notes[i]);
	return f;
}

/* Notes, sorted by page, to fights; returns their number. */
static unsigned group(const struct contention_page *all, unsigned n, struct fight *fights)
{
	unsigned nfights = 0;

	for (unsigned i = 0, k; i < n; i = k) {
		for (k = i + 1;
		     k < n && all[k].page == all[i].page && all[k].region == all[i].region;)
			k++;
		fights[nfights++] = fight_of(&all[i], k - i);
	}
	return nfights;
}

/*
 * Printing
 */

static const struct {
	const char *name;
	const char *remedy;
} kinds[CONTENTION_KINDS] = {
	[CONTENTION_CALLS] = { "moved by calls",
			       "dsm_acquire() and the like or prefetching moved it, and no faults "
			       "tell for which bytes: where ranges that ranks acquire meet inside "
			       "a "
			       "page, let them meet at its boundary" },
	[CONTENTION_ATOMICS] = { "remote atomics and plain accesses",
				 "they take turns on the page: keep words for dsm_fetch_add64() "
				 "and "
				 "the like away from what is loaded and stored" },
	[CONTENTION_FALSE] = { "false sharing",
			       "no rank faulted where another writes: give what different ranks "
			       "write pages of their own" },
	[CONTENTION_WRITERS] = { "true sharing, several writers",
				 "they write the same place: dsm_fetch_add64() for a counter, one "
				 "sum a rank that is added up at the end, or longer turns" },
	[CONTENTION_READERS] = { "true sharing, one writer",
				 "others read what it writes: write more at a time between two "
				 "readings, or read less often" },
	[CONTENTION_BOTH] = { "partly false sharing",
			      "some places are one rank's alone, others are shared: part them" },
};

/* A place in a region by its offset there, or by its address if nobody knows the region. */
static void add_place(struct dsm *d, struct table *t, const struct contention_region *r,
		      const struct contention_page *e, uint64_t offset)
{
	if (r)
		table_add(t, "+%#" PRIx64, ((e->page - r->first) << GRANULE_SHIFT) + offset);
	else
		table_add(t, "%p", (void *)((uint8_t *)node_addr(d, e->page) + offset));
}

/* The places of a page that is touched all over are many, wide and alike: what they span. */
static void add_span(struct dsm *d, struct table *t, const struct contention_region *r,
		     const struct contention_page *e)
{
	uint64_t from = UINT64_MAX, to = 0;

	for (unsigned i = 0; i < e->nplaces; i++) {
		uint64_t offset = e->place[i].offset;

		from = offset < from ? offset : from;
		to = offset > to ? offset : to;
	}
	add_place(d, t, r, e, from);
	table_add(t, " to ");
	add_place(d, t, r, e, to + (1u << e->place_shift) - 1);
	table_add(t, ", in %u places of %u bytes", e->nplaces, 1u << e->place_shift);
}

static int by_faults(const void *a, const void *b)
{
	const struct contention_place *x = a, *y = b;
	uint64_t n = (uint64_t)x->reads + x->writes, m = (uint64_t)y->reads + y->writes;

	return (n < m) - (n > m);
}

static void add_places(struct dsm *d, struct table *t, const struct contention_region *r,
		       const struct contention_page *e)
{
	struct contention_place place[CONTENTION_PLACES];
	unsigned n = e->nplaces;

	if (n > PLACES_PRINTED && e->place_shift) {
		add_span(d, t, r, e);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		place[i] = e->place[i];
	qsort(place, n, sizeof(place[0]), by_faults);
	for (unsigned i = 0; i < n && i < PLACES_PRINTED; i++) {
		table_add(t, "%s", i ? ", " : "");
		add_place(d, t, r, e, place[i].offset);
		if (e->place_shift)
			table_add(t, " (%u bytes)", 1u << e->place_shift);
		if (place[i].writes)
			table_add(t, " written %u", place[i].writes);
		if (place[i].reads)
			table_add(t, "%s read %u", place[i].writes ? "," : "", place[i].reads);
	}
	if (n > PLACES_PRINTED)
		table_add(t, ", and %u more", n - PLACES_PRINTED);
}

static void add_rank(struct dsm *d, struct table *t, const struct contention_region *r,
		     const struct contention_page *e)
{
	table_add(t, "    %5u %9u %10u %11u %8u %8u %8u  ", e->rank, e->lost[LOSS_TAKEN],
		  e->lost[LOSS_DOWNGRADED], e->lost[LOSS_INVALIDATED], e->lost[LOSS_ATOMIC],
		  e->writes, e->reads);
	add_places(d, t, r, e);
	table_add(t, "\n");
}

static void add_fight(struct dsm *d, struct table *t, const struct fight *f)
{
	const struct contention_page *e = f->notes;
	const struct contention_region *r = contention_region(d->contention, e->region);

	table_add(t, "  page ");
	add_place(d, t, r, e, 0);
	table_add(t, " of region \"%s\", %u KiB at %p, home: rank %u, given up %" PRIu64 " times\n",
		  r ? r->name : "", 1u << (e->page_shift + GRANULE_SHIFT - 10),
		  node_addr(d, e->page), e->home, f->times);
	table_add(t, "    %5s %9s %10s %11s %8s %8s %8s  %s\n", "rank", "taken", "downgraded",
		  "invalidated", "atomics", "w-faults", "r-faults", "where");
	for (unsigned i = 0; i < f->n && i < RANKS_PRINTED; i++)
		add_rank(d, t, r, &f->notes[i]);
	if (f->n > RANKS_PRINTED)
		table_add(t, "    and %u ranks more\n", f->n - RANKS_PRINTED);
	table_add(t, "    %s: %s", kinds[f->kind].name, kinds[f->kind].remedy);
	if (f->kind == CONTENTION_FALSE && e->page_shift)
		table_add(t, ", or the region a smaller page_size");
	table_add(t, "\n");
}

/* Of a region: how many pages, how often, and how they were judged. */
static void add_region(struct dsm *d, struct table *t, const struct fight *f, unsigned n)
{
	const struct contention_region *r = contention_region(d->contention, f->notes->region);
	unsigned of_kind[CONTENTION_KINDS] = { 0 };
	uint64_t times = 0;

	for (unsigned i = 0; i < n; i++) {
		of_kind[f[i].kind]++;
		times += f[i].times;
	}
	table_add(t, "  region \"%s\": %u page%s given up %" PRIu64 " times", r ? r->name : "", n,
		  n == 1 ? "" : "s", times);
	for (unsigned k = 0; k < CONTENTION_KINDS; k++)
		if (of_kind[k])
			table_add(t, "; %s: %u", kinds[k].name, of_kind[k]);
	table_add(t, "\n");
}

static void print(struct dsm *d, struct fight *fights, unsigned n)
{
	struct table t = { .len = 0 };

	table_add(&t, "libdsm contention: %u page%s that ranks took from one another%s\n", n,
		  n == 1 ? "" : "s", n ? ", by region:" : "");
	for (unsigned i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && fights[k].notes->region == fights[i].notes->region;)
			k++;
		add_region(d, &t, &fights[i], k - i);
	}
	qsort(fights, n, sizeof(fights[0]), by_fights);
	if (n)
		table_add(&t, "  Below, a fault tells the first byte that a thread touched after "
			      "the page had gone, not all that follow.\n");
	for (unsigned i = 0; i < n && i < PRINTED_MAX; i++)
		add_fight(d, &t, &fights[i]);
	if (n > PRINTED_MAX)
		table_add(&t, "  and %u pages that were given up less often\n", n - PRINTED_MAX);
	table_flush(&t);
}

void contention_print(struct dsm *d)
{
	size_t most = PAGES_MAX + (size_t)d->size * d->contention_parts->each;
	struct contention_page *all = malloc(most * sizeof(*all));
	struct fight *fights = malloc(most * sizeof(*fights));
	unsigned n;

	if (all && fights) {
		node_lock(d);
		close_notes(d);
		n = gather(d, all);
		node_unlock(d);
		qsort(all, n, sizeof(all[0]), by_page);
		print(d, fights, group(all, n, fights));
	} else {
		log_warn("no memory to print the report on contention");
	}
	free(all);
	free(fights);
}
