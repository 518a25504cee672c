/* SPDX-License-Identifier: MIT */
/*
 * Ranges of shared memory as programs name them.
 */
#ifndef DSM_ACCESS_H
#define DSM_ACCESS_H

#include "node.h"

/* A range of pages inside one region. */
struct span {
	struct region *region;
	uint64_t first; /* page */
	uint64_t end; /* granule behind the last page */
	unsigned each; /* granules a page */
};

/* Lock held. The pages that a range lies on. -EINVAL, -EFAULT: it is none, and a sentence is set.
 */
int access_span(struct dsm *d, const volatile void *addr, size_t len, struct span *s);

#endif
