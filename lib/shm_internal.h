/* SPDX-License-Identifier: MIT */
/*
 * The shared-memory transport from inside: transport_shm.c sets it up and has the one-sided
 * operations, shm_progress.c has messages, sleep and the end of peers.
 */
#ifndef DSM_SHM_INTERNAL_H
#define DSM_SHM_INTERNAL_H

#include <errno.h>

#include "error.h"
#include "shm_connect.h"
#include "shm_ring.h"
#include "transport.h"

enum peer_state {
	PEER_ABSENT, /* not connected yet, or the own rank */
	PEER_UP,
	PEER_DOWN,
};

struct shm_peer {
	struct shm_link link;
	int pid_fd; /* readable when its process has ended; -1: not to be had */
	struct shm_tx tx; /* my ring in its mailbox */
	struct shm_rx rx; /* its ring in mine */
	enum peer_state state;
	bool broken; /* to be declared down by the next poll() */
};

struct transport_shm {
	struct transport base;
	struct shm_self self;
	const struct transport_handler *handler;
	void *ctx;
	struct space *space;
	struct shm_box *box;
	struct shm_peer *peers;
	unsigned next; /* rank whose ring is looked at first, so that all get their turn */
	unsigned polls; /* since the last look at the events */
	bool asleep; /* between sleep(true) and sleep(false) */
	uint32_t nbroken; /* atomic: peers that are broken and not yet down */
};

static inline struct transport_shm *shm_of(struct transport *t)
{
	return (struct transport_shm *)t;
}

static inline bool shm_is_down(const struct transport_shm *s, unsigned rank)
{
	return rank >= s->self.size || s->peers[rank].state != PEER_UP;
}

static inline int shm_err_down(unsigned rank)
{
	return error_set(EHOSTDOWN, "rank %u is down", rank);
}

/* The operations of shm_progress.c; see struct transport_ops. */
int shm_send(struct transport *t, unsigned rank, const struct msg *m);
int shm_poll(struct transport *t, int budget);
bool shm_pending(struct transport *t);
void shm_sleep(struct transport *t, bool asleep);

/* Send what has waited for room in a peer's ring, as far as there is some. */
void shm_flush(struct transport_shm *s, unsigned rank);

#endif
