/* SPDX-License-Identifier: MIT */
/*
 * Packets through adapters and edges. See machine.h.
 *
 * Order between two ranks is kept: they always take the same way, each part of which serves first
 * come, first served, and a packet's end leaves no part before the end of the packet ahead of it.
 */
#include <stdlib.h>

#include "machine.h"

#define CHUNK_PACKETS 4096u

static void packets_more(struct machine *m)
{
	struct packet *chunk = virtual_zeroed(CHUNK_PACKETS, sizeof(*chunk));

	m->chunks = realloc(m->chunks, (m->nchunks + 1) * sizeof(*m->chunks));
	if (!m->chunks)
		abort();
	m->chunks[m->nchunks++] = chunk;
	for (unsigned i = 0; i < CHUNK_PACKETS; i++)
		packet_put(m, &chunk[i]);
}

struct packet *packet_get(struct machine *m, enum packet_kind kind, unsigned from, unsigned to)
{
	struct packet *p;

	if (!m->unused)
		packets_more(m);
	p = m->unused;
	m->unused = p->next;
	p->next = NULL;
	p->kind = kind;
	p->from = from;
	p->to = to;
	p->fetch = NULL;
	return p;
}

void packet_put(struct machine *m, struct packet *p)
{
	p->next = m->unused;
	m->unused = p;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Take the next edge. The head is at p->at now. */
static void take_edge(struct machine *m, struct packet *p, uint64_t ps)
{
	unsigned edge;
	bool up;
	unsigned next = topology_next(m->topology, p->at, p->to, &edge, &up);
	const struct edge *e = &m->topology->node[edge].edge;
	uint64_t *free_ps = &m->edge_free_ps[edge * 2 + up];
	uint64_t start = later(ps, *free_ps);

	*free_ps = start + (uint64_t)(p->bytes * e->ps_per_byte);
	m->edge_bytes[edge * 2 + up] += p->bytes;
	p->end_ps = later(*free_ps, p->end_ps) + e->latency_ps;
	p->at = next;
	if (next == m->topology->leaf[p->to])
		events_add(&m->events, p->end_ps, EVENT_ARRIVAL, p);
	else
		events_add(&m->events, start + e->latency_ps, EVENT_HOP, p);
}

void network_send(struct machine *m, struct packet *p, uint64_t ps)
{
	struct rank *r = &m->rank[p->from];
	uint64_t start = later(ps, r->out_free_ps);

	r->out_free_ps = start + cost_ps(m->cost.nic_message_ns);
	m->counts.bytes += p->bytes;
	m->counts.packets++;
	p->at = m->topology->leaf[p->from];
	p->end_ps = 0;
	/* Nobody else uses this edge upwards: its turn can be taken ahead of time. */
	take_edge(m, p, start + cost_ps(m->cost.nic_ns));
}

void network_hop(struct machine *m, struct packet *p)
{
	take_edge(m, p, m->now_ps);
}

static struct traffic *traffic_of(struct machine *m, uint64_t page)
{
	const struct block *b = &m->blocks[page / GRANULES_PER_BLOCK];

	return &m->traffic[b->region * m->n + b->home];
}

/* A rank that has a bit registers by a write; one that counts itself in a group, by an atomic, and
 * those of an adapter wait for one another. */
static uint64_t atomics_done(struct machine *m, struct rank *r, const struct transport_fetch *f)
{
	unsigned n = (unsigned)__builtin_popcountll(f->add);

	if (!n || !m->space.readers_group)
		return m->now_ps;
	r->atomic_free_ps =
		later(m->now_ps, r->atomic_free_ps) + n * cost_ps(m->cost.nic_atomic_ns);
	return r->atomic_free_ps;
}

/* A chain is served. It takes effect as it comes, since what its sender sends behind it may not
 * overtake it; the answer leaves when the atomics are done. */
static void chain_serve(struct machine *m, struct packet *p)
{
	struct transport_fetch *f = p->fetch;
	struct traffic *traffic = traffic_of(m, f->granule);
	struct packet *answer = packet_get(m, PACKET_ANSWER, p->to, p->from);
	uint32_t header = (uint32_t)m->cost.header_bytes;

	for (unsigned i = 0; i < f->n; i++) {
		virtual_fetch_add(&m->space, p->from, f, i);
		virtual_fetch_grant(&m->space, f, i);
	}
	answer->fetch = f;
	answer->bytes = f->n * (3 * header + 8 + 8 + (uint32_t)(GRANULE_BYTES << f->shift));
	traffic->chains++;
	traffic->bytes += p->bytes + answer->bytes;
	events_add(&m->events, atomics_done(m, &m->rank[p->to], f), EVENT_SEND, answer);
	packet_put(m, p);
}

/* To whose account is a message? To its page's home; to the receiver, if it is of a lock. */
static void message_count(struct machine *m, const struct packet *p)
{
	bool page = p->msg.kind <= MSG_GRANT_ERROR;
	struct traffic *traffic =
		page ? traffic_of(m, p->msg.page) : &m->traffic[MACHINE_SYNC_REGION * m->n + p->to];

	m->counts.handled++;
	traffic->bytes += p->bytes;
	if (!page || protocol_home(&m->rank[p->to].node.protocol, p->msg.page) == p->to)
		traffic->messages++;
}

void network_arrived(struct machine *m, struct packet *p)
{
	struct rank *r = &m->rank[p->to];
	uint64_t ps = later(m->now_ps, r->in_free_ps);

	if (p->end_ps != UINT64_MAX) {
		/* Through the adapter first. */
		r->in_free_ps = ps + cost_ps(m->cost.nic_message_ns);
		p->end_ps = UINT64_MAX;
		events_add(&m->events, ps + cost_ps(m->cost.nic_ns), EVENT_ARRIVAL, p);
	} else if (p->kind == PACKET_CHAIN) {
		chain_serve(m, p);
	} else {
		if (p->kind == PACKET_MESSAGE)
			message_count(m, p);
		processor_give(m, p);
	}
}
