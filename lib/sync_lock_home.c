/* SPDX-License-Identifier: MIT */
/*
 * Locks, the home's side: the queue, and what the home knows of the token. The protocol is told in
 * sync_lock.c.
 *
 * Invariant: the head of the queue has been named to the holder, with number gen_named, in the
 * latest LockForward that was sent to it; so whatever changes the head calls lock_name().
 */
#include <errno.h>

#include "sync_internal.h"

/* As every fresh lock of this home, the token is here; see lock_init(). */
void lock_home_init(struct sync *s, struct lock_home *h)
{
	h->holder = (uint16_t)s->rank;
	h->prev = WIRE_NO_RANK;
	h->broken = WIRE_NO_RANK;
	CDS_INIT_LIST_HEAD(&h->queue);
}

static struct lock_home *lock_home_find(const struct sync *s, uint64_t key)
{
	return (struct lock_home *)object_find(s, key, OBJECT_LOCK_HOME);
}

static void lock_refuse(struct sync *s, struct lock_home *h, const struct entry *to, int err)
{
	sync_reply(s, MSG_LOCK_REPLY, h->object.key, to, err, h->broken, h->holder);
}

static struct entry *entry_next(struct lock_home *h, struct entry *e)
{
	return e->link.next == &h->queue ? NULL : cds_list_entry(e->link.next, struct entry, link);
}

/* Tell the holder its successor: the head of the queue, or none. */
static void lock_name(struct sync *s, struct lock_home *h)
{
	struct entry *e = entry_first(&h->queue);
	struct msg m = { .kind = MSG_LOCK_FORWARD, .page = h->object.key };

	h->gen_named = e ? ++h->gen_last : 0;
	if (e && e->try_only)
		m.flags = MSG_NO_WAIT;
	else if (e && entry_next(h, e) && entry_next(h, e)->try_only)
		m.flags = MSG_PROBE;
	m.word[0] = h->gen;
	m.word[1] = h->holder_id;
	m.word[2] = e ? e->rank : WIRE_NO_RANK;
	m.word[3] = e ? e->id : 0;
	m.word[4] = h->gen_named;
	sync_send(s, h->holder, &m);
}

static void lock_home_break(struct sync *s, struct lock_home *h)
{
	struct entry *e;

	h->broken = h->holder;
	h->gen_named = 0;
	while ((e = entry_first(&h->queue))) {
		lock_refuse(s, h, e, EHOSTDOWN);
		entry_drop(s, e);
	}
}

/* Does a thread wait for certain? The head may have been served. */
static bool lock_is_waited_for(struct lock_home *h)
{
	struct entry *e = entry_first(&h->queue);

	while (e && (e = entry_next(h, e)))
		if (!e->try_only)
			return true;
	return false;
}

/*
 * 0: the asker is queued. A positive errno: the answer. Tries stand at the head, or behind one
 * thread that is there and has been named with a probe; what comes later stands behind them.
 */
static int lock_enqueue(struct sync *s, struct lock_home *h, const struct entry *asker)
{
	struct entry *e;

	if (h->broken != WIRE_NO_RANK)
		return EHOSTDOWN;
	if (asker->try_only && lock_is_waited_for(h))
		return EBUSY;
	e = entry_add(s, &h->queue, asker->rank, asker->id);
	if (!e)
		return ENOMEM;
	e->try_only = asker->try_only;
	if (e == entry_first(&h->queue) || (e->try_only && !entry_first(&h->queue)->try_only))
		lock_name(s, h);
	return 0;
}

void lock_message_get(struct sync *s, const struct msg *m)
{
	struct entry asker = {
		.rank = m->src,
		.id = (uint32_t)m->word[0],
		.try_only = m->flags & MSG_NO_WAIT,
	};
	struct lock_home *h = NULL;
	int err;

	/* The home's own record too: it may have to hand over the token. */
	if (object_get(s, m->page, OBJECT_LOCK))
		h = (struct lock_home *)object_get(s, m->page, OBJECT_LOCK_HOME);
	if (!h) {
		sync_reply(s, MSG_LOCK_REPLY, m->page, &asker, ENOMEM, s->rank, WIRE_NO_RANK);
		return;
	}
	err = lock_enqueue(s, h, &asker);
	if (err)
		lock_refuse(s, h, &asker, err);
}

void lock_message_passed(struct sync *s, const struct msg *m)
{
	struct lock_home *h = lock_home_find(s, m->page);
	struct entry *e;

	if (!h || h->broken != WIRE_NO_RANK || m->src != h->holder || m->word[3] != h->gen)
		return;
	if (m->word[1] <= h->gen || m->word[1] > h->gen_last || m->word[2] >= s->size)
		return;
	h->prev = h->holder;
	h->holder = (uint16_t)m->word[2];
	h->holder_id = (uint32_t)m->word[0];
	h->gen = m->word[1];
	h->gen_named = 0;
	e = entry_find(&h->queue, h->holder, h->holder_id);
	if (e)
		entry_drop(s, e);
	if (sync_is_down(s, h->holder))
		lock_home_break(s, h);
	else if (!cds_list_empty(&h->queue))
		lock_name(s, h);
}

/* The lock was held after the naming: no try that stood in the queue then can have it. */
static void lock_refuse_tries(struct sync *s, struct lock_home *h)
{
	struct entry *e, *next;

	cds_list_for_each_entry_safe (e, next, &h->queue, link) {
		if (!e->try_only)
			continue;
		lock_refuse(s, h, e, EBUSY);
		entry_drop(s, e);
	}
}

void lock_message_refuse(struct sync *s, const struct msg *m)
{
	struct lock_home *h = lock_home_find(s, m->page);
	struct entry *e = h ? entry_first(&h->queue) : NULL;

	/* A number that was replaced meanwhile: the holder will answer to the new one. */
	if (!e || m->src != h->holder || m->word[1] != h->gen_named)
		return;
	if (m->flags & MSG_PROBE) {
		lock_refuse_tries(s, h);
		return;
	}
	if (!e->try_only)
		return;
	lock_refuse(s, h, e, EBUSY);
	entry_drop(s, e);
	h->gen_named = 0;
	if (!cds_list_empty(&h->queue))
		lock_name(s, h);
}

void lock_message_cancel(struct sync *s, const struct msg *m)
{
	struct lock_home *h = lock_home_find(s, m->page);
	struct entry *e = h ? entry_find(&h->queue, m->src, (uint32_t)m->word[0]) : NULL;
	bool named;

	if (!e)
		return;
	named = e == entry_first(&h->queue);
	lock_refuse(s, h, e, ETIMEDOUT);
	entry_drop(s, e);
	if (named)
		lock_name(s, h);
}

void lock_home_rank_down(struct sync *s, struct lock_home *h, unsigned rank)
{
	struct entry *head;
	bool named;

	if (h->broken != WIRE_NO_RANK)
		return;
	head = entry_first(&h->queue);
	named = head && head->rank == rank;
	entry_drop_rank(s, &h->queue, rank);
	if (h->holder == rank)
		lock_home_break(s, h);
	else if (named || h->prev == rank)
		lock_name(s, h);
}
