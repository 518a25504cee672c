/* SPDX-License-Identifier: MIT */
/*
 * What ranks of the RDMA transport tell one another: the card, which travels through the launch,
 * and the hello, which goes with a connection's request and answer.
 */
#ifndef DSM_VERBS_HELLO_H
#define DSM_VERBS_HELLO_H

#include "verbs_internal.h"

/* This rank's card: where its listener is. */
void verbs_card_init(struct transport_verbs *v);
/* The address of a card. -EPROTO: of no family that is known. */
int verbs_card_address(const struct verbs_card *card, struct sockaddr_storage *ss);

/* Note the token's digest: what hellos show of it, so that it is not sent where anybody may listen.
 */
void verbs_hello_digest(struct transport_verbs *v, const char *token);
void verbs_hello_init(const struct transport_verbs *v, struct verbs_hello *h);
/* Is it from who knows the token? @len: bytes that came. */
bool verbs_hello_knows(const struct transport_verbs *v, const struct verbs_hello *h, size_t len);
/* Do both agree about version, size and layout? -EPROTO. */
int verbs_hello_check(const struct transport_verbs *v, const struct verbs_hello *h);
/* Keep what it says. */
void verbs_hello_take(struct transport_verbs *v, struct verbs_peer *peer,
		      const struct verbs_hello *h);

#endif
