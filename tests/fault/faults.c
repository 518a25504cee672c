/* SPDX-License-Identifier: MIT */
/*
 * See faults.h. The linker sends a call of f() to __wrap_f(), and of __real_f() to f().
 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct fault_kind fault_kinds[] = {
	{ "calloc", ENOMEM, UNTIL_END },
	{ "malloc", ENOMEM, UNTIL_END },
	{ "mmap", ENOMEM, UNTIL_END },
	{ "madvise", EAGAIN, UNTIL_ALLOC },
	{ "mprotect", ENOMEM, UNTIL_END },
	{ "memfd_create", EMFILE, UNTIL_END },
	{ "ftruncate", ENOSPC, UNTIL_END },
	{ "fallocate", ENOSPC, UNTIL_ALLOC },
	{ "fallocate", EINTR, UNTIL_END },
	{ "fcntl", EPERM, UNTIL_END },
	{ "fstat", ENOMEM, UNTIL_END },
	{ "fchmod", EPERM, UNTIL_END },
	{ "open", EMFILE, UNTIL_ALLOC },
	{ "fopen", EMFILE, UNTIL_END },
	{ "ioctl", ENOMEM, UNTIL_ALLOC },
	{ "ioctl", EAGAIN, UNTIL_ALLOC },
	{ "userfaultfd", EMFILE, UNTIL_END },
	{ "userfaultfd", EPERM, UNTIL_END },
	{ "getrandom", EINTR, UNTIL_END },
	{ "socket", EMFILE, UNTIL_END },
	{ "bind", ENOMEM, UNTIL_END },
	{ "listen", ENOBUFS, UNTIL_END },
	{ "connect", ENOBUFS, UNTIL_END },
	{ "connect", EINTR, UNTIL_END },
	{ "accept4", EMFILE, UNTIL_END },
	{ "accept4", ECONNABORTED, UNTIL_END },
	{ "getsockopt", ENOBUFS, UNTIL_END },
	{ "setsockopt", ENOMEM, UNTIL_END },
	{ "getaddrinfo", EAI_MEMORY, UNTIL_END },
	{ "sendmsg", ECONNRESET, UNTIL_END },
	{ "recvmsg", ECONNRESET, UNTIL_END },
	{ "send", ECONNRESET, UNTIL_END },
	{ "send", EINTR, UNTIL_END },
	{ "recv", ECONNRESET, UNTIL_END },
	{ "recv", EINTR, UNTIL_END },
	{ "poll", ENOMEM, UNTIL_END },
	{ "poll", EINTR, UNTIL_END },
	{ "eventfd", EMFILE, UNTIL_END },
	{ "epoll_create1", EMFILE, UNTIL_END },
	{ "epoll_ctl", ENOSPC, UNTIL_INIT },
	{ "epoll_pwait2", EINTR, UNTIL_END },
	{ "pthread_create", EAGAIN, UNTIL_END },
	{ NULL, 0, UNTIL_END },
};

static const struct fault_kind *_Atomic armed;
static atomic_uint left;

void fault_arm(const struct fault_kind *kind, unsigned nth)
{
	left = nth;
	armed = kind;
}

bool fault_disarm(void)
{
	armed = NULL;
	return left == 0;
}

static bool strikes(const char *call)
{
	const struct fault_kind *kind = armed;

	if (!kind || strcmp(kind->call, call) != 0)
		return false;
	for (unsigned n = left; n;)
		if (atomic_compare_exchange_weak(&left, &n, n - 1)) {
			if (n == 1)
				errno = kind->error;
			return n == 1;
		}
	return false;
}

/* f() with its parameters, and what it returns when it fails. */
#define WRAP(type, f, failed, parameters, arguments)                                               \
	type __real_##f parameters;                                                                \
	type __wrap_##f parameters;                                                                \
	type __wrap_##f parameters                                                                 \
	{                                                                                          \
		return strikes(#f) ? (failed) : __real_##f arguments;                              \
	}

WRAP(void *, calloc, NULL, (size_t n, size_t size), (n, size))
WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, mmap, MAP_FAILED, (void *addr, size_t len, int prot, int flags, int fd, off_t at),
     (addr, len, prot, flags, fd, at))
WRAP(int, madvise, -1, (void *addr, size_t len, int advice), (addr, len, advice))
WRAP(int, mprotect, -1, (void *addr, size_t len, int prot), (addr, len, prot))
WRAP(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
WRAP(int, ftruncate, -1, (int fd, off_t len), (fd, len))
WRAP(int, fallocate, -1, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
WRAP(int, fstat, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
WRAP(ssize_t, getrandom, -1, (void *buf, size_t len, unsigned flags), (buf, len, flags))
WRAP(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(int, listen, -1, (int fd, int backlog), (fd, backlog))
WRAP(int, connect, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(int, accept4, -1, (int fd, struct sockaddr *sa, socklen_t *len, int flags),
     (fd, sa, len, flags))
WRAP(int, getsockopt, -1, (int fd, int level, int name, void *value, socklen_t *len),
     (fd, level, name, value, len))
WRAP(int, setsockopt, -1, (int fd, int level, int name, const void *value, socklen_t len),
     (fd, level, name, value, len))
WRAP(int, getaddrinfo, EAI_MEMORY,
     (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result),
     (host, port, hints, result))
WRAP(ssize_t, sendmsg, -1, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, recvmsg, -1, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, send, -1, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags))
WRAP(ssize_t, recv, -1, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags))
WRAP(int, poll, -1, (struct pollfd * fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms))
WRAP(int, eventfd, -1, (unsigned value, int flags), (value, flags))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_ctl, -1, (int fd, int op, int other, struct epoll_event *e), (fd, op, other, e))
WRAP(int, epoll_pwait2, -1,
     (int fd, struct epoll_event *e, int max, const struct timespec *ts, const sigset_t *mask),
     (fd, e, max, ts, mask))
WRAP(int, pthread_create, EAGAIN,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
     (thread, attr, run, arg))

/* Without the device: libdsm would take it, and never make the system call. */
static bool hidden(const char *path)
{
	const struct fault_kind *kind = armed;

	if (!kind || strcmp(kind->call, "userfaultfd") != 0 ||
	    strcmp(path, "/dev/userfaultfd") != 0)
		return false;
	errno = EACCES;
	return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return hidden(path) || strikes("open") ? -1 : __real_open(path, flags, mode);
}

/* Those with a variable number of arguments; a pointer or a number passes as a long. */
#define WRAP_VARIADIC(f, request)                                                                  \
	int __real_##f(int a, request b, ...);                                                     \
	int __wrap_##f(int a, request b, ...);                                                     \
	int __wrap_##f(int a, request b, ...)                                                      \
	{                                                                                          \
		va_list args;                                                                      \
		long last;                                                                         \
                                                                                                   \
		va_start(args, b);                                                                 \
		last = va_arg(args, long);                                                         \
		va_end(args);                                                                      \
		return strikes(#f) ? -1 : __real_##f(a, b, last);                                  \
	}

WRAP_VARIADIC(fcntl, int)
WRAP_VARIADIC(ioctl, unsigned long)

/*
 * Undoing twice does no harm here, and much in a program with threads: the number or the address
 * may be somebody else's by then. So it ends the test.
 */

static void misused(const char *call, long what)
{
	fprintf(stderr, "%s of %#lx, which is not there\n", call, what);
	abort();
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int rc = __real_close(fd);

	if (rc && errno == EBADF)
		misused("close", fd);
	return rc;
}

int __real_munmap(void *addr, size_t len);
int __wrap_munmap(void *addr, size_t len);
int __wrap_munmap(void *addr, size_t len)
{
	unsigned char first;

	if (mincore(addr, 1, &first))
		misused("munmap", (long)addr);
	return __real_munmap(addr, len);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	va_list args;
	long a[6];

	va_start(args, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_userfaultfd && strikes("userfaultfd"))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
