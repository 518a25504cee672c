/* SPDX-License-Identifier: MIT */
/*
 * Holds: the ranges of pages that threads of this rank keep here (dsm_acquire).
 *
 * The protocol counts the holds of a page; whose they are is known here, and decides two things.
 * May the rank ask for a page for writing, and so give up the copy that it has until the grant
 * comes? Only if every thread that holds the copy for reading waits for that itself: else it waits
 * here for their releases. And may a thread join a hold of others? Not while somebody waits for
 * that hold to end, or overlapping holds could keep a page for ever.
 *
 * Pure, as the protocol. Who waits here is told to look again by ops->hold_ended().
 */
#ifndef DSM_HOLD_H
#define DSM_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

struct protocol;

#define HOLD_NO_PAGE UINT64_MAX

/* A range that a thread holds, or is taking page by page in ascending order. The owner's memory. */
struct hold {
	struct cds_list_head link;
	uint64_t first; /* page */
	uint64_t taken; /* granule behind the last page that is held */
	uint64_t wants; /* page that the thread waits to write, or HOLD_NO_PAGE */
	uint64_t thread; /* who holds it: any number but 0 */
	bool write;
};

void hold_begin(struct protocol *p, struct hold *h, uint64_t first, bool write, uint64_t thread);
/* Take the next page, which hold_may_join() has allowed. -EOVERFLOW: it is held too many times. */
int hold_take(struct protocol *p, struct hold *h);
/* End the hold of all that was taken. @push: written pages go home and stay here Shared. */
void hold_end(struct protocol *p, struct hold *h, bool push);

/* May a thread hold this page, which can be read (written), now? If not: it is told when to look
 * again. */
bool hold_may_join(struct protocol *p, uint64_t page, uint64_t thread);
/* A thread wants to write a page: may the rank ask for it now? If not: as above. */
bool hold_may_write(struct protocol *p, uint64_t page, uint64_t thread);
/* The thread does not wait to write any more. */
void hold_wants_nothing(struct protocol *p, uint64_t thread);

/* The protocol's: the page has become writable, or cannot be had. */
void hold_settled(struct protocol *p, uint64_t page);

#endif
