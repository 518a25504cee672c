/* SPDX-License-Identifier: MIT */
/*
 * The RDMA transport's one-sided operations, from the call to the doorbell.
 *
 * A write is copied and posted at once: its page may be gone a moment later. If no room is left for
 * it, it waits for the adapter to finish earlier ones, which takes no other rank's processor.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>

#include "log.h"
#include "stats.h"
#include "verbs_window.h"

/* A long write goes in pieces: while one is on the wire the next is copied. */
#define WRITE_PIECE ((size_t)64 << 10)

struct verbs_op *verbs_op_new(struct transport_verbs *v, enum verbs_op_kind kind, unsigned rank)
{
	struct verbs_op *op = pool_get(&v->op_pool);

	if (!op)
		return NULL;
	op->kind = kind;
	op->rank = rank;
	return op;
}

void verbs_op_free(struct transport_verbs *v, struct verbs_op *op)
{
	if (op->buffer)
		verbs_arena_put(op->arena, op->buffer, op->buffer_bytes);
	pool_put(&v->op_pool, op);
}

bool verbs_op_buffer(struct verbs_op *op, struct verbs_arena *arena, size_t len_bytes)
{
	op->arena = arena;
	op->buffer_bytes = len_bytes;
	op->buffer = verbs_arena_get(arena, len_bytes);
	return op->buffer != NULL;
}

bool verbs_post(struct transport_verbs *v, struct verbs_op *op, struct ibv_send_wr *wr, unsigned n)
{
	struct verbs_peer *peer = &v->peers[op->rank];
	struct ibv_send_wr *bad;
	int err = ibv_post_send(peer->id->qp, wr, &bad);

	if (err) {
		/* Those before the bad one are on their way: it must live, until the end. */
		verbs_mark_broken(v, op->rank, "the adapter refused a request (%s)", strerror(err));
		cds_list_add_tail(&op->link, &peer->flight);
		return false;
	}
	op->nwr = n;
	peer->sends_free -= n;
	cds_list_add_tail(&op->link, &peer->flight);
	if (verbs_is_awaited(v, op)) {
		v->nawaited++;
		verbs_note_awaited(v);
	}
	return true;
}

/* Wait until the adapter has made room for a write. */
static struct verbs_op *make_room(struct transport_verbs *v, unsigned rank, size_t len_bytes)
{
	struct verbs_op *op = verbs_op_new(v, OP_WRITE, rank);
	struct verbs_peer *peer = &v->peers[rank];
	uint64_t deadline_ns = 0;

	while (op && !peer->broken) {
		if (peer->sends_free && verbs_op_buffer(op, &v->staging, len_bytes))
			return op;
		if (!verbs_reap(v))
			sched_yield();
		if (!deadline_ns)
			deadline_ns = clock_ns() + v->timeout_ns;
		else if (clock_ns() > deadline_ns)
			verbs_mark_broken(v, rank, "the adapter finishes nothing any more");
	}
	if (!op)
		verbs_mark_broken(v, rank, "no memory to write to it");
	else
		verbs_op_free(v, op);
	return NULL;
}

/* Post a write of what is copied into the operation's buffer. */
static bool post_write(struct transport_verbs *v, struct verbs_op *op, const void *from,
		       uint64_t remote, uint32_t rkey, size_t len_bytes)
{
	struct ibv_sge sge = { .addr = (uintptr_t)op->buffer,
			       .length = (uint32_t)len_bytes,
			       .lkey = v->buffers_mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge,
				  .num_sge = 1,
				  .opcode = IBV_WR_RDMA_WRITE,
				  .send_flags = IBV_SEND_SIGNALED,
				  .wr.rdma = { remote, rkey },
				  .wr_id = verbs_last_id(op) };

	memcpy(op->buffer, from, len_bytes);
	maintenance_device_reads(&v->maintenance, MAINTENANCE_STAGING, op->buffer, len_bytes);
	return verbs_post(v, op, &wr, 1);
}

/*
 * What reads
 */

/* Turn over the bits of those pages that are to be registered for. *words receives the words that
 * have any, from the first to the last; returns their number; *granule is one of the first. */
static unsigned turn_over(struct transport_verbs *v, const struct transport_fetch *f,
			  uint64_t *words, uint64_t *granule)
{
	unsigned first = (unsigned)__builtin_ctzll(f->add);
	unsigned last = 63u - (unsigned)__builtin_clzll(f->add), n;
	uint64_t block = f->granule / GRANULES_PER_BLOCK, *own;

	for (unsigned i = first; i <= last; i++) {
		uint64_t g = f->granule + ((uint64_t)i << f->shift);

		own = v->registered + block * WIRE_WORDS + g % GRANULES_PER_BLOCK / 64;
		*own ^= (f->add >> i & 1) << g % 64;
	}
	*granule = f->granule + ((uint64_t)first << f->shift);
	n = (unsigned)((f->granule + ((uint64_t)last << f->shift)) / 64 - *granule / 64) + 1;
	own = v->registered + block * WIRE_WORDS + *granule % GRANULES_PER_BLOCK / 64;
	memcpy(words, own, n * sizeof(*words));
	return n;
}

/* @before: an operation that writes the readers words before the chain, or NULL. */
static bool post_chain(struct transport_verbs *v, struct verbs_op *op, struct verbs_op *before,
		       uint32_t rkey)
{
	struct ibv_send_wr wr[VERBS_CHAIN_MAX];
	struct ibv_sge sge[VERBS_CHAIN_MAX];
	const struct transport_fetch *f = op->fetch;
	const struct space *s = v->p.space;
	uint64_t at = verbs_window_at(v, op->rank, f->granule), words[WIRE_WORDS], first;
	struct verbs_chain chain = {
		.grants = at + verbs_window_grants(s, f->granule),
		.pages = at + verbs_window_pages(s, f->granule),
		.rkey = rkey,
		.n = f->n,
		.shift = f->shift,
		.look = f->look,
		.landing = op->buffer,
		.lkey = v->buffers_mr->lkey,
		.words = words,
		.last_id = verbs_last_id(op),
		.other_id = (uintptr_t)op | VERBS_ID_OP,
	};

	if (f->add) {
		chain.nwords = turn_over(v, f, words, &first);
		chain.readers = at + verbs_window_readers(first, v->p.rank);
	}
	if (before) {
		(void)post_write(v, before, words, chain.readers, rkey,
				 chain.nwords * sizeof(*words));
		chain.nwords = 0;
	}
	return verbs_post(v, op, wr, verbs_chain_build(&chain, wr, sge));
}

/* A single read. */
static bool post_read(struct transport_verbs *v, struct verbs_op *op, uint64_t remote,
		      uint32_t rkey, void *to, uint32_t lkey, size_t len_bytes)
{
	struct ibv_sge sge = { .addr = (uintptr_t)to, .length = (uint32_t)len_bytes, .lkey = lkey };
	struct ibv_send_wr wr = { .wr_id = verbs_last_id(op),
				  .sg_list = &sge,
				  .num_sge = 1,
				  .opcode = IBV_WR_RDMA_READ,
				  .send_flags = IBV_SEND_SIGNALED,
				  .wr.rdma = { remote, rkey } };

	return verbs_post(v, op, &wr, 1);
}

/* Read the word of a peer's table that has the key of a block. */
void verbs_ask_rkey(struct transport_verbs *v, unsigned rank, uint64_t block)
{
	struct verbs_peer *peer = &v->peers[rank];
	struct verbs_op *op;

	if (peer->asking || !peer->sends_free)
		return;
	op = verbs_op_new(v, OP_TABLE, rank);
	if (!op)
		return;
	op->granule = block * GRANULES_PER_BLOCK;
	peer->asking = post_read(v, op, peer->table + block * sizeof(uint64_t), peer->table_rkey,
				 &verbs_scratch(v, rank)[1], v->fixed_mr->lkey, sizeof(uint64_t));
}

/* Start the first chain that waits. What it writes is what this rank is registered for when it is
 * posted, so nothing may be waited for in between. False: it has to wait on. */
static bool start_chain(struct transport_verbs *v, struct verbs_peer *peer, struct verbs_op *op,
			uint32_t rkey)
{
	size_t len_bytes = WIRE_WORDS * sizeof(uint64_t);
	struct verbs_op *before = NULL;

	if (peer->sends_free < VERBS_CHAIN_MAX)
		return false;
	/* Few adapters do not take so little with a request. */
	if (op->fetch->add && v->inline_bytes < len_bytes) {
		before = verbs_op_new(v, OP_WRITE, op->rank);
		if (!before || !verbs_op_buffer(before, &v->staging, len_bytes))
			goto err_no_room;
	}
	if (!verbs_op_buffer(op, &v->landing, verbs_chain_bytes(op->fetch->n, op->fetch->shift)))
		goto err_no_room;
	cds_list_del(&op->link);
	return post_chain(v, op, before, rkey);

err_no_room:
	if (before)
		verbs_op_free(v, before);
	return false;
}

/* Start the first operation that waits. False: it has to wait on. */
static bool start_first(struct transport_verbs *v, struct verbs_peer *peer, struct verbs_op *op)
{
	uint64_t key = v->rkeys[op->granule / GRANULES_PER_BLOCK];

	if (!(key & VERBS_RKEY_VALID)) {
		verbs_ask_rkey(v, op->rank, op->granule / GRANULES_PER_BLOCK);
		return false;
	}
	if (op->kind == OP_FETCH)
		return start_chain(v, peer, op, (uint32_t)key);
	if (!peer->sends_free || !verbs_op_buffer(op, &v->landing, op->buffer_bytes))
		return false;
	cds_list_del(&op->link);
	return post_read(v, op,
			 verbs_window_at(v, op->rank, op->granule) +
				 verbs_window_pages(v->p.space, op->granule),
			 (uint32_t)key, op->buffer, v->buffers_mr->lkey, op->buffer_bytes);
}

void verbs_start_waiting(struct transport_verbs *v, struct verbs_peer *peer)
{
	while (!peer->broken && !cds_list_empty(&peer->waiting))
		if (!start_first(v, peer,
				 cds_list_first_entry(&peer->waiting, struct verbs_op, link)))
			return;
}

/* The home's own words. */
static int fetch_own(struct transport_verbs *v, struct transport_fetch *f)
{
	struct space *s = v->p.space;

	for (unsigned i = 0; i < f->n; i++)
		f->grant[i] = __atomic_load_n(
			segment_grant(s, s->alias, f->granule + ((uint64_t)i << f->shift)),
			__ATOMIC_SEQ_CST);
	f->data = segment_page(s->alias, f->granule);
	return 0;
}

int verbs_fetch(struct transport *t, struct transport_fetch *f)
{
	struct transport_verbs *v = verbs_of(t);
	struct verbs_op *op;

	if (f->rank == v->p.rank)
		return fetch_own(v, f);
	if (verbs_is_down(v, f->rank))
		return verbs_err_down(f->rank);
	if (f->add && !v->peers[f->rank].ordered)
		return -EAGAIN;
	op = verbs_op_new(v, OP_FETCH, f->rank);
	if (!op)
		return -EAGAIN;
	op->fetch = f;
	op->granule = f->granule;
	cds_list_add_tail(&op->link, &v->peers[f->rank].waiting);
	rankset_add(&v->stirred, f->rank);
	verbs_note_awaited(v);
	verbs_start_waiting(v, &v->peers[f->rank]);
	return 1;
}

/* A grant came, whose page lies in the home's memory. */
void verbs_pull(struct transport_verbs *v, unsigned rank, struct verbs_arrival *a)
{
	struct verbs_peer *peer = &v->peers[rank];
	const struct msg *m =
		(const struct msg *)(const void *)(peer->slots +
						   a->slot * MSG_SLOTS_MAX * MSG_SLOT_BYTES);
	uint64_t granules = v->p.space->len_bytes >> GRANULE_SHIFT;
	struct verbs_op *op = verbs_op_new(v, OP_PULL, rank);

	if (!op || m->page >= granules ||
	    a->data > GRANULES_PER_BLOCK - m->page % GRANULES_PER_BLOCK) {
		verbs_mark_broken(v, rank, "it granted a page that does not exist, or no memory");
		if (op)
			verbs_op_free(v, op);
		return;
	}
	op->arrival = a;
	op->granule = m->page;
	op->buffer_bytes = a->data * GRANULE_BYTES;
	a->pull = op;
	cds_list_add_tail(&op->link, &peer->waiting);
	rankset_add(&v->stirred, rank);
	verbs_note_awaited(v);
	verbs_start_waiting(v, peer);
}

const uint8_t *verbs_pushed(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_verbs *v = verbs_of(t);

	if (rank == v->p.rank)
		return segment_page(v->p.space->alias, granule);
	if (!v->data || rank != v->data_rank || granule != v->data_granule ||
	    len_bytes > v->data_bytes)
		return NULL;
	return v->data;
}

/*
 * What writes
 */

/* It goes with the grant (verbs_send_page()), or is read when the grant is there (verbs_pull()). */
int verbs_push(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_verbs *v = verbs_of(t);

	if (verbs_is_down(v, rank))
		return verbs_err_down(rank);
	v->peers[rank].pushed_granule = granule;
	v->peers[rank].pushed_data = (unsigned)(len_bytes >> GRANULE_SHIFT);
	return 0;
}

int verbs_write(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_verbs *v = verbs_of(t);
	uint64_t key = v->rkeys[granule / GRANULES_PER_BLOCK];
	const uint8_t *from = segment_page(v->p.space->alias, granule);
	struct verbs_op *op;
	uint64_t to;

	if (rank == v->p.rank)
		return 0;
	if (verbs_is_down(v, rank))
		return verbs_err_down(rank);
	if (!(key & VERBS_RKEY_VALID)) {
		verbs_mark_broken(v, rank, "a page of it is to be written that never came from it");
		return verbs_err_down(rank);
	}
	to = verbs_window_at(v, rank, granule) + verbs_window_pages(v->p.space, granule);
	for (size_t at = 0, piece; at < len_bytes; at += piece) {
		piece = len_bytes - at < WRITE_PIECE ? len_bytes - at : WRITE_PIECE;
		op = make_room(v, rank, piece);
		if (!op || !post_write(v, op, from + at, to + at, (uint32_t)key, piece))
			return verbs_err_down(rank);
	}
	return 0;
}

/* Has a peer been silent? Then see whether its adapter still answers, by a read of its table. */
void verbs_beat(struct transport_verbs *v, uint64_t now_ns)
{
	for (unsigned r = 0; r < v->p.size; r++) {
		struct verbs_peer *peer = &v->peers[r];
		struct verbs_op *op;

		if (verbs_is_down(v, r) || peer->beating || !peer->sends_free ||
		    now_ns < peer->heard_ns + v->beat_ns)
			continue;
		op = verbs_op_new(v, OP_BEAT, r);
		if (op)
			peer->beating =
				post_read(v, op, peer->table, peer->table_rkey, verbs_scratch(v, r),
					  v->fixed_mr->lkey, sizeof(uint64_t));
	}
}
