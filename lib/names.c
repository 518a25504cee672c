/* SPDX-License-Identifier: MIT */
/*
 * Which known name a mistyped one is nearest to.
 *
 * Distance is the optimal string alignment distance: rows of the usual table of prefixes, of which
 * the two before the current one are kept, because a swap of neighbours looks back two.
 */
#include "names.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* All names begin with DSM_: it says nothing about how near two are. */
#define PREFIX_CHARS 4

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static bool same(char a, char b)
{
	return toupper((unsigned char)a) == toupper((unsigned char)b);
}

unsigned names_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NAMES_LEN_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];
	unsigned *spare;

	if (a_len > NAMES_LEN_MAX || b_len > NAMES_LEN_MAX)
		return UINT_MAX;
	for (size_t j = 0; j <= b_len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			now[j] = last[j - 1] + !same(a[i - 1], b[j - 1]);
			now[j] = least(now[j], least(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				now[j] = least(now[j], before[j - 2] + 1);
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b_len];
}

/* Is one the other without its last words? DSM_SPIN for DSM_SPIN_US: the unit forgotten. */
static bool lacks_words(const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (a_len > b_len)
		return lacks_words(b, b_len, a, a_len);
	for (size_t i = 0; i < a_len; i++) {
		if (!same(a[i], b[i]))
			return false;
	}
	return a_len > PREFIX_CHARS && b[a_len] == '_';
}

const char *names_nearest(const char *name, size_t len, const char *(*known)(size_t i))
{
	/* One slip, and one more for every four characters. */
	unsigned limit = 1 + (unsigned)(len > PREFIX_CHARS ? (len - PREFIX_CHARS) / 4 : 0);
	unsigned distance, best = limit + 1;
	const char *candidate, *nearest = NULL;
	size_t candidate_len;

	for (size_t i = 0; (candidate = known(i)); i++) {
		candidate_len = strlen(candidate);
		distance = names_distance(name, len, candidate, candidate_len);
		if (lacks_words(name, len, candidate, candidate_len))
			distance = least(distance, limit);
		if (distance < best) {
			best = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

/* FNV-1a. */
uint64_t names_hash(const char *name, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	return hash;
}
