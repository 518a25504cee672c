/* SPDX-License-Identifier: MIT */
/*
 * See side_link.h. Anybody may knock; rank 1 shows that it is who it is by the key, which it has
 * through libdsm. It tries each address of rank 0's host for a while: not all need be in reach.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "side_link.h"

#define DIAL_MS   3000 /* an address that does not answer */
#define ACCEPT_MS 30000
#define KEY_MS    3000

static int listen_fd = -1, link_fd = -1;

static void list_addresses(struct bench *b, struct side_door *door)
{
	struct ifaddrs *all;

	if (getifaddrs(&all))
		bench_fail(b, "cannot list this host's addresses: %s", strerror(errno));
	door->naddresses = 0;
	for (struct ifaddrs *i = all; i && door->naddresses < SIDE_ADDRESSES_MAX; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
		    !(i->ifa_flags & IFF_LOOPBACK) && (i->ifa_flags & IFF_UP))
			door->address[door->naddresses++] =
				((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr;
	freeifaddrs(all);
}

void side_link_listen(struct bench *b, struct side_door *door)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);

	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(listen_fd, 4) || getsockname(listen_fd, (struct sockaddr *)&at, &len))
		bench_fail(b, "cannot listen for the side channel: %s", strerror(errno));
	if (getrandom(&door->key, sizeof(door->key), 0) != sizeof(door->key))
		bench_fail(b, "no random number: %s", strerror(errno));
	door->port = at.sin_port;
	list_addresses(b, door);
}

static bool wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, timeout_ms) == 1;
}

static void use(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	link_fd = fd;
}

void side_link_accept(struct bench *b, const struct side_door *door)
{
	uint64_t end_ns = bench_now_ns() + ACCEPT_MS * 1000000ull, key;

	while (link_fd < 0) {
		uint64_t now_ns = bench_now_ns();
		int fd;

		if (now_ns >= end_ns ||
		    !wait_for(listen_fd, POLLIN, (int)((end_ns - now_ns) / 1000000u) + 1))
			bench_fail(b, "rank 1 does not connect to the side channel");
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		if (wait_for(fd, POLLIN, KEY_MS) &&
		    recv(fd, &key, sizeof(key), MSG_WAITALL) == sizeof(key) && key == door->key)
			use(fd);
		else
			close(fd);
	}
	close(listen_fd);
}

/* A connection, or -1. */
static int dial(uint32_t address, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = port,
				  .sin_addr.s_addr = address };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err = 0;
	socklen_t len = sizeof(err);

	if (fd < 0)
		return -1;
	if ((connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS) ||
	    !wait_for(fd, POLLOUT, DIAL_MS) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ||
	    err || fcntl(fd, F_SETFL, 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

void side_link_dial(struct bench *b, const struct side_door *door)
{
	for (uint32_t i = 0; i < door->naddresses && i < SIDE_ADDRESSES_MAX && link_fd < 0; i++) {
		int fd = dial(door->address[i], door->port);

		if (fd < 0)
			continue;
		if (send(fd, &door->key, sizeof(door->key), MSG_NOSIGNAL) == sizeof(door->key))
			use(fd);
		else
			close(fd);
	}
	if (link_fd < 0)
		bench_fail(b, "no way by TCP to rank 0, whose host has %u IPv4 addresses",
			   door->naddresses);
}

void side_link_close(void)
{
	if (link_fd >= 0)
		close(link_fd);
	link_fd = -1;
}

void side_link_send(struct bench *b, uint32_t word)
{
	if (send(link_fd, &word, sizeof(word), MSG_NOSIGNAL) != sizeof(word))
		bench_fail(b, "the side channel broke: %s", strerror(errno));
}

uint32_t side_link_recv(struct bench *b, bool spin)
{
	uint32_t word;
	ssize_t n;

	while ((n = recv(link_fd, &word, sizeof(word), spin ? MSG_DONTWAIT : MSG_WAITALL)) < 0 &&
	       (errno == EAGAIN || errno == EINTR))
		sched_yield();
	if (n != sizeof(word))
		bench_fail(b, "the side channel broke: %s",
			   n < 0 ? strerror(errno) : "the other rank is gone");
	return word;
}
