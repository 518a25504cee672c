/* SPDX-License-Identifier: MIT */
/*
 * Histories of locks, of remote atomics and of a register, checked for linearizability.
 */
#ifndef LITMUS_HISTORY_H
#define LITMUS_HISTORY_H

#include "check.h"

/*
 * Collective. Rounds of all kinds of history until the clock of rank 0 says until_ns, at least one.
 * Returns how many histories of all are wrong (in rank 0; 0 in the others); each has been printed.
 */
unsigned history_run(struct dsm *d, uint64_t until_ns, uint64_t seed);

#endif
