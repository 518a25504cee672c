/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the cache side. All with the protocol's event under way: the node's lock.
 */
#ifndef DSM_CACHE_INTERNAL_H
#define DSM_CACHE_INTERNAL_H

#include "protocol.h"

/* A recall that waits for a fresh page to settle. */
struct retry {
	struct cds_list_head link;
	uint64_t page;
};

static inline bool cache_is_home(const struct protocol *p, uint64_t page)
{
	return protocol_home(p, page) == p->rank;
}

/* Will the page need a frame when it comes? */
static inline bool cache_is_due(const struct protocol *p, uint64_t page)
{
	const struct page *pg = &p->pages[page];

	return pg->pending != PEND_NONE && pg->pending != PEND_GETA && !pg->frame &&
	       !cache_is_home(p, page);
}

/* What is pending and whether there is a frame change here alone: due and frames count them. */
static inline void cache_set(struct protocol *p, uint64_t page, enum page_pending pending,
			     bool frame)
{
	struct page *pg = &p->pages[page];
	unsigned granules = protocol_granules(p, page);

	p->due -= cache_is_due(p, page) ? granules : 0;
	p->frames -= pg->frame ? granules : 0;
	pg->pending = pending;
	pg->frame = frame;
	p->due += cache_is_due(p, page) ? granules : 0;
	p->frames += pg->frame ? granules : 0;
}

static inline void cache_set_pending(struct protocol *p, uint64_t page, enum page_pending pending)
{
	cache_set(p, page, pending, p->pages[page].frame);
}

static inline void cache_set_frame(struct protocol *p, uint64_t page, bool frame)
{
	cache_set(p, page, p->pages[page].pending, frame);
}

/* cache.c */

/* The page cannot be had; err is a positive errno, blame the rank that it is about. */
void cache_fail(struct protocol *p, uint64_t page, int err, unsigned blame);
/* Map n pages of one home, Invalid here, for reading; src: their data, NULL for own pages. */
void cache_map_shared(struct protocol *p, uint64_t first, unsigned n, const uint8_t *src);

/* cache_chain.c */

/* How many pages from page on, at most `most`, can be asked for together: of one block, with a copy
 * like the first or without one, and nothing else going on. */
unsigned cache_run_length(const struct protocol *p, uint64_t page, unsigned most);
void cache_chain_start(struct protocol *p, uint64_t page, unsigned most);

/* cache_recall.c */

void cache_on_recall(struct protocol *p, uint64_t page, enum page_deferred recall);
/* Others have come for an own page. */
void cache_was_read(struct protocol *p, uint64_t page);
/* A reason to defer has gone: obey now, if none is left. */
void cache_obey_deferred(struct protocol *p, uint64_t page);

/* cache_evict.c */

/* The page has a frame in the own segment. */
void cache_frame_added(struct protocol *p, uint64_t page);
/* Has the thread that the page was granted to had its access? */
bool cache_settled(struct protocol *p, uint64_t page);
/* Write n Modified pages of one block home, and say so by PutM, or one by WriteBack; the mapping
 * lets no write through any more. */
void cache_send_home(struct protocol *p, uint64_t page, unsigned n, enum msg_kind kind,
		     uint32_t flags);

#endif
