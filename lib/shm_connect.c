/* SPDX-License-Identifier: MIT */
/*
 * Setting up the connections of the shared-memory transport.
 *
 * One thread, one poll(2) loop until all peers are connected or the deadline. A connection that
 * this rank dials goes DIAL -> GREET -> HEAR -> done; one that it accepts goes HEAR -> GREET ->
 * done, so that a stranger hears nothing before it has shown the token.
 *
 * An abstract socket has no permissions, so anybody may knock. Who is not of this user, or does not
 * know the token, is a stranger: he is turned away and the set-up goes on. A process that does, or
 * is the very process that the cards name, and disagrees, is a rank of this job: that ends the
 * set-up on both sides, with the same sentence.
 */
#define _GNU_SOURCE
#include "shm_connect.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "shm_hello.h"
#include "stats.h"

/* Connections that have not said yet who they are, beyond one a rank. */
#define STRANGERS_MAX 64u
/* Strangers that get a line in the log. */
#define STRANGERS_LOGGED 8u
/* For what the kernel has no event: room in a listener's backlog, fewer descriptors under way. */
#define RETRY_MS 5

enum conn_state {
	CONN_DIAL, /* the other side's backlog was full */
	CONN_GREET, /* my hello is to be sent */
	CONN_HEAR, /* the other's hello is to come */
	CONN_DONE, /* finished or turned away; to be forgotten */
};

struct conn {
	enum conn_state state;
	bool dialed;
	unsigned rank; /* WIRE_NO_RANK until it is known */
	pid_t pid;
	struct shm_link link; /* control_fd: from the start; the rest: once heard */
};

struct connector {
	const struct shm_self *self;
	struct rankset peers;
	struct shm_card *cards;
	struct shm_link *links;
	struct conn *conns;
	struct pollfd *polls;
	unsigned nconns, nconns_max;
	unsigned nmissing;
	unsigned nstrangers;
	char last_stranger[160];
};

static socklen_t socket_address(struct sockaddr_un *sa, const char *name)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	/* A leading zero byte makes it abstract: no file, gone with the last descriptor. */
	memcpy(sa->sun_path + 1, name, strlen(name));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

int shm_listen(struct shm_self *self)
{
	struct sockaddr_un sa;
	uint64_t random[2];
	int fd, rc;

	rc = shm_card_init(&self->card);
	if (rc)
		return rc;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set_sys(errno, "cannot get random bytes for a socket's name");
	snprintf(self->card.socket, sizeof(self->card.socket), "dsm-%016" PRIx64 "%016" PRIx64,
		 random[0], random[1]);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_sys(errno, "cannot create a unix socket");
	if (bind(fd, (struct sockaddr *)&sa, socket_address(&sa, self->card.socket)) ||
	    listen(fd, (int)(self->size + STRANGERS_MAX))) {
		rc = error_set_sys(errno, "cannot listen on the abstract unix socket %s",
				   self->card.socket);
		close(fd);
		return rc;
	}
	self->listen_fd = fd;
	return 0;
}

static struct conn *conn_add(struct connector *c, int fd)
{
	struct conn *conn = &c->conns[c->nconns++];

	*conn = (struct conn){ .rank = WIRE_NO_RANK, .link = SHM_LINK_NONE };
	conn->link.control_fd = fd;
	return conn;
}

static void conn_end(struct connector *c, struct conn *conn)
{
	shm_link_fini(&conn->link, c->self);
	conn->state = CONN_DONE;
}

/* Turn a stranger away. */
static void conn_refuse(struct connector *c, struct conn *conn, const char *why)
{
	snprintf(c->last_stranger, sizeof(c->last_stranger), "process %d %s", (int)conn->pid, why);
	if (c->nstrangers++ < STRANGERS_LOGGED)
		log_warn("turned a connection away: %s", c->last_stranger);
	conn_end(c, conn);
}

/* The process at the other end, as the kernel knows it. */
static int conn_identify(struct connector *c, struct conn *conn, uid_t *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(conn->link.control_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return error_set_sys(errno, "rank %u: cannot tell who is at the other end",
				     c->self->rank);
	conn->pid = cred.pid;
	*uid = cred.uid;
	return 0;
}

static int peer_gone(const struct connector *c, unsigned rank)
{
	return error_set(
		EHOSTDOWN,
		"rank %u (process %u) ended or gave up while rank %u was connecting to it: "
		"its own message says why",
		rank, c->cards[rank].pid, c->self->rank);
}

static int conn_dial(struct connector *c, struct conn *conn)
{
	struct sockaddr_un sa;
	socklen_t len = socket_address(&sa, c->cards[conn->rank].socket);
	uid_t uid = 0;
	int rc;

	if (connect(conn->link.control_fd, (struct sockaddr *)&sa, len)) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		if (errno == ECONNREFUSED)
			return peer_gone(c, conn->rank);
		return error_set_sys(errno, "cannot connect to rank %u", conn->rank);
	}
	rc = conn_identify(c, conn, &uid);
	if (rc)
		return rc;
	/* It would get the token. */
	if (uid != c->self->card.uid)
		return error_set(EPROTO,
				 "the socket of rank %u belongs to a process of user id %u, not %u",
				 conn->rank, uid, c->self->card.uid);
	conn->state = CONN_GREET;
	return 0;
}

static void conn_finish(struct connector *c, struct conn *conn)
{
	c->links[conn->rank] = conn->link;
	c->nmissing--;
	conn->link = (struct shm_link)SHM_LINK_NONE;
	conn->state = CONN_DONE;
}

static int conn_greet(struct connector *c, struct conn *conn)
{
	int rc = shm_hello_send(c->self, conn->link.control_fd);

	if (rc == -EAGAIN)
		return 0;
	if (rc == -EPIPE || rc == -ECONNRESET)
		return peer_gone(c, conn->rank);
	if (rc)
		return error_set_sys(-rc, "cannot send a hello to rank %u", conn->rank);
	if (conn->dialed)
		conn->state = CONN_HEAR;
	else
		conn_finish(c, conn);
	return 0;
}

/* Is it, by the kernel's word, the process that a rank's card names? */
static bool is_rank(const struct connector *c, const struct conn *conn, unsigned rank)
{
	return rank < c->self->size && conn->pid > 0 && (uint32_t)conn->pid == c->cards[rank].pid;
}

/* Has a rank shown itself before, over another connection? */
static bool is_here(const struct connector *c, unsigned rank)
{
	for (unsigned i = 0; i < c->nconns; i++)
		if (c->conns[i].rank == rank && c->conns[i].link.box)
			return true;
	return c->links[rank].box != NULL;
}

/* 0: welcome. -ECONNREFUSED: a stranger, *why says in what. -EPROTO: a rank that disagrees. */
static int judge(struct connector *c, const struct conn *conn, const struct shm_hello *hello,
		 const char **why)
{
	const struct shm_self *self = c->self;

	if (hello->refused && conn->dialed)
		return error_set(EPROTO, "rank %u refused rank %u: %s", conn->rank, self->rank,
				 hello->why);
	if (!shm_hello_knows(self, hello)) {
		*why = "does not know the job's token";
		if (!conn->dialed && !is_rank(c, conn, hello->rank))
			return -ECONNREFUSED;
		return error_set(
			EPROTO,
			"the job tokens of ranks %u and %u differ: give all ranks the same "
			"DSM_TOKEN",
			hello->rank, self->rank);
	}
	if (conn->dialed ? hello->rank != conn->rank
			 : hello->rank <= self->rank || hello->rank >= self->size ||
				   is_here(c, hello->rank))
		return error_set(EPROTO,
				 "process %d calls itself rank %u, which is not its place among %u "
				 "ranks: give each process its own DSM_RANK",
				 (int)conn->pid, hello->rank, self->size);
	return shm_hello_check(self, hello);
}

static int conn_welcome(struct connector *c, struct conn *conn, const struct shm_hello *hello,
			int fds[HELLO_FDS])
{
	const char *why = NULL;
	int rc;

	rc = judge(c, conn, hello, &why);
	if (rc == -ECONNREFUSED) {
		conn_refuse(c, conn, why);
		return 0;
	}
	if (!rc) {
		conn->rank = hello->rank;
		rc = shm_link_take(&conn->link, c->self, fds, conn->rank);
	}
	if (rc) {
		if (!conn->dialed)
			shm_hello_refuse(c->self, conn->link.control_fd, error_text());
		return rc;
	}
	if (conn->dialed)
		conn_finish(c, conn);
	else
		conn->state = CONN_GREET;
	return 0;
}

static int conn_hear(struct connector *c, struct conn *conn)
{
	struct shm_hello hello;
	int fds[HELLO_FDS], rc;

	rc = shm_hello_receive(conn->link.control_fd, &hello, fds);
	if (rc == -EAGAIN)
		return 0;
	if (rc == -EMFILE)
		return error_set(
			EMFILE,
			"rank %u cannot take the descriptors of its peers: raise the limit "
			"on open files (ulimit -n) above %u",
			c->self->rank, 2 * c->self->size + 64);
	if (rc == -ECONNRESET && conn->dialed)
		return peer_gone(c, conn->rank);
	if (rc && conn->dialed)
		return error_set(EPROTO, "rank %u answered with something that is no hello",
				 conn->rank);
	if (rc) {
		conn_refuse(c, conn, rc == -EBADMSG ? "sent no hello" : "left without a hello");
		return 0;
	}
	rc = conn_welcome(c, conn, &hello, fds);
	for (int i = 0; i < HELLO_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return rc;
}

/* As far as it goes without waiting. */
static int conn_step(struct connector *c, struct conn *conn)
{
	enum conn_state before;
	int rc = 0;

	do {
		before = conn->state;
		if (before == CONN_DIAL)
			rc = conn_dial(c, conn);
		else if (before == CONN_GREET)
			rc = conn_greet(c, conn);
		else if (before == CONN_HEAR)
			rc = conn_hear(c, conn);
	} while (!rc && conn->state != before);
	return rc;
}

/* Forget those that are done; the order stays, the oldest first. */
static void conns_compact(struct connector *c)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->nconns; i++)
		if (c->conns[i].state != CONN_DONE)
			c->conns[kept++] = c->conns[i];
	c->nconns = kept;
}

/* Whoever has been silent for longest goes: a rank says its hello at once. */
static void conns_make_room(struct connector *c)
{
	for (unsigned i = 0; i < c->nconns && c->nconns == c->nconns_max; i++) {
		if (c->conns[i].rank != WIRE_NO_RANK)
			continue;
		conn_refuse(c, &c->conns[i], "connected and said nothing");
		conns_compact(c);
	}
}

static int accept_all(struct connector *c)
{
	struct conn *conn;
	uid_t uid = 0;
	int fd, rc;

	for (;;) {
		fd = accept4(c->self->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			return 0;
		if (fd < 0)
			return error_set_sys(errno,
					     "rank %u cannot accept a connection (ulimit -n?)",
					     c->self->rank);
		conns_make_room(c);
		conn = conn_add(c, fd);
		conn->state = CONN_HEAR;
		rc = conn_identify(c, conn, &uid);
		if (rc)
			return rc;
		if (uid != c->self->card.uid)
			conn_refuse(c, conn, "is of another user");
		rc = conn_step(c, conn);
		if (rc)
			return rc;
		conns_compact(c);
	}
}

static int timed_out(const struct connector *c)
{
	char list[128] = "";
	size_t len = 0;

	for (unsigned r = 0; r < c->self->size && len + 16 < sizeof(list); r++)
		if (rankset_has(&c->peers, r) && !c->links[r].box)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%u",
						len ? ", " : "", r);
	if (c->nstrangers)
		return error_set(
			ETIMEDOUT,
			"rank %u is not connected with %u of %u ranks by the deadline "
			"(missing: %s); %u connections were turned away, the last since %s",
			c->self->rank, c->nmissing, c->self->size, list, c->nstrangers,
			c->last_stranger);
	return error_set(ETIMEDOUT,
			 "rank %u is not connected with %u of %u ranks by the deadline (missing: "
			 "%s): see whether these processes still run, or raise DSM_TIMEOUT_MS",
			 c->self->rank, c->nmissing, c->self->size, list);
}

/* Wait until a hello or a connection has come, or it is time to try again. */
static int wait_some(struct connector *c, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_ns();
	uint64_t left_ms;
	nfds_t n = 0;

	if (now_ns >= deadline_ns)
		return timed_out(c);
	left_ms = (deadline_ns - now_ns + 999999) / 1000000;
	if (left_ms > 1000)
		left_ms = 1000;
	c->polls[n++] = (struct pollfd){ .fd = c->self->listen_fd, .events = POLLIN };
	for (unsigned i = 0; i < c->nconns; i++) {
		if (c->conns[i].state == CONN_HEAR)
			c->polls[n++] = (struct pollfd){ .fd = c->conns[i].link.control_fd,
							 .events = POLLIN };
		else if (left_ms > RETRY_MS)
			left_ms = RETRY_MS;
	}
	if (poll(c->polls, n, (int)left_ms) < 0 && errno != EINTR)
		return error_set_sys(errno, "rank %u cannot wait for connections (poll)",
				     c->self->rank);
	return 0;
}

static int connect_loop(struct connector *c, uint64_t deadline_ns)
{
	int rc;

	while (c->nmissing) {
		for (unsigned i = 0; i < c->nconns; i++) {
			rc = conn_step(c, &c->conns[i]);
			if (rc)
				return rc;
		}
		conns_compact(c);
		rc = accept_all(c);
		if (!rc && c->nmissing)
			rc = wait_some(c, deadline_ns);
		if (rc)
			return rc;
	}
	return 0;
}

static int connector_init(struct connector *c, const struct rankset *peers, const uint8_t *cards,
			  size_t stride)
{
	const struct shm_self *self = c->self;
	struct conn *conn;
	int fd, rc;

	for (unsigned r = 0; r < self->size; r++)
		if (r != self->rank && (!peers || rankset_has(peers, r)))
			rankset_add(&c->peers, r);
	rankset_for_each (r, &c->peers) {
		memcpy(&c->cards[r], cards + r * stride, sizeof(*c->cards));
		rc = shm_card_check(self, &c->cards[r], r);
		if (rc)
			return rc;
	}
	rankset_for_each (r, &c->peers) {
		if (r > self->rank)
			break;
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return error_set_sys(errno, "cannot create a unix socket for rank %u", r);
		conn = conn_add(c, fd);
		conn->state = CONN_DIAL;
		conn->dialed = true;
		conn->rank = r;
	}
	c->nmissing = rankset_count(&c->peers);
	return 0;
}

int shm_connect(const struct shm_self *self, const struct rankset *peers, const uint8_t *cards,
		size_t stride, uint64_t deadline_ns, struct shm_link *links)
{
	unsigned nconns_max = self->size + STRANGERS_MAX;
	struct connector c = { .self = self, .links = links, .nconns_max = nconns_max };
	int rc;

	c.cards = calloc(self->size, sizeof(*c.cards));
	c.conns = calloc(nconns_max, sizeof(*c.conns));
	c.polls = calloc(nconns_max + 1, sizeof(*c.polls));
	if (c.cards && c.conns && c.polls)
		rc = connector_init(&c, peers, cards, stride);
	else
		rc = error_set(ENOMEM, "no memory to connect %u ranks", self->size);
	if (!rc)
		rc = connect_loop(&c, deadline_ns);
	for (unsigned i = 0; i < c.nconns; i++)
		conn_end(&c, &c.conns[i]);
	for (unsigned r = 0; rc && r < self->size; r++)
		shm_link_fini(&links[r], self);
	free(c.polls);
	free(c.conns);
	free(c.cards);
	return rc;
}
