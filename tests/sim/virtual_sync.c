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
	struct item *i;

	cluster_trace(c, "%u: sends %s to %u, key %llx", v->rank, msg_name(m->kind), rank,
		      (unsigned long long)m->page);
	if (rank >= c->n || m->src != v->rank || m->slots != 1)
		cluster_fail(c, "rank %u sends %s of rank %u to rank %u", v->rank,
			     msg_name(m->kind), m->src, rank);
	if (c->rank[rank].dead)
		return;
	i = virtual_enqueue(c, v->rank, rank, ITEM_MSG, m->page, 0);
	i->msg = *m;
	if (rank == v->rank) {
		cds_list_del(&i->link);
		cds_list_add_tail(&i->link, &v->local);
	}
	cluster_preempt(c);
}

static void sync_op_wake(void *env, struct sync_wait *w)
{
	struct call *call = caa_container_of(w, struct call, wait);

	(void)env;
	call->done = true;
}

const struct sync_ops virtual_sync_ops = { .send = sync_op_send, .wake = sync_op_wake };

void virtual_run_local(struct vrank *v)
{
	while (!cds_list_empty(&v->local)) {
		struct item *i = cds_list_first_entry(&v->local, struct item, link);
		struct msg m = i->msg;

		virtual_item_free(i);
		sync_message(v->sync, &m);
	}
}
