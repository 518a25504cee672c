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

/* Bucket d gets sorted[first[d]] to sorted[first[d + 1] - 1]. @each: words a rank, 2^shift */
static inline void buckets_sort(const uint64_t *made, size_t n, uint64_t *sorted, uint32_t *first,
				unsigned size, uint64_t mask, unsigned shift)
{
	uint32_t next[size];

	memset(first, 0, (size + 1) * sizeof(*first));
	for (size_t k = 0; k < n; k++)
		first[((made[k] & mask) >> shift) + 1]++;
	for (unsigned d = 0; d < size; d++) {
		next[d] = first[d];
		first[d + 1] += first[d];
	}
	for (size_t k = 0; k < n; k++)
		sorted[next[(made[k] & mask) >> shift]++] = made[k];
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
