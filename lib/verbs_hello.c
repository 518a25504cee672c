/* SPDX-License-Identifier: MIT */
/*
 * See verbs_hello.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "verbs_hello.h"

int verbs_card_address(const struct verbs_card *card, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (card->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		in->sin_port = card->port;
		memcpy(&in->sin_addr, card->addr, sizeof(in->sin_addr));
		return 0;
	}
	if (card->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = card->port;
		memcpy(&in6->sin6_addr, card->addr, sizeof(in6->sin6_addr));
		return 0;
	}
	return -EPROTO;
}

void verbs_card_init(struct transport_verbs *v)
{
	struct sockaddr_storage *ss = &v->device.addr;
	struct verbs_card *c = &v->card;

	*c = (struct verbs_card){ .magic = WIRE_MAGIC,
				  .version = WIRE_VERSION,
				  .family = ss->ss_family,
				  .port = rdma_get_src_port(v->listener) };
	if (ss->ss_family == AF_INET)
		memcpy(c->addr, &((struct sockaddr_in *)ss)->sin_addr, 4);
	else
		memcpy(c->addr, &((struct sockaddr_in6 *)ss)->sin6_addr, 16);
	gethostname(c->host, sizeof(c->host) - 1);
	snprintf(c->device, sizeof(c->device), "%.60s", v->device.name);
}

void verbs_hello_init(const struct transport_verbs *v, struct verbs_hello *h)
{
	*h = (struct verbs_hello){ .magic = WIRE_MAGIC,
				   .version = WIRE_VERSION,
				   .rank = (uint16_t)v->p.rank,
				   .size = (uint16_t)v->p.size,
				   .atomics = v->device.atomics,
				   .table_rkey = v->fixed_mr->rkey,
				   .digest = { v->digest[0], v->digest[1] },
				   .window = (uintptr_t)v->windows,
				   .table = (uintptr_t)v->table,
				   .nblocks = v->p.space->len_bytes / BLOCK_BYTES };
}

/* Does it know the token? */
bool verbs_hello_knows(const struct transport_verbs *v, const struct verbs_hello *h, size_t len)
{
	return len >= sizeof(*h) && h->magic == WIRE_MAGIC && h->digest[0] == v->digest[0] &&
	       h->digest[1] == v->digest[1];
}

int verbs_hello_check(const struct transport_verbs *v, const struct verbs_hello *h)
{
	if (h->version != WIRE_VERSION || h->size != v->p.size ||
	    h->nblocks != v->p.space->len_bytes / BLOCK_BYTES)
		return error_set(EPROTO,
				 "rank %u and rank %u disagree: wire version %u and %u, size %u "
				 "and %u, blocks %llu and %llu",
				 h->rank, v->p.rank, h->version, WIRE_VERSION, h->size, v->p.size,
				 (unsigned long long)h->nblocks,
				 (unsigned long long)(v->p.space->len_bytes / BLOCK_BYTES));
	return 0;
}

void verbs_hello_take(struct transport_verbs *v, struct verbs_peer *peer,
		      const struct verbs_hello *h)
{
	peer->window = h->window;
	peer->table = h->table;
	peer->table_rkey = h->table_rkey;
	peer->atomics = h->atomics && v->device.atomics;
	peer->ordered = v->device.ordered; /* and so the peer's, which speaks to it */
}

/* Of the token, so that it is not sent where anybody may listen. */
void verbs_hello_digest(struct transport_verbs *v, const char *token)
{
	char salted[CONFIG_TOKEN_MAX + 8];

	snprintf(salted, sizeof(salted), "rdma-1 %s", token);
	v->digest[0] = names_hash(salted, strlen(salted));
	snprintf(salted, sizeof(salted), "rdma-2 %s", token);
	v->digest[1] = names_hash(salted, strlen(salted));
}
