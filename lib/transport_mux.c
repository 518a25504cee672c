/* SPDX-License-Identifier: MIT */
/*
 * The chooser: shared memory to ranks of the same host, RDMA to all others, behind one transport.
 *
 * Each rank shows how to reach it by both ways in one card; a pair of ranks takes shared memory if
 * both cards name the same running kernel and network namespace, else RDMA. Both ends see the same
 * two cards and so choose alike. All connections by shared memory are made before those by RDMA.
 *
 * What either way lacks is remembered as a sentence, and told only if a peer would have needed it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "shm_connect.h"
#include "transport.h"

/* Where each way's card lies in the card. The shm card is first, where transport shm alone has it.
 */
#define VERBS_CARD_AT 208u
static_assert(sizeof(struct shm_card) <= VERBS_CARD_AT, "the cards lie apart");

enum way { WAY_SHM, WAY_VERBS, WAYS };

struct transport_mux {
	struct transport base;
	unsigned rank;
	unsigned size;
	struct transport *way[WAYS]; /* NULL: not to be had, or not needed */
	struct transport *via[RANKS_MAX]; /* by rank; the own one too */
	char why[ERROR_TEXT_MAX]; /* there is no RDMA */
};

static struct transport_mux *mux_of(struct transport *t)
{
	return (struct transport_mux *)t;
}

static const size_t card_at[WAYS] = { 0, VERBS_CARD_AT };

static int mux_card(struct transport *t, uint8_t *card)
{
	struct transport_mux *m = mux_of(t);
	uint8_t own[TRANSPORT_CARD_MAX];
	int rc = 0;

	memset(card, 0, TRANSPORT_CARD_MAX);
	for (int i = 0; i < WAYS && rc == 0; i++) {
		if (!m->way[i])
			continue;
		rc = m->way[i]->ops->card(m->way[i], own);
		memcpy(card + card_at[i], own,
		       i == WAY_SHM ? VERBS_CARD_AT : TRANSPORT_CARD_MAX - VERBS_CARD_AT);
	}
	return rc;
}

/* Do both run where they see one another's memory? */
static bool share_memory(const struct shm_card *a, const struct shm_card *b)
{
	return a->magic == WIRE_MAGIC && b->magic == WIRE_MAGIC && a->boot_id[0] &&
	       !strncmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) &&
	       a->netns_dev == b->netns_dev && a->netns_ino == b->netns_ino;
}

/* Which ranks by which way. */
static int choose(struct transport_mux *m, const struct rankset *peers, const uint8_t *cards,
		  size_t stride, struct rankset set[WAYS])
{
	struct shm_card own, card;

	memcpy(&own, cards + m->rank * stride, sizeof(own));
	for (unsigned r = 0; r < m->size; r++) {
		enum way way = WAY_VERBS;

		memcpy(&card, cards + r * stride, sizeof(card));
		if (r == m->rank || (peers && !rankset_has(peers, r)))
			continue;
		if (m->way[WAY_SHM] && share_memory(&own, &card))
			way = WAY_SHM;
		if (!m->way[way])
			return error_set(EHOSTUNREACH,
					 "rank %u runs on %.63s, out of reach of shared memory, "
					 "and RDMA cannot be used here: %.300s",
					 r, card.host[0] ? card.host : "another host", m->why);
		m->via[r] = m->way[way];
		rankset_add(&set[way], r);
	}
	return 0;
}

/* A way that no peer takes goes; one that stays is the own rank's, for what needs no connection. */
static void keep_used(struct transport_mux *m, const struct rankset set[WAYS])
{
	for (int i = 0; i < WAYS; i++) {
		if (!m->way[i])
			continue;
		if (!rankset_empty(&set[i])) {
			m->via[m->rank] = m->way[i];
			continue;
		}
		m->way[i]->ops->destroy(m->way[i]);
		m->way[i] = NULL;
	}
}

static int watch(struct transport_mux *m)
{
	struct epoll_event ev = { .events = EPOLLIN };

	for (int i = 0; i < WAYS; i++)
		if (m->way[i] && epoll_ctl(m->base.fd, EPOLL_CTL_ADD, m->way[i]->fd, &ev))
			return error_set_sys(errno, "cannot watch transport %s",
					     m->way[i]->ops->name);
	return 0;
}

static int mux_connect(struct transport *t, const struct rankset *peers, const uint8_t *cards,
		       size_t stride, const char *token, uint64_t deadline_ns)
{
	struct transport_mux *m = mux_of(t);
	struct rankset set[WAYS] = { 0 };
	int rc = choose(m, peers, cards, stride, set);

	if (rc)
		return rc;
	for (int i = 0; i < WAYS && rc == 0; i++)
		if (m->way[i] && !rankset_empty(&set[i]))
			rc = m->way[i]->ops->connect(m->way[i], &set[i], cards + card_at[i], stride,
						     token, deadline_ns);
	if (rc)
		return rc;
	log_info("%u ranks by shared memory, %u by RDMA", rankset_count(&set[WAY_SHM]),
		 rankset_count(&set[WAY_VERBS]));
	keep_used(m, set);
	return watch(m);
}

static int mux_expose(struct transport *t, uint64_t block, uint64_t len_bytes)
{
	struct transport_mux *m = mux_of(t);
	int rc = 0;

	for (int i = 0; i < WAYS && rc == 0; i++)
		if (m->way[i] && m->way[i]->ops->expose)
			rc = m->way[i]->ops->expose(m->way[i], block, len_bytes);
	return rc;
}

static void mux_withdraw(struct transport *t, uint64_t first_block, uint64_t nblocks)
{
	struct transport_mux *m = mux_of(t);

	for (int i = 0; i < WAYS; i++)
		if (m->way[i] && m->way[i]->ops->withdraw)
			m->way[i]->ops->withdraw(m->way[i], first_block, nblocks);
}

/*
 * What is for one rank
 */

static struct transport *via(struct transport *t, unsigned rank)
{
	return mux_of(t)->via[rank];
}

static int mux_fetch(struct transport *t, struct transport_fetch *f)
{
	struct transport *w = via(t, f->rank);

	return w->ops->fetch(w, f);
}

static void mux_expect(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport *w = via(t, rank);

	if (w->ops->expect)
		w->ops->expect(w, rank, granule, len_bytes);
}

static const uint8_t *mux_pushed(struct transport *t, unsigned rank, uint64_t granule,
				 size_t len_bytes)
{
	struct transport *w = via(t, rank);

	return w->ops->pushed(w, rank, granule, len_bytes);
}

static int mux_push(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport *w = via(t, rank);

	return w->ops->push(w, rank, granule, len_bytes);
}

static uint8_t *mux_view(struct transport *t, unsigned rank)
{
	struct transport *w = via(t, rank);

	return w && w->ops->view ? w->ops->view(w, rank) : NULL;
}

static int mux_write(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport *w = via(t, rank);

	return w->ops->write(w, rank, granule, len_bytes);
}

static int mux_atomic(struct transport *t, unsigned rank, uint64_t offset, unsigned width,
		      enum transport_atomic op, uint64_t operand, uint64_t expected,
		      uint64_t *result)
{
	struct transport *w = via(t, rank);

	return w->ops->atomic(w, rank, offset, width, op, operand, expected, result);
}

/* The own rank's memory may be reached by both ways; the adapter is one of them only. */
static int mux_adapter_atomic(struct transport *t, struct transport_atomic_op *a)
{
	struct transport_mux *m = mux_of(t);
	struct transport *w = a->rank == m->rank ? m->way[WAY_VERBS] : via(t, a->rank);

	return w && w->ops->adapter_atomic ? w->ops->adapter_atomic(w, a) : -EAGAIN;
}

static int mux_send(struct transport *t, unsigned rank, const struct msg *msg)
{
	struct transport *w = via(t, rank);

	return w->ops->send(w, rank, msg);
}

static bool mux_addresses(struct transport *t, unsigned rank, const char **own, const char **peer)
{
	struct transport *w = via(t, rank);

	return w && w->ops->addresses && w->ops->addresses(w, rank, own, peer);
}

/*
 * What is for all
 */

static int mux_poll(struct transport *t, int budget)
{
	struct transport_mux *m = mux_of(t);
	int n = 0;

	for (int i = 0; i < WAYS; i++) {
		if (!m->way[i])
			continue;
		m->way[i]->ready |= t->ready;
		m->way[i]->end_ready |= t->end_ready;
		n += m->way[i]->ops->poll(m->way[i], budget);
	}
	t->ready = t->end_ready = false;
	return n;
}

static bool mux_pending(struct transport *t)
{
	struct transport_mux *m = mux_of(t);

	for (int i = 0; i < WAYS; i++)
		if (m->way[i] && m->way[i]->ops->pending(m->way[i]))
			return true;
	return false;
}

static void mux_sleep(struct transport *t, bool asleep)
{
	struct transport_mux *m = mux_of(t);

	for (int i = 0; i < WAYS; i++) {
		if (!m->way[i])
			continue;
		m->way[i]->drowsy = t->drowsy;
		m->way[i]->ops->sleep(m->way[i], asleep);
	}
	t->watching = asleep;
}

/* Over shared memory they end at once. */
static int mux_lend(struct transport *t)
{
	struct transport *w = mux_of(t)->way[WAY_VERBS];

	return w ? w->ops->lend(w) : -1;
}

static void mux_take_back(struct transport *t)
{
	struct transport *w = mux_of(t)->way[WAY_VERBS];

	if (w)
		w->ops->take_back(w);
}

static void mux_destroy(struct transport *t)
{
	struct transport_mux *m = mux_of(t);

	for (int i = 0; i < WAYS; i++)
		if (m->way[i])
			m->way[i]->ops->destroy(m->way[i]);
	if (m->base.fd >= 0)
		close(m->base.fd);
	free(m);
}

static const struct transport_ops mux_ops = {
	.name = "auto",
	.card = mux_card,
	.connect = mux_connect,
	.expose = mux_expose,
	.withdraw = mux_withdraw,
	.fetch = mux_fetch,
	.expect = mux_expect,
	.pushed = mux_pushed,
	.push = mux_push,
	.view = mux_view,
	.write = mux_write,
	.atomic = mux_atomic,
	.adapter_atomic = mux_adapter_atomic,
	.send = mux_send,
	.poll = mux_poll,
	.pending = mux_pending,
	.sleep = mux_sleep,
	.lend = mux_lend,
	.take_back = mux_take_back,
	.addresses = mux_addresses,
	.destroy = mux_destroy,
};

static int create_verbs(struct transport **t, const struct transport_params *p)
{
#ifdef HAVE_VERBS
	return transport_verbs_create(t, p);
#else
	(void)t;
	(void)p;
	return error_set(ENODEV, "this libdsm was built without libibverbs and librdmacm; install "
				 "libibverbs-dev and librdmacm-dev and build it again");
#endif
}

/* shm without verbs is fine as long as all ranks are on this host. */
static int create_ways(struct transport_mux *m, const struct transport_params *p)
{
	bool forced = p->settings->transport == TRANSPORT_VERBS;
	int rc = create_verbs(&m->way[WAY_VERBS], p);

	if (rc == 0) {
		snprintf(m->why, sizeof(m->why), "it could be");
	} else {
		snprintf(m->why, sizeof(m->why), "%s", error_text());
		if (forced)
			return rc;
		log_info("no RDMA: %s", m->why);
		error_clear();
	}
	return forced ? 0 : transport_shm_create(&m->way[WAY_SHM], p);
}

int transport_create(struct transport **t, const struct transport_params *p)
{
	struct transport_mux *m;
	int rc;

	if (p->settings->transport == TRANSPORT_SHM || p->size == 1)
		return transport_shm_create(t, p);
	m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(ENOMEM, "no memory for the transports");
	m->base.ops = &mux_ops;
	m->rank = p->rank;
	m->size = p->size;
	m->base.fd = epoll_create1(EPOLL_CLOEXEC);
	rc = m->base.fd < 0 ? error_set_sys(errno, "cannot create an epoll descriptor")
			    : create_ways(m, p);
	if (rc) {
		mux_destroy(&m->base);
		return rc;
	}
	for (int i = 0; i < WAYS; i++)
		if (m->way[i])
			m->way[i]->outer = &m->base;
	*t = &m->base;
	return 0;
}
