/* SPDX-License-Identifier: MIT */
/*
 * Messages, sleep and the end of peers in the shared-memory transport.
 *
 * Messages go through rings in the receiver's mailbox (shm_ring). Nothing waits for a peer: what
 * finds no room in its ring is kept here and follows when it has made room and says so.
 *
 * Waking: in asleep mode whoever tells this rank something writes its eventfd, once; t->fd, an
 * epoll fd, holds that eventfd, edge-triggered so that it need not be read, and the control sockets
 * of the peers. poll() empties it whenever it may have something.
 *
 * A peer goes down when its control socket ends, or when it breaks the rules. Its ring is emptied
 * first, then down() is called, once. A child that a peer forked, without exec, keeps the peer's
 * socket open: its death then shows only when the child ends too.
 */
#define _GNU_SOURCE
#include "shm_internal.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

/* Without sleeping, how many calls of poll() may pass before it looks for peers that have ended. */
#define POLLS_PER_LOOK 256u
/* Events taken from the epoll fd at a time. */
#define EVENTS_MAX 16

/* Tell a peer that there is something for it; wake it if it sleeps, unless that can wait. */
static void tell(struct transport_shm *s, unsigned rank, bool can_wait)
{
	uint64_t one = 1;
	ssize_t n;

	if (!shm_box_notify(s->peers[rank].link.box, s->self.rank, can_wait))
		return;
	/* It fails only if the peer is not there any more, which its control socket tells. */
	n = write(s->peers[rank].link.event_fd, &one, sizeof(one));
	(void)n;
}

/* The peer does not keep to the rules, or cannot be served: poll() will declare it down. */
static void mark_broken(struct transport_shm *s, unsigned rank, const char *why)
{
	struct shm_peer *peer = &s->peers[rank];

	if (peer->broken)
		return;
	log_error("closing the connection to rank %u: %s", rank, why);
	peer->broken = true;
	__atomic_fetch_add(&s->nbroken, 1, __ATOMIC_SEQ_CST);
}

static const char *tx_why(int rc)
{
	switch (rc) {
	case -ENOBUFS:
		return "it takes no messages and too many wait for it";
	case -ENOMEM:
		return "no memory to queue its messages";
	default:
		return "its message ring is out of order";
	}
}

int shm_send(struct transport *t, unsigned rank, const struct msg *m)
{
	struct transport_shm *s = shm_of(t);
	struct shm_peer *peer;
	int rc;

	if (shm_is_down(s, rank) || s->peers[rank].broken)
		return shm_err_down(rank);
	peer = &s->peers[rank];
	if (!msg_is_sane(m) || m->src != s->self.rank)
		return error_set(EINVAL, "message of kind %u, %u slots, from rank %u, sent by %u",
				 m->kind, m->slots, m->src, s->self.rank);
	rc = shm_tx_send(&peer->tx, m);
	if (rc < 0) {
		mark_broken(s, rank, tx_why(rc));
		return shm_err_down(rank);
	}
	if (rc == 0)
		tell(s, rank, msg_can_wait(m));
	return 0;
}

void shm_flush(struct transport_shm *s, unsigned rank)
{
	struct shm_peer *peer = &s->peers[rank];
	int rc;

	if (!shm_tx_waiting(&peer->tx) || peer->broken)
		return;
	rc = shm_tx_flush(&peer->tx);
	if (rc > 0)
		tell(s, rank, false);
	else if (rc < 0)
		mark_broken(s, rank, tx_why(rc));
}

/* Deliver up to budget messages of one peer. Returns their number. */
static int drain(struct transport_shm *s, unsigned rank, int budget)
{
	struct shm_peer *peer = &s->peers[rank];
	union shm_message m;
	int rc = 0, n = 0;

	while (n < budget && !peer->broken) {
		rc = shm_rx_take(&peer->rx, &m);
		if (rc == 0)
			break;
		if (rc < 0 || !msg_is_sane(&m.msg) || m.msg.src != rank) {
			mark_broken(s, rank, "it sent a message that makes no sense");
			break;
		}
		s->handler->message(s->ctx, &m.msg);
		n++;
	}
	if (shm_rx_done(&peer->rx))
		tell(s, rank, false);
	return n;
}

/*
 * Ends
 */

/* A peer has ended: deliver its last messages, all that a ring can hold, then say so. */
static int end_peer(struct transport_shm *s, unsigned rank)
{
	struct shm_peer *peer = &s->peers[rank];
	int n;

	n = drain(s, rank, (int)SHM_RING_SLOTS);
	if (peer->broken)
		__atomic_fetch_sub(&s->nbroken, 1, __ATOMIC_SEQ_CST);
	peer->broken = false;
	peer->state = PEER_DOWN;
	/* Leaves the epoll fd only if no forked child has it too: so say it. */
	(void)epoll_ctl(s->base.fd, EPOLL_CTL_DEL, peer->link.control_fd, NULL);
	if (peer->pid_fd >= 0) {
		(void)epoll_ctl(s->base.fd, EPOLL_CTL_DEL, peer->pid_fd, NULL);
		close(peer->pid_fd);
	}
	peer->pid_fd = -1;
	shm_link_close(&peer->link);
	shm_tx_fini(&peer->tx);
	log_debug("the connection to rank %u has ended", rank);
	s->handler->down(s->ctx, rank);
	return n + 1;
}

static bool process_ended(const struct shm_peer *peer)
{
	struct pollfd p = { .fd = peer->pid_fd, .events = POLLIN };

	return peer->pid_fd >= 0 && poll(&p, 1, 0) > 0;
}

/* A control socket is silent until its end. */
static int control_event(struct transport_shm *s, unsigned rank)
{
	struct shm_peer *peer = &s->peers[rank];
	ssize_t n;
	char c;

	if (peer->state != PEER_UP)
		return 0;
	n = recv(peer->link.control_fd, &c, sizeof(c), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !process_ended(peer))
		return 0;
	if (n > 0)
		mark_broken(s, rank, "it wrote to its control socket");
	return end_peer(s, rank);
}

/* Empty the epoll fd. Returns the number of upcalls. */
static int look_at_events(struct transport_shm *s)
{
	struct epoll_event events[EVENTS_MAX];
	int nevents, n = 0;

	s->base.ready = false;
	s->polls = 0;
	nevents = epoll_wait(s->base.fd, events, EVENTS_MAX, 0);
	for (int i = 0; i < nevents; i++)
		if (events[i].data.u32 != s->self.rank)
			n += control_event(s, events[i].data.u32);
	/* EINTR, or there may be more: next time. */
	if (nevents < 0 || nevents == EVENTS_MAX)
		s->base.ready = true;
	return n;
}

static int end_broken(struct transport_shm *s)
{
	int n = 0;

	for (unsigned r = 0; r < s->self.size; r++)
		if (s->peers[r].broken && s->peers[r].state == PEER_UP)
			n += end_peer(s, r);
	return n;
}

/*
 * Progress
 */

/* The bits of a pending word that belong to a rank: a peer can set any. */
static uint64_t rank_bits(const struct transport_shm *s, unsigned word)
{
	unsigned n = s->self.size - word * 64;

	return n < 64 ? (1ull << n) - 1 : UINT64_MAX;
}

/* Take what others have told. False: nothing. */
static bool take_pending(struct transport_shm *s, uint64_t *taken)
{
	uint64_t any = 0;

	for (unsigned i = 0; i * 64 < s->self.size; i++) {
		taken[i] = __atomic_load_n(&s->box->pending[i], __ATOMIC_RELAXED);
		/* Pairs with shm_box_notify(): what was told of is seen. */
		if (taken[i])
			taken[i] = __atomic_exchange_n(&s->box->pending[i], 0, __ATOMIC_SEQ_CST) &
				   rank_bits(s, i);
		any |= taken[i];
	}
	return any != 0;
}

/* Put back what the budget did not reach. */
static void give_back(struct transport_shm *s, const uint64_t *taken)
{
	for (unsigned i = 0; i * 64 < s->self.size; i++)
		if (taken[i])
			__atomic_fetch_or(&s->box->pending[i], taken[i], __ATOMIC_SEQ_CST);
}

/* The first rank at or after @from whose bit is set; size if there is none. */
static unsigned next_taken(const struct transport_shm *s, const uint64_t *taken, unsigned from)
{
	for (unsigned r = from; r < s->self.size; r = (r / 64 + 1) * 64) {
		uint64_t word = taken[r / 64] >> (r % 64);

		if (word)
			return r + (unsigned)__builtin_ctzll(word);
	}
	return s->self.size;
}

/* Look after a peer that has told something. Returns the number of messages; if it is the budget,
 * there may be more. */
static int serve(struct transport_shm *s, unsigned rank, int budget)
{
	/* The bit may be that of a peer that is not there. */
	if (shm_is_down(s, rank))
		return 0;
	shm_flush(s, rank);
	return drain(s, rank, budget);
}

static int serve_pending(struct transport_shm *s, int budget)
{
	uint64_t taken[SHM_PENDING_WORDS];
	unsigned r, start = s->next;
	int n = 0, got;

	if (!take_pending(s, taken))
		return 0;
	for (unsigned turn = 0; turn < s->self.size && n < budget; turn++) {
		r = next_taken(s, taken, start);
		if (r >= s->self.size)
			r = next_taken(s, taken, 0);
		if (r >= s->self.size)
			break;
		got = serve(s, r, budget - n);
		n += got;
		start = r + 1;
		/* Out of budget: its ring may hold more. */
		if (n < budget)
			taken[r / 64] &= ~(1ull << (r % 64));
	}
	s->next = start < s->self.size ? start : 0;
	give_back(s, taken);
	return n;
}

/* In asleep mode what comes from now on makes fd readable, and so does what has come already. */
static void doze(struct transport_shm *s)
{
	uint64_t one = 1;
	ssize_t n;

	shm_box_doze(s->box, s->base.drowsy);
	if (!shm_box_pending(s->box, s->self.size) || !shm_box_stir(s->box))
		return;
	n = write(s->self.event_fd, &one, sizeof(one));
	(void)n;
}

int shm_poll(struct transport *t, int budget)
{
	struct transport_shm *s = shm_of(t);
	int n;

	n = serve_pending(s, budget);
	if (s->asleep || s->base.ready || ++s->polls >= POLLS_PER_LOOK)
		n += look_at_events(s);
	if (__atomic_load_n(&s->nbroken, __ATOMIC_RELAXED))
		n += end_broken(s);
	if (s->asleep)
		doze(s);
	return n;
}

bool shm_pending(struct transport *t)
{
	struct transport_shm *s = shm_of(t);

	return shm_box_pending(s->box, s->self.size) ||
	       __atomic_load_n(&s->nbroken, __ATOMIC_SEQ_CST);
}

void shm_sleep(struct transport *t, bool asleep)
{
	struct transport_shm *s = shm_of(t);

	t->watching = asleep;
	if (asleep) {
		s->asleep = true;
		shm_box_doze(s->box, t->drowsy);
		return;
	}
	/* The eventfd may have been written meanwhile, or a peer have ended. */
	t->ready = t->ready || s->asleep;
	s->asleep = false;
	shm_box_stir(s->box);
}
