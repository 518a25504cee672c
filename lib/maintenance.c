/* SPDX-License-Identifier: MIT */
/*
 * Cache maintenance: the choice of a back end, and what each of a transport's calls comes to.
 */
#define _GNU_SOURCE
#include "maintenance_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dsm_cache.h"
#include "error.h"

static void take(struct maintenance *m, const struct maintenance_ops *ops, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void take(struct maintenance *m, const struct maintenance_ops *ops, const char *fmt, ...)
{
	va_list args;

	m->ops = ops;
	va_start(args, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, args);
	va_end(args);
}

static int choose_user(struct maintenance *m)
{
	if (!maintenance_user())
		return error_set(EOPNOTSUPP,
				 "DSM_CACHE_MAINTENANCE is user, but this processor has no "
				 "instructions for it that a program may use; set it to auto");
	take(m, maintenance_user(), "DSM_CACHE_MAINTENANCE asks for it");
	return 0;
}

/* The module stands on the instructions for what it refuses. */
static int choose_kernel(struct maintenance *m, const char *path)
{
	int fd = maintenance_kernel_open(path);

	if (fd < 0)
		return fd;
	m->fd = fd;
	take(m, &maintenance_kernel, "DSM_CACHE_MAINTENANCE asks for it");
	return 0;
}

/*
 * The module knows best whether the device is coherent. It is not what then does the work where
 * programs have instructions: a call of it takes longer than these for a page (bench/README.md).
 */
static void choose_auto(struct maintenance *m, const char *device, const char *path,
			const char *sysfs)
{
	int fd = device ? maintenance_kernel_open(path) : -1;
	char why[sizeof(m->why) - 32];

	if (maintenance_coherence(device, fd, sysfs, why, sizeof(why)) == COHERENCE_YES) {
		take(m, NULL, "%s", why);
	} else if (maintenance_user()) {
		take(m, maintenance_user(), "%s", why);
	} else if (fd >= 0) {
		take(m, &maintenance_kernel, "%s", why);
		m->fd = fd;
		return;
	} else {
		take(m, NULL, "%s, and nothing here could help", why);
	}
	if (fd >= 0)
		close(fd);
	error_clear();
}

int maintenance_choose(struct maintenance *m, enum maintenance_kind kind, const char *device,
		       const char *path, const char *sysfs)
{
	int err = 0;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	switch (kind) {
	case MAINTENANCE_NONE:
		take(m, NULL, "DSM_CACHE_MAINTENANCE asks for it");
		break;
	case MAINTENANCE_USER:
		err = choose_user(m);
		break;
	case MAINTENANCE_KERNEL:
		err = choose_kernel(m, path);
		break;
	case MAINTENANCE_AUTO:
		choose_auto(m, device, path, sysfs);
		break;
	}
	if (err)
		maintenance_fini(m);
	return err;
}

int maintenance_init(struct maintenance *m, enum maintenance_kind kind, const char *device)
{
	return maintenance_choose(m, kind, device, DSM_CACHE_PATH, MAINTENANCE_SYSFS);
}

void maintenance_fini(struct maintenance *m)
{
	/* So that one that was never chosen may end as well. */
	if (m->ops == &maintenance_kernel)
		close(m->fd);
	m->fd = -1;
	m->ops = NULL;
}

void maintenance_do(struct maintenance *m, enum maintenance_call call, const volatile void *addr,
		    size_t len_bytes)
{
	switch (call) {
	case MAINTENANCE_DEVICE_READS:
		m->ops->clean(m, (uintptr_t)addr, len_bytes);
		break;
	case MAINTENANCE_DEVICE_WRITES:
		m->ops->flush(m, (uintptr_t)addr, len_bytes);
		break;
	case MAINTENANCE_DEVICE_WROTE:
		m->ops->invalidate(m, (uintptr_t)addr, len_bytes);
		break;
	}
}
