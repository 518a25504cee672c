/* SPDX-License-Identifier: MIT */
/*
 * See machine.h. Here: set-up, and the loop of events.
 *
 * Memory: ranks share one table of blocks and one segment, of which none but the directory's words
 * is touched. A rank's own page table is sparse; what it costs is 4 KiB for each 512 neighbouring
 * pages of which the rank has touched one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "error.h"
#include "machine.h"

static void readers_layout(struct space *s, unsigned n, unsigned group)
{
	space_set_ranks(s, n);
	if (group == 1) {
		s->rank_words = (n + 63) / 64;
		s->readers_group = 0;
	} else if (group) {
		s->rank_words = (n - 1) / group / READERS_COUNTERS + 1;
		s->readers_group = group;
	}
}

static int space_create(struct machine *m, uint64_t nblocks, unsigned group)
{
	uint64_t granules = nblocks * GRANULES_PER_BLOCK;
	void *alias;

	m->space = (struct space){ .len_bytes = nblocks * BLOCK_BYTES, .memfd = -1 };
	readers_layout(&m->space, m->n, group);
	m->space.segment_bytes = m->space.len_bytes + granules * 8 * (1 + m->space.rank_words);
	alias = mmap(NULL, m->space.segment_bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (alias == MAP_FAILED)
		return error_set_sys(errno, "no address space for a segment of %llu bytes",
				     (unsigned long long)m->space.segment_bytes);
	m->space.alias = alias;
	return 0;
}

static void blocks_create(struct machine *m, uint64_t nblocks)
{
	m->blocks = virtual_zeroed(nblocks, sizeof(*m->blocks));
	for (unsigned region = 0; region < m->nregions; region++)
		m->first_block[region] = (uint64_t)region * m->n * m->blocks_each;
	for (uint64_t b = 0; b < nblocks; b++)
		m->blocks[b] = (struct block){ .home = (uint16_t)(b / m->blocks_each % m->n),
					       .granules = GRANULES_PER_BLOCK,
					       .region = (uint32_t)(b / m->blocks_each / m->n) };
}

static void rank_create(struct machine *m, unsigned rank)
{
	struct rank *r = &m->rank[rank];

	r->machine = m;
	virtual_node_init(&r->node,
			  &(struct virtual_node_params){ .rank = rank,
							 .size = m->n,
							 .space = &m->space,
							 .blocks = m->blocks,
							 .cache_bytes = m->space.len_bytes,
							 .protocol_ops = &processor_protocol_ops,
							 .sync_ops = &processor_sync_ops,
							 .env = r });
	events_add(&m->events, 0, EVENT_APPLICATION, r);
}

int machine_create(struct machine **machine, const struct topology *t, const struct cost *c,
		   const struct machine_layout *layout)
{
	unsigned n = layout->n;
	struct machine *m = virtual_zeroed(1, sizeof(*m));
	uint64_t nblocks;
	int err;

	m->n = n;
	m->topology = t;
	m->cost = *c;
	m->nregions = layout->nregions;
	m->blocks_each = (unsigned)((layout->npages + GRANULES_PER_BLOCK - 1) / GRANULES_PER_BLOCK);
	nblocks = (uint64_t)n * m->nregions * m->blocks_each;
	err = space_create(m, nblocks, layout->group);
	if (err < 0) {
		free(m);
		return err;
	}
	blocks_create(m, nblocks);
	m->edge_free_ps = virtual_zeroed(2 * t->nnodes, sizeof(*m->edge_free_ps));
	m->edge_bytes = virtual_zeroed(2 * t->nnodes, sizeof(*m->edge_bytes));
	m->traffic = virtual_zeroed((size_t)MACHINE_REGIONS_MAX * n, sizeof(*m->traffic));
	m->rank = virtual_zeroed(n, sizeof(*m->rank));
	for (unsigned r = 0; r < n; r++)
		rank_create(m, r);
	*machine = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	for (unsigned r = 0; r < m->n; r++)
		virtual_node_fini(&m->rank[r].node);
	for (size_t i = 0; i < m->nchunks; i++)
		free(m->chunks[i]);
	free(m->chunks);
	munmap(m->space.alias, m->space.segment_bytes);
	events_fini(&m->events);
	free(m->edge_free_ps);
	free(m->edge_bytes);
	free(m->traffic);
	free(m->blocks);
	free(m->rank);
	free(m);
}

uint64_t machine_page(const struct machine *m, unsigned region, unsigned home, unsigned index)
{
	return (m->first_block[region] + (uint64_t)home * m->blocks_each) * GRANULES_PER_BLOCK +
	       index;
}

unsigned machine_directory_bytes(const struct machine *m)
{
	return 8 * (1 + m->space.rank_words);
}

void machine_count_anew(struct machine *m)
{
	memset(&m->counts, 0, sizeof(m->counts));
	memset(m->traffic, 0, sizeof(*m->traffic) * MACHINE_REGIONS_MAX * m->n);
	memset(m->edge_bytes, 0, sizeof(*m->edge_bytes) * 2 * m->topology->nnodes);
	m->counts.began_ps = m->counts.ended_ps = m->now_ps;
}

static void event_run(struct machine *m, const struct event *e)
{
	switch (e->kind) {
	case EVENT_SEND:
		network_send(m, e->what, m->now_ps);
		break;
	case EVENT_HOP:
		network_hop(m, e->what);
		break;
	case EVENT_ARRIVAL:
		network_arrived(m, e->what);
		break;
	case EVENT_PROCESSOR:
		processor_run(e->what);
		break;
	case EVENT_CALL:
		program_call(e->what);
		break;
	case EVENT_APPLICATION:
		program_run(e->what);
		break;
	}
}

static int stuck(const struct machine *m)
{
	for (unsigned r = 0; r < m->n; r++) {
		const struct op *op = &m->rank[r].op;

		if (op->kind != OP_END && op->kind != OP_PAUSE)
			return error_set(EDEADLK,
					 "nothing is left to happen at %llu ns, and rank %u waits "
					 "in step %llu (kind %d, page or lock %#llx)",
					 (unsigned long long)(m->now_ps / 1000), r,
					 (unsigned long long)m->rank[r].step, (int)op->kind,
					 (unsigned long long)op->page);
	}
	return error_set(EDEADLK, "%u ranks pause for %u that have ended", m->npaused, m->nended);
}

int machine_run(struct machine *m)
{
	if (m->npaused) {
		m->npaused = 0;
		for (unsigned r = 0; r < m->n; r++)
			events_add(&m->events, m->now_ps, EVENT_APPLICATION, &m->rank[r]);
	}
	while (m->events.n) {
		struct event e = events_take(&m->events);

		m->now_ps = e.ps;
		m->events_done++;
		event_run(m, &e);
	}
	return m->npaused == m->n || m->nended == m->n ? 0 : stuck(m);
}

bool machine_ended(const struct machine *m)
{
	return m->nended == m->n;
}
