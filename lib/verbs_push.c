/* SPDX-License-Identifier: MIT */
/*
 * Pages that come with a grant, over RDMA.
 *
 * If the requester has offered a place (verbs_offer.h), the home writes the page there: the write
 * and the grant go with one doorbell over one connection, so the page is in place when the grant is
 * seen. Else the grant says so, and the requester's transport reads the page out of the home's
 * memory before it delivers the grant (verbs_pull()).
 *
 * The page is copied first. Where it lies it would have to stay as it is until the adapter has had
 * its acknowledgement, which may come long after the requester has answered for the page; and the
 * block may be withdrawn before.
 *
 * A place is free again when the answer is there: a home writes only before the answer, and each
 * once. One that was offered to a rank that died is not used again: its home's adapter may be
 * writing still, and nobody waits for the end of the queue pair.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <string.h>

#include "verbs_window.h"

/* Of a grant: the key of its block. */
#define VERBS_KEY_WORD 5

/*
 * The requester
 */

/* In the build that proves cache maintenance pages come both ways. */
static bool may_offer(uint64_t granule)
{
#ifdef DSM_MAINTENANCE_PROBE
	return granule % 2 == 0;
#else
	(void)granule;
	return true;
#endif
}

void verbs_expect(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_verbs *v = verbs_of(t);
	uint32_t room_bytes = GRANULE_BYTES;
	struct verbs_offers *asked;
	uint8_t *place;
	int i;

	if (verbs_is_down(v, rank) || len_bytes > VERBS_PUSH_MAX || !may_offer(granule))
		return;
	while (room_bytes < len_bytes)
		room_bytes <<= 1;
	asked = &v->peers[rank].asked;
	i = verbs_offer_free(asked);
	/* One request for the page may have gone unanswered: its place may be written yet. */
	if (i < 0 || verbs_offer_find(asked, granule) >= 0)
		return;
	place = verbs_arena_get(&v->pushed, room_bytes);
	if (place)
		verbs_offer_put(asked, (unsigned)i,
				&(struct verbs_offer){ .granule = granule,
						       .addr = (uintptr_t)place,
						       .rkey = v->pushed_mr->rkey,
						       .len_bytes = room_bytes });
}

void verbs_offer_place(const struct verbs_peer *peer, struct msg *m)
{
	int i = verbs_offer_find(&peer->asked, m->page);

	if (i >= 0)
		verbs_offer_tell(m, (unsigned)i, &peer->asked.at[i]);
}

bool verbs_answered(struct transport_verbs *v, unsigned rank, const struct msg *m, unsigned data,
		    struct verbs_offer *place)
{
	bool has =
		verbs_offer_answers(m) && verbs_offer_take(&v->peers[rank].asked, m->page, place);
	uint32_t len_bytes = verbs_data_bytes(data);

	if (!has)
		place->len_bytes = 0;
	if (!(data & VERBS_DATA_PUSHED))
		return true;
	if (!has || !len_bytes || len_bytes > place->len_bytes ||
	    !(m->word[VERBS_KEY_WORD] & VERBS_RKEY_VALID))
		return false;
	v->rkeys[m->page / GRANULES_PER_BLOCK] = m->word[VERBS_KEY_WORD];
	v->data = (const uint8_t *)(uintptr_t)place->addr;
	v->data_granule = m->page;
	v->data_bytes = len_bytes;
	v->data_rank = rank;
	maintenance_device_wrote(&v->maintenance, MAINTENANCE_PUSHED, v->data, len_bytes);
	return true;
}

/*
 * The home
 */

bool verbs_note_offer(struct transport_verbs *v, unsigned rank, const struct msg *m)
{
	struct verbs_offer of;
	unsigned i;
	int rc = verbs_offer_asks(m) ? verbs_offer_read(m, &i, &of) : 0;

	if (rc > 0)
		verbs_offer_put(&v->peers[rank].offered, i, &of);
	return rc >= 0;
}

/* Does the message go with its request? Else a copy of it lies behind that of the page. */
static bool is_inline(const struct transport_verbs *v)
{
	return v->inline_bytes >= MSG_SLOT_BYTES;
}

/* A copy of the page, and room and credit for it and the grant. NULL: not now. */
static struct verbs_op *prepare(struct transport_verbs *v, unsigned rank, uint64_t granule,
				size_t len_bytes)
{
	size_t room_bytes = len_bytes + (is_inline(v) ? 0 : MSG_SLOT_BYTES);
	struct verbs_peer *peer = &v->peers[rank];
	struct verbs_op *op;

	/* Messages that wait go first; a copy behind them would keep room from others. */
	if (!cds_list_empty(&peer->queue) || peer->sends_free < 2)
		return NULL;
	op = verbs_op_new(v, OP_PUSH, rank);
	if (!op)
		return NULL;
	if (!verbs_op_buffer(op, &v->staging, room_bytes) || !verbs_credit_take(&peer->credit)) {
		verbs_op_free(v, op);
		return NULL;
	}
	memcpy(op->buffer, segment_page(v->p.space->alias, granule), len_bytes);
	maintenance_device_reads(&v->maintenance, MAINTENANCE_STAGING, op->buffer, len_bytes);
	return op;
}

/* Copy the grant behind the page. */
static void add_message(struct transport_verbs *v, struct ibv_sge *sge, uint8_t *to,
			const struct msg *m)
{
	memcpy(to, m, sizeof(*m));
	maintenance_device_reads(&v->maintenance, MAINTENANCE_MESSAGE, to, sizeof(*m));
	sge->addr = (uintptr_t)to;
	sge->lkey = v->buffers_mr->lkey;
}

/* The page and the grant behind it, with one doorbell. The grant says which key the block has: who
 * writes the page will want to write it back. */
static bool post_page(struct transport_verbs *v, struct verbs_op *op, const struct msg *grant,
		      unsigned data, const struct verbs_offer *to)
{
	unsigned credits = verbs_credit_tell(&v->peers[op->rank].credit);
	uint32_t len_bytes = verbs_data_bytes(data);
	struct msg m = *grant;
	struct ibv_sge sge[2] = {
		{ .addr = (uintptr_t)op->buffer, .length = len_bytes, .lkey = v->buffers_mr->lkey },
		{ .addr = (uintptr_t)&m, .length = sizeof(m) }
	};
	struct ibv_send_wr wr[2] = { { .wr_id = (uintptr_t)op | VERBS_ID_OP,
				       .next = &wr[1],
				       .sg_list = &sge[0],
				       .num_sge = 1,
				       .opcode = IBV_WR_RDMA_WRITE,
				       .wr.rdma = { to->addr, to->rkey } },
				     { .wr_id = verbs_last_id(op),
				       .sg_list = &sge[1],
				       .num_sge = 1,
				       .opcode = IBV_WR_SEND_WITH_IMM,
				       .send_flags = IBV_SEND_SIGNALED,
				       .imm_data = htobe32(
					       verbs_imm(credits, data | VERBS_DATA_PUSHED)) } };

	m.word[VERBS_KEY_WORD] = v->table[m.page / GRANULES_PER_BLOCK];
	if (is_inline(v))
		wr[1].send_flags |= IBV_SEND_INLINE;
	else
		add_message(v, &sge[1], op->buffer + len_bytes, &m);
	return verbs_post(v, op, wr, 2);
}

bool verbs_send_page(struct transport_verbs *v, unsigned rank, const struct msg *m, unsigned data)
{
	uint32_t len_bytes = verbs_data_bytes(data);
	struct verbs_offer to;
	struct verbs_op *op;

	if (!verbs_offer_answers(m) || !verbs_offer_take(&v->peers[rank].offered, m->page, &to) ||
	    !len_bytes || len_bytes > to.len_bytes)
		return false;
	/* Few blocks could not be exposed. */
	if (!(v->table[m->page / GRANULES_PER_BLOCK] & VERBS_RKEY_VALID))
		return false;
	op = prepare(v, rank, m->page, len_bytes);
	return op && post_page(v, op, m, data, &to);
}
