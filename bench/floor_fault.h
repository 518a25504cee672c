/* SPDX-License-Identifier: MIT */
/*
 * Floor of faults: bare userfaultfd, with a handler thread that does nothing but resolve.
 *
 * This is what an access would cost if the other rank's page were free: the round trip through the
 * handler, and the copy of a page from plain memory.
 */
#ifndef BENCH_FLOOR_FAULT_H
#define BENCH_FLOOR_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;

enum floor_memory {
	FLOOR_MEMFD, /* shared mapping of a memfd, as libdsm's pages are */
	FLOOR_ANONYMOUS,
};

enum floor_handler {
	FLOOR_SLEEPS, /* in poll() */
	FLOOR_SPINS,
	FLOOR_YIELDS, /* spins, but calls sched_yield() each time it has found nothing */
	FLOOR_SAME_CORE, /* sleeps in poll(), on the core of the thread that faults */
	FLOOR_INLINE, /* no thread: the faulting thread itself, in a signal handler for SIGBUS */
};

enum floor_state {
	FLOOR_MISSING, /* no frame: the handler answers by UFFDIO_COPY, MODE_WP for a load */
	FLOOR_UNMAPPED, /* a frame (memfd): memcpy through an alias, UFFDIO_CONTINUE, likewise */
	FLOOR_PROTECTED, /* mapped, read-only: UFFDIO_WRITEPROTECT */
	FLOOR_WRITABLE, /* mapped, for floor_fault_put() */
};

struct floor_fault;

/*
 * len_bytes of watched memory and a handler. Ends the job if userfaultfd is not to be had; but NULL
 * where the kernel has no FLOOR_INLINE.
 */
struct floor_fault *floor_fault_create(struct bench *b, enum floor_memory memory,
				       enum floor_handler handler, size_t len_bytes);
void floor_fault_destroy(struct floor_fault *f);

/* The watched memory. */
uint8_t *floor_fault_memory(const struct floor_fault *f);

/*
 * Bring all pages into a state. Then, until floor_fault_rest(), a handler that does not sleep
 * spins, and FLOOR_INLINE handles SIGBUS: with it at most one floor is under way at a time, and
 * faults are loads or, if writes is set, stores.
 */
void floor_fault_prepare(struct floor_fault *f, enum floor_state state);
void floor_fault_set_writes(struct floor_fault *f, bool writes);
/*
 * Confine the calling thread, which is to fault, to a core: the first of those that it may use.
 * FLOOR_SAME_CORE's handler is there too; the others' are on other cores, where there are any.
 */
void floor_fault_take_core(struct floor_fault *f);
void floor_fault_leave_core(struct floor_fault *f);
/* Let the handler sleep until the next floor_fault_prepare(): it must not cost others a core. */
void floor_fault_rest(struct floor_fault *f);

/*
 * Fill [start, start + len_bytes), which must be FLOOR_MISSING, by one UFFDIO_COPY with MODE_WP;
 * or, FLOOR_UNMAPPED, by memcpy and one UFFDIO_CONTINUE. In the calling thread: no fault is taken.
 */
void floor_fault_fill(struct floor_fault *f, enum floor_state state, size_t start,
		      size_t len_bytes);

/* Let nobody write [start, start + len_bytes) any more, which must be FLOOR_WRITABLE, by one
 * UFFDIO_WRITEPROTECT, and copy it out. In the calling thread. */
void floor_fault_put(struct floor_fault *f, size_t start, size_t len_bytes);

#endif
