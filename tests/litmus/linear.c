/* SPDX-License-Identifier: MIT */
/*
 * See linear.h. The search is Wing's and Gong's (1993): an operation may come next if no other that
 * is left returned before it was called. A state (which operations are done, and the object's
 * value) that was met before is not entered again (Lowe, 2017), which makes it fast enough.
 */
#include "linear.h"

#include <stdlib.h>
#include <string.h>

#define STATES_MAX (1u << 16) /* power of two */

struct visited {
	uint64_t done; /* never 0 */
	uint64_t value;
};

struct search {
	const struct linear_event *events;
	unsigned n;
	unsigned nvisited;
	struct visited *visited;
};

/*
 * When the next operation takes effect, may a thread be waiting for the lock, though it is free?
 * One that has called and does not have it yet. The next operation takes effect before any of those
 * that are left has returned: at `latest`, at the latest.
 */
static bool is_waited_for(const struct search *s, uint64_t done, uint64_t latest)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!(done >> i & 1) && s->events[i].op == LINEAR_LOCK && s->events[i].b &&
		    s->events[i].call_ns <= latest)
			return true;
	return false;
}

/* Apply an operation to the object; false if it would have returned something else. */
static bool apply(const struct linear_event *e, uint64_t *value, bool waited_for)
{
	uint64_t before = *value;

	switch (e->op) {
	case LINEAR_LOAD:
		return e->result == before;
	case LINEAR_STORE:
		*value = e->a;
		return true;
	case LINEAR_ADD:
		*value += e->a;
		return e->result == before;
	case LINEAR_SWAP:
		if (before == e->a)
			*value = e->b;
		return e->result == before;
	case LINEAR_LOCK:
		*value = e->a;
		return before == 0;
	case LINEAR_UNLOCK:
		*value = 0;
		return before == e->a;
	case LINEAR_BUSY:
		return before != 0 || waited_for;
	}
	return false;
}

/* True if this state is new. */
static bool visit(struct search *s, uint64_t done, uint64_t value)
{
	uint64_t hash = (done ^ value * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;

	for (uint64_t i = hash >> 40;; i++) {
		struct visited *v = &s->visited[i % STATES_MAX];

		if (v->done == done && v->value == value)
			return false;
		if (v->done == 0) {
			*v = (struct visited){ done, value };
			s->nvisited++;
			return true;
		}
	}
}

/* The earliest return among those that are left: what was called later cannot be next. */
static uint64_t horizon(const struct search *s, uint64_t done)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < s->n; i++)
		if (!(done >> i & 1) && s->events[i].return_ns < first)
			first = s->events[i].return_ns;
	return first;
}

static enum linear_result search(struct search *s, uint64_t done, uint64_t value)
{
	uint64_t latest = horizon(s, done);
	bool waited_for = is_waited_for(s, done, latest);

	if (latest == UINT64_MAX)
		return LINEAR_YES;
	for (unsigned i = 0; i < s->n; i++) {
		uint64_t next = value;
		enum linear_result result;

		if (done >> i & 1 || s->events[i].call_ns > latest ||
		    !apply(&s->events[i], &next, waited_for))
			continue;
		if (s->nvisited > STATES_MAX / 2)
			return LINEAR_TOO_MANY;
		if (!visit(s, done | 1ull << i, next))
			continue;
		result = search(s, done | 1ull << i, next);
		if (result != LINEAR_NO)
			return result;
	}
	return LINEAR_NO;
}

enum linear_result linear_check(const struct linear_event *events, unsigned n, uint64_t initial)
{
	struct search s = { .events = events, .n = n };
	enum linear_result result;

	if (n > LINEAR_MAX)
		return LINEAR_TOO_MANY;
	s.visited = calloc(STATES_MAX, sizeof(*s.visited));
	if (!s.visited)
		return LINEAR_TOO_MANY;
	result = search(&s, 0, initial);
	free(s.visited);
	return result;
}

static int by_result(const void *a, const void *b)
{
	uint64_t x = ((const struct linear_event *)a)->result;
	uint64_t y = ((const struct linear_event *)b)->result;

	return x < y ? -1 : x > y;
}

unsigned linear_check_adds(struct linear_event *events, unsigned n)
{
	uint64_t latest_call = 0;

	qsort(events, n, sizeof(*events), by_result);
	for (unsigned i = 0; i < n; i++) {
		if (events[i].result != i || events[i].return_ns < latest_call)
			return i;
		if (events[i].call_ns > latest_call)
			latest_call = events[i].call_ns;
	}
	return n;
}
