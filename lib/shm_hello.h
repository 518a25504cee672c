/* SPDX-License-Identifier: MIT */
/*
 * What ranks of the shared-memory transport tell one another before they trust one another: the
 * card, which travels through the launch, and the hello, which opens a connection.
 */
#ifndef DSM_SHM_HELLO_H
#define DSM_SHM_HELLO_H

#include <stdint.h>

#include "shm_connect.h"

struct shm_hello {
	uint32_t magic; /* WIRE_MAGIC */
	uint32_t version; /* WIRE_VERSION */
	uint32_t rank;
	uint32_t size;
	char token[CONFIG_TOKEN_MAX];
	uint8_t pad[3];
	uint32_t rank_words;
	uint64_t base; /* of the global range */
	uint64_t len_bytes; /* of the global range */
	uint64_t segment_bytes;
	uint64_t box_bytes;
	uint32_t refused; /* 1: no; why[] says what is wrong, nothing else counts */
	char why[188];
};

/* Everything of the card but the socket's name. */
int shm_card_init(struct shm_card *card);

/* Can the rank whose card this is be reached, and does it speak the same? Else -EHOSTUNREACH or
 * -EPROTO. */
int shm_card_check(const struct shm_self *self, const struct shm_card *card, unsigned rank);

/* Say hello, with the three descriptors. -EAGAIN: the kernel takes no more just now. */
int shm_hello_send(const struct shm_self *self, int fd);

/* Tell a peer that it is not wanted, as far as it listens. The token is not shown to it. */
void shm_hello_refuse(const struct shm_self *self, int fd, const char *why);

/* Receive a hello. -EAGAIN: not here yet. -ECONNRESET: the other side has closed. -EBADMSG: it is
 * no hello. -EMFILE. On success the caller closes fds[], those it has (the others are -1). */
int shm_hello_receive(int fd, struct shm_hello *hello, int fds[HELLO_FDS]);

/* Does it have the job's token? In a time that does not depend on where they differ. */
bool shm_hello_knows(const struct shm_self *self, const struct shm_hello *hello);

/* Does the peer agree about version and layout? -EPROTO. */
int shm_hello_check(const struct shm_self *self, const struct shm_hello *hello);

#endif
