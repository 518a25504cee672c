/* SPDX-License-Identifier: MIT */
/*
 * Setting up the connections of the shared-memory transport.
 *
 * Every rank listens on an abstract unix socket with a random name, which its card tells. A rank
 * dials those below it and accepts those above it. Both sides then say hello: who they are, the
 * job's token, the layout of their memory; and pass their segment, their mailbox and an eventfd.
 * The socket stays open, silent: its end tells that the peer's process has ended.
 */
#ifndef DSM_SHM_CONNECT_H
#define DSM_SHM_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "shm_link.h"
#include "space.h"
#include "transport.h"

/* How to reach a rank; travels through the launch. */
struct shm_card {
	uint32_t magic;
	uint32_t version; /* WIRE_VERSION */
	uint32_t pid;
	uint32_t uid;
	uint64_t netns_dev; /* of the network namespace, in which the socket's name lives */
	uint64_t netns_ino;
	char boot_id[40]; /* of the running kernel */
	char host[64];
	char socket[64]; /* name, without the zero byte that makes it abstract */
};
static_assert(sizeof(struct shm_card) <= TRANSPORT_CARD_MAX, "a card fits");

/* This rank, as it shows itself to others. */
struct shm_self {
	unsigned rank;
	unsigned size;
	const struct space *space;
	struct shm_card card;
	char token[CONFIG_TOKEN_MAX];
	int box_fd;
	int event_fd;
	int listen_fd;
};

/* Listen on a new random name and fill self->card and self->listen_fd. */
int shm_listen(struct shm_self *self);

/*
 * Connect to the ranks of the set (NULL: to all) and fill links[], by rank; the others stay as they
 * are. On error no link is made. Blocks until deadline_ns.
 *
 * -EHOSTUNREACH: a rank is on another host or in another network namespace. -EPROTO: a rank
 * disagrees about version, user, token or layout. -EHOSTDOWN: a rank has ended. -ETIMEDOUT names
 * the ranks that did not come. -EMFILE, -ENOMEM.
 */
int shm_connect(const struct shm_self *self, const struct rankset *peers, const uint8_t *cards,
		size_t stride, uint64_t deadline_ns, struct shm_link *links);

#endif
