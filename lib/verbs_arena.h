/* SPDX-License-Identifier: MIT */
/*
 * Arena: registered memory, given out in powers of two from a granule up, by the buddy method.
 *
 * It does not grow, so that what an adapter may write to is bounded and pinned once. Not
 * thread-safe: the node's lock.
 */
#ifndef DSM_VERBS_ARENA_H
#define DSM_VERBS_ARENA_H

#include <stddef.h>
#include <stdint.h>

#ifndef VERBS_ARENA_BYTES
#define VERBS_ARENA_BYTES (16u << 20)
#endif
#define VERBS_ARENA_ORDERS  11u /* 4 KiB to 4 MiB: a page of 2 MiB with its words */
#define VERBS_ARENA_UNITS   (VERBS_ARENA_BYTES >> 12)
#define VERBS_ARENA_LARGEST (4096u << (VERBS_ARENA_ORDERS - 1))
#define VERBS_ARENA_NONE    UINT16_MAX

struct verbs_arena {
	uint8_t *base; /* the caller's */
	uint16_t head[VERBS_ARENA_ORDERS]; /* free blocks of each order, by first unit */
	uint16_t next[VERBS_ARENA_UNITS];
	uint16_t prev[VERBS_ARENA_UNITS];
	uint8_t free_order[VERBS_ARENA_UNITS]; /* 1 + order of a free block's first unit, else 0 */
	uint32_t units_used;
};

/* len_bytes: a multiple of a granule, up to VERBS_ARENA_BYTES. */
void verbs_arena_init(struct verbs_arena *a, uint8_t *base, size_t len_bytes);

/* len_bytes of 1 to VERBS_ARENA_LARGEST; NULL: none left. */
uint8_t *verbs_arena_get(struct verbs_arena *a, size_t len_bytes);
/* With the same length. */
void verbs_arena_put(struct verbs_arena *a, uint8_t *p, size_t len_bytes);

#endif
