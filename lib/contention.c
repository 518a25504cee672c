/* SPDX-License-Identifier: MIT */
/*
 * See contention.h.
 *
 * The table is 128 small tables of 8 pages each, a page's chosen by its number, and each of them a
 * space-saving summary (Metwally, Agrawal, El Abbadi 2005): a page that is not in a full one takes
 * the place of that given up least often, and inherits its count as `over`, by which its own may be
 * too high. So a page that makes up an eighth of what happens in its small table is in it for
 * certain, however many others pass through.
 *
 * A page's faults are noted by place. Offsets are exact while eight places are enough. When a ninth
 * comes, the rarest goes if it is rare; if not, all places grow twice as wide and neighbours fall
 * together: a rank that touches a page all over ends with a few wide places that say which part.
 *
 * A page enters the table when it is given up, but is faulted in before; so the latest faults are
 * kept beside it.
 */
#include "contention.h"

#include <string.h>

/* Of a page's faults, the share below which a place counts as rare. */
#define RARE_SHARE 16u
/* Of the faults at all places, in percent, those at places in dispute: more, and the page is shared
 * in truth; less, and falsely. */
#define SHARED_PERCENT 50u
#define STRAY_PERCENT  10u
/* Ranks whose notes a verdict rests on: each is compared with each. */
#define JUDGED_MAX 64u

static uint64_t hash(uint64_t page)
{
	return page * 0x9e3779b97f4a7c15ull >> 40;
}

uint64_t contention_times(const struct contention_page *e)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < LOSSES; i++)
		n += e->lost[i];
	return n;
}

static uint64_t weight(const struct contention_page *e)
{
	return e->over + contention_times(e);
}

static struct contention_page *set_of(struct contention *c, uint64_t page)
{
	return c->page[hash(page) % CONTENTION_SETS];
}

static struct contention_page *find(struct contention *c, uint64_t page)
{
	struct contention_page *set = set_of(c, page);

	for (unsigned i = 0; i < CONTENTION_WAYS; i++)
		if (weight(&set[i]) && set[i].page == page && set[i].region == 0)
			return &set[i];
	return NULL;
}

/*
 * Places
 */

static uint64_t faults_at(const struct contention_place *p)
{
	return (uint64_t)p->reads + p->writes;
}

static struct contention_place *place_find(struct contention_page *e, uint32_t offset)
{
	for (unsigned i = 0; i < e->nplaces; i++)
		if (e->place[i].offset >> e->place_shift == offset >> e->place_shift)
			return &e->place[i];
	return NULL;
}

/* Twice as wide, all of them. */
static void places_widen(struct contention_page *e)
{
	unsigned n = e->nplaces;

	e->place_shift++;
	e->nplaces = 0;
	for (unsigned i = 0; i < n; i++) {
		struct contention_place from = e->place[i];
		struct contention_place *to = place_find(e, from.offset);

		if (!to) {
			to = &e->place[e->nplaces++];
			*to = (struct contention_place){
				.offset = from.offset >> e->place_shift << e->place_shift
			};
		}
		to->reads += from.reads;
		to->writes += from.writes;
	}
}

static struct contention_place *place_rarest(struct contention_page *e)
{
	struct contention_place *rarest = &e->place[0];

	for (unsigned i = 1; i < e->nplaces; i++)
		if (faults_at(&e->place[i]) < faults_at(rarest))
			rarest = &e->place[i];
	return rarest;
}

static struct contention_place *place_add(struct contention_page *e, uint32_t offset)
{
	struct contention_place *p = NULL;

	while (e->nplaces == CONTENTION_PLACES && !p) {
		struct contention_place *rarest = place_rarest(e);

		if (faults_at(rarest) * RARE_SHARE < (uint64_t)e->reads + e->writes) {
			*rarest = e->place[--e->nplaces];
		} else {
			places_widen(e);
			p = place_find(e, offset);
		}
	}
	if (!p) {
		p = &e->place[e->nplaces++];
		*p = (struct contention_place){ .offset = offset >> e->place_shift
									    << e->place_shift };
	}
	return p;
}

static void note_fault(struct contention_page *e, uint32_t offset, bool write)
{
	struct contention_place *p = place_find(e, offset);

	if (!p)
		p = place_add(e, offset);
	if (write) {
		e->writes++;
		p->writes++;
	} else {
		e->reads++;
		p->reads++;
	}
}

/*
 * Pages
 */

static struct contention_fault *recent_of(struct contention *c, uint64_t page)
{
	return &c->recent[hash(page) % CONTENTION_RECENT];
}

void contention_fault(struct contention *c, uint64_t page, uint32_t offset, bool write)
{
	struct contention_page *e = find(c, page);

	if (e)
		note_fault(e, offset, write);
	else
		*recent_of(c, page) = (struct contention_fault){
			.page = page, .offset = offset, .write = write, .valid = true
		};
}

/* Enter a page that is not there. */
static struct contention_page *page_enter(struct contention *c, uint64_t page)
{
	struct contention_page *set = set_of(c, page), *e = &set[0];
	struct contention_fault *f = recent_of(c, page);

	for (unsigned i = 1; i < CONTENTION_WAYS; i++)
		if (weight(&set[i]) < weight(e))
			e = &set[i];
	*e = (struct contention_page){ .page = page, .over = (uint32_t)weight(e) };
	if (f->valid && f->page == page)
		note_fault(e, f->offset, f->write);
	f->valid = false;
	return e;
}

void contention_lost(struct contention *c, uint64_t page, unsigned page_shift, unsigned home,
		     enum contention_loss how)
{
	struct contention_page *e = find(c, page);

	if (!e)
		e = page_enter(c, page);
	e->home = (uint16_t)home;
	e->page_shift = (uint8_t)page_shift;
	e->lost[how]++;
}

void contention_left_atomics(struct contention *c, uint64_t page)
{
	struct contention_page *e = find(c, page);

	if (e)
		e->lost[LOSS_ATOMIC]++;
}

/*
 * Regions
 */

const struct contention_region *contention_region(const struct contention *c, uint32_t id)
{
	for (unsigned i = 0; i < CONTENTION_REGIONS; i++)
		if (id && c->region[i].id == id)
			return &c->region[i];
	return NULL;
}

void contention_note_region(struct contention *c, uint32_t id, uint64_t first, const char *name)
{
	struct contention_region *r = &c->region[c->nregions % CONTENTION_REGIONS];

	if (contention_region(c, id))
		return;
	c->nregions++;
	*r = (struct contention_region){ .id = id, .first = first };
	strncpy(r->name, name, sizeof(r->name) - 1);
}

void contention_forget(struct contention *c, uint64_t first, uint64_t granules, uint32_t id)
{
	struct contention_page *e = &c->page[0][0];

	for (unsigned i = 0; i < CONTENTION_SETS * CONTENTION_WAYS; i++, e++)
		if (weight(e) && e->region == 0 && e->page - first < granules)
			e->region = id;
	for (unsigned i = 0; i < CONTENTION_RECENT; i++)
		if (c->recent[i].page - first < granules)
			c->recent[i].valid = false;
}

/*
 * The verdict
 */

/* The faults at places of a, n of them at most, that b disputes: both touch them, and one writes.
 */
static uint64_t disputed(const struct contention_page *a, const struct contention_page *b,
			 uint8_t *counted)
{
	unsigned shift = a->place_shift > b->place_shift ? a->place_shift : b->place_shift;
	uint64_t n = 0;

	for (unsigned i = 0; i < a->nplaces; i++) {
		for (unsigned k = 0; k < b->nplaces && !(*counted & 1u << i); k++) {
			if (a->place[i].offset >> shift != b->place[k].offset >> shift ||
			    !(a->place[i].writes || b->place[k].writes))
				continue;
			*counted |= (uint8_t)(1u << i);
			n += faults_at(&a->place[i]);
		}
	}
	return n;
}

/* Did faults bring the page here, most times? If not, calls or prefetching did. */
static bool moves_by_faults(const struct contention_page *e)
{
	uint64_t faults = (uint64_t)e->reads + e->writes;

	return faults > 0 && faults * 2 >= contention_times(e);
}

enum contention_kind contention_judge(const struct contention_page *notes, unsigned n)
{
	uint64_t all = 0, shared = 0, atomics = 0, times = 0;
	unsigned writers = 0, faulting = 0;

	if (n > JUDGED_MAX)
		n = JUDGED_MAX;
	for (unsigned i = 0; i < n; i++) {
		uint8_t counted = 0;

		atomics += notes[i].lost[LOSS_ATOMIC];
		times += contention_times(&notes[i]);
		writers += notes[i].writes > 0;
		faulting += moves_by_faults(&notes[i]);
		for (unsigned k = 0; k < notes[i].nplaces; k++)
			all += faults_at(&notes[i].place[k]);
		for (unsigned k = 0; k < n; k++)
			if (k != i)
				shared += disputed(&notes[i], &notes[k], &counted);
	}
	if (atomics * 100 > times * STRAY_PERCENT)
		return CONTENTION_ATOMICS;
	if (faulting < 2)
		return CONTENTION_CALLS;
	if (shared * 100 < all * STRAY_PERCENT)
		return CONTENTION_FALSE;
	if (shared * 100 < all * SHARED_PERCENT)
		return CONTENTION_BOTH;
	return writers > 1 ? CONTENTION_WRITERS : CONTENTION_READERS;
}
