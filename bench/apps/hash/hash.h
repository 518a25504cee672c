/* SPDX-License-Identifier: MIT */
/*
 * Counting keys in a hash table: find the key, or insert it, and add one to its count, under the
 * lock of the stripe of the table that it falls into. A stripe is a page.
 *
 * hash: keys fall anywhere. hash_local: operation i of n has seven times in eight a key in the same
 * eighth of the stripes as i is of n, so that up to eight ranks have mostly stripes of their own.
 */
#ifndef HASH_H
#define HASH_H

#include "app.h"

#define HASH_SLOTS 255 /* a stripe */
#define HASH_LOCAL 8

struct slot {
	uint64_t key; /* 0: none */
	uint64_t count;
};

struct stripe {
	struct slot slot[HASH_SLOTS];
	uint64_t writer; /* the libdsm form's */
	uint64_t unused; /* so that it is a page */
};

struct hash_size {
	size_t stripes; /* a multiple of HASH_LOCAL */
	size_t keys; /* that may occur in each */
	size_t operations;
	bool local;
};

static inline struct hash_size hash_size(char class, bool local)
{
	return class == 'S' ? (struct hash_size){ 64, 64, 1 << 12, local }
			    : (struct hash_size){ 1024, 64, 1 << 16, local };
}

/* The key of operation i; its stripe is in the lower half. */
static inline uint64_t hash_key(const struct hash_size *s, size_t i)
{
	uint64_t random = mix64(i), stripe = (random >> 8) % s->stripes;
	size_t each = s->stripes / HASH_LOCAL;

	if (s->local && random % HASH_LOCAL)
		stripe = i * HASH_LOCAL / s->operations * each + stripe % each;
	return (1 + (random >> 32) % s->keys) << 32 | stripe;
}

static inline size_t hash_stripe(uint64_t key)
{
	return (size_t)(key & 0xffffffff);
}

/* Where in its stripe a key is looked for first. */
static inline size_t hash_slot(uint64_t key)
{
	return mix64(key) % HASH_SLOTS;
}

/* There are fewer keys than slots. */
static inline void hash_count(struct stripe *stripe, uint64_t key)
{
	size_t i = hash_slot(key);

	while (stripe->slot[i].key && stripe->slot[i].key != key)
		i = (i + 1) % HASH_SLOTS;
	stripe->slot[i].key = key;
	stripe->slot[i].count++;
}

/* Add stripes to the number of counts and to the checksum. */
static inline void hash_check(const struct stripe *stripes, size_t n, double *counts,
			      double *checksum)
{
	for (size_t s = 0; s < n; s++) {
		for (size_t i = 0; i < HASH_SLOTS; i++) {
			const struct slot *slot = &stripes[s].slot[i];

			*counts += (double)slot->count;
			*checksum += (double)(mix64(slot->key) >> 44) * (double)slot->count;
		}
	}
}

static inline void hash_report(const struct run *run, const struct hash_size *s, double counts,
			       double checksum)
{
	if (run->rank == 0)
		run_report(run, &(struct result){ .work = 1e-6 * (double)s->operations,
						  .checksum = checksum,
						  .ok = counts == (double)s->operations });
}

#endif /* HASH_H */
