/* SPDX-License-Identifier: MIT */
/*
 * libibverbs and librdmacm in this process, for one test program: it defines their functions, so
 * that the library's calls come here.
 *
 * Ranks are threads or turns of one thread; their memory is all in reach, so a work request is done
 * when it is posted, unless fake_hold() makes a connection keep them. Connections are made by
 * events as the real ones are. Its atomics are not atomic against a processor's. Two things are
 * never let pass: a message for which no receive is posted, and a fence.
 */
#ifndef FAKE_VERBS_H
#define FAKE_VERBS_H

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#undef ibv_reg_mr
#undef ibv_query_port

#define FAKE_CQ_MAX   4096
#define FAKE_RECV_MAX 128
#define FAKE_HELD_MAX 1024

struct fake_cq {
	struct ibv_cq cq;
	struct ibv_wc wc[FAKE_CQ_MAX];
	unsigned first, n;
	bool armed;
};

/* Events that are not taken, by queue, oldest first. */
struct fake_comp_channel {
	struct ibv_comp_channel channel;
	struct fake_cq *fired[2];
	unsigned nfired;
};

struct fake_held {
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	uint8_t inline_data[256];
};

struct fake_qp {
	struct ibv_qp qp;
	struct fake_qp *peer;
	struct fake_cq *cq; /* of sends */
	struct fake_cq *recv_cq;
	struct ibv_recv_wr recv[FAKE_RECV_MAX];
	struct ibv_sge recv_sge[FAKE_RECV_MAX];
	unsigned first, nrecv;
	bool error;
	bool hold;
	struct fake_held *held;
	unsigned nheld;
	enum ibv_wc_status fail; /* of the next request */
};

struct fake_event {
	struct rdma_cm_event e;
	uint8_t data[256];
	struct fake_event *next;
};

struct fake_channel {
	struct rdma_event_channel channel;
	struct fake_event *head;
};

struct fake_id {
	struct rdma_cm_id id;
	struct fake_qp *qp;
	struct fake_id *other; /* at the other end */
	uint16_t port;
	struct fake_id *next; /* listeners */
};

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_id *fake_listeners;
static uint16_t fake_port = 1000;
static enum ibv_atomic_cap fake_atomics = IBV_ATOMIC_HCA;
static unsigned fake_inline_max = 256;
static unsigned fake_mrs; /* registered now */
static unsigned fake_posted; /* requests, since the start */
static int fake_reg_errno;

/*
 * Queues
 */

static void fake_complete(struct fake_cq *cq, struct ibv_wc wc)
{
	struct fake_comp_channel *c = (struct fake_comp_channel *)cq->cq.channel;
	uint64_t one = 1;
	ssize_t n;

	if (cq->n == FAKE_CQ_MAX)
		abort();
	cq->wc[(cq->first + cq->n++) % FAKE_CQ_MAX] = wc;
	if (!cq->armed)
		return;
	cq->armed = false;
	if (c->nfired == 2)
		abort(); /* armed again before its event was taken */
	c->fired[c->nfired++] = cq;
	n = write(cq->cq.channel->fd, &one, sizeof(one));
	(void)n;
}

static enum ibv_wc_status fake_send(struct fake_qp *q, const struct ibv_send_wr *wr,
				    const void *data, unsigned len)
{
	struct fake_qp *to = q->peer;
	unsigned slot;

	if (!to || to->error)
		return IBV_WC_RETRY_EXC_ERR;
	if (!to->nrecv)
		abort(); /* receiver not ready: its credits forbid it */
	slot = to->first;
	to->first = (to->first + 1) % FAKE_RECV_MAX;
	to->nrecv--;
	if (len > to->recv_sge[slot].length)
		abort();
	if (len)
		memcpy((void *)(uintptr_t)to->recv_sge[slot].addr, data, len);
	fake_complete(to->recv_cq, (struct ibv_wc){ .wr_id = to->recv[slot].wr_id,
						    .opcode = IBV_WC_RECV,
						    .byte_len = len,
						    .imm_data = wr->imm_data,
						    .wc_flags = IBV_WC_WITH_IMM });
	return IBV_WC_SUCCESS;
}

/* One after another, under the lock, and nothing more. */
static uint64_t fake_atomic(const struct ibv_send_wr *wr)
{
	uint64_t *word = (uint64_t *)(uintptr_t)wr->wr.atomic.remote_addr;
	uint64_t before = __atomic_load_n(word, __ATOMIC_RELAXED), after = before;

	if (wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
		after += wr->wr.atomic.compare_add;
	else if (before == wr->wr.atomic.compare_add)
		after = wr->wr.atomic.swap;
	__atomic_store_n(word, after, __ATOMIC_RELAXED);
	return before;
}

static enum ibv_wc_status fake_do(struct fake_qp *q, const struct ibv_send_wr *wr)
{
	void *local = wr->num_sge ? (void *)(uintptr_t)wr->sg_list->addr : NULL;
	unsigned len = wr->num_sge ? wr->sg_list->length : 0;
	uint64_t before;

	if (wr->opcode == IBV_WR_SEND_WITH_IMM)
		return fake_send(q, wr, local, len);
	if (!q->peer || q->peer->error)
		return IBV_WC_RETRY_EXC_ERR;
	if (wr->opcode == IBV_WR_RDMA_READ) {
		memcpy(local, (void *)(uintptr_t)wr->wr.rdma.remote_addr, len);
	} else if (wr->opcode == IBV_WR_RDMA_WRITE) {
		memcpy((void *)(uintptr_t)wr->wr.rdma.remote_addr, local, len);
	} else if (wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ||
		   wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP) {
		before = fake_atomic(wr);
		memcpy(local, &before, sizeof(before));
	} else {
		abort();
	}
	return IBV_WC_SUCCESS;
}

/* It executes nothing any more, and gives back what it was to receive into. */
static void fake_break(struct fake_qp *q)
{
	q->error = true;
	for (; q->nrecv; q->nrecv--) {
		fake_complete(q->recv_cq, (struct ibv_wc){ .wr_id = q->recv[q->first].wr_id,
							   .status = IBV_WC_WR_FLUSH_ERR });
		q->first = (q->first + 1) % FAKE_RECV_MAX;
	}
}

static void fake_execute(struct fake_qp *q, const struct ibv_send_wr *wr)
{
	enum ibv_wc_status status = q->error ? IBV_WC_WR_FLUSH_ERR : IBV_WC_SUCCESS;

	if (!status && q->fail)
		status = q->fail;
	else if (!status)
		status = fake_do(q, wr);
	if (status || (wr->send_flags & IBV_SEND_SIGNALED))
		fake_complete(q->cq, (struct ibv_wc){ .wr_id = wr->wr_id, .status = status });
	if (status)
		fake_break(q);
}

static int fake_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct fake_qp *q = (struct fake_qp *)qp;

	(void)bad;
	pthread_mutex_lock(&fake_lock);
	for (; wr; wr = wr->next) {
		struct fake_held *h = &q->held[q->nheld];

		fake_posted++;
		if (wr->send_flags & IBV_SEND_FENCE)
			abort();
		if (!q->hold) {
			fake_execute(q, wr);
			continue;
		}
		if (q->nheld++ == FAKE_HELD_MAX)
			abort();
		h->wr = *wr;
		if (wr->num_sge)
			h->sge = *wr->sg_list;
		h->wr.sg_list = &h->sge;
		if (wr->send_flags & IBV_SEND_INLINE) {
			memcpy(h->inline_data, (void *)(uintptr_t)h->sge.addr, h->sge.length);
			h->sge.addr = (uintptr_t)h->inline_data;
		}
	}
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

static int fake_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct fake_qp *q = (struct fake_qp *)qp;
	unsigned slot;

	(void)bad;
	pthread_mutex_lock(&fake_lock);
	if (q->nrecv == FAKE_RECV_MAX)
		abort();
	slot = (q->first + q->nrecv++) % FAKE_RECV_MAX;
	q->recv[slot] = *wr;
	q->recv_sge[slot] = *wr->sg_list;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

static int fake_poll_cq(struct ibv_cq *cq, int max, struct ibv_wc *wc)
{
	struct fake_cq *c = (struct fake_cq *)cq;
	int n = 0;

	pthread_mutex_lock(&fake_lock);
	for (; n < max && c->n; n++, c->n--) {
		wc[n] = c->wc[c->first];
		c->first = (c->first + 1) % FAKE_CQ_MAX;
	}
	pthread_mutex_unlock(&fake_lock);
	return n;
}

static int fake_req_notify_cq(struct ibv_cq *cq, int solicited)
{
	(void)solicited;
	((struct fake_cq *)cq)->armed = true;
	return 0;
}

static struct ibv_device fake_device;
static struct ibv_context fake_context = { .device = &fake_device,
					   .ops = { .post_send = fake_post_send,
						    .post_recv = fake_post_recv,
						    .poll_cq = fake_poll_cq,
						    .req_notify_cq = fake_req_notify_cq } };

/* From now on the requests of this queue pair are kept; let them go, all. */
static inline void fake_hold(struct rdma_cm_id *id)
{
	((struct fake_id *)id)->qp->hold = true;
}

/* Of those that are kept, do the oldest. */
static inline void fake_step(struct rdma_cm_id *id)
{
	struct fake_qp *q = ((struct fake_id *)id)->qp;

	pthread_mutex_lock(&fake_lock);
	fake_execute(q, &q->held[0].wr);
	q->nheld--;
	for (unsigned i = 0; i < q->nheld; i++) {
		q->held[i] = q->held[i + 1];
		q->held[i].wr.sg_list = &q->held[i].sge;
		if (q->held[i].wr.send_flags & IBV_SEND_INLINE)
			q->held[i].sge.addr = (uintptr_t)q->held[i].inline_data;
	}
	pthread_mutex_unlock(&fake_lock);
}

static inline void fake_let_go(struct rdma_cm_id *id)
{
	struct fake_qp *q = ((struct fake_id *)id)->qp;

	pthread_mutex_lock(&fake_lock);
	for (unsigned i = 0; i < q->nheld; i++)
		fake_execute(q, &q->held[i].wr);
	q->nheld = 0;
	q->hold = false;
	pthread_mutex_unlock(&fake_lock);
}

/* The next request of this queue pair fails so. */
static inline void fake_fail(struct rdma_cm_id *id, enum ibv_wc_status status)
{
	((struct fake_id *)id)->qp->fail = status;
}

/* Its oldest receive fails so. */
static inline void fake_fail_receive(struct rdma_cm_id *id, enum ibv_wc_status status)
{
	struct fake_qp *q = ((struct fake_id *)id)->qp;

	pthread_mutex_lock(&fake_lock);
	fake_complete(q->recv_cq,
		      (struct ibv_wc){ .wr_id = q->recv[q->first].wr_id, .status = status });
	q->first = (q->first + 1) % FAKE_RECV_MAX;
	q->nrecv--;
	pthread_mutex_unlock(&fake_lock);
}

/*
 * libibverbs
 */

const char *ibv_get_device_name(struct ibv_device *device)
{
	(void)device;
	return "fake0";
}

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	(void)context;
	*attr = (struct ibv_device_attr){ .atomic_cap = fake_atomics,
					  .max_qp_wr = 1024,
					  .max_cqe = 65536,
					  .max_qp_rd_atom = 16,
					  .max_qp_init_rd_atom = 16 };
	return 0;
}

int ibv_query_port(struct ibv_context *context, uint8_t port, struct _compat_ibv_port_attr *compat)
{
	struct ibv_port_attr attr = { .state = IBV_PORT_ACTIVE,
				      .active_mtu = IBV_MTU_4096,
				      .link_layer = IBV_LINK_LAYER_ETHERNET };

	(void)context;
	(void)port;
	memcpy(compat, &attr, offsetof(struct ibv_port_attr, port_cap_flags2));
	return 0;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *pd = calloc(1, sizeof(*pd));

	pd->context = context;
	return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	free(pd);
	return 0;
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct ibv_mr *mr;

	(void)access;
	if (fake_reg_errno) {
		errno = fake_reg_errno;
		return NULL;
	}
	mr = calloc(1, sizeof(*mr));
	*mr = (struct ibv_mr){ .context = pd->context,
			       .pd = pd,
			       .addr = addr,
			       .length = length,
			       .lkey = 1,
			       .rkey = __atomic_add_fetch(&fake_mrs, 1, __ATOMIC_RELAXED) };
	return mr;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
				unsigned access)
{
	(void)iova;
	return ibv_reg_mr(pd, addr, length, (int)access);
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	__atomic_sub_fetch(&fake_mrs, 1, __ATOMIC_RELAXED);
	free(mr);
	return 0;
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct fake_comp_channel *c = calloc(1, sizeof(*c));

	c->channel.context = context;
	c->channel.fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	return &c->channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *c)
{
	close(c->fd);
	free(c);
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
			     struct ibv_comp_channel *channel, int vector)
{
	struct fake_cq *c = calloc(1, sizeof(*c));

	(void)cqe;
	(void)cq_context;
	(void)vector;
	c->cq.context = context;
	c->cq.channel = channel;
	return &c->cq;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
	free(cq);
	return 0;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **context)
{
	struct fake_comp_channel *c = (struct fake_comp_channel *)channel;
	uint64_t count;

	(void)context;
	if (read(channel->fd, &count, sizeof(count)) < 0)
		return -1;
	pthread_mutex_lock(&fake_lock);
	*cq = &c->fired[0]->cq;
	c->fired[0] = c->fired[1];
	c->nfired--;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned n)
{
	(void)cq;
	(void)n;
}

/*
 * librdmacm
 */

static struct sockaddr_in fake_addr = { .sin_family = AF_INET };
static struct ifaddrs fake_ifaddrs = { .ifa_name = (char *)"eth0",
				       .ifa_flags = IFF_UP,
				       .ifa_addr = (struct sockaddr *)&fake_addr };

int getifaddrs(struct ifaddrs **all)
{
	fake_addr.sin_addr.s_addr = htonl(0x0a000001);
	*all = &fake_ifaddrs;
	return 0;
}

void freeifaddrs(struct ifaddrs *all)
{
	(void)all;
}

struct rdma_event_channel *rdma_create_event_channel(void)
{
	struct fake_channel *c = calloc(1, sizeof(*c));

	c->channel.fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	return &c->channel;
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
	struct fake_channel *c = (struct fake_channel *)channel;
	struct fake_event *e;

	while ((e = c->head)) {
		c->head = e->next;
		if (e->e.event == RDMA_CM_EVENT_CONNECT_REQUEST)
			free(e->e.id); /* nobody has seen it */
		free(e);
	}
	close(channel->fd);
	free(channel);
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context,
		   enum rdma_port_space ps)
{
	struct fake_id *f = calloc(1, sizeof(*f));

	(void)ps;
	f->id.channel = channel;
	f->id.context = context;
	*id = &f->id;
	return 0;
}

static void fake_event(struct fake_id *to, enum rdma_cm_event_type type, struct fake_id *id,
		       const void *data, uint8_t len)
{
	struct fake_channel *c = (struct fake_channel *)to->id.channel;
	struct fake_event *e = calloc(1, sizeof(*e)), **last = &c->head;
	uint64_t one = 1;
	ssize_t n;

	e->e.id = &id->id;
	e->e.event = type;
	if (len)
		memcpy(e->data, data, len);
	e->e.param.conn.private_data = e->data;
	e->e.param.conn.private_data_len = len;
	e->e.param.conn.responder_resources = e->e.param.conn.initiator_depth = 16;
	while (*last)
		last = &(*last)->next;
	*last = e;
	n = write(c->channel.fd, &one, sizeof(one));
	(void)n;
}

/* The adapter is taken away: an event for each end that this channel has. */
static inline void fake_remove_device(struct rdma_cm_id *id)
{
	struct fake_id *f = (struct fake_id *)id;

	pthread_mutex_lock(&fake_lock);
	fake_event(f, RDMA_CM_EVENT_DEVICE_REMOVAL, f, NULL, 0);
	pthread_mutex_unlock(&fake_lock);
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
	struct fake_channel *c = (struct fake_channel *)channel;
	struct fake_event *e;
	uint64_t count;
	ssize_t n;

	pthread_mutex_lock(&fake_lock);
	e = c->head;
	if (e) {
		c->head = e->next;
		n = read(channel->fd, &count, sizeof(count));
		(void)n;
		*event = &e->e;
	}
	pthread_mutex_unlock(&fake_lock);
	return e ? 0 : -1;
}

int rdma_ack_cm_event(struct rdma_cm_event *event)
{
	free(event);
	return 0;
}

const char *rdma_event_str(enum rdma_cm_event_type event)
{
	(void)event;
	return "event";
}

int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr)
{
	(void)addr;
	id->verbs = &fake_context;
	id->port_num = 1;
	return 0;
}

int rdma_listen(struct rdma_cm_id *id, int backlog)
{
	struct fake_id *f = (struct fake_id *)id;

	(void)backlog;
	pthread_mutex_lock(&fake_lock);
	f->port = htons(++fake_port);
	f->next = fake_listeners;
	fake_listeners = f;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

__be16 rdma_get_src_port(struct rdma_cm_id *id)
{
	return ((struct fake_id *)id)->port;
}

int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *src, struct sockaddr *dst, int ms)
{
	struct fake_id *f = (struct fake_id *)id;

	(void)src;
	(void)ms;
	id->verbs = &fake_context;
	f->port = ((struct sockaddr_in *)dst)->sin_port;
	pthread_mutex_lock(&fake_lock);
	fake_event(f, RDMA_CM_EVENT_ADDR_RESOLVED, f, NULL, 0);
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int rdma_resolve_route(struct rdma_cm_id *id, int ms)
{
	struct fake_id *f = (struct fake_id *)id;

	(void)ms;
	pthread_mutex_lock(&fake_lock);
	fake_event(f, RDMA_CM_EVENT_ROUTE_RESOLVED, f, NULL, 0);
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct fake_qp *q;

	(void)pd;
	if (attr->cap.max_inline_data > fake_inline_max) {
		errno = EINVAL;
		return -1;
	}
	q = calloc(1, sizeof(*q));
	q->held = calloc(FAKE_HELD_MAX, sizeof(*q->held));
	q->cq = (struct fake_cq *)attr->send_cq;
	q->recv_cq = (struct fake_cq *)attr->recv_cq;
	q->qp.context = &fake_context;
	((struct fake_id *)id)->qp = q;
	id->qp = &q->qp;
	return 0;
}

void rdma_destroy_qp(struct rdma_cm_id *id)
{
	struct fake_qp *q = ((struct fake_id *)id)->qp;

	pthread_mutex_lock(&fake_lock);
	if (q->peer)
		q->peer->peer = NULL;
	pthread_mutex_unlock(&fake_lock);
	free(q->held);
	free(q);
	id->qp = NULL;
}

int rdma_set_option(struct rdma_cm_id *id, int level, int name, void *value, size_t len)
{
	(void)id;
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	return 0;
}

int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	struct fake_id *f = (struct fake_id *)id, *l, *accepted;

	pthread_mutex_lock(&fake_lock);
	for (l = fake_listeners; l && l->port != f->port;)
		l = l->next;
	if (l) {
		accepted = calloc(1, sizeof(*accepted));
		accepted->id.channel = l->id.channel;
		accepted->id.verbs = &fake_context;
		accepted->other = f;
		f->other = accepted;
		fake_event(l, RDMA_CM_EVENT_CONNECT_REQUEST, accepted, param->private_data,
			   param->private_data_len);
	} else {
		fake_event(f, RDMA_CM_EVENT_REJECTED, f, NULL, 0);
	}
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	struct fake_id *f = (struct fake_id *)id;

	pthread_mutex_lock(&fake_lock);
	f->qp->peer = f->other->qp;
	f->other->qp->peer = f->qp;
	fake_event(f->other, RDMA_CM_EVENT_ESTABLISHED, f->other, param->private_data,
		   param->private_data_len);
	fake_event(f, RDMA_CM_EVENT_ESTABLISHED, f, NULL, 0);
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int rdma_reject(struct rdma_cm_id *id, const void *data, uint8_t len)
{
	struct fake_id *f = (struct fake_id *)id;

	pthread_mutex_lock(&fake_lock);
	fake_event(f->other, RDMA_CM_EVENT_REJECTED, f->other, data, len);
	f->other->other = NULL;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int rdma_disconnect(struct rdma_cm_id *id)
{
	struct fake_id *f = (struct fake_id *)id;

	pthread_mutex_lock(&fake_lock);
	if (f->qp && !f->qp->error)
		fake_break(f->qp);
	if (f->other) {
		fake_event(f->other, RDMA_CM_EVENT_DISCONNECTED, f->other, NULL, 0);
		f->other->other = NULL;
		f->other = NULL;
	}
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
	struct fake_id *f = (struct fake_id *)id, **l;

	pthread_mutex_lock(&fake_lock);
	for (l = &fake_listeners; *l; l = &(*l)->next) {
		if (*l == f) {
			*l = f->next;
			break;
		}
	}
	if (f->other)
		f->other->other = NULL;
	pthread_mutex_unlock(&fake_lock);
	free(f);
	return 0;
}

#endif
