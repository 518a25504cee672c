/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation, the common part: which rank an object's home is, who handles which message, and
 * what a rank's death does. The machines are in sync_lock.c, sync_sem.c, sync_cond.c and
 * sync_barrier.c, their objects in sync_table.c, the waiting threads in sync_wait.c. A lock's home
 * talks to its own rank by messages like any other.
 *
 * Messages are checked, not believed: one from an unknown or dead rank, about a wait that is
 * unknown or over, or from a rank that is not the object's home, is dropped. Dropping what comes
 * from a rank after its death is part of the protocol: it makes a death one event at each rank,
 * behind which nothing of the dead one takes effect.
 */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "sync_internal.h"

/* Multiply and fold, twice: each bit of the key reaches each bit of the result. */
uint64_t sync_hash(uint64_t key)
{
	uint64_t x = key;

	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 29;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

/* By the high bits; the table uses the low ones, so that a home's objects spread over its table. */
unsigned sync_home(const struct sync *s, uint64_t key)
{
	return (unsigned)(((sync_hash(key) >> 32) * s->size) >> 32);
}

bool sync_is_down(const struct sync *s, unsigned rank)
{
	return rankset_has(&s->down, rank);
}

unsigned sync_first_down(const struct sync *s)
{
	return rankset_empty(&s->down) ? WIRE_NO_RANK : rankset_next(&s->down, 0);
}

void sync_send(struct sync *s, unsigned rank, struct msg *m)
{
	if (sync_is_down(s, rank))
		return;
	m->slots = 1;
	m->src = (uint16_t)s->rank;
	s->ops->send(s->env, rank, m);
}

void sync_reply(struct sync *s, unsigned kind, uint64_t key, const struct entry *to, int err,
		unsigned blame, unsigned holder)
{
	struct msg m = { .kind = (uint8_t)kind, .page = key };

	m.word[0] = to->id;
	m.word[1] = (uint64_t)err;
	m.word[2] = blame;
	m.word[3] = holder;
	sync_send(s, to->rank, &m);
}

int sync_home_check(struct sync *s, uint64_t key, struct sync_wait *w, const char *what)
{
	unsigned home = sync_home(s, key);

	if (!sync_is_down(s, home))
		return 0;
	if (w) {
		w->result = -EHOSTDOWN;
		w->blame = home;
	}
	return error_set(EHOSTDOWN,
			 "%s %#llx is gone: its home, rank %u, has died; restart the job", what,
			 (unsigned long long)key, home);
}

int sync_create(struct sync **sync, unsigned rank, unsigned size, const struct sync_ops *ops,
		void *env)
{
	struct sync *s;

	if (!size || size > RANKS_MAX || rank >= size)
		return error_set(EINVAL, "rank %u of %u: a cluster has 1 to %u ranks", rank, size,
				 RANKS_MAX);
	s = calloc(1, sizeof(*s));
	if (!s || object_table_init(&s->table) < 0) {
		free(s);
		return error_set(ENOMEM, "no memory for the table of locks (%zu bytes)",
				 sizeof(*s) + TABLE_FIRST_BUCKETS * sizeof(struct object *));
	}
	s->rank = rank;
	s->size = size;
	while (1u << s->rounds < size)
		s->rounds++;
	s->ops = ops;
	s->env = env;
	pool_init(&s->objects, sizeof(union item));
	pool_init(&s->entries, sizeof(struct entry));
	s->objects_max = SYNC_OBJECTS_MAX;
	s->entries_max = SYNC_ENTRIES_MAX;
	barrier_init(&s->barrier, false);
	barrier_init(&s->leave, true);
	for (unsigned i = 0; i < WAIT_BUCKETS; i++)
		CDS_INIT_LIST_HEAD(&s->waits[i]);
	*sync = s;
	return 0;
}

void sync_destroy(struct sync *s)
{
	if (!s)
		return;
	pool_fini(&s->entries);
	pool_fini(&s->objects);
	object_table_fini(&s->table);
	free(s);
}

static void (*const handlers[MSG_KINDS])(struct sync *s, const struct msg *m) = {
	[MSG_LOCK_GET] = lock_message_get,       [MSG_LOCK_FORWARD] = lock_message_forward,
	[MSG_LOCK_GRANT] = lock_message_grant,   [MSG_LOCK_PASSED] = lock_message_passed,
	[MSG_LOCK_REFUSE] = lock_message_refuse, [MSG_LOCK_CANCEL] = lock_message_cancel,
	[MSG_LOCK_REPLY] = lock_message_reply,   [MSG_SEM_WAIT] = sem_message_wait,
	[MSG_SEM_POST] = sem_message_post,       [MSG_SEM_SET] = sem_message_set,
	[MSG_SEM_CANCEL] = sem_message_cancel,   [MSG_SEM_REPLY] = sem_message_reply,
	[MSG_COND_WAIT] = cond_message_wait,     [MSG_COND_QUEUED] = cond_message_queued,
	[MSG_COND_SIGNAL] = cond_message_signal, [MSG_COND_CANCEL] = cond_message_cancel,
	[MSG_COND_REPLY] = cond_message_reply,   [MSG_BARRIER] = barrier_message,
	[MSG_LEAVE] = barrier_message,
};

/* What the home alone sends. */
static bool from_home(unsigned kind)
{
	return kind == MSG_LOCK_FORWARD || kind == MSG_LOCK_REPLY || kind == MSG_SEM_REPLY ||
	       kind == MSG_COND_QUEUED || kind == MSG_COND_REPLY;
}

/* What goes from rank to rank without the home. */
static bool between_ranks(unsigned kind)
{
	return kind == MSG_LOCK_GRANT || kind == MSG_BARRIER || kind == MSG_LEAVE;
}

void sync_message(struct sync *s, const struct msg *m)
{
	unsigned right;

	if (m->kind >= MSG_KINDS || !handlers[m->kind])
		return;
	if (m->src >= s->size || sync_is_down(s, m->src))
		return;
	right = from_home(m->kind) ? m->src : s->rank;
	if (!between_ranks(m->kind) && sync_home(s, m->page) != right)
		return;
	handlers[m->kind](s, m);
}

static void object_rank_down(struct sync *s, struct object *o, unsigned rank)
{
	switch (o->type) {
	case OBJECT_LOCK:
		lock_rank_down(s, (struct lock *)o, rank);
		break;
	case OBJECT_LOCK_HOME:
		lock_home_rank_down(s, (struct lock_home *)o, rank);
		break;
	case OBJECT_SEM:
		sem_rank_down(s, (struct queue *)o, rank);
		break;
	case OBJECT_COND:
		cond_rank_down(s, (struct queue *)o, rank);
		break;
	}
}

/* One that a rank would have to answer, NULL if there is none in this bucket. */
static struct sync_wait *wait_homed_at(struct sync *s, unsigned bucket, unsigned rank)
{
	struct sync_wait *w;

	cds_list_for_each_entry (w, &s->waits[bucket], link)
		if (sync_home(s, w->key) == rank)
			return w;
	return NULL;
}

void sync_rank_down(struct sync *s, unsigned rank)
{
	struct sync_wait *w;

	if (rank >= s->size || rank == s->rank || sync_is_down(s, rank))
		return;
	rankset_add(&s->down, rank);
	object_for_each(s, object_rank_down, rank);
	/* One at a time from the start: an end may unlock, and so end others in the list. */
	for (unsigned i = 0; i < WAIT_BUCKETS; i++)
		while ((w = wait_homed_at(s, i, rank)))
			wait_end(s, w, -EHOSTDOWN, rank);
	barrier_rank_down(s, &s->barrier, rank);
	barrier_rank_down(s, &s->leave, rank);
}
