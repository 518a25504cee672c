/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation, the common part: which rank an object's home is, the table of objects, the waits
 * of this rank, and who handles which message. The machines are in sync_lock.c, sync_sem.c,
 * sync_cond.c and sync_barrier.c; a home talks to its own rank by messages like any other.
 *
 * Messages are checked, not believed: one from an unknown or dead rank, about a wait that is
 * unknown or over, or from a rank that is not the object's home, is dropped. Dropping what comes
 * from a rank after its death is part of the protocol: it makes a death one event at each rank,
 * behind which nothing of the dead one takes effect.
 *
 * Waits for a message are found by id, never by address, so that an answer that comes late cannot
 * touch a thread's stack. A thread that gives its wait up for good (second sync_cancel()) leaves a
 * ghost in its place, which sends what is granted to it on to the next in line. Without memory
 * for the ghost that grant is lost; a lock's is not, for it needs none to pass a token on.
 *
 * A lock's record stays until the end once it is used, at its home and at the ranks that used it
 * (80 bytes each): its token's number must not start again. Semaphores and condition variables go
 * when they are as new.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "error.h"
#include "sync_internal.h"

/* Multiply and fold, twice: each bit of the key reaches each bit of the result. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 29;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

/* By the high bits; the table uses the low ones, so that a home's objects spread over its table. */
unsigned sync_home(const struct sync *s, uint64_t key)
{
	return (unsigned)(((mix(key) >> 32) * s->size) >> 32);
}

static size_t segment_buckets(unsigned segment)
{
	return segment ? (size_t)TABLE_FIRST_BUCKETS << (segment - 1) : TABLE_FIRST_BUCKETS;
}

static struct object **table_bucket(const struct table *t, uint32_t i)
{
	unsigned first_bit = (unsigned)__builtin_ctz(TABLE_FIRST_BUCKETS);
	unsigned top_bit;

	if (i < TABLE_FIRST_BUCKETS)
		return &t->segment[0][i];
	top_bit = 31 - (unsigned)__builtin_clz(i);
	return &t->segment[top_bit - first_bit + 1][i - (1u << top_bit)];
}

static struct object **table_bucket_of(const struct table *t, uint64_t key)
{
	uint32_t i = (uint32_t)mix(key) & (2 * t->mask + 1);

	return table_bucket(t, i < t->nbuckets ? i : i & t->mask);
}

/* Memory for the segment that starts at bucket i, or is there already. */
static int table_segment_add(struct table *t, uint32_t i)
{
	unsigned segment = 0;
	void *p;

	if (i)
		segment = 32 - (unsigned)__builtin_clz(i) -
			  (unsigned)__builtin_ctz(TABLE_FIRST_BUCKETS);
	if (segment >= TABLE_SEGMENTS)
		return -ENOMEM;
	if (t->segment[segment])
		return 0;
	p = mmap(NULL, segment_buckets(segment) * sizeof(struct object *), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	t->segment[segment] = p;
	return 0;
}

/* Split one bucket. Without memory the chains get longer, nothing else. */
static void table_grow(struct table *t)
{
	uint32_t i = t->nbuckets;
	struct object **from, **to, *o;

	if (table_segment_add(t, i) < 0)
		return;
	from = table_bucket(t, i & t->mask);
	to = table_bucket(t, i);
	while ((o = *from)) {
		if (((uint32_t)mix(o->key) & (2 * t->mask + 1)) == i) {
			*from = o->chain;
			o->chain = *to;
			*to = o;
		} else {
			from = &o->chain;
		}
	}
	t->nbuckets++;
	if (t->nbuckets > 2 * t->mask + 1)
		t->mask = 2 * t->mask + 1;
}

static int table_init(struct table *t)
{
	t->nbuckets = TABLE_FIRST_BUCKETS;
	t->mask = TABLE_FIRST_BUCKETS - 1;
	return table_segment_add(t, 0);
}

static void table_fini(struct table *t)
{
	for (unsigned i = 0; i < TABLE_SEGMENTS; i++)
		if (t->segment[i])
			munmap(t->segment[i], segment_buckets(i) * sizeof(struct object *));
}

struct object *object_find(const struct sync *s, uint64_t key, enum object_type type)
{
	struct object *o = *table_bucket_of(&s->table, key);

	while (o && (o->key != key || o->type != type))
		o = o->chain;
	return o;
}

union item *item_get(struct sync *s)
{
	return s->objects.in_use < s->objects_max ? pool_get(&s->objects) : NULL;
}

struct object *object_get(struct sync *s, uint64_t key, enum object_type type)
{
	struct object *o = object_find(s, key, type);
	struct object **bucket;
	union item *item;

	if (o)
		return o;
	item = item_get(s);
	if (!item)
		return NULL;
	o = &item->object;
	o->key = key;
	o->type = (uint8_t)type;
	switch (type) {
	case OBJECT_LOCK:
		lock_init(s, &item->lock);
		break;
	case OBJECT_LOCK_HOME:
		lock_home_init(s, &item->lock_home);
		break;
	case OBJECT_SEM:
	case OBJECT_COND:
		CDS_INIT_LIST_HEAD(&item->queue.queue);
		break;
	}
	if (s->table.nobjects >= s->table.nbuckets)
		table_grow(&s->table);
	bucket = table_bucket_of(&s->table, key);
	o->chain = *bucket;
	*bucket = o;
	s->table.nobjects++;
	return o;
}

void object_drop(struct sync *s, struct object *o)
{
	struct object **at = table_bucket_of(&s->table, o->key);

	while (*at != o)
		at = &(*at)->chain;
	*at = o->chain;
	s->table.nobjects--;
	pool_put(&s->objects, o);
}

struct entry *entry_add(struct sync *s, struct cds_list_head *queue, unsigned rank, uint32_t id)
{
	struct entry *e = s->entries.in_use < s->entries_max ? pool_get(&s->entries) : NULL;

	if (!e)
		return NULL;
	e->rank = (uint16_t)rank;
	e->id = id;
	cds_list_add_tail(&e->link, queue);
	return e;
}

struct entry *entry_find(struct cds_list_head *queue, unsigned rank, uint32_t id)
{
	struct entry *e;

	cds_list_for_each_entry (e, queue, link)
		if (e->rank == rank && e->id == id)
			return e;
	return NULL;
}

struct entry *entry_first(struct cds_list_head *queue)
{
	return cds_list_empty(queue) ? NULL : cds_list_first_entry(queue, struct entry, link);
}

void entry_drop(struct sync *s, struct entry *e)
{
	cds_list_del(&e->link);
	pool_put(&s->entries, e);
}

void entry_drop_rank(struct sync *s, struct cds_list_head *queue, unsigned rank)
{
	struct entry *e, *next;

	cds_list_for_each_entry_safe (e, next, queue, link)
		if (e->rank == rank)
			entry_drop(s, e);
}

bool sync_is_down(const struct sync *s, unsigned rank)
{
	return rankset_has(&s->down, rank);
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
	if (w->kind == WAIT_COND_ENTERING)
		sync_unlock(s, w->lock_key);
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

	if (w->kind == WAIT_COND_ENTERING) {
		sync_unlock(s, w->lock_key);
		w->kind = WAIT_COND;
	}
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
	default: /* WAIT_SEM_DONE: it has taken place, the answer is on its way */
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

int sync_create(struct sync **sync, unsigned rank, unsigned size, const struct sync_ops *ops,
		void *env)
{
	struct sync *s;

	if (!size || size > RANKS_MAX || rank >= size)
		return error_set(EINVAL, "rank %u of %u: a cluster has 1 to %u ranks", rank, size,
				 RANKS_MAX);
	s = calloc(1, sizeof(*s));
	if (!s || table_init(&s->table) < 0) {
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
	table_fini(&s->table);
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
	struct object *o, *next_object;
	struct sync_wait *w;

	if (rank >= s->size || rank == s->rank || sync_is_down(s, rank))
		return;
	rankset_add(&s->down, rank);
	/* Nothing is inserted meanwhile, so the buckets stay as they are. */
	for (uint32_t i = 0; i < s->table.nbuckets; i++)
		for (o = *table_bucket(&s->table, i); o; o = next_object) {
			next_object = o->chain;
			object_rank_down(s, o, rank);
		}
	/* One at a time from the start: an end may unlock, and so end others in the list. */
	for (unsigned i = 0; i < WAIT_BUCKETS; i++)
		while ((w = wait_homed_at(s, i, rank)))
			wait_end(s, w, -EHOSTDOWN, rank);
	barrier_rank_down(s, &s->barrier, rank);
	barrier_rank_down(s, &s->leave, rank);
}
