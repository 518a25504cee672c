/* SPDX-License-Identifier: MIT */
/*
 * Locks and barriers of a virtual cluster's ranks: lib/sync.c on the same queues as the protocol.
 */
#include <stdlib.h>

#include "virtual_internal.h"

static void sync_op_send(void *env, unsigned rank, const struct msg *m)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	cluster_trace(c, "%u: sends %s to %u, key %llx", v->rank, msg_name(m->kind), rank,
		      (unsigned long long)m->page);
	if (rank >= c->n || m->src != v->rank || m->slots != 1)
		cluster_fail(c, "rank %u sends %s of rank %u to rank %u", v->rank,
			     msg_name(m->kind), m->src, rank);
	if (c->rank[rank].dead)
		return;
	if (rank == v->rank)
		virtual_node_to_self(&v->node, m);
	else
		virtual_enqueue(c, v->rank, rank, ITEM_MSG, m->page, 0)->msg = *m;
	cluster_preempt(c);
}

static void sync_op_wake(void *env, struct sync_wait *w)
{
	struct call *call = caa_container_of(w, struct call, wait);

	(void)env;
	call->done = true;
}

const struct sync_ops virtual_sync_ops = { .send = sync_op_send, .wake = sync_op_wake };
