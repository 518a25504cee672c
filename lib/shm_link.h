/* SPDX-License-Identifier: MIT */
/*
 * A connection to a peer of the shared-memory transport, once it is made: the socket whose end
 * tells of the peer's, and what the peer passed over it, its segment, its mailbox and an eventfd.
 */
#ifndef DSM_SHM_LINK_H
#define DSM_SHM_LINK_H

#include <stdint.h>

#include "shm_ring.h"

struct shm_self;

/* Descriptors that come with a hello. */
enum { HELLO_SEGMENT, HELLO_BOX, HELLO_EVENT, HELLO_FDS };

struct shm_link {
	int control_fd; /* readable when the peer's end is closed */
	int event_fd; /* wakes the peer */
	uint8_t *view; /* its segment */
	struct shm_box *box; /* its mailbox */
};

#define SHM_LINK_NONE                                                                              \
	{                                                                                          \
		-1, -1, NULL, NULL                                                                 \
	}

/* Map what rank passed with its hello, and keep its eventfd (fds[HELLO_EVENT] is -1 then); the
 * other descriptors stay the caller's. -EPROTO: it is not what a rank of this job passes. -ENOMEM.
 * What was taken before an error is shm_link_fini()'s to undo. */
int shm_link_take(struct shm_link *link, const struct shm_self *self, int fds[HELLO_FDS],
		  unsigned rank);

/* Close the descriptors, so that the peer sees the end; the mappings stay. */
void shm_link_close(struct shm_link *link);
/* Undo all of it. */
void shm_link_fini(struct shm_link *link, const struct shm_self *self);

#endif
