/* SPDX-License-Identifier: MIT */
/*
 * Launch by TCP, every rank but 0: connect to rank 0, say hello, take the cards.
 *
 * Rank 0 may start later than this rank, so whatever fails before it has said JOINED is tried again
 * until the deadline: nobody listens, no answer, a connection that closes at once. After JOINED a
 * connection that ends means that rank 0 is gone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "launch_tcp.h"
#include "log.h"
#include "stats.h"
#include "wire.h"

/* A listening rank 0 accepts and says JOINED at once: longer than this, try another address. */
#define ATTEMPT_NS     (5 * 1000000000ull)
#define BACKOFF_MS_MIN 10
#define BACKOFF_MS_MAX 250

struct join {
	struct launch_tcp *t;
	struct tcp_hello hello;
	uint8_t *cards;
	uint64_t deadline_ns;
	bool joined;
	char obstacle[160]; /* why the latest attempt failed */
};

static uint64_t min_ns(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Note why this attempt failed; the error text must not be set while there may be another. */
__attribute__((format(printf, 2, 3))) static int try_again(struct join *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->obstacle, sizeof(j->obstacle), fmt, ap);
	va_end(ap);
	return -EAGAIN;
}

/* Wait for an event on fd. -ETIMEDOUT, or -errno of poll(). */
static int wait_fd(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int n = poll(&p, 1, launch_tcp_poll_ms(deadline_ns));

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (clock_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

static int send_all(int fd, const void *buf, size_t len, uint64_t deadline_ns)
{
	const uint8_t *next = buf;
	int err;

	while (len) {
		ssize_t n = send(fd, next, len, MSG_NOSIGNAL);

		if (n > 0) {
			next += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_fd(fd, POLLOUT, deadline_ns);
		if (err)
			return err;
	}
	return 0;
}

/* -ECONNRESET also when the other side closed. */
static int recv_all(int fd, void *buf, size_t len, uint64_t deadline_ns)
{
	uint8_t *next = buf;
	int err;

	while (len) {
		ssize_t n = recv(fd, next, len, 0);

		if (n > 0) {
			next += n;
			len -= (size_t)n;
			continue;
		}
		if (n == 0)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_fd(fd, POLLIN, deadline_ns);
		if (err)
			return err;
	}
	return 0;
}

/*
 * A connection attempt to a free port of this host may be given that very port as its own and then
 * connects to itself.
 */
static bool self_connected(int fd)
{
	struct sockaddr_storage own = { 0 }, peer = { 0 };
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	return !getsockname(fd, (struct sockaddr *)&own, &own_len) &&
	       !getpeername(fd, (struct sockaddr *)&peer, &peer_len) && own_len == peer_len &&
	       !memcmp(&own, &peer, own_len);
}

/* 0 or -errno, without text. */
static int connect_timed(int fd, const struct addrinfo *ai, uint64_t deadline_ns)
{
	int so_error = 0;
	socklen_t len = sizeof(so_error);
	int err;

	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		return self_connected(fd) ? -ECONNREFUSED : 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return -errno;
	err = wait_fd(fd, POLLOUT, deadline_ns);
	if (err)
		return err;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &len))
		return -errno;
	if (so_error)
		return -so_error;
	return self_connected(fd) ? -ECONNREFUSED : 0;
}

static int not_libdsm(struct join *j, const char *what)
{
	return error_set(EPROTO,
			 "What listens at DSM_ROOT=%s is not rank 0 of a libdsm job (%s): choose "
			 "a port that no other program uses",
			 j->t->root, what);
}

/* Rank 0 had joined this rank and the connection failed with err. */
static int lost(struct join *j, int err)
{
	if (err == -ETIMEDOUT)
		return error_set(ETIMEDOUT,
				 "Rank %u has reached rank 0 at %s, but rank 0 is still missing "
				 "other ranks: start all %u ranks within DSM_TIMEOUT_MS",
				 j->t->l.rank, j->t->root, j->t->l.size);
	return error_set(EHOSTDOWN,
			 "Rank 0 at %s went away while ranks were starting (%s): see its own "
			 "message",
			 j->t->root, strerror(-err));
}

/* A connection failed with err before or after JOINED. */
static int broken(struct join *j, int err)
{
	if (j->joined)
		return lost(j, err);
	if (err == -ECONNRESET)
		return try_again(j, "it closes the connection");
	if (err == -ETIMEDOUT)
		return try_again(j, "it accepts the connection but does not answer");
	return try_again(j, "%s", strerror(-err));
}

static int refused(struct join *j, int fd, const struct tcp_answer *answer)
{
	char reason[TCP_REASON_MAX + 1] = "";
	size_t len = answer->len_bytes < TCP_REASON_MAX ? answer->len_bytes : TCP_REASON_MAX;
	int status = answer->status;

	/* A reason that is cut short is better than none. */
	recv_all(fd, reason, len, min_ns(j->deadline_ns, clock_ns() + ATTEMPT_NS));
	for (size_t i = 0; i < len && reason[i]; i++)
		if (reason[i] < ' ' || reason[i] > '~')
			reason[i] = '?';
	/* -EAGAIN would mean another attempt. */
	if (status > -1 || status < -4095 || status == -EAGAIN)
		status = -EPROTO;
	return error_set(-status, "From rank 0 at %s: %s", j->t->root, reason);
}

static int take_cards(struct join *j, int fd, const struct tcp_answer *answer)
{
	struct launch *l = &j->t->l;
	struct tcp_cards head;
	uint8_t *packed;
	int err;

	if (answer->len_bytes < sizeof(head))
		return not_libdsm(j, "its answer is too short");
	err = recv_all(fd, &head, sizeof(head), j->deadline_ns);
	if (err)
		return lost(j, err);
	if (head.size != l->size || head.stride > LAUNCH_CARD_MAX ||
	    answer->len_bytes != sizeof(head) + (size_t)head.size * head.stride || !head.token[0] ||
	    !memchr(head.token, 0, CONFIG_TOKEN_MAX))
		return not_libdsm(j, "its answer contradicts itself");
	if (j->t->token_given && !launch_token_equal(head.token, l->token))
		return error_set(EPROTO,
				 "What answers at DSM_ROOT=%s has another DSM_TOKEN than rank %u: "
				 "give all ranks the same",
				 j->t->root, l->rank);
	packed = malloc((size_t)head.size * head.stride + 1);
	if (!packed)
		return error_set_sys(ENOMEM, "Cannot take the cards of %u ranks", l->size);
	err = recv_all(fd, packed, (size_t)head.size * head.stride, j->deadline_ns);
	if (err) {
		free(packed);
		return lost(j, err);
	}
	launch_tcp_unpack(j->cards, packed, l->size, head.stride);
	memcpy(l->token, head.token, sizeof(l->token));
	free(packed);
	return 0;
}

/* Say hello and follow the answers up to the cards. */
static int talk(struct join *j, int fd, uint64_t attempt_ns)
{
	struct tcp_answer answer;
	int err;

	j->joined = false;
	err = send_all(fd, &j->hello, sizeof(j->hello), attempt_ns);
	/* A rank 0 that refuses the first bytes may close before it has taken the rest. */
	if (err && err != -EPIPE && err != -ECONNRESET)
		return broken(j, err);
	for (;;) {
		err = recv_all(fd, &answer, sizeof(answer),
			       j->joined ? j->deadline_ns : attempt_ns);
		if (err)
			return broken(j, err);
		if (answer.magic != TCP_ANSWER_MAGIC)
			return not_libdsm(j, "its answer is something else");
		if (answer.kind == TCP_REFUSED)
			return refused(j, fd, &answer);
		if (answer.version != WIRE_VERSION)
			return error_set(EPROTO,
					 "Rank 0 at %s speaks version %u, rank %u version %u: run "
					 "the same libdsm on all hosts",
					 j->t->root, answer.version, j->t->l.rank, WIRE_VERSION);
		if (answer.kind == TCP_CARDS)
			return take_cards(j, fd, &answer);
		/* Once: an endless row of them would keep this rank beyond its deadline. */
		if (answer.kind != TCP_JOINED || answer.len_bytes || j->joined)
			return not_libdsm(j, "its answer is of no known kind");
		j->joined = true;
		log_debug("Rank 0 at %s has taken this rank's card", j->t->root);
	}
}

/* One attempt at one address. -EAGAIN: worth another, see j->obstacle; else final. */
static int attempt(struct join *j, const struct addrinfo *ai)
{
	uint64_t attempt_ns = min_ns(j->deadline_ns, clock_ns() + ATTEMPT_NS);
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0 && errno == EAFNOSUPPORT)
		return try_again(j, "%s", strerror(errno));
	if (fd < 0)
		return error_set_sys(errno, "Cannot open a socket to reach rank 0 at %s",
				     j->t->root);
	err = connect_timed(fd, ai, attempt_ns);
	if (err)
		err = try_again(j, "%s", strerror(-err));
	else
		err = talk(j, fd, attempt_ns);
	close(fd);
	return err;
}

static int attempt_all(struct join *j)
{
	struct addrinfo *list, *ai;
	int err = -EAGAIN;
	int code;

	list = launch_tcp_resolve(j->t, &code);
	if (!list && code == EAI_AGAIN)
		return try_again(j, "%s", gai_strerror(code));
	if (!list)
		return error_set(EINVAL,
				 "DSM_ROOT is \"%s\": the host's address cannot be found: %s",
				 j->t->root, gai_strerror(code));
	for (ai = list; ai && err == -EAGAIN; ai = ai->ai_next)
		err = attempt(j, ai);
	freeaddrinfo(list);
	return err;
}

static void fill_hello(struct join *j, const void *card, size_t len)
{
	j->hello = (struct tcp_hello){ .magic = TCP_HELLO_MAGIC,
				       .version = WIRE_VERSION,
				       .rank = j->t->l.rank,
				       .size = j->t->l.size,
				       .card_bytes = (uint32_t)len };
	memcpy(j->hello.token, j->t->l.token, CONFIG_TOKEN_MAX);
	memcpy(j->hello.card, card, len);
}

static void pause_ms(int ms, uint64_t deadline_ns)
{
	int left_ms = launch_tcp_poll_ms(deadline_ns);

	poll(NULL, 0, ms < left_ms ? ms : left_ms);
}

int launch_tcp_join(struct launch_tcp *t, const void *card, size_t len, uint8_t *cards,
		    uint64_t deadline_ns)
{
	struct join j = { .t = t, .cards = cards, .deadline_ns = deadline_ns };
	uint64_t begin_ns = clock_ns();
	int backoff_ms = BACKOFF_MS_MIN;
	int err;

	fill_hello(&j, card, len);
	for (;;) {
		err = attempt_all(&j);
		if (err != -EAGAIN)
			return err;
		if (clock_ns() >= deadline_ns)
			break;
		pause_ms(backoff_ms, deadline_ns);
		backoff_ms = 2 * backoff_ms < BACKOFF_MS_MAX ? 2 * backoff_ms : BACKOFF_MS_MAX;
	}
	return error_set(ETIMEDOUT,
			 "Rank 0 is missing: rank %u cannot reach it at DSM_ROOT=%s in %llu ms "
			 "(%s). Check that it runs, that DSM_ROOT names its host, and that no "
			 "firewall is between",
			 t->l.rank, t->root, (unsigned long long)(clock_ns() - begin_ns) / 1000000,
			 j.obstacle);
}
