/* SPDX-License-Identifier: MIT */
/*
 * The transport between ranks of one host, over shared memory: set-up and one-sided operations.
 *
 * One-sided operations are loads, stores and C11 atomics on a peer's segment, through this rank's
 * mapping of it (the view). They need neither the peer's CPU nor a system call. A peer's mappings
 * stay until destroy(), also when it is down, since the caller may still have pointers into its
 * view.
 *
 * All calls but pending() are made under the node's lock; pending() reads atomics alone.
 */
#define _GNU_SOURCE
#include "transport.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "shm_internal.h"

/* Descriptors of a rank that are not this transport's, for the limit on open files. */
#define FDS_SPARE 256u

/* The segment of any rank, as this one sees it; NULL if it is down. */
static uint8_t *view_of(const struct transport_shm *s, unsigned rank)
{
	if (rank == s->self.rank)
		return s->space->alias;
	return shm_is_down(s, rank) ? NULL : s->peers[rank].link.view;
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
		return shm_err_down(f->rank);
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

static uint8_t *shm_view(struct transport *t, unsigned rank)
{
	return view_of(shm_of(t), rank);
}

static const uint8_t *shm_pushed(struct transport *t, unsigned rank, uint64_t granule,
				 size_t len_bytes)
{
	struct transport_shm *s = shm_of(t);
	uint8_t *view = rank == s->self.rank ? s->space->alias : s->peers[rank].link.view;

	(void)len_bytes; /* it is all there */
	return segment_page(view, granule);
}

/* The peer reads the home's own memory. */
static int shm_push(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_shm *s = shm_of(t);

	(void)granule;
	(void)len_bytes;
	return view_of(s, rank) ? 0 : shm_err_down(rank);
}

static int shm_write(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	struct transport_shm *s = shm_of(t);
	uint8_t *view = view_of(s, rank);

	if (!view)
		return shm_err_down(rank);
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
		return shm_err_down(rank);
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

/* The process at the other end. The socket's end alone would not tell of its death while a child
 * that it has forked lives on, with a copy of the socket. */
static int open_pid(int control_fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(control_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, cred.pid, 0); /* sets close-on-exec by itself */
}

static int peer_init(struct transport_shm *s, unsigned rank)
{
	struct shm_peer *peer = &s->peers[rank];
	int rc;

	shm_rx_init(&peer->rx, &s->box->ring[rank]);
	shm_tx_init(&peer->tx, &peer->link.box->ring[s->self.rank]);
	peer->state = PEER_UP;
	peer->pid_fd = open_pid(peer->link.control_fd);
	rc = watch(s, peer->link.control_fd, EPOLLIN | EPOLLRDHUP, rank);
	if (!rc && peer->pid_fd >= 0)
		rc = watch(s, peer->pid_fd, EPOLLIN, rank);
	return rc;
}

static int shm_connect_op(struct transport *t, const struct rankset *peers, const uint8_t *cards,
			  size_t stride, const char *token, uint64_t deadline_ns)
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
	rc = shm_connect(&s->self, peers, cards, stride, deadline_ns, links);
	for (unsigned r = 0; !rc && r < s->self.size; r++)
		s->peers[r].link = links[r];
	free(links);
	for (unsigned r = 0; !rc && r < s->self.size; r++)
		rc = s->peers[r].link.box ? peer_init(s, r) : 0;
	/* Everybody is here: nobody else gets in. */
	close(s->self.listen_fd);
	s->self.listen_fd = -1;
	s->base.ready = true;
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
			shm_flush(s, r);
			if (shm_tx_waiting(&peer->tx))
				log_info("leaving with messages that rank %u had no room for", r);
		}
		if (peer->pid_fd >= 0)
			close(peer->pid_fd);
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
	.view = shm_view,
	.write = shm_write,
	.atomic = shm_atomic,
	.send = shm_send,
	.poll = shm_poll,
	.pending = shm_pending,
	.sleep = shm_sleep,
	.destroy = shm_destroy,
};

/* Three descriptors stay open for each peer. Best effort: running out of them has its own sentence.
 */
static void raise_file_limit(unsigned size)
{
	rlim_t need = 3 * (rlim_t)size + FDS_SPARE;
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

	if (p->size > RANKS_MAX)
		return error_set(EINVAL, "transport shm takes at most %u ranks, not %u", RANKS_MAX,
				 p->size);
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
		s->peers[r] = (struct shm_peer){ .link = SHM_LINK_NONE, .pid_fd = -1 };
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
