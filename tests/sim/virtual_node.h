/* SPDX-License-Identifier: MIT */
/*
 * One rank of a simulated cluster: the library's own objects, the protocol of pages and that of
 * locks and barriers, behind one door for what arrives. What is between ranks, and when it arrives,
 * is the simulator's: random schedules in virtual_cluster.c, a cost model and a topology in
 * bench/scale.
 */
#ifndef DSM_VIRTUAL_NODE_H
#define DSM_VIRTUAL_NODE_H

#include <stddef.h>
#include <stdint.h>
#include <urcu/list.h>

#include "protocol.h"
#include "sync.h"

struct virtual_node {
	unsigned rank;
	struct protocol protocol;
	struct stats stats;
	struct sync *sync;
	struct cds_list_head local; /* messages of its locks to itself */
};

struct virtual_node_params {
	unsigned rank;
	unsigned size;
	const struct space *space;
	struct block *blocks;
	uint64_t cache_bytes;
	const struct protocol_ops *protocol_ops;
	const struct sync_ops *sync_ops;
	void *env; /* of both */
};

/* Aborts if there is no memory. */
void virtual_node_init(struct virtual_node *v, const struct virtual_node_params *params);
void virtual_node_fini(struct virtual_node *v);

/* A message came; what the locks say to themselves waits for virtual_node_run_local(). */
void virtual_node_message(struct virtual_node *v, const struct msg *m);
void virtual_node_down(struct virtual_node *v, unsigned rank);
/* From sync_ops.send: a message to the own rank. */
void virtual_node_to_self(struct virtual_node *v, const struct msg *m);
/* The end of every event: deliver those. */
void virtual_node_run_local(struct virtual_node *v);

/* What is done in the home's memory for page i of a rank's read chain: its bit is added, if it is
 * to be; its grant is read. */
void virtual_fetch_add(const struct space *home, unsigned rank, const struct transport_fetch *f,
		       unsigned i);
void virtual_fetch_grant(const struct space *home, struct transport_fetch *f, unsigned i);

/* Zeroed memory; aborts if there is none. */
void *virtual_zeroed(size_t n, size_t each);

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
uint64_t random_next(uint64_t *state);

#endif
