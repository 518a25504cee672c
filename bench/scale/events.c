/* SPDX-License-Identifier: MIT */
/*
 * See events.h. A heap in which each has four below it: half as deep as a binary one, and the four
 * lie side by side.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "events.h"

#define WAYS 4u

static bool earlier(const struct event *a, const struct event *b)
{
	return a->ps != b->ps ? a->ps < b->ps : a->order < b->order;
}

static void make_room(struct events *e)
{
	if (e->n < e->room)
		return;
	e->room = e->room ? e->room * 2 : 4096;
	e->heap = realloc(e->heap, e->room * sizeof(*e->heap));
	if (!e->heap)
		abort();
}

void events_add(struct events *e, uint64_t ps, enum event_kind kind, void *what)
{
	struct event new = { .ps = ps, .order = e->order++, .what = what, .kind = kind };
	size_t i;

	make_room(e);
	for (i = e->n++; i; i = (i - 1) / WAYS) {
		if (!earlier(&new, &e->heap[(i - 1) / WAYS]))
			break;
		e->heap[i] = e->heap[(i - 1) / WAYS];
	}
	e->heap[i] = new;
}

/* The earliest of those below i; n if there are none. */
static size_t earliest_below(const struct events *e, size_t i)
{
	size_t first = i * WAYS + 1, best = first;

	if (first >= e->n)
		return e->n;
	for (size_t k = first + 1; k < first + WAYS && k < e->n; k++)
		if (earlier(&e->heap[k], &e->heap[best]))
			best = k;
	return best;
}

struct event events_take(struct events *e)
{
	struct event first = e->heap[0], last = e->heap[--e->n];
	size_t i = 0, below;

	while ((below = earliest_below(e, i)) < e->n && earlier(&e->heap[below], &last)) {
		e->heap[i] = e->heap[below];
		i = below;
	}
	e->heap[i] = last;
	return first;
}

void events_fini(struct events *e)
{
	free(e->heap);
	*e = (struct events){ 0 };
}
