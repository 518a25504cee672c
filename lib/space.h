/* SPDX-License-Identifier: MIT */
/*
 * The global address range of this process, and the memory behind it.
 *
 * One range, reserved PROT_NONE at the same address in every rank. Behind it one sparse memfd, the
 * segment, of the same layout in every rank:
 *
 *	[pages: space bytes][grants: a word a granule][readers: rank_words words a granule]
 *
 * mapped twice: the application mapping (region by region, inside the reservation, watched by
 * userfaultfd) and the alias (the whole segment, never faults to userfaultfd, used by the agent,
 * the transport and, on the same host, by peers, who map the segment as their view of this rank).
 * A granule is 4 KiB; a page is 2^k granules and is named by its first granule's index.
 */
#ifndef DSM_SPACE_H
#define DSM_SPACE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maintenance.h"
#include "rankset.h"

#define GRANULE_SHIFT 12
#define GRANULE_BYTES (1ul << GRANULE_SHIFT)
/* What simulates thousands of ranks is compiled with smaller blocks. */
#ifndef BLOCK_SHIFT
#define BLOCK_SHIFT 21
#endif
#define BLOCK_BYTES        (1ul << BLOCK_SHIFT)
#define GRANULES_PER_BLOCK (BLOCK_BYTES / GRANULE_BYTES)

struct space {
	uint8_t *base; /* the reservation, where the application's pointers point */
	uint64_t len_bytes; /* of the reservation; multiple of BLOCK_BYTES */
	uint8_t *alias; /* the segment */
	uint64_t segment_bytes;
	unsigned rank_words; /* readers words a granule */
	unsigned readers_group; /* ranks that share a counter in them; 0: each has a bit */
	int memfd;
	/* Where some ranks reach this one through a network adapter, see below; else NULL. */
	uint8_t *wire;
	uint64_t wire_stride; /* bytes of a block's window in it */
	uint64_t *taken; /* as the words of the readers in all windows */
	const struct rankset *wire_ranks; /* who they are */
	/* Those of them who do remote atomics on this rank's memory by adapter; NULL: nobody. */
	const struct rankset *wire_atomics;
	struct maintenance *maintenance; /* of the adapter */
};

/* Bytes of a segment for a range of len_bytes and rank_words, a whole number of host pages. */
uint64_t space_segment_bytes(uint64_t len_bytes, unsigned rank_words);

/*
 * Reserve the range at @base and make the segment (0600, close-on-exec, sealed against shrinking).
 * -EADDRINUSE: the message shows the line of /proc/self/maps that collides. -ENOMEM.
 */
int space_init(struct space *s, uint64_t base, uint64_t len_bytes, unsigned ranks);
void space_fini(struct space *s);

/* Map [offset, offset + len) for the application: MAP_SHARED of the segment, MADV_DONTFORK,
 * MADV_NOHUGEPAGE. Not yet watched. Undone by space_unmap(), which makes it PROT_NONE again. */
int space_map(struct space *s, uint64_t offset, uint64_t len_bytes);
int space_unmap(struct space *s, uint64_t offset, uint64_t len_bytes);

/* Give memory to [offset, offset + len) of the pages part now, so that no access to it can fail
 * later; -ENOMEM otherwise (nothing is kept). space_discard() gives it back (also directory). */
int space_populate(struct space *s, uint64_t offset, uint64_t len_bytes);
int space_discard(struct space *s, uint64_t offset, uint64_t len_bytes);

/* Parts of any segment of this layout, own alias or a peer's view. */
static inline uint8_t *segment_page(uint8_t *segment, uint64_t granule)
{
	return segment + (granule << GRANULE_SHIFT);
}

static inline uint64_t *segment_grant(const struct space *s, uint8_t *segment, uint64_t granule)
{
	return (uint64_t *)(segment + s->len_bytes) + granule;
}

static inline uint64_t *segment_readers(const struct space *s, uint8_t *segment, uint64_t granule)
{
	return (uint64_t *)(segment + s->len_bytes) + (s->len_bytes >> GRANULE_SHIFT) +
	       granule * s->rank_words;
}

/*
 * Who reads a page: a bit a rank, as long as that takes READERS_WORDS_MAX words at most. Beyond, a
 * counter for each group of ranks that follow one another: how many times ranks of it added
 * themselves since the readers were taken last, and the sum of their places in the group. So a
 * page's directory stays as long as it is, whatever the number of ranks; a group's only reader is
 * known, and where there are more, an Inv goes to the whole group.
 *
 * No counter overflows into its neighbour. Between two takings a rank adds itself at most three
 * times: before and after it drops its flag for the Inv of the first one, which the second waits
 * for; and once by a chain that was under way when the rank, then the owner, dropped the flag for a
 * recall, and whose step takes effect only now. The home adds it only to a counter that does not
 * have it yet, so to none above one.
 */
#define READERS_WORDS_MAX    8u
#define READERS_COUNTER_BITS 32u
#define READERS_COUNT_BITS   12u /* of these; the sum is above */
#define READERS_COUNTERS     (64u / READERS_COUNTER_BITS) /* in a word */
#define READERS_GROUP_MAX    256u
#define READERS_COUNT_MAX    (3 * READERS_GROUP_MAX + 2)
static_assert(READERS_COUNT_MAX < 1u << READERS_COUNT_BITS, "a group can be counted");
static_assert(READERS_COUNT_MAX * (READERS_GROUP_MAX - 1) <
		      1u << (READERS_COUNTER_BITS - READERS_COUNT_BITS),
	      "its places can be added up");

static inline void space_set_ranks(struct space *s, unsigned ranks)
{
	unsigned counters = READERS_WORDS_MAX * READERS_COUNTERS;

	s->rank_words = (ranks + 63) / 64;
	s->readers_group = 0;
	if (s->rank_words <= READERS_WORDS_MAX)
		return;
	s->rank_words = READERS_WORDS_MAX;
	s->readers_group = (ranks + counters - 1) / counters;
}

/* Where a rank adds itself to a page's readers, and what it adds. */
static inline unsigned space_reader_word(const struct space *s, unsigned rank)
{
	return s->readers_group ? rank / s->readers_group / READERS_COUNTERS : rank / 64;
}

static inline unsigned space_reader_shift(const struct space *s, unsigned rank)
{
	if (!s->readers_group)
		return rank % 64;
	return rank / s->readers_group % READERS_COUNTERS * READERS_COUNTER_BITS;
}

static inline uint64_t space_reader_unit(const struct space *s, unsigned rank)
{
	uint64_t one = 1;

	if (s->readers_group)
		one |= (uint64_t)(rank % s->readers_group) << READERS_COUNT_BITS;
	return one << space_reader_shift(s, rank);
}

/* Of a word shifted down to a counter. */
static inline unsigned space_reader_count(uint64_t word)
{
	return (unsigned)word & ((1u << READERS_COUNT_BITS) - 1);
}

static inline unsigned space_reader_sum(uint64_t word)
{
	return (uint32_t)word >> READERS_COUNT_BITS;
}

/*
 * Readers that come through a network adapter.
 *
 * Each such rank has words of its own at the front of a block's window (verbs_window.h), a bit a
 * granule, which it alone writes, by a write of its adapter: to register as a reader of pages it
 * turns their bits over, all that are in a word, or in neighbouring words, at once. The home writes
 * nothing there, but keeps beside it, in taken, how each bit was when it last looked. A rank turns
 * a bit over at most once between two takings (R2), so a bit that differs is a reader, and taking
 * it is to note it. So no atomics are needed; nor does it matter in which pieces a word arrives,
 * since other bits than those turned over keep their value. Only the home may ask, and only of own
 * blocks.
 */
#define WIRE_WORDS ((GRANULES_PER_BLOCK + 63) / 64) /* of a rank in a block */

/* Where the word of a granule is among all words of a block's readers. */
static inline uint64_t space_wire_index(uint64_t granule, unsigned rank)
{
	return rank * WIRE_WORDS + granule % GRANULES_PER_BLOCK / 64;
}

static inline uint64_t *space_wire_readers(const struct space *s, uint64_t granule, unsigned rank)
{
	uint8_t *window = s->wire + granule / GRANULES_PER_BLOCK * s->wire_stride;

	return (uint64_t *)window + space_wire_index(granule, rank);
}

static inline uint64_t *space_wire_taken(const struct space *s, uint64_t granule, unsigned rank)
{
	uint64_t block = granule / GRANULES_PER_BLOCK;

	return s->taken + block * s->rank_words * 64 * WIRE_WORDS + space_wire_index(granule, rank);
}

static inline bool space_wire_is_reader(const struct space *s, uint64_t granule, unsigned rank)
{
	uint64_t *word = space_wire_readers(s, granule, rank);

	maintenance_device_wrote(s->maintenance, MAINTENANCE_READERS, word, sizeof(*word));
	return (__atomic_load_n(word, __ATOMIC_SEQ_CST) ^ *space_wire_taken(s, granule, rank)) >>
		       granule % 64 &
	       1;
}

/* The readers among ranks 64 * i to 64 * i + 63. */
static inline uint64_t space_wire_peek(const struct space *s, uint64_t granule, unsigned i)
{
	uint64_t bits = 0;

	if (!s->wire)
		return 0;
	for (uint64_t left = s->wire_ranks->word[i]; left; left &= left - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(left);

		bits |= (uint64_t)space_wire_is_reader(s, granule, 64 * i + bit) << bit;
	}
	return bits;
}

static inline uint64_t space_wire_take(const struct space *s, uint64_t granule, unsigned i)
{
	uint64_t bits = space_wire_peek(s, granule, i);

	for (uint64_t left = bits; left; left &= left - 1)
		*space_wire_taken(s, granule, 64 * i + (unsigned)__builtin_ctzll(left)) ^=
			1ull << granule % 64;
	return bits;
}

static inline bool space_contains(const struct space *s, const volatile void *addr)
{
	return (uintptr_t)addr - (uintptr_t)s->base < s->len_bytes;
}

static inline uint64_t space_granule(const struct space *s, const volatile void *addr)
{
	return ((uintptr_t)addr - (uintptr_t)s->base) >> GRANULE_SHIFT;
}

#endif
