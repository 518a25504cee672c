/* SPDX-License-Identifier: MIT */
/*
 * Getting a userfaultfd.
 *
 * Three ways, best first: the device, whose file mode an administrator can open to a group; the
 * system call, for the privileged or where vm.unprivileged_userfaultfd is 1; the system call with
 * UFFD_USER_MODE_ONLY, which everybody has, but which does not report accesses that the kernel
 * makes for a system call. A way may be shut by its absence (ENOENT), by permission (EACCES) or by
 * policy (EPERM, also from a container's system call filter): any of these leads on to the next.
 *
 * The kernel tells what it can do once per descriptor and takes what is wanted once per descriptor.
 * So one is opened to ask and another to use. One need has no feature bit, a CONTINUE that maps
 * write-protected, and is tried on a scratch page.
 */
#define _GNU_SOURCE
#include "uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "pager.h"

static const struct {
	uint64_t bit;
	const char *name;
	const char *kernel; /* the first that has it */
} features[] = {
	{ UFFD_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP", "5.7" },
	{ UFFD_FEATURE_EVENT_FORK, "EVENT_FORK", "4.11" },
	{ UFFD_FEATURE_EVENT_REMAP, "EVENT_REMAP", "4.11" },
	{ UFFD_FEATURE_EVENT_REMOVE, "EVENT_REMOVE", "4.11" },
	{ UFFD_FEATURE_MISSING_HUGETLBFS, "MISSING_HUGETLBFS", "4.11" },
	{ UFFD_FEATURE_MISSING_SHMEM, "MISSING_SHMEM", "4.11" },
	{ UFFD_FEATURE_EVENT_UNMAP, "EVENT_UNMAP", "4.11" },
	{ UFFD_FEATURE_SIGBUS, "SIGBUS", "4.14" },
	{ UFFD_FEATURE_THREAD_ID, "THREAD_ID", "4.14" },
	{ UFFD_FEATURE_MINOR_HUGETLBFS, "MINOR_HUGETLBFS", "5.13" },
	{ UFFD_FEATURE_MINOR_SHMEM, "MINOR_SHMEM", "5.14" },
	{ UFFD_FEATURE_EXACT_ADDRESS, "EXACT_ADDRESS", "5.18" },
	{ UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM", "5.19" },
	{ UFFD_FEATURE_WP_UNPOPULATED, "WP_UNPOPULATED", "6.4" },
	{ UFFD_FEATURE_POISON, "POISON", "6.6" },
	{ UFFD_FEATURE_WP_ASYNC, "WP_ASYNC", "6.7" },
	{ UFFD_FEATURE_MOVE, "MOVE", "6.8" },
};
#define FEATURES (sizeof(features) / sizeof(features[0]))

/* The first kernel whose CONTINUE takes MODE_WP, and the first that has all that libdsm needs. */
#define KERNEL_MAP_PROTECTED "6.4"
#define KERNEL_NEEDED        "6.6"

enum way { WAY_DEVICE, WAY_SYSCALL, WAY_USER, WAYS };

/* A raw descriptor, or -errno. */
static int way_open(enum way way)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int device, fd, err;

	if (way != WAY_DEVICE) {
		if (way == WAY_USER)
			flags |= UFFD_USER_MODE_ONLY;
		fd = (int)syscall(SYS_userfaultfd, flags);
		return fd < 0 ? -errno : fd;
	}
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -errno;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
	err = -errno;
	close(device);
	return fd < 0 ? err : fd;
}

/* Shake hands: enable the wanted features, learn which exist. Once per descriptor. */
static int handshake(int fd, uint64_t wanted, uint64_t *exist)
{
	struct uffdio_api api = { .api = UFFD_API, .features = wanted };

	if (ioctl(fd, UFFDIO_API, &api))
		return -errno;
	*exist = api.features;
	return 0;
}

/* Does CONTINUE map a page of a memfd write-protected? fd: after its handshake. */
static bool try_map_protected_at(int fd, int memfd, uint8_t *page)
{
	struct uffdio_range range = { (uintptr_t)page, GRANULE_BYTES };
	struct uffdio_register reg = {
		.range = range,
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR |
			UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_continue cont = { .range = range, .mode = UFFDIO_CONTINUE_MODE_WP };

	return !fallocate(memfd, 0, 0, GRANULE_BYTES) && !ioctl(fd, UFFDIO_REGISTER, &reg) &&
	       !ioctl(fd, UFFDIO_CONTINUE, &cont);
}

static bool try_map_protected(int fd)
{
	int memfd = memfd_create("dsm-probe", MFD_CLOEXEC);
	bool ok = false;
	uint8_t *page;

	if (memfd < 0)
		return false;
	if (ftruncate(memfd, GRANULE_BYTES))
		goto out;
	page = mmap(NULL, GRANULE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (page == MAP_FAILED)
		goto out;
	ok = try_map_protected_at(fd, memfd, page);
	munmap(page, GRANULE_BYTES);
out:
	close(memfd);
	return ok;
}

/* What a way offers: features, and whether CONTINUE maps write-protected. 0 or -errno. */
static int way_probe(enum way way, uint64_t *exist, bool *map_protected)
{
	uint64_t ignored;
	int fd, err;

	fd = way_open(way);
	if (fd < 0)
		return fd;
	err = handshake(fd, 0, exist);
	close(fd);
	if (err)
		return err;
	*map_protected = false;
	fd = way_open(way);
	if (fd < 0)
		return fd;
	if (!handshake(fd, *exist & UFFD_NEEDED, &ignored))
		*map_protected = try_map_protected(fd);
	close(fd);
	return 0;
}

const char *pager_uffd_feature_names(uint64_t mask, char *buf, size_t len)
{
	size_t used = 0;

	if (len)
		buf[0] = '\0';
	for (size_t i = 0; i < FEATURES; i++) {
		int n;

		if (!(mask & features[i].bit))
			continue;
		n = snprintf(buf + used, len - used, "%s%s", used ? " " : "", features[i].name);
		if (n < 0 || (size_t)n >= len - used)
			break;
		used += (size_t)n;
	}
	return buf;
}

void pager_uffd_probe(struct pager_probe *probe)
{
	int *errnos[WAYS] = { &probe->device_errno, &probe->syscall_errno, &probe->user_errno };
	bool probed = false;

	memset(probe, 0, sizeof(*probe));
	for (enum way way = 0; way < WAYS; way++) {
		int fd = way_open(way);

		*errnos[way] = fd < 0 ? -fd : 0;
		if (fd < 0)
			continue;
		close(fd);
		if (!probed)
			probed = !way_probe(way, &probe->features, &probe->map_protected);
	}
	probe->missing = UFFD_NEEDED & ~probe->features;
}

static int refuse_features(uint64_t missing)
{
	for (size_t i = 0; i < FEATURES; i++) {
		if (missing & features[i].bit)
			return error_set(EOPNOTSUPP,
					 "userfaultfd of this kernel lacks %s, which Linux %s has: "
					 "libdsm needs Linux " KERNEL_NEEDED " or later",
					 features[i].name, features[i].kernel);
	}
	return error_set(EOPNOTSUPP,
			 "userfaultfd of this kernel cannot map an existing page write-protected "
			 "(UFFDIO_CONTINUE_MODE_WP), which Linux " KERNEL_MAP_PROTECTED
			 " can: libdsm needs Linux " KERNEL_NEEDED " or later");
}

/* No way is open. errnos: of each way, 0 if it was not allowed to be tried. */
static int refuse_ways(const int errnos[WAYS])
{
	static const char *const names[WAYS] = { "/dev/userfaultfd", "userfaultfd(2)",
						 "userfaultfd(2) in user mode" };
	char list[256] = "";
	size_t used = 0;
	int err = ENOSYS;

	for (enum way way = 0; way < WAYS; way++) {
		int n;

		if (!errnos[way])
			continue;
		n = snprintf(list + used, sizeof(list) - used, "%s%s: %s", used ? ", " : "",
			     names[way], strerrordesc_np(errnos[way]));
		if (n > 0 && (size_t)n < sizeof(list) - used)
			used += (size_t)n;
		if (errnos[way] != ENOSYS && errnos[way] != ENOENT)
			err = errnos[way] == EACCES ? EPERM : errnos[way];
	}
	if (err == ENOSYS)
		return error_set(err,
				 "no userfaultfd here (%s): the kernel was built without "
				 "CONFIG_USERFAULTFD",
				 list);
	return error_set(err,
			 "no userfaultfd may be used here (%s): give this user access to "
			 "/dev/userfaultfd, or set sysctl vm.unprivileged_userfaultfd=1, or, in a "
			 "container, let its system call filter (seccomp) pass userfaultfd",
			 list);
}

/* The features of an open way are checked on descriptors of their own before this one's handshake.
 */
static int way_use(enum way way, bool by_signal)
{
	uint64_t exist, needed = UFFD_NEEDED | (by_signal ? UFFD_FEATURE_SIGBUS : 0);
	bool map_protected;
	int fd, err;

	err = way_probe(way, &exist, &map_protected);
	if (err)
		return error_set_sys(-err, "userfaultfd does not answer (UFFDIO_API)");
	if ((exist & needed) != needed || !map_protected)
		return refuse_features(needed & ~exist);
	fd = way_open(way);
	if (fd < 0)
		return error_set_sys(-fd, "cannot open userfaultfd again");
	err = handshake(fd, needed | (exist & UFFD_WELCOME), &exist);
	if (!err)
		return fd;
	close(fd);
	return error_set_sys(-err, "userfaultfd does not enable the features that it has");
}

int uffd_open(enum uffd_kind kind, bool by_signal, bool *user_only)
{
	enum way first = kind == UFFD_USER ? WAY_USER : WAY_DEVICE;
	enum way last = kind == UFFD_KERNEL ? WAY_SYSCALL : WAY_USER;
	int errnos[WAYS] = { 0 };

	for (enum way way = first; way <= last; way++) {
		int fd = way_open(way);

		if (fd < 0) {
			errnos[way] = -fd;
			continue;
		}
		close(fd);
		*user_only = way == WAY_USER;
		if (*user_only && kind == UFFD_AUTO && !by_signal)
			log_warn(
				"userfaultfd in user mode only: read(2), write(2) and other system "
				"calls fail with EFAULT on shared pages that are not here; call "
				"dsm_acquire() before them, or set sysctl "
				"vm.unprivileged_userfaultfd=1 or give this user access to "
				"/dev/userfaultfd");
		return way_use(way, by_signal);
	}
	return refuse_ways(errnos);
}
