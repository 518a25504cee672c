/* SPDX-License-Identifier: MIT */
/*
 * Connections of the shared-memory transport: cards, hellos, and the memory that comes with them,
 * from strangers and from ranks that are not what they should be.
 *
 * The first byte chooses who this is, the next ones what the cards of the others say. Whenever the
 * library waits in poll(), the script goes on by one step: somebody dials, is accepted, speaks,
 * hangs up. When the script has ended, so has the time. A transport that came to be connected is
 * used once, since what a peer passed is touched only then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shm_rank.h"
#include "stats.h"

#define CONNS_MAX 8u
#define POLLS_MAX 3000u
#define FDS_MAX   6u

static struct input in;
static struct transport_shm *self;
static int conn[CONNS_MAX]; /* -1: closed */
static int listener = -1; /* of the rank that self dials */
static unsigned npolls;
static bool connecting;

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

static void add_conn(int fd)
{
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (conn[i] < 0) {
			conn[i] = fd;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

static int pick_conn(void)
{
	return conn[input_byte(&in) % CONNS_MAX];
}

static int memory(uint64_t len_bytes, unsigned seals)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_CHECK(fd >= 0 && !ftruncate(fd, (off_t)len_bytes), "%s", strerror(errno));
	(void)fcntl(fd, F_ADD_SEALS, seals);
	return fd;
}

/* A pipe's end whose other end is closed. */
static int broken_pipe(unsigned end)
{
	int ends[2];

	FUZZ_CHECK(!pipe2(ends, O_CLOEXEC), "%s", strerror(errno));
	close(ends[!end]);
	return ends[end];
}

static uint64_t bytes_of(unsigned which)
{
	return which == HELLO_SEGMENT ? self->space->segment_bytes : shm_box_bytes(self->self.size);
}

/* What comes in the place of a descriptor of the hello; the caller closes it. */
static int descriptor(unsigned which, unsigned rank, uint8_t how)
{
	struct shm_box *box;

	switch (how % 16) {
	case 1:
		return memory(bytes_of(which) - 4096, F_SEAL_SHRINK | F_SEAL_GROW);
	case 2:
		return memory(bytes_of(which), 0);
	case 3:
		return memory(bytes_of(which), F_SEAL_SHRINK | F_SEAL_WRITE);
	case 4:
		return memory(bytes_of(which), F_SEAL_SHRINK); /* of zeros */
	case 5:
		return broken_pipe(1);
	case 6:
		return broken_pipe(0);
	case 7:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 8:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 9:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	case 10:
		return dup(shm_rank_box(rank + 1, self->self.size, &box));
	case 11:
		return dup(shm_rank_box(rank, self->self.size == 2 ? 3 : 2, &box));
	default:
		break;
	}
	if (which == HELLO_SEGMENT)
		return dup(shm_rank_segment());
	if (which == HELLO_EVENT)
		return eventfd(0, EFD_CLOEXEC);
	if (rank >= SHM_RANKS)
		return dup(shm_rank_segment());
	which = (unsigned)shm_rank_box(rank, self->self.size, &box);
	box->asleep = 1; /* who tells it something has to wake it */
	return dup((int)which);
}

/* A hello that is nearly right. */
static void say_hello(int fd)
{
	int fds[FDS_MAX];
	unsigned rank = input_byte(&in), nfds = HELLO_FDS;
	uint8_t wrong = input_byte(&in), odd = input_byte(&in);
	size_t len = sizeof(struct shm_hello);
	struct shm_hello h;

	shm_rank_hello(&h, rank, self->self.size);
	if (wrong & 1)
		input_bytes(&in, h.token, sizeof(h.token));
	if (wrong & 2)
		h.version = (uint32_t)input_u64(&in);
	if (wrong & 4)
		h.size = (uint32_t)input_u64(&in);
	if (wrong & 8)
		h.base = input_u64(&in);
	if (wrong & 16)
		h.segment_bytes = h.len_bytes = input_u64(&in);
	if (wrong & 32)
		h.refused = input_byte(&in);
	if (wrong & 64)
		input_bytes(&in, h.why, sizeof(h.why));
	if (wrong & 128)
		len = input_byte(&in) * 2u % (len + 1);
	if (odd & 1)
		nfds = input_byte(&in) % (FDS_MAX + 1);
	for (unsigned i = 0; i < nfds; i++)
		fds[i] = descriptor(i % HELLO_FDS, rank,
				    odd & 2u << i % HELLO_FDS ? input_byte(&in) : 0);
	shm_rank_say(fd, &h, len, fds, nfds);
	for (unsigned i = 0; i < nfds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Also throws away the descriptors that come. */
static void hear(int fd)
{
	char buf[512];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = fd < 0 ? 0 : recvmsg(fd, &mh, MSG_DONTWAIT);

	(void)n;
}

static void step(void)
{
	uint8_t buf[512];
	unsigned i;
	size_t n;
	int fd;

	switch (input_byte(&in) % 8) {
	case 0:
		add_conn(shm_rank_dial(self));
		break;
	case 1:
		add_conn(listener < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		break;
	case 2:
		say_hello(pick_conn());
		break;
	case 3:
		fd = pick_conn();
		n = input_bytes(&in, buf, sizeof(buf));
		shm_rank_say(fd, buf, n, NULL, 0);
		break;
	case 4:
		i = input_byte(&in) % CONNS_MAX;
		if (conn[i] >= 0)
			close(conn[i]);
		conn[i] = -1;
		break;
	case 5:
		hear(pick_conn());
		break;
	case 6:
		fuzz_clock_forward((uint64_t)input_byte(&in) * 1000000u);
		break;
	case 7:
		fd = shm_rank_dial(self);
		say_hello(fd);
		add_conn(fd);
		break;
	}
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int ready;

	FUZZ_CHECK(npolls++ < POLLS_MAX, "it waits and waits");
	if (connecting && input_left(&in) && timeout_ms)
		step();
	ready = __real_poll(fds, n, 0);
	if (ready == 0 && !input_left(&in))
		fuzz_clock_forward((uint64_t)timeout_ms * 1000000u);
	return ready;
}

static void listen_as_peer(struct shm_card *card)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len;

	snprintf(card->socket, sizeof(card->socket), "fuzz-%d", (int)getpid());
	len = strlen(card->socket);
	memcpy(sa.sun_path + 1, card->socket, len);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(!bind(listener, (struct sockaddr *)&sa,
			 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) &&
			   !listen(listener, 8),
		   "%s", strerror(errno));
}

/* Own card for everybody, with some bytes changed. */
static void make_cards(struct shm_card *cards, unsigned size)
{
	for (unsigned r = 0; r < size; r++)
		cards[r] = self->self.card;
	if (self->self.rank > 0)
		listen_as_peer(&cards[0]);
	for (unsigned r = 0; r < size; r++) {
		unsigned changes = input_byte(&in);

		if (r == self->self.rank || changes > 8)
			continue;
		for (unsigned i = 0; i < changes; i++) {
			unsigned at = input_byte(&in) | (unsigned)input_byte(&in) << 8;

			((uint8_t *)&cards[r])[at % sizeof(cards[r])] = input_byte(&in);
		}
	}
}

/* Tell each peer something, and hear what it has; then it goes. */
static void use(unsigned size)
{
	struct msg m = { .kind = MSG_INV, .slots = 1, .src = (uint16_t)self->self.rank };

	for (unsigned r = 0; r < size; r++)
		if (r != self->self.rank)
			fuzz_expect_reason(self->base.ops->send(&self->base, r, &m), "send");
	for (unsigned i = 0; i < 4; i++)
		self->base.ops->poll(&self->base, 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct shm_card cards[SHM_RANKS];
	unsigned who, size;
	int rc;

	in = (struct input){ data, data + len };
	fuzz_clock_start();
	fuzz_log_clear();
	npolls = 0;
	who = input_byte(&in);
	size = who & 4 ? 3 : 2;
	for (unsigned i = 0; i < CONNS_MAX; i++)
		conn[i] = -1;
	self = shm_rank_create((who & 3) % size, size);
	make_cards(cards, size);
	connecting = true;
	rc = self->base.ops->connect(&self->base, NULL, (uint8_t *)cards, sizeof(cards[0]),
				     FUZZ_TOKEN, clock_ns() + 500000000u);
	connecting = false;
	fuzz_expect_reason(rc, "connect");
	if (rc == 0)
		use(size);
	self->base.ops->destroy(&self->base);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		if (conn[i] >= 0)
			close(conn[i]);
	if (listener >= 0)
		close(listener);
	listener = -1;
	fuzz_clock_stop();
	return 0;
}
