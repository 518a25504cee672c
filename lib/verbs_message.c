/* SPDX-License-Identifier: MIT */
/*
 * Messages of the RDMA transport, on their way out.
 *
 * A message and the writes before it go over one connection, so they arrive in order. What finds no
 * credit, or no room, waits in its peer's queue and goes first later. Reads may overtake it, which
 * the protocol allows: it orders reads with nothing.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <string.h>

#include "verbs_internal.h"

/* len_bytes 0: credits alone. False: no room now. */
static bool post_message(struct transport_verbs *v, unsigned rank, const void *m, size_t len_bytes,
			 unsigned data)
{
	struct verbs_peer *peer = &v->peers[rank];
	struct ibv_sge sge = { .addr = (uintptr_t)m, .length = (uint32_t)len_bytes };
	struct ibv_send_wr wr = { .sg_list = &sge,
				  .num_sge = len_bytes ? 1 : 0,
				  .opcode = IBV_WR_SEND_WITH_IMM,
				  .send_flags = IBV_SEND_SIGNALED };
	struct verbs_op *op = peer->sends_free ? verbs_op_new(v, OP_SEND, rank) : NULL;

	if (!op)
		return false;
	if (len_bytes <= v->inline_bytes) {
		wr.send_flags |= IBV_SEND_INLINE;
	} else if (verbs_op_buffer(op, &v->staging, len_bytes)) {
		memcpy(op->buffer, m, len_bytes);
		maintenance_device_reads(&v->maintenance, MAINTENANCE_MESSAGE, op->buffer,
					 len_bytes);
		sge.addr = (uintptr_t)op->buffer;
		sge.lkey = v->buffers_mr->lkey;
	} else {
		verbs_op_free(v, op);
		return false;
	}
	wr.wr_id = verbs_last_id(op);
	wr.imm_data = htobe32(verbs_imm(verbs_credit_tell(&peer->credit), data));
	return verbs_post(v, op, &wr, 1);
}

static bool queue_message(struct transport_verbs *v, unsigned rank, const struct msg *m,
			  unsigned data)
{
	struct verbs_peer *peer = &v->peers[rank];
	struct verbs_queued *q;

	if (peer->nqueued == VERBS_QUEUE_MAX) {
		verbs_mark_broken(v, rank, "it takes no messages and too many wait for it");
		return false;
	}
	q = pool_get(&v->queue_pool);
	if (!q) {
		verbs_mark_broken(v, rank, "no memory to queue its messages");
		return false;
	}
	memcpy(q->slot, m, (size_t)m->slots * MSG_SLOT_BYTES);
	q->data = data;
	cds_list_add_tail(&q->link, &peer->queue);
	peer->nqueued++;
	rankset_add(&v->stirred, rank);
	verbs_note_awaited(v);
	return true;
}

/* Is the peer ready for a message, and the adapter? */
static bool may_send(struct verbs_peer *peer)
{
	return peer->sends_free && verbs_credit_take(&peer->credit);
}

static bool send_now(struct transport_verbs *v, unsigned rank, const struct msg *m, unsigned data)
{
	struct verbs_peer *peer = &v->peers[rank];

	if (!may_send(peer))
		return false;
	if (post_message(v, rank, m, (size_t)m->slots * MSG_SLOT_BYTES, data))
		return true;
	(void)verbs_credit_add(&peer->credit, 1);
	return false;
}

int verbs_send(struct transport *t, unsigned rank, const struct msg *m)
{
	struct transport_verbs *v = verbs_of(t);
	struct verbs_peer *peer;
	unsigned data = 0;
	struct msg asks;

	if (verbs_is_down(v, rank))
		return verbs_err_down(rank);
	peer = &v->peers[rank];
	if (m->kind == MSG_NONE || m->kind >= MSG_KINDS || m->src != v->p.rank ||
	    (m->slots != 1 && m->slots != MSG_SLOTS_MAX))
		return error_set(EINVAL, "message of kind %u, %u slots, from rank %u, sent by %u",
				 m->kind, m->slots, m->src, v->p.rank);
	if (peer->pushed_data && m->page == peer->pushed_granule) {
		data = peer->pushed_data;
		peer->pushed_data = 0;
	}
	if (verbs_offer_asks(m)) {
		asks = *m;
		verbs_offer_place(peer, &asks);
		m = &asks;
	}
	if (verbs_send_page(v, rank, m, data))
		return 0;
	/* What waits goes first. */
	if (!peer->broken && cds_list_empty(&peer->queue) && send_now(v, rank, m, data))
		return 0;
	if (peer->broken || !queue_message(v, rank, m, data))
		return verbs_err_down(rank);
	return 0;
}

static void send_queued(struct transport_verbs *v, unsigned rank)
{
	struct verbs_peer *peer = &v->peers[rank];

	while (!peer->broken && !cds_list_empty(&peer->queue)) {
		struct verbs_queued *q =
			cds_list_first_entry(&peer->queue, struct verbs_queued, link);

		if (!send_now(v, rank, (const struct msg *)(const void *)q->slot, q->data))
			return;
		cds_list_del(&q->link);
		peer->nqueued--;
		pool_put(&v->queue_pool, q);
	}
}

void verbs_flush(struct transport_verbs *v, unsigned rank)
{
	struct verbs_peer *peer = &v->peers[rank];

	verbs_start_waiting(v, peer);
	send_queued(v, rank);
	if (!peer->broken && verbs_credit_due(&peer->credit))
		(void)post_message(v, rank, NULL, 0, 0);
}

int verbs_post_receive(struct transport_verbs *v, unsigned rank, unsigned slot)
{
	struct verbs_peer *peer = &v->peers[rank];
	size_t each = MSG_SLOTS_MAX * MSG_SLOT_BYTES;
	struct ibv_sge sge = { .addr = (uintptr_t)(peer->slots + slot * each),
			       .length = (uint32_t)each,
			       .lkey = v->fixed_mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = (uint64_t)(rank << 16 | slot) << 2 | VERBS_ID_RECEIVE,
				  .sg_list = &sge,
				  .num_sge = 1 };
	struct ibv_recv_wr *bad;

	return ibv_post_recv(peer->id->qp, &wr, &bad);
}
