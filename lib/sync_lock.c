/* SPDX-License-Identifier: MIT */
/*
 * Locks: a token that goes from rank to rank, and a queue at the home.
 *
 * Who may take a lock is who has its token. It starts at the home and stays with the rank that used
 * it last, so that re-taking is a look into the table. The home keeps the whole queue of waiting
 * threads, of all ranks, and tells the token's rank (the holder) one thing alone: its immediate
 * successor, the head of the queue.
 *
 *   B -> home    LockGet       B's thread is queued
 *   home -> A    LockForward   "your successor is B's thread"
 *   A -> home    LockPassed    at A's unlock, or at once if the lock is free there
 *   A -> B       LockGrant     one hop from unlock to the next thread
 *   home -> B    LockForward   "your successor is ...", if the queue is not empty
 *
 * The other choice is a chain in which each waiting rank knows its successor (as the MCS lock's):
 * it saves the last message's latency when critical sections are shorter than a hop. But a thread
 * that gives up, or a rank that dies, then leaves a hole in the middle of a chain that nobody sees
 * whole. Here both are removed from a queue in one place; if it was the head, which alone has been
 * told to anybody, the home forwards the new head, and the latest LockForward counts.
 *
 * Numbers make that safe. Each naming of a successor has a number, higher than all before it; it
 * becomes the token's number when the token is handed over. A LockForward is for the token with one
 * number: if that has left meanwhile, the LockPassed that is on its way tells the home to whom, and
 * it starts again from there. A token with a number not above the last seen is a
 * duplicate. A LockForward also says that its receiver has the token: should the LockGrant have
 * died with its sender, this brings it. (The home sends one for that reason when the rank dies that
 * handed over last.) LockPassed leaves before LockGrant, so the home never knows less.
 *
 * Crossings. LockCancel takes a thread out of the queue; if it was named, the token may come to
 * its rank all the same and is then cached there like any other, the home knows that
 * from LockPassed. If LockPassed came first, LockCancel finds nothing and the LockGrant ends the
 * wait.
 *
 * First come, first served: a thread waits in its rank's local list only if the token is held here
 * and no successor is known; those stand before a successor that is named later. Once one is named,
 * or another thread of this rank is in the home's queue, new ones queue at the home, too. So a rank
 * goes on with its own only until the home's word arrives.
 *
 * try: the home refuses if a thread waits that is no try, for that one comes first; else the try
 * queues, and the holder refuses it (LockRefuse) if the lock is held there, and hands over if it is
 * merely cached.
 *
 * Death. A lock whose home died is gone. A lock whose token was with the dead rank is broken, also
 * if it merely cached it (the home cannot know), also if the token was on its way to it: what it
 * protected may be half written. Both are for good: waits and later calls end with -EHOSTDOWN and
 * the rank to blame. A dead rank in the queue is skipped.
 */
#include <errno.h>

#include "error.h"
#include "sync_internal.h"

void lock_init(struct sync *s, struct lock *l)
{
	unsigned home = sync_home(s, l->object.key);

	l->token = home == s->rank;
	l->holder = (uint16_t)home;
	l->broken = sync_is_down(s, home) ? (uint16_t)home : WIRE_NO_RANK;
	l->next_rank = WIRE_NO_RANK;
	CDS_INIT_LIST_HEAD(&l->local);
}

/* As every fresh lock of this home, the token is here; see lock_init(). */
void lock_home_init(struct sync *s, struct lock_home *h)
{
	h->holder = (uint16_t)s->rank;
	h->prev = WIRE_NO_RANK;
	h->broken = WIRE_NO_RANK;
	CDS_INIT_LIST_HEAD(&h->queue);
}

static struct lock *lock_find(const struct sync *s, uint64_t key)
{
	return (struct lock *)object_find(s, key, OBJECT_LOCK);
}

static struct lock_home *lock_home_find(const struct sync *s, uint64_t key)
{
	return (struct lock_home *)object_find(s, key, OBJECT_LOCK_HOME);
}

void lock_answered(struct sync *s, uint64_t key)
{
	struct lock *l = lock_find(s, key);

	if (l && l->asked)
		l->asked--;
}

/*
 * The rank's side
 */

/* The token has come. Its waiting thread takes the lock; if that has gone, the token is cached. */
static void lock_take_token(struct sync *s, struct lock *l, uint64_t gen, uint64_t id)
{
	struct sync_wait *w = wait_find(s, WAIT_LOCK, l->object.key, id);

	l->token = true;
	l->gen = gen;
	l->next_rank = WIRE_NO_RANK;
	if (w)
		l->held = wait_end(s, w, 0, WIRE_NO_RANK);
}

static void lock_hand_over(struct sync *s, struct lock *l)
{
	struct msg passed = { .kind = MSG_LOCK_PASSED, .page = l->object.key };
	struct msg grant = { .kind = MSG_LOCK_GRANT, .page = l->object.key };
	unsigned next = l->next_rank;

	passed.word[0] = grant.word[0] = l->next_id;
	passed.word[1] = grant.word[1] = l->next_gen;
	passed.word[2] = next;
	passed.word[3] = l->gen;
	l->token = false;
	l->holder = (uint16_t)next;
	l->next_rank = WIRE_NO_RANK;
	sync_send(s, sync_home(s, l->object.key), &passed);
	if (next == s->rank)
		lock_take_token(s, l, l->next_gen, l->next_id);
	else
		sync_send(s, next, &grant);
}

/* The token is here and nobody holds the lock: the local list goes first, it was here first. */
static void lock_settle(struct sync *s, struct lock *l)
{
	struct sync_wait *w;

	if (!cds_list_empty(&l->local)) {
		w = cds_list_first_entry(&l->local, struct sync_wait, link);
		l->held = true;
		wait_end(s, w, 0, WIRE_NO_RANK);
	} else if (l->next_rank != WIRE_NO_RANK) {
		lock_hand_over(s, l);
	}
}

/* Gone for good. Waits at the home end by its answer, or with the home. */
static void lock_break(struct sync *s, struct lock *l, unsigned blame)
{
	struct sync_wait *w, *next;

	if (l->broken == WIRE_NO_RANK)
		l->broken = (uint16_t)blame;
	l->next_rank = WIRE_NO_RANK;
	cds_list_for_each_entry_safe (w, next, &l->local, link)
		wait_end(s, w, -EHOSTDOWN, blame);
}

static int lock_is_gone(struct sync *s, struct lock *l, struct sync_wait *w)
{
	unsigned home = sync_home(s, l->object.key);

	w->result = -EHOSTDOWN;
	w->blame = l->broken;
	if (l->broken == home)
		return sync_home_check(s, l->object.key, w, "lock");
	return error_set(EHOSTDOWN,
			 "lock %#llx is broken: rank %u died while it had it, what it protects may "
			 "be half written; restart the job",
			 (unsigned long long)l->object.key, l->broken);
}

static void lock_wait_local(struct lock *l, struct sync_wait *w)
{
	w->key = l->object.key;
	w->id = 0;
	w->kind = WAIT_LOCK_LOCAL;
	w->cancelled = false;
	w->result = 0;
	w->blame = WIRE_NO_RANK;
	cds_list_add_tail(&w->link, &l->local);
}

static void lock_ask(struct sync *s, struct lock *l, struct sync_wait *w, bool try_only)
{
	struct msg m = { .kind = MSG_LOCK_GET, .page = l->object.key };

	wait_begin(s, w, WAIT_LOCK, l->object.key);
	l->asked++;
	m.flags = try_only ? MSG_NO_WAIT : 0;
	m.word[0] = w->id;
	sync_send(s, sync_home(s, l->object.key), &m);
}

int sync_lock(struct sync *s, uint64_t key, struct sync_wait *w, bool try_only)
{
	struct lock *l = lock_find(s, key);

	if (!l)
		l = (struct lock *)object_get(s, key, OBJECT_LOCK);
	if (!l)
		return error_set(ENOMEM,
				 "no memory for lock %#llx, %u objects are in use; use fewer names",
				 (unsigned long long)key, s->table.nobjects);
	if (l->broken != WIRE_NO_RANK)
		return lock_is_gone(s, l, w);
	if (l->token && !l->held && !l->asked) {
		l->held = true;
		return 0;
	}
	if (l->token && l->held && try_only)
		return -EBUSY;
	if (l->token && l->held && !l->asked && l->next_rank == WIRE_NO_RANK)
		lock_wait_local(l, w);
	else
		lock_ask(s, l, w, try_only);
	return 1;
}

int sync_unlock(struct sync *s, uint64_t key)
{
	struct lock *l = lock_find(s, key);

	if (!l || !l->held)
		return error_set(EPERM,
				 "rank %u does not hold lock %#llx; unlock what was locked, once",
				 s->rank, (unsigned long long)key);
	l->held = false;
	if (l->token && l->broken == WIRE_NO_RANK)
		lock_settle(s, l);
	return 0;
}

unsigned sync_lock_holder(struct sync *s, uint64_t key)
{
	struct lock_home *h = lock_home_find(s, key);
	struct lock *l = lock_find(s, key);

	if (l && l->token)
		return s->rank;
	if (h)
		return h->holder;
	return l ? l->holder : WIRE_NO_RANK;
}

/* The home's word replaces what it said before about this token. */
void lock_message_forward(struct sync *s, const struct msg *m)
{
	struct lock *l = lock_find(s, m->page);
	struct msg refuse = { .kind = MSG_LOCK_REFUSE, .page = m->page };

	if (!l || l->broken != WIRE_NO_RANK || m->word[0] < l->gen)
		return;
	if (m->word[0] > l->gen)
		lock_take_token(s, l, m->word[0], m->word[1]);
	else if (!l->token)
		return;
	l->next_rank = WIRE_NO_RANK;
	/* To a rank that is down: the home will learn of it, and name another. */
	if (m->word[2] >= s->size || sync_is_down(s, (unsigned)m->word[2]))
		return;
	if (m->flags & MSG_NO_WAIT && l->held) {
		refuse.word[1] = m->word[4];
		sync_send(s, m->src, &refuse);
		return;
	}
	l->next_rank = (uint16_t)m->word[2];
	l->next_id = (uint32_t)m->word[3];
	l->next_gen = m->word[4];
	if (!l->held)
		lock_settle(s, l);
}

void lock_message_grant(struct sync *s, const struct msg *m)
{
	struct lock *l = lock_find(s, m->page);

	if (l && l->broken == WIRE_NO_RANK && !l->token && m->word[1] > l->gen)
		lock_take_token(s, l, m->word[1], m->word[0]);
}

void lock_message_reply(struct sync *s, const struct msg *m)
{
	struct lock *l = lock_find(s, m->page);
	struct sync_wait *w = wait_find(s, WAIT_LOCK, m->page, m->word[0]);

	if (!l)
		return;
	if (m->word[3] < s->size)
		l->holder = (uint16_t)m->word[3];
	if (m->word[1] == EHOSTDOWN && m->word[2] < s->size)
		lock_break(s, l, (unsigned)m->word[2]);
	/* A grant never comes this way. */
	if (w && m->word[1])
		wait_reply(s, w, m);
}

void lock_rank_down(struct sync *s, struct lock *l, unsigned rank)
{
	if (sync_home(s, l->object.key) == rank)
		lock_break(s, l, rank);
	else if (l->next_rank == rank)
		l->next_rank = WIRE_NO_RANK;
}

/*
 * The home's side
 */

static void lock_refuse(struct sync *s, struct lock_home *h, const struct entry *to, int err)
{
	sync_reply(s, MSG_LOCK_REPLY, h->object.key, to, err, h->broken, h->holder);
}

/* Tell the holder its successor: the head of the queue, or none. */
static void lock_name(struct sync *s, struct lock_home *h)
{
	struct entry *e = entry_first(&h->queue);
	struct msg m = { .kind = MSG_LOCK_FORWARD, .page = h->object.key };

	h->gen_named = e ? ++h->gen_last : 0;
	m.flags = e && e->try_only ? MSG_NO_WAIT : 0;
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

/* 0: e is queued. A positive errno: the answer. */
static int lock_enqueue(struct sync *s, struct lock_home *h, const struct entry *asker)
{
	struct entry *e;

	if (h->broken != WIRE_NO_RANK)
		return EHOSTDOWN;
	if (asker->try_only && !cds_list_empty(&h->queue) &&
	    !cds_list_entry(h->queue.prev, struct entry, link)->try_only)
		return EBUSY;
	e = entry_add(s, &h->queue, asker->rank, asker->id);
	if (!e)
		return ENOMEM;
	e->try_only = asker->try_only;
	if (entry_first(&h->queue) == e)
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

void lock_message_refuse(struct sync *s, const struct msg *m)
{
	struct lock_home *h = lock_home_find(s, m->page);
	struct entry *e = h ? entry_first(&h->queue) : NULL;

	/* A number that was replaced meanwhile: the holder will answer to the new one. */
	if (!e || !e->try_only || m->src != h->holder || m->word[1] != h->gen_named)
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
