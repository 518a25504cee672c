/* SPDX-License-Identifier: MIT */
/*
 * The readers of a page, at its home: who is to be told before it is written.
 *
 * They are in the readers words (space.h), a bit a rank or a counter a group, which readers set
 * one-sidedly at any moment; those that come through a network adapter have words of their own. The
 * home's own copy is not among them but in its own page table: taking the readers looks there too
 * (R7). The node's lock held; peers may write the words meanwhile.
 */
#ifndef DSM_READERS_H
#define DSM_READERS_H

#include "protocol.h"

struct readers {
	struct rankset ask; /* who is to get an Inv */
	struct rankset unsure; /* of these, who may be no reader: others of the group are */
};

/* Add a rank, for a grant by message. */
void reader_add(struct protocol *p, uint64_t page, unsigned rank);
/* Are there any, beside the home's own copy? */
bool readers_any(const struct protocol *p, uint64_t page);
/* Are there others than this rank? Where groups are counted, it is not told from its group. */
bool readers_beside(const struct protocol *p, uint64_t page, unsigned rank);
/* Take them all: whoever adds itself from now on is a reader anew (R2). */
void readers_take(struct protocol *p, uint64_t page, struct readers *taken);

#endif
