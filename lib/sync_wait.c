/* SPDX-License-Identifier: MIT */
/*
 * Waiting threads of this rank: how a wait begins, ends, and is given up.
 *
 * Waits for a message are found by id, never by address, so that an answer that comes late cannot
 * touch a thread's stack. A thread that gives its wait up for good (second sync_cancel()) leaves a
 * ghost in its place, which sends what is granted to it on to the next in line. Without memory
 * for the ghost that grant is lost; a lock's is not, for it needs none to pass a token on.
 */
#include <errno.h>

#include "sync_internal.h"

static struct cds_list_head *wait_bucket(struct sync *s, uint64_t id)
{
	return &s->waits[id % WAIT_BUCKETS];
}

static struct sync_wait *wait_by_id(struct sync *s, uint64_t id)
{
	struct sync_wait *w;

	cds_list_for_each_entry (w, wait_bucket(s, id), link)
		if (w->id == id)
			return w;
	return NULL;
}

void wait_begin(struct sync *s, struct sync_wait *w, enum wait_kind kind, uint64_t key)
{
	/* 0 is nobody's; after 2^32 waits an old id could still be in use. */
	do {
		s->id_last++;
	} while (!s->id_last || wait_by_id(s, s->id_last));
	w->id = s->id_last;
	w->key = key;
	w->kind = (uint8_t)kind;
	w->cancelled = false;
	w->result = 0;
	w->blame = WIRE_NO_RANK;
	cds_list_add_tail(&w->link, wait_bucket(s, w->id));
}

void wait_forget(struct sync_wait *w, int result)
{
	cds_list_del(&w->link);
	w->kind = WAIT_NONE;
	w->result = result;
}

struct sync_wait *wait_find(struct sync *s, enum wait_kind kind, uint64_t key, uint64_t id)
{
	struct sync_wait *w = wait_by_id(s, id);

	if (!w || w->key != key || (w->kind & ~WAIT_GHOST) != kind)
		return NULL;
	return w;
}

/* What a ghost was granted goes back to where it came from. */
static void ghost_end(struct sync *s, struct sync_wait *w, int result)
{
	struct msg m = { .page = w->key };

	if (result == 0 && (w->kind & ~WAIT_GHOST) == WAIT_SEM)
		m.kind = MSG_SEM_POST;
	else if (result == 0 && (w->kind & ~WAIT_GHOST) == WAIT_COND)
		m.kind = MSG_COND_SIGNAL;
	if (m.kind != MSG_NONE)
		sync_send(s, sync_home(s, w->key), &m);
	cds_list_del(&w->link);
	pool_put(&s->objects, w);
}

bool wait_end(struct sync *s, struct sync_wait *w, int result, unsigned blame)
{
	if ((w->kind & ~WAIT_GHOST) == WAIT_LOCK)
		lock_answered(s, w->key);
	if (w->kind & WAIT_GHOST) {
		ghost_end(s, w, result);
		return false;
	}
	cond_let_go(s, w);
	wait_forget(w, result);
	w->blame = blame;
	s->ops->wake(s->env, w);
	return true;
}

void wait_reply(struct sync *s, struct sync_wait *w, const struct msg *m)
{
	uint64_t err = m->word[1];
	unsigned blame = m->word[2] < s->size ? (unsigned)m->word[2] : WIRE_NO_RANK;

	if (err > 4095)
		err = EPROTO;
	wait_end(s, w, -(int)err, blame);
}

/* Leave a ghost for the answer that the thread of w does not wait for any more. */
static void wait_abandon(struct sync *s, struct sync_wait *w)
{
	union item *item = NULL;

	cond_let_go(s, w);
	if (w->kind == WAIT_LOCK || w->kind == WAIT_SEM || w->kind == WAIT_COND)
		item = item_get(s);
	if (item) {
		item->wait = *w;
		item->wait.kind |= WAIT_GHOST;
		cds_list_add(&item->wait.link, &w->link);
	} else if (w->kind == WAIT_LOCK) {
		lock_answered(s, w->key);
	}
	wait_forget(w, -ETIMEDOUT);
}

static int barrier_cancel(struct barrier *b, struct sync_wait *w)
{
	b->w = NULL;
	w->kind = WAIT_NONE;
	w->result = -ETIMEDOUT;
	return 0;
}

int sync_cancel(struct sync *s, struct sync_wait *w)
{
	struct msg m = { .page = w->key, .word = { w->id } };

	switch (w->kind) {
	case WAIT_NONE:
		return 0;
	case WAIT_LOCK_LOCAL:
		wait_forget(w, -ETIMEDOUT);
		return 0;
	case WAIT_BARRIER:
		return barrier_cancel(&s->barrier, w);
	case WAIT_LEAVE:
		return barrier_cancel(&s->leave, w);
	case WAIT_LOCK:
		m.kind = MSG_LOCK_CANCEL;
		break;
	case WAIT_SEM:
		m.kind = MSG_SEM_CANCEL;
		break;
	case WAIT_COND:
	case WAIT_COND_ENTERING:
		m.kind = MSG_COND_CANCEL;
		break;
	default: /* WAIT_SEM_DONE, WAIT_COND_DONE: it takes place, only the answer is missing */
		break;
	}
	if (w->cancelled) {
		wait_abandon(s, w);
		return 0;
	}
	w->cancelled = true;
	if (m.kind != MSG_NONE)
		sync_send(s, sync_home(s, w->key), &m);
	return 1;
}
