/* SPDX-License-Identifier: MIT */
/*
 * Cards and hellos of the shared-memory transport.
 *
 * A hello comes from a process that may be anybody's: it is taken apart only after its length and
 * magic are right, and what it claims counts for nothing before the token is known to be right.
 * Sentences name ranks, not "this side", since a refusal shows them to the other side too.
 */
#define _GNU_SOURCE
#include "shm_hello.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static_assert(offsetof(struct shm_hello, rank_words) == 84, "no hidden padding");
static_assert(offsetof(struct shm_hello, base) == 88, "no hidden padding");
static_assert(sizeof(struct shm_hello) == 312, "no hidden padding");

/* The kernel that runs: two machines never have the same. */
static int boot_id(char *id, size_t len)
{
	const char *path = "/proc/sys/kernel/random/boot_id";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return error_set_sys(errno, "cannot open %s; is /proc mounted?", path);
	n = read(fd, id, len - 1);
	close(fd);
	if (n <= 0)
		return error_set(EIO, "cannot read %s", path);
	id[n] = '\0';
	id[strcspn(id, "\n")] = '\0';
	return 0;
}

int shm_card_init(struct shm_card *card)
{
	struct stat st;
	int rc;

	memset(card, 0, sizeof(*card));
	card->magic = WIRE_MAGIC;
	card->version = WIRE_VERSION;
	card->pid = (uint32_t)getpid();
	card->uid = geteuid();
	rc = boot_id(card->boot_id, sizeof(card->boot_id));
	if (rc)
		return rc;
	if (stat("/proc/self/ns/net", &st))
		return error_set_sys(errno, "cannot look at /proc/self/ns/net");
	card->netns_dev = st.st_dev;
	card->netns_ino = st.st_ino;
	if (gethostname(card->host, sizeof(card->host) - 1))
		snprintf(card->host, sizeof(card->host), "?");
	return 0;
}

static bool terminated(const char *text, size_t len)
{
	return memchr(text, '\0', len) != NULL;
}

int shm_card_check(const struct shm_self *self, const struct shm_card *card, unsigned rank)
{
	const struct shm_card *own = &self->card;

	if (card->magic != WIRE_MAGIC || !terminated(card->boot_id, sizeof(card->boot_id)) ||
	    !terminated(card->host, sizeof(card->host)) ||
	    !terminated(card->socket, sizeof(card->socket)))
		return error_set(EPROTO,
				 "what rank %u tells about itself is no card of transport shm: see "
				 "that all ranks run the same libdsm and DSM_TRANSPORT",
				 rank);
	if (card->version != own->version)
		return error_set(
			EPROTO,
			"rank %u on %s speaks version %u of the wire format and rank %u on "
			"%s version %u: run the same libdsm everywhere",
			rank, card->host, card->version, self->rank, own->host, own->version);
	if (strcmp(card->boot_id, own->boot_id))
		return error_set(EHOSTUNREACH,
				 "rank %u runs on host %s and rank %u on host %s: transport shm "
				 "needs all ranks on one host",
				 rank, card->host, self->rank, own->host);
	if (card->netns_dev != own->netns_dev || card->netns_ino != own->netns_ino)
		return error_set(
			EHOSTUNREACH,
			"rank %u (%s) and rank %u (%s) are on one host but in different "
			"network namespaces: transport shm needs all ranks on one host and "
			"in one network namespace (containers: share the host's network)",
			rank, card->host, self->rank, own->host);
	if (card->uid != own->uid)
		return error_set(EPROTO,
				 "rank %u runs as user id %u and rank %u as user id %u: run all "
				 "ranks as one user",
				 rank, card->uid, self->rank, own->uid);
	return 0;
}

static void hello_init(const struct shm_self *self, struct shm_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	hello->magic = WIRE_MAGIC;
	hello->version = WIRE_VERSION;
	hello->rank = self->rank;
	hello->size = self->size;
	hello->rank_words = self->space->rank_words;
	hello->base = (uintptr_t)self->space->base;
	hello->len_bytes = self->space->len_bytes;
	hello->segment_bytes = self->space->segment_bytes;
	hello->box_bytes = shm_box_bytes(self->size);
}

/* Room for the descriptors, aligned as the kernel wants it. */
union hello_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(HELLO_FDS * sizeof(int))];
};

int shm_hello_send(const struct shm_self *self, int fd)
{
	int fds[HELLO_FDS] = { self->space->memfd, self->box_fd, self->event_fd };
	union hello_control control;
	struct shm_hello hello;
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cm;

	hello_init(self, &hello);
	memcpy(hello.token, self->token, sizeof(hello.token));
	memset(&control, 0, sizeof(control));
	cm = CMSG_FIRSTHDR(&mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cm), fds, sizeof(fds));
	if (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(hello))
		return 0;
	/* ETOOMANYREFS: too many descriptors of this user are under way at this moment. */
	if (errno == ETOOMANYREFS || errno == EINTR)
		return -EAGAIN;
	return -errno;
}

void shm_hello_refuse(const struct shm_self *self, int fd, const char *why)
{
	struct shm_hello hello;

	hello_init(self, &hello);
	hello.refused = 1;
	snprintf(hello.why, sizeof(hello.why), "%s", why);
	(void)send(fd, &hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The descriptors that came, in their order. False: not as many as a hello has, or more. */
static bool take_fds(struct msghdr *mh, int fds[HELLO_FDS])
{
	unsigned n = 0;
	int fd;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= cm->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, (char *)cm + at, sizeof(fd));
			if (n < HELLO_FDS)
				fds[n] = fd;
			else
				close(fd);
			n++;
		}
	}
	return n == HELLO_FDS;
}

int shm_hello_receive(int fd, struct shm_hello *hello, int fds[HELLO_FDS])
{
	union hello_control control;
	struct iovec iov = { hello, sizeof(*hello) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	bool complete;
	ssize_t n;
	int rc = 0;

	fds[HELLO_SEGMENT] = fds[HELLO_BOX] = fds[HELLO_EVENT] = -1;
	n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	complete = take_fds(&mh, fds);
	if (n == 0)
		rc = -ECONNRESET;
	else if (n < (ssize_t)sizeof(*hello) || (mh.msg_flags & MSG_TRUNC) ||
		 hello->magic != WIRE_MAGIC || !terminated(hello->token, sizeof(hello->token)) ||
		 !terminated(hello->why, sizeof(hello->why)))
		rc = -EBADMSG;
	else if (!complete && (mh.msg_flags & MSG_CTRUNC))
		rc = -EMFILE;
	else if (!complete && !hello->refused)
		rc = -EBADMSG;
	if (!rc)
		return 0;
	for (int i = 0; i < HELLO_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	fds[HELLO_SEGMENT] = fds[HELLO_BOX] = fds[HELLO_EVENT] = -1;
	return rc;
}

bool shm_hello_knows(const struct shm_self *self, const struct shm_hello *hello)
{
	unsigned diff = 0;

	/* Both are zero-padded: see hello_init() and the transport's connect(). */
	for (size_t i = 0; i < sizeof(self->token); i++)
		diff |= (unsigned char)self->token[i] ^ (unsigned char)hello->token[i];
	return diff == 0;
}

int shm_hello_check(const struct shm_self *self, const struct shm_hello *hello)
{
	const struct space *space = self->space;

	if (hello->version != WIRE_VERSION)
		return error_set(EPROTO,
				 "rank %u speaks version %u of the wire format and rank %u version "
				 "%u: run the same libdsm everywhere",
				 hello->rank, hello->version, self->rank, WIRE_VERSION);
	if (hello->size != self->size)
		return error_set(EPROTO,
				 "rank %u counts %u ranks and rank %u counts %u: give all the same "
				 "DSM_SIZE",
				 hello->rank, hello->size, self->rank, self->size);
	if (hello->base != (uintptr_t)space->base)
		return error_set(
			EPROTO,
			"rank %u has the global range at %#" PRIx64 " and rank %u at %#jx: "
			"give all the same DSM_BASE",
			hello->rank, hello->base, self->rank, (uintmax_t)(uintptr_t)space->base);
	if (hello->len_bytes != space->len_bytes)
		return error_set(EPROTO,
				 "the global range of rank %u has %" PRIu64
				 " bytes and that of rank "
				 "%u %" PRIu64 ": give all the same DSM_SPACE",
				 hello->rank, hello->len_bytes, self->rank, space->len_bytes);
	if (hello->segment_bytes != space->segment_bytes ||
	    hello->rank_words != space->rank_words || hello->box_bytes != shm_box_bytes(self->size))
		return error_set(EPROTO,
				 "ranks %u and %u lay out their memory differently: run the same "
				 "libdsm everywhere",
				 hello->rank, self->rank);
	return 0;
}
