/* SPDX-License-Identifier: MIT */
/*
 * See virtual_node.h.
 */
#include <stdlib.h>

#include "virtual_node.h"

struct local {
	struct cds_list_head link;
	struct msg msg;
};

void *virtual_zeroed(size_t n, size_t each)
{
	void *p = calloc(n, each);

	if (!p)
		abort();
	return p;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void virtual_node_init(struct virtual_node *v, const struct virtual_node_params *params)
{
	v->rank = params->rank;
	CDS_INIT_LIST_HEAD(&v->local);
	if (sync_create(&v->sync, params->rank, params->size, params->sync_ops, params->env) < 0)
		abort();
	if (protocol_init(&v->protocol, params->protocol_ops, params->env, params->rank,
			  params->size, params->space, params->blocks, &v->stats,
			  params->cache_bytes) < 0)
		abort();
}

static void local_free(struct local *l)
{
	cds_list_del(&l->link);
	free(l);
}

void virtual_node_fini(struct virtual_node *v)
{
	struct local *l, *next;

	cds_list_for_each_entry_safe (l, next, &v->local, link)
		local_free(l);
	sync_destroy(v->sync);
	protocol_fini(&v->protocol);
}

void virtual_node_message(struct virtual_node *v, const struct msg *m)
{
	if (m->kind <= MSG_GRANT_ERROR)
		protocol_message(&v->protocol, m);
	else
		sync_message(v->sync, m);
}

void virtual_node_down(struct virtual_node *v, unsigned rank)
{
	sync_rank_down(v->sync, rank);
	protocol_rank_down(&v->protocol, rank);
}

void virtual_node_to_self(struct virtual_node *v, const struct msg *m)
{
	struct local *l = virtual_zeroed(1, sizeof(*l));

	l->msg = *m;
	cds_list_add_tail(&l->link, &v->local);
}

void virtual_node_run_local(struct virtual_node *v)
{
	while (!cds_list_empty(&v->local)) {
		struct local *l = cds_list_first_entry(&v->local, struct local, link);
		struct msg m = l->msg;

		local_free(l);
		sync_message(v->sync, &m);
	}
}

static uint64_t fetch_page(const struct transport_fetch *f, unsigned i)
{
	return f->granule + ((uint64_t)i << f->shift);
}

void virtual_fetch_add(const struct space *home, unsigned rank, const struct transport_fetch *f,
		       unsigned i)
{
	uint64_t *readers = segment_readers(home, home->alias, fetch_page(f, i)) +
			    space_reader_word(home, rank);

	if (f->add >> i & 1)
		__atomic_fetch_add(readers, space_reader_unit(home, rank), __ATOMIC_SEQ_CST);
}

void virtual_fetch_grant(const struct space *home, struct transport_fetch *f, unsigned i)
{
	f->grant[i] = *segment_grant(home, home->alias, fetch_page(f, i));
}
