/* SPDX-License-Identifier: MIT */
/*
 * Remote atomics, by a transport's one-sided operation or by a message to the home.
 *
 * On a page in state Atomic several ranks act on the home's memory at once. All of them, the home
 * too, must do so by atomics of one kind, since a processor's and an adapter's are not atomic
 * against one another on most machines. Which it is the home says with the right to the page:
 *
 *	            rank of the home's machine      rank that comes through an adapter
 *	processors  a processor's atomic            message: the home's processor
 *	adapter     message: the home's adapter     one-sided; 4 bytes: message, the home's adapter
 *
 * The home's adapter reaches the home's memory over a connection to itself, and knows words of 8
 * bytes only: one of 4 is part of such a word, swapped until nobody came in between.
 *
 * The right, which the rank has when it asks or posts, covers what it has asked for or posted: if
 * the home recalls it meanwhile, the rank's acknowledgement comes behind that.
 */
#ifndef DSM_REMOTE_ATOMIC_H
#define DSM_REMOTE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "transport.h"
#include "wire.h"

struct dsm;

struct remote_atomic {
	enum transport_atomic op;
	unsigned width; /* bytes: 4 or 8 */
	uint64_t operand;
	uint64_t expected;
};

void remote_atomic_init(struct dsm *d);

/* Do it here; returns the value before. */
uint64_t remote_atomic_apply(void *word, const struct remote_atomic *a);

/*
 * Do it on the word at @offset, in its home's memory; the page is in state Atomic here. *result
 * receives the value before. Lock held, let go meanwhile.
 * -ETIMEDOUT: no answer; whether it was done is not known. -EHOSTDOWN: the home died. -EIO: its
 * adapter has failed at it. -EAGAIN: nothing was done, because the home's adapter, whose it was to
 * be, does none any more: the right to the page is to be asked for anew. No sentence is set.
 */
int remote_atomic_do(struct dsm *d, uint64_t offset, const struct remote_atomic *a,
		     uint64_t *result);

/* Atomic and AtomicDone. Lock held, as below. */
void remote_atomic_message(struct dsm *d, const struct msg *m);
/* Has an adapter an atomic of this rank's on a page of the block? */
bool remote_atomic_busy(const struct dsm *d, uint64_t block);
/* A rank died: those who wait for its answer do so no longer. */
void remote_atomic_rank_down(struct dsm *d, unsigned rank);

#endif
