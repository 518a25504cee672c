/* SPDX-License-Identifier: MIT */
/*
 * Holds: the ranges that dsm_acquire() keeps here, by thread.
 *
 * The protocol counts the holds of a page; whose they are is known here, and decides two things.
 * May the rank ask for a page for writing, and so give up the copy that it has until the grant
 * comes? Only if every thread that holds the copy for reading waits for that itself: else it waits
 * here for their releases. And may a thread join a hold of others? Not while somebody waits for
 * that hold to end, or overlapping holds could keep a page for ever.
 */
#ifndef DSM_HOLD_H
#define DSM_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <urcu/list.h>

struct dsm;
struct region;

/* A range of pages inside one region. */
struct span {
	struct region *region;
	uint64_t first; /* page */
	uint64_t end; /* granule behind the last page */
	unsigned each; /* granules a page */
};

#define HOLD_NO_PAGE UINT64_MAX

struct hold {
	struct cds_list_head link; /* in dsm->holds */
	uintptr_t addr; /* as the program named it */
	size_t len;
	struct span span;
	bool write;
	bool complete; /* all pages are held; until then those below `taken` */
	uint64_t taken;
	uint64_t wants; /* page that the thread waits to write, or HOLD_NO_PAGE */
	pid_t tid; /* who acquired it */
};

/* All with the node's lock held. */

/* The hold that dsm_release(addr, len) ends: the calling thread's latest, or another's; or NULL. */
struct hold *hold_find(struct dsm *d, uintptr_t addr, size_t len);

/*
 * Thread tid wants to write a page: may the rank ask for it now? If not, the thread is let look
 * again when a hold of it ends: it waits by node_wait_begin(), or faults again.
 */
bool hold_may_write(struct dsm *d, uint64_t page, pid_t tid);
/* May thread tid hold this page, which is here, now? If not: as above. */
bool hold_may_join(struct dsm *d, uint64_t page, pid_t tid);

/* The page has become writable, or cannot be had: nobody waits to write it any more. */
void hold_settled(struct dsm *d, uint64_t page);
/* The thread does not wait any more. */
void hold_wants_nothing(struct dsm *d, pid_t tid);
/* Holds of a page ended: let those look again who wait for that. */
void hold_ended(struct dsm *d, uint64_t page);

#endif
