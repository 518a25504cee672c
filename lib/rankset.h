/* SPDX-License-Identifier: MIT */
/*
 * A set of ranks, as bits: what the readers words of a page hold.
 */
#ifndef DSM_RANKSET_H
#define DSM_RANKSET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Most ranks of a job: 64 bytes of readers a page. What looks beyond is compiled with more. */
#ifndef RANKS_MAX
#define RANKS_MAX 512u
#endif
#define RANKSET_WORDS (RANKS_MAX / 64)

struct rankset {
	uint64_t word[RANKSET_WORDS];
};

static inline void rankset_clear(struct rankset *s)
{
	memset(s, 0, sizeof(*s));
}

static inline void rankset_add(struct rankset *s, unsigned rank)
{
	s->word[rank / 64] |= 1ull << rank % 64;
}

static inline void rankset_remove(struct rankset *s, unsigned rank)
{
	s->word[rank / 64] &= ~(1ull << rank % 64);
}

/* Of any rank: one that cannot be is in no set. */
static inline bool rankset_has(const struct rankset *s, unsigned rank)
{
	return rank < RANKS_MAX && (s->word[rank / 64] >> rank % 64 & 1);
}

/* The first rank of the set that is >= from; RANKS_MAX if there is none. */
static inline unsigned rankset_next(const struct rankset *s, unsigned from)
{
	for (unsigned w = from / 64; w < RANKSET_WORDS; w++) {
		uint64_t bits = s->word[w];

		if (w == from / 64)
			bits &= ~0ull << from % 64;
		if (bits)
			return w * 64 + (unsigned)__builtin_ctzll(bits);
	}
	return RANKS_MAX;
}

static inline bool rankset_empty(const struct rankset *s)
{
	return rankset_next(s, 0) == RANKS_MAX;
}

static inline unsigned rankset_count(const struct rankset *s)
{
	unsigned n = 0;

	for (unsigned w = 0; w < RANKSET_WORDS; w++)
		n += (unsigned)__builtin_popcountll(s->word[w]);
	return n;
}

#define rankset_for_each(rank, s)                                                                  \
	for (unsigned rank = rankset_next(s, 0); rank < RANKS_MAX;                                 \
	     rank = rank + 1 < RANKS_MAX ? rankset_next(s, rank + 1) : RANKS_MAX)

#endif
