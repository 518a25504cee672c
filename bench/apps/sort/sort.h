/* SPDX-License-Identifier: MIT */
/*
 * Sample sort: each rank sorts its keys; keys that divide them about evenly are found among
 * samples; each rank then merges, from all ranks' sorted keys, those between two of these.
 */
#ifndef SORT_H
#define SORT_H

#include "app.h"

#define SORT_SAMPLES 64 /* a rank */
#define SORT_SHORT   16 /* sorted by insertion */

static inline size_t sort_size(char class)
{
	return class == 'S' ? 1 << 14 : 1 << 21;
}

/* Room for what falls to a rank: the samples divide the keys so evenly. */
static inline size_t sort_room(size_t n, unsigned size)
{
	return n / size + 2 * n / SORT_SAMPLES + size;
}

static inline void sort_fill(uint64_t *keys, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		keys[i - begin] = mix64(i);
}

/* Merge two sorted arrays. */
static inline void sort_merge(uint64_t *out, const uint64_t *a, size_t na, const uint64_t *b,
			      size_t nb)
{
	while (na && nb) {
		bool first = *a <= *b;

		*out++ = first ? *a : *b;
		a += first;
		na -= first;
		b += !first;
		nb -= !first;
	}
	memcpy(out, a, na * sizeof(*out));
	memcpy(out + na, b, nb * sizeof(*out));
}

static inline void sort_insert(uint64_t *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t key = keys[i];
		size_t at = i;

		for (; at && keys[at - 1] > key; at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* Sort by merging runs twice as long each time; `spare` has room for as many. */
static inline void sort_keys(uint64_t *keys, uint64_t *spare, size_t n)
{
	uint64_t *from = keys, *to = spare;

	for (size_t i = 0; i < n; i += SORT_SHORT)
		sort_insert(keys + i, n - i < SORT_SHORT ? n - i : SORT_SHORT);
	for (size_t len = SORT_SHORT; len < n; len *= 2) {
		uint64_t *other = from;

		for (size_t i = 0; i < n; i += 2 * len) {
			size_t na = n - i < len ? n - i : len;
			size_t nb = n - i - na < len ? n - i - na : len;

			sort_merge(to + i, from + i, na, from + i + na, nb);
		}
		from = to;
		to = other;
	}
	if (from != keys)
		memcpy(keys, from, n * sizeof(*keys));
}

/* Which of n sorted keys is sample number i. */
static inline size_t sort_sample_at(size_t n, unsigned i)
{
	return n * (2 * i + 1) / (2 * SORT_SAMPLES);
}

/* Sort all ranks' samples; splitter[r] is the least key of rank r, but for rank 0. */
static inline void sort_splitters(uint64_t *samples, unsigned size, uint64_t *splitter)
{
	uint64_t spare[size * SORT_SAMPLES];

	sort_keys(samples, spare, size * SORT_SAMPLES);
	splitter[0] = 0;
	for (unsigned r = 1; r < size; r++)
		splitter[r] = samples[r * SORT_SAMPLES];
}

/* How many of the sorted keys are less? */
static inline size_t sort_below(const uint64_t *sorted, size_t n, uint64_t key)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sorted[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A sorted piece. */
struct piece {
	const uint64_t *keys;
	size_t n;
};

/* Merge the pieces two at a time, to and fro between out and spare. Returns where all of it is. */
static inline struct piece sort_pieces(struct piece *pieces, unsigned npieces, uint64_t *out,
				       uint64_t *spare)
{
	for (; npieces > 1; npieces = (npieces + 1) / 2) {
		uint64_t *at = out, *other = spare;

		for (unsigned i = 0; i < npieces; i += 2) {
			struct piece a = pieces[i], none = { pieces[i].keys, 0 };
			struct piece b = i + 1 < npieces ? pieces[i + 1] : none;

			sort_merge(at, a.keys, a.n, b.keys, b.n);
			pieces[i / 2] = (struct piece){ at, a.n + b.n };
			at += a.n + b.n;
		}
		spare = out;
		out = other;
	}
	return pieces[0];
}

/* What all keys together must come to: sorted, and none lost or made. */
struct sort_check {
	size_t n;
	uint64_t last, sum, xor;
	double checksum; /* of each key by its place */
	bool sorted;
};

static inline void sort_check(struct sort_check *c, const uint64_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		c->sorted &= c->last <= keys[i];
		c->last = keys[i];
		c->sum += keys[i];
		c->xor ^= keys[i];
		c->checksum += (double)(keys[i] >> 40) * (double)(1 + c->n++ % 3);
	}
}

static inline void sort_report(const struct run *run, size_t n, struct sort_check c)
{
	for (size_t i = 0; i < n; i++) {
		c.sum -= mix64(i);
		c.xor ^= mix64(i);
	}
	run_report(run, &(struct result){ .work = 1e-6 * (double)n,
					  .checksum = c.checksum,
					  .ok = c.sorted && c.n == n && !c.sum && !c.xor });
}

#endif /* SORT_H */
