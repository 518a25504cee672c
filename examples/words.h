/* SPDX-License-Identifier: MIT */
/*
 * The hash table of 06_wordcount: open addressing, at most half full, in shared memory at home
 * where it is filled, so that counting runs at the speed of private memory and any rank can read
 * it.
 */
#ifndef EXAMPLE_WORDS_H
#define EXAMPLE_WORDS_H

#include <stdbool.h>
#include <string.h>

#include "example.h"

struct word {
	char text[24]; /* lower case; longer words count by their first 23 letters */
	uint64_t count; /* 0: this place is free */
};

struct table {
	struct word *word; /* shared memory */
	size_t room, used; /* room: a power of two */
};

static inline void table_add(struct dsm *dsm, struct table *table, const char *text, size_t len,
			     uint64_t count);

/* Add the counts of another table, which may be another rank's. */
static inline void table_merge(struct dsm *dsm, struct table *table, const struct table *from)
{
	TRY(dsm_prefetch(dsm, from->word, from->room * sizeof(struct word), DSM_READ));
	for (size_t i = 0; i < from->room; i++) {
		const struct word *word = &from->word[i];

		if (word->count)
			table_add(dsm, table, word->text, strlen(word->text), word->count);
	}
}

/* Twice the room, homed here; the first time some. */
static inline void table_grow(struct dsm *dsm, struct table *table)
{
	struct dsm_attr attr = { .home = DSM_HOME_RANK, .home_rank = dsm_rank(dsm) };
	struct table old = *table;

	*table = (struct table){ .room = old.room ? 2 * old.room : 4096 };
	TRY_PTR(table->word = dsm_alloc(dsm, table->room * sizeof(struct word), &attr));
	if (old.room) {
		table_merge(dsm, table, &old);
		TRY(dsm_free(dsm, old.word));
	}
}

/* The place of a word, or the free one where it belongs. */
static inline struct word *table_find(const struct table *table, const char *text)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	for (size_t i = hash >> 20;; i++) {
		struct word *word = &table->word[i & (table->room - 1)];

		if (!word->count || !strcmp(word->text, text))
			return word;
	}
}

/* Count a word of len letters. */
static inline void table_add(struct dsm *dsm, struct table *table, const char *text, size_t len,
			     uint64_t count)
{
	struct word *word, key = { 0 };

	for (size_t i = 0; i < len && i < sizeof(key.text) - 1; i++)
		key.text[i] = text[i] | 0x20; /* lower case */
	if (2 * table->used >= table->room)
		table_grow(dsm, table);
	word = table_find(table, key.text);
	if (!word->count) {
		memcpy(word->text, key.text, sizeof(key.text));
		table->used++;
	}
	word->count += count;
}

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Count the words that start from begin up to end; the last one may reach beyond it. */
static inline void table_add_words(struct dsm *dsm, struct table *table, const char *text,
				   uint64_t text_len, uint64_t begin, uint64_t end)
{
	uint64_t at = begin, word;

	while (at && at < end && is_letter(text[at - 1]) && is_letter(text[at]))
		at++; /* the rest of a word that started before */
	while (at < end) {
		for (word = at; at < text_len && is_letter(text[at]); at++)
			;
		if (at > word)
			table_add(dsm, table, text + word, at - word, 1);
		else
			at++;
	}
}

static inline uint64_t table_count(const struct table *table)
{
	uint64_t count = 0;

	for (size_t i = 0; i < table->room; i++)
		count += table->word[i].count;
	return count;
}

/* Compare with what was counted alone; says on stderr what differs. */
static inline bool table_equal(const struct table *table, const struct table *alone)
{
	for (size_t i = 0; i < alone->room; i++) {
		const struct word *word = &alone->word[i];
		uint64_t count = word->count ? table_find(table, word->text)->count : 0;

		if (count != word->count) {
			fprintf(stderr, "%s: counted %" PRIu64 " times, alone it is %" PRIu64 "\n",
				word->text, count, word->count);
			return false;
		}
	}
	if (table->used != alone->used)
		fprintf(stderr, "%zu different words, alone it is %zu\n", table->used, alone->used);
	return table->used == alone->used;
}

static inline int word_compare(const void *a, const void *b)
{
	const struct word *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->text, y->text);
}

/* Print the ten most frequent words; leaves the table sorted and no longer a hash table. */
static inline void table_print_top(struct table *table)
{
	qsort(table->word, table->room, sizeof(struct word), word_compare);
	for (size_t i = 0; i < 10 && i < table->used; i++)
		printf("%2zu. %-23s %9" PRIu64 "\n", i + 1, table->word[i].text,
		       table->word[i].count);
}

#endif /* EXAMPLE_WORDS_H */
