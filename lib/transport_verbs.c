/* SPDX-License-Identifier: MIT */
/*
 * The transport between hosts, by RDMA verbs: beginning and end. verbs_internal.h says how it is
 * made up.
 *
 * One device, chosen by verbs_device.c; one reliable connection to each peer, by librdmacm; two
 * completion queues for all. Memory is registered when there is a peer to reach it, so a rank that
 * turns out to have none pays for nothing but a listener.
 *
 * A rank that does remote atomics by adapter has a connection to itself too, for its own and for
 * those that it does for others (remote_atomic.h).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"
#include "verbs_internal.h"

/* Between two looks at a silent peer. */
#define BEAT_NS 1000000000ull

static int verbs_card_op(struct transport *t, uint8_t *card)
{
	struct transport_verbs *v = verbs_of(t);

	memset(card, 0, TRANSPORT_CARD_MAX);
	memcpy(card, &v->card, sizeof(v->card));
	return 0;
}

static int watch(struct transport_verbs *v, int fd)
{
	if (verbs_watch(v, fd))
		return error_set_sys(errno, "cannot watch a descriptor of an RDMA device");
	return 0;
}

static int verbs_connect_op(struct transport *t, const struct rankset *peers, const uint8_t *cards,
			    size_t stride, const char *token, uint64_t deadline_ns)
{
	struct transport_verbs *v = verbs_of(t);
	struct rankset others = { 0 };
	int rc;

	for (unsigned r = 0; r < v->p.size; r++)
		if (r != v->p.rank && (!peers || rankset_has(peers, r)))
			rankset_add(&others, r);
	rc = verbs_connect(v, &others, cards, stride, token, deadline_ns);
	/* Everybody is here: nobody else gets in. */
	rdma_destroy_id(v->listener);
	v->listener = NULL;
	if (!rc)
		rc = watch(v, v->events->fd);
	if (!rc && verbs_has_queues(v))
		rc = watch(v, v->arrived.channel->fd);
	v->base.ready = true;
	return rc;
}

static int verbs_expose_op(struct transport *t, uint64_t block, uint64_t len_bytes)
{
	return verbs_has_queues(verbs_of(t)) ? verbs_expose(t, block, len_bytes) : 0;
}

static void verbs_withdraw_op(struct transport *t, uint64_t first_block, uint64_t nblocks)
{
	if (verbs_has_queues(verbs_of(t)))
		verbs_withdraw(t, first_block, nblocks);
}

static int verbs_atomic(struct transport *t, unsigned rank, uint64_t offset, unsigned width,
			enum transport_atomic op, uint64_t operand, uint64_t expected,
			uint64_t *result)
{
	(void)t;
	(void)rank;
	(void)offset;
	(void)width;
	(void)op;
	(void)operand;
	(void)expected;
	(void)result;
	return -EOPNOTSUPP;
}

static bool verbs_addresses(struct transport *t, unsigned rank, const char **own, const char **peer)
{
	struct transport_verbs *v = verbs_of(t);

	*own = v->device.addr_text;
	*peer = v->peers[rank].address;
	return true;
}

static void destroy_id(struct rdma_cm_id *id)
{
	if (!id)
		return;
	if (id->qp)
		rdma_destroy_qp(id);
	rdma_destroy_id(id);
}

static void verbs_destroy(struct transport *t)
{
	struct transport_verbs *v = verbs_of(t);

	if (verbs_has_queues(v))
		verbs_leave(v);
	for (unsigned r = 0; r <= v->p.size; r++)
		destroy_id(v->peers[r].id);
	destroy_id(v->self_accepted);
	if (v->listener)
		rdma_destroy_id(v->listener);
	verbs_memory_destroy(v);
	if (v->events)
		rdma_destroy_event_channel(v->events);
	if (v->base.fd >= 0)
		close(v->base.fd);
	pool_fini(&v->op_pool);
	pool_fini(&v->queue_pool);
	pthread_mutex_destroy(&v->cq_lock);
	free(v->peers);
	free(v);
}

static const struct transport_ops verbs_ops = {
	.name = "verbs",
	.card = verbs_card_op,
	.connect = verbs_connect_op,
	.expose = verbs_expose_op,
	.withdraw = verbs_withdraw_op,
	.fetch = verbs_fetch,
	.expect = verbs_expect,
	.pushed = verbs_pushed,
	.push = verbs_push,
	.write = verbs_write,
	.atomic = verbs_atomic,
	.adapter_atomic = verbs_adapter_atomic,
	.send = verbs_send,
	.poll = verbs_poll,
	.pending = verbs_pending,
	.sleep = verbs_sleep,
	.lend = verbs_lend,
	.take_back = verbs_take_back,
	.addresses = verbs_addresses,
	.destroy = verbs_destroy,
};

static int choose_device(struct transport_verbs *v)
{
	struct verbs_device *list = calloc(VERBS_DEVICES_MAX, sizeof(*list));
	const char *wanted = v->p.settings->rdma_device;
	int numa = -1, best;
	char why[64];
	unsigned n;

	if (!list)
		return error_set(ENOMEM, "no memory for a list of RDMA devices");
	n = verbs_device_list(list, VERBS_DEVICES_MAX);
	/* libnuma too keeps memory for good. */
	if (n > 1)
		numa = verbs_device_numa_here();
	best = verbs_device_choose(list, n, wanted, numa, why, sizeof(why));
	if (best >= 0) {
		v->device = list[best];
		log_info("RDMA device %s port %u at %s (%s), %s, MTU %u, %u Gb/s, NUMA node %d, "
			 "atomics: %s; chosen since %s",
			 v->device.name, v->device.port, v->device.addr_text, v->device.interface,
			 v->device.ethernet ? "RoCE" : "InfiniBand", v->device.mtu_bytes,
			 v->device.speed, v->device.numa, v->device.atomics ? "yes" : "no", why);
	}
	for (unsigned i = 0; best >= 0 && i < n; i++)
		if ((int)i != best)
			log_debug("RDMA device %s port %u at %s not chosen: %s", list[i].name,
				  list[i].port, list[i].addr_text,
				  verbs_device_rejected(&list[i], &list[best], wanted, numa));
	free(list);
	return best < 0 ? best : 0;
}

static int init(struct transport_verbs *v)
{
	int rc = choose_device(v), flags;

	if (rc)
		return rc;
	v->base.fd = epoll_create1(EPOLL_CLOEXEC);
	if (v->base.fd < 0)
		return error_set_sys(errno, "cannot create an epoll descriptor");
	v->events = rdma_create_event_channel();
	if (!v->events)
		return error_set_sys(errno, "cannot open /dev/infiniband/rdma_cm (modprobe "
					    "rdma_ucm; is it readable?)");
	flags = fcntl(v->events->fd, F_GETFL);
	if (flags < 0 || fcntl(v->events->fd, F_SETFL, flags | O_NONBLOCK))
		return error_set_sys(errno, "cannot make an event channel non-blocking");
	return verbs_listen(v);
}

int transport_verbs_create(struct transport **t, const struct transport_params *p)
{
	struct transport_verbs *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return error_set(ENOMEM, "no memory for transport verbs");
	v->peers = calloc(p->size + 1, sizeof(*v->peers));
	if (!v->peers) {
		free(v);
		return error_set(ENOMEM, "no memory for %u peers", p->size);
	}
	for (unsigned r = 0; r <= p->size; r++) {
		CDS_INIT_LIST_HEAD(&v->peers[r].queue);
		CDS_INIT_LIST_HEAD(&v->peers[r].waiting);
		CDS_INIT_LIST_HEAD(&v->peers[r].flight);
	}
	CDS_INIT_LIST_HEAD(&v->done);
	pool_init(&v->op_pool, sizeof(struct verbs_op));
	pool_init(&v->queue_pool, sizeof(struct verbs_queued));
	pthread_mutex_init(&v->cq_lock, NULL);
	v->base.ops = &verbs_ops;
	v->base.fd = -1;
	v->p = *p;
	v->timeout_ns = p->settings->timeout_ms * 1000000u;
	v->beat_ns = v->timeout_ns / 8 < BEAT_NS ? v->timeout_ns / 8 : BEAT_NS;
	rc = init(v);
	if (rc) {
		verbs_destroy(&v->base);
		return rc;
	}
	*t = &v->base;
	return 0;
}
