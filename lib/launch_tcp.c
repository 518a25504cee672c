/* SPDX-License-Identifier: MIT */
/*
 * Launch by TCP through rank 0: settings, addresses, and the ops. Rank 0's side is launch_root.c
 * (with launch_listen.c), the others' launch_join.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "launch.h"
#include "launch_tcp.h"
#include "stats.h"

static int bad_root(const char *root, const char *what)
{
	return error_set(EINVAL,
			 "DSM_ROOT is \"%s\": %s; it must be host:port, such as node1:7000 or "
			 "[fe80::1]:7000, with a port from 1 to 65535",
			 root, what);
}

static int parse_port(struct launch_tcp *t, const char *port)
{
	size_t digits = strspn(port, "0123456789");
	unsigned long value = strtoul(port, NULL, 10);

	if (!digits || port[digits] || digits > 5)
		return bad_root(t->root, "the port is not a number");
	if (value < 1 || value > UINT16_MAX)
		return bad_root(t->root, "the port is out of range");
	snprintf(t->port, sizeof(t->port), "%lu", value);
	return 0;
}

/* Split "host:port" or "[host]:port". */
static int parse_root(struct launch_tcp *t)
{
	const char *colon = strrchr(t->root, ':');
	const char *host = t->root;
	size_t len;

	if (!colon)
		return bad_root(t->root, "the port is missing");
	len = (size_t)(colon - host);
	if (*host == '[') {
		if (len < 2 || host[len - 1] != ']')
			return bad_root(t->root, "the bracket is not closed before the port");
		host++;
		len -= 2;
	} else if (memchr(host, ':', len)) {
		return bad_root(t->root, "an IPv6 address must stand in brackets");
	}
	if (!len)
		return bad_root(t->root, "the host is missing");
	memcpy(t->host, host, len);
	t->host[len] = '\0';
	return parse_port(t, colon + 1);
}

static int check_settings(const struct settings *s)
{
	if (s->rank < 0 || s->size < 0)
		return error_set(EINVAL,
				 "%s is not set: a launch without mpirun needs DSM_RANK, DSM_SIZE "
				 "and DSM_ROOT in every rank",
				 s->rank < 0 ? "DSM_RANK" : "DSM_SIZE");
	if (s->size < 1 || s->size > RANKS_MAX)
		return error_set(EINVAL, "DSM_SIZE is %lld; it must be 1 to %u", (long long)s->size,
				 RANKS_MAX);
	if (s->rank >= s->size)
		return error_set(EINVAL,
				 "DSM_RANK is %lld; with DSM_SIZE=%lld it must be 0 to %lld",
				 (long long)s->rank, (long long)s->size, (long long)s->size - 1);
	if (s->size > 1 && !s->root[0])
		return error_set(EINVAL, "DSM_ROOT is not set: it must be the host:port where rank "
					 "0 listens, the same in every rank");
	return 0;
}

struct addrinfo *launch_tcp_resolve(const struct launch_tcp *t, int *code)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICSERV };
	struct addrinfo *list = NULL;

	*code = getaddrinfo(t->host, t->port, &hints, &list);
	return *code ? NULL : list;
}

void launch_tcp_unpack(uint8_t *cards, const uint8_t *packed, unsigned size, size_t stride)
{
	memset(cards, 0, (size_t)size * LAUNCH_CARD_MAX);
	for (unsigned r = 0; r < size; r++)
		memcpy(cards + (size_t)r * LAUNCH_CARD_MAX, packed + r * stride, stride);
}

int launch_tcp_poll_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_ns();
	uint64_t ms;

	if (deadline_ns <= now_ns)
		return 0;
	ms = (deadline_ns - now_ns + 999999) / 1000000;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

const char *launch_tcp_peer_text(const struct sockaddr *sa, socklen_t sa_len, char *buf, size_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(sa, sa_len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(buf, len, "an unknown address");
	else
		snprintf(buf, len, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return buf;
}

static int tcp_exchange(struct launch *l, const void *card, size_t len, uint8_t *cards,
			uint64_t deadline_ns)
{
	struct launch_tcp *t = (struct launch_tcp *)l;
	int err = launch_card_check(len);

	if (err)
		return err;
	if (l->rank == 0)
		return launch_tcp_gather(t, card, len, cards, deadline_ns);
	return launch_tcp_join(t, card, len, cards, deadline_ns);
}

static void tcp_destroy(struct launch *l)
{
	free(l);
}

static const struct launch_ops tcp_ops = {
	.name = "tcp",
	.exchange = tcp_exchange,
	.destroy = tcp_destroy,
};

int launch_tcp_create(struct launch **launch, const struct settings *s)
{
	struct launch_tcp *t;
	int err = check_settings(s);

	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	if (!t)
		return error_set_sys(ENOMEM, "Cannot create the launch");
	t->l = (struct launch){ .ops = &tcp_ops,
				.rank = (unsigned)s->rank,
				.size = (unsigned)s->size };
	snprintf(t->l.token, sizeof(t->l.token), "%s", s->token);
	snprintf(t->root, sizeof(t->root), "%s", s->root);
	t->token_given = s->token[0];
	if (t->root[0]) {
		err = parse_root(t);
		if (err)
			goto err_free;
	}
	*launch = &t->l;
	return 0;

err_free:
	free(t);
	return err;
}
