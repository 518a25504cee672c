/* SPDX-License-Identifier: MIT */
/*
 * The transport between ranks of one host, over shared memory.
 *
 * One-sided operations are loads, stores and C11 atomics on a peer's segment, through this rank's
 * mapping of it (the view). Messages go through rings in the receiver's mailbox (shm_ring). Nothing
 * here needs the peer's CPU, and nothing waits for it: what finds no room in a ring is kept here
 * and follows when the peer has made room and says so.
 *
 * Waking: in asleep mode whoever tells this rank something writes its eventfd, once; t->fd, an
 * epoll fd, holds that eventfd, edge-triggered so that it need not be read, and the control sockets
 * of the peers. poll() empties it whenever it may have something.
 *
 * A peer goes down when its control socket ends, or when it breaks the rules. Its ring is emptied
 * first, then down() is called, once; its mappings stay until destroy(), since the caller may still
 * have pointers into its view.
 *
 * All calls but pending() are made under the node's lock; pending() reads two atomics.
 */
#define _GNU_SOURCE
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "shm_connect.h"
#include "shm_ring.h"

/* Without sleeping, how many calls of poll() may pass before it looks for peers that have ended. */
#define POLLS_PER_LOOK 256u
/* Events taken from the epoll fd at a time. */
#define EVENTS_MAX 16
/* Descriptors of a rank that are not this transport's, for the limit on open files. */
#define FDS_SPARE 256u

enum peer_state {
	PEER_ABSENT, /* not connected yet, or the own rank */
	PEER_UP,
	PEER_DOWN,
};

struct shm_peer {
	struct shm_link link;
	struct shm_tx tx; /* my ring in its mailbox */
	struct shm_rx rx; /* its ring in mine */
	enum peer_state state;
	bool broken; /* to be declared down by the next poll() */
};

struct transport_shm {
	struct transport base;
	struct shm_self self;
	const struct transport_handler *handler;
	void *ctx;
	struct space *space;
	struct shm_box *box;
	struct shm_peer *peers;
	unsigned next; /* rank whose ring is looked at first, so that all get their turn */
	unsigned polls; /* since the last look at the events */
	bool asleep; /* between sleep(true) and sleep(false) */
	bool look; /* the epoll fd may have something */
	uint32_t nbroken; /* atomic: peers that are broken and not yet down */
};

static struct transport_shm *shm_of(struct transport *t)
{
	return (struct transport_shm *)t;
}

static bool is_down(const struct transport_shm *s, unsigned rank)
{
	return rank >= s->self.size || s->peers[rank].state != PEER_UP;
}

static int err_down(unsigned rank)
{
	return error_set(EHOSTDOWN, "rank %u is down", rank);
}

/* The segment of any rank, as this one sees it; NULL if it is down. */
static uint8_t *view_of(const struct transport_shm *s, unsigned rank)
{
	if (rank == s->self.rank)
		return s->space->alias;
	return is_down(s, rank) ? NULL : s->peers[rank].link.view;
}

/*
 * One-sided operations
 */

static int shm_fetch(struct transport *t, struct transport_fetch *f)
{
	struct transport_shm *s = shm_of(t);
	uint64_t bit = 1ull << (s->self.rank % 64);
	unsigned word = s->self.rank / 64;
	uint8_t *view = view_of(s, f->rank);
	uint64_t granule = f->granule;

	if (!view)
		return err_down(f->rank);
	for (unsigned i = 0; i < f->n; i++, granule += 1ull << f->shift) {
		/* Registered first, then the grant is read (R1): the home makes it Busy, then takes
		 * the readers. Data follows the grant, by its acquire. */
		if (f->add >> i & 1)
			__atomic_fetch_add(segment_readers(s->space, view, granule) + word, bit,
					   __ATOMIC_SEQ_CST);
		f->grant[i] =
			__atomic_load_n(segment_grant(s->space, view, granule), __ATOMIC_SEQ_CST);
	}
	f->data = segment_page(view, f->granule);
	return 0;
}

static const uint8_t *shm_pushed(struct transport *t, unsigned rank, uint64_t granule)
{
	struct transport_shm *s = shm_of(t);
	uint8_t *view = rank == s->self.rank ? s->space->alias : s->peers[rank].link.view;

	return segment_page(view, granule);
}

/* The peer reads the home's own memory. */
static int shm_push(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_shm *s = shm_of(t);

	(void)granule;
	(void)len_bytes;
	return view_of(s, rank) ? 0 : err_down(rank);
}

static int shm_write(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_shm *s = shm_of(t);
	uint8_t *view = view_of(s, rank);

	if (!view)
		return err_down(rank);
	/* The release store of a later message's header comes after it. */
	if (rank != s->self.rank)
		memcpy(segment_page(view, granule), segment_page(s->space->alias, granule),
		       len_bytes);
	return 0;
}

static uint64_t atomic64(uint64_t *p, enum transport_atomic op, uint64_t operand, uint64_t expected)
{
	if (op == ATOMIC_FETCH_ADD)
		return __atomic_fetch_add(p, operand, __ATOMIC_SEQ_CST);
	__atomic_compare_exchange_n(p, &expected, operand, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return expected;
}

static uint32_t atomic32(uint32_t *p, enum transport_atomic op, uint32_t operand, uint32_t expected)
{
	if (op == ATOMIC_FETCH_ADD)
		return __atomic_fetch_add(p, operand, __ATOMIC_SEQ_CST);
	__atomic_compare_exchange_n(p, &expected, operand, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return expected;
}

static int shm_atomic(struct transport *t, unsigned rank, uint64_t offset, unsigned width,
		      enum transport_atomic op, uint64_t operand, uint64_t expected,
		      uint64_t *result)
{
	uint8_t *view = view_of(shm_of(t), rank);
	void *p;

	if (!view)
		return err_down(rank);
	p = view + offset;
	if ((width != 4 && width != 8) || offset % width)
		return error_set(EINVAL, "no remote atomic on %u bytes at offset %#llx", width,
				 (unsigned long long)offset);
	if (width == 8)
		*result = atomic64(p, op, operand, expected);
	else
		*result = atomic32(p, op, (uint32_t)operand, (uint32_t)expected);
	return 0;
}

/*
 * Messages
 */

/* Tell a peer that there is something for it; wake it if it sleeps. */
static void tell(struct transport_shm *s, unsigned rank)
{
	uint64_t one = 1;
	ssize_t n;

	if (!shm_box_notify(s->peers[rank].link.box, s->self.rank))
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

static int shm_send(struct transport *t, unsigned rank, const struct msg *m)
{
	struct transport_shm *s = shm_of(t);
	struct shm_peer *peer;
	int rc;

	if (is_down(s, rank) || s->peers[rank].broken)
		return err_down(rank);
	peer = &s->peers[rank];
	if (m->kind == MSG_NONE || m->kind >= MSG_KINDS || m->src != s->self.rank ||
	    (m->slots != 1 && m->slots != MSG_SLOTS_MAX))
		return error_set(EINVAL, "message of kind %u, %u slots, from rank %u, sent by %u",
				 m->kind, m->slots, m->src, s->self.rank);
	rc = shm_tx_send(&peer->tx, m);
	if (rc < 0) {
		mark_broken(s, rank, tx_why(rc));
		return err_down(rank);
	}
	if (rc == 0)
		tell(s, rank);
	return 0;
}

/* Send what waited for room. */
static void flush(struct transport_shm *s, unsigned rank)
{
	struct shm_peer *peer = &s->peers[rank];
	int rc;

	if (!shm_tx_waiting(&peer->tx) || peer->broken)
		return;
	rc = shm_tx_flush(&peer->tx);
	if (rc > 0)
		tell(s, rank);
	else if (rc < 0)
		mark_broken(s, rank, tx_why(rc));
}

static bool is_sane(const struct msg *m, unsigned rank)
{
	return m->kind != MSG_NONE && m->kind < MSG_KINDS && m->src == rank;
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
		if (rc < 0 || !is_sane(&m.msg, rank)) {
			mark_broken(s, rank, "it sent a message that makes no sense");
			break;
		}
		s->handler->message(s->ctx, &m.msg);
		n++;
	}
	if (shm_rx_done(&peer->rx))
		tell(s, rank);
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
	shm_link_close(&peer->link);
	shm_tx_fini(&peer->tx);
	log_debug("the connection to rank %u has ended", rank);
	s->handler->down(s->ctx, rank);
	return n + 1;
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
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
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

	s->look = false;
	s->polls = 0;
	nevents = epoll_wait(s->base.fd, events, EVENTS_MAX, 0);
	for (int i = 0; i < nevents; i++)
		if (events[i].data.u32 != s->self.rank)
			n += control_event(s, events[i].data.u32);
	/* EINTR, or there may be more: next time. */
	if (nevents < 0 || nevents == EVENTS_MAX)
		s->look = true;
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

/* Take what others have told. False: nothing. */
static bool take_pending(struct transport_shm *s, uint64_t *taken)
{
	uint64_t any = 0;

	for (unsigned i = 0; i * 64 < s->self.size; i++) {
		taken[i] = __atomic_load_n(&s->box->pending[i], __ATOMIC_RELAXED);
		/* Pairs with shm_box_notify(): what was told of is seen. */
		if (taken[i])
			taken[i] = __atomic_exchange_n(&s->box->pending[i], 0, __ATOMIC_SEQ_CST);
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
	/* A peer can set any bit, also of one that is not there. */
	if (is_down(s, rank))
		return 0;
	flush(s, rank);
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

	shm_box_doze(s->box);
	if (!shm_box_pending(s->box, s->self.size) || !shm_box_stir(s->box))
		return;
	n = write(s->self.event_fd, &one, sizeof(one));
	(void)n;
}

static int shm_poll(struct transport *t, int budget)
{
	struct transport_shm *s = shm_of(t);
	int n;

	n = serve_pending(s, budget);
	if (s->asleep || s->look || ++s->polls >= POLLS_PER_LOOK)
		n += look_at_events(s);
	if (__atomic_load_n(&s->nbroken, __ATOMIC_RELAXED))
		n += end_broken(s);
	if (s->asleep)
		doze(s);
	return n;
}

static bool shm_pending(struct transport *t)
{
	struct transport_shm *s = shm_of(t);

	return shm_box_pending(s->box, s->self.size) ||
	       __atomic_load_n(&s->nbroken, __ATOMIC_SEQ_CST);
}

static void shm_sleep(struct transport *t, bool asleep)
{
	struct transport_shm *s = shm_of(t);

	if (asleep) {
		s->asleep = true;
		shm_box_doze(s->box);
		return;
	}
	/* The eventfd may have been written meanwhile, or a peer have ended. */
	s->look = s->look || s->asleep;
	s->asleep = false;
	shm_box_stir(s->box);
}

/*
 * Beginning and end
 */

static int shm_card(struct transport *t, uint8_t *card)
{
	memset(card, 0, TRANSPORT_CARD_MAX);
	memcpy(card, &shm_of(t)->self.card, sizeof(struct shm_card));
	return 0;
}

static int watch(struct transport_shm *s, int fd, uint32_t events, unsigned rank)
{
	struct epoll_event ev = { .events = events, .data.u32 = rank };

	if (epoll_ctl(s->base.fd, EPOLL_CTL_ADD, fd, &ev))
		return error_set_sys(errno, "cannot watch the connection to rank %u", rank);
	return 0;
}

static int peer_init(struct transport_shm *s, unsigned rank)
{
	struct shm_peer *peer = &s->peers[rank];

	shm_rx_init(&peer->rx, &s->box->ring[rank]);
	shm_tx_init(&peer->tx, &peer->link.box->ring[s->self.rank]);
	peer->state = PEER_UP;
	return watch(s, peer->link.control_fd, EPOLLIN | EPOLLRDHUP, rank);
}

static int shm_connect_op(struct transport *t, const uint8_t *cards, size_t stride,
			  const char *token, uint64_t deadline_ns)
{
	struct transport_shm *s = shm_of(t);
	struct shm_link *links;
	int rc;

	links = malloc(s->self.size * sizeof(*links));
	if (!links)
		return error_set(ENOMEM, "no memory to connect %u ranks", s->self.size);
	for (unsigned r = 0; r < s->self.size; r++)
		links[r] = (struct shm_link)SHM_LINK_NONE;
	memset(s->self.token, 0, sizeof(s->self.token));
	strncpy(s->self.token, token, sizeof(s->self.token) - 1);
	memcpy(s->box->token, s->self.token, sizeof(s->self.token));
	rc = shm_connect(&s->self, cards, stride, deadline_ns, links);
	for (unsigned r = 0; !rc && r < s->self.size; r++)
		s->peers[r].link = links[r];
	free(links);
	for (unsigned r = 0; !rc && r < s->self.size; r++)
		rc = r == s->self.rank ? 0 : peer_init(s, r);
	/* Everybody is here: nobody else gets in. */
	close(s->self.listen_fd);
	s->self.listen_fd = -1;
	s->look = true;
	return rc;
}

/* Leave nothing behind that a peer could have: what waits goes as far as there is room. */
static void shm_destroy(struct transport *t)
{
	struct transport_shm *s = shm_of(t);
	struct shm_peer *peer;

	for (unsigned r = 0; r < s->self.size; r++) {
		peer = &s->peers[r];
		if (peer->state == PEER_UP) {
			flush(s, r);
			if (shm_tx_waiting(&peer->tx))
				log_info("leaving with messages that rank %u had no room for", r);
		}
		shm_link_fini(&peer->link, &s->self);
		shm_tx_fini(&peer->tx);
	}
	if (s->self.listen_fd >= 0)
		close(s->self.listen_fd);
	if (s->base.fd >= 0)
		close(s->base.fd);
	if (s->self.event_fd >= 0)
		close(s->self.event_fd);
	if (s->box) {
		munmap(s->box, shm_box_bytes(s->self.size));
		close(s->self.box_fd);
	}
	free(s->peers);
	free(s);
}

static const struct transport_ops shm_ops = {
	.name = "shm",
	.card = shm_card,
	.connect = shm_connect_op,
	.fetch = shm_fetch,
	.pushed = shm_pushed,
	.push = shm_push,
	.write = shm_write,
	.atomic = shm_atomic,
	.send = shm_send,
	.poll = shm_poll,
	.pending = shm_pending,
	.sleep = shm_sleep,
	.destroy = shm_destroy,
};

/* Two descriptors stay open for each peer. Best effort: running out of them has its own sentence.
 */
static void raise_file_limit(unsigned size)
{
	rlim_t need = 2 * (rlim_t)size + FDS_SPARE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= need)
		return;
	log_info("raising the limit on open files from %llu to %llu for %u ranks",
		 (unsigned long long)limit.rlim_cur, (unsigned long long)need, size);
	limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int shm_init(struct transport_shm *s)
{
	int rc;

	s->base.fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->base.fd < 0)
		return error_set_sys(errno, "cannot create an epoll descriptor");
	s->self.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->self.event_fd < 0)
		return error_set_sys(errno, "cannot create an eventfd");
	/* Edge-triggered: each write is an event of its own, and nothing stays readable. */
	rc = watch(s, s->self.event_fd, EPOLLIN | EPOLLET, s->self.rank);
	if (!rc)
		rc = shm_box_create(&s->box, &s->self.box_fd, s->self.rank, s->self.size);
	if (!rc)
		rc = shm_listen(&s->self);
	return rc;
}

int transport_shm_create(struct transport **t, const struct transport_params *p)
{
	struct transport_shm *s;
	int rc;

	if (p->size > SHM_RANKS_MAX)
		return error_set(EINVAL, "transport shm takes at most %u ranks, not %u",
				 SHM_RANKS_MAX, p->size);
	raise_file_limit(p->size);
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(ENOMEM, "no memory for transport shm");
	s->peers = calloc(p->size, sizeof(*s->peers));
	if (!s->peers) {
		free(s);
		return error_set(ENOMEM, "no memory for %u peers", p->size);
	}
	for (unsigned r = 0; r < p->size; r++)
		s->peers[r].link = (struct shm_link)SHM_LINK_NONE;
	s->base.ops = &shm_ops;
	s->base.fd = -1;
	s->self = (struct shm_self){ .rank = p->rank, .size = p->size, .space = p->space };
	s->self.box_fd = s->self.event_fd = s->self.listen_fd = -1;
	s->handler = p->handler;
	s->ctx = p->ctx;
	s->space = p->space;
	rc = shm_init(s);
	if (rc) {
		shm_destroy(&s->base);
		return rc;
	}
	*t = &s->base;
	return 0;
}
