/* SPDX-License-Identifier: MIT */
/*
 * Cache maintenance by the module dsm_cache, one ioctl() a range.
 *
 * A range that the module refuses (no memory to pin it, above all) is done by the processor's own
 * instructions, so that no caller has to know what to do then.
 */
#define _GNU_SOURCE
#include "maintenance_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dsm_cache.h"
#include "error.h"
#include "log.h"

/* Of one ioctl(): fits whatever the pages' size and the range's alignment. */
#define RANGE_BYTES_MAX ((size_t)(DSM_CACHE_PAGES_MAX - 1) * 4096)

static void refused(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	if (!atomic_exchange(&m->refused, true))
		log_warn("%s refuses a range of %zu bytes at 0x%zx (errno %d); such ranges are "
			 "maintained by the processor's own instructions",
			 DSM_CACHE_PATH, len_bytes, (size_t)addr, errno);
}

/* By pieces; false when the module refused one. */
static bool by_module(struct maintenance *m, enum dsm_cache_op op, uintptr_t addr, size_t len_bytes)
{
	struct dsm_cache_range range;
	size_t piece;

	for (; len_bytes; addr += piece, len_bytes -= piece) {
		piece = len_bytes < RANGE_BYTES_MAX ? len_bytes : RANGE_BYTES_MAX;
		memset(&range, 0, sizeof(range));
		range.op = op;
		range.addr = addr;
		range.len_bytes = piece;
		if (ioctl(m->fd, DSM_CACHE_RANGE, &range)) {
			refused(m, addr, piece);
			return false;
		}
	}
	return true;
}

static void kernel_clean(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	if (!by_module(m, DSM_CACHE_CLEAN, addr, len_bytes))
		maintenance_user()->clean(m, addr, len_bytes);
}

static void kernel_flush(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	if (!by_module(m, DSM_CACHE_CLEAN_INVALIDATE, addr, len_bytes))
		maintenance_user()->flush(m, addr, len_bytes);
}

static void kernel_invalidate(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	if (!by_module(m, DSM_CACHE_INVALIDATE, addr, len_bytes))
		maintenance_user()->invalidate(m, addr, len_bytes);
}

const struct maintenance_ops maintenance_kernel = {
	.name = "kernel",
	.clean = kernel_clean,
	.flush = kernel_flush,
	.invalidate = kernel_invalidate,
};

static int refuse_open(const char *path, int err)
{
	if (err == EACCES || err == EPERM)
		return error_set(EACCES,
				 "%s may not be opened by this user; join the group that owns it "
				 "(kmod/README.md), or set DSM_CACHE_MAINTENANCE to user",
				 path);
	return error_set(ENODEV,
			 "%s cannot be opened (%s); load the module (modprobe dsm_cache, see "
			 "kmod/README.md), or set DSM_CACHE_MAINTENANCE to user",
			 path, strerror(err));
}

int maintenance_kernel_open(const char *path)
{
	struct dsm_cache_info info;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return refuse_open(path, errno);
	if (ioctl(fd, DSM_CACHE_INFO, &info)) {
		close(fd);
		return error_set_sys(EPROTO, "%s is not the module's device", path);
	}
	if (info.version != DSM_CACHE_VERSION) {
		close(fd);
		return error_set(EPROTO,
				 "the module dsm_cache speaks version %u, and this libdsm %u; "
				 "install the module that came with this libdsm (kmod/README.md)",
				 info.version, DSM_CACHE_VERSION);
	}
	return fd;
}
