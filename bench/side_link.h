/* SPDX-License-Identifier: MIT */
/*
 * Side link: a TCP connection of rank 0 and 1, for words that one sends and the other waits for,
 * where they are on different hosts.
 */
#ifndef BENCH_SIDE_LINK_H
#define BENCH_SIDE_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct bench;

#define SIDE_ADDRESSES_MAX 8u

/* Where rank 0 listens: the IPv4 addresses of its host. */
struct side_door {
	uint64_t key; /* whom it lets in */
	uint32_t naddresses;
	uint32_t address[SIDE_ADDRESSES_MAX]; /* in network order */
	uint16_t port; /* likewise */
};

/* Rank 0: fill in the door, then let rank 1 in. Rank 1: knock. Each ends the job if it fails. */
void side_link_listen(struct bench *b, struct side_door *door);
void side_link_accept(struct bench *b, const struct side_door *door);
void side_link_dial(struct bench *b, const struct side_door *door);
void side_link_close(void);

void side_link_send(struct bench *b, uint32_t word);
/* Wait for the next word, asleep in the kernel or looking again and again. */
uint32_t side_link_recv(struct bench *b, bool spin);

#endif
