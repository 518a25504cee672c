/* SPDX-License-Identifier: MIT */
/*
 * The synchronisation of all ranks in one process, on a virtual network: a first-in first-out queue
 * for each pair of ranks, from which the test takes in any order. A rank that is killed loses the
 * end of what it sent, pair by pair; the news of its death comes behind the rest.
 */
#ifndef DSM_SYNC_NET_H
#define DSM_SYNC_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sync_internal.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

struct peer;

struct pipe {
	struct msg *m;
	unsigned head, tail, room;
	bool listed; /* in net.busy */
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

extern const struct sync_ops net_ops;

struct net *net_create(unsigned n, uint64_t seed);
void net_destroy(struct net *net);

/* A random number below this. */
uint32_t draw(struct net *net, uint32_t below);

/* The end of an event at a rank: what it sent to itself. */
void net_self(struct net *net, unsigned rank);
/* One message of one pair, with what it makes the receiver send to itself; false: there is none. */
bool net_step_pair(struct net *net, unsigned from, unsigned to);
/* One message of a random pair; false: all pipes are empty. */
bool net_step(struct net *net);
/* Everything that is on its way. */
void net_run(struct net *net);
/* Kill a rank: of each of its pipes the last messages are lost (lossy), or none. */
void net_kill(struct net *net, unsigned rank, bool lossy);

/* A key whose home is the rank, and the n-th such. */
uint64_t key_at(struct net *net, unsigned home, unsigned n);

/*
 * Short words for schedules made by hand
 */

struct net *setup(unsigned n);
/* Take a lock and let the network settle; it must succeed. */
void take(struct net *net, unsigned rank, uint64_t key);
/* Let a thread of the rank wait for it. */
void stand(struct net *net, unsigned rank, uint64_t key, struct sync_wait *w);
void drop(struct net *net, unsigned rank, uint64_t key);
void assert_ended(const struct sync_wait *w, int result);
void assert_down(const struct sync_wait *w, unsigned blame);

#endif
