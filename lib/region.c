/* SPDX-License-Identifier: MIT */
/*
 * Regions at every rank: the table, and what RegionAdd and RegionDrop do here. What rank 0 does
 * beyond that is in region_root.c, the calls of the application are in region_api.c.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "contention_report.h"
#include "error.h"
#include "log.h"
#include "node.h"
#include "region_internal.h"
#include "remote_atomic.h"

static uint64_t block_count(const struct dsm *d)
{
	return d->space.len_bytes / BLOCK_BYTES;
}

int regions_init(struct dsm *dsm)
{
	struct regions *r = &dsm->regions;
	size_t bytes = block_count(dsm) * sizeof(*r->at);

	CDS_INIT_LIST_HEAD(&r->list);
	CDS_INIT_LIST_HEAD(&r->calls);
	CDS_INIT_LIST_HEAD(&r->requests);
	pool_init(&r->region_pool, sizeof(struct region));
	pool_init(&r->request_pool, sizeof(struct region_request));
	r->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->at == MAP_FAILED) {
		r->at = NULL;
		return error_set_sys(ENOMEM, "no address space for the region table of %zu bytes",
				     bytes);
	}
	return 0;
}

void regions_fini(struct dsm *dsm)
{
	struct regions *r = &dsm->regions;

	munmap(r->at, block_count(dsm) * sizeof(*r->at));
	pool_fini(&r->region_pool);
	pool_fini(&r->request_pool);
}

struct region *region_find(const struct dsm *dsm, uint64_t granule)
{
	const struct block *b = protocol_block(&dsm->protocol, granule);

	return b->granules ? dsm->regions.at[b->region] : NULL;
}

unsigned region_block_home(const struct dsm *d, const struct region *region, uint64_t i)
{
	switch (region->policy) {
	case DSM_HOME_CYCLIC:
		return (unsigned)(i % d->size);
	case DSM_HOME_RANK:
		return region->home_rank;
	case DSM_HOME_FIRST_TOUCH:
		return WIRE_NO_RANK;
	case DSM_HOME_BLOCKED:
	default:
		return (unsigned)(i * d->size / region->nblocks);
	}
}

/* Bytes of a region that lie in its i-th block. */
static uint64_t bytes_in_block(const struct region *region, uint64_t i)
{
	uint64_t left = (region->granules << GRANULE_SHIFT) - i * BLOCK_BYTES;

	return left < BLOCK_BYTES ? left : BLOCK_BYTES;
}

static int populate_block(struct dsm *d, const struct region *region, uint64_t i)
{
	uint64_t bytes = bytes_in_block(region, i);
	uint64_t block = region->first_block + i;
	int err = space_populate(&d->space, block * BLOCK_BYTES, bytes);

	if (err == 0)
		stats_add(&d->stats.pub.home_pages, bytes >> GRANULE_SHIFT);
	if (err == 0 && d->transport->ops->expose) {
		err = d->transport->ops->expose(d->transport, block, bytes);
		if (err < 0)
			log_error("%s", error_text());
	}
	return err;
}

static void answer_root(struct dsm *d, enum msg_kind kind, const struct region *region, int status)
{
	struct msg_region m = { .kind = (uint8_t)kind,
				.slots = MSG_SLOTS_MAX,
				.src = (uint16_t)d->rank,
				.status = status,
				.id = region->id };

	node_send(d, 0, (struct msg *)&m);
}

/*
 * RegionAdd, RegionDrop
 */

static struct region *region_from_msg(struct dsm *d, const struct msg_region *m)
{
	struct region *r = pool_get(&d->regions.region_pool);
	uint64_t page_bytes = GRANULE_BYTES << m->page_shift;

	if (!r)
		return NULL;
	r->first_block = (m->addr - (uintptr_t)d->space.base) / BLOCK_BYTES;
	r->nblocks = (m->len_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
	r->len_bytes = m->len_bytes;
	r->granules = (m->len_bytes + page_bytes - 1) / page_bytes << m->page_shift;
	r->id = m->id;
	r->page_shift = m->page_shift;
	r->policy = m->home_policy;
	r->home_rank = m->home_rank;
	r->release = m->release;
	memcpy(r->name, m->name, sizeof(r->name));
	r->name[DSM_NAME_MAX] = '\0';
	return r;
}

static void set_blocks(struct dsm *d, const struct region *region)
{
	for (uint64_t i = 0; i < region->nblocks; i++)
		d->blocks[region->first_block + i] = (struct block){
			.home = (uint16_t)region_block_home(d, region, i),
			.granules = (uint16_t)(bytes_in_block(region, i) >> GRANULE_SHIFT),
			.page_shift = region->page_shift,
			.region = (uint32_t)region->first_block
		};
}

static int map_region(struct dsm *d, struct region *region)
{
	uint64_t offset = region->first_block * BLOCK_BYTES;
	uint64_t bytes = region->granules << GRANULE_SHIFT;
	int err = space_map(&d->space, offset, bytes);

	if (err < 0)
		return err;
	err = d->pager->ops->watch(d->pager, offset >> GRANULE_SHIFT, region->granules);
	if (err < 0)
		space_unmap(&d->space, offset, bytes);
	else
		region->mapped = true;
	return err;
}

bool region_attr_is_sane(const struct dsm *d, const struct msg_region *m)
{
	return m->page_shift <= BLOCK_SHIFT - GRANULE_SHIFT &&
	       m->home_policy <= DSM_HOME_FIRST_TOUCH &&
	       (m->home_policy != DSM_HOME_RANK || m->home_rank < d->size) &&
	       m->release <= DSM_RELEASE_WRITE_THROUGH;
}

/* Does it lie in the range, and in nothing that another region has? */
static bool place_is_free(const struct dsm *d, const struct msg_region *m)
{
	uint64_t offset = m->addr - (uintptr_t)d->space.base;
	uint64_t first = offset / BLOCK_BYTES;

	if (offset % BLOCK_BYTES || offset >= d->space.len_bytes || !m->len_bytes ||
	    m->len_bytes > d->space.len_bytes - offset)
		return false;
	for (uint64_t b = first; b <= first + (m->len_bytes - 1) / BLOCK_BYTES; b++)
		if (d->blocks[b].granules)
			return false;
	return true;
}

static struct region *region_by_id(struct dsm *d, uint32_t id)
{
	struct region *r;

	cds_list_for_each_entry (r, &d->regions.list, link)
		if (r->id == id)
			return r;
	return NULL;
}

static void forget(struct dsm *d, struct region *region)
{
	uint64_t offset = region->first_block * BLOCK_BYTES;
	uint64_t bytes = region->granules << GRANULE_SHIFT;

	if (region->mapped) {
		d->pager->ops->unwatch(d->pager, offset >> GRANULE_SHIFT, region->granules);
		space_unmap(&d->space, offset, bytes);
	}
	protocol_forget(&d->protocol, region->first_block, region->nblocks);
	if (d->contention)
		contention_region_gone(d, region);
	if (d->transport->ops->withdraw)
		d->transport->ops->withdraw(d->transport, region->first_block, region->nblocks);
	/* Whole blocks: a peer may have added itself to the readers of what is behind the end. */
	space_discard(&d->space, offset, region->nblocks * BLOCK_BYTES);
	for (uint64_t i = 0; i < region->nblocks; i++) {
		struct block *b = &d->blocks[region->first_block + i];

		if (b->home == d->rank && region->mapped)
			stats_add(&d->stats.pub.home_pages,
				  -(bytes_in_block(region, i) >> GRANULE_SHIFT));
		*b = (struct block){ .home = WIRE_NO_RANK };
	}
	d->regions.at[region->first_block] = NULL;
	cds_list_del(&region->link);
	pool_put(&d->regions.region_pool, region);
}

static void on_add(struct dsm *d, const struct msg_region *m)
{
	struct region *region, nothing = { .id = m->id };
	int err;

	if (m->src != 0 || !region_attr_is_sane(d, m) || !place_is_free(d, m) ||
	    region_by_id(d, m->id)) {
		log_warn("refused RegionAdd %u from rank %u: %llu bytes at %#llx make no sense",
			 m->id, m->src, (unsigned long long)m->len_bytes,
			 (unsigned long long)m->addr);
		answer_root(d, MSG_REGION_ADDED, &nothing, -EPROTO);
		return;
	}
	region = region_from_msg(d, m);
	if (!region) {
		answer_root(d, MSG_REGION_ADDED, &nothing, -ENOMEM);
		return;
	}
	cds_list_add_tail(&region->link, &d->regions.list);
	d->regions.at[region->first_block] = region;
	set_blocks(d, region);
	err = map_region(d, region);
	if (err < 0) { /* Half a region would be found by whoever looks at its addresses. */
		forget(d, region);
		answer_root(d, MSG_REGION_ADDED, &nothing, err);
		return;
	}
	region->populating = true;
	d->regions.working++;
	agent_kick(d);
}

/* First round: answer when nothing of the region is in flight here. Second: forget it. */
static void on_drop(struct dsm *d, const struct msg_region *m)
{
	struct region *region = region_by_id(d, m->id), nothing = { .id = m->id };

	if (m->src != 0)
		return;
	if (!region) {
		answer_root(d, MSG_REGION_DROPPED, &nothing, 0);
	} else if (m->status == REGION_DROP_KEEP) {
		region->drained = false;
		answer_root(d, MSG_REGION_DROPPED, &nothing, 0);
	} else if (m->status != REGION_DROP_FORGET) {
		if (region->draining)
			return;
		region->draining = true;
		region->drained = false;
		region->next_block = 0;
		d->regions.working++;
		agent_kick(d);
	} else if (!region->drained || region->draining || region->acquired) {
		log_warn("refused to forget the region at %p: it is in use",
			 node_addr(d, region->first_block * GRANULES_PER_BLOCK));
		answer_root(d, MSG_REGION_DROPPED, &nothing, -EBUSY);
	} else {
		forget(d, region);
		answer_root(d, MSG_REGION_DROPPED, &nothing, 0);
	}
}

static void work_done(struct dsm *d, struct region *region, bool *what, enum msg_kind answer,
		      int status)
{
	*what = false;
	d->regions.working--;
	answer_root(d, answer, region, status);
}

/* One block, so that faults and messages get their turn between two. */
static void populate_slice(struct dsm *d, struct region *region)
{
	int err = 0;

	while (region->next_block < region->nblocks) {
		uint64_t i = region->next_block++;

		if (region_block_home(d, region, i) != d->rank)
			continue;
		err = populate_block(d, region, i);
		break;
	}
	if (err < 0 || region->next_block == region->nblocks)
		work_done(d, region, &region->populating, MSG_REGION_ADDED, err);
}

/* Blocks in which nothing is in flight; what remains goes on when answers have come. Who has
 * acquired a part keeps the region. */
static void drain_slice(struct dsm *d, struct region *region)
{
	if (region->acquired) {
		work_done(d, region, &region->draining, MSG_REGION_DROPPED, -EBUSY);
		return;
	}
	while (region->next_block < region->nblocks) {
		uint64_t block = region->first_block + region->next_block;

		if (protocol_busy(&d->protocol, block, 1) || remote_atomic_busy(d, block))
			return;
		region->next_block++;
	}
	region->drained = true;
	work_done(d, region, &region->draining, MSG_REGION_DROPPED, 0);
}

bool region_work(struct dsm *d)
{
	struct region *region, *next;
	bool more = false;

	if (!d->regions.working)
		return false;
	cds_list_for_each_entry_safe (region, next, &d->regions.list, link) {
		if (region->populating) {
			populate_slice(d, region);
			more |= region->populating;
		}
		if (region->draining && !region->populating)
			drain_slice(d, region);
	}
	return more;
}

/*
 * First-touch homes: the arbiter of a block gives it to the rank that asks first.
 */

unsigned region_arbiter(const struct dsm *d, uint64_t block)
{
	return (unsigned)(block % d->size);
}

static void become_home(struct dsm *d, uint64_t block)
{
	struct region *region = region_find(d, block * GRANULES_PER_BLOCK);
	int err;

	if (d->blocks[block].home == d->rank)
		return;
	d->blocks[block].home = (uint16_t)d->rank;
	err = populate_block(d, region, block - region->first_block);
	if (err < 0)
		log_error("block at %p: %s", node_addr(d, block * GRANULES_PER_BLOCK),
			  error_text());
}

static void home_learned(struct dsm *d, uint64_t block, unsigned home)
{
	if (home == d->rank)
		become_home(d, block);
	else
		d->blocks[block].home = (uint16_t)home;
	region_home_known(d, block);
}

int region_ask_home(struct dsm *d, uint64_t block, bool touch)
{
	unsigned who = region_arbiter(d, block);
	struct msg m = { .kind = MSG_BLOCK_TOUCH,
			 .slots = 1,
			 .src = (uint16_t)d->rank,
			 .page = block * GRANULES_PER_BLOCK,
			 .word = { touch } };

	if (d->blocks[block].home != WIRE_NO_RANK)
		return 0;
	if (rankset_has(&d->down, who))
		return -EHOSTDOWN;
	if (who == d->rank) {
		if (!touch)
			return -ENODATA;
		become_home(d, block);
		return 0;
	}
	node_send(d, who, &m);
	return 1;
}

static void on_touch(struct dsm *d, const struct msg *m)
{
	uint64_t block = m->page / GRANULES_PER_BLOCK;
	struct msg answer = { .kind = MSG_BLOCK_HOME,
			      .slots = 1,
			      .src = (uint16_t)d->rank,
			      .page = m->page,
			      .word = { WIRE_NO_RANK } };

	if (region_arbiter(d, block) != d->rank)
		return;
	if (block < block_count(d) && d->blocks[block].granules) {
		if (d->blocks[block].home == WIRE_NO_RANK && m->word[0])
			d->blocks[block].home = m->src;
		answer.word[0] = d->blocks[block].home;
	}
	node_send(d, m->src, &answer);
}

static void on_block_home(struct dsm *d, const struct msg *m)
{
	uint64_t block = m->page / GRANULES_PER_BLOCK;

	if (block >= block_count(d) || !d->blocks[block].granules ||
	    m->src != region_arbiter(d, block))
		return;
	/* A home is for good: this is an answer that came after another way of learning it. */
	if (d->blocks[block].home != WIRE_NO_RANK)
		return;
	if (m->word[0] < d->size)
		home_learned(d, block, (unsigned)m->word[0]);
	else
		node_page_changed(d, block * GRANULES_PER_BLOCK, -ENODATA, WIRE_NO_RANK);
}

void region_claimed(struct dsm *d, uint64_t granule)
{
	uint64_t block = granule / GRANULES_PER_BLOCK;

	/* The arbiter itself would know. */
	if (block < block_count(d) && d->blocks[block].granules &&
	    d->blocks[block].home == WIRE_NO_RANK && region_arbiter(d, block) != d->rank)
		home_learned(d, block, d->rank);
}

void region_message(struct dsm *d, const struct msg *m)
{
	switch (m->kind) {
	case MSG_REGION_ADD:
		on_add(d, (const struct msg_region *)m);
		break;
	case MSG_REGION_DROP:
		on_drop(d, (const struct msg_region *)m);
		break;
	case MSG_REGION_ALLOCATED:
	case MSG_REGION_FREED:
		region_call_answered(d, (const struct msg_region *)m);
		break;
	case MSG_BLOCK_TOUCH:
		on_touch(d, m);
		break;
	case MSG_BLOCK_HOME:
		on_block_home(d, m);
		break;
	default:
		if (d->rank == 0)
			region_root_message(d, (const struct msg_region *)m);
		break;
	}
}

/* Calls that wait for the home of a block whose arbiter died wait for nothing. */
static void arbiter_down(struct dsm *d, unsigned rank)
{
	struct region *region;

	cds_list_for_each_entry (region, &d->regions.list, link) {
		if (region->policy != DSM_HOME_FIRST_TOUCH)
			continue;
		for (uint64_t b = region->first_block; b < region->first_block + region->nblocks;
		     b++)
			if (d->blocks[b].home == WIRE_NO_RANK && region_arbiter(d, b) == rank)
				node_page_changed(d, b * GRANULES_PER_BLOCK, -EHOSTDOWN, rank);
	}
}

void region_rank_down(struct dsm *d, unsigned rank)
{
	arbiter_down(d, rank);
	if (d->rank == 0)
		region_root_rank_down(d, rank);
	if (rank == 0)
		region_calls_fail(d, -EHOSTDOWN, rank);
}
