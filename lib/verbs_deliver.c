/* SPDX-License-Identifier: MIT */
/*
 * The upcalls of the RDMA transport: fetches that are done, and each peer's messages in order, as
 * far as the page data that belongs to a grant has been read.
 *
 * A receive is posted anew when its message has been copied out to be delivered; so what is not
 * delivered yet fills the window of the peer that sends, and nothing here grows.
 */
#define _GNU_SOURCE
#include <string.h>

#include "verbs_internal.h"

/* Of a look whose two do not agree: somebody has had the page meanwhile. */
static uint64_t grant_of(const struct verbs_op *op, unsigned i)
{
	const struct transport_fetch *f = op->fetch;
	uint64_t grant = verbs_chain_grant(op->buffer, f->n, f->shift, i);

	if (f->look && grant != verbs_chain_grant_after(op->buffer, f->n, f->shift, i))
		return grant_word(GRANT_BUSY, f->rank);
	return grant;
}

static void tell_fetched(struct transport_verbs *v, struct verbs_op *op)
{
	struct transport_fetch *f = op->fetch;

	if (op->status == 0)
		maintenance_device_wrote(&v->maintenance, MAINTENANCE_LANDING, op->buffer,
					 op->buffer_bytes);
	for (unsigned i = 0; op->status == 0 && i < f->n; i++)
		f->grant[i] = grant_of(op, i);
	f->data = op->buffer;
	f->done(f, op->status);
}

int verbs_tell_done(struct transport_verbs *v)
{
	int n = 0;

	while (!cds_list_empty(&v->done)) {
		struct verbs_op *op = cds_list_first_entry(&v->done, struct verbs_op, link);

		cds_list_del(&op->link);
		if (op->atomic)
			op->atomic->done(op->atomic, op->status);
		else
			tell_fetched(v, op);
		verbs_op_free(v, op);
		n++;
	}
	return n;
}

static bool is_sane(const struct msg *m, unsigned rank, unsigned len_bytes)
{
	return m->kind != MSG_NONE && m->kind < MSG_KINDS && m->src == rank &&
	       (m->slots == 1 || m->slots == MSG_SLOTS_MAX) &&
	       m->slots * MSG_SLOT_BYTES == len_bytes;
}

static void deliver_one(struct transport_verbs *v, unsigned rank)
{
	struct verbs_peer *peer = &v->peers[rank];
	struct verbs_arrival a = peer->arrival[peer->first];
	struct verbs_offer place;
	union {
		struct msg msg;
		struct msg_region region;
	} m;

	memcpy(&m, peer->slots + a.slot * sizeof(m), sizeof(m));
	peer->first = (peer->first + 1) % VERBS_RECEIVES;
	peer->narrivals--;
	if (!is_sane(&m.msg, rank, a.len_bytes) || !verbs_note_offer(v, rank, &m.msg)) {
		verbs_mark_broken(v, rank, "it sent a message that makes no sense");
		return;
	}
	if (peer->state == VERBS_UP && verbs_post_receive(v, rank, a.slot))
		verbs_mark_broken(v, rank, "the adapter takes no receive");
	verbs_credit_posted(&peer->credit);
	if (!verbs_answered(v, rank, &m.msg, a.data, &place)) {
		verbs_mark_broken(v, rank,
				  "it says that it wrote a page where it was not asked to");
		return;
	}
	if (a.pull) {
		v->data = a.pull->buffer;
		v->data_granule = m.msg.page;
		v->data_bytes = a.pull->buffer_bytes;
		v->data_rank = rank;
	}
	v->p.handler->message(v->p.ctx, &m.msg);
	v->data = NULL;
	if (a.pull)
		verbs_op_free(v, a.pull);
	if (place.len_bytes)
		verbs_arena_put(&v->pushed, (uint8_t *)(uintptr_t)place.addr, place.len_bytes);
}

int verbs_deliver(struct transport_verbs *v, unsigned rank, int budget)
{
	struct verbs_peer *peer = &v->peers[rank];
	int n = 0;

	while (n < budget && peer->narrivals && peer->state == VERBS_UP) {
		if (peer->arrival[peer->first].data && !peer->arrival[peer->first].ready)
			break;
		deliver_one(v, rank);
		n++;
	}
	return n;
}

/* Can more be delivered at once? */
bool verbs_has_ready(const struct verbs_peer *peer)
{
	const struct verbs_arrival *a = &peer->arrival[peer->first];

	return peer->state == VERBS_UP && peer->narrivals && (!a->data || a->ready);
}

static bool is_idle(struct verbs_peer *peer)
{
	return peer->state != VERBS_UP ||
	       (!peer->narrivals && cds_list_empty(&peer->queue) &&
		cds_list_empty(&peer->waiting) && !verbs_credit_due(&peer->credit));
}

int verbs_serve(struct transport_verbs *v, int budget)
{
	int n = 0;

	rankset_for_each (r, &v->stirred) {
		struct verbs_peer *peer = &v->peers[r];

		if (peer->state == VERBS_UP && !peer->broken)
			verbs_flush(v, r);
		if (n < budget)
			n += verbs_deliver(v, r, budget - n);
		if (peer->state == VERBS_UP && !peer->broken)
			verbs_flush(v, r);
		if (is_idle(peer))
			rankset_remove(&v->stirred, r);
	}
	return n;
}
