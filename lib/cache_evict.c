/* SPDX-License-Identifier: MIT */
/*
 * Frames and eviction: first in, first out, skipping what is in use. A Shared page goes silently
 * (R3), a Modified one is written home and followed by PutM (R6). See cache.c.
 */
#include "bug.h"
#include "cache_internal.h"

/* Evict at least so many granules at a time: contiguous ones then share a system call. */
#define EVICT_BATCH 64u
/* A run of contiguous granules that are given up together. */
#define EVICT_RUN_MAX 64u

void cache_frame_added(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];
	uint64_t slots = p->space->len_bytes >> GRANULE_SHIFT;

	if (pg->frame)
		return;
	cache_set_frame(p, page, true);
	if (pg->queued)
		return;
	pg->queued = 1;
	p->evict_queue[p->evict_tail++ % slots] = page;
}

bool cache_settled(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (pg->fresh && !p->ops->settled(p->env, page))
		return false;
	pg->fresh = 0;
	return true;
}

static bool evictable(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (pg->pending || pg->deferred || pg->readers_holding || pg->writers_holding)
		return false;
	if (pg->state == PAGE_MODIFIED && rankset_has(&p->down, protocol_home(p, page)))
		return false;
	return pg->state == PAGE_INVALID || cache_settled(p, page);
}

/* The data goes in one piece, and one message is behind it: a page each would be as many packets,
 * and as many wake-ups at the home. */
void cache_send_home(struct protocol *p, uint64_t page, unsigned n, enum msg_kind kind,
		     uint32_t flags)
{
	unsigned home = protocol_home(p, page), granules = n * protocol_granules(p, page);
	struct msg m = { .kind = (uint8_t)kind,
			 .slots = 1,
			 .src = (uint16_t)p->rank,
			 .flags = flags,
			 .page = page,
			 .word = { n - 1 } };

	if (DSM_BUG(WRITE_BACK))
		protocol_send(p, home, &m);
	if (home != p->rank) {
		p->ops->write_home(p->env, home, page, granules);
		stats_add(&p->stats->pub.write_backs, n);
		stats_add(&p->stats->pub.written_bytes, (uint64_t)granules << GRANULE_SHIFT);
	}
	if (!DSM_BUG(WRITE_BACK))
		protocol_send(p, home, &m);
}

/* How many pages from g on, before end, are Modified. */
static unsigned dirty_run(const struct protocol *p, uint64_t g, uint64_t end)
{
	unsigned each = protocol_granules(p, g), n = 0;

	while (g + (uint64_t)n * each < end &&
	       p->pages[g + (uint64_t)n * each].state == PAGE_MODIFIED)
		n++;
	return n;
}

/* Give up [first, first + n granules), a run of evictable pages of one size and block. */
static void evict_run(struct protocol *p, uint64_t first, uint64_t n)
{
	unsigned each = protocol_granules(p, first), dirty;
	bool zapped = false;

	for (uint64_t g = first; g < first + n; g += dirty ? (uint64_t)dirty * each : each) {
		dirty = dirty_run(p, g, first + n);
		if (dirty && !zapped)
			p->ops->zap(p->env, first, n);
		zapped |= dirty != 0;
		if (dirty)
			cache_send_home(p, g, dirty, MSG_PUTM, 0);
	}
	for (uint64_t g = first; g < first + n; g += each) {
		struct page *pg = &p->pages[g];

		if (pg->state != PAGE_INVALID)
			stats_inc(&p->stats->pub.evictions);
		if (pg->state == PAGE_SHARED || pg->state == PAGE_MODIFIED)
			pg->state = PAGE_INVALID; /* silent if Shared: it stays registered (R3) */
		if (DSM_BUG(R3))
			pg->registered = 0;
		cache_set_frame(p, g, false);
	}
	p->ops->drop(p->env, first, n);
}

static void evict(struct protocol *p, uint64_t granules)
{
	uint64_t slots = p->space->len_bytes >> GRANULE_SHIFT;
	uint64_t looks = p->evict_tail - p->evict_head, freed = 0, first = 0, n = 0;

	for (; looks && freed < granules; looks--) {
		uint64_t page = p->evict_queue[p->evict_head++ % slots];
		unsigned each;

		p->pages[page].queued = 0;
		if (!p->pages[page].frame)
			continue;
		each = protocol_granules(p, page);
		if (!evictable(p, page)) {
			p->pages[page].queued = 1;
			p->evict_queue[p->evict_tail++ % slots] = page;
			continue;
		}
		if (n && (page != first + n || n + each > EVICT_RUN_MAX ||
			  protocol_block(p, page) != protocol_block(p, first))) {
			evict_run(p, first, n);
			n = 0;
		}
		if (!n)
			first = page;
		n += each;
		freed += each;
	}
	if (n)
		evict_run(p, first, n);
}

bool cache_make_room(struct protocol *p, uint64_t granules)
{
	uint64_t wanted = granules > EVICT_BATCH ? granules : EVICT_BATCH;
	uint64_t taken = p->frames + p->due;

	if (taken + granules <= p->frames_max)
		return true;
	if (wanted > p->frames_max / 8)
		wanted = p->frames_max / 8 + granules;
	if (taken > p->frames_max)
		wanted += taken - p->frames_max;
	evict(p, wanted);
	/* Without what is due: a hold is not refused for what was fetched ahead. */
	return p->frames + granules <= p->frames_max;
}
