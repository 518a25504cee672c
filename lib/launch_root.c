/* SPDX-License-Identifier: MIT */
/*
 * Launch by TCP, rank 0: gather a card from every rank, then give all of them to each.
 *
 * One non-blocking poll() loop with a state per connection. Anybody may connect: who sends junk is
 * dropped, who sends nothing keeps nobody waiting, and who says a hello that does not fit this job
 * (another size, version or token, a rank that is here already) gets a sentence and nothing more.
 *
 * The gathering ends early for what this process itself lacks, and when a rank of this job that was
 * refused has hung up: it ended with an error, and nobody will come in its place. It is of this job
 * if it has the token, or if the job has none. Whoever lacks the token can end nothing. A second
 * one of the same rank may be a mistake of its own, and one that joined and went away may be
 * started again: these are named when the time is over.
 *
 * Invariant: rank r is in g->missing unless it is 0 or exactly one connection is JOINED with r.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
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

/* Connections beyond those of the ranks; with more, the oldest without a hello goes. */
#define STRANGERS_MAX 64
/* Rank 0 gives up this long before its deadline, while the others still listen for the reason. */
#define TELL_NS_MAX 200000000ull

enum conn_state {
	CONN_FREE,
	CONN_HELLO, /* reading the hello */
	CONN_JOINED, /* hello taken, waits for the cards */
	CONN_REFUSED, /* told why; open until the other side has read it and closes */
	CONN_DONE, /* has the cards */
};

struct conn {
	enum conn_state state;
	int fd; /* -1: free */
	uint64_t serial; /* the oldest has the least */
	size_t received_bytes; /* of the hello */
	size_t sent_bytes; /* of the reply */
	struct tcp_hello hello;
	char peer[96];
	bool needed; /* REFUSED: a rank without which the job cannot start */
	char reason[160]; /* REFUSED: why */
};

struct gather {
	struct launch_tcp *t;
	struct rankset missing;
	int listener[TCP_LISTENERS_MAX]; /* -1: none */
	struct conn *conns;
	unsigned conns_max;
	struct pollfd *polls; /* the listeners', then the connections' */
	uint64_t serial;
	uint64_t deadline_ns;
	uint8_t *reply; /* struct tcp_answer, struct tcp_cards, cards */
	size_t reply_bytes;
	uint8_t *packed; /* the cards in it */
	size_t stride;
	char latest[300]; /* about the latest that did not stay: a sentence */
	int err; /* negative errno: a rank has ended, the text is set */
};

static void conn_close(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->state = CONN_FREE;
}

/* Best effort: the receiver's socket is fresh, so a few hundred bytes go whole or not at all. */
static bool conn_answer(struct conn *c, enum tcp_answer_kind kind, int status, const char *reason)
{
	size_t len = strnlen(reason, TCP_REASON_MAX);
	struct tcp_answer answer = { .magic = TCP_ANSWER_MAGIC,
				     .version = WIRE_VERSION,
				     .kind = kind,
				     .status = status,
				     .len_bytes = (uint32_t)len };
	uint8_t buf[sizeof(answer) + TCP_REASON_MAX];

	memcpy(buf, &answer, sizeof(answer));
	memcpy(buf + sizeof(answer), reason, len);
	len += sizeof(answer);
	return send(c->fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* A refused connection has closed. Was it one that had to come? */
static void conn_ended(struct gather *g, struct conn *c)
{
	char who[32] = "A rank";

	if (c->hello.version == WIRE_VERSION) /* else its rank stands somewhere else */
		snprintf(who, sizeof(who), "Rank %u", c->hello.rank);
	if (c->needed && !g->err)
		g->err = error_set(EPROTO, "%s at %s was refused and has ended: %s", who, c->peer,
				   c->reason);
	conn_close(c);
}

/*
 * Tell why, and keep the connection until the other side closes it: closing with unread bytes would
 * reset it, and the reset may overtake the sentence.
 */
static void conn_refuse(struct gather *g, struct conn *c, bool needed, const char *reason)
{
	log_warn("Refused a rank at %s: %s", c->peer, reason);
	snprintf(g->latest, sizeof(g->latest), "The latest that was refused: %s", reason);
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
	c->needed = needed;
	c->state = CONN_REFUSED;
	if (!conn_answer(c, TCP_REFUSED, -EPROTO, reason) || shutdown(c->fd, SHUT_WR))
		conn_ended(g, c);
}

static struct conn *conn_of_rank(struct gather *g, unsigned rank)
{
	for (unsigned i = 0; i < g->conns_max; i++)
		if (g->conns[i].state == CONN_JOINED && g->conns[i].hello.rank == rank)
			return &g->conns[i];
	return NULL;
}

/* A rank that had joined has closed, died, or sent what it should not. */
static void conn_lost(struct gather *g, struct conn *c)
{
	log_warn("Rank %u at %s came and went before all ranks were here", c->hello.rank, c->peer);
	snprintf(g->latest, sizeof(g->latest),
		 "Rank %u at %s had come and went away: see its own message", c->hello.rank,
		 c->peer);
	rankset_add(&g->missing, c->hello.rank);
	conn_close(c);
}

/* Is the rank of this hello here already? One that has hung up by now makes room for it. */
static bool is_duplicate(struct gather *g, unsigned rank)
{
	struct conn *c = conn_of_rank(g, rank);
	char byte;

	if (!c)
		return rank == 0;
	if (recv(c->fd, &byte, 1, MSG_PEEK) < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	conn_lost(g, c);
	return false;
}

/* Who lacks the token that this job has may be anybody. */
static bool is_ours(const struct gather *g, const struct tcp_hello *h)
{
	return !g->t->token_given || launch_token_equal(h->token, g->t->l.token);
}

/* The token first: whoever lacks it learns nothing else. Writes a sentence and returns false. */
static bool settings_agree(const struct gather *g, const struct tcp_hello *h, char *reason,
			   size_t len)
{
	const struct launch_tcp *t = g->t;

	if (!is_ours(g, h))
		snprintf(reason, len, "Its DSM_TOKEN is not rank 0's: give all ranks the same");
	else if (!t->token_given && h->token[0])
		snprintf(reason, len,
			 "It has a DSM_TOKEN and rank 0 has none: give all ranks the "
			 "same, or none");
	else if (h->size != t->l.size)
		snprintf(reason, len,
			 "Rank %u has DSM_SIZE=%u, rank 0 has DSM_SIZE=%u: give all "
			 "ranks the same",
			 h->rank, h->size, t->l.size);
	else
		return true;
	return false;
}

/* Is there a place for this rank? Writes a sentence and returns false. */
static bool rank_fits(struct gather *g, const struct tcp_hello *h, char *reason, size_t len)
{
	unsigned size = g->t->l.size;

	if (h->rank >= size)
		snprintf(reason, len, "Its DSM_RANK is %u; with DSM_SIZE=%u it must be 0 to %u",
			 h->rank, size, size - 1);
	else if (is_duplicate(g, h->rank))
		snprintf(reason, len,
			 "Rank %u is here already: give each rank another DSM_RANK, "
			 "and each job another port in DSM_ROOT",
			 h->rank);
	else
		return true;
	return false;
}

static bool hello_well_formed(const struct tcp_hello *h)
{
	return h->card_bytes <= LAUNCH_CARD_MAX && !h->token[CONFIG_TOKEN_MAX - 1];
}

static void hello_take(struct gather *g, struct conn *c)
{
	char reason[TCP_REASON_MAX];

	if (!hello_well_formed(&c->hello)) {
		log_info("Dropped a connection from %s: its hello is malformed", c->peer);
		conn_close(c);
		return;
	}
	if (!settings_agree(g, &c->hello, reason, sizeof(reason))) {
		conn_refuse(g, c, is_ours(g, &c->hello), reason);
		return;
	}
	if (!rank_fits(g, &c->hello, reason, sizeof(reason))) {
		conn_refuse(g, c, false, reason);
		return;
	}
	if (!conn_answer(c, TCP_JOINED, 0, "")) {
		conn_close(c);
		return;
	}
	c->state = CONN_JOINED;
	rankset_remove(&g->missing, c->hello.rank);
	log_debug("Rank %u joined from %s", c->hello.rank, c->peer);
}

/* The head of a hello is here: is it one, and of this version? False: the connection is done. */
static bool hello_head_fits(struct gather *g, struct conn *c)
{
	char reason[TCP_REASON_MAX];

	if (c->hello.magic != TCP_HELLO_MAGIC) {
		log_info("Dropped a connection from %s: it is not from libdsm", c->peer);
		conn_close(c);
		return false;
	}
	if (c->hello.version != WIRE_VERSION) {
		snprintf(reason, sizeof(reason),
			 "It speaks version %u, rank 0 version %u: run the "
			 "same libdsm on all hosts",
			 c->hello.version, WIRE_VERSION);
		conn_refuse(g, c, !g->t->token_given, reason);
		return false;
	}
	return true;
}

static void read_hello(struct gather *g, struct conn *c)
{
	uint8_t *hello = (uint8_t *)&c->hello;
	ssize_t n = recv(c->fd, hello + c->received_bytes, sizeof(c->hello) - c->received_bytes, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	c->received_bytes += (size_t)n;
	if (c->received_bytes < TCP_HELLO_HEAD_BYTES || !hello_head_fits(g, c))
		return;
	if (c->received_bytes == sizeof(c->hello))
		hello_take(g, c);
}

/* A JOINED rank has nothing to say, so its socket turns readable when it is lost. */
static void conn_event(struct gather *g, struct conn *c)
{
	uint8_t discard[256];
	ssize_t n;

	if (c->state == CONN_HELLO) {
		read_hello(g, c);
		return;
	}
	n = recv(c->fd, discard, sizeof(discard), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (c->state == CONN_JOINED)
		conn_lost(g, c);
	else if (n <= 0)
		conn_ended(g, c);
}

/* Close the oldest connection that belongs to no rank; false if there is none. */
static bool evict_stranger(struct gather *g)
{
	struct conn *oldest = NULL;

	for (unsigned i = 0; i < g->conns_max; i++) {
		struct conn *c = &g->conns[i];

		if ((c->state == CONN_HELLO || c->state == CONN_REFUSED) &&
		    (!oldest || c->serial < oldest->serial))
			oldest = c;
	}
	if (!oldest)
		return false;
	conn_close(oldest);
	return true;
}

static struct conn *conn_slot(struct gather *g)
{
	for (;;) {
		for (unsigned i = 0; i < g->conns_max; i++)
			if (g->conns[i].state == CONN_FREE)
				return &g->conns[i];
		/* The ranks alone cannot fill the slots. */
		if (!evict_stranger(g))
			return NULL;
	}
}

static int accept_one(struct gather *g, int listener)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t sa_len = sizeof(sa);
	struct conn *c;
	int fd;

	fd = accept4(listener, (struct sockaddr *)&sa, &sa_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		bool exhausted =
			errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
		int err = errno;

		if (!exhausted || evict_stranger(g))
			return 0;
		return error_set_sys(err,
				     "Rank 0 cannot accept another of %u ranks: raise the "
				     "limit of open files (ulimit -n)",
				     g->t->l.size);
	}
	c = conn_slot(g);
	if (!c) {
		close(fd);
		return 0;
	}
	c->fd = fd;
	c->state = CONN_HELLO;
	c->serial = g->serial++;
	c->received_bytes = 0;
	c->sent_bytes = 0;
	launch_tcp_peer_text((struct sockaddr *)&sa, sa_len, c->peer, sizeof(c->peer));
	return 0;
}

/* Wait for events of the listeners and of the connections in one state, or in any (CONN_FREE). */
static int gather_poll(struct gather *g, enum conn_state state, short events, uint64_t deadline_ns)
{
	struct pollfd *p = g->polls;
	int n;

	for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++)
		*p++ = (struct pollfd){ .fd = g->listener[i], .events = POLLIN };
	for (unsigned i = 0; i < g->conns_max; i++) {
		const struct conn *c = &g->conns[i];
		bool wanted = state == CONN_FREE || c->state == state;

		*p++ = (struct pollfd){ .fd = wanted ? c->fd : -1, .events = events };
	}
	n = poll(g->polls, TCP_LISTENERS_MAX + g->conns_max, launch_tcp_poll_ms(deadline_ns));
	if (n < 0 && errno != EINTR)
		return error_set_sys(errno, "Rank 0 cannot wait for the other ranks");
	if (n < 0)
		memset(g->polls, 0, (TCP_LISTENERS_MAX + g->conns_max) * sizeof(*g->polls));
	return 0;
}

static int timed_out(struct gather *g)
{
	char names[100];

	launch_ranks_text(&g->missing, names, sizeof(names));
	if (g->latest[0])
		return error_set(ETIMEDOUT,
				 "%u of %u ranks did not reach rank 0 at %s in time: "
				 "missing %s. %s",
				 rankset_count(&g->missing), g->t->l.size, g->t->root, names,
				 g->latest);
	return error_set(ETIMEDOUT,
			 "%u of %u ranks did not reach rank 0 at %s in time: missing "
			 "%s. Start them with the same DSM_ROOT, or raise "
			 "DSM_TIMEOUT_MS",
			 rankset_count(&g->missing), g->t->l.size, g->t->root, names);
}

/* Until a connection of every rank is JOINED. */
static int gather_hellos(struct gather *g)
{
	uint64_t now_ns = clock_ns();
	uint64_t left_ns = g->deadline_ns > now_ns ? g->deadline_ns - now_ns : 0;
	uint64_t give_up_ns =
		g->deadline_ns - (left_ns / 8 < TELL_NS_MAX ? left_ns / 8 : TELL_NS_MAX);
	int err = 0;

	while (!err && !rankset_empty(&g->missing)) {
		if (clock_ns() >= give_up_ns)
			return timed_out(g);
		err = gather_poll(g, CONN_FREE, POLLIN, give_up_ns);
		if (err)
			break;
		for (unsigned i = 0; i < g->conns_max && !g->err; i++)
			if (g->polls[TCP_LISTENERS_MAX + i].revents)
				conn_event(g, &g->conns[i]);
		err = g->err;
		for (unsigned i = 0; i < TCP_LISTENERS_MAX && !err; i++)
			if (g->polls[i].revents)
				err = accept_one(g, g->listener[i]);
	}
	return err;
}

/* The card of each rank, packed into the reply. */
static int make_reply(struct gather *g, const void *card, size_t len)
{
	const struct launch *l = &g->t->l;
	struct tcp_answer answer = { .magic = TCP_ANSWER_MAGIC,
				     .version = WIRE_VERSION,
				     .kind = TCP_CARDS };
	struct tcp_cards head = { .size = l->size, .stride = (uint32_t)len };

	for (unsigned i = 0; i < g->conns_max; i++)
		if (g->conns[i].state == CONN_JOINED && g->conns[i].hello.card_bytes > head.stride)
			head.stride = g->conns[i].hello.card_bytes;
	memcpy(head.token, l->token, CONFIG_TOKEN_MAX);
	answer.len_bytes = (uint32_t)sizeof(head) + l->size * head.stride;
	g->reply_bytes = sizeof(answer) + answer.len_bytes;
	g->reply = calloc(1, g->reply_bytes);
	if (!g->reply)
		return error_set_sys(ENOMEM, "Cannot gather the cards of %u ranks", l->size);
	memcpy(g->reply, &answer, sizeof(answer));
	memcpy(g->reply + sizeof(answer), &head, sizeof(head));
	g->packed = g->reply + sizeof(answer) + sizeof(head);
	g->stride = head.stride;
	memcpy(g->packed, card, len);
	for (unsigned i = 0; i < g->conns_max; i++) {
		const struct tcp_hello *h = &g->conns[i].hello;

		if (g->conns[i].state == CONN_JOINED)
			memcpy(g->packed + h->rank * g->stride, h->card, h->card_bytes);
	}
	return 0;
}

static int send_reply(struct gather *g, struct conn *c)
{
	ssize_t n =
		send(c->fd, g->reply + c->sent_bytes, g->reply_bytes - c->sent_bytes, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return error_set(EHOSTDOWN,
				 "Rank %u at %s died while ranks were starting (%s): see its own "
				 "message",
				 c->hello.rank, c->peer, strerror(errno));
	c->sent_bytes += (size_t)n;
	if (c->sent_bytes == g->reply_bytes)
		c->state = CONN_DONE;
	return 0;
}

/* Send to each rank what its socket takes now; *waiting: those that have not got everything yet. */
static int send_some(struct gather *g, struct rankset *waiting)
{
	rankset_clear(waiting);
	for (unsigned i = 0; i < g->conns_max; i++) {
		struct conn *c = &g->conns[i];
		int err;

		if (c->state != CONN_JOINED)
			continue;
		err = send_reply(g, c);
		if (err)
			return err;
		if (c->state == CONN_JOINED)
			rankset_add(waiting, c->hello.rank);
	}
	return 0;
}

/* Give everybody the cards. */
static int send_replies(struct gather *g)
{
	struct rankset waiting;
	char names[100];
	int err;

	for (;;) {
		err = send_some(g, &waiting);
		if (err || rankset_empty(&waiting))
			return err;
		if (clock_ns() >= g->deadline_ns)
			return error_set(ETIMEDOUT,
					 "Rank 0 could not give all cards to %s in time: raise "
					 "DSM_TIMEOUT_MS",
					 launch_ranks_text(&waiting, names, sizeof(names)));
		err = gather_poll(g, CONN_JOINED, POLLOUT, g->deadline_ns);
		if (err)
			return err;
	}
}

/* Tell the ranks that have come why they cannot start. */
static void send_failure(struct gather *g, int err)
{
	char reason[TCP_REASON_MAX];

	snprintf(reason, sizeof(reason), "%s", error_text());
	for (unsigned i = 0; i < g->conns_max; i++)
		if (g->conns[i].state == CONN_JOINED && !g->conns[i].sent_bytes)
			conn_answer(&g->conns[i], TCP_REFUSED, err, reason);
}

static void gather_fini(struct gather *g)
{
	launch_tcp_unlisten(g->listener);
	for (unsigned i = 0; g->conns && i < g->conns_max; i++)
		if (g->conns[i].fd >= 0)
			conn_close(&g->conns[i]);
	free(g->reply);
	free(g->polls);
	free(g->conns);
}

static int gather_init(struct gather *g)
{
	int err = -ENOMEM;

	for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++)
		g->listener[i] = -1;
	for (unsigned r = 1; r < g->t->l.size; r++)
		rankset_add(&g->missing, r);
	g->conns_max = g->t->l.size - 1 + STRANGERS_MAX;
	g->conns = calloc(g->conns_max, sizeof(*g->conns));
	if (!g->conns)
		goto err_text;
	for (unsigned i = 0; i < g->conns_max; i++)
		g->conns[i].fd = -1;
	g->polls = calloc(TCP_LISTENERS_MAX + g->conns_max, sizeof(*g->polls));
	if (!g->polls)
		goto err_text;
	err = launch_tcp_listen(g->t, g->listener);
	if (err)
		goto err_fini;
	return 0;

err_text:
	error_set_sys(ENOMEM, "Cannot gather %u ranks", g->t->l.size);
err_fini:
	gather_fini(g);
	return err;
}

int launch_tcp_gather(struct launch_tcp *t, const void *card, size_t len, uint8_t *cards,
		      uint64_t deadline_ns)
{
	struct gather g = { .t = t, .deadline_ns = deadline_ns };
	int err = 0;

	if (!t->token_given)
		err = launch_token_draw(t->l.token);
	if (err)
		return err;
	if (t->l.size == 1) {
		launch_tcp_unpack(cards, card, 1, len);
		return 0;
	}
	err = gather_init(&g);
	if (err)
		return err;
	err = gather_hellos(&g);
	/* Whoever comes now is told by the closed port. */
	launch_tcp_unlisten(g.listener);
	if (!err)
		err = make_reply(&g, card, len);
	if (!err)
		err = send_replies(&g);
	if (err)
		send_failure(&g, err);
	else
		launch_tcp_unpack(cards, g.packed, t->l.size, g.stride);
	gather_fini(&g);
	return err;
}
