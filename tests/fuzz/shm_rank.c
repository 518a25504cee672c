/* SPDX-License-Identifier: MIT */
/*
 * See shm_rank.h.
 */
#define _GNU_SOURCE
#include "shm_rank.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BASE 0x7e8000000000u

unsigned shm_messages, shm_downs;

static struct space space;

static void on_message(void *ctx, const struct msg *m)
{
	(void)ctx;
	FUZZ_CHECK(msg_is_sane(m) && m->src < SHM_RANKS, "kind %u, %u slots, from rank %u", m->kind,
		   m->slots, m->src);
	shm_messages++;
}

static void on_down(void *ctx, unsigned rank)
{
	(void)ctx;
	FUZZ_CHECK(rank < SHM_RANKS, "rank %u is down", rank);
	shm_downs++;
}

static const struct transport_handler handler = { .message = on_message, .down = on_down };

static void on_sigpipe(int sig)
{
	(void)sig;
	abort(); /* a peer has this process killed */
}

static void once(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	signal(SIGPIPE, on_sigpipe);
	FUZZ_CHECK(space_init(&space, BASE, BLOCK_BYTES, SHM_RANKS) == 0, "%s", dsm_errmsg());
}

struct transport_shm *shm_rank_create(unsigned rank, unsigned size)
{
	struct settings settings = { .log = 0 };
	struct transport_params params = { .settings = &settings,
					   .space = &space,
					   .rank = rank,
					   .size = size,
					   .handler = &handler };
	struct transport *t;

	once();
	shm_messages = shm_downs = 0;
	FUZZ_CHECK(transport_shm_create(&t, &params) == 0, "%s", dsm_errmsg());
	return shm_of(t);
}

int shm_rank_segment(void)
{
	once();
	return space.memfd;
}

int shm_rank_box(unsigned rank, unsigned size, struct shm_box **box)
{
	static struct shm_box *boxes[SHM_RANKS + 1][SHM_RANKS + 1];
	static int fds[SHM_RANKS + 1][SHM_RANKS + 1];
	struct shm_box **b = &boxes[rank % SHM_RANKS][size % (SHM_RANKS + 1)];
	int *fd = &fds[rank % SHM_RANKS][size % (SHM_RANKS + 1)];

	if (!*b) {
		FUZZ_CHECK(shm_box_create(b, fd, rank, size) == 0, "%s", dsm_errmsg());
		strcpy((*b)->token, FUZZ_TOKEN);
	}
	/* As new: what an input did to it is not the next one's. */
	(*b)->asleep = 0;
	memset((*b)->pending, 0, sizeof((*b)->pending));
	for (unsigned r = 0; r < size; r++)
		memset(&(*b)->ring[r], 0, sizeof((*b)->ring[r]));
	*box = *b;
	return *fd;
}

void shm_rank_hello(struct shm_hello *h, unsigned rank, unsigned size)
{
	*h = (struct shm_hello){ .magic = WIRE_MAGIC,
				 .version = WIRE_VERSION,
				 .rank = rank,
				 .size = size,
				 .token = FUZZ_TOKEN,
				 .rank_words = space.rank_words,
				 .base = (uintptr_t)space.base,
				 .len_bytes = space.len_bytes,
				 .segment_bytes = space.segment_bytes,
				 .box_bytes = shm_box_bytes(size) };
}

int shm_rank_dial(const struct transport_shm *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = strlen(s->self.card.socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	FUZZ_CHECK(fd >= 0, "%s", strerror(errno));
	memcpy(sa.sun_path + 1, s->self.card.socket, len);
	if (!connect(fd, (struct sockaddr *)&sa,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)))
		return fd;
	close(fd);
	return -1;
}

void shm_rank_say(int fd, const void *buf, size_t len, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd < 0)
		return;
	if (nfds) {
		struct cmsghdr *cm = &control.align;

		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)n; /* what does not fit or finds nobody is lost */
}
