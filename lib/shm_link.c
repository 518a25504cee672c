/* SPDX-License-Identifier: MIT */
/*
 * See shm_link.h. What a peer passes is looked at before it is used: it may be of another job, of
 * another version, or no mailbox at all.
 */
#define _GNU_SOURCE
#include "shm_link.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "shm_connect.h"

/* A peer's memory must have its full size and keep it, or touching it would raise SIGBUS. */
static int check_memfd(int fd, uint64_t len_bytes, unsigned rank, const char *what)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) ||
	    (uint64_t)st.st_size != len_bytes)
		return error_set(EPROTO,
				 "the %s that rank %u passed is not a sealed memfd of %" PRIu64
				 " bytes",
				 what, rank, len_bytes);
	return 0;
}

static int map_box(const struct shm_self *self, struct shm_link *link, int fd, unsigned rank)
{
	uint64_t len_bytes = shm_box_bytes(self->size);
	struct shm_box *box;
	void *map;
	int rc;

	rc = check_memfd(fd, len_bytes, rank, "mailbox");
	if (!rc)
		rc = shm_map(&map, fd, len_bytes, "a peer's mailbox");
	if (rc)
		return rc;
	link->box = box = map;
	if (box->magic == SHM_BOX_MAGIC && box->version == WIRE_VERSION && box->rank == rank &&
	    box->size == self->size && !memcmp(box->token, self->token, sizeof(self->token)))
		return 0;
	return error_set(EPROTO, "the mailbox that rank %u passed is not its own", rank);
}

static int map_view(const struct shm_self *self, struct shm_link *link, int fd, unsigned rank)
{
	uint64_t len_bytes = self->space->segment_bytes;
	void *map;
	int rc;

	rc = check_memfd(fd, len_bytes, rank, "segment");
	if (!rc)
		rc = shm_map(&map, fd, len_bytes, "a peer's segment");
	if (!rc)
		link->view = map;
	return rc;
}

/*
 * Nobody can tell an eventfd from other files without a type, but writing to any of them does no
 * harm. A pipe or a socket would raise SIGPIPE, a regular file SIGXFSZ.
 */
static int take_event(struct shm_link *link, int *fd, unsigned rank)
{
	struct stat st;

	if (fstat(*fd, &st) || st.st_mode & S_IFMT)
		return error_set(EPROTO, "what rank %u passed to wake it is no eventfd", rank);
	/* Whatever it is, writing to it must not block. */
	if (fcntl(*fd, F_SETFL, O_RDWR | O_NONBLOCK))
		return error_set_sys(errno, "rank %u passed an unusable eventfd", rank);
	link->event_fd = *fd;
	*fd = -1;
	return 0;
}

int shm_link_take(struct shm_link *link, const struct shm_self *self, int fds[HELLO_FDS],
		  unsigned rank)
{
	int rc;

	rc = map_view(self, link, fds[HELLO_SEGMENT], rank);
	if (!rc)
		rc = map_box(self, link, fds[HELLO_BOX], rank);
	if (!rc)
		rc = take_event(link, &fds[HELLO_EVENT], rank);
	return rc;
}

void shm_link_close(struct shm_link *link)
{
	if (link->control_fd >= 0) {
		/* Also where a forked child has inherited it. */
		shutdown(link->control_fd, SHUT_RDWR);
		close(link->control_fd);
	}
	if (link->event_fd >= 0)
		close(link->event_fd);
	link->control_fd = link->event_fd = -1;
}

void shm_link_fini(struct shm_link *link, const struct shm_self *self)
{
	shm_link_close(link);
	if (link->view)
		munmap(link->view, self->space->segment_bytes);
	if (link->box)
		munmap(link->box, shm_box_bytes(self->size));
	link->view = NULL;
	link->box = NULL;
}
