/* SPDX-License-Identifier: MIT */
/*
 * Locks: a token that goes from rank to rank, and a queue at the home. Here is the rank's side; the
 * home's is in sync_lock_home.c.
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
 * try: -EBUSY must be true: at some moment of the call the lock was held, or promised to a thread
 * that waits. A try that is at the head of the queue is named like any other; the holder refuses it
 * (LockRefuse) if the lock is held there, and hands over if it is merely cached. The home itself
 * refuses one that finds another thread waiting behind the head. The head alone proves nothing:
 * it may have been granted the lock, and have released it, while LockPassed was on its way. Then
 * the try queues, and the home asks the holder (LockForward with MSG_PROBE) whether the lock is
 * still held.
 *
 * Death. A lock whose home died is gone. A lock whose token was with the dead rank is broken, also
 * if it merely cached it (the home cannot know), also if the token was on its way to it: what it
 * protected may be half written. Both are for good: waits and later calls end with -EHOSTDOWN and
 * the rank to blame. A dead rank in the queue is skipped.
 */
#include <errno.h>

#include "bug.h"
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

static struct lock *lock_find(const struct sync *s, uint64_t key)
{
	return (struct lock *)object_find(s, key, OBJECT_LOCK);
}

void lock_answered(struct sync *s, uint64_t key)
{
	struct lock *l = lock_find(s, key);

	if (l && l->asked)
		l->asked--;
}

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
	struct lock_home *h = (struct lock_home *)object_find(s, key, OBJECT_LOCK_HOME);
	struct lock *l = lock_find(s, key);

	if (l && l->token)
		return s->rank;
	if (h)
		return h->holder;
	return l ? l->holder : WIRE_NO_RANK;
}

static void lock_say_held(struct sync *s, const struct lock *l, uint32_t flags, uint64_t gen)
{
	struct msg m = { .kind = MSG_LOCK_REFUSE, .flags = flags, .page = l->object.key };

	m.word[1] = gen;
	sync_send(s, sync_home(s, l->object.key), &m);
}

/* The home's word replaces what it said before about this token. */
void lock_message_forward(struct sync *s, const struct msg *m)
{
	struct lock *l = lock_find(s, m->page);

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
		lock_say_held(s, l, 0, m->word[4]);
		return;
	}
	l->next_rank = (uint16_t)m->word[2];
	l->next_id = (uint32_t)m->word[3];
	l->next_gen = m->word[4];
	if (!l->held || DSM_BUG(LOCK))
		lock_settle(s, l);
	else if (m->flags & MSG_PROBE)
		lock_say_held(s, l, MSG_PROBE, m->word[4]);
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
