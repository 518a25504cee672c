/* SPDX-License-Identifier: MIT */
/*
 * Locks, semaphores, condition variables and barriers, all ranks in one process on a virtual
 * network: a first-in first-out queue for each pair of ranks, from which the test takes in any
 * order. A rank that is killed loses the end of what it sent, pair by pair; the news of its death
 * comes behind the rest.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "error.h"
#include "sync_internal.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

/* Not a kind: the news that the sender has died. */
#define MARK_DOWN 0xff

/*
 * The network
 */

struct pipe {
	struct msg *m;
	unsigned head, tail, room;
	bool listed; /* in net.busy */
};

struct peer {
	struct net *net;
	unsigned rank;
};

struct net {
	unsigned n;
	struct sync **s;
	struct peer *peer;
	bool *alive;
	struct pipe *pipe; /* from * n + to */
	unsigned *busy; /* indices of pipes that may hold something */
	unsigned nbusy;
	uint64_t rng;
	unsigned sent; /* to other ranks */
	struct sync_wait *woken;
	unsigned nwoken;
	void (*on_wake)(struct net *net, struct sync_wait *w);
	void (*on_deliver)(struct net *net, unsigned to, const struct msg *m);
	void *ctx;
};

static uint32_t draw(struct net *net, uint32_t below)
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

static const struct sync_ops net_ops = { .send = net_send, .wake = net_wake };

static struct net *net_create(unsigned n, uint64_t seed)
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

static void net_destroy(struct net *net)
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

/* The end of an event at a rank: what it sent to itself. */
static void net_self(struct net *net, unsigned rank)
{
	while (net_take(net, rank, rank))
		;
}

/* One message of one pair, with what it makes the receiver send to itself. */
static bool net_step_pair(struct net *net, unsigned from, unsigned to)
{
	bool some = net_take(net, from, to);

	net_self(net, to);
	return some;
}

/* One message of a random pair; false: all pipes are empty. */
static bool net_step(struct net *net)
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

static void net_run(struct net *net)
{
	for (unsigned r = 0; r < net->n; r++)
		net_self(net, r);
	while (net_step(net))
		;
}

/* Kill a rank: of each of its pipes the last messages are lost, or (all) none. */
static void net_kill(struct net *net, unsigned rank, bool lossy)
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

/* A key whose home is the rank, and the n-th such. */
static uint64_t key_at(struct net *net, unsigned home, unsigned n)
{
	for (uint64_t key = 0x7e8000000000ull;; key += 64)
		if (sync_home(net->s[0], key) == home && !n--)
			return key;
}

static struct net *setup(unsigned n)
{
	return net_create(n, 1);
}

/* Take a lock and let the network settle; it must succeed. */
static void take(struct net *net, unsigned rank, uint64_t key)
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

/* Let a thread of the rank wait for it. */
static void stand(struct net *net, unsigned rank, uint64_t key, struct sync_wait *w)
{
	assert_int_equal(sync_lock(net->s[rank], key, w, false), 1);
	net_run(net);
	assert_int_not_equal(w->kind, WAIT_NONE);
}

static void drop(struct net *net, unsigned rank, uint64_t key)
{
	assert_int_equal(sync_unlock(net->s[rank], key), 0);
	net_run(net);
}

static void assert_ended(const struct sync_wait *w, int result)
{
	assert_int_equal(w->kind, WAIT_NONE);
	assert_int_equal(w->result, result);
}

static void assert_down(const struct sync_wait *w, unsigned blame)
{
	assert_ended(w, -EHOSTDOWN);
	assert_int_equal(w->blame, blame);
}

/*
 * The common part
 */

static void sync_create__bad_size(void **state)
{
	struct sync *s;

	(void)state;
	assert_int_equal(sync_create(&s, 0, 0, &net_ops, NULL), -EINVAL);
	assert_int_equal(sync_create(&s, 0, RANKS_MAX + 1, &net_ops, NULL), -EINVAL);
	assert_int_equal(sync_create(&s, 3, 3, &net_ops, NULL), -EINVAL);
	assert_non_null(strstr(error_text(), "1 to 512"));
}

static void sync_home__spreads_neighbours(void **state)
{
	struct net *net = setup(7);
	unsigned count[7] = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 7000; i++)
		count[sync_home(net->s[0], 0x7e8000000000ull + i * 8)]++;
	for (unsigned r = 0; r < 7; r++)
		assert_in_range(count[r], 850, 1150);
	net_destroy(net);
}

static void object_get__many(void **state)
{
	struct net *net = setup(1);
	struct sync *s = net->s[0];
	unsigned n = RUNNING_ON_VALGRIND ? 3000 : 100000;
	unsigned longest = 0;

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(sync_lock(s, i * 4096, NULL, false), 0);
	for (uint64_t i = 0; i < n; i++) {
		unsigned chain = 1;

		for (struct object *o = object_find(s, i * 4096, OBJECT_LOCK); o; o = o->chain)
			chain++;
		if (chain > longest)
			longest = chain;
		assert_int_equal(sync_unlock(s, i * 4096), 0);
	}
	assert_int_equal(s->table.nobjects, n);
	assert_in_range(longest, 1, 16);
	net_destroy(net);
}

static void sync_message__nonsense_is_dropped(void **state)
{
	struct net *net = setup(4);
	unsigned n = RUNNING_ON_VALGRIND ? 20000 : 500000;
	struct sync_wait w[3];

	(void)state;
	net->on_wake = NULL;
	for (unsigned i = 0; i < n; i++) {
		struct msg m = { .kind = (uint8_t)draw(net, 256), .src = (uint16_t)draw(net, 6) };

		m.kind = i % 4 ? (uint8_t)(MSG_LOCK_GET + draw(net, MSG_KINDS - MSG_LOCK_GET))
			       : m.kind;
		m.flags = draw(net, 4);
		m.page = draw(net, 6);
		for (unsigned k = 0; k < 6; k++)
			m.word[k] = draw(net, 3) ? draw(net, 6) : (uint64_t)draw(net, ~0u) << 20;
		sync_message(net->s[0], &m);
		net_self(net, 0);
		if (i == n / 2)
			sync_rank_down(net->s[0], 9);
		if (i == 0) {
			sync_lock(net->s[0], 1, &w[0], false);
			sync_sem_wait(net->s[0], 2, &w[1], false);
			sync_barrier(net->s[0], &w[2], false);
		}
	}
	net_destroy(net);
}

/*
 * Locks
 */

static void sync_lock__home_asks_nobody(void **state)
{
	struct net *net = setup(4);

	(void)state;
	assert_int_equal(sync_lock(net->s[2], key_at(net, 2, 0), NULL, false), 0);
	assert_int_equal(sync_unlock(net->s[2], key_at(net, 2, 0)), 0);
	assert_int_equal(net->sent, 0);
	net_destroy(net);
}

static void sync_lock__again_asks_nobody(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 2, 0);
	unsigned sent;

	(void)state;
	take(net, 1, key);
	drop(net, 1, key);
	sent = net->sent;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(sync_lock(net->s[1], key, NULL, i & 1), 0);
		assert_int_equal(sync_unlock(net->s[1], key), 0);
	}
	assert_int_equal(net->sent, sent);
	net_destroy(net);
}

static void sync_lock__hand_over_is_one_hop(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_true(net_step_pair(net, 0, 1));
	assert_ended(&w, 0);
	net_run(net);
	assert_int_equal(sync_lock_holder(net->s[2], key), 1);
	assert_int_equal(sync_lock_holder(net->s[0], key), 1);
	net_destroy(net);
}

static void sync_lock__remote_goes_before_later_local(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait before, remote, after;

	(void)state;
	take(net, 0, key);
	stand(net, 0, key, &before);
	stand(net, 1, key, &remote);
	stand(net, 0, key, &after);
	drop(net, 0, key);
	assert_ended(&before, 0);
	drop(net, 0, key);
	assert_ended(&remote, 0);
	assert_int_not_equal(after.kind, WAIT_NONE);
	drop(net, 1, key);
	assert_ended(&after, 0);
	net_destroy(net);
}

static void sync_lock__try(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w, other;

	(void)state;
	take(net, 0, key);
	assert_int_equal(sync_lock(net->s[0], key, &w, true), -EBUSY);
	assert_int_equal(sync_lock(net->s[1], key, &w, true), 1);
	net_run(net);
	assert_ended(&w, -EBUSY);
	assert_int_equal(sync_lock_holder(net->s[1], key), 0);
	drop(net, 0, key);
	/* Merely cached at rank 0: two tries at once, one has it. */
	assert_int_equal(sync_lock(net->s[1], key, &w, true), 1);
	assert_int_equal(sync_lock(net->s[2], key, &other, true), 1);
	net_run(net);
	assert_int_equal(w.kind, WAIT_NONE);
	assert_int_equal(other.kind, WAIT_NONE);
	assert_true((w.result == 0 && other.result == -EBUSY) ||
		    (w.result == -EBUSY && other.result == 0));
	assert_int_equal(net->s[2]->entries.in_use, 0);
	net_destroy(net);
}

/* One thread is in line, whose turn the holder alone can tell: the answer comes all the same. */
static void sync_lock__try_behind_a_wait(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, try_w[2];

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sync_lock(net->s[2], key, &try_w[i], true), 1);
	net_run(net);
	assert_ended(&try_w[0], -EBUSY);
	assert_ended(&try_w[1], -EBUSY);
	drop(net, 0, key);
	assert_ended(&w, 0);
	net_destroy(net);
}

/* It had its turn, but the home does not know: the lock is free, a try has it. */
static void sync_lock__try_behind_a_wait_that_is_over(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, try_w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_true(net_step_pair(net, 0, 1));
	assert_ended(&w, 0);
	assert_int_equal(sync_unlock(net->s[1], key), 0);
	assert_int_equal(sync_lock(net->s[2], key, &try_w, true), 1);
	assert_true(net_step_pair(net, 2, 3)); /* before the news from rank 0 */
	net_run(net);
	assert_ended(&try_w, 0);
	net_destroy(net);
}

static void sync_unlock__not_held(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 1, 0);

	(void)state;
	assert_int_equal(sync_unlock(net->s[0], key), -EPERM);
	take(net, 1, key);
	assert_int_equal(sync_unlock(net->s[0], key), -EPERM);
	drop(net, 1, key);
	assert_int_equal(sync_unlock(net->s[1], key), -EPERM);
	net_destroy(net);
}

static void sync_lock__no_memory(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 1, 0), other = key_at(net, 1, 1);
	struct sync_wait w;

	(void)state;
	net->s[0]->objects_max = 0;
	assert_int_equal(sync_lock(net->s[0], key, &w, false), -ENOMEM);
	net->s[0]->objects_max = 10;
	net->s[1]->objects_max = 1;
	assert_int_equal(sync_lock(net->s[0], key, &w, false), 1);
	net_run(net);
	assert_ended(&w, -ENOMEM);
	net->s[1]->objects_max = 10;
	net->s[1]->entries_max = 0;
	assert_int_equal(sync_lock(net->s[0], other, &w, false), 1);
	net_run(net);
	assert_ended(&w, -ENOMEM);
	net->s[1]->entries_max = 10;
	take(net, 0, key);
	take(net, 0, other);
	net_destroy(net);
}

/*
 * Locks: giving up
 */

static void sync_cancel__local(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 0, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 0, key, &w);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	assert_ended(&w, -ETIMEDOUT);
	drop(net, 0, key);
	assert_int_equal(net->nwoken, 0);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	net_destroy(net);
}

static void sync_cancel__successor(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	net_run(net);
	assert_ended(&w, -ETIMEDOUT);
	assert_int_equal(sync_lock_holder(net->s[1], key), 0);
	drop(net, 0, key);
	assert_ended(&next, 0);
	net_destroy(net);
}

static void sync_cancel__grant_came_first(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_true(net_step_pair(net, 0, 3)); /* the home knows */
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	net_run(net);
	assert_ended(&w, 0);
	drop(net, 1, key);
	net_destroy(net);
}

static void sync_cancel__token_comes_later(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	while (net_step_pair(net, 1, 3)) /* the cancel overtakes the news */
		;
	while (net_step_pair(net, 3, 1))
		;
	assert_ended(&w, -ETIMEDOUT);
	net_run(net);
	assert_ended(&next, 0);
	assert_false(((struct lock *)object_find(net->s[1], key, OBJECT_LOCK))->held);
	net_destroy(net);
}

static void sync_cancel__home_does_not_answer(void **state)
{
	struct net *net = setup(4);
	uint64_t lock = key_at(net, 3, 0), sem = key_at(net, 3, 1);
	struct sync_wait w, v, next;

	(void)state;
	take(net, 0, lock);
	stand(net, 1, lock, &w);
	stand(net, 2, lock, &next);
	assert_int_equal(sync_sem_wait(net->s[1], sem, &v, false), 1);
	net_run(net);
	assert_int_equal(sync_unlock(net->s[0], lock), 0);
	assert_int_equal(sync_sem_post(net->s[3], sem, &next), 0);
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	assert_int_equal(sync_cancel(net->s[1], &w), 0);
	assert_int_equal(sync_cancel(net->s[1], &v), 1);
	assert_int_equal(sync_cancel(net->s[1], &v), 0);
	assert_ended(&w, -ETIMEDOUT);
	assert_ended(&v, -ETIMEDOUT);
	memset(&w, 0xee, sizeof(w));
	memset(&v, 0xee, sizeof(v));
	net_run(net);
	assert_ended(&next, 0);
	assert_int_equal(sync_sem_wait(net->s[3], sem, &v, true), 0);
	assert_int_equal(net->s[1]->objects.in_use, net->s[1]->table.nobjects);
	assert_int_equal(((struct lock *)object_find(net->s[1], lock, OBJECT_LOCK))->asked, 0);
	net_destroy(net);
}

/*
 * Locks: deaths
 */

static void sync_rank_down__holder(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, later;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	net_kill(net, 0, false);
	net_run(net);
	assert_down(&w, 0);
	assert_int_equal(sync_lock(net->s[1], key, &later, false), -EHOSTDOWN);
	assert_int_equal(later.blame, 0);
	assert_int_equal(sync_lock(net->s[2], key, &later, true), 1);
	net_run(net);
	assert_down(&later, 0);
	assert_int_equal(net->s[3]->entries.in_use, 0);
	net_destroy(net);
}

static void sync_rank_down__home(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait local, w, later;

	(void)state;
	take(net, 0, key);
	stand(net, 0, key, &local);
	stand(net, 1, key, &w);
	net_kill(net, 3, false);
	net_run(net);
	assert_down(&local, 3);
	assert_down(&w, 3);
	drop(net, 0, key);
	assert_int_equal(sync_lock(net->s[0], key, &later, false), -EHOSTDOWN);
	assert_int_equal(later.blame, 3);
	assert_int_equal(sync_lock(net->s[2], key, &later, false), -EHOSTDOWN);
	assert_int_equal(later.blame, 3);
	net_destroy(net);
}

static void sync_rank_down__successor(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	net_kill(net, 1, false);
	net_run(net);
	drop(net, 0, key);
	assert_ended(&next, 0);
	net_destroy(net);
}

/* The last successor: the holder keeps the lock, and may take it again. */
static void sync_rank_down__only_successor(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	net_kill(net, 1, false);
	while (net_step_pair(net, 1, 0)) /* the holder hears of it, the home does not */
		;
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	net_run(net);
	take(net, 0, key);
	drop(net, 0, key);
	take(net, 2, key);
	net_destroy(net);
}

static void sync_rank_down__grant_lost_with_its_sender(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	net->pipe[0 * 4 + 1].tail = net->pipe[0 * 4 + 1].head;
	net_kill(net, 0, false);
	net_run(net);
	assert_ended(&w, 0);
	drop(net, 1, key);
	take(net, 2, key);
	net_destroy(net);
}

static void sync_rank_down__handed_over_to_the_dead(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	net_kill(net, 1, false);
	while (net_step_pair(net, 1, 3)) /* the death overtakes the news of the hand-over */
		;
	net_run(net);
	assert_down(&next, 1);
	net_destroy(net);
}

/*
 * Semaphores
 */

static int sem_call(struct net *net, int rc, struct sync_wait *w)
{
	if (rc != 1)
		return rc;
	net_run(net);
	assert_int_equal(w->kind, WAIT_NONE);
	return w->result;
}

static void sync_sem__values(void **state)
{
	struct net *net = setup(3);
	struct sync_wait w;

	(void)state;
	for (unsigned r = 0; r < 3; r++) { /* r 2: at the home */
		struct sync *s = net->s[r];
		uint64_t key = key_at(net, 2, r);

		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, true), &w), -EAGAIN);
		assert_int_equal(sem_call(net, sync_sem_set(s, key, 2, &w), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, true), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, false), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, true), &w), -EAGAIN);
		assert_null(object_find(net->s[2], key, OBJECT_SEM));
		assert_int_equal(sem_call(net, sync_sem_set(s, key, 1u << 31, &w), &w), -EOVERFLOW);
		assert_int_equal(sem_call(net, sync_sem_set(s, key, INT32_MAX, &w), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_post(s, key, &w), &w), -EOVERFLOW);
		assert_int_equal(sem_call(net, sync_sem_set(s, key, 0, &w), &w), 0);
	}
	assert_int_equal(net->s[2]->objects.in_use, 0);
	net_destroy(net);
}

static void sync_sem__first_come_first_served(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w[4], v;

	(void)state;
	for (unsigned r = 0; r < 4; r++) {
		assert_int_equal(sync_sem_wait(net->s[r], key, &w[r], false), 1);
		net_run(net);
	}
	assert_int_equal(sem_call(net, sync_sem_set(net->s[0], key, 1, &v), &v), -EBUSY);
	assert_int_equal(sync_cancel(net->s[1], &w[1]), 1);
	net_run(net);
	assert_ended(&w[1], -ETIMEDOUT);
	net_kill(net, 3, false);
	net_run(net);
	for (unsigned r = 0; r < 4; r += 2) {
		assert_int_not_equal(w[r].kind, WAIT_NONE);
		assert_int_equal(sem_call(net, sync_sem_post(net->s[1], key, &v), &v), 0);
		assert_ended(&w[r], 0);
	}
	assert_int_equal(net->s[2]->objects.in_use, 0);
	assert_int_equal(net->s[2]->entries.in_use, 0);
	net_destroy(net);
}

static void sync_sem__home_down(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w, v;

	(void)state;
	assert_int_equal(sync_sem_wait(net->s[0], key, &w, false), 1);
	net_kill(net, 2, false);
	net_run(net);
	assert_down(&w, 2);
	assert_int_equal(sync_sem_post(net->s[1], key, &v), -EHOSTDOWN);
	assert_int_equal(v.blame, 2);
	net_destroy(net);
}

static void sync_sem__no_memory(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 1, 0);
	struct sync_wait w;

	(void)state;
	net->s[1]->objects_max = 0;
	assert_int_equal(sem_call(net, sync_sem_post(net->s[0], key, &w), &w), -ENOMEM);
	assert_int_equal(sem_call(net, sync_sem_wait(net->s[1], key, &w, false), &w), -ENOMEM);
	net->s[1]->objects_max = 1;
	net->s[1]->entries_max = 0;
	assert_int_equal(sem_call(net, sync_sem_wait(net->s[0], key, &w, false), &w), -ENOMEM);
	assert_int_equal(net->s[1]->objects.in_use, 0);
	net_destroy(net);
}

/*
 * Condition variables
 */

/* Signal, and let the network settle. */
static void signal_one(struct net *net, unsigned rank, uint64_t cond, bool all)
{
	struct sync_wait w;

	if (sync_cond_signal(net->s[rank], cond, all, &w) == 1) {
		net_run(net);
		assert_ended(&w, 0);
	}
	net_run(net);
}

static void sync_cond__lock_is_held_until_queued(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 2, 1);
	struct sync_wait w, v;

	(void)state;
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), -EPERM);
	take(net, 0, lock);
	stand(net, 1, lock, &v);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	assert_true(net_step_pair(net, 0, 3));
	assert_int_not_equal(v.kind, WAIT_NONE);
	assert_true(net_step_pair(net, 3, 0));
	net_run(net);
	assert_ended(&v, 0);
	signal_one(net, 1, cond, false);
	assert_ended(&w, 0);
	assert_int_equal(net->s[3]->objects.in_use, 0);
	net_destroy(net);
}

static void sync_cond__signal_and_broadcast(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 2, 1);
	struct sync_wait w[4];

	(void)state;
	for (unsigned r = 0; r < 4; r++) {
		take(net, r, lock);
		assert_int_equal(sync_cond_wait(net->s[r], cond, lock, &w[r]), 1);
		net_run(net);
	}
	signal_one(net, 3, cond, false);
	assert_ended(&w[0], 0);
	assert_int_equal(w[1].kind, WAIT_COND);
	assert_int_equal(sync_cancel(net->s[2], &w[2]), 1);
	net_run(net);
	assert_ended(&w[2], -ETIMEDOUT);
	signal_one(net, 0, cond, true);
	assert_ended(&w[1], 0);
	assert_ended(&w[3], 0);
	signal_one(net, 0, cond, false);
	assert_int_equal(net->s[3]->entries.in_use, 0);
	net_destroy(net);
}

/* A signal that is delayed on its way: the call has not returned, so that nothing that comes after
 * it, by whatever way, overtakes it. */
static void sync_cond__signal_is_done_on_return(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 0, 0);
	struct sync_wait signal, w;

	(void)state;
	for (unsigned all = 0; all < 2; all++) {
		int rc = sync_cond_signal(net->s[1], cond, all, &signal);

		while (rc == 1 && signal.kind != WAIT_NONE)
			assert_true(net_step(net));
		/* Only now, and elsewhere; and what the wait sends is the first to arrive. */
		take(net, 0, lock);
		assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
		assert_true(net_step_pair(net, 0, 3));
		net_run(net);
		assert_int_equal(w.kind, WAIT_COND);
		assert_int_equal(sync_cancel(net->s[0], &w), 1);
		net_run(net);
		assert_ended(&w, -ETIMEDOUT);
	}
	net_destroy(net);
}

/* A signal whose home dies, or does not answer. */
static void sync_cond__signal_unanswered(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	assert_int_equal(sync_cond_signal(net->s[0], cond, false, &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	assert_ended(&w, -ETIMEDOUT);
	net_run(net); /* the answer finds nobody */
	assert_int_equal(sync_cond_signal(net->s[0], cond, true, &w), 1);
	net_kill(net, 3, false);
	net_run(net);
	assert_down(&w, 3);
	assert_int_equal(net->s[0]->objects.in_use, 0);
	net_destroy(net);
}

/* However the wait ends, the lock is free then. */
static void sync_cond__lock_is_released_on_failure(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 2, 1);
	struct sync_wait w;

	(void)state;
	net->s[3]->objects_max = 0;
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	net_run(net);
	assert_ended(&w, -ENOMEM);
	net->s[3]->objects_max = 1;
	take(net, 3, lock);
	assert_int_equal(sync_cond_wait(net->s[3], cond, lock, &w), -ENOMEM);
	net->s[3]->objects_max = 10;
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	net_run(net);
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	net_kill(net, 3, true);
	net_run(net);
	assert_down(&w, 3);
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), -EHOSTDOWN);
	assert_int_equal(sync_cond_signal(net->s[0], cond, false, &w), -EHOSTDOWN);
	assert_int_equal(w.blame, 3);
	take(net, 1, lock);
	net_destroy(net);
}

/*
 * Barriers
 */

static void barrier_round(struct net *net, struct sync_wait *w, unsigned n, bool leave)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned r = (i * 7 + 3) % n; /* n is no multiple of 7 */
		int rc;

		w[r].kind = WAIT_NONE;
		for (unsigned k = draw(net, 4); k; k--)
			net_step(net);
		rc = sync_barrier(net->s[r], &w[r], leave);
		w[r].result = rc == 1 ? w[r].result : rc;
		if (rc == 0) /* only the last one may find all the others there */
			assert_int_equal(i + 1, n);
		else
			assert_int_equal(rc, 1);
		if (i + 1 < n)
			for (unsigned k = 0; k <= i; k++)
				assert_int_not_equal(w[(k * 7 + 3) % n].kind, WAIT_NONE);
	}
	net_run(net);
	for (unsigned r = 0; r < n; r++)
		assert_ended(&w[r], 0);
}

static void sync_barrier__sizes(void **state)
{
	static const unsigned sizes[] = { 1, 2, 3, 4, 5, 8, 9, 13, 64, 100, 512 };
	struct sync_wait w[512];

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct net *net;

		if (RUNNING_ON_VALGRIND && sizes[i] > 64)
			continue;
		net = setup(sizes[i]);
		for (unsigned round = 0; round < 3; round++)
			barrier_round(net, w, sizes[i], false);
		barrier_round(net, w, sizes[i], true);
		assert_int_equal(net->sent, 4 * sizes[i] * net->s[0]->rounds);
		net_destroy(net);
	}
}

static void sync_barrier__busy(void **state)
{
	struct net *net = setup(2);
	struct sync_wait w, v;

	(void)state;
	assert_int_equal(sync_barrier(net->s[0], &w, false), 1);
	assert_int_equal(sync_barrier(net->s[0], &v, false), -EBUSY);
	net_destroy(net);
}

static void sync_barrier__resumed_after_time_out(void **state)
{
	struct net *net = setup(3);
	struct sync_wait w[3];

	(void)state;
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 1);
	assert_int_equal(sync_cancel(net->s[0], &w[0]), 0);
	assert_ended(&w[0], -ETIMEDOUT);
	assert_int_equal(sync_barrier(net->s[1], &w[1], false), 1);
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 1);
	assert_int_equal(sync_cancel(net->s[0], &w[0]), 0);
	assert_int_equal(sync_barrier(net->s[2], &w[2], false), 1);
	net_run(net);
	assert_ended(&w[1], 0);
	assert_ended(&w[2], 0);
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 0);
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 1);
	net_destroy(net);
}

static void sync_barrier__rank_down(void **state)
{
	struct net *net = setup(5);
	struct sync_wait w[5];

	(void)state;
	for (unsigned r = 0; r < 3; r++)
		assert_int_equal(sync_barrier(net->s[r], &w[r], false), 1);
	net_kill(net, 4, false);
	net_run(net);
	for (unsigned r = 0; r < 3; r++)
		assert_down(&w[r], 4);
	assert_int_equal(sync_barrier(net->s[3], &w[3], false), -EHOSTDOWN);
	assert_int_equal(w[3].blame, 4);
	net_destroy(net);
}

/* Whatever a rank's end overtakes: it left, so the others leave. */
static void sync_barrier__left_is_not_dead(void **state)
{
	struct sync_wait w[7];

	(void)state;
	for (unsigned seed = 0; seed < 100; seed++) {
		struct net *net = net_create(7, seed);

		for (unsigned r = 0; r < 7; r++)
			assert_int_equal(sync_barrier(net->s[r], &w[r], true), 1);
		while (net_step(net))
			for (unsigned r = 0; r < 7; r++)
				if (net->alive[r] && w[r].kind == WAIT_NONE)
					net_kill(net, r, false);
		for (unsigned r = 0; r < 7; r++)
			assert_ended(&w[r], 0);
		net_destroy(net);
	}
}

/*
 * One that dies before it has left: all others come to an end, whenever they came; with success
 * only if it had come, and had told of it.
 */
static void sync_barrier__dead_before_it_left(void **state)
{
	struct sync_wait w[7];

	(void)state;
	for (unsigned seed = 0; seed < 200; seed++) {
		struct net *net = net_create(7, seed);
		unsigned dead = seed % 7, when = draw(net, 30);
		int rc[7];

		for (unsigned i = 0; i < 7; i++) {
			unsigned r = (dead + i) % 7;

			rc[r] = 1;
			if (r == dead && seed & 1)
				continue;
			if (i < 6) /* the last comes after the death */
				rc[r] = sync_barrier(net->s[r], &w[r], true);
		}
		for (; when && net_step(net); when--)
			;
		net_kill(net, dead, true);
		for (when = draw(net, 10); when && net_step(net); when--)
			;
		rc[(dead + 6) % 7] = sync_barrier(net->s[(dead + 6) % 7], &w[(dead + 6) % 7], true);
		net_run(net);
		for (unsigned r = 0; r < 7; r++) {
			if (r == dead)
				continue;
			if (rc[r] == 1) {
				assert_int_equal(w[r].kind, WAIT_NONE);
				rc[r] = w[r].result;
			}
			if (!(seed & 1) && rc[r] == 0)
				continue;
			assert_int_equal(rc[r], -EHOSTDOWN);
			assert_int_equal(w[r].blame, dead);
		}
		net_destroy(net);
	}
}

/*
 * Random programs: every rank has threads that lock, try, wait with a time limit, post, signal and
 * meet at barriers, with every interleaving of messages and with deaths. The model below is what a
 * program could see; each check is made when it could first fail.
 */

#define THREADS 3u /* of a rank; the first one goes to barriers, too */
#define KEYS    3u

#define NO_SEED (~0ull)

/* Of the random program that runs; printed when it fails. SYNC_TEST_SEED runs
 * one alone, SYNC_TEST_RUNS so many. */
static uint64_t current_seed = NO_SEED;

enum op {
	OP_IDLE,
	OP_LOCK,
	OP_TRY,
	OP_SEM_WAIT,
	OP_SEM_TRY,
	OP_SEM_POST,
	OP_COND,
	OP_SIGNAL,
	OP_BARRIER
};

struct thread {
	struct sync_wait w;
	unsigned rank;
	enum op op;
	unsigned key; /* index of the object */
	int holds; /* index of the lock held, or -1 */
	bool cancelled;
	bool saw_taken; /* a try: the lock was taken or claimed at some time since it began */
	uint64_t arrived; /* at the lock's home, 0: never */
	uint64_t signals; /* model.signals when the wait on a condition began */
};

struct model {
	struct net *net;
	struct thread *thread;
	unsigned nthreads;
	bool deaths, cancels;
	unsigned ndead;
	uint64_t lock[KEYS], sem[KEYS], cond[KEYS];
	struct thread *owner[KEYS];
	bool owner_died[KEYS];
	uint64_t arrivals[KEYS], granted[KEYS];
	int64_t units[KEYS];
	uint64_t signals[KEYS]; /* and broadcasts, to cond[k] */
	int64_t sleeping[KEYS]; /* waits on cond[k] that nobody signalled */
	bool abandoned[KEYS]; /* a wait for lock[k]: it stands in the queue for a while */
	uint64_t grants, timeouts, busy, downs;
};

static bool claims_lock(const struct thread *t, unsigned k)
{
	return t->op == OP_LOCK && t->key == k;
}

/* A try that is under way now has an excuse. */
static void model_taken(struct model *m, unsigned k)
{
	for (unsigned i = 0; i < m->nthreads; i++)
		if (m->thread[i].op == OP_TRY && m->thread[i].key == k)
			m->thread[i].saw_taken = true;
}

static bool model_is_taken(struct model *m, unsigned k)
{
	bool taken = m->owner[k];

	for (unsigned i = 0; i < m->nthreads; i++)
		taken |= claims_lock(&m->thread[i], k);
	return taken;
}

static void model_own(struct model *m, struct thread *t)
{
	struct thread *o = m->owner[t->key];

	/* A thread in a condition's wait has let go once it is known to be queued. */
	assert_false(m->owner_died[t->key]);
	if (o)
		assert_true(o->op == OP_COND && o->w.kind != WAIT_COND_ENTERING);
	if (t->arrived) {
		assert_true(t->arrived > m->granted[t->key]);
		m->granted[t->key] = t->arrived;
	}
	m->owner[t->key] = t;
	t->holds = (int)t->key;
	model_taken(m, t->key);
	m->grants++;
}

static void model_barrier_passed(struct model *m, struct thread *t)
{
	uint64_t epoch = m->net->s[t->rank]->barrier.epoch;

	for (unsigned r = 0; r < m->net->n; r++) {
		const struct barrier *b = &m->net->s[r]->barrier;

		/* A barrier that failed forgets whether this rank had come. */
		if (b->blame == WIRE_NO_RANK)
			assert_true(b->epoch + b->active >= epoch);
	}
}

static void model_failed(struct model *m, struct thread *t, int result)
{
	switch (result) {
	case -EHOSTDOWN:
		assert_true(t->w.blame < m->net->n);
		assert_false(m->net->alive[t->w.blame]);
		m->downs++;
		break;
	case -ETIMEDOUT:
		assert_true(t->cancelled);
		m->timeouts++;
		break;
	case -EBUSY:
		assert_int_equal(t->op, OP_TRY);
		if (!m->deaths && !m->abandoned[t->key])
			assert_true(t->saw_taken);
		m->busy++;
		break;
	default:
		assert_int_equal(result, -EAGAIN);
		assert_int_equal(t->op, OP_SEM_TRY);
	}
}

/* A thread's call has come to its end. */
static void model_ended(struct model *m, struct thread *t, int result)
{
	enum op op = t->op;

	assert_true(m->net->alive[t->rank]);
	assert_int_not_equal(op, OP_IDLE);
	if (op == OP_COND && m->owner[t->key] == t)
		m->owner[t->key] = NULL;
	if (result)
		model_failed(m, t, result);
	else if (op == OP_LOCK || op == OP_TRY)
		model_own(m, t);
	else if (op == OP_SEM_WAIT || op == OP_SEM_TRY)
		m->units[t->key]--;
	else if (op == OP_SEM_POST)
		m->units[t->key]++;
	else if (op == OP_BARRIER)
		model_barrier_passed(m, t);
	else if (op == OP_COND && !m->cancels && !m->deaths)
		assert_true(m->signals[t->key] > t->signals); /* not by one of before */
	t->op = OP_IDLE;
}

static void model_wake(struct net *net, struct sync_wait *w)
{
	struct thread *t = caa_container_of(w, struct thread, w);

	model_ended(net->ctx, t, w->result);
}

/* Note the order in which requests arrive at the lock's home. */
static void model_deliver(struct net *net, unsigned to, const struct msg *msg)
{
	struct model *m = net->ctx;

	(void)to;
	if (msg->kind != MSG_LOCK_GET)
		return;
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (t->rank == msg->src && t->w.id == msg->word[0] &&
		    (t->op == OP_LOCK || t->op == OP_TRY))
			t->arrived = ++m->arrivals[t->key];
	}
}

static void thread_begin(struct thread *t, enum op op, unsigned key)
{
	t->op = op;
	t->key = key;
	t->cancelled = false;
	t->saw_taken = false;
	t->arrived = 0;
	t->w.kind = WAIT_NONE;
	t->w.id = 0;
}

static void thread_lock(struct model *m, struct thread *t, unsigned k, bool try_only)
{
	bool taken = model_is_taken(m, k);
	int rc;

	thread_begin(t, try_only ? OP_TRY : OP_LOCK, k);
	t->saw_taken = taken;
	if (!try_only)
		model_taken(m, k);
	rc = sync_lock(m->net->s[t->rank], m->lock[k], &t->w, try_only);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_sem(struct model *m, struct thread *t, enum op op, unsigned k)
{
	struct sync *s = m->net->s[t->rank];
	int rc;

	thread_begin(t, op, k);
	if (op == OP_SEM_POST)
		rc = sync_sem_post(s, m->sem[k], &t->w);
	else
		rc = sync_sem_wait(s, m->sem[k], &t->w, op == OP_SEM_TRY);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_barrier(struct model *m, struct thread *t)
{
	int rc;

	thread_begin(t, OP_BARRIER, 0);
	rc = sync_barrier(m->net->s[t->rank], &t->w, false);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_idle(struct model *m, struct thread *t)
{
	unsigned k = draw(m->net, KEYS);

	switch (draw(m->net, 12)) {
	case 0:
		thread_sem(m, t, OP_SEM_WAIT, k);
		break;
	case 1:
		thread_sem(m, t, OP_SEM_TRY, k);
		break;
	case 2:
	case 3:
		thread_sem(m, t, OP_SEM_POST, k);
		break;
	case 4:
	case 5:
		if ((t - m->thread) % THREADS == 0)
			thread_barrier(m, t);
		break;
	case 6:
	case 7:
		thread_lock(m, t, k, true);
		break;
	default:
		thread_lock(m, t, k, false);
	}
}

static void thread_cond_wait(struct model *m, struct thread *t, unsigned k)
{
	int rc;

	thread_begin(t, OP_COND, k);
	t->holds = -1;
	m->sleeping[k]++;
	t->signals = m->signals[k];
	rc = sync_cond_wait(m->net->s[t->rank], m->cond[k], m->lock[k], &t->w);
	if (rc != 1)
		model_ended(m, t, rc);
}

/* The lock is held until the signal is done, so no other thread begins to wait meanwhile. */
static void thread_signal(struct model *m, struct thread *t, unsigned k, bool all)
{
	int rc;

	thread_begin(t, OP_SIGNAL, k);
	m->signals[k]++;
	m->sleeping[k] = all ? 0 : m->sleeping[k] - 1;
	rc = sync_cond_signal(m->net->s[t->rank], m->cond[k], all, &t->w);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_holds(struct model *m, struct thread *t, bool more)
{
	struct sync *s = m->net->s[t->rank];
	unsigned k = (unsigned)t->holds, what = draw(m->net, 8);

	if (more && what == 0) {
		thread_cond_wait(m, t, k);
		return;
	}
	if (m->sleeping[k] > 0 && what < 4) {
		thread_signal(m, t, k, what == 1);
		return;
	}
	t->holds = -1;
	m->owner[k] = NULL;
	assert_int_equal(sync_unlock(s, m->lock[k]), 0);
}

static void thread_cancel(struct model *m, struct thread *t)
{
	bool posted = t->op == OP_SEM_POST && t->cancelled;

	t->cancelled = true;
	if (sync_cancel(m->net->s[t->rank], &t->w) == 1)
		return;
	if (posted)
		m->units[t->key]++;
	if (t->op == OP_LOCK && t->w.id)
		m->abandoned[t->key] = true;
	model_ended(m, t, t->w.result);
	memset(&t->w, 0xee, sizeof(t->w));
}

static void model_step_thread(struct model *m)
{
	struct thread *t = &m->thread[draw(m->net, m->nthreads)];

	if (!m->net->alive[t->rank])
		return;
	if (t->op != OP_IDLE) {
		if (m->cancels && !draw(m->net, t->cancelled ? 60 : 12))
			thread_cancel(m, t);
	} else if (t->holds >= 0) {
		thread_holds(m, t, true);
	} else {
		thread_idle(m, t);
	}
	net_self(m->net, t->rank);
}

static void model_kill(struct model *m)
{
	unsigned rank = draw(m->net, m->net->n);

	if (!m->net->alive[rank] || m->ndead + 1 >= m->net->n)
		return;
	m->ndead++;
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (t->rank == rank && t->holds >= 0)
			m->owner_died[t->holds] = true;
		if (t->rank == rank && m->owner[t->key] == t)
			m->owner[t->key] = NULL;
		if (t->rank == rank)
			t->op = OP_IDLE;
	}
	net_kill(m->net, rank, true);
}

/* No more calls but unlocks: everything that depends on these alone ends. */
static void model_drain(struct model *m)
{
	bool some;

	do {
		some = false;
		net_run(m->net);
		for (unsigned i = 0; i < m->nthreads; i++) {
			struct thread *t = &m->thread[i];

			if (!m->net->alive[t->rank] || t->holds < 0)
				continue;
			thread_holds(m, t, false);
			some = true;
		}
	} while (some);
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (m->net->alive[t->rank])
			assert_true(t->op == OP_IDLE || t->op == OP_SEM_WAIT || t->op == OP_COND ||
				    t->op == OP_BARRIER);
	}
}

/* A signal that found a sleeper woke one, no more and no less; a broadcast all that slept then. */
static void model_check_sleepers(struct model *m)
{
	for (unsigned k = 0; k < KEYS; k++) {
		int64_t n = 0;

		for (unsigned i = 0; i < m->nthreads; i++)
			n += m->thread[i].op == OP_COND && m->thread[i].key == k;
		assert_int_equal(n, m->sleeping[k]);
	}
}

/* What still waits for a post, a signal or a barrier: it can give up. */
static void model_give_up(struct model *m)
{
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (!m->net->alive[t->rank] || t->op == OP_IDLE)
			continue;
		if (!t->cancelled)
			thread_cancel(m, t);
		net_run(m->net);
		assert_int_equal(t->op, OP_IDLE);
	}
	for (unsigned i = 0; i < m->nthreads; i++)
		assert_true(!m->net->alive[m->thread[i].rank] || m->thread[i].holds < 0);
}

static void model_check_units(struct model *m, unsigned k)
{
	struct sync *home = m->net->s[sync_home(m->net->s[0], m->sem[k])];
	struct queue *q = (struct queue *)object_find(home, m->sem[k], OBJECT_SEM);

	assert_int_equal(q ? q->value : 0, m->units[k]);
}

static void model_check_token(struct model *m, unsigned k)
{
	unsigned tokens = 0, used = 0;

	for (unsigned r = 0; r < m->net->n; r++) {
		struct lock *l = (struct lock *)object_find(m->net->s[r], m->lock[k], OBJECT_LOCK);

		if (!l)
			continue;
		used++;
		tokens += l->token;
		assert_false(l->held);
		assert_int_equal(l->asked, 0);
		assert_int_equal(l->next_rank, WIRE_NO_RANK);
	}
	assert_int_equal(tokens, used > 0);
}

static void model_check_rest(struct model *m)
{
	for (unsigned r = 0; r < m->net->n; r++) {
		struct sync *s = m->net->s[r];

		if (!m->net->alive[r])
			continue;
		assert_int_equal(s->entries.in_use, 0);
		assert_int_equal(s->objects.in_use, s->table.nobjects);
		for (unsigned i = 0; i < WAIT_BUCKETS; i++)
			assert_true(cds_list_empty(&s->waits[i]));
		for (unsigned k = 0; k < KEYS; k++)
			assert_null(object_find(s, m->cond[k], OBJECT_COND));
	}
	for (unsigned k = 0; k < KEYS && !m->ndead; k++) {
		model_check_units(m, k);
		model_check_token(m, k);
	}
}

static void model_init(struct model *m, uint64_t seed, bool cancels, bool deaths)
{
	unsigned n = 1 + (unsigned)(seed % 7);

	memset(m, 0, sizeof(*m));
	m->net = net_create(n, seed * 2654435761u + 12345);
	m->net->ctx = m;
	m->net->on_wake = model_wake;
	m->net->on_deliver = model_deliver;
	m->cancels = cancels;
	m->deaths = deaths;
	m->nthreads = n * THREADS;
	m->thread = calloc(m->nthreads, sizeof(*m->thread));
	assert_non_null(m->thread);
	for (unsigned i = 0; i < m->nthreads; i++) {
		m->thread[i].rank = i / THREADS;
		m->thread[i].holds = -1;
	}
	/* Three names, of the same value for all kinds now and then. */
	for (unsigned k = 0; k < KEYS; k++) {
		m->lock[k] = draw(m->net, 1000) * KEYS + k;
		m->sem[k] = draw(m->net, 2) ? m->lock[k] : draw(m->net, 1000) * KEYS + k;
		m->cond[k] = draw(m->net, 2) ? m->lock[k] : draw(m->net, 1000) * KEYS + k;
	}
}

static void model_run(struct model *m, unsigned steps)
{
	/* From a slow network to a fast one. */
	unsigned pace = 1 + draw(m->net, 8);

	for (unsigned i = 0; i < steps; i++) {
		if (draw(m->net, 10) < pace)
			net_step(m->net);
		else
			model_step_thread(m);
		if (m->deaths && !draw(m->net, steps / 2))
			model_kill(m);
	}
	model_drain(m);
	if (!m->cancels && !m->deaths)
		model_check_sleepers(m);
	model_give_up(m);
	model_check_rest(m);
}

static void random_programs(bool cancels, bool deaths)
{
	unsigned runs = RUNNING_ON_VALGRIND ? 60 : 1500;
	const char *only = getenv("SYNC_TEST_SEED"), *more = getenv("SYNC_TEST_RUNS");
	uint64_t grants = 0, timeouts = 0, busy = 0, downs = 0;
	struct model m;

	if (more)
		runs = (unsigned)strtoul(more, NULL, 0);
	for (unsigned i = 0; i < runs; i++) {
		uint64_t seed = only ? strtoull(only, NULL, 0) : i;

		current_seed = seed;
		model_init(&m, seed, cancels, deaths);
		model_run(&m, 2000);
		grants += m.grants;
		timeouts += m.timeouts;
		busy += m.busy;
		downs += m.downs;
		free(m.thread);
		net_destroy(m.net);
		if (only)
			break;
	}
	current_seed = NO_SEED;
	print_message("%llu grants, %llu timed out, %llu busy, %llu host down\n",
		      (unsigned long long)grants, (unsigned long long)timeouts,
		      (unsigned long long)busy, (unsigned long long)downs);
	assert_true(only || (grants && busy && timeouts && !downs == !deaths));
}

static void sync__random(void **state)
{
	(void)state;
	random_programs(false, false);
}

static void sync__random_cancels(void **state)
{
	(void)state;
	random_programs(true, false);
}

static void sync__random_deaths(void **state)
{
	(void)state;
	random_programs(false, true);
}

static void sync__random_cancels_and_deaths(void **state)
{
	(void)state;
	random_programs(true, true);
}

/* What a failed assertion leaves unsaid. */
static int print_seed(void **state)
{
	(void)state;
	if (current_seed != NO_SEED)
		print_message("SYNC_TEST_SEED=%llu\n", (unsigned long long)current_seed);
	current_seed = NO_SEED;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_create__bad_size),
		cmocka_unit_test(sync_home__spreads_neighbours),
		cmocka_unit_test(object_get__many),
		cmocka_unit_test(sync_message__nonsense_is_dropped),
		cmocka_unit_test(sync_lock__home_asks_nobody),
		cmocka_unit_test(sync_lock__again_asks_nobody),
		cmocka_unit_test(sync_lock__hand_over_is_one_hop),
		cmocka_unit_test(sync_lock__remote_goes_before_later_local),
		cmocka_unit_test(sync_lock__try),
		cmocka_unit_test(sync_lock__try_behind_a_wait),
		cmocka_unit_test(sync_lock__try_behind_a_wait_that_is_over),
		cmocka_unit_test(sync_unlock__not_held),
		cmocka_unit_test(sync_lock__no_memory),
		cmocka_unit_test(sync_cancel__local),
		cmocka_unit_test(sync_cancel__successor),
		cmocka_unit_test(sync_cancel__grant_came_first),
		cmocka_unit_test(sync_cancel__token_comes_later),
		cmocka_unit_test(sync_cancel__home_does_not_answer),
		cmocka_unit_test(sync_rank_down__holder),
		cmocka_unit_test(sync_rank_down__home),
		cmocka_unit_test(sync_rank_down__successor),
		cmocka_unit_test(sync_rank_down__only_successor),
		cmocka_unit_test(sync_rank_down__grant_lost_with_its_sender),
		cmocka_unit_test(sync_rank_down__handed_over_to_the_dead),
		cmocka_unit_test(sync_sem__values),
		cmocka_unit_test(sync_sem__first_come_first_served),
		cmocka_unit_test(sync_sem__home_down),
		cmocka_unit_test(sync_sem__no_memory),
		cmocka_unit_test(sync_cond__lock_is_held_until_queued),
		cmocka_unit_test(sync_cond__signal_and_broadcast),
		cmocka_unit_test(sync_cond__signal_is_done_on_return),
		cmocka_unit_test(sync_cond__signal_unanswered),
		cmocka_unit_test(sync_cond__lock_is_released_on_failure),
		cmocka_unit_test(sync_barrier__sizes),
		cmocka_unit_test(sync_barrier__busy),
		cmocka_unit_test(sync_barrier__resumed_after_time_out),
		cmocka_unit_test(sync_barrier__rank_down),
		cmocka_unit_test(sync_barrier__left_is_not_dead),
		cmocka_unit_test(sync_barrier__dead_before_it_left),
		cmocka_unit_test_teardown(sync__random, print_seed),
		cmocka_unit_test_teardown(sync__random_cancels, print_seed),
		cmocka_unit_test_teardown(sync__random_deaths, print_seed),
		cmocka_unit_test_teardown(sync__random_cancels_and_deaths, print_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
