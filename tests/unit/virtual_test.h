/* SPDX-License-Identifier: MIT */
/*
 * Short words for schedules made by hand in a virtual cluster.
 */
#ifndef DSM_VIRTUAL_TEST_H
#define DSM_VIRTUAL_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "virtual_cluster.h"

#define MANY 4096 /* granules of cache: no eviction */

/* Bring a page to a rank, to read or to write it, whatever it takes. */
static inline void read_in(struct cluster *c, unsigned r, uint64_t page)
{
	cache_read(cluster_rank(c, r), page, 0, false);
	cluster_run(c);
	assert_true(cluster_load(c, r, page, 0));
}

static inline void write_in(struct cluster *c, unsigned r, uint64_t page)
{
	cache_write(cluster_rank(c, r), page, 0, false);
	cluster_run(c);
	assert_true(cluster_store(c, r, page, 0));
}

static inline uint64_t grant_of(struct cluster *c, uint64_t page)
{
	struct vrank *v = &c->rank[protocol_home(cluster_rank(c, 0), page)];

	return (uint32_t)*segment_grant(&v->space, v->space.alias, page);
}

static inline bool has_bit(struct cluster *c, unsigned r, uint64_t page)
{
	struct vrank *v = &c->rank[protocol_home(cluster_rank(c, 0), page)];

	return segment_readers(&v->space, v->space.alias, page)[r / 64] >> r % 64 & 1;
}

static inline unsigned state_of(struct cluster *c, unsigned r, uint64_t page)
{
	return cluster_state(c, r, page)->state;
}

/* Let all come to an end, and see that it did. */
static inline void finish(struct cluster *c)
{
	cluster_run(c);
	cluster_check_quiet(c);
	cluster_destroy(c);
}

/* Rank 0 is the home of the one block; its first page. */
static inline struct cluster *three(enum cluster_mode mode, uint64_t *page)
{
	struct cluster *c = cluster_create(3, 1, mode, MANY, 1);

	*page = cluster_page(c, 0, 0);
	return c;
}

#endif
