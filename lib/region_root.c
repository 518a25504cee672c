/* SPDX-License-Identifier: MIT */
/*
 * Regions at rank 0: addresses, names, attachments. Serves the ranks' requests one after another.
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "node.h"
#include "region_internal.h"

/* Requests that wait for their turn, of all ranks; each is a thread that waits. */
#define REQUESTS_MAX (1u << 16)

static void next_request(struct dsm *d);

static struct region_request *current(struct dsm *d)
{
	return cds_list_empty(&d->regions.requests)
		       ? NULL
		       : cds_list_first_entry(&d->regions.requests, struct region_request, link);
}

static void send_all(struct dsm *d, struct msg_region *m)
{
	m->src = (uint16_t)d->rank;
	m->slots = MSG_SLOTS_MAX;
	rankset_clear(&d->regions.acks);
	for (unsigned r = 0; r < d->size; r++)
		if (!rankset_has(&d->down, r))
			rankset_add(&d->regions.acks, r);
	rankset_for_each (r, &d->regions.acks)
		node_send(d, r, (struct msg *)m);
}

static struct region *by_name(struct dsm *d, const char *name)
{
	struct region *r;

	cds_list_for_each_entry (r, &d->regions.list, link)
		if (r->name[0] && strcmp(r->name, name) == 0)
			return r;
	return NULL;
}

static struct region *by_id(struct dsm *d, uint32_t id)
{
	struct region *r;

	cds_list_for_each_entry (r, &d->regions.list, link)
		if (r->id == id)
			return r;
	return NULL;
}

/* Describe a region in an answer. */
static void describe(const struct dsm *d, const struct region *r, struct msg_region *m)
{
	m->addr = (uintptr_t)d->space.base + r->first_block * BLOCK_BYTES;
	m->len_bytes = r->len_bytes;
	m->id = r->id;
	m->page_shift = r->page_shift;
	m->home_policy = (uint16_t)r->policy;
	m->home_rank = r->home_rank;
	m->release = (uint8_t)r->release;
	memcpy(m->name, r->name, sizeof(m->name));
}

/* Answer the first request and take the next. */
static void finish(struct dsm *d, struct region_request *q, const struct region *region)
{
	struct msg_region m = q->msg;

	m.kind = q->msg.kind == MSG_REGION_ALLOC ? MSG_REGION_ALLOCATED : MSG_REGION_FREED;
	m.slots = MSG_SLOTS_MAX;
	m.src = (uint16_t)d->rank;
	m.status = q->status;
	m.blame = (uint16_t)q->blame;
	if (region)
		describe(d, region, &m);
	node_send(d, q->msg.src, (struct msg *)&m);
	cds_list_del(&q->link);
	pool_put(&d->regions.request_pool, q);
	next_request(d);
}

static void drop(struct dsm *d, struct region_request *q, int round)
{
	static const uint8_t phases[] = { [REGION_DROP_DRAIN] = REQUEST_DRAINING,
					  [REGION_DROP_FORGET] = REQUEST_FORGETTING,
					  [REGION_DROP_KEEP] = REQUEST_KEEPING };
	struct msg_region m = { .kind = MSG_REGION_DROP, .status = round, .id = q->id };

	q->phase = phases[round];
	send_all(d, &m);
}

/* First fit over the blocks. */
static bool find_blocks(const struct dsm *d, uint64_t n, uint64_t *first)
{
	uint64_t total = d->space.len_bytes / BLOCK_BYTES, run = 0;

	for (uint64_t b = 0; b < total; b++) {
		run = d->blocks[b].granules ? 0 : run + 1;
		if (run == n) {
			*first = b + 1 - n;
			return true;
		}
	}
	return false;
}

static int attach(struct region *r, const struct msg_region *m)
{
	if (m->len_bytes && m->len_bytes != r->len_bytes)
		return -EEXIST;
	if ((m->given & MSG_GIVEN_ATTR) &&
	    (m->page_shift != r->page_shift || m->home_policy != r->policy ||
	     m->release != r->release ||
	     (r->policy == DSM_HOME_RANK && m->home_rank != r->home_rank)))
		return -EEXIST;
	r->attachments++;
	return 0;
}

static void begin_alloc(struct dsm *d, struct region_request *q)
{
	struct region *known = q->msg.name[0] ? by_name(d, q->msg.name) : NULL;
	struct msg_region m = q->msg;
	uint64_t first;

	if (known) {
		q->status = attach(known, &q->msg);
		finish(d, q, known);
		return;
	}
	if (m.len_bytes == 0)
		q->status = -ENOENT;
	else if (!region_attr_is_sane(d, &m) || m.len_bytes > d->space.len_bytes)
		q->status = -EINVAL;
	else if (d->first_down != WIRE_NO_RANK)
		q->status = -EHOSTDOWN, q->blame = d->first_down;
	else if (!find_blocks(d, (m.len_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES, &first))
		q->status = -ENOMEM;
	if (q->status < 0) {
		finish(d, q, NULL);
		return;
	}
	q->phase = REQUEST_ADDING;
	q->id = m.id = ++d->regions.next_id;
	m.kind = MSG_REGION_ADD;
	m.addr = (uintptr_t)d->space.base + first * BLOCK_BYTES;
	send_all(d, &m);
}

static void begin_free(struct dsm *d, struct region_request *q)
{
	uint64_t block = (q->msg.addr - (uintptr_t)d->space.base) / BLOCK_BYTES;
	struct region *region = NULL;

	if (q->msg.addr % BLOCK_BYTES == 0 && block < d->space.len_bytes / BLOCK_BYTES)
		region = d->regions.at[block];
	if (!region) {
		q->status = -EINVAL;
		finish(d, q, NULL);
	} else if (--region->attachments > 0) {
		finish(d, q, NULL);
	} else {
		q->id = region->id;
		drop(d, q, REGION_DROP_DRAIN);
	}
}

/* A loop, not a recursion by way of finish(): many requests may be answered at once. */
static void next_request(struct dsm *d)
{
	struct region_request *q;

	if (d->regions.serving)
		return;
	d->regions.serving = true;
	while ((q = current(d)) && q->phase == REQUEST_NEW) {
		if (q->msg.kind == MSG_REGION_ALLOC)
			begin_alloc(d, q);
		else
			begin_free(d, q);
	}
	d->regions.serving = false;
}

/* Some rank has acquired a part of what is to be freed. */
static void keep_region(struct dsm *d, struct region_request *q)
{
	struct region *region = by_id(d, q->id);

	if (region)
		region->attachments++;
	drop(d, q, REGION_DROP_KEEP);
}

/* Every rank has answered the current request's round. */
static void round_done(struct dsm *d)
{
	struct region_request *q = current(d);

	switch (q->phase) {
	case REQUEST_ADDING:
		if (q->status == 0) {
			struct region *region = by_id(d, q->id);

			region->attachments = 1;
			finish(d, q, region);
		} else {
			drop(d, q, REGION_DROP_DRAIN);
		}
		break;
	case REQUEST_DRAINING:
		if (q->msg.kind == MSG_REGION_FREE && q->status == -EBUSY)
			keep_region(d, q);
		else
			drop(d, q, REGION_DROP_FORGET);
		break;
	case REQUEST_FORGETTING:
	case REQUEST_KEEPING:
		finish(d, q, NULL);
		break;
	case REQUEST_NEW:
		break;
	}
}

static void on_answer(struct dsm *d, const struct msg_region *m)
{
	struct region_request *q = current(d);

	if (!q || q->id != m->id || !rankset_has(&d->regions.acks, m->src) ||
	    (m->kind == MSG_REGION_ADDED) != (q->phase == REQUEST_ADDING))
		return;
	if (m->status < 0 && q->status == 0) {
		q->status = m->status < -4095 ? -EPROTO : m->status;
		q->blame = m->src;
	}
	rankset_remove(&d->regions.acks, m->src);
	if (rankset_empty(&d->regions.acks))
		round_done(d);
}

static void on_request(struct dsm *d, const struct msg_region *m)
{
	struct pool *pool = &d->regions.request_pool;
	struct region_request *q = pool->in_use < REQUESTS_MAX ? pool_get(pool) : NULL;
	struct msg_region refusal = *m;
	bool idle = cds_list_empty(&d->regions.requests);

	if (!q) {
		refusal.kind =
			m->kind == MSG_REGION_ALLOC ? MSG_REGION_ALLOCATED : MSG_REGION_FREED;
		refusal.src = (uint16_t)d->rank;
		refusal.status = -ENOMEM;
		node_send(d, m->src, (struct msg *)&refusal);
		return;
	}
	q->msg = *m;
	q->msg.name[DSM_NAME_MAX] = '\0';
	q->blame = WIRE_NO_RANK;
	cds_list_add_tail(&q->link, &d->regions.requests);
	if (idle)
		next_request(d);
}

void region_root_message(struct dsm *d, const struct msg_region *m)
{
	switch (m->kind) {
	case MSG_REGION_ALLOC:
	case MSG_REGION_FREE:
		on_request(d, m);
		break;
	case MSG_REGION_ADDED:
	case MSG_REGION_DROPPED:
		on_answer(d, m);
		break;
	default:
		break;
	}
}

void region_root_rank_down(struct dsm *d, unsigned rank)
{
	struct region_request *q = current(d);

	if (!q || !rankset_has(&d->regions.acks, rank))
		return;
	if (q->phase == REQUEST_ADDING && q->status == 0) {
		q->status = -EHOSTDOWN;
		q->blame = rank;
	}
	rankset_remove(&d->regions.acks, rank);
	if (rankset_empty(&d->regions.acks))
		round_done(d);
}
