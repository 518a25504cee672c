/* SPDX-License-Identifier: MIT */
/*
 * Remote atomics, by a transport's one-sided operation or by a message to the home.
 *
 * On a page in state Atomic several ranks act on the home's memory at once. All of them, the home
 * too, must do so by atomics of one kind: a processor's, which ranks of the home's machine use
 * directly. A network adapter's are not atomic against them on most machines, and know no words of
 * 32 bits. So a rank that reaches the home through an adapter asks by message, and the home's
 * processor executes it. The right to the page, which the rank has when it asks, covers the
 * message: if the home recalls it meanwhile, the rank's acknowledgement comes behind the request.
 */
#ifndef DSM_REMOTE_ATOMIC_H
#define DSM_REMOTE_ATOMIC_H

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

/* Do it here; returns the value before. */
uint64_t remote_atomic_apply(void *word, const struct remote_atomic *a);

/*
 * Ask @home to do it on the word at @offset and wait for the answer. Lock held, let go meanwhile.
 * -ETIMEDOUT: no answer; whether it was done is not known. -EHOSTDOWN: the home died.
 */
int remote_atomic_ask(struct dsm *d, unsigned home, uint64_t offset, const struct remote_atomic *a,
		      uint64_t *result);

/* Atomic and AtomicDone. Lock held, as below. */
void remote_atomic_message(struct dsm *d, const struct msg *m);
/* A rank died: those who wait for its answer do so no longer. */
void remote_atomic_rank_down(struct dsm *d, unsigned rank);

#endif
