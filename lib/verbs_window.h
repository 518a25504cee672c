/* SPDX-License-Identifier: MIT */
/*
 * Windows: what of a home block other ranks' adapters reach, side by side under one key.
 *
 *	[readers: a bit a granule for each rank][grants: a word a granule][pages]
 *
 * A rank reserves addresses for the windows of all blocks, so that a block's lies at base + block *
 * stride; the keys are in a table, a word a block: the key with VERBS_RKEY_VALID, or 0. Peers know
 * base and table from the hello, read a word of the table when they first need it, and keep it
 * until the block is withdrawn. So neither finding a block nor reading it costs its home a message.
 *
 * Grants and pages are those of the segment, mapped once more; the readers words are the window's
 * own (space.h).
 */
#ifndef DSM_VERBS_WINDOW_H
#define DSM_VERBS_WINDOW_H

#include "verbs_internal.h"

#define VERBS_RKEY_VALID (1ull << 32)

/* Offsets in a window. */
static inline uint64_t verbs_window_readers(uint64_t granule, unsigned rank)
{
	return space_wire_index(granule, rank) * sizeof(uint64_t);
}

static inline uint64_t verbs_readers_bytes(const struct space *s)
{
	return s->rank_words * 64 * WIRE_WORDS * sizeof(uint64_t);
}

static inline uint64_t verbs_window_grants(const struct space *s, uint64_t granule)
{
	return verbs_readers_bytes(s) + granule % GRANULES_PER_BLOCK * sizeof(uint64_t);
}

static inline uint64_t verbs_window_pages(const struct space *s, uint64_t granule)
{
	return verbs_readers_bytes(s) + GRANULES_PER_BLOCK * sizeof(uint64_t) +
	       (granule % GRANULES_PER_BLOCK << GRANULE_SHIFT);
}

/* Where the window of a granule's block is at a peer. */
static inline uint64_t verbs_window_at(const struct transport_verbs *v, unsigned rank,
				       uint64_t granule)
{
	return v->peers[rank].window + granule / GRANULES_PER_BLOCK * v->window_bytes;
}

#endif
