/* SPDX-License-Identifier: MIT */
/*
 * See verbs_arena.h. The lists are kept beside the memory, not in it: it is an adapter's too.
 */
#include "verbs_arena.h"

#include <string.h>

static unsigned order_of(size_t len_bytes)
{
	unsigned order = 0;

	while ((4096ul << order) < len_bytes)
		order++;
	return order;
}

static void list_add(struct verbs_arena *a, unsigned unit, unsigned order)
{
	uint16_t first = a->head[order];

	a->next[unit] = first;
	a->prev[unit] = VERBS_ARENA_NONE;
	if (first != VERBS_ARENA_NONE)
		a->prev[first] = (uint16_t)unit;
	a->head[order] = (uint16_t)unit;
	a->free_order[unit] = (uint8_t)(order + 1);
}

static void list_remove(struct verbs_arena *a, unsigned unit, unsigned order)
{
	uint16_t next = a->next[unit], prev = a->prev[unit];

	if (next != VERBS_ARENA_NONE)
		a->prev[next] = prev;
	if (prev != VERBS_ARENA_NONE)
		a->next[prev] = next;
	else
		a->head[order] = next;
	a->free_order[unit] = 0;
}

void verbs_arena_init(struct verbs_arena *a, uint8_t *base, size_t len_bytes)
{
	unsigned units = (unsigned)(len_bytes >> 12), order = VERBS_ARENA_ORDERS - 1;

	memset(a, 0, sizeof(*a));
	a->base = base;
	for (unsigned i = 0; i < VERBS_ARENA_ORDERS; i++)
		a->head[i] = VERBS_ARENA_NONE;
	/* As many of the largest as there are, and a smaller one for each bit of the rest. */
	for (unsigned n = units >> order; n--;)
		list_add(a, n << order, order);
	for (unsigned i = 0; i < order; i++)
		if (units & 1u << i)
			list_add(a, (units >> (i + 1)) << (i + 1), i);
}

uint8_t *verbs_arena_get(struct verbs_arena *a, size_t len_bytes)
{
	unsigned order = order_of(len_bytes), from = order, unit;

	while (from < VERBS_ARENA_ORDERS && a->head[from] == VERBS_ARENA_NONE)
		from++;
	if (from >= VERBS_ARENA_ORDERS)
		return NULL;
	unit = a->head[from];
	list_remove(a, unit, from);
	while (from > order) {
		from--;
		list_add(a, unit + (1u << from), from);
	}
	a->units_used += 1u << order;
	return a->base + ((size_t)unit << 12);
}

void verbs_arena_put(struct verbs_arena *a, uint8_t *p, size_t len_bytes)
{
	unsigned order = order_of(len_bytes), unit = (unsigned)((p - a->base) >> 12);

	a->units_used -= 1u << order;
	while (order + 1 < VERBS_ARENA_ORDERS) {
		unsigned buddy = unit ^ (1u << order);

		if (a->free_order[buddy] != order + 1)
			break;
		list_remove(a, buddy, order);
		unit &= ~(1u << order);
		order++;
	}
	list_add(a, unit, order);
}
