/* SPDX-License-Identifier: MIT */
/*
 * Between virtual_cluster.c, virtual_wire.c and virtual_pager.c.
 */
#ifndef DSM_VIRTUAL_INTERNAL_H
#define DSM_VIRTUAL_INTERNAL_H

#include "virtual_cluster.h"

/*
 * virtual_wire.c
 */
struct cds_list_head *virtual_queue(struct cluster *c, unsigned from, unsigned to);
struct item *virtual_enqueue(struct cluster *c, unsigned from, unsigned to, enum item_kind kind,
			     uint64_t page, size_t len_bytes);
/* Can the item be run now? One-sided ones need no processor. */
bool virtual_item_ready(struct cluster *c, unsigned to, const struct item *i);
void virtual_item_run(struct cluster *c, unsigned from, unsigned to, struct item *i);
void virtual_item_free(struct item *i);

bool virtual_chain_complete(const struct chain *ch);
void virtual_chain_step(struct cluster *c, struct chain *ch);
/* Tell the rank that its chain is complete. */
void virtual_chain_done(struct cluster *c, struct chain *ch);
void virtual_chain_free(struct chain *ch);

/* Of struct protocol_ops; env is the struct vrank. */
void virtual_send(void *env, unsigned rank, const struct msg *m);
int virtual_fetch(void *env, struct transport_fetch *f);
void virtual_write_home(void *env, unsigned home, uint64_t page, unsigned granules);
void virtual_push(void *env, unsigned rank, uint64_t page, unsigned granules);
const uint8_t *virtual_pushed(void *env, unsigned home, uint64_t page, unsigned granules);

/*
 * virtual_sync.c
 */
extern const struct sync_ops virtual_sync_ops;

/*
 * virtual_pager.c
 */
int virtual_map(void *env, uint64_t granule, uint64_t n, bool writable, const void *src,
		bool frames);
int virtual_allow_write(void *env, uint64_t granule, uint64_t n);
int virtual_forbid_write(void *env, uint64_t granule, uint64_t n);
int virtual_zap(void *env, uint64_t granule, uint64_t n);
int virtual_drop(void *env, uint64_t granule, uint64_t n);
void virtual_wake(void *env, uint64_t page);
void virtual_hold_ended(void *env, uint64_t page);
void virtual_fail(void *env, uint64_t page, int err, unsigned blame);

#endif
