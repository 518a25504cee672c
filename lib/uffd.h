/* SPDX-License-Identifier: MIT */
/*
 * Getting a userfaultfd: by which way, with which features. And <linux/userfaultfd.h> with what
 * older kernel headers lack, so that a library built on one machine uses what the kernel of another
 * offers; whether it offers it is found out at run time.
 */
#ifndef DSM_UFFD_H
#define DSM_UFFD_H

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "config.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_EXACT_ADDRESS
#define UFFD_FEATURE_EXACT_ADDRESS (1 << 11)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1)
#endif
#ifndef UFFDIO_POISON
#define _UFFDIO_POISON (0x08)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated; /* written by the kernel: bytes done, or a negative errno */
};
#define UFFDIO_POISON _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#endif

/* What the pager cannot do without, and asks for. */
#define UFFD_NEEDED                                                                                \
	((uint64_t)(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM |                  \
		    UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_MINOR_SHMEM |                            \
		    UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_POISON))
/* What it asks for where it is: the byte of an access, for the report on contention. */
#define UFFD_WELCOME ((uint64_t)UFFD_FEATURE_EXACT_ADDRESS)

/*
 * A userfaultfd with UFFD_NEEDED enabled, non-blocking and close-on-exec; *user_only says whether
 * accesses from inside system calls fail instead of being reported. Tries the ways that @kind
 * allows, best first. @by_signal: faults raise SIGBUS and are not reported. -EPERM, -ENOSYS: no way
 * is open here. -EOPNOTSUPP: it lacks something.
 */
int uffd_open(enum uffd_kind kind, bool by_signal, bool *user_only);

#endif
