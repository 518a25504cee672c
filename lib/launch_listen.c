/* SPDX-License-Identifier: MIT */
/*
 * Launch by TCP, rank 0: the sockets on which it listens.
 *
 * Where DSM_ROOT names addresses of this host it listens on these alone; where it names one that is
 * not (the far side of a port forwarding), or loopback by a name (which other hosts resolve to
 * something else), on all addresses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "launch_tcp.h"
#include "log.h"

/* Returns the socket or -errno, without text. */
static int listen_on(const struct sockaddr *sa, socklen_t sa_len, int v6_only)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (sa->sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only))) ||
	    bind(fd, sa, sa_len) || listen(fd, SOMAXCONN)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int listen_on_all(uint16_t port)
{
	const struct sockaddr_in6 any6 = { .sin6_family = AF_INET6,
					   .sin6_port = htons(port),
					   .sin6_addr = IN6ADDR_ANY_INIT };
	const struct sockaddr_in any4 = { .sin_family = AF_INET,
					  .sin_port = htons(port),
					  .sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd = listen_on((const struct sockaddr *)&any6, sizeof(any6), 0);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_on((const struct sockaddr *)&any4, sizeof(any4), 0);
	return fd;
}

/*
 * Does the host's own name resolve to loopback, as /etc/hosts of Debian and of containers has it?
 * Other hosts resolve it to an address that a loopback listener does not answer.
 */
static bool is_loopback_name(const struct launch_tcp *t, const struct addrinfo *ai)
{
	const struct sockaddr_in *sa4 = (const struct sockaddr_in *)ai->ai_addr;
	const struct sockaddr_in6 *sa6 = (const struct sockaddr_in6 *)ai->ai_addr;
	struct in6_addr numeric;

	if (!strcmp(t->host, "localhost") || inet_pton(AF_INET, t->host, &numeric) == 1 ||
	    inet_pton(AF_INET6, t->host, &numeric) == 1)
		return false;
	if (ai->ai_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&sa6->sin6_addr);
	return ntohl(sa4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

void launch_tcp_unlisten(int *listener)
{
	for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++) {
		if (listener[i] >= 0)
			close(listener[i]);
		listener[i] = -1;
	}
}

/* Listen on each of the addresses. -EADDRNOTAVAIL: one is not this host's, or would not do. */
static int listen_on_list(const struct launch_tcp *t, const struct addrinfo *ai, int *listener)
{
	unsigned n = 0;

	for (; ai && n < TCP_LISTENERS_MAX; ai = ai->ai_next) {
		int fd = is_loopback_name(t, ai) ? -EADDRNOTAVAIL
						 : listen_on(ai->ai_addr, ai->ai_addrlen, 1);

		if (fd == -EAFNOSUPPORT)
			continue;
		if (fd < 0)
			return fd;
		listener[n++] = fd;
	}
	return n ? 0 : -EADDRNOTAVAIL;
}

int launch_tcp_listen(const struct launch_tcp *t, int *listener)
{
	struct addrinfo *list;
	int code, err;

	list = launch_tcp_resolve(t, &code);
	if (!list)
		return error_set(EINVAL,
				 "DSM_ROOT is \"%s\": the host's address cannot be found: %s",
				 t->root, gai_strerror(code));
	err = listen_on_list(t, list, listener);
	freeaddrinfo(list);
	if (err == -EADDRNOTAVAIL) {
		log_info("%s is not an address of this host alone: rank 0 listens on all", t->host);
		launch_tcp_unlisten(listener);
		err = listen_on_all((uint16_t)strtoul(t->port, NULL, 10));
		if (err >= 0) {
			listener[0] = err;
			err = 0;
		}
	}
	if (err == -EADDRINUSE)
		return error_set(EADDRINUSE,
				 "Rank 0 cannot listen at DSM_ROOT=%s: the port is in use. Choose "
				 "another port, the same in every rank",
				 t->root);
	if (err)
		return error_set_sys(-err, "Rank 0 cannot listen at DSM_ROOT=%s", t->root);
	return 0;
}
