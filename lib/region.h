/* SPDX-License-Identifier: MIT */
/*
 * Regions: which ranges of the global address space are in use, with which attributes.
 *
 * Rank 0 gives out addresses and keeps the names. To create a region it tells every rank
 * (RegionAdd), each maps it, populates the blocks that live there, and answers; so when dsm_alloc()
 * returns, the pointer works everywhere. To drop one it asks twice: first every rank waits until
 * nothing of it is in flight, then all forget it; so no message about it can reach a later region
 * at its address. If a rank has acquired a part, the second round tells all that it stays. Rank 0
 * serves one such request after another. All functions: the node's lock held, unless said.
 */
#ifndef DSM_REGION_H
#define DSM_REGION_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "dsm/dsm.h"
#include "pool.h"
#include "rankset.h"
#include "wire.h"

struct region {
	struct cds_list_head link;
	uint64_t first_block;
	uint64_t nblocks;
	uint64_t len_bytes; /* as asked for */
	uint64_t granules; /* of len_bytes, rounded up to pages */
	uint32_t id;
	uint8_t page_shift; /* granules */
	enum dsm_home_policy policy;
	uint16_t home_rank;
	enum dsm_release_policy release;
	char name[DSM_NAME_MAX + 1];
	bool mapped;
	/* work that the agent does in slices */
	bool populating;
	bool draining;
	bool drained; /* nothing was in flight when rank 0 asked: no more is acquired */
	uint64_t next_block;
	/* holders of ranges in this rank */
	uint64_t acquired;
	/* at rank 0 */
	uint64_t attachments;
};

/* A call of dsm_alloc() or dsm_free() that waits for rank 0. */
struct region_call;

struct regions {
	struct cds_list_head list;
	struct region **at; /* by first block */
	struct pool region_pool;
	struct cds_list_head calls;
	uint64_t next_cookie;
	unsigned working; /* regions that populate or drain */
	/* at rank 0: requests in order, the first is being served */
	struct cds_list_head requests;
	struct pool request_pool;
	struct rankset acks;
	bool serving; /* next_request() runs */
	uint32_t next_id;
};

int regions_init(struct dsm *dsm);
void regions_fini(struct dsm *dsm);

/* The region that contains a granule of the range, or NULL. */
struct region *region_find(const struct dsm *dsm, uint64_t granule);

/* A region message, or a block's home message, came. */
void region_message(struct dsm *dsm, const struct msg *m);
/* A rank died. */
void region_rank_down(struct dsm *dsm, unsigned rank);
/* Do a slice of what is to be done; true while there is more. */
bool region_work(struct dsm *dsm);

/*
 * Learn the home of a block. 0: known. 1: asked; region_home_known() will be called on the node.
 * @touch: an access wants it: a first-touch block that has none gets this rank.
 */
int region_ask_home(struct dsm *dsm, uint64_t block, bool touch);
/* The rank that says whose a first-touch block is. */
unsigned region_arbiter(const struct dsm *dsm, uint64_t block);
/* Put into words why a block's home is not known; returns err. */
int region_home_unknown(const struct dsm *dsm, uint64_t block, int err);

#endif
