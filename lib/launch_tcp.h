/* SPDX-License-Identifier: MIT */
/*
 * Launch by TCP: what ranks and rank 0 say to one another.
 *
 *	rank r to rank 0:	struct tcp_hello
 *	rank 0 to rank r:	JOINED at once, and when all ranks are here CARDS;
 *				or REFUSED with a sentence, at any time
 *
 * The first 8 bytes of a hello and the whole struct tcp_answer, with REFUSED and its sentence, stay
 * as they are in every version, so that two versions can tell one another that they differ.
 * Not a secret channel: the token crosses the network as it is.
 */
#ifndef DSM_LAUNCH_TCP_H
#define DSM_LAUNCH_TCP_H

#include <assert.h>
#include <netdb.h>
#include <stddef.h>
#include <stdint.h>

#include "launch.h"

#define TCP_HELLO_MAGIC  0x484d5344u /* "DSMH" */
#define TCP_ANSWER_MAGIC 0x414d5344u /* "DSMA" */
#define TCP_TOKEN_BYTES  72u

struct tcp_hello {
	uint32_t magic;
	uint32_t version; /* WIRE_VERSION */
	uint32_t rank;
	uint32_t size;
	uint32_t card_bytes;
	uint32_t pad;
	char token[TCP_TOKEN_BYTES]; /* zero-padded; empty: none was given */
	uint8_t card[LAUNCH_CARD_MAX];
};
static_assert(sizeof(struct tcp_hello) == 24 + TCP_TOKEN_BYTES + LAUNCH_CARD_MAX, "hello layout");
static_assert(CONFIG_TOKEN_MAX <= TCP_TOKEN_BYTES, "a token fits a hello");

/* How much of a hello is read before its version is known. */
#define TCP_HELLO_HEAD_BYTES offsetof(struct tcp_hello, rank)

enum tcp_answer_kind { TCP_JOINED = 1, TCP_CARDS, TCP_REFUSED };

struct tcp_answer {
	uint32_t magic;
	uint32_t version;
	uint32_t kind;
	int32_t status; /* REFUSED: negative errno */
	uint32_t len_bytes; /* of what follows: struct tcp_cards, or the sentence */
	uint32_t pad;
};
static_assert(sizeof(struct tcp_answer) == 24, "answer layout");

/* Behind it: size cards of stride bytes each, the rest of each being zero. */
struct tcp_cards {
	char token[TCP_TOKEN_BYTES];
	uint32_t size;
	uint32_t stride;
};
static_assert(sizeof(struct tcp_cards) == 80, "cards layout");

/* Longest sentence of a REFUSED. */
#define TCP_REASON_MAX 400u

struct launch_tcp {
	struct launch l;
	char root[256]; /* as given, for messages */
	char host[256];
	char port[8];
	bool token_given;
};

/* The two sides of exchange(); launch.h says what they return. */
int launch_tcp_gather(struct launch_tcp *t, const void *card, size_t len, uint8_t *cards,
		      uint64_t deadline_ns);
int launch_tcp_join(struct launch_tcp *t, const void *card, size_t len, uint8_t *cards,
		    uint64_t deadline_ns);

/* Addresses of DSM_ROOT to listen on. */
#define TCP_LISTENERS_MAX 8

/*
 * Listen at the root. @listener: TCP_LISTENERS_MAX sockets, all -1 before it; on error and success
 * alike launch_tcp_unlisten() closes them. -EADDRINUSE, -EINVAL: the host is not known.
 */
int launch_tcp_listen(const struct launch_tcp *t, int *listener);
void launch_tcp_unlisten(int *listener);

/* The root's addresses, to be freed by freeaddrinfo(); or 0 and a code of getaddrinfo() in *code.
 * May block for as long as the name service takes. */
struct addrinfo *launch_tcp_resolve(const struct launch_tcp *t, int *code);

/* Spread size cards of stride bytes over cards, zero-padded. */
void launch_tcp_unpack(uint8_t *cards, const uint8_t *packed, unsigned size, size_t stride);

/* Milliseconds for poll() until deadline_ns, rounded up; 0 once it is past. */
int launch_tcp_poll_ms(uint64_t deadline_ns);

/* Writes an address as "host:port" into buf and returns buf. */
const char *launch_tcp_peer_text(const struct sockaddr *sa, socklen_t sa_len, char *buf,
				 size_t len);

#endif
