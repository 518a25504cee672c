/* SPDX-License-Identifier: MIT */
/*
 * NAS IS: the rank of each of many small integers in their sorted order, by counting (RNR-94-007,
 * section 2.4.6). A rank counts its part of the keys, and then adds up the counts of a part of the
 * range of values.
 */
#ifndef IS_H
#define IS_H

#include "app.h"
#include "nas.h"

#define IS_ITERATIONS 10
#define IS_TESTS      5

struct is_size {
	size_t n; /* keys */
	uint32_t range; /* each is below it */
	uint32_t index[IS_TESTS], rank[IS_TESTS]; /* published: of which keys, what rank */
};

static inline struct is_size is_size(char class)
{
	if (class == 'S')
		return (struct is_size){ 1 << 16,
					 1 << 11,
					 { 48427, 17148, 23627, 62548, 4431 },
					 { 0, 18, 346, 64917, 65463 } };
	return (struct is_size){ 1 << 20,
				 1 << 16,
				 { 357773, 934767, 875723, 898999, 404505 },
				 { 1249, 11698, 1039987, 1043896, 1048018 } };
}

/* Keys from begin to end - 1. */
static inline void is_fill(const struct is_size *s, uint32_t *keys, size_t begin, size_t end)
{
	uint64_t random = nas_skip(NAS_SEED, 4 * begin);

	for (size_t i = begin; i < end; i++) {
		double sum = 0;

		for (unsigned k = 0; k < 4; k++)
			sum += nas_random(&random);
		keys[i - begin] = (uint32_t)(s->range / 4 * sum);
	}
}

/* The two keys that an iteration changes, if they are from begin to end - 1. */
static inline void is_change(const struct is_size *s, uint32_t *keys, size_t begin, size_t end,
			     unsigned iteration)
{
	size_t low = iteration, high = iteration + IS_ITERATIONS;

	if (low >= begin && low < end)
		keys[low - begin] = iteration;
	if (high >= begin && high < end)
		keys[high - begin] = s->range - iteration;
}

static inline void is_count(uint32_t *counts, const uint32_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		counts[keys[i]]++;
}

/* Make counts into numbers of keys up to and including each value, of which `below` are lower. */
static inline void is_accumulate(uint32_t *counts, size_t n, uint32_t below)
{
	for (size_t i = 0; i < n; i++)
		counts[i] = below += counts[i];
}

/* The keys that have a published rank. */
static inline void is_tests(const struct is_size *s, uint32_t *tests)
{
	for (unsigned i = 0; i < IS_TESTS; i++)
		is_fill(s, &tests[i], s->index[i], s->index[i] + 1);
}

/* How many of the published ranks are right, of those of values from begin to end - 1? */
static inline unsigned is_check(const struct is_size *s, const uint32_t *tests,
				const uint32_t *upto, uint32_t begin, uint32_t end,
				unsigned iteration)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < IS_TESTS; i++) {
		uint32_t value = tests[i] - 1, expected = s->rank[i]; /* keys below: up to value */

		if (s->n == 1 << 16)
			expected += i <= 2 ? iteration : -iteration;
		else
			expected += i < 2 ? iteration - 2 : -iteration;
		if (value >= begin && value < end)
			passed += upto[value - begin] == expected;
	}
	return passed;
}

/* All ranks are here: put every key where they say; is that sorted? */
static inline bool is_sorted(const struct is_size *s, const uint32_t *upto)
{
	uint32_t *keys = must_calloc(s->n, sizeof(*keys)),
		 *sorted = must_calloc(s->n, sizeof(*keys));
	uint32_t *place = must_calloc(s->range, sizeof(*place));
	bool ok = true;

	memcpy(place, upto, s->range * sizeof(*place));
	is_fill(s, keys, 0, s->n);
	for (unsigned i = 1; i <= IS_ITERATIONS; i++)
		is_change(s, keys, 0, s->n, i);
	for (size_t i = 0; ok && i < s->n; i++) {
		ok = place[keys[i]] > 0 && place[keys[i]] <= s->n;
		if (ok)
			sorted[--place[keys[i]]] = keys[i];
	}
	for (size_t i = 1; ok && i < s->n; i++)
		ok = sorted[i - 1] <= sorted[i];
	free(keys);
	free(sorted);
	free(place);
	return ok;
}

static inline void is_report(const struct run *run, const struct is_size *s, const uint32_t *upto,
			     double passed)
{
	double checksum = 0;

	for (uint32_t i = 0; i < s->range; i++)
		checksum += (double)upto[i] * (1 + i % 7);
	run_report(run, &(struct result){ .work = 1e-6 * (double)s->n * IS_ITERATIONS,
					  .checksum = checksum,
					  .ok = passed == IS_TESTS * IS_ITERATIONS &&
						is_sorted(s, upto) });
}

#endif /* IS_H */
