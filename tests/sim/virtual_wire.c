/* SPDX-License-Identifier: MIT */
/*
 * What moves between the ranks of a virtual cluster: messages, one-sided writes, read chains.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtual_internal.h"

void virtual_chain_free(struct chain *ch)
{
	cds_list_del(&ch->link);
	free(ch->landing);
	free(ch);
}

void virtual_item_free(struct item *i)
{
	cds_list_del(&i->link);
	free(i);
}

struct cds_list_head *virtual_queue(struct cluster *c, unsigned from, unsigned to)
{
	return &c->queue[from * c->n + to];
}

struct item *virtual_enqueue(struct cluster *c, unsigned from, unsigned to, enum item_kind kind,
			     uint64_t page, size_t len_bytes)
{
	struct item *i = virtual_zeroed(1, sizeof(*i) + len_bytes);

	i->kind = kind;
	i->page = page;
	i->len_bytes = len_bytes;
	c->messages += kind == ITEM_MSG;
	cds_list_add_tail(&i->link, virtual_queue(c, from, to));
	return i;
}

/* Finish the chains of a rank to a home that it has learnt to be dead. */
static void chains_cut(struct cluster *c, unsigned rank, unsigned home)
{
	struct chain *ch;

	cds_list_for_each_entry (ch, &c->chains, link) {
		if (ch->rank != rank || ch->fetch->rank != home || ch->step == 3 * ch->fetch->n)
			continue;
		ch->step = 3 * ch->fetch->n;
		ch->status = -EHOSTDOWN;
	}
}

void virtual_item_run(struct cluster *c, unsigned from, unsigned to, struct item *i)
{
	struct vrank *v = &c->rank[to];
	uint64_t offset = i->page << GRANULE_SHIFT;

	cds_list_del(&i->link);
	switch (i->kind) {
	case ITEM_WRITE:
		cluster_trace(c, "%u: page %llx of rank %u lands", to, (unsigned long long)i->page,
			      from);
		memcpy(v->space.alias + offset, i->data, i->len_bytes);
		break;
	case ITEM_PUSH:
		cluster_trace(c, "%u: page %llx pushed by %u lands", to,
			      (unsigned long long)i->page, from);
		memcpy(v->slots + offset, i->data, i->len_bytes);
		break;
	case ITEM_MSG:
		cluster_trace(c, "%u: %s from %u, page %llx, flags %u", to, msg_name(i->msg.kind),
			      from, (unsigned long long)i->msg.page, i->msg.flags);
		cluster_enter(c, to);
		virtual_node_message(&v->node, &i->msg);
		cluster_leave(c, to);
		break;
	case ITEM_DOWN:
		cluster_trace(c, "%u: rank %u is down", to, from);
		cluster_enter(c, to);
		chains_cut(c, to, from);
		virtual_node_down(&v->node, from);
		cluster_leave(c, to);
		break;
	}
	free(i);
}

/* Can the item be run now? One-sided ones need no processor. */
bool virtual_item_ready(struct cluster *c, unsigned to, const struct item *i)
{
	if (i->kind == ITEM_WRITE || i->kind == ITEM_PUSH)
		return true;
	return cluster_can_run(c, to);
}

unsigned cluster_deliver(struct cluster *c, unsigned from, unsigned to)
{
	struct cds_list_head *q = virtual_queue(c, from, to);

	while (!cds_list_empty(q)) {
		struct item *i = cds_list_first_entry(q, struct item, link);
		unsigned kind = i->kind == ITEM_MSG ? i->msg.kind : (unsigned)MSG_NONE;
		bool last = i->kind == ITEM_MSG || i->kind == ITEM_DOWN;

		virtual_item_run(c, from, to, i);
		cluster_check(c);
		if (last)
			return kind;
	}
	return MSG_NONE;
}

void cluster_expect(struct cluster *c, unsigned from, unsigned to, unsigned kind)
{
	unsigned came = cluster_deliver(c, from, to);

	if (came != kind)
		cluster_fail(c, "rank %u sent %s to %u, not %s", from, msg_name(came), to,
			     msg_name(kind));
}

unsigned cluster_queued(struct cluster *c, unsigned from, unsigned to)
{
	struct item *i;
	unsigned n = 0;

	cds_list_for_each_entry (i, virtual_queue(c, from, to), link)
		n += i->kind == ITEM_MSG;
	return n;
}

/*
 * Read chains
 */

/* Step 3 * i + 0, 1, 2: register for page i, read its grant, read its data. */
static void fetch_step(struct cluster *c, unsigned rank, struct transport_fetch *f, unsigned step,
		       uint8_t *landing)
{
	struct vrank *home = &c->rank[f->rank];
	unsigned i = step / 3;
	uint64_t page = f->granule + ((uint64_t)i << f->shift);
	size_t len = GRANULE_BYTES << f->shift;

	if (step % 3 == 0) {
		if (f->add >> i & 1)
			cluster_check_add(c, rank, page);
		virtual_fetch_add(&home->space, rank, f, i);
	} else if (step % 3 == 1) {
		virtual_fetch_grant(&home->space, f, i);
		cluster_trace(c, "%u: chain reads grant %llx of page %llx", rank,
			      (unsigned long long)f->grant[i], (unsigned long long)page);
	} else if (step % 3 == 2 && landing) {
		memcpy(landing + i * len, segment_page(home->space.alias, page), len);
	}
}

int virtual_fetch(void *env, struct transport_fetch *f)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	struct chain *ch;

	cluster_trace(c, "%u: chain for %u pages at %llx, add %llx", v->rank, f->n,
		      (unsigned long long)f->granule, (unsigned long long)f->add);
	if (rankset_has(&v->node.protocol.down, f->rank))
		return -EHOSTDOWN;
	if (c->no_chains)
		return -EAGAIN;
	if (c->mode == CLUSTER_SHM) {
		for (unsigned step = 0; step < 3 * f->n; step++) {
			cluster_preempt(c);
			fetch_step(c, v->rank, f, step, NULL);
		}
		f->data = segment_page(c->rank[f->rank].space.alias, f->granule);
		return 0;
	}
	ch = virtual_zeroed(1, sizeof(*ch));
	ch->rank = v->rank;
	ch->fetch = f;
	ch->landing = virtual_zeroed(f->n, GRANULE_BYTES << f->shift);
	cds_list_add_tail(&ch->link, &c->chains);
	cluster_preempt(c);
	return 1;
}

bool virtual_chain_complete(const struct chain *ch)
{
	return ch->step == 3 * ch->fetch->n;
}

void virtual_chain_step(struct cluster *c, struct chain *ch)
{
	fetch_step(c, ch->rank, ch->fetch, ch->step++, ch->landing);
}

void virtual_chain_done(struct cluster *c, struct chain *ch)
{
	unsigned rank = ch->rank;

	cluster_trace(c, "%u: chain at %llx is complete: %d", rank,
		      (unsigned long long)ch->fetch->granule, ch->status);
	cds_list_del(&ch->link);
	ch->fetch->data = ch->landing;
	cluster_enter(c, rank);
	protocol_fetched(&c->rank[rank].node.protocol, ch->fetch, ch->status);
	cluster_leave(c, rank);
	free(ch->landing);
	free(ch);
}

static struct chain *chain_of(struct cluster *c, unsigned rank)
{
	struct chain *ch;

	cds_list_for_each_entry (ch, &c->chains, link)
		if (ch->rank == rank)
			return ch;
	return NULL;
}

bool cluster_has_chain(struct cluster *c, unsigned rank)
{
	return chain_of(c, rank) != NULL;
}

bool cluster_chain_step(struct cluster *c, unsigned rank)
{
	struct chain *ch = chain_of(c, rank);

	if (!ch || virtual_chain_complete(ch))
		return false;
	virtual_chain_step(c, ch);
	cluster_check(c);
	return true;
}

void cluster_chain_finish(struct cluster *c, unsigned rank)
{
	struct chain *ch = chain_of(c, rank);

	if (!ch)
		cluster_fail(c, "rank %u has no chain", rank);
	while (!virtual_chain_complete(ch))
		virtual_chain_step(c, ch);
	virtual_chain_done(c, ch);
	cluster_check(c);
}

/*
 * Messages and writes
 */

void virtual_send(void *env, unsigned rank, const struct msg *m)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	if (rank == v->rank || rank >= c->n)
		cluster_fail(c, "rank %u sends %s to rank %u", v->rank, msg_name(m->kind), rank);
	if (m->src != v->rank || m->slots != 1)
		cluster_fail(c, "rank %u sends %s of rank %u, %u slots", v->rank, msg_name(m->kind),
			     m->src, m->slots);
	cluster_trace(c, "%u: sends %s to %u, page %llx, flags %u", v->rank, msg_name(m->kind),
		      rank, (unsigned long long)m->page, m->flags);
	if (!c->rank[rank].dead)
		virtual_enqueue(c, v->rank, rank, ITEM_MSG, m->page, 0)->msg = *m;
	cluster_preempt(c);
}

void virtual_write_home(void *env, unsigned home, uint64_t page, unsigned granules)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	size_t len = (size_t)granules << GRANULE_SHIFT;
	const uint8_t *from = segment_page(v->space.alias, page);

	cluster_preempt(c);
	if (home == v->rank)
		cluster_fail(c, "rank %u writes page %#llx home to itself", home,
			     (unsigned long long)page);
	if (c->mode == CLUSTER_SHM)
		memcpy(segment_page(c->rank[home].space.alias, page), from, len);
	else if (!c->rank[home].dead)
		memcpy(virtual_enqueue(c, v->rank, home, ITEM_WRITE, page, len)->data, from, len);
	cluster_preempt(c);
}

void virtual_push(void *env, unsigned rank, uint64_t page, unsigned granules)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	size_t len = (size_t)granules << GRANULE_SHIFT;

	cluster_preempt(c);
	if (c->mode == CLUSTER_RDMA && !c->rank[rank].dead)
		memcpy(virtual_enqueue(c, v->rank, rank, ITEM_PUSH, page, len)->data,
		       segment_page(v->space.alias, page), len);
	cluster_preempt(c);
}

const uint8_t *virtual_pushed(void *env, unsigned home, uint64_t page, unsigned granules)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	(void)granules;
	if (c->mode == CLUSTER_SHM)
		return segment_page(c->rank[home].space.alias, page);
	return v->slots + (page << GRANULE_SHIFT);
}
