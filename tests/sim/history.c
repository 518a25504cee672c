/* SPDX-License-Identifier: MIT */
/*
 * See history.h. A depth-first search over orders. What writes nothing is taken as soon as it is
 * legal: that can spoil no order. So is an arrival. Other choices are tried in the order in which
 * they took place, which is a legal order if nothing is wrong. States that led nowhere are
 * remembered (Wing, Gong, 1993; Lowe, 2017).
 */
#include <stdlib.h>
#include <string.h>

#include "history.h"

#define SEEN_MAX  (1u << 16)
#define NODES_MAX 60000u

/* What of an order is done. */
struct position {
	uint16_t at[HISTORY_THREADS_MAX]; /* each thread's next event; h->n: none */
	uint64_t memory[HISTORY_WORDS_MAX];
	unsigned left;
};

struct search {
	const struct history *h;
	struct position now;
	unsigned nodes;
	uint16_t next[HISTORY_MAX]; /* of the same thread; h->n: none */
	uint64_t *seen; /* hashes of states that led nowhere; 0: free */
};

void history_add(struct history *h, struct event e)
{
	if (h->n < HISTORY_MAX)
		h->event[h->n] = e;
	h->n++;
	if (e.thread >= h->nthreads)
		h->nthreads = e.thread + 1u;
}

static bool legal(const struct position *now, const struct event *e)
{
	uint64_t is = now->memory[e->word];

	switch (e->kind) {
	case EVENT_LOAD:
	case EVENT_ADD:
	case EVENT_SWAP:
		return is == e->result;
	case EVENT_LOCK:
		return is == 0;
	case EVENT_UNLOCK:
		return is == e->thread + 1u;
	case EVENT_LEAVE:
		return is >= e->a;
	default:
		return true;
	}
}

/* Can it be taken at once, whatever else is open? */
static bool harmless(const struct event *e)
{
	return e->kind == EVENT_LOAD || e->kind == EVENT_ARRIVE || e->kind == EVENT_LEAVE ||
	       (e->kind == EVENT_SWAP && e->result != e->a);
}

static void apply(struct position *now, const struct event *e)
{
	uint64_t *word = &now->memory[e->word];

	if (e->kind == EVENT_STORE)
		*word = e->a;
	else if (e->kind == EVENT_ADD || e->kind == EVENT_ARRIVE)
		++*word;
	else if (e->kind == EVENT_SWAP && e->result == e->a)
		*word = e->b;
	else if (e->kind == EVENT_LOCK)
		*word = e->thread + 1u;
	else if (e->kind == EVENT_UNLOCK)
		*word = 0;
	now->left--;
}

/* Is the order in which it took place a legal one? */
static bool legal_as_it_was(const struct history *h)
{
	struct position now = { .left = h->n };

	for (unsigned i = 0; i < h->n; i++) {
		if (!legal(&now, &h->event[i]))
			return false;
		apply(&now, &h->event[i]);
	}
	return true;
}

static const struct event *next_of(const struct search *s, unsigned thread)
{
	unsigned i = s->now.at[thread];

	return i < s->h->n ? &s->h->event[i] : NULL;
}

static void take(struct search *s, unsigned thread)
{
	apply(&s->now, next_of(s, thread));
	s->now.at[thread] = s->next[s->now.at[thread]];
}

static void take_harmless(struct search *s)
{
	bool again = true;

	while (again) {
		again = false;
		for (unsigned t = 0; t < s->h->nthreads; t++) {
			const struct event *e;

			while ((e = next_of(s, t)) && harmless(e) && legal(&s->now, e)) {
				take(s, t);
				again = true;
			}
		}
	}
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

/* Has this state been here? Now it has. */
static bool seen_before(struct search *s)
{
	uint64_t hash = 1;
	size_t i;

	for (unsigned t = 0; t < s->h->nthreads; t++)
		hash = mix(hash, s->now.at[t]);
	for (unsigned w = 0; w < HISTORY_WORDS_MAX; w++)
		hash = mix(hash, s->now.memory[w]);
	hash |= 1;
	for (i = hash >> 40 & (SEEN_MAX - 1); s->seen[i]; i = (i + 1) & (SEEN_MAX - 1))
		if (s->seen[i] == hash)
			return true;
	s->seen[i] = hash;
	return false;
}

/* The thread whose next event took place first, of those at or behind event from; nthreads: none.
 */
static unsigned earliest(const struct search *s, unsigned from)
{
	unsigned best = s->h->nthreads;

	for (unsigned t = 0; t < s->h->nthreads; t++)
		if (s->now.at[t] >= from && next_of(s, t) &&
		    (best == s->h->nthreads || s->now.at[t] < s->now.at[best]))
			best = t;
	return best;
}

static enum history_result explore(struct search *s)
{
	struct position here;
	unsigned thread, from = 0;

	take_harmless(s);
	if (!s->now.left)
		return HISTORY_YES;
	if (++s->nodes > NODES_MAX)
		return HISTORY_UNDECIDED;
	if (seen_before(s))
		return HISTORY_NO;
	here = s->now;
	while ((thread = earliest(s, from)) < s->h->nthreads) {
		enum history_result result = HISTORY_NO;

		from = here.at[thread] + 1u;
		if (legal(&s->now, next_of(s, thread))) {
			take(s, thread);
			result = explore(s);
		}
		if (result != HISTORY_NO)
			return result;
		s->now = here;
	}
	return HISTORY_NO;
}

enum history_result history_check(const struct history *h)
{
	struct search s = { .h = h, .now.left = h->n };
	enum history_result result;

	if (h->n > HISTORY_MAX || h->nthreads > HISTORY_THREADS_MAX)
		return HISTORY_UNDECIDED;
	if (legal_as_it_was(h))
		return HISTORY_YES;
	for (unsigned t = 0; t < h->nthreads; t++)
		s.now.at[t] = (uint16_t)h->n;
	for (unsigned i = h->n; i-- > 0;) {
		s.next[i] = s.now.at[h->event[i].thread];
		s.now.at[h->event[i].thread] = (uint16_t)i;
	}
	s.seen = calloc(SEEN_MAX, sizeof(*s.seen));
	if (!s.seen)
		abort();
	result = explore(&s);
	free(s.seen);
	return result;
}

static void event_print(const struct event *e, FILE *to)
{
	static const char *const names[] = {
		"R", "W", "A", "C", "lock", "unlock", "arrive", "leave"
	};
	unsigned long long value = e->kind == EVENT_STORE ? e->a : e->result;

	fprintf(to, " %s%u", names[e->kind], e->word);
	if (e->kind < EVENT_LOCK)
		fprintf(to, "=%llx", value);
	if (e->kind == EVENT_SWAP)
		fprintf(to, "(%llx>%llx)", (unsigned long long)e->a, (unsigned long long)e->b);
}

void history_print(const struct history *h, FILE *to)
{
	for (unsigned t = 0; t < h->nthreads; t++) {
		fprintf(to, "  thread %u saw:", t);
		for (unsigned i = 0; i < h->n && i < HISTORY_MAX; i++)
			if (h->event[i].thread == t)
				event_print(&h->event[i], to);
		fputc('\n', to);
	}
}
