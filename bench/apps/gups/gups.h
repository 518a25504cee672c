/* SPDX-License-Identifier: MIT */
/*
 * Random updates: table[r mod n] ^= r for the numbers r of HPC Challenge's sequence, which are the
 * powers of x modulo x^64 + x^2 + x + 1 over GF(2). Any rank has to update any word.
 *
 * gups does them one at a time: the finest sharing there is. gups_buckets collects many, sorts them
 * by the rank that has the word, and has that rank do them; HPC Challenge's own rule allows 1,024
 * at a time, here there are more.
 */
#ifndef GUPS_H
#define GUPS_H

#include "app.h"

#define GUPS_AHEAD 1024 /* updates that may be under way at a time: HPC Challenge's rule */

struct gups_size {
	size_t n; /* words: a power of two, divided by the ranks */
	size_t updates;
	size_t bucket; /* updates a rank collects, all buckets together */
};

static inline struct gups_size gups_size(char class)
{
	return class == 'S' ? (struct gups_size){ 1 << 16, 1 << 12, 0 }
			    : (struct gups_size){ 1 << 21, 1 << 16, 0 };
}

static inline struct gups_size gups_buckets_size(char class)
{
	return class == 'S' ? (struct gups_size){ 1 << 16, 1 << 18, 1 << 14 }
			    : (struct gups_size){ 1 << 21, 1 << 23, 1 << 17 };
}

static inline uint64_t gups_next(uint64_t x)
{
	return x << 1 ^ (x >> 63 ? 7 : 0);
}

static inline uint64_t gups_multiply(uint64_t a, uint64_t b)
{
	uint64_t product = 0;

	for (; b; b >>= 1, a = gups_next(a))
		product ^= b & 1 ? a : 0;
	return product;
}

/* Number n of the sequence. */
static inline uint64_t gups_number(uint64_t n)
{
	uint64_t power = 1;

	for (uint64_t x = 2; n; n >>= 1, x = gups_multiply(x, x))
		if (n & 1)
			power = gups_multiply(power, x);
	return power;
}

/* Words from begin to end - 1 begin as their index; table begins with word begin. */
static inline void gups_fill(uint64_t *table, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		table[i - begin] = i;
}

/*
 * Do all updates of words from begin to end - 1 once more: each undoes itself. Adds the table as it
 * was to the checksum. Returns how many words are not what they began as.
 */
static inline size_t gups_undo(const struct gups_size *s, uint64_t *table, size_t begin, size_t end,
			       double *checksum)
{
	uint64_t r = 1;
	size_t wrong = 0;

	for (size_t i = begin; i < end; i++)
		*checksum += (double)(table[i - begin] >> 40);
	for (size_t k = 0; k < s->updates; k++) {
		size_t i = r & (s->n - 1);

		if (i >= begin && i < end)
			table[i - begin] ^= r;
		r = gups_next(r);
	}
	for (size_t i = begin; i < end; i++)
		wrong += table[i - begin] != i;
	return wrong;
}

static inline void gups_report(const struct run *run, const struct gups_size *s, double checksum,
			       double wrong)
{
	if (run->rank == 0)
		run_report(run, &(struct result){ .work = 1e-6 * (double)s->updates,
						  .checksum = checksum,
						  .ok = wrong == 0 });
}

#endif /* GUPS_H */
