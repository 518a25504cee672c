/* SPDX-License-Identifier: MIT */
/*
 * Making the connections of the RDMA transport.
 *
 * Every rank listens at an address of its device, which its card tells. A rank dials those below it
 * and accepts those above it; request and answer carry each a hello. All goes by events of one
 * channel, in one loop, until all peers are connected or the deadline.
 *
 *	dial:	address resolved -> route resolved -> queue pair, receives, connect -> established
 *	accept:	request -> queue pair, receives, accept -> established
 *
 * A rank whose adapter does atomics dials itself too. If that fails, its memory is one on which
 * processors do them.
 *
 * Anybody who reaches the port may knock. Who does not know the job's token is turned away and the
 * set-up goes on; who does and disagrees ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "stats.h"
#include "verbs_hello.h"
#include "verbs_internal.h"

/* Reads and atomics under way on one connection, if the device has as many. */
#define RD_ATOMIC_MAX 16u
/* Acknowledgements are waited for 4.096 us * 2^n; so many rounds must fit the deadline. */
#define ACK_EXPONENT_MAX 18u
#define ACK_EXPONENT_MIN 14u
/* How long the own address may take to be resolved. */
#define SELF_MS 2000
/* What libibverbs is asked to send inline, at most: first that it takes is used. */
#ifdef DSM_MAINTENANCE_PROBE /* nothing: so that the adapter reads each message from memory */
static const unsigned inline_sizes[] = { 0 };
#else
static const unsigned inline_sizes[] = { MSG_SLOTS_MAX * MSG_SLOT_BYTES, MSG_SLOT_BYTES, 0 };
#endif

int verbs_listen(struct transport_verbs *v)
{
	if (rdma_create_id(v->events, &v->listener, NULL, RDMA_PS_TCP))
		return error_set_sys(errno, "cannot create an RDMA connection identifier "
					    "(/dev/infiniband/rdma_cm: modprobe rdma_ucm)");
	if (rdma_bind_addr(v->listener, (struct sockaddr *)&v->device.addr) ||
	    rdma_listen(v->listener, (int)v->p.size + 64))
		return error_set_sys(errno, "cannot listen on RDMA device %s at %s", v->device.name,
				     v->device.addr_text);
	v->context = v->listener->verbs;
	verbs_card_init(v);
	return 0;
}

/* How long the adapter waits for an acknowledgement: so long that a busy machine is not taken for a
 * dead one, and short enough to tell within the deadline. */
static uint8_t ack_exponent(uint64_t timeout_ms)
{
	unsigned n = ACK_EXPONENT_MAX;

	while (n > ACK_EXPONENT_MIN &&
	       (4096ull << n) * (VERBS_RETRIES + 1) > timeout_ms * 1000000u / 3)
		n--;
	return (uint8_t)n;
}

/* 0 or errno. */
static int create_pair(struct transport_verbs *v, struct rdma_cm_id *id, unsigned sends,
		       unsigned receives, unsigned inline_bytes)
{
	uint8_t exponent = ack_exponent(v->p.settings->timeout_ms);
	struct ibv_qp_init_attr attr = { .send_cq = v->ended.cq,
					 .recv_cq = v->arrived.cq,
					 .cap = { .max_send_wr = sends,
						  .max_recv_wr = receives,
						  .max_send_sge = 1,
						  .max_recv_sge = 1,
						  .max_inline_data = inline_bytes },
					 .qp_type = IBV_QPT_RC };

	if (rdma_create_qp(id, v->pd, &attr))
		return errno;
	/* An old kernel has its own idea. */
	(void)rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &exponent,
			      sizeof(exponent));
	return 0;
}

static int create_queues(struct transport_verbs *v, struct verbs_peer *peer)
{
	unsigned rank = (unsigned)(peer - v->peers);
	int err = EINVAL;

	for (unsigned i = 0; i < sizeof(inline_sizes) / sizeof(*inline_sizes) && err; i++) {
		err = create_pair(v, peer->id, v->sends, VERBS_RECEIVES, inline_sizes[i]);
		if (!err)
			v->inline_bytes = inline_sizes[i];
	}
	if (err)
		return error_set_sys(err,
				     "RDMA device %s gives no queue pair of %u sends for rank %u",
				     v->device.name, v->sends, rank);
	peer->sends_free = v->sends;
	verbs_credit_init(&peer->credit, VERBS_WINDOW);
	for (unsigned slot = 0; slot < VERBS_RECEIVES; slot++)
		if (verbs_post_receive(v, rank, slot))
			return error_set(EIO, "RDMA device %s takes no receives", v->device.name);
	return 0;
}

static unsigned at_most(unsigned n, unsigned most)
{
	return n < most ? n : most;
}

/* Both ends say what they can; each starts what the other executes. */
static struct rdma_conn_param param_of(const struct transport_verbs *v,
				       const struct verbs_hello *hello,
				       const struct rdma_conn_param *theirs)
{
	unsigned executes = at_most(v->device.rd_atomic_max, RD_ATOMIC_MAX);
	unsigned starts = at_most(v->device.rd_init_max, RD_ATOMIC_MAX);

	if (theirs) {
		executes = at_most(executes, theirs->responder_resources);
		starts = at_most(starts, theirs->initiator_depth);
	}
	return (struct rdma_conn_param){ .private_data = hello,
					 .private_data_len = sizeof(*hello),
					 .responder_resources = (uint8_t)executes,
					 .initiator_depth = (uint8_t)starts,
					 .retry_count = VERBS_RETRIES,
					 .rnr_retry_count = 0 };
}

/*
 * The connection to itself
 */

static void without_self(struct transport_verbs *v, const char *why)
{
	if (!verbs_self(v)->address[0])
		return;
	verbs_self(v)->address[0] = '\0';
	v->nmissing--;
	log_info("RDMA device %s makes no connection to itself (%s): processors do the remote "
		 "atomics on memory of rank %u",
		 v->device.name, why, v->p.rank);
}

static void dial_self(struct transport_verbs *v)
{
	struct verbs_peer *self = verbs_self(v);
	struct sockaddr_storage to;

	if (!v->device.atomics || verbs_card_address(&v->card, &to))
		return;
	snprintf(self->address, sizeof(self->address), "%s", v->device.addr_text);
	v->nmissing++;
	if (rdma_create_id(v->events, &self->id, self, RDMA_PS_TCP) ||
	    rdma_resolve_addr(self->id, (struct sockaddr *)&v->device.addr, (struct sockaddr *)&to,
			      SELF_MS))
		without_self(v, strerror(errno));
}

static void connect_self(struct transport_verbs *v)
{
	struct verbs_peer *self = verbs_self(v);
	struct verbs_hello hello;
	struct rdma_conn_param param;
	int err = create_pair(v, self->id, VERBS_SELF_SENDS, 1, 0);

	verbs_hello_init(v, &hello);
	param = param_of(v, &hello, NULL);
	self->sends_free = VERBS_SELF_SENDS;
	if (!err && rdma_connect(self->id, &param))
		err = errno;
	if (err)
		without_self(v, strerror(err));
}

static void accept_self(struct transport_verbs *v, const struct rdma_cm_event *e)
{
	struct rdma_conn_param param = param_of(v, NULL, &e->param.conn);
	int err;

	v->self_accepted = e->id;
	param.private_data_len = 0;
	err = create_pair(v, e->id, VERBS_SELF_SENDS, 1, 0);
	if (!err && rdma_accept(e->id, &param))
		err = errno;
	if (err)
		without_self(v, strerror(err));
}

static void on_self_event(struct transport_verbs *v, const struct rdma_cm_event *e)
{
	switch (e->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (rdma_resolve_route(e->id, SELF_MS))
			without_self(v, strerror(errno));
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		connect_self(v);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		if (!verbs_self(v)->address[0])
			break;
		verbs_self(v)->state = VERBS_UP;
		v->nmissing--;
		break;
	default:
		without_self(v, rdma_event_str(e->event));
		break;
	}
}

/*
 * Connections to others
 */

static int dial(struct transport_verbs *v, unsigned rank, const struct verbs_card *card,
		uint64_t deadline_ns)
{
	struct verbs_peer *peer = &v->peers[rank];
	int timeout_ms = (int)((deadline_ns - clock_ns()) / 1000000u);
	struct sockaddr_storage to;

	if (verbs_card_address(card, &to))
		return error_set(EPROTO, "rank %u shows an address of family %u", rank,
				 card->family);
	if (rdma_create_id(v->events, &peer->id, peer, RDMA_PS_TCP))
		return error_set_sys(errno, "cannot create an RDMA connection identifier");
	if (rdma_resolve_addr(peer->id, (struct sockaddr *)&v->device.addr, (struct sockaddr *)&to,
			      timeout_ms > 0 ? timeout_ms : 1))
		return error_set_sys(errno, "no way by RDMA from %s (%s) to rank %u at %s (%.63s)",
				     v->device.addr_text, v->device.name, rank, peer->address,
				     card->host);
	return 0;
}

static int on_resolved(struct transport_verbs *v, struct verbs_peer *peer)
{
	struct verbs_hello hello;
	struct rdma_conn_param param;
	int rc = create_queues(v, peer);

	if (rc)
		return rc;
	verbs_hello_init(v, &hello);
	param = param_of(v, &hello, NULL);
	if (rdma_connect(peer->id, &param))
		return error_set_sys(errno, "cannot connect to rank %u at %s by RDMA",
				     (unsigned)(peer - v->peers), peer->address);
	return 0;
}

static void turn_away(struct rdma_cm_id *id, const char *text)
{
	char reason[148];

	snprintf(reason, sizeof(reason), "%s", text);
	rdma_reject(id, reason, (uint8_t)(strlen(reason) + 1));
	rdma_destroy_id(id);
}

static int on_request(struct transport_verbs *v, const struct rdma_cm_event *e)
{
	struct verbs_hello hello, own;
	struct rdma_conn_param param;
	struct verbs_peer *peer;
	int rc;

	memset(&hello, 0, sizeof(hello));
	if (e->param.conn.private_data)
		memcpy(&hello, e->param.conn.private_data,
		       at_most(e->param.conn.private_data_len, sizeof(hello)));
	if (verbs_hello_knows(v, &hello, e->param.conn.private_data_len) &&
	    hello.rank == v->p.rank && verbs_self(v)->address[0] && !v->self_accepted) {
		accept_self(v, e);
		return 0;
	}
	if (!verbs_hello_knows(v, &hello, e->param.conn.private_data_len) ||
	    hello.rank <= v->p.rank || hello.rank >= v->p.size || v->peers[hello.rank].id ||
	    !v->peers[hello.rank].address[0]) {
		log_info("turned away an RDMA connection that is not of this job");
		turn_away(e->id, "not of this job");
		return 0;
	}
	rc = verbs_hello_check(v, &hello);
	if (rc) {
		turn_away(e->id, error_text());
		return rc;
	}
	peer = &v->peers[hello.rank];
	peer->id = e->id;
	peer->id->context = peer;
	verbs_hello_take(v, peer, &hello);
	rc = create_queues(v, peer);
	if (rc)
		return rc;
	verbs_hello_init(v, &own);
	param = param_of(v, &own, &e->param.conn);
	if (rdma_accept(peer->id, &param))
		return error_set_sys(errno, "cannot accept rank %u at %s by RDMA", hello.rank,
				     peer->address);
	return 0;
}

static int on_established(struct transport_verbs *v, struct verbs_peer *peer,
			  const struct rdma_cm_event *e)
{
	unsigned rank = (unsigned)(peer - v->peers);
	struct verbs_hello hello = { 0 };
	int rc;

	if (rank < v->p.rank) { /* dialed: here is its hello */
		if (e->param.conn.private_data)
			memcpy(&hello, e->param.conn.private_data,
			       at_most(e->param.conn.private_data_len, sizeof(hello)));
		if (!verbs_hello_knows(v, &hello, e->param.conn.private_data_len) ||
		    hello.rank != rank)
			return error_set(EPROTO, "who answers at %s is not rank %u of this job",
					 peer->address, rank);
		rc = verbs_hello_check(v, &hello);
		if (rc)
			return rc;
		verbs_hello_take(v, peer, &hello);
	}
	peer->state = VERBS_UP;
	peer->heard_ns = clock_ns();
	v->nmissing--;
	return 0;
}

static int on_rejected(struct transport_verbs *v, struct verbs_peer *peer,
		       const struct rdma_cm_event *e)
{
	unsigned rank = (unsigned)(peer - v->peers);
	const char *text = e->param.conn.private_data;
	size_t len = e->param.conn.private_data_len;

	if (text && len && text[0] && memchr(text, '\0', len))
		return error_set(EPROTO, "rank %u at %s does not take rank %u: %s", rank,
				 peer->address, v->p.rank, text);
	return error_set(EHOSTDOWN,
			 "rank %u does not listen at %s any more (connection manager status %d)",
			 rank, peer->address, e->status);
}

static int unreachable(struct transport_verbs *v, struct verbs_peer *peer,
		       const struct rdma_cm_event *e)
{
	return error_set(EHOSTUNREACH,
			 "rank %u at %s cannot be reached by RDMA from %s (%s; %s, status %d): see "
			 "that both devices are of one network (ping -I %s), and choose by "
			 "DSM_RDMA_DEVICE",
			 (unsigned)(peer - v->peers), peer->address, v->device.addr_text,
			 v->device.name, rdma_event_str(e->event), e->status, v->device.interface);
}

static int on_event(struct transport_verbs *v, const struct rdma_cm_event *e, uint64_t deadline_ns)
{
	struct verbs_peer *peer = e->id->context;
	int timeout_ms = (int)((deadline_ns - clock_ns()) / 1000000u);

	if (e->event == RDMA_CM_EVENT_CONNECT_REQUEST)
		return on_request(v, e);
	if (!peer)
		return 0;
	if (peer == verbs_self(v)) {
		on_self_event(v, e);
		return 0;
	}
	switch (e->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (rdma_resolve_route(peer->id, timeout_ms > 0 ? timeout_ms : 1))
			return unreachable(v, peer, e);
		return 0;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		return on_resolved(v, peer);
	case RDMA_CM_EVENT_ESTABLISHED:
		return on_established(v, peer, e);
	case RDMA_CM_EVENT_REJECTED:
		return on_rejected(v, peer, e);
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
		return unreachable(v, peer, e);
	case RDMA_CM_EVENT_DISCONNECTED:
		return error_set(EHOSTDOWN, "rank %u at %s has ended", (unsigned)(peer - v->peers),
				 peer->address);
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		return error_set(EHOSTDOWN, "RDMA device %s was removed", v->device.name);
	default:
		return 0;
	}
}

static int timed_out(const struct transport_verbs *v)
{
	char list[128] = "";
	size_t len = 0;

	if (verbs_self(v)->address[0] && verbs_self(v)->state != VERBS_UP)
		len = (size_t)snprintf(list, sizeof(list), "itself");
	for (unsigned r = 0; r < v->p.size && len + 16 < sizeof(list); r++)
		if (v->peers[r].address[0] && v->peers[r].state != VERBS_UP)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%u at %.30s",
						len ? ", " : "", r, v->peers[r].address);
	return error_set(ETIMEDOUT,
			 "rank %u at %s is not connected by RDMA with %u of %u ranks by the "
			 "deadline (missing: %s): see whether these processes still run, and that "
			 "all devices are of one network (ping -I %s), and choose by "
			 "DSM_RDMA_DEVICE; or raise DSM_TIMEOUT_MS",
			 v->p.rank, v->device.addr_text, v->nmissing, v->npeers, list,
			 v->device.interface);
}

static int connect_loop(struct transport_verbs *v, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = v->events->fd, .events = POLLIN };
	struct rdma_cm_event *e;
	int rc = 0;

	while (!rc && v->nmissing) {
		uint64_t now_ns = clock_ns();

		if (now_ns >= deadline_ns)
			return timed_out(v);
		if (poll(&p, 1, (int)((deadline_ns - now_ns) / 1000000u) + 1) <= 0)
			continue;
		while (!rc && !rdma_get_cm_event(v->events, &e)) {
			rc = on_event(v, e, deadline_ns);
			rdma_ack_cm_event(e);
		}
	}
	return rc;
}

/* Read the peers' cards. */
static int note_peer(struct transport_verbs *v, unsigned rank, const struct verbs_card *card)
{
	struct verbs_peer *peer = &v->peers[rank];

	if (card->magic != WIRE_MAGIC || card->version != WIRE_VERSION)
		return error_set(EHOSTUNREACH,
				 "rank %u offers no RDMA (a device with an address, DSM_TRANSPORT "
				 "and a libdsm with libibverbs are needed there: dsm_info), so "
				 "rank %u on %.63s cannot reach it",
				 rank, v->p.rank, v->card.host);
	inet_ntop(card->family, card->addr, peer->address, sizeof(peer->address));
	return 0;
}

int verbs_connect(struct transport_verbs *v, const struct rankset *peers, const uint8_t *cards,
		  size_t stride, const char *token, uint64_t deadline_ns)
{
	struct verbs_card card;
	int rc = 0;

	verbs_hello_digest(v, token);
	v->npeers = v->nmissing = rankset_count(peers);
	v->connected = *peers;
	rankset_for_each (r, peers) {
		memcpy(&card, cards + r * stride, sizeof(card));
		rc = note_peer(v, r, &card);
		if (rc)
			return rc;
	}
	if (v->npeers)
		rc = verbs_memory_create(v);
	rankset_for_each (r, peers) {
		if (rc || r > v->p.rank)
			break;
		memcpy(&card, cards + r * stride, sizeof(card));
		rc = dial(v, r, &card, deadline_ns);
	}
	if (!rc && v->npeers)
		dial_self(v);
	if (!rc)
		rc = connect_loop(v, deadline_ns);
	if (!rc && verbs_self(v)->state == VERBS_UP)
		rankset_for_each (r, peers)
			if (v->peers[r].atomics)
				rankset_add(&v->adapters, r);
	return rc;
}
