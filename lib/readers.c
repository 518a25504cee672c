/* SPDX-License-Identifier: MIT */
/*
 * See readers.h.
 */
#include "readers.h"

#include "bug.h"

/* Does a group's counter say that the rank may read: as the only one, or one of several? */
static bool is_counted(const struct protocol *p, unsigned rank, uint64_t counter)
{
	unsigned count = space_reader_count(counter);

	return count > 1 ||
	       (count == 1 && space_reader_sum(counter) == rank % p->space->readers_group);
}

void reader_add(struct protocol *p, uint64_t page, unsigned rank)
{
	uint64_t *w = segment_readers(p->space, p->space->alias, page) +
		      space_reader_word(p->space, rank);
	unsigned shift = space_reader_shift(p->space, rank);

	if (rank == p->rank)
		return;
	if (!p->space->readers_group)
		__atomic_fetch_or(w, 1ull << (shift + DSM_BUG(BIT)) % 64, __ATOMIC_SEQ_CST);
	else if (!is_counted(p, rank, __atomic_load_n(w, __ATOMIC_SEQ_CST) >> shift))
		__atomic_fetch_add(w, space_reader_unit(p->space, rank), __ATOMIC_SEQ_CST);
}

bool readers_any(const struct protocol *p, uint64_t page)
{
	const uint64_t *w = segment_readers(p->space, p->space->alias, page);

	for (unsigned i = 0; i < p->space->rank_words; i++)
		if (__atomic_load_n(&w[i], __ATOMIC_SEQ_CST) || space_wire_peek(p->space, page, i))
			return true;
	return false;
}

bool readers_beside(const struct protocol *p, uint64_t page, unsigned rank)
{
	const uint64_t *w = segment_readers(p->space, p->space->alias, page);

	for (unsigned i = 0; i < p->space->rank_words; i++) {
		uint64_t bits = __atomic_load_n(&w[i], __ATOMIC_SEQ_CST) |
				space_wire_peek(p->space, page, i);

		if (i == space_reader_word(p->space, rank) && !p->space->readers_group)
			bits &= ~space_reader_unit(p->space, rank);
		if (bits)
			return true;
	}
	return false;
}

/* The ranks that a readers word can stand for: any peer can set any bit of it. */
static uint64_t ranks_of_word(const struct protocol *p, unsigned i)
{
	unsigned n = p->size > i * 64 ? p->size - i * 64 : 0;

	return n < 64 ? (1ull << n) - 1 : UINT64_MAX;
}

static void group_take(const struct protocol *p, unsigned first, uint64_t counter,
		       struct readers *taken)
{
	unsigned each = p->space->readers_group, count = space_reader_count(counter);
	unsigned only = first + space_reader_sum(counter);

	if (count == 1 && only < first + each && only < p->size && only != p->rank)
		rankset_add(&taken->ask, only);
	for (unsigned r = first; count > 1 && r < first + each && r < p->size; r++) {
		if (r == p->rank)
			continue;
		rankset_add(&taken->ask, r);
		rankset_add(&taken->unsure, r);
	}
}

/* What a word of counters stands for. */
static void groups_take(const struct protocol *p, unsigned word, uint64_t counters,
			struct readers *taken)
{
	unsigned each = p->space->readers_group, first = word * READERS_COUNTERS * each;

	for (unsigned i = 0; i < READERS_COUNTERS; i++)
		group_take(p, first + i * each, counters >> i * READERS_COUNTER_BITS, taken);
}

void readers_take(struct protocol *p, uint64_t page, struct readers *taken)
{
	uint64_t *w = segment_readers(p->space, p->space->alias, page);
	enum page_state own = p->pages[page].state;

	rankset_clear(&taken->ask);
	rankset_clear(&taken->unsure);
	for (unsigned i = 0; i < p->space->rank_words; i++) {
		uint64_t here = 0;

		if (__atomic_load_n(&w[i], __ATOMIC_SEQ_CST))
			here = __atomic_exchange_n(&w[i], DSM_BUG(R2) ? w[i] : 0, __ATOMIC_SEQ_CST);
		if (p->space->readers_group)
			groups_take(p, i, here, taken);
		else
			taken->ask.word[i] |= here & ranks_of_word(p, i);
		taken->ask.word[i] |= space_wire_take(p->space, page, i) & ranks_of_word(p, i);
	}
	if ((own == PAGE_SHARED || own == PAGE_ATOMIC) && !DSM_BUG(R7))
		rankset_add(&taken->ask, p->rank);
}
