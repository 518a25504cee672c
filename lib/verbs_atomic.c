/* SPDX-License-Identifier: MIT */
/*
 * Remote atomics by adapter: on a peer's memory, and on the own.
 *
 * On a peer's, the adapter is given the request at once or not at all: the right to the page is
 * given back by a message, and only what was posted before that is done before it.
 *
 * On the own memory they go over a connection of this rank to itself and are waited for here, which
 * takes no other rank's processor: so there is never one under way when the home answers for a
 * page.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>

#include "stats.h"
#include "verbs_window.h"

static bool post_atomic(struct transport_verbs *v, struct verbs_op *op, uint64_t remote,
			uint32_t rkey)
{
	const struct transport_atomic_op *a = op->atomic;
	struct ibv_sge sge = { .addr = (uintptr_t)op->buffer,
			       .length = sizeof(uint64_t),
			       .lkey = v->buffers_mr->lkey };
	struct ibv_send_wr wr = { .wr_id = verbs_last_id(op),
				  .sg_list = &sge,
				  .num_sge = 1,
				  .send_flags = IBV_SEND_SIGNALED };

	wr.wr.atomic.remote_addr = remote;
	wr.wr.atomic.rkey = rkey;
	if (a->op == ATOMIC_FETCH_ADD) {
		wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
		wr.wr.atomic.compare_add = a->operand;
	} else {
		wr.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
		wr.wr.atomic.compare_add = a->expected;
		wr.wr.atomic.swap = a->operand;
	}
	return verbs_post(v, op, &wr, 1);
}

/* With a place for the result; NULL: no room now. */
static struct verbs_op *atomic_op(struct transport_verbs *v, unsigned index,
				  struct transport_atomic_op *a)
{
	struct verbs_op *op = v->peers[index].sends_free ? verbs_op_new(v, OP_ATOMIC, index) : NULL;

	if (!op)
		return NULL;
	op->atomic = a;
	if (verbs_op_buffer(op, &v->landing, sizeof(uint64_t)))
		return op;
	verbs_op_free(v, op);
	return NULL;
}

void verbs_atomic_end(struct transport_verbs *v, struct verbs_op *op, bool ok)
{
	struct transport_atomic_op *a = op->atomic;

	op->status = ok ? 0 : -EHOSTDOWN;
	if (ok) {
		maintenance_device_wrote(&v->maintenance, MAINTENANCE_LANDING, op->buffer,
					 sizeof(a->before));
		memcpy(&a->before, op->buffer, sizeof(a->before));
	}
	if (op->rank != v->p.size) {
		cds_list_add_tail(&op->link, &v->done);
		return;
	}
	a->done(a, op->status);
	verbs_op_free(v, op);
}

static uint64_t page_in_window(const struct transport_verbs *v, uint64_t offset)
{
	return verbs_window_pages(v->p.space, offset >> GRANULE_SHIFT) + offset % GRANULE_BYTES;
}

/*
 * The own memory
 */

struct awaited {
	bool over;
	int status;
};

static void note_status(struct transport_atomic_op *a, int status)
{
	struct awaited *w = a->ctx;

	w->status = status;
	w->over = true;
}

static int await(struct transport_verbs *v, struct verbs_op *op, const struct awaited *w)
{
	uint64_t deadline_ns = clock_ns() + v->timeout_ns;

	while (!w->over) {
		if (verbs_reap(v))
			continue;
		sched_yield();
		if (clock_ns() <= deadline_ns)
			continue;
		op->atomic = NULL; /* the adapter keeps the rest of it */
		verbs_end_self(v, "the adapter finishes nothing any more");
		return -EIO;
	}
	return w->status ? -EIO : 0;
}

static int own_atomic(struct transport_verbs *v, struct transport_atomic_op *a)
{
	uint64_t block = a->offset / BLOCK_BYTES;
	struct awaited w = { false, 0 };
	struct verbs_op *op;

	if (verbs_self(v)->state != VERBS_UP)
		return -EAGAIN;
	if (!v->mr[block])
		return -EIO;
	op = atomic_op(v, v->p.size, a);
	if (!op)
		return -ENOMEM;
	a->done = note_status;
	a->ctx = &w;
	if (!post_atomic(v, op,
			 (uintptr_t)v->windows + block * v->window_bytes +
				 page_in_window(v, a->offset),
			 v->mr[block]->rkey)) {
		op->atomic = NULL;
		return -EIO;
	}
	return await(v, op, &w);
}

int verbs_adapter_atomic(struct transport *t, struct transport_atomic_op *a)
{
	struct transport_verbs *v = verbs_of(t);
	uint64_t granule = a->offset >> GRANULE_SHIFT, key;
	struct verbs_op *op;

	if (a->rank == v->p.rank)
		return own_atomic(v, a);
	if (verbs_is_down(v, a->rank))
		return verbs_err_down(a->rank);
	key = v->rkeys[granule / GRANULES_PER_BLOCK];
	if (!(key & VERBS_RKEY_VALID)) {
		verbs_ask_rkey(v, a->rank, granule / GRANULES_PER_BLOCK);
		return -EAGAIN;
	}
	op = v->peers[a->rank].atomics ? atomic_op(v, a->rank, a) : NULL;
	if (!op)
		return -EAGAIN;
	if (post_atomic(v, op, verbs_window_at(v, a->rank, granule) + page_in_window(v, a->offset),
			(uint32_t)key))
		return 1;
	op->atomic = NULL;
	return verbs_err_down(a->rank);
}
