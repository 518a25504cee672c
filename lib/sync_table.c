/* SPDX-License-Identifier: MIT */
/*
 * The objects of the synchronisation, by key and type, and the entries of their queues.
 *
 * Linear hashing (Litwin 1980): when it is full the table grows by one bucket an insertion, whose
 * objects come out of one other bucket; so no call pays for all of it. Segment 0 has the first
 * TABLE_FIRST_BUCKETS buckets, segment 1 as many, each further one doubles the table; none ever
 * moves.
 *
 * A lock's record stays until the end once it is used, at its home and at the ranks that used it
 * (80 bytes each): its token's number must not start again. Semaphores and condition variables go
 * when they are as new.
 */
#include <errno.h>
#include <sys/mman.h>

#include "sync_internal.h"

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
	uint32_t i = (uint32_t)sync_hash(key) & (2 * t->mask + 1);

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
		if (((uint32_t)sync_hash(o->key) & (2 * t->mask + 1)) == i) {
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

int object_table_init(struct table *t)
{
	t->nbuckets = TABLE_FIRST_BUCKETS;
	t->mask = TABLE_FIRST_BUCKETS - 1;
	return table_segment_add(t, 0);
}

void object_table_fini(struct table *t)
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

void object_for_each(struct sync *s, void (*visit)(struct sync *s, struct object *o, unsigned arg),
		     unsigned arg)
{
	struct object *o, *next;

	for (uint32_t i = 0; i < s->table.nbuckets; i++)
		for (o = *table_bucket(&s->table, i); o; o = next) {
			next = o->chain;
			visit(s, o, arg);
		}
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

void queue_rank_down(struct sync *s, struct cds_list_head *queue, unsigned rank, unsigned kind,
		     uint64_t key)
{
	struct entry *e;

	entry_drop_rank(s, queue, rank);
	while ((e = entry_first(queue))) {
		sync_reply(s, kind, key, e, EHOSTDOWN, rank, WIRE_NO_RANK);
		entry_drop(s, e);
	}
}
