/* SPDX-License-Identifier: MIT */
/*
 * Locks that a program makes itself, of C11 atomics, on shared pages.
 */
#ifndef LITMUS_SPIN_H
#define LITMUS_SPIN_H

#include "check.h"

/*
 * Collective. Each kind of lock guards a plain counter, on its own page, on another, on one with
 * another home; and counters without a lock. Returns how many lost a count (in rank 0, else 0).
 */
unsigned spin_run(struct dsm *d, unsigned rounds);

#endif
