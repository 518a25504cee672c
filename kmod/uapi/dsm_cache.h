/* SPDX-License-Identifier: MIT */
/*
 * What user space says to the kernel module dsm_cache, on /dev/dsm_cache.
 *
 * Shared by the module and its callers: fixed-width types, explicit padding, layout checked below.
 * A field or call is added under a new version; what is here stays as it is. Whatever is reserved
 * is zero when it goes in, or the call is refused with -EINVAL, and zero when it comes out.
 *
 * mmap() of the device gives memory of the file's own, in physically contiguous blocks of up to
 * 2^max_contiguous_alloc_order pages (a parameter of the module). It is shared by all who map the
 * same open file, and cleaned to the point of coherency over the range of a mapping that goes away.
 */
#ifndef DSM_CACHE_UAPI_H
#define DSM_CACHE_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DSM_CACHE_VERSION 1
#define DSM_CACHE_PATH    "/dev/dsm_cache"

/* Most pages of one range: -E2BIG beyond. */
#define DSM_CACHE_PAGES_MAX 65536

enum dsm_cache_op {
	DSM_CACHE_CLEAN = 1, /* write dirty lines back, keep them */
	DSM_CACHE_CLEAN_INVALIDATE = 2, /* write dirty lines back, keep none */
	DSM_CACHE_INVALIDATE = 3, /* keep none, whatever they hold; needs a writable mapping */
	DSM_CACHE_FOR_DEVICE = 4, /* by the kernel's DMA interface: a device is to read or write */
	DSM_CACHE_FOR_CPU = 5, /* the same: a device has written; needs a writable mapping */
};

/* What the module is and does here. */
struct dsm_cache_info {
	__u32 version; /* DSM_CACHE_VERSION */
	__u32 page_bytes;
	__u32 line_bytes; /* the least of all processors' */
	__u32 pages_max; /* DSM_CACHE_PAGES_MAX */
	__u32 ops; /* 1 << op for each that there is */
	__u32 discards; /* 1: INVALIDATE and FOR_CPU drop dirty lines when this caller asks */
	__u32 reserved[2];
};

/*
 * Maintain the lines of [addr, addr + len_bytes), which need not be aligned. A line that lies only
 * in part in the range of an INVALIDATE or FOR_CPU is written back before it is dropped.
 *
 * -EINVAL: no such op, no length, the range wraps, flags or reserved are not zero. -E2BIG: more
 * than pages_max pages. -EFAULT: a page is not mapped, or not writable for an op that needs it.
 * -ENOMEM, -EINTR (a fatal signal), -EIO (the DMA interface cannot map it). After an error any part
 * of the range may have been maintained.
 */
struct dsm_cache_range {
	/* in */
	__u32 op; /* enum dsm_cache_op */
	__u32 flags; /* 0 */
	__u64 addr;
	__u64 len_bytes;
	/* out */
	__u64 pages;
	__u64 runs; /* physically contiguous pieces */
	__u64 lines;
	__u32 line_bytes;
	__u32 cleaned; /* 1: dirty lines were written back, for all that op says; see README.md */
	__u64 pin_ns; /* finding and pinning the pages */
	__u64 work_ns; /* the maintenance alone */
	__u64 reserved;
};

/*
 * Is the DMA of a device coherent with the processors' caches?
 *
 * bus and name as in /sys/bus/<bus>/devices/<name>; bus is "pci" or "platform". The kernel finds it
 * out when a driver takes the device; until then no device of arm64 is.
 * -EINVAL: not terminated, or another bus; -ENODEV: no such device.
 */
struct dsm_cache_device {
	/* in */
	char bus[16];
	char name[64];
	/* out */
	__u32 coherent; /* 0 or 1 */
	__u32 reserved;
};

#define DSM_CACHE_IOCTL  0xd5
#define DSM_CACHE_INFO   _IOR(DSM_CACHE_IOCTL, 0, struct dsm_cache_info)
#define DSM_CACHE_RANGE  _IOWR(DSM_CACHE_IOCTL, 1, struct dsm_cache_range)
#define DSM_CACHE_DEVICE _IOWR(DSM_CACHE_IOCTL, 2, struct dsm_cache_device)

_Static_assert(sizeof(struct dsm_cache_info) == 32, "layout of version 1");
_Static_assert(sizeof(struct dsm_cache_range) == 80, "layout of version 1");
_Static_assert(__builtin_offsetof(struct dsm_cache_range, pages) == 24, "layout of version 1");
_Static_assert(__builtin_offsetof(struct dsm_cache_range, pin_ns) == 56, "layout of version 1");
_Static_assert(sizeof(struct dsm_cache_device) == 88, "layout of version 1");

#endif
