/* SPDX-License-Identifier: MIT */
/*
 * Semaphores: a value and a queue at the home, of which at most one is there at a time.
 *
 * A post waits for the home's answer, which alone knows of -EOVERFLOW and -ENOMEM; and after it the
 * unit is there, so that a rank may post and leave. The home's own calls ask nobody: a wait for a
 * unit that is there, a post and a set are done at once.
 *
 * The home takes a wait from its queue when it grants, before its answer leaves; a cancel that
 * crosses the answer finds nothing, and the wait ends with the unit. Units that a dead rank had
 * taken, or that were on their way to it, are not given back. Nor can anybody tell whether the next
 * post would have been the dead rank's: all who wait at a death, or would have to wait after it,
 * are told of it instead.
 */
#include <errno.h>

#include "error.h"
#include "sync_internal.h"

/* What is as a new one would be need not be kept. */
static void sem_put(struct sync *s, struct queue *q)
{
	if (!q->value && cds_list_empty(&q->queue))
		object_drop(s, &q->object);
}

/* 0: granted. -EAGAIN, -EHOSTDOWN, -ENOMEM. 1: queued. */
static int sem_take(struct sync *s, uint64_t key, const struct entry *asker)
{
	struct queue *q = (struct queue *)object_find(s, key, OBJECT_SEM);
	int rc = 1;

	if (q && q->value) {
		q->value--;
		sem_put(s, q);
		return 0;
	}
	if (asker->try_only)
		return -EAGAIN;
	if (!rankset_empty(&s->down))
		return -EHOSTDOWN;
	if (!q)
		q = (struct queue *)object_get(s, key, OBJECT_SEM);
	if (!q)
		return -ENOMEM;
	if (!entry_add(s, &q->queue, asker->rank, asker->id))
		rc = -ENOMEM;
	sem_put(s, q);
	return rc;
}

/* 0, -EOVERFLOW, -ENOMEM. */
static int sem_give(struct sync *s, uint64_t key)
{
	struct queue *q = (struct queue *)object_get(s, key, OBJECT_SEM);
	struct entry *e;

	if (!q)
		return -ENOMEM;
	e = entry_first(&q->queue);
	if (e) {
		sync_reply(s, MSG_SEM_REPLY, key, e, 0, WIRE_NO_RANK, WIRE_NO_RANK);
		entry_drop(s, e);
		sem_put(s, q);
		return 0;
	}
	if (q->value >= SYNC_SEM_MAX)
		return -EOVERFLOW;
	q->value++;
	return 0;
}

/* 0, -EBUSY, -EOVERFLOW, -ENOMEM. */
static int sem_assign(struct sync *s, uint64_t key, uint64_t value)
{
	struct queue *q;

	if (value > SYNC_SEM_MAX)
		return -EOVERFLOW;
	q = (struct queue *)object_get(s, key, OBJECT_SEM);
	if (!q)
		return -ENOMEM;
	if (!cds_list_empty(&q->queue))
		return -EBUSY;
	q->value = (uint32_t)value;
	sem_put(s, q);
	return 0;
}

static int sem_error(struct sync *s, uint64_t key, struct sync_wait *w, int rc)
{
	unsigned long long name = key;

	w->result = rc;
	w->blame = rc == -EHOSTDOWN ? sync_first_down(s) : WIRE_NO_RANK;
	switch (rc) {
	case -EHOSTDOWN:
		return error_set(EHOSTDOWN, "semaphore %#llx is 0, and rank %u has died", name,
				 w->blame);
	case -EOVERFLOW:
		return error_set(EOVERFLOW, "semaphore %#llx: its value would exceed %u", name,
				 SYNC_SEM_MAX);
	case -EBUSY:
		return error_set(EBUSY,
				 "semaphore %#llx cannot be set while threads wait on it; post",
				 name);
	case -EAGAIN:
		return error_set(EAGAIN, "semaphore %#llx is 0", name);
	case -ENOMEM:
		return error_set(ENOMEM,
				 "no memory for semaphore %#llx, %u objects are in use; use fewer "
				 "names",
				 name, s->table.nobjects);
	default:
		return rc;
	}
}

/* Let the home do it: the message of this kind, with one more word. */
static int sem_ask(struct sync *s, struct sync_wait *w, uint64_t key, struct msg *m)
{
	wait_begin(s, w, m->kind == MSG_SEM_WAIT ? WAIT_SEM : WAIT_SEM_DONE, key);
	m->page = key;
	m->word[0] = w->id;
	sync_send(s, sync_home(s, key), m);
	return 1;
}

int sync_sem_set(struct sync *s, uint64_t key, uint32_t value, struct sync_wait *w)
{
	struct msg m = { .kind = MSG_SEM_SET, .word = { 0, value } };
	int rc = sync_home_check(s, key, w, "semaphore");

	if (rc)
		return rc;
	if (sync_home(s, key) == s->rank)
		return sem_error(s, key, w, sem_assign(s, key, value));
	return sem_ask(s, w, key, &m);
}

int sync_sem_post(struct sync *s, uint64_t key, struct sync_wait *w)
{
	struct msg m = { .kind = MSG_SEM_POST };
	int rc = sync_home_check(s, key, w, "semaphore");

	if (rc)
		return rc;
	if (sync_home(s, key) == s->rank)
		return sem_error(s, key, w, sem_give(s, key));
	return sem_ask(s, w, key, &m);
}

int sync_sem_wait(struct sync *s, uint64_t key, struct sync_wait *w, bool try_only)
{
	struct msg m = { .kind = MSG_SEM_WAIT, .flags = try_only ? MSG_NO_WAIT : 0 };
	struct entry asker = { .rank = (uint16_t)s->rank, .try_only = try_only };
	int rc = sync_home_check(s, key, w, "semaphore");

	if (rc)
		return rc;
	if (sync_home(s, key) != s->rank)
		return sem_ask(s, w, key, &m);
	wait_begin(s, w, WAIT_SEM, key);
	asker.id = w->id;
	rc = sem_take(s, key, &asker);
	if (rc == 1)
		return 1;
	wait_forget(w, rc);
	return sem_error(s, key, w, rc);
}

static void sem_answer(struct sync *s, const struct msg *m, int rc)
{
	struct entry to = { .rank = m->src, .id = (uint32_t)m->word[0] };

	sync_reply(s, MSG_SEM_REPLY, m->page, &to, -rc,
		   rc == -EHOSTDOWN ? sync_first_down(s) : WIRE_NO_RANK, WIRE_NO_RANK);
}

void sem_message_wait(struct sync *s, const struct msg *m)
{
	struct entry asker = {
		.rank = m->src,
		.id = (uint32_t)m->word[0],
		.try_only = m->flags & MSG_NO_WAIT,
	};
	int rc = sem_take(s, m->page, &asker);

	if (rc != 1)
		sem_answer(s, m, rc);
}

void sem_message_post(struct sync *s, const struct msg *m)
{
	int rc = sem_give(s, m->page);

	if (m->word[0])
		sem_answer(s, m, rc);
}

void sem_message_set(struct sync *s, const struct msg *m)
{
	sem_answer(s, m, sem_assign(s, m->page, m->word[1]));
}

void sem_message_cancel(struct sync *s, const struct msg *m)
{
	struct queue *q = (struct queue *)object_find(s, m->page, OBJECT_SEM);
	struct entry *e = q ? entry_find(&q->queue, m->src, (uint32_t)m->word[0]) : NULL;

	if (!e)
		return;
	sem_answer(s, m, -ETIMEDOUT);
	entry_drop(s, e);
	sem_put(s, q);
}

void sem_message_reply(struct sync *s, const struct msg *m)
{
	struct sync_wait *w = wait_find(s, WAIT_SEM, m->page, m->word[0]);

	if (!w)
		w = wait_find(s, WAIT_SEM_DONE, m->page, m->word[0]);
	if (w)
		wait_reply(s, w, m);
}

void sem_rank_down(struct sync *s, struct queue *q, unsigned rank)
{
	queue_rank_down(s, &q->queue, rank, MSG_SEM_REPLY, q->object.key);
	sem_put(s, q);
}
