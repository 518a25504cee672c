/* SPDX-License-Identifier: MIT */
/*
 * The report on contention: ranks send their notes to rank 0, which prints them (DSM_STATS=pages).
 */
#ifndef DSM_CONTENTION_REPORT_H
#define DSM_CONTENTION_REPORT_H

#include "contention.h"
#include "wire.h"

struct dsm;
struct region;

/* Begin to take notes; at rank 0 make room for the others' as well. -ENOMEM. */
int contention_start(struct dsm *d);
void contention_stop(struct dsm *d);
/* A region goes. Lock held. */
void contention_region_gone(struct dsm *d, const struct region *region);
/* Send the own notes to rank 0. Lock held. */
void contention_send(struct dsm *d);
/* A piece of another rank's came. */
void contention_message(struct dsm *d, const struct msg *m);
/* At rank 0, when all that will come has come. */
void contention_print(struct dsm *d);

#endif
