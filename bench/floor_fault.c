/* SPDX-License-Identifier: MIT */
/*
 * Floor of faults: raw system calls, none of the library's code.
 *
 * The handler thread owns the descriptor's events; the thread that measures prepares the memory
 * while no access is under way. Both are in one process, as in the library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "floor_fault.h"

/* Kernel headers of Debian 12 lack these. */
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

struct floor_fault {
	struct bench *bench;
	int uffd;
	int memfd;
	int wakefd; /* eventfd: spinning or stop has changed */
	bool stop;
	enum floor_handler mode; /* of the handler while it is measured */
	bool spinning; /* it is measured, and does not sleep */
	bool writes; /* FLOOR_INLINE: faults are stores */
	enum floor_state state; /* FLOOR_INLINE: what faults find */
	cpu_set_t one; /* the core of the thread that faults */
	cpu_set_t cores; /* all that it may use, to go back to */
	struct sigaction old; /* FLOOR_INLINE */
	size_t len_bytes;
	uint8_t *memory; /* watched */
	uint8_t *alias; /* the same frames, not watched; NULL for anonymous memory */
	uint8_t *source; /* what pages are filled from */
	pthread_t handler;
};

static void fail(const struct floor_fault *f, const char *what)
{
	bench_fail(f->bench, "floor: %s: %s", what, strerror(errno));
}

/* The most privileged descriptor that is to be had. */
static int open_uffd(void)
{
	int fd = -1, device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	}
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return fd;
}

/* False: this kernel does not raise SIGBUS for userfaultfd. */
static bool watch(struct floor_fault *f)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)f->memory, f->len_bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	if (f->alias) {
		api.features |= UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |
				UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
		reg.mode |= UFFDIO_REGISTER_MODE_MINOR;
	}
	f->uffd = open_uffd();
	if (f->uffd < 0)
		fail(f, "userfaultfd");
	if (f->mode == FLOOR_INLINE)
		api.features |= UFFD_FEATURE_SIGBUS;
	if (ioctl(f->uffd, UFFDIO_API, &api)) {
		if (f->mode == FLOOR_INLINE && errno == EINVAL)
			return false;
		fail(f, "UFFDIO_API");
	}
	if (ioctl(f->uffd, UFFDIO_REGISTER, &reg))
		fail(f, "UFFDIO_REGISTER");
	return true;
}

static uint8_t *map(struct floor_fault *f, int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *p = mmap(NULL, f->len_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		fail(f, "mmap");
	madvise(p, f->len_bytes, MADV_NOHUGEPAGE);
	return p;
}

static void map_memory(struct floor_fault *f, enum floor_memory memory)
{
	f->memfd = -1;
	if (memory == FLOOR_MEMFD) {
		f->memfd = memfd_create("dsm_bench_floor", MFD_CLOEXEC);
		if (f->memfd < 0 || ftruncate(f->memfd, (off_t)f->len_bytes))
			fail(f, "memfd_create");
		f->alias = map(f, f->memfd);
	}
	f->memory = map(f, f->memfd);
	f->source = map(f, -1);
	memset(f->source, 1, f->len_bytes);
}

static void copy(struct floor_fault *f, size_t start, size_t len_bytes, bool writable)
{
	struct uffdio_copy c = {
		.dst = (uintptr_t)f->memory + start,
		.src = (uintptr_t)f->source + start,
		.len = len_bytes,
		.mode = writable ? 0 : UFFDIO_COPY_MODE_WP,
	};

	while (ioctl(f->uffd, UFFDIO_COPY, &c)) {
		if (errno != EAGAIN)
			fail(f, "UFFDIO_COPY");
		if (c.copy > 0) {
			c.dst += (__u64)c.copy;
			c.src += (__u64)c.copy;
			c.len -= (__u64)c.copy;
		}
		c.copy = 0;
	}
}

static void copy_and_continue(struct floor_fault *f, size_t start, size_t len_bytes, bool writable)
{
	struct uffdio_continue c = {
		.range = { (uintptr_t)f->memory + start, len_bytes },
		.mode = writable ? 0 : UFFDIO_CONTINUE_MODE_WP,
	};

	memcpy(f->alias + start, f->source + start, len_bytes);
	while (ioctl(f->uffd, UFFDIO_CONTINUE, &c)) {
		if (errno != EAGAIN)
			fail(f, "UFFDIO_CONTINUE with MODE_WP");
		if (c.mapped > 0) {
			c.range.start += (__u64)c.mapped;
			c.range.len -= (__u64)c.mapped;
		}
		c.mapped = 0;
	}
}

static void protect(struct floor_fault *f, size_t start, size_t len_bytes, uint64_t mode)
{
	struct uffdio_writeprotect w = {
		.range = { (uintptr_t)f->memory + start, len_bytes },
		.mode = mode,
	};

	while (ioctl(f->uffd, UFFDIO_WRITEPROTECT, &w))
		if (errno != EAGAIN)
			fail(f, "UFFDIO_WRITEPROTECT");
}

static void resolve(struct floor_fault *f, const struct uffd_msg *msg)
{
	size_t start = (msg->arg.pagefault.address & ~(PAGE_BYTES - 1)) - (uintptr_t)f->memory;
	bool writable = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE;

	if (msg->event != UFFD_EVENT_PAGEFAULT)
		return;
	if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
		protect(f, start, PAGE_BYTES, 0);
	else if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR)
		copy_and_continue(f, start, PAGE_BYTES, writable);
	else
		copy(f, start, PAGE_BYTES, writable);
}

/* False when it is time to stop. */
static bool await_event(struct floor_fault *f)
{
	struct pollfd fds[2] = {
		{ .fd = f->uffd, .events = POLLIN },
		{ .fd = f->wakefd, .events = POLLIN },
	};
	eventfd_t count;

	/* pairs with the release in set_and_wake() */
	if (!__atomic_load_n(&f->spinning, __ATOMIC_ACQUIRE)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			fail(f, "poll");
		if (fds[1].revents)
			eventfd_read(f->wakefd, &count);
	}
	return !__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE);
}

static void *handle(void *arg)
{
	struct floor_fault *f = arg;
	struct uffd_msg msg;

	while (await_event(f)) {
		while (read(f->uffd, &msg, sizeof(msg)) == sizeof(msg))
			resolve(f, &msg);
		if (f->mode == FLOOR_YIELDS)
			sched_yield();
	}
	return NULL;
}

static void set_and_wake(struct floor_fault *f, bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELEASE);
	if (eventfd_write(f->wakefd, 1))
		fail(f, "eventfd_write");
}

/*
 * FLOOR_INLINE
 */

static struct floor_fault *inline_floor; /* the one that is under way */

static void handle_inline(int signal, siginfo_t *info, void *context)
{
	struct floor_fault *f = inline_floor;
	size_t start = ((uintptr_t)info->si_addr & ~(PAGE_BYTES - 1)) - (uintptr_t)f->memory;

	(void)signal;
	(void)context;
	if (start >= f->len_bytes)
		abort(); /* not ours: memory that is not there */
	if (f->state == FLOOR_PROTECTED)
		protect(f, start, PAGE_BYTES, 0);
	else if (f->state == FLOOR_UNMAPPED)
		copy_and_continue(f, start, PAGE_BYTES, f->writes);
	else
		copy(f, start, PAGE_BYTES, f->writes);
}

static void begin_inline(struct floor_fault *f)
{
	struct sigaction action = { .sa_sigaction = handle_inline, .sa_flags = SA_SIGINFO };

	inline_floor = f;
	if (sigaction(SIGBUS, &action, &f->old))
		fail(f, "sigaction");
}

/*
 * Around what is measured
 */

static void begin(struct floor_fault *f)
{
	if (f->mode == FLOOR_SPINS || f->mode == FLOOR_YIELDS)
		set_and_wake(f, &f->spinning, true);
	else if (f->mode == FLOOR_INLINE)
		begin_inline(f);
}

void floor_fault_rest(struct floor_fault *f)
{
	if (f->mode == FLOOR_SPINS || f->mode == FLOOR_YIELDS)
		set_and_wake(f, &f->spinning, false);
	else if (f->mode == FLOOR_INLINE)
		sigaction(SIGBUS, &f->old, NULL);
}

void floor_fault_take_core(struct floor_fault *f)
{
	if (sched_setaffinity(0, sizeof(f->one), &f->one))
		fail(f, "sched_setaffinity");
}

void floor_fault_leave_core(struct floor_fault *f)
{
	if (sched_setaffinity(0, sizeof(f->cores), &f->cores))
		fail(f, "sched_setaffinity");
}

static void look_at_cores(struct floor_fault *f)
{
	int cpu = 0;

	CPU_ZERO(&f->cores);
	CPU_ZERO(&f->one);
	if (sched_getaffinity(0, sizeof(f->cores), &f->cores))
		fail(f, "sched_getaffinity");
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &f->cores))
		cpu++;
	CPU_SET(cpu, &f->one);
}

static void start_handler(struct floor_fault *f)
{
	pthread_attr_t attr;
	cpu_set_t handlers = f->one;

	if (f->mode != FLOOR_SAME_CORE && CPU_COUNT(&f->cores) > 1)
		CPU_XOR(&handlers, &f->cores, &f->one);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(handlers), &handlers);
	errno = pthread_create(&f->handler, &attr, handle, f);
	pthread_attr_destroy(&attr);
	if (errno)
		fail(f, "pthread_create");
}

static void free_memory(struct floor_fault *f)
{
	close(f->uffd);
	munmap(f->memory, f->len_bytes);
	munmap(f->source, f->len_bytes);
	if (f->alias) {
		munmap(f->alias, f->len_bytes);
		close(f->memfd);
	}
	free(f);
}

struct floor_fault *floor_fault_create(struct bench *b, enum floor_memory memory,
				       enum floor_handler handler, size_t len_bytes)
{
	struct floor_fault *f = calloc(1, sizeof(*f));

	if (!f)
		bench_fail(b, "no memory for a floor");
	f->bench = b;
	f->mode = handler;
	f->len_bytes = len_bytes;
	map_memory(f, memory);
	if (!watch(f)) {
		free_memory(f);
		return NULL;
	}
	f->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->wakefd < 0)
		fail(f, "eventfd");
	look_at_cores(f);
	if (handler != FLOOR_INLINE)
		start_handler(f);
	return f;
}

void floor_fault_destroy(struct floor_fault *f)
{
	if (!f)
		return;
	if (f->mode != FLOOR_INLINE) {
		set_and_wake(f, &f->stop, true);
		pthread_join(f->handler, NULL);
	}
	close(f->wakefd);
	free_memory(f);
}

uint8_t *floor_fault_memory(const struct floor_fault *f)
{
	return f->memory;
}

static void make_missing(struct floor_fault *f)
{
	const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (f->alias && fallocate(f->memfd, hole, 0, (off_t)f->len_bytes))
		fail(f, "fallocate");
	if (madvise(f->memory, f->len_bytes, MADV_DONTNEED))
		fail(f, "madvise");
}

void floor_fault_set_writes(struct floor_fault *f, bool writes)
{
	f->writes = writes;
}

void floor_fault_prepare(struct floor_fault *f, enum floor_state state)
{
	f->state = state;
	begin(f);
	make_missing(f);
	if (state == FLOOR_MISSING)
		return;
	copy(f, 0, f->len_bytes, state == FLOOR_WRITABLE);
	/* the alias is mapped throughout: its own faults are no part of the floor */
	for (size_t at = 0; f->alias && at < f->len_bytes; at += PAGE_BYTES)
		*(volatile uint8_t *)(f->alias + at) = 1;
	if (state == FLOOR_UNMAPPED && madvise(f->memory, f->len_bytes, MADV_DONTNEED))
		fail(f, "madvise");
}

void floor_fault_fill(struct floor_fault *f, enum floor_state state, size_t start, size_t len_bytes)
{
	if (state == FLOOR_UNMAPPED)
		copy_and_continue(f, start, len_bytes, false);
	else
		copy(f, start, len_bytes, false);
}

void floor_fault_put(struct floor_fault *f, size_t start, size_t len_bytes)
{
	protect(f, start, len_bytes, UFFDIO_WRITEPROTECT_MODE_WP);
	memcpy(f->source + start, f->alias + start, len_bytes);
}
