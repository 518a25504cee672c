/* SPDX-License-Identifier: MIT */
/*
 * The end of peers of the RDMA transport.
 *
 * A connection ends when the peer's process does (its kernel says so), when an operation fails, or
 * when the peer breaks the rules. What it sent before is delivered first; then whoever waits for it
 * is told, once. Operations that the adapter still has keep their memory until it gives them back.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "stats.h"
#include "verbs_internal.h"

/* How long a rank that leaves waits for its last messages to arrive. */
#define LEAVE_NS 2000000000ull
/* How many rounds a peer's last messages may take. */
#define LAST_ROUNDS 100000u

void verbs_mark_broken(struct transport_verbs *v, unsigned rank, const char *fmt, ...)
{
	struct verbs_peer *peer = &v->peers[rank];
	char text[448];
	va_list args;

	if (peer->broken || peer->state != VERBS_UP)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (peer == verbs_self(v)) {
		verbs_end_self(v, text);
		return;
	}
	peer->broken = true;
	v->nbroken++;
	verbs_note_work(v);
	log_error("closing the connection from %s to rank %u at %s: %s", v->device.addr_text, rank,
		  peer->address, text);
}

void verbs_end_self(struct transport_verbs *v, const char *why)
{
	struct verbs_peer *self = verbs_self(v);

	if (self->state != VERBS_UP)
		return;
	self->state = VERBS_DOWN;
	rankset_clear(&v->adapters);
	log_error("the connection of RDMA device %s to itself has ended: %s; remote atomics on "
		  "memory of rank %u go by message from now on",
		  v->device.name, why, v->p.rank);
}

/* What waits for a peer waits no longer: fetches are told later, all else goes. */
static void drop_waiting(struct transport_verbs *v, struct verbs_peer *peer)
{
	struct verbs_op *op, *next;
	struct verbs_queued *q, *after;

	cds_list_for_each_entry_safe (op, next, &peer->waiting, link) {
		cds_list_del(&op->link);
		if (op->kind != OP_FETCH) {
			verbs_op_free(v, op);
			continue;
		}
		op->status = -EHOSTDOWN;
		cds_list_add_tail(&op->link, &v->done);
	}
	cds_list_for_each_entry_safe (q, after, &peer->queue, link) {
		cds_list_del(&q->link);
		pool_put(&v->queue_pool, q);
	}
	peer->nqueued = 0;
}

/* The same for what the adapter has: it keeps operation and buffer, a twin tells the caller. */
static void drop_flight(struct transport_verbs *v, struct verbs_peer *peer)
{
	struct verbs_op *op;

	cds_list_for_each_entry (op, &peer->flight, link) {
		struct verbs_op *twin;

		op->arrival = NULL;
		if (!op->fetch && !op->atomic)
			continue;
		twin = pool_get(&v->op_pool);
		if (!twin) { /* told when the adapter gives it back */
			log_error("out of memory while rank %u is lost", op->rank);
			continue;
		}
		*twin = (struct verbs_op){ .kind = op->kind,
					   .rank = op->rank,
					   .fetch = op->fetch,
					   .atomic = op->atomic,
					   .status = -EHOSTDOWN };
		op->fetch = NULL;
		op->atomic = NULL;
		cds_list_add_tail(&twin->link, &v->done);
	}
}

/* Pulls that are complete and whose grants will not be delivered. */
static void drop_arrivals(struct transport_verbs *v, struct verbs_peer *peer)
{
	for (; peer->narrivals; peer->narrivals--) {
		struct verbs_arrival *a = &peer->arrival[peer->first];

		if (a->ready && a->pull)
			verbs_op_free(v, a->pull);
		peer->first = (peer->first + 1) % VERBS_RECEIVES;
	}
}

static int end_peer(struct transport_verbs *v, unsigned rank)
{
	struct verbs_peer *peer = &v->peers[rank];
	int n = 0;

	/* What it sent before its end has arrived by now, or never will. */
	for (unsigned i = 0; i < LAST_ROUNDS && verbs_reap(v); i++)
		n += verbs_deliver(v, rank, (int)VERBS_RECEIVES);
	n += verbs_deliver(v, rank, (int)VERBS_RECEIVES);
	peer->broken = false;
	peer->state = VERBS_DOWN;
	v->nbroken--;
	rankset_remove(&v->stirred, rank);
	/* The queue pair goes to its error state and gives back what it has. */
	rdma_disconnect(peer->id);
	drop_arrivals(v, peer);
	drop_waiting(v, peer);
	drop_flight(v, peer);
	log_debug("the connection to rank %u has ended", rank);
	v->p.handler->down(v->p.ctx, rank);
	return n + 1;
}

int verbs_end_broken(struct transport_verbs *v)
{
	int n = 0;

	for (unsigned r = 0; r < v->p.size; r++)
		if (v->peers[r].broken && v->peers[r].state == VERBS_UP)
			n += end_peer(v, r);
	return n;
}

static void ended(struct transport_verbs *v, unsigned rank)
{
	struct verbs_peer *peer = &v->peers[rank];

	if (peer->state != VERBS_UP || peer->broken)
		return;
	peer->broken = true;
	v->nbroken++;
	verbs_note_work(v);
}

void verbs_look_at_events(struct transport_verbs *v)
{
	struct rdma_cm_event *e;

	while (!rdma_get_cm_event(v->events, &e)) {
		struct verbs_peer *peer = e->id->context;
		unsigned rank = peer ? (unsigned)(peer - v->peers) : v->p.size;

		if (peer == verbs_self(v) && (e->event == RDMA_CM_EVENT_DISCONNECTED ||
					      e->event == RDMA_CM_EVENT_DEVICE_REMOVAL))
			verbs_end_self(v, rdma_event_str(e->event));
		else if (e->event == RDMA_CM_EVENT_DISCONNECTED && peer)
			ended(v, rank);
		else if (e->event == RDMA_CM_EVENT_DEVICE_REMOVAL && peer)
			verbs_mark_broken(v, rank, "RDMA device %s was removed", v->device.name);
		rdma_ack_cm_event(e);
	}
}

static bool is_quiet(struct transport_verbs *v)
{
	for (unsigned r = 0; r < v->p.size; r++) {
		struct verbs_peer *peer = &v->peers[r];

		if (peer->state == VERBS_UP && !peer->broken &&
		    (!cds_list_empty(&peer->queue) || !cds_list_empty(&peer->flight)))
			return false;
	}
	return true;
}

void verbs_leave(struct transport_verbs *v)
{
	uint64_t deadline_ns = clock_ns() + LEAVE_NS;

	while (!is_quiet(v) && clock_ns() < deadline_ns) {
		for (unsigned r = 0; r < v->p.size; r++)
			if (!verbs_is_down(v, r))
				verbs_flush(v, r);
		if (!verbs_reap(v))
			sched_yield();
	}
	if (!is_quiet(v))
		log_info("leaving with messages that have not arrived");
	for (unsigned r = 0; r < v->p.size; r++)
		if (v->peers[r].state == VERBS_UP)
			rdma_disconnect(v->peers[r].id);
	if (verbs_self(v)->state == VERBS_UP)
		rdma_disconnect(verbs_self(v)->id);
}
