/* SPDX-License-Identifier: MIT */
/*
 * Condition variables: a queue of waiting threads at the home.
 *
 * No signal may be missed that is sent after the lock was released. The variable's home and the
 * lock's are different ranks, and nothing orders a CondWait on its way to the one with a hand-over
 * by way of the other. So the lock is released when the variable's home has acknowledged that the
 * thread is queued (CondQueued): whoever takes the lock after that, and then signals, finds it.
 * That costs a round trip with the lock held, but no thread; to send the thread along with the
 * lock's token would save it and make the lock carry other objects' queues. At the variable's own
 * home there is no trip.
 *
 * A wait that ends before the acknowledgement (a death, no memory, given up) releases the lock as
 * it ends, so a woken thread always finds it released.
 *
 * A signal takes effect when it arrives at the home: it wakes who is queued then, and is not kept.
 * The caller waits for the home's answer: were it to go on at once, its later messages, a barrier's
 * say, could overtake the signal on other ways, and a thread that began to wait only after them
 * would be woken by it. So whoever waits after the call has returned is not woken by it, in any
 * rank; and who signals with the lock held wakes none but those that waited before it took the
 * lock. The home's agent answers, which waits for no lock of the application's: to signal with the
 * lock held is slower by a round trip, and cannot dead-lock.
 *
 * A signal takes the thread from the queue before the answers leave; a cancel that crosses it finds
 * nothing, and the wait ends as signalled. A signal for a rank that died before it was told is
 * lost.
 *
 * Nobody can tell which signals a dead rank was still to send: all who wait at a death, or begin to
 * wait after it, are told of it instead.
 */
#include <errno.h>

#include "error.h"
#include "sync_internal.h"

static void cond_put(struct sync *s, struct queue *q)
{
	if (cds_list_empty(&q->queue))
		object_drop(s, &q->object);
}

void cond_let_go(struct sync *s, struct sync_wait *w)
{
	if (w->kind != WAIT_COND_ENTERING)
		return;
	w->kind = WAIT_COND;
	sync_unlock(s, w->lock_key);
}

/* 0, -EHOSTDOWN, -ENOMEM. */
static int cond_enqueue(struct sync *s, uint64_t key, unsigned rank, uint32_t id)
{
	struct queue *q;
	int rc = 0;

	if (!rankset_empty(&s->down))
		return -EHOSTDOWN;
	q = (struct queue *)object_get(s, key, OBJECT_COND);
	if (!q)
		return -ENOMEM;
	if (!entry_add(s, &q->queue, rank, id))
		rc = -ENOMEM;
	cond_put(s, q);
	return rc;
}

static void cond_wake(struct sync *s, uint64_t key, bool all)
{
	struct queue *q = (struct queue *)object_find(s, key, OBJECT_COND);
	struct entry *e;

	if (!q)
		return;
	while ((e = entry_first(&q->queue))) {
		sync_reply(s, MSG_COND_REPLY, key, e, 0, WIRE_NO_RANK, WIRE_NO_RANK);
		entry_drop(s, e);
		if (!all)
			break;
	}
	cond_put(s, q);
}

/* Wait at the own rank's variable. */
static int cond_wait_here(struct sync *s, struct sync_wait *w)
{
	int rc = cond_enqueue(s, w->key, s->rank, w->id);

	if (rc < 0) {
		cond_let_go(s, w);
		wait_forget(w, rc);
		w->blame = sync_first_down(s);
		if (rc == -EHOSTDOWN)
			return error_set(EHOSTDOWN, "condition variable %#llx: rank %u has died",
					 (unsigned long long)w->key, w->blame);
		return error_set(ENOMEM,
				 "no memory for condition variable %#llx, %u objects are in use; "
				 "use fewer names",
				 (unsigned long long)w->key, s->table.nobjects);
	}
	cond_let_go(s, w);
	return 1;
}

int sync_cond_wait(struct sync *s, uint64_t key, uint64_t lock_key, struct sync_wait *w)
{
	struct lock *l = (struct lock *)object_find(s, lock_key, OBJECT_LOCK);
	struct msg m = { .kind = MSG_COND_WAIT, .page = key };
	int rc;

	if (!l || !l->held)
		return error_set(
			EPERM,
			"rank %u waits on condition variable %#llx without its lock %#llx; "
			"take it first",
			s->rank, (unsigned long long)key, (unsigned long long)lock_key);
	rc = sync_home_check(s, key, w, "condition variable");
	if (rc) {
		sync_unlock(s, lock_key);
		return rc;
	}
	wait_begin(s, w, WAIT_COND_ENTERING, key);
	w->lock_key = lock_key;
	if (sync_home(s, key) == s->rank)
		return cond_wait_here(s, w);
	m.word[0] = w->id;
	sync_send(s, sync_home(s, key), &m);
	return 1;
}

int sync_cond_signal(struct sync *s, uint64_t key, bool all, struct sync_wait *w)
{
	struct msg m = { .kind = MSG_COND_SIGNAL, .flags = all ? MSG_ALL : 0, .page = key };
	int rc = sync_home_check(s, key, w, "condition variable");

	if (rc)
		return rc;
	if (sync_home(s, key) == s->rank) {
		cond_wake(s, key, all);
		return 0;
	}
	wait_begin(s, w, WAIT_COND_DONE, key);
	m.word[0] = w->id;
	sync_send(s, sync_home(s, key), &m);
	return 1;
}

void cond_message_wait(struct sync *s, const struct msg *m)
{
	struct entry to = { .rank = m->src, .id = (uint32_t)m->word[0] };
	struct msg queued = { .kind = MSG_COND_QUEUED, .page = m->page, .word = { to.id } };

	int rc = cond_enqueue(s, m->page, to.rank, to.id);

	if (rc < 0)
		sync_reply(s, MSG_COND_REPLY, m->page, &to, -rc, sync_first_down(s), WIRE_NO_RANK);
	else
		sync_send(s, to.rank, &queued);
}

void cond_message_queued(struct sync *s, const struct msg *m)
{
	struct sync_wait *w = wait_find(s, WAIT_COND_ENTERING, m->page, m->word[0]);

	if (w)
		cond_let_go(s, w);
}

void cond_message_signal(struct sync *s, const struct msg *m)
{
	struct entry to = { .rank = m->src, .id = (uint32_t)m->word[0] };

	cond_wake(s, m->page, m->flags & MSG_ALL);
	if (to.id)
		sync_reply(s, MSG_COND_REPLY, m->page, &to, 0, WIRE_NO_RANK, WIRE_NO_RANK);
}

void cond_message_cancel(struct sync *s, const struct msg *m)
{
	struct queue *q = (struct queue *)object_find(s, m->page, OBJECT_COND);
	struct entry *e = q ? entry_find(&q->queue, m->src, (uint32_t)m->word[0]) : NULL;

	if (!e)
		return;
	sync_reply(s, MSG_COND_REPLY, m->page, e, ETIMEDOUT, WIRE_NO_RANK, WIRE_NO_RANK);
	entry_drop(s, e);
	cond_put(s, q);
}

void cond_message_reply(struct sync *s, const struct msg *m)
{
	struct sync_wait *w = wait_find(s, WAIT_COND, m->page, m->word[0]);

	if (!w)
		w = wait_find(s, WAIT_COND_ENTERING, m->page, m->word[0]);
	if (!w)
		w = wait_find(s, WAIT_COND_DONE, m->page, m->word[0]);
	if (w)
		wait_reply(s, w, m);
}

void cond_rank_down(struct sync *s, struct queue *q, unsigned rank)
{
	queue_rank_down(s, &q->queue, rank, MSG_COND_REPLY, q->object.key);
	cond_put(s, q);
}
