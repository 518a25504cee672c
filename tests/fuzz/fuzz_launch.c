/* SPDX-License-Identifier: MIT */
/*
 * The launch over TCP: what strangers and ranks write to the root's port, and what answers a rank
 * that joins.
 *
 * No network: the linker's --wrap puts socket pairs in the place of TCP sockets, and poll() in the
 * place of the scheduler. Whenever the library waits, the script goes on by one step: somebody
 * connects, writes, or closes. When the script has ended, so has the time.
 *
 * The first byte chooses the side, the second the number of ranks and whether a token was given.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "launch_tcp.h"
#include "stats.h"
#include "wire.h"

#define PEERS_MAX 12
#define TOKEN     "a-token-of-the-job"
/* Waits of one input; each takes a step of the script, or lets time pass. */
#define POLLS_MAX 2000u

static struct input in;
static int peer[PEERS_MAX]; /* the other ends of accepted or made connections; -1: closed */
static int accepted[PEERS_MAX]; /* the library's ends, of those that wait to be accepted */
static unsigned nwaiting;
static int listener_peer;
static unsigned npolls;
static bool joining;

int __wrap_socket(int domain, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_listen(int fd, int backlog);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

static void make_pair(int pair[2])
{
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), "%s",
		   strerror(errno));
}

/* Remember a peer's end; one that has no place is closed. */
static void add_peer(int fd)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (peer[i] < 0) {
			peer[i] = fd;
			return;
		}
	}
	close(fd);
}

/* A listener: readable while somebody waits to be accepted. A rank that joins: connected. */
int __wrap_socket(int domain, int type, int protocol)
{
	int pair[2];

	(void)domain;
	(void)type;
	(void)protocol;
	make_pair(pair);
	if (joining) {
		add_peer(pair[1]);
	} else {
		if (listener_peer >= 0)
			close(listener_peer);
		listener_peer = pair[1];
	}
	return pair[0];
}

int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	(void)fd;
	(void)sa;
	(void)len;
	return 0;
}

int __wrap_listen(int fd, int backlog)
{
	(void)fd;
	(void)backlog;
	return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)fd;
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	return 0;
}

/* Both ends of a pair have no name: they would look as if connected to themselves. */
int __wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	(void)fd;
	(void)sa;
	(void)len;
	return -1;
}

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_port = htons(4242),
				    .sin_addr.s_addr = htonl(0x7f000001) };
	char byte;

	(void)flags;
	if (recv(fd, &byte, 1, MSG_DONTWAIT) != 1 || !nwaiting) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(sa, &from, sizeof(from));
	*len = sizeof(from);
	return accepted[--nwaiting];
}

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	uint8_t how = input_byte(&in);

	(void)fd;
	(void)sa;
	(void)len;
	if (how < 0xf0)
		return 0;
	errno = how == 0xf0 ? ECONNREFUSED : how == 0xf1 ? EHOSTUNREACH : EINPROGRESS;
	return -1;
}

static int pick_peer(void)
{
	return peer[input_byte(&in) % PEERS_MAX];
}

static void say(int fd, const void *buf, size_t len)
{
	ssize_t n = fd < 0 ? 0 : send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n; /* what does not fit or finds nobody is lost */
}

/* A hello that is nearly right: the input changes some of its fields. */
static void say_hello(int fd)
{
	struct tcp_hello h = { .magic = TCP_HELLO_MAGIC, .version = WIRE_VERSION, .card_bytes = 8 };
	uint8_t wrong;
	size_t len = sizeof(h);

	h.rank = input_byte(&in);
	h.size = input_byte(&in);
	wrong = input_byte(&in);
	if (!(wrong & 1))
		memcpy(h.token, TOKEN, sizeof(TOKEN));
	if (wrong & 2)
		input_bytes(&in, h.token, sizeof(h.token));
	if (wrong & 4)
		h.version = (uint32_t)input_u64(&in);
	if (wrong & 8)
		h.card_bytes = (uint32_t)input_u64(&in);
	if (wrong & 16)
		len = input_byte(&in) % sizeof(h);
	if (wrong & 32)
		h.size = (uint32_t)input_u64(&in);
	if (wrong & 64)
		h.rank = (uint32_t)input_u64(&in);
	say(fd, &h, len);
}

/* An answer that is nearly right, and what follows it. */
static void say_answer(int fd)
{
	struct tcp_answer a = { .magic = TCP_ANSWER_MAGIC, .version = WIRE_VERSION };
	struct tcp_cards c = { .size = 3, .stride = 8, .token = TOKEN };
	uint8_t body[1024], wrong, fill;
	size_t n;

	a.kind = input_byte(&in) % 5;
	wrong = input_byte(&in);
	memset(body, 'x', sizeof(body));
	memcpy(body, &c, sizeof(c));
	n = a.kind == TCP_CARDS ? sizeof(c) + 24 : a.kind == TCP_REFUSED ? 20 : 0;
	a.len_bytes = (uint32_t)n;
	a.status = wrong & 1 ? (int32_t)input_u64(&in) : -EPROTO;
	if (wrong & 2)
		a.len_bytes = (uint32_t)input_u64(&in);
	if (wrong & 4)
		n = input_bytes(&in, body, sizeof(body));
	if (wrong & 8)
		a.version = (uint32_t)input_u64(&in);
	if (wrong & 16) {
		memset(c.token, 0, sizeof(c.token));
		fill = input_byte(&in);
		memset(c.token, fill, input_byte(&in) % (sizeof(c.token) + 1));
	}
	if (wrong & 32)
		c.size = (uint32_t)input_u64(&in);
	if (wrong & 64)
		c.stride = (uint32_t)input_u64(&in);
	if (wrong & 0x70)
		memcpy(body, &c, sizeof(c));
	say(fd, &a, wrong & 128 ? input_byte(&in) % sizeof(a) : sizeof(a));
	say(fd, body, n);
}

static void connect_somebody(void)
{
	int pair[2];

	if (listener_peer < 0 || nwaiting == PEERS_MAX)
		return;
	make_pair(pair);
	accepted[nwaiting++] = pair[0];
	say(listener_peer, "c", 1);
	add_peer(pair[1]);
}

static void hang_up(unsigned i)
{
	if (peer[i] >= 0)
		close(peer[i]);
	peer[i] = -1;
}

static void step(void)
{
	uint8_t buf[256];
	size_t n;
	int fd;

	switch (input_byte(&in) % 8) {
	case 0:
		connect_somebody();
		break;
	case 1:
		say_hello(pick_peer());
		break;
	case 2:
		say_answer(pick_peer());
		break;
	case 3:
		fd = pick_peer();
		n = input_bytes(&in, buf, sizeof(buf));
		say(fd, buf, n);
		break;
	case 4:
		hang_up(input_byte(&in) % PEERS_MAX);
		break;
	case 5:
		connect_somebody();
		fd = pick_peer();
		say_hello(fd);
		break;
	case 6:
		fd = pick_peer();
		if (fd >= 0 && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0)
			break;
		break;
	case 7:
		fuzz_clock_forward((uint64_t)input_byte(&in) * 10000000u);
		break;
	}
}

/* The library waits: somebody else's turn. Behind the script's end time passes. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int ready;

	FUZZ_CHECK(npolls++ < POLLS_MAX, "it waits and waits");
	if (input_left(&in) && timeout_ms)
		step();
	ready = __real_poll(fds, n, 0);
	if (ready == 0 && !input_left(&in))
		fuzz_clock_forward((uint64_t)timeout_ms * 1000000u);
	return ready;
}

static void close_all(void)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		hang_up(i);
	while (nwaiting)
		close(accepted[--nwaiting]);
	if (listener_peer >= 0)
		close(listener_peer);
	listener_peer = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char card[] = "own card";
	struct settings s = { .rank = 0, .size = 3, .root = "127.0.0.1:7000" };
	uint8_t how, *cards;
	struct launch *launch;
	uint64_t deadline_ns;
	int rc;

	in = (struct input){ data, data + len };
	fuzz_clock_start();
	fuzz_log_clear();
	npolls = 0;
	nwaiting = 0;
	listener_peer = -1;
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer[i] = -1;
	joining = input_byte(&in) & 1;
	how = input_byte(&in);
	s.rank = joining ? 1 : 0;
	s.size = how & 2 ? 2 + (how >> 4) % 8 : 3;
	if (how & 1)
		strcpy(s.token, TOKEN);
	FUZZ_CHECK(launch_tcp_create(&launch, &s) == 0, "%s", dsm_errmsg());
	cards = malloc((size_t)s.size * LAUNCH_CARD_MAX);
	deadline_ns = clock_ns() + 1000000000u;
	rc = launch->ops->exchange(launch, card, sizeof(card), cards, deadline_ns);
	fuzz_expect_reason(rc, "exchange");
	if (rc == 0) {
		FUZZ_CHECK(launch->token[0] && memchr(launch->token, 0, CONFIG_TOKEN_MAX),
			   "no token");
		FUZZ_CHECK(!(how & 1) || !strcmp(launch->token, TOKEN), "another token");
	}
	free(cards);
	launch->ops->destroy(launch);
	close_all();
	fuzz_clock_stop();
	return 0;
}
