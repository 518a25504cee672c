/* SPDX-License-Identifier: MIT */
/*
 * Sorting updates by the rank that has the word.
 */
#ifndef GUPS_BUCKETS_H
#define GUPS_BUCKETS_H

#include "gups.h"

/* The next n numbers of the sequence. */
static inline uint64_t buckets_make(uint64_t *made, size_t n, uint64_t r)
{
	for (size_t k = 0; k < n; k++, r = gups_next(r))
		made[k] = r;
	return r;
}

/* The rank that has the word that an update is for. */
static inline unsigned buckets_rank(uint64_t update, uint64_t mask, unsigned shift)
{
	return (unsigned)((update & mask) >> shift);
}

/* How many go to each rank. */
static inline void buckets_count(const uint64_t *made, size_t n, uint32_t *counts, unsigned size,
				 uint64_t mask, unsigned shift)
{
	memset(counts, 0, size * sizeof(*counts));
	for (size_t k = 0; k < n; k++)
		counts[buckets_rank(made[k], mask, shift)]++;
}

/* Those of rank r go to to[r], which moves behind them. */
static inline void buckets_sort(const uint64_t *made, size_t n, uint64_t **to, uint64_t mask,
				unsigned shift)
{
	for (size_t k = 0; k < n; k++)
		*to[buckets_rank(made[k], mask, shift)]++ = made[k];
}

static inline void buckets_apply(uint64_t *table, uint64_t mask, const uint64_t *updates, size_t n)
{
	for (size_t k = 0; k < n; k++)
		table[updates[k] & mask] ^= updates[k];
}

/* log2 of the words a rank. */
static inline unsigned buckets_shift(const struct gups_size *s, unsigned size)
{
	if (size & (size - 1))
		die("gups_buckets: %u ranks are not a power of two", size);
	return (unsigned)__builtin_ctzll(s->n / size);
}

#endif /* GUPS_BUCKETS_H */
