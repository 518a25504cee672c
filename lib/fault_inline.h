/* SPDX-License-Identifier: MIT */
/*
 * Faults that the faulting thread serves itself (DSM_FAULT_HANDLER=inline).
 */
#ifndef DSM_FAULT_INLINE_H
#define DSM_FAULT_INLINE_H

struct dsm;

/* Take SIGBUS: from now on faults are served in the threads that have them. */
int fault_inline_start(struct dsm *d);
/* Give it back, if it is still ours. Does nothing if it was not taken. */
void fault_inline_stop(struct dsm *d);

#endif
