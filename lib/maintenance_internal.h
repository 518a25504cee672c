/* SPDX-License-Identifier: MIT */
/* Between the parts of cache maintenance. */
#ifndef DSM_MAINTENANCE_INTERNAL_H
#define DSM_MAINTENANCE_INTERNAL_H

#include "maintenance.h"

/* Where the kernel shows devices; tests have one of their own. */
#define MAINTENANCE_SYSFS "/sys"

enum coherence { COHERENCE_UNKNOWN, COHERENCE_YES, COHERENCE_NO };

/* By the processor's instructions; NULL where there are none for programs. */
const struct maintenance_ops *maintenance_user(void);

/* By the module. */
extern const struct maintenance_ops maintenance_kernel;

/* The module's device, of the version that is spoken here: a descriptor, or a negative errno with a
 * sentence (-ENODEV, -EACCES, -EPROTO). */
int maintenance_kernel_open(const char *path);

/*
 * Is the DMA of an RDMA device coherent? @why receives a clause that says how that is known.
 * @fd: of the module's device, -1 if there is none; @sysfs: MAINTENANCE_SYSFS.
 */
enum coherence maintenance_coherence(const char *device, int fd, const char *sysfs, char *why,
				     size_t len);

/* The same from what the kernel shows without the module, for a machine whose DMA need not be
 * coherent. */
enum coherence maintenance_coherence_shown(const char *device, int fd, const char *sysfs, char *why,
					   size_t len);

/* The choice, with all that it rests on given. */
int maintenance_choose(struct maintenance *m, enum maintenance_kind kind, const char *device,
		       const char *path, const char *sysfs);

#endif
