/* SPDX-License-Identifier: MIT */
/*
 * What region.c (every rank), region_root.c (rank 0) and region_api.c (the calls) share.
 */
#ifndef DSM_REGION_INTERNAL_H
#define DSM_REGION_INTERNAL_H

#include "region.h"

/* RegionDrop's status: which of its two rounds it is; or, instead of the second, that some rank has
 * acquired a part, so the region stays. */
#define REGION_DROP_DRAIN  0
#define REGION_DROP_FORGET 1
#define REGION_DROP_KEEP   2

/* A request at rank 0. */
struct region_request {
	struct cds_list_head link;
	struct msg_region msg;
	enum {
		REQUEST_NEW,
		REQUEST_ADDING,
		REQUEST_DRAINING,
		REQUEST_FORGETTING,
		REQUEST_KEEPING
	} phase;
	int status; /* the answer so far */
	unsigned blame;
	uint32_t id; /* of the region */
};

/* Can a region have these attributes? What another rank says is not believed. */
bool region_attr_is_sane(const struct dsm *d, const struct msg_region *m);

/* The home of a region's i-th block by its placement; WIRE_NO_RANK: by first touch. */
unsigned region_block_home(const struct dsm *d, const struct region *region, uint64_t i);

void region_root_message(struct dsm *d, const struct msg_region *m);
void region_root_rank_down(struct dsm *d, unsigned rank);

/* The answer to one of this rank's calls came; or none will. */
void region_call_answered(struct dsm *d, const struct msg_region *m);
void region_calls_fail(struct dsm *d, int err, unsigned blame);

/* Another rank takes this one for the home of a first-touch block: it has heard so from the
 * arbiter, whose answer to this rank is still under way. */
void region_claimed(struct dsm *d, uint64_t granule);

#endif
