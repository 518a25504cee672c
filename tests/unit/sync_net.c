/* SPDX-License-Identifier: MIT */
/*
 * See sync_net.h.
 */
#include "sync_net.h"

#include <errno.h>
#include <stdlib.h>

/* Not a kind: the news that the sender has died. */
#define MARK_DOWN 0xff

struct peer {
	struct net *net;
	unsigned rank;
};

uint32_t draw(struct net *net, uint32_t below)
{
	net->rng = net->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(((net->rng >> 32) * below) >> 32);
}

static void pipe_put(struct net *net, unsigned from, unsigned to, const struct msg *m)
{
	unsigned i = from * net->n + to;
	struct pipe *p = &net->pipe[i];

	if (p->head == p->tail)
		p->head = p->tail = 0;
	if (p->tail == p->room) {
		p->room = p->room ? 2 * p->room : 8;
		p->m = realloc(p->m, p->room * sizeof(*p->m));
		assert_non_null(p->m);
	}
	p->m[p->tail++] = *m;
	if (!p->listed && from != to) {
		p->listed = true;
		net->busy[net->nbusy++] = i;
	}
}

static void net_send(void *env, unsigned rank, const struct msg *m)
{
	struct peer *from = env;

	assert_true(rank < from->net->n);
	assert_int_equal(m->src, from->rank);
	assert_int_equal(m->slots, 1);
	assert_string_not_equal(msg_name(m->kind), "?");
	from->net->sent += rank != from->rank;
	if (from->net->alive[rank])
		pipe_put(from->net, from->rank, rank, m);
}

static void net_wake(void *env, struct sync_wait *w)
{
	struct peer *at = env;

	at->net->woken = w;
	at->net->nwoken++;
	if (at->net->on_wake)
		at->net->on_wake(at->net, w);
}

const struct sync_ops net_ops = { .send = net_send, .wake = net_wake };

struct net *net_create(unsigned n, uint64_t seed)
{
	struct net *net = calloc(1, sizeof(*net));

	assert_non_null(net);
	net->n = n;
	net->rng = seed;
	net->s = calloc(n, sizeof(*net->s));
	net->peer = calloc(n, sizeof(*net->peer));
	net->alive = calloc(n, sizeof(*net->alive));
	net->pipe = calloc((size_t)n * n, sizeof(*net->pipe));
	net->busy = calloc((size_t)n * n, sizeof(*net->busy));
	for (unsigned r = 0; r < n; r++) {
		net->peer[r] = (struct peer){ net, r };
		net->alive[r] = true;
		assert_int_equal(sync_create(&net->s[r], r, n, &net_ops, &net->peer[r]), 0);
	}
	return net;
}

void net_destroy(struct net *net)
{
	for (unsigned r = 0; r < net->n; r++)
		sync_destroy(net->s[r]);
	for (unsigned i = 0; i < net->n * net->n; i++)
		free(net->pipe[i].m);
	free(net->s);
	free(net->peer);
	free(net->alive);
	free(net->pipe);
	free(net->busy);
	free(net);
}

/* Deliver the oldest message of a pair; false: there is none. */
static bool net_take(struct net *net, unsigned from, unsigned to)
{
	struct pipe *p = &net->pipe[from * net->n + to];
	struct msg m;

	if (p->head == p->tail)
		return false;
	m = p->m[p->head++];
	if (!net->alive[to])
		return true;
	if (m.kind == MARK_DOWN) {
		sync_rank_down(net->s[to], from);
		return true;
	}
	if (net->on_deliver)
		net->on_deliver(net, to, &m);
	sync_message(net->s[to], &m);
	return true;
}

void net_self(struct net *net, unsigned rank)
{
	while (net_take(net, rank, rank))
		;
}

bool net_step_pair(struct net *net, unsigned from, unsigned to)
{
	bool some = net_take(net, from, to);

	net_self(net, to);
	return some;
}

bool net_step(struct net *net)
{
	while (net->nbusy) {
		unsigned at = draw(net, net->nbusy);
		unsigned i = net->busy[at];

		if (net_step_pair(net, i / net->n, i % net->n))
			return true;
		net->pipe[i].listed = false;
		net->busy[at] = net->busy[--net->nbusy];
	}
	return false;
}

void net_run(struct net *net)
{
	for (unsigned r = 0; r < net->n; r++)
		net_self(net, r);
	while (net_step(net))
		;
}

void net_kill(struct net *net, unsigned rank, bool lossy)
{
	struct msg mark = { .kind = MARK_DOWN };

	net->alive[rank] = false;
	for (unsigned to = 0; to < net->n; to++) {
		struct pipe *p = &net->pipe[rank * net->n + to];

		if (to == rank)
			continue;
		if (lossy && p->tail > p->head)
			p->tail -= draw(net, p->tail - p->head + 1);
		pipe_put(net, rank, to, &mark);
	}
}

uint64_t key_at(struct net *net, unsigned home, unsigned n)
{
	for (uint64_t key = 0x7e8000000000ull;; key += 64)
		if (sync_home(net->s[0], key) == home && !n--)
			return key;
}

struct net *setup(unsigned n)
{
	return net_create(n, 1);
}

void take(struct net *net, unsigned rank, uint64_t key)
{
	struct sync_wait w;
	int rc = sync_lock(net->s[rank], key, &w, false);

	if (rc == 1) {
		net_run(net);
		assert_int_equal(w.kind, WAIT_NONE);
		rc = w.result;
	}
	assert_int_equal(rc, 0);
}

void stand(struct net *net, unsigned rank, uint64_t key, struct sync_wait *w)
{
	assert_int_equal(sync_lock(net->s[rank], key, w, false), 1);
	net_run(net);
	assert_int_not_equal(w->kind, WAIT_NONE);
}

void drop(struct net *net, unsigned rank, uint64_t key)
{
	assert_int_equal(sync_unlock(net->s[rank], key), 0);
	net_run(net);
}

void assert_ended(const struct sync_wait *w, int result)
{
	assert_int_equal(w->kind, WAIT_NONE);
	assert_int_equal(w->result, result);
}

void assert_down(const struct sync_wait *w, unsigned blame)
{
	assert_ended(w, -EHOSTDOWN);
	assert_int_equal(w->blame, blame);
}
