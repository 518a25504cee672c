/* SPDX-License-Identifier: MIT */
/*
 * Reading a page out of its home's memory without becoming one of its readers: look at the grants
 * word, load, look again.
 *
 * The home's memory is what the page is while it is Clean, and also while it is open: the home has
 * it for writing, and if its threads store there without holding it, loads see these stores as any
 * processor's. If both looks find it so, with the same count, it was so in between: R11, the count
 * changes whenever a page ceases to be Clean or open. Who may write then, elsewhere or by a hold,
 * has his right from the home after it had changed the count; so what is loaded too late is
 * followed by a look that sees another count.
 *
 * Only where loads reach the home's memory (struct transport_ops, view). As long as somebody reads
 * so, the region must stay.
 */
#ifndef DSM_SNAPSHOT_H
#define DSM_SNAPSHOT_H

#include "space.h"
#include "wire.h"

/* Is the home's memory there to be looked at? */
static inline bool snapshot_is_there(uint64_t word)
{
	return grant_state(word) == GRANT_CLEAN || word & GRANT_OPEN;
}

/* @view: the home's segment. False: the page cannot be read so now. */
static inline bool snapshot_begin(const struct space *s, uint8_t *view, uint64_t page,
				  uint64_t *word)
{
	/* Pairs with the store in grant_store(): what was written home before is seen. */
	*word = __atomic_load_n(segment_grant(s, view, page), __ATOMIC_SEQ_CST);
	return snapshot_is_there(*word);
}

/* Was what has been loaded since then the page? */
static inline bool snapshot_end(const struct space *s, uint8_t *view, uint64_t page, uint64_t word)
{
	uint64_t last;

	/* The loads come before this one. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	last = __atomic_load_n(segment_grant(s, view, page), __ATOMIC_RELAXED);
	return snapshot_is_there(last) && grant_count(last) == grant_count(word);
}

#endif
