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
	unsigned rank_words; /* readers words a granule: ceil(size / 64) */
	int memfd;
	/* Where some ranks reach this one through a network adapter, see below; else NULL. */
	uint8_t *wire;
	uint64_t wire_stride; /* bytes of a block's window in it */
	uint64_t *taken; /* rank_words words a granule */
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
 * Readers that come through a network adapter.
 *
 * An adapter's atomics are not atomic against a processor's, so they have readers words of their
 * own, at the front of each block's window (verbs_window.h), to which nobody but the adapter
 * writes: not even the home, which keeps beside them, in taken, how far it has counted. Every rank
 * adds its bit at most once between two takings (R2), so that the difference of the two words is
 * exactly the set of bits added since, whatever their sum has carried or wrapped; and taking it is
 * one plain load. Only the home may ask, and only of own blocks.
 */
static inline uint64_t *space_wire_readers(const struct space *s, uint64_t granule)
{
	uint8_t *window = s->wire + granule / GRANULES_PER_BLOCK * s->wire_stride;

	return (uint64_t *)window + granule % GRANULES_PER_BLOCK * s->rank_words;
}

static inline uint64_t space_wire_peek(const struct space *s, uint64_t granule, unsigned word)
{
	if (!s->wire)
		return 0;
	maintenance_device_wrote(s->maintenance, MAINTENANCE_READERS,
				 space_wire_readers(s, granule) + word, sizeof(uint64_t));
	return __atomic_load_n(space_wire_readers(s, granule) + word, __ATOMIC_SEQ_CST) -
	       s->taken[granule * s->rank_words + word];
}

static inline uint64_t space_wire_take(const struct space *s, uint64_t granule, unsigned word)
{
	uint64_t bits = space_wire_peek(s, granule, word);

	if (bits)
		s->taken[granule * s->rank_words + word] += bits;
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
