/* SPDX-License-Identifier: MIT */
/*
 * The application mapping of a virtual cluster's rank, a word of access a granule; its frames; and
 * the threads that it wakes. An operation that the protocol may not ask for fails the test.
 */
#include <errno.h>
#include <string.h>

#include "virtual_internal.h"

static int map_granule(struct vrank *v, uint64_t granule, bool writable, const uint8_t *src,
		       bool frames)
{
	struct granule *g = &v->granules[granule];

	if (g->access == ACCESS_POISONED)
		cluster_fail(v->cluster, "rank %u maps granule %#llx, which is poisoned", v->rank,
			     (unsigned long long)granule);
	if (frames != g->frame)
		cluster_fail(v->cluster, "rank %u maps granule %#llx as if it had %s frame",
			     v->rank, (unsigned long long)granule, frames ? "a" : "no");
	if (src && g->access != ACCESS_NONE)
		cluster_fail(v->cluster, "rank %u copies into granule %#llx, which is mapped",
			     v->rank, (unsigned long long)granule);
	if (src)
		memcpy(segment_page(v->space.alias, granule), src, GRANULE_BYTES);
	g->frame = 1;
	g->access = writable ? ACCESS_WRITE : ACCESS_READ;
	g->fault_wakes++;
	return 0;
}

int virtual_map(void *env, uint64_t granule, uint64_t n, bool writable, const void *src,
		bool frames)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	const uint8_t *from = src;

	cluster_trace(c, "%u: maps %llu granules at %llx%s", v->rank, (unsigned long long)n,
		      (unsigned long long)granule, writable ? " to write" : "");
	if (cluster_chance(c, c->map_fail_percent)) {
		cluster_trace(c, "%u: mapping fails", v->rank);
		for (uint64_t i = 0; i < n; i++)
			v->granules[granule + i].access = ACCESS_NONE;
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < n; i++) {
		cluster_preempt(c);
		map_granule(v, granule + i, writable, from ? from + i * GRANULE_BYTES : NULL,
			    frames);
	}
	cluster_preempt(c);
	return 0;
}

int virtual_allow_write(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	cluster_trace(v->cluster, "%u: allows writes at %llx", v->rank,
		      (unsigned long long)granule);
	if (cluster_chance(v->cluster, v->cluster->map_fail_percent))
		return -ENOMEM;
	for (uint64_t i = granule; i < granule + n; i++) {
		if (v->granules[i].access == ACCESS_READ)
			v->granules[i].access = ACCESS_WRITE;
		v->granules[i].fault_wakes++;
	}
	cluster_preempt(v->cluster);
	return 0;
}

int virtual_forbid_write(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	cluster_preempt(v->cluster);
	cluster_trace(v->cluster, "%u: forbids writes at %llx", v->rank,
		      (unsigned long long)granule);
	for (uint64_t i = granule; i < granule + n; i++)
		if (v->granules[i].access == ACCESS_WRITE)
			v->granules[i].access = ACCESS_READ;
	cluster_preempt(v->cluster);
	return 0;
}

int virtual_zap(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	cluster_preempt(v->cluster);
	cluster_trace(v->cluster, "%u: zaps %llx", v->rank, (unsigned long long)granule);
	for (uint64_t i = granule; i < granule + n; i++)
		v->granules[i].access = ACCESS_NONE;
	cluster_preempt(v->cluster);
	return 0;
}

int virtual_drop(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	cluster_trace(v->cluster, "%u: drops %llu granules at %llx", v->rank, (unsigned long long)n,
		      (unsigned long long)granule);
	for (uint64_t i = granule; i < granule + n; i++) {
		if (v->blocks[i / GRANULES_PER_BLOCK].home == v->rank)
			cluster_fail(v->cluster, "rank %u drops its own granule %#llx", v->rank,
				     (unsigned long long)i);
		v->granules[i].access = ACCESS_NONE;
		v->granules[i].frame = 0;
	}
	memset(segment_page(v->space.alias, granule), 0xdd, n << GRANULE_SHIFT);
	cluster_preempt(v->cluster);
	return 0;
}

static void wake(struct vrank *v, uint64_t page, bool faults)
{
	unsigned n = protocol_granules(&v->node.protocol, page);

	for (unsigned i = 0; i < n; i++) {
		v->granules[page + i].fault_wakes += faults;
		v->granules[page + i].call_wakes++;
	}
}

/* As in the library: what wakes a thread in a fault is the mapping of its page. */
void virtual_wake(void *env, uint64_t page)
{
	struct vrank *v = env;

	wake(v, page, v->node.protocol.pages[page].state == PAGE_ATOMIC);
}

void virtual_hold_ended(void *env, uint64_t page)
{
	wake(env, page, true);
}

void virtual_fail(void *env, uint64_t page, int err, unsigned blame)
{
	struct vrank *v = env;
	unsigned n = protocol_granules(&v->node.protocol, page);

	cluster_trace(v->cluster, "%u: page %llx fails: %s, rank %u", v->rank,
		      (unsigned long long)page, strerror(err), blame);
	if (err == EHOSTDOWN ? !v->cluster->deaths : err != ENOMEM || !v->cluster->map_fail_percent)
		cluster_fail(v->cluster, "rank %u: page %#llx fails: %s, rank %u", v->rank,
			     (unsigned long long)page, strerror(err), blame);
	for (unsigned i = 0; i < n; i++) {
		struct granule *g = &v->granules[page + i];

		if (err == EHOSTDOWN)
			g->access = ACCESS_POISONED;
		g->err = err;
		g->fails++;
		g->fault_wakes++;
		g->call_wakes++;
	}
}
