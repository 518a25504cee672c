/* SPDX-License-Identifier: MIT */
/*
 * A rank's processor: what the protocol asks of its environment and what that takes; and the rank's
 * program. See machine.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

static void spend(struct rank *r, double ns)
{
	r->spent_ps += cost_ps(ns);
}

/* The moment, in what the processor does, that has come. */
static uint64_t moment(const struct rank *r)
{
	return r->machine->now_ps + r->spent_ps;
}

/* A simulation that breaks the library's own rules is of no use. */
static _Noreturn void impossible(const struct rank *r, const char *what, uint64_t page)
{
	fprintf(stderr, "scale: rank %u, page %#llx: %s\n", r->node.rank, (unsigned long long)page,
		what);
	abort();
}

/*
 * Of struct protocol_ops and struct sync_ops
 */

static void send_message(struct rank *r, unsigned to, const struct msg *msg)
{
	struct machine *m = r->machine;
	struct packet *p = packet_get(m, PACKET_MESSAGE, r->node.rank, to);

	p->msg = *msg;
	p->bytes = MSG_SLOT_BYTES + (uint32_t)m->cost.header_bytes;
	if (r->carry_bytes && r->carry_to == to) {
		p->bytes += r->carry_bytes + (uint32_t)m->cost.header_bytes;
		r->carry_bytes = 0;
	}
	m->counts.messages[msg->kind]++;
	m->counts.messages_all++;
	spend(r, m->cost.post_ns);
	network_send(m, p, moment(r));
}

static void op_send(void *env, unsigned rank, const struct msg *msg)
{
	send_message(env, rank, msg);
}

static void op_sync_send(void *env, unsigned rank, const struct msg *msg)
{
	struct rank *r = env;

	if (rank == r->node.rank)
		virtual_node_to_self(&r->node, msg);
	else
		send_message(r, rank, msg);
}

static void op_sync_wake(void *env, struct sync_wait *w)
{
	struct rank *r = env;

	(void)w;
	r->sync_done = true;
}

static int op_fetch(void *env, struct transport_fetch *f)
{
	struct rank *r = env;
	struct machine *m = r->machine;
	struct packet *p = packet_get(m, PACKET_CHAIN, r->node.rank, f->rank);

	p->fetch = f;
	p->bytes = f->n * (3 * (uint32_t)m->cost.header_bytes + 16 + 28 + 16);
	m->counts.chains++;
	spend(r, m->cost.post_ns);
	network_send(m, p, moment(r));
	return 1;
}

static void carry(struct rank *r, unsigned to, uint64_t page, unsigned granules)
{
	if (r->carry_bytes)
		impossible(r, "two pages before one message", page);
	r->carry_to = to;
	r->carry_bytes = granules << GRANULE_SHIFT;
	spend(r, r->machine->cost.post_ns);
}

static void op_write_home(void *env, unsigned home, uint64_t page, unsigned granules)
{
	carry(env, home, page, granules);
}

static void op_push(void *env, unsigned rank, uint64_t page, unsigned granules)
{
	carry(env, rank, page, granules);
}

/* No page has content here; one that comes has an address all the same. */
static const uint8_t some_page[GRANULE_BYTES];

static const uint8_t *op_pushed(void *env, unsigned home, uint64_t page, unsigned granules)
{
	(void)granules;
	(void)env;
	(void)home;
	(void)page;
	return some_page;
}

static int op_map(void *env, uint64_t granule, uint64_t n, bool writable, const void *src,
		  bool frames)
{
	struct rank *r = env;
	const struct cost *c = &r->machine->cost;

	(void)granule;
	(void)writable;
	if (!src)
		spend(r, c->map_own_ns);
	else
		spend(r, (double)n * (frames ? c->map_refill_ns : c->map_new_ns));
	return 0;
}

static int op_protect(void *env, uint64_t granule, uint64_t n)
{
	struct rank *r = env;

	(void)granule;
	(void)n;
	spend(r, r->machine->cost.protect_ns);
	return 0;
}

static int op_zap(void *env, uint64_t granule, uint64_t n)
{
	struct rank *r = env;

	(void)granule;
	(void)n;
	spend(r, r->machine->cost.zap_ns);
	return 0;
}

/* Whose wait is over is seen at the end of what the processor does. */
static void op_wake(void *env, uint64_t page)
{
	(void)env;
	(void)page;
}

static void op_fail(void *env, uint64_t page, int err, unsigned blame)
{
	(void)blame;
	impossible(env, strerror(err), page);
}

/* A thread that faulted has had its access when its program has gone on. */
static bool op_settled(void *env, uint64_t page)
{
	const struct rank *r = env;

	return !r->faulted || r->op.page != page;
}

static uint64_t op_tick(void *env)
{
	const struct rank *r = env;

	return r->machine->now_ps / 1000 / TICK_NS;
}

const struct protocol_ops processor_protocol_ops = {
	.send = op_send,
	.fetch = op_fetch,
	.write_home = op_write_home,
	.push = op_push,
	.pushed = op_pushed,
	.map = op_map,
	.allow_write = op_protect,
	.forbid_write = op_protect,
	.zap = op_zap,
	.drop = op_zap,
	.wake = op_wake,
	.fail = op_fail,
	.settled = op_settled,
	.hold_ended = op_wake,
	.tick = op_tick,
};

const struct sync_ops processor_sync_ops = { .send = op_sync_send, .wake = op_sync_wake };

/*
 * The processor
 */

static void schedule(struct rank *r)
{
	struct machine *m = r->machine;

	if (r->scheduled || !r->first)
		return;
	r->scheduled = true;
	events_add(&m->events, m->now_ps > r->free_ps ? m->now_ps : r->free_ps, EVENT_PROCESSOR, r);
}

void processor_give(struct machine *m, struct packet *p)
{
	struct rank *r = &m->rank[p->to];

	p->next = NULL;
	if (r->first)
		r->last->next = p;
	else
		r->first = p;
	r->last = p;
	schedule(r);
}

/* Something of the rank's own for its processor. */
static void give_own(struct rank *r, enum packet_kind kind)
{
	processor_give(r->machine, packet_get(r->machine, kind, r->node.rank, r->node.rank));
}

static void sync_call(struct rank *r)
{
	int err;

	r->sync_done = false;
	if (r->op.kind == OP_UNLOCK)
		err = sync_unlock(r->node.sync, r->op.page);
	else if (r->op.kind == OP_LOCK)
		err = sync_lock(r->node.sync, r->op.page, &r->wait, false);
	else
		err = sync_barrier(r->node.sync, &r->wait, false);
	if (err < 0)
		impossible(r, strerror(-err), r->op.page);
	if (err == 0)
		r->sync_done = true;
}

/* The fault or call that the program's op needs. */
static void make_call(struct rank *r)
{
	struct protocol *p = &r->node.protocol;

	r->called = true;
	spend(r, r->faulted ? r->machine->cost.agent_ns : r->machine->cost.call_ns);
	switch (r->op.kind) {
	case OP_LOAD:
		cache_read(p, r->op.page, 0, true);
		break;
	case OP_STORE:
		cache_write(p, r->op.page, 0, true);
		break;
	case OP_PUT:
		cache_write(p, r->op.page, 0, false);
		break;
	default:
		sync_call(r);
		break;
	}
}

/* dsm_acquire() and dsm_release() of a page that can be written now. */
static void put_page(struct rank *r)
{
	struct protocol *p = &r->node.protocol;

	cache_hold(p, r->op.page, true);
	cache_unhold(p, r->op.page, 1, true, true);
}

static bool op_done(struct rank *r)
{
	const struct protocol *p = &r->node.protocol;

	if (!r->called)
		return false;
	switch (r->op.kind) {
	case OP_LOAD:
		return cache_can_read(p, r->op.page);
	case OP_STORE:
	case OP_PUT:
		return cache_can_write(p, r->op.page);
	default:
		return r->sync_done;
	}
}

/* Has what the program waits for come with this? */
static void look_at_program(struct rank *r)
{
	uint64_t back_ps;

	if (!r->waits || !op_done(r))
		return;
	if (r->op.kind == OP_PUT)
		put_page(r);
	r->waits = false;
	back_ps = r->faulted ? cost_ps(r->machine->cost.fault_ns / 2) : 0;
	events_add(&r->machine->events, moment(r) + back_ps, EVENT_APPLICATION, r);
}

void processor_run(struct rank *r)
{
	struct machine *m = r->machine;
	struct packet *p = r->first;

	r->first = p->next;
	r->scheduled = false;
	r->spent_ps = 0;
	switch (p->kind) {
	case PACKET_MESSAGE:
		spend(r, m->cost.handler_ns);
		virtual_node_message(&r->node, &p->msg);
		break;
	case PACKET_ANSWER:
		p->fetch->data = some_page;
		protocol_fetched(&r->node.protocol, p->fetch, 0);
		break;
	case PACKET_CALL:
		make_call(r);
		break;
	default:
		protocol_retry(&r->node.protocol);
		break;
	}
	packet_put(m, p);
	virtual_node_run_local(&r->node);
	look_at_program(r);
	r->free_ps = moment(r);
	schedule(r);
}

/*
 * The program
 */

static bool is_hit(const struct rank *r)
{
	const struct protocol *p = &r->node.protocol;

	if (r->op.kind == OP_LOAD)
		return cache_can_read(p, r->op.page);
	return r->op.kind == OP_STORE && cache_can_write(p, r->op.page);
}

/* Begin the op: true if it is done already. */
static bool op_begin(struct rank *r)
{
	struct machine *m = r->machine;

	r->began_ps = m->now_ps;
	switch (r->op.kind) {
	case OP_NOTHING:
		return true;
	case OP_PAUSE:
		m->npaused++;
		return false;
	case OP_END:
		m->nended++;
		return false;
	case OP_COMPUTE:
		events_add(&m->events, m->now_ps + cost_ps((double)r->op.page), EVENT_APPLICATION,
			   r);
		return false;
	case OP_LOAD:
	case OP_STORE:
		if (is_hit(r)) {
			m->counts.hits++;
			return true;
		}
		r->faulted = true;
		break;
	default:
		break;
	}
	r->waits = true;
	r->called = false;
	events_add(&m->events, m->now_ps + (r->faulted ? cost_ps(m->cost.fault_ns / 2) : 0),
		   EVENT_CALL, r);
	return false;
}

void program_call(struct rank *r)
{
	give_own(r, PACKET_CALL);
}

/* Has the op that was begun come to its end? Then its time is counted. */
static void op_end(struct rank *r)
{
	struct machine *m = r->machine;

	if (r->op.kind != OP_COMPUTE && r->op.kind != OP_PAUSE && r->op.kind != OP_NOTHING)
		stats_record(&m->counts.took[r->op.kind], (m->now_ps - r->began_ps) / 1000);
	r->faulted = false;
	if (!cds_list_empty(&r->node.protocol.retries))
		give_own(r, PACKET_RETRY);
}

void program_run(struct rank *r)
{
	struct machine *m = r->machine;

	if (r->step)
		op_end(r);
	do {
		r->op = (struct op){ .kind = OP_END };
		m->program(m->program_ctx, r->node.rank, r->step++, &r->op);
	} while (op_begin(r));
	m->counts.ended_ps = m->now_ps;
}
