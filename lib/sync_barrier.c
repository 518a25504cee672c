/* SPDX-License-Identifier: MIT */
/*
 * Barriers by dissemination: Hensgen, Finkel, Manber, "Two algorithms for barrier synchronization",
 * 1988. In round k a rank tells rank + 2^k that it, and all that it has heard of, are here, and
 * waits for the same from rank - 2^k; after log2(size) rounds it has heard of all.
 *
 * Nobody completes an epoch that this rank has not entered, so messages come for the epoch under
 * way and, once this rank has entered it, for the next: two sets of rounds hold all that can come
 * early.
 *
 * A thread that gives up cannot take back what was said; its rank has arrived, the barrier goes on
 * without it, and the rank's next call resumes it.
 *
 * The barrier of dsm_fini() must tell a rank that has left from one that died. A rank that has left
 * had sent all its messages, and they arrive before the news of its going. So going down is a death
 * for those that still miss a message from it, and for nobody else; these say so to all that wait
 * for them (MSG_FAILED, in place of the rounds to come), and the failure spreads by the same paths
 * on which the dead rank's arrival would have.
 */
#include <errno.h>

#include "bug.h"
#include "error.h"
#include "sync_internal.h"

void barrier_init(struct barrier *b, bool leave)
{
	b->leave = leave;
	b->blame = WIRE_NO_RANK;
}

static unsigned barrier_from(const struct sync *s, unsigned round)
{
	return (s->rank + s->size - (1u << round)) % s->size;
}

static bool barrier_has(const struct barrier *b, unsigned round)
{
	return b->seen[b->epoch & 1] >> round & 1;
}

static void barrier_send(struct sync *s, struct barrier *b, unsigned round)
{
	struct msg m = { .kind = b->leave ? MSG_LEAVE : MSG_BARRIER, .page = b->epoch };

	m.word[0] = round;
	if (b->blame != WIRE_NO_RANK) {
		m.flags = MSG_FAILED;
		m.word[1] = b->blame;
	}
	sync_send(s, (s->rank + (1u << round)) % s->size, &m);
}

static void barrier_wake(struct sync *s, struct barrier *b, int result)
{
	struct sync_wait *w = b->w;

	b->w = NULL;
	w->kind = WAIT_NONE;
	w->result = result;
	w->blame = b->blame;
	s->ops->wake(s->env, w);
}

/* Say in this round, and hear in it, until one has not been heard. */
static void barrier_advance(struct sync *s, struct barrier *b)
{
	while (b->round < s->rounds - DSM_BUG(BARRIER)) {
		if (!barrier_has(b, b->round))
			return;
		b->round++;
		if (b->round < s->rounds)
			barrier_send(s, b, b->round);
	}
	b->seen[b->epoch & 1] = 0;
	b->epoch++;
	b->active = false;
	b->done = true;
	if (b->w) {
		b->done = false;
		barrier_wake(s, b, 0);
	}
}

static void barrier_enter(struct sync *s, struct barrier *b)
{
	b->active = true;
	b->round = 0;
	if (s->rounds)
		barrier_send(s, b, 0);
	barrier_advance(s, b);
}

/* It can never complete again. The rounds that have not been sent carry the bad news. */
static void barrier_fail(struct sync *s, struct barrier *b, unsigned blame)
{
	unsigned round = b->active ? b->round + 1 : 0;

	if (b->blame != WIRE_NO_RANK)
		return;
	b->blame = (uint16_t)blame;
	if (b->leave)
		for (; round < s->rounds; round++)
			barrier_send(s, b, round);
	b->active = false;
	if (b->w)
		barrier_wake(s, b, -EHOSTDOWN);
}

int sync_barrier(struct sync *s, struct sync_wait *w, bool leave)
{
	struct barrier *b = leave ? &s->leave : &s->barrier;

	if (b->w)
		return error_set(EBUSY, "another thread of rank %u is in the barrier; one a rank",
				 s->rank);
	w->blame = b->blame;
	if (!b->active && !b->done && b->blame == WIRE_NO_RANK)
		barrier_enter(s, b);
	if (b->done) {
		b->done = false;
		return 0;
	}
	if (b->blame != WIRE_NO_RANK) {
		w->result = -EHOSTDOWN;
		return error_set(EHOSTDOWN,
				 "not every rank can come to the barrier: rank %u has died; "
				 "restart the job",
				 b->blame);
	}
	w->kind = leave ? WAIT_LEAVE : WAIT_BARRIER;
	w->cancelled = false;
	b->w = w;
	return 1;
}

bool sync_in_barrier(const struct sync *s)
{
	return s->barrier.active;
}

void barrier_message(struct sync *s, const struct msg *m)
{
	struct barrier *b = m->kind == MSG_LEAVE ? &s->leave : &s->barrier;
	uint64_t round = m->word[0];

	if (round >= s->rounds || barrier_from(s, (unsigned)round) != m->src)
		return;
	if (m->page != b->epoch && !(b->active && m->page == b->epoch + 1))
		return;
	if (m->flags & MSG_FAILED) {
		if (b->leave && m->word[1] < s->size)
			barrier_fail(s, b, (unsigned)m->word[1]);
		return;
	}
	b->seen[m->page & 1] |= 1u << round;
	if (b->active)
		barrier_advance(s, b);
}

/* Does this rank still need to hear from another? Before it has entered, nobody has left. */
static bool barrier_needs(const struct sync *s, const struct barrier *b, unsigned rank)
{
	if (!b->leave || (!b->active && !b->epoch))
		return true;
	for (unsigned round = b->round; b->active && round < s->rounds; round++)
		if (barrier_from(s, round) == rank && !barrier_has(b, round))
			return true;
	return false;
}

void barrier_rank_down(struct sync *s, struct barrier *b, unsigned rank)
{
	if (barrier_needs(s, b, rank))
		barrier_fail(s, b, rank);
}
