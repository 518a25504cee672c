/* SPDX-License-Identifier: MIT */
/*
 * The cache side: reads, holds, evictions, writes ahead, remote atomics and write-through, by hand
 * in a virtual cluster. Every delivery also checks what must always be true (virtual_check.c).
 */
#include <errno.h>

#include "snapshot.h"
#include "virtual_test.h"

/*
 * Reads
 */

static void cache_read__clean_page_takes_no_message(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	cache_read(cluster_rank(c, 1), page, 0, false);
	cluster_chain_finish(c, 1);
	assert_true(cluster_load(c, 1, page, 0));
	assert_true(has_bit(c, 1, page));
	assert_int_equal(cluster_queued(c, 1, 0), 0);
	assert_int_equal(c->rank[1].node.stats.pub.read_misses_one_sided, 1);
	finish(c);
}

static void cache_read__exclusive_page_is_asked_for(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 2, page);
	cache_read(cluster_rank(c, 1), page, 0, false);
	cluster_chain_finish(c, 1);
	cluster_expect(c, 1, 0, MSG_GETS);
	cluster_expect(c, 0, 2, MSG_FWD_GETS);
	cluster_expect(c, 2, 0, MSG_WRITE_BACK);
	cluster_expect(c, 0, 1, MSG_GRANT_S);
	assert_true(cluster_load(c, 1, page, 0));
	assert_true(cluster_load(c, 2, page, 0));
	finish(c);
}

static void cache_read__ahead_takes_what_is_clean(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t page[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		page[i] = cluster_page(c, 0, i);
	write_in(c, 2, page[2]);
	cache_read(cluster_rank(c, 1), page[0], 3, false);
	cluster_run(c);
	assert_int_equal(state_of(c, 1, page[0]), PAGE_SHARED);
	assert_int_equal(state_of(c, 1, page[1]), PAGE_SHARED);
	assert_int_equal(state_of(c, 1, page[2]), PAGE_INVALID); /* nobody is disturbed for it */
	assert_int_equal(state_of(c, 2, page[2]), PAGE_MODIFIED);
	assert_int_equal(state_of(c, 1, page[3]), PAGE_SHARED);
	assert_int_equal(c->rank[1].node.stats.pub.prefetched_pages, 2);
	finish(c);
}

static void cache_read__who_needs_a_refused_prefetch_gets_it(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t first = cluster_page(c, 0, 0), second = cluster_page(c, 0, 1);

	(void)state;
	write_in(c, 2, second);
	cache_read(cluster_rank(c, 1), first, 1, false);
	cache_read(cluster_rank(c, 1), second, 0, true); /* while the chain is on its way */
	cluster_run(c);
	assert_true(cluster_load(c, 1, second, 0));
	finish(c);
}

static void cache_read__what_no_chain_reaches_goes_by_message(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t first = cluster_page(c, 0, 0), second = cluster_page(c, 0, 1);

	(void)state;
	c->no_chains = true;
	cache_read(cluster_rank(c, 1), first, 1, false);
	cluster_expect(c, 1, 0, MSG_GETS);
	cluster_expect(c, 0, 1, MSG_GRANT_S);
	assert_true(cluster_load(c, 1, first, 0));
	assert_true(has_bit(c, 1, first));
	/* Nothing was registered for what was to come with it: a chain does it later. */
	assert_false(has_bit(c, 1, second));
	c->no_chains = false;
	cache_read(cluster_rank(c, 1), second, 0, false);
	cluster_chain_finish(c, 1);
	assert_true(has_bit(c, 1, second));
	write_in(c, 2, first);
	write_in(c, 2, second);
	assert_int_equal(state_of(c, 1, first), PAGE_INVALID);
	assert_int_equal(state_of(c, 1, second), PAGE_INVALID);
	finish(c);
}

static void cache_read__fault_on_a_page_that_is_here_maps_it_again(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	write_in(c, 1, page);
	cluster_reclaim(c, 1, page);
	assert_false(cluster_load(c, 1, page, 0));
	cache_read(cluster_rank(c, 1), page, 0, true);
	assert_true(cluster_store(c, 1, page, 0));
	finish(c);
}

static void cache_read__home_reads_its_own_in_one_step(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, MANY, 1);
	uint64_t page = cluster_page(c, 0, 0);

	(void)state;
	cache_read(cluster_rank(c, 0), page, 3, false);
	assert_true(cluster_load(c, 0, page, 0));
	assert_int_equal(state_of(c, 0, page + 3), PAGE_SHARED);
	assert_int_equal(cluster_rank(c, 0)->frames, 0);
	finish(c);
}

/*
 * Holds and fresh pages
 */

static void cache_hold__recall_waits_for_the_release(void **state)
{
	static const bool writes[] = { false, true };
	uint64_t page;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct cluster *c = three(CLUSTER_RDMA, &page);

		write_in(c, 1, page);
		assert_int_equal(cache_hold(cluster_rank(c, 1), page, true), 0);
		if (writes[i])
			cache_write(cluster_rank(c, 2), page, 0, false);
		else
			cache_read(cluster_rank(c, 2), page, 0, false);
		cluster_run(c);
		assert_true(cluster_store(c, 1, page, 1));
		assert_int_equal(c->rank[1].node.stats.pub.recalls_deferred, 1);
		assert_int_equal(cluster_state(c, 2, page)->pending,
				 writes[i] ? PEND_GETM : PEND_GETS);
		cache_unhold(cluster_rank(c, 1), page, 1, true, false);
		cluster_run(c);
		assert_int_equal(state_of(c, 2, page), writes[i] ? PAGE_MODIFIED : PAGE_SHARED);
		finish(c);
	}
}

static void cache_hold__nests(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	read_in(c, 1, page);
	cache_hold(cluster_rank(c, 1), page, false);
	cache_hold(cluster_rank(c, 1), page, false);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_run(c);
	cache_unhold(cluster_rank(c, 1), page, 1, false, false);
	cluster_run(c);
	assert_true(cluster_load(c, 1, page, 0));
	cache_unhold(cluster_rank(c, 1), page, 1, false, false);
	cluster_run(c);
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

static void cache_hold__write_hold_lets_no_reader_in(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	write_in(c, 1, page);
	cache_hold(cluster_rank(c, 1), page, false); /* reading: the owner may be made a sharer */
	read_in(c, 2, page);
	assert_int_equal(state_of(c, 1, page), PAGE_SHARED);
	cache_unhold(cluster_rank(c, 1), page, 1, false, false);
	finish(c);
}

static void cache_hold__refuses_to_overflow(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	read_in(c, 1, page);
	cluster_state(c, 1, page)->readers_holding = UINT16_MAX;
	assert_int_equal(cache_hold(cluster_rank(c, 1), page, false), -EOVERFLOW);
	cluster_state(c, 1, page)->readers_holding = 0;
	finish(c);
}

/* Two ranks hold a page for reading and both want to write it: neither may insist. */
static void cache_hold__two_upgrades_of_held_pages(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	for (unsigned r = 1; r < 3; r++) {
		read_in(c, r, page);
		cache_hold(cluster_rank(c, r), page, false);
	}
	cache_write(cluster_rank(c, 1), page, 0, false);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_run(c);
	/* One has it, the other waits for its hold to end. */
	assert_int_equal(
		!!cluster_state(c, 1, page)->pending + !!cluster_state(c, 2, page)->pending, 1);
	for (unsigned r = 1; r < 3; r++) {
		if (!cluster_store(c, r, page, 0))
			continue;
		cache_unhold(cluster_rank(c, r), page, 1, false, false);
		cluster_run(c);
		assert_true(cluster_store(c, 3 - r, page, 0));
		cache_unhold(cluster_rank(c, 3 - r), page, 1, false, false);
		break;
	}
	finish(c);
}

/* A recall is deferred for a hold; then the holder itself asks for more. */
static void cache_write__obeys_the_recall_that_waits(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 1, page);
	cache_hold(cluster_rank(c, 1), page, false);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_run(c);
	assert_int_equal(cluster_state(c, 1, page)->deferred, DEFER_INV);
	cache_write(cluster_rank(c, 1), page, 0, false);
	cluster_run(c);
	assert_true(cluster_store(c, 1, page, 0));
	cache_unhold(cluster_rank(c, 1), page, 1, false, false);
	finish(c);
}

/* Of any rank, the home too: threads hold a copy, one wants to write it, and that cannot be mapped.
 */
static void cache_hold__copy_outlives_an_upgrade_that_fails(void **state)
{
	(void)state;
	for (unsigned r = 0; r < 2; r++) {
		uint64_t page;
		struct cluster *c = three(CLUSTER_RDMA, &page);

		read_in(c, r, page);
		read_in(c, 2, page);
		assert_int_equal(cache_hold(cluster_rank(c, r), page, false), 0);
		c->map_fail_percent = 100;
		cache_write(cluster_rank(c, r), page, 0, false);
		cluster_run(c);
		c->map_fail_percent = 0;
		assert_int_equal(grant_of(c, page), GRANT_CLEAN);
		assert_int_equal(state_of(c, r, page), PAGE_SHARED);
		cache_write(cluster_rank(c, 2), page, 0, false);
		cluster_run(c);
		assert_true(cluster_load(c, r, page, 0));
		assert_false(cluster_store(c, r, page, 0));
		assert_int_equal(state_of(c, 2, page), PAGE_INVALID);
		cache_unhold(cluster_rank(c, r), page, 1, false, false);
		cluster_run(c);
		assert_true(cluster_store(c, 2, page, 0));
		finish(c);
	}
}

static bool never(void *app, unsigned rank, uint64_t page)
{
	(void)app;
	(void)rank;
	(void)page;
	return false;
}

static void protocol_retry__recall_of_a_fresh_page_waits(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	write_in(c, 1, page);
	write_in(c, 2, page);
	c->settled = never;
	assert_false(protocol_retry(cluster_rank(c, 1)));
	cache_write(cluster_rank(c, 1), page, 0, true);
	cluster_run(c);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cluster_expect(c, 0, 1, MSG_FWD_GETM);
	assert_true(protocol_retry(cluster_rank(c, 1)));
	assert_true(cluster_store(c, 1, page, 0));
	c->settled = NULL;
	assert_false(protocol_retry(cluster_rank(c, 1)));
	cluster_expect(c, 1, 0, MSG_WRITE_BACK);
	cluster_run(c);
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

static void cache_contended__tells_what_was_recalled(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	write_in(c, 1, page);
	assert_false(cache_contended(cluster_rank(c, 1), page));
	write_in(c, 2, page);
	assert_true(cache_contended(cluster_rank(c, 1), page));
	c->tick += 1;
	assert_true(cache_contended(cluster_rank(c, 1), page));
	c->tick += 1;
	assert_false(cache_contended(cluster_rank(c, 1), page));
	assert_false(cache_contended(cluster_rank(c, 2), page));
	finish(c);
}

static void protocol_retry__not_for_pages_that_no_fault_asked_for(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	c->settled = never;
	write_in(c, 1, page);
	write_in(c, 2, page);
	finish(c);
}

/*
 * Eviction
 */

/* What has been asked for and is still to come has a place in the budget. */
static void cache_make_room__counts_what_is_due(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, 4, 1);

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		write_in(c, 0, cluster_page(c, 0, i));
	for (unsigned i = 0; i < 4; i++)
		write_in(c, 1, c->page[i]);
	cache_read(cluster_rank(c, 1), c->page[4], 0, false);
	cache_write(cluster_rank(c, 1), c->page[5], 0, false);
	assert_int_equal(cluster_rank(c, 1)->due, 2);
	assert_true(cluster_rank(c, 1)->frames <= 2);
	cluster_run(c);
	assert_int_equal(cluster_rank(c, 1)->due, 0);
	assert_true(cluster_rank(c, 1)->frames <= 4);
	finish(c);
}

static void cache_make_room__keeps_to_the_budget(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, 4, 1);

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		uint64_t page = cluster_page(c, 0, i);

		write_in(c, 1, page);
		assert_true(cluster_rank(c, 1)->frames <= 4);
	}
	assert_int_equal(c->rank[1].node.stats.pub.evictions, 8);
	for (unsigned i = 0; i < 12; i++)
		read_in(c, 0, c->page[i]);
	finish(c);
}

static void cache_make_room__held_pages_stay(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, 2, 1);
	uint64_t page[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		page[i] = cluster_page(c, 0, i);
	for (unsigned i = 0; i < 2; i++) {
		write_in(c, 1, page[i]);
		cache_hold(cluster_rank(c, 1), page[i], i == 0);
	}
	assert_false(cache_make_room(cluster_rank(c, 1), 1));
	cache_unhold(cluster_rank(c, 1), page[1], 1, false, false);
	assert_true(cache_make_room(cluster_rank(c, 1), 1));
	assert_int_equal(state_of(c, 1, page[0]), PAGE_MODIFIED);
	assert_int_equal(state_of(c, 1, page[1]), PAGE_INVALID);
	cache_unhold(cluster_rank(c, 1), page[0], 1, true, false);
	finish(c);
}

static void cache_make_room__contiguous_pages_share_a_call(void **state)
{
	struct cluster *c = cluster_create(2, 2, CLUSTER_SHM, 8, 1);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		read_in(c, 1, cluster_page(c, 0, i));
	assert_true(cache_make_room(cluster_rank(c, 1), 8));
	assert_int_equal(cluster_rank(c, 1)->frames, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(state_of(c, 1, c->page[i]), PAGE_INVALID);
		assert_false(cluster_state(c, 1, c->page[i])->queued);
	}
	read_in(c, 1, c->page[0]);
	finish(c);
}

/* The home of a dirty page is dead: this copy is the last, and stays as long as it can. */
static void cache_make_room__last_copy_stays(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, 1, 1);
	uint64_t page = cluster_page(c, 0, 0);

	(void)state;
	write_in(c, 1, page);
	cluster_kill(c, 0, true);
	cluster_run(c);
	assert_false(cache_make_room(cluster_rank(c, 1), 1));
	assert_true(cluster_store(c, 1, page, 0));
	finish(c);
}

/*
 * Writes ahead
 */

static void cache_write__ahead_takes_what_is_free(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t page[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		page[i] = cluster_page(c, 0, i);
	read_in(c, 2, page[1]);
	read_in(c, 0, page[3]);
	cache_write(cluster_rank(c, 1), page[0], 3, false);
	cluster_run(c);
	assert_int_equal(state_of(c, 1, page[0]), PAGE_MODIFIED);
	assert_int_equal(state_of(c, 1, page[1]), PAGE_INVALID);
	assert_int_equal(state_of(c, 1, page[2]), PAGE_MODIFIED);
	assert_int_equal(state_of(c, 1, page[3]), PAGE_INVALID);
	assert_int_equal(state_of(c, 2, page[1]), PAGE_SHARED);
	assert_int_equal(state_of(c, 0, page[3]), PAGE_SHARED);
	finish(c);
}

static void cache_write__own_registration_does_not_make_a_page_used(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_RDMA, 2, 1);
	uint64_t page[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		page[i] = cluster_page(c, 0, i);
	read_in(c, 1, page[1]);
	read_in(c, 1, page[2]);
	cache_make_room(cluster_rank(c, 1), 2);
	assert_true(has_bit(c, 1, page[1]));
	cache_write(cluster_rank(c, 1), page[0], 1, false);
	cluster_run(c);
	assert_int_equal(state_of(c, 1, page[1]), PAGE_MODIFIED);
	finish(c);
}

static void cache_write__refused_ahead_but_needed_meanwhile(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t first = cluster_page(c, 0, 0), second = cluster_page(c, 0, 1);

	(void)state;
	read_in(c, 2, second);
	cache_write(cluster_rank(c, 1), first, 1, false);
	cache_write(cluster_rank(c, 1), second, 0, true);
	cluster_run(c);
	assert_true(cluster_store(c, 1, second, 0));
	finish(c);
}

/*
 * Runs of writes
 */

/* Four neighbouring pages of rank 0. */
static struct cluster *row(enum cluster_mode mode, uint64_t page[4])
{
	struct cluster *c = cluster_create(3, 1, mode, MANY, 1);

	for (unsigned i = 0; i < 4; i++)
		page[i] = cluster_page(c, 0, i);
	return c;
}

static void expect_row_written(struct cluster *c, const uint64_t page[4])
{
	for (unsigned i = 0; i < 4; i++)
		assert_true(cluster_store(c, 1, page[i], 0));
}

/* Rank 1 comes to write all of it, by one call; returns the number of messages. */
static uint64_t write_row(struct cluster *c, const uint64_t page[4])
{
	uint64_t before = c->messages;

	cache_write_run(cluster_rank(c, 1), page[0], 4);
	cluster_run(c);
	expect_row_written(c, page);
	return c->messages - before;
}

static void cache_write_run__is_one_message_each_way(void **state)
{
	static const enum cluster_mode modes[] = { CLUSTER_SHM, CLUSTER_RDMA };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t page[4];
		struct cluster *c = row(modes[i], page);

		assert_int_equal(write_row(c, page), 2);
		finish(c);
	}
}

static void cache_write_run__what_the_home_has_comes_with_the_others(void **state)
{
	uint64_t page[4];
	struct cluster *c = row(CLUSTER_RDMA, page);

	(void)state;
	read_in(c, 0, page[1]);
	write_in(c, 0, page[2]);
	assert_int_equal(write_row(c, page), 2);
	finish(c);
}

static void cache_write_run__takes_what_others_have(void **state)
{
	uint64_t page[4];
	struct cluster *c = row(CLUSTER_RDMA, page);

	(void)state;
	read_in(c, 2, page[1]);
	write_in(c, 2, page[3]);
	write_row(c, page);
	assert_int_equal(state_of(c, 2, page[1]), PAGE_INVALID);
	assert_int_equal(state_of(c, 2, page[3]), PAGE_INVALID);
	finish(c);
}

static void cache_write_run__copies_are_not_fetched_again(void **state)
{
	uint64_t page[4], before;
	struct cluster *c = row(CLUSTER_RDMA, page);
	const struct dsm_stats *stats = &c->rank[1].node.stats.pub;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		read_in(c, 1, page[i]);
	before = stats->fetched_bytes;
	write_row(c, page);
	assert_int_equal(stats->fetched_bytes, before);
	assert_int_equal(stats->write_upgrades, 4);
	finish(c);
}

/* Rank 2 is asked first: it has one of the copies invalidated while the run is on its way. */
static void cache_write_run__copy_that_is_lost_meanwhile_comes_with_its_data(void **state)
{
	uint64_t page[4];
	struct cluster *c = row(CLUSTER_RDMA, page);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		read_in(c, 1, page[i]);
	cache_write(cluster_rank(c, 2), page[2], 0, false);
	cache_write_run(cluster_rank(c, 1), page[0], 4);
	cluster_expect(c, 2, 0, MSG_GETM);
	cluster_run(c);
	expect_row_written(c, page);
	assert_int_equal(state_of(c, 2, page[2]), PAGE_INVALID);
	finish(c);
}

static void cache_write_run__frames_that_are_here_already(void **state)
{
	uint64_t page[4];
	struct cluster *c = row(CLUSTER_SHM, page);

	(void)state;
	write_in(c, 1, page[1]);
	write_in(c, 2, page[1]);
	write_in(c, 0, page[1]);
	assert_true(cluster_state(c, 1, page[1])->frame);
	write_row(c, page);
	finish(c);
}

static void cache_write_run__ends_where_a_page_is_held_or_asked_for(void **state)
{
	uint64_t page[4];
	struct cluster *c = row(CLUSTER_RDMA, page);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		read_in(c, 1, page[i]);
	assert_int_equal(cache_hold(cluster_rank(c, 1), page[1], false), 0);
	cache_write_run(cluster_rank(c, 1), page[0], 4);
	assert_int_equal(cluster_state(c, 1, page[1])->pending, PEND_NONE);
	cluster_run(c);
	assert_int_equal(state_of(c, 1, page[0]), PAGE_MODIFIED);
	assert_int_equal(state_of(c, 1, page[1]), PAGE_SHARED);
	assert_int_equal(state_of(c, 1, page[2]), PAGE_SHARED);
	cache_unhold(cluster_rank(c, 1), page[1], 1, false, false);
	finish(c);
}

/* Who may not hold a copy because it is asked for ahead of somebody's stores is told of the answer,
 * be it a grant or a refusal. */
static void hold_may_join__waits_for_what_is_asked_for_ahead(void **state)
{
	(void)state;
	for (unsigned refused = 0; refused < 2; refused++) {
		uint64_t page[4];
		unsigned wakes;
		struct cluster *c = row(CLUSTER_RDMA, page);

		read_in(c, 1, page[0]);
		read_in(c, 1, page[1]);
		if (refused)
			read_in(c, 2, page[1]);
		cache_write(cluster_rank(c, 1), page[0], 1, true);
		assert_false(hold_may_join(cluster_rank(c, 1), page[1], 7));
		wakes = c->rank[1].granules[page[1]].call_wakes;
		cluster_run(c);
		assert_int_equal(c->rank[1].granules[page[1]].call_wakes, wakes + 1);
		assert_true(hold_may_join(cluster_rank(c, 1), page[1], 7));
		assert_int_equal(state_of(c, 1, page[1]), refused ? PAGE_SHARED : PAGE_MODIFIED);
		finish(c);
	}
}

static void cache_write__refusals_come_together(void **state)
{
	uint64_t page[4], before;
	struct cluster *c = row(CLUSTER_RDMA, page);

	(void)state;
	read_in(c, 2, page[1]);
	read_in(c, 2, page[2]);
	before = c->messages;
	cache_write(cluster_rank(c, 1), page[0], 3, true);
	cluster_run(c);
	/* GetM, GrantM of the first, GrantError of two, GrantM of the last */
	assert_int_equal(c->messages - before, 4);
	assert_int_equal(cluster_rank(c, 1)->refused, 2);
	assert_int_equal(state_of(c, 1, page[0]), PAGE_MODIFIED);
	assert_int_equal(state_of(c, 1, page[1]), PAGE_INVALID);
	assert_int_equal(state_of(c, 1, page[2]), PAGE_INVALID);
	assert_int_equal(state_of(c, 1, page[3]), PAGE_MODIFIED);
	finish(c);
}

/*
 * Remote atomics
 */

static void cache_atomic__ranks_share_the_homes_memory(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 1, page);
	for (unsigned r = 0; r < 3; r++) {
		cache_atomic(cluster_rank(c, r), page);
		cluster_run(c);
		cluster_add(c, r, page, 0);
		assert_int_equal(state_of(c, r, page), PAGE_ATOMIC);
		assert_false(cluster_load(c, r, page, 0));
	}
	cluster_add(c, 1, page, 0);
	assert_int_equal(*cluster_word(c, 0, page, 0), 4);
	finish(c);
}

/* Rank 1 comes to rank 0's memory by adapter, ranks 0 and 2 do not: whoever began by processor is
 * asked before rank 1 is let, and does as rank 1 does afterwards. */
static void cache_atomic__all_by_adapter_or_none(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	for (unsigned r = 0; r < 3; r += 2) {
		cache_atomic(cluster_rank(c, r), page);
		cluster_run(c);
		assert_int_equal(state_of(c, r, page), PAGE_ATOMIC);
		assert_int_equal(cluster_state(c, r, page)->adapter, 0);
	}
	assert_int_equal(grant_of(c, page), grant_word(GRANT_ATOMIC, ATOMIC_BY_PROCESSORS));
	cache_atomic(cluster_rank(c, 1), page);
	cluster_expect(c, 1, 0, MSG_GETA);
	assert_int_equal(state_of(c, 0, page), PAGE_INVALID);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	cluster_expect(c, 0, 2, MSG_INV);
	cluster_expect(c, 2, 0, MSG_INV_ACK);
	cluster_expect(c, 0, 1, MSG_GRANT_A);
	assert_int_equal(grant_of(c, page), grant_word(GRANT_ATOMIC, ATOMIC_BY_ADAPTER));
	for (unsigned r = 0; r < 3; r++) {
		cache_atomic(cluster_rank(c, r), page);
		cluster_run(c);
		assert_int_equal(state_of(c, r, page), PAGE_ATOMIC);
		assert_int_equal(cluster_state(c, r, page)->adapter, 1);
	}
	/* A load ends it, and the next begin anew. */
	read_in(c, 2, page);
	cache_atomic(cluster_rank(c, 2), page);
	cluster_run(c);
	assert_int_equal(cluster_state(c, 2, page)->adapter, 0);
	finish(c);
}

/* The home's adapter has ceased to: whoever asks anew makes it all by processor, also for those who
 * have not noticed. */
static void cache_atomic__by_processor_once_the_adapter_has_failed(void **state)
{
	(void)state;
	for (unsigned again = 0; again < 3; again++) {
		uint64_t page;
		struct cluster *c = three(CLUSTER_RDMA, &page);

		for (unsigned r = 0; r < 3; r++) {
			cache_atomic(cluster_rank(c, (r + 1) % 3), page);
			cluster_run(c);
		}
		for (unsigned r = 0; r < 3; r++)
			assert_int_equal(cluster_state(c, r, page)->adapter, 1);
		rankset_clear(&c->rank[0].adapters);
		cache_atomic_again(cluster_rank(c, again), page);
		cache_atomic(cluster_rank(c, again), page);
		cluster_run(c);
		assert_int_equal(grant_of(c, page), grant_word(GRANT_ATOMIC, ATOMIC_BY_PROCESSORS));
		for (unsigned r = 0; r < 3; r++) {
			assert_int_equal(state_of(c, r, page),
					 r == again ? PAGE_ATOMIC : PAGE_INVALID);
			cache_atomic(cluster_rank(c, r), page);
			cluster_run(c);
			assert_int_equal(cluster_state(c, r, page)->adapter, 0);
			cache_atomic_again(cluster_rank(c, r), page); /* nothing to be mended */
			assert_int_equal(state_of(c, r, page), PAGE_ATOMIC);
		}
		finish(c);
	}
}

static void cache_atomic__every_other_state_and_back(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	for (unsigned r = 0; r < 3; r++) {
		for (unsigned from = 0; from < 3; from++) {
			cache_atomic(cluster_rank(c, r), page);
			cluster_run(c);
			cluster_add(c, r, page, 1);
			read_in(c, from, page);
			cache_atomic(cluster_rank(c, r), page);
			cluster_run(c);
			cluster_add(c, r, page, 1);
			write_in(c, from, page);
		}
	}
	finish(c);
}

/* Of each rank, the home too: what it is granted it keeps until it has had its atomic, however soon
 * the next load or store comes. */
static void cache_atomic__recall_right_behind_the_grant_waits(void **state)
{
	(void)state;
	for (unsigned r = 0; r < 2; r++) {
		uint64_t page;
		struct cluster *c = three(CLUSTER_RDMA, &page);

		c->settled = never;
		cache_atomic(cluster_rank(c, r), page);
		cluster_run(c);
		cache_write(cluster_rank(c, 2), page, 0, false);
		cluster_expect(c, 2, 0, MSG_GETM);
		if (r != 0)
			cluster_expect(c, 0, r, MSG_INV);
		assert_int_equal(state_of(c, r, page), PAGE_ATOMIC);
		assert_true(protocol_retry(cluster_rank(c, r)));
		cluster_add(c, r, page, 0);
		c->settled = NULL;
		assert_false(protocol_retry(cluster_rank(c, r)));
		assert_int_equal(state_of(c, r, page), PAGE_INVALID);
		cluster_run(c);
		assert_true(cluster_store(c, 2, page, 0));
		finish(c);
	}
}

static void cache_atomic__owner_needs_no_home(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	cache_atomic(cluster_rank(c, 1), page);
	assert_int_equal(cluster_queued(c, 1, 0), 0);
	cluster_add(c, 1, page, 0);
	finish(c);
}

/*
 * Write-through release
 */

static struct cluster *pushed(uint64_t *page)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, 1, 1);

	*page = cluster_page(c, 0, 0);
	cluster_page(c, 0, 1);
	write_in(c, 1, *page);
	cache_hold(cluster_rank(c, 1), *page, true);
	return c;
}

static void cache_unhold__push_leaves_a_clean_page(void **state)
{
	uint64_t page;
	struct cluster *c = pushed(&page);

	(void)state;
	cache_unhold(cluster_rank(c, 1), page, 1, true, true);
	assert_true(cluster_load(c, 1, page, 0));
	assert_false(cluster_store(c, 1, page, 0));
	cluster_expect(c, 1, 0, MSG_PUTM);
	assert_true(has_bit(c, 1, page));
	cache_read(cluster_rank(c, 2), page, 0, false);
	cluster_chain_finish(c, 2);
	assert_true(cluster_load(c, 2, page, 0));
	assert_int_equal(c->rank[2].node.stats.pub.read_misses_one_sided, 1);
	finish(c);
}

static void cache_unhold__push_crosses_a_recall(void **state)
{
	static const bool writes[] = { false, true };
	uint64_t page;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct cluster *c = pushed(&page);

		if (writes[i])
			cache_write(cluster_rank(c, 2), page, 0, false);
		else
			cache_read(cluster_rank(c, 2), page, 0, false);
		if (!writes[i])
			cluster_chain_finish(c, 2);
		cluster_deliver(c, 2, 0);
		cache_unhold(cluster_rank(c, 1), page, 1, true, true);
		cluster_expect(c, 0, 1, writes[i] ? MSG_FWD_GETM : MSG_FWD_GETS);
		cluster_expect(c, 1, 0, MSG_PUTM);
		cluster_expect(c, 1, 0, MSG_WRITE_BACK);
		assert_int_equal(has_bit(c, 1, page), !writes[i]);
		assert_int_equal(cluster_state(c, 1, page)->registered, !writes[i]);
		assert_int_equal(state_of(c, 1, page), writes[i] ? PAGE_INVALID : PAGE_SHARED);
		finish(c);
	}
}

/* What the push left is held: the recall that crossed it waits as any other. */
static void cache_unhold__push_crosses_a_recall_of_a_held_page(void **state)
{
	static const bool before[] = { false, true };
	uint64_t page;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct cluster *c = pushed(&page);

		cache_write(cluster_rank(c, 2), page, 0, false);
		cluster_deliver(c, 2, 0);
		if (before[i])
			cache_hold(cluster_rank(c, 1), page, false);
		cache_unhold(cluster_rank(c, 1), page, 1, true, true);
		if (!before[i])
			cache_hold(cluster_rank(c, 1), page, false);
		cluster_expect(c, 0, 1, MSG_FWD_GETM);
		cluster_expect(c, 1, 0, MSG_PUTM);
		cluster_run(c);
		assert_true(cluster_load(c, 1, page, 0));
		assert_false(cluster_store(c, 2, page, 0));
		cache_unhold(cluster_rank(c, 1), page, 1, false, false);
		cluster_expect(c, 1, 0, MSG_WRITE_BACK);
		cluster_run(c);
		assert_true(cluster_store(c, 2, page, 0));
		finish(c);
	}
}

/* Pushed, evicted and read again while a FwdGetM is on its way: that read is not registered. */
static void cache_unhold__push_undone_poisons_the_chain(void **state)
{
	uint64_t page;
	struct cluster *c = pushed(&page);

	(void)state;
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cache_unhold(cluster_rank(c, 1), page, 1, true, true);
	cache_make_room(cluster_rank(c, 1), 1);
	cache_read(cluster_rank(c, 1), page, 0, false);
	cluster_expect(c, 0, 1, MSG_FWD_GETM);
	cluster_expect(c, 1, 0, MSG_PUTM);
	cluster_expect(c, 1, 0, MSG_WRITE_BACK);
	cluster_expect(c, 0, 2, MSG_GRANT_M);
	cache_make_room(cluster_rank(c, 2), 1); /* the page goes home: Clean */
	cluster_expect(c, 2, 0, MSG_PUTM);
	cluster_chain_finish(c, 1);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	cluster_run(c);
	assert_true(cluster_load(c, 1, page, 0));
	assert_true(has_bit(c, 1, page));
	finish(c);
}

static void cache_unhold__pushes_runs(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, MANY, 1);
	uint64_t first = cluster_page(c, 0, 0);

	(void)state;
	for (unsigned i = 1; i < 5; i++)
		cluster_page(c, 0, i);
	for (unsigned i = 0; i < 5; i++) {
		write_in(c, 1, c->page[i]);
		cache_hold(cluster_rank(c, 1), c->page[i], true);
	}
	cache_hold(cluster_rank(c, 1), c->page[2], true); /* held once more: it stays */
	cache_unhold(cluster_rank(c, 1), first, 5, true, true);
	assert_int_equal(cluster_queued(c, 1, 0), 2); /* a message a run */
	cluster_run(c);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(state_of(c, 1, c->page[i]), i == 2 ? PAGE_MODIFIED : PAGE_SHARED);
	cache_unhold(cluster_rank(c, 1), c->page[2], 1, true, false);
	finish(c);
}

/* Of three pages that go home together, one is wanted for writing meanwhile, one for reading. */
static void cache_unhold__run_crosses_recalls(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	static const unsigned answer[] = { MSG_FWD_GETM, MSG_FWD_GETS };
	uint64_t page[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		page[i] = cluster_page(c, 0, i);
		write_in(c, 1, page[i]);
		cache_hold(cluster_rank(c, 1), page[i], true);
	}
	cache_write(cluster_rank(c, 2), page[0], 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cache_read(cluster_rank(c, 2), page[2], 0, false);
	cluster_chain_finish(c, 2);
	cluster_expect(c, 2, 0, MSG_GETS);
	cache_unhold(cluster_rank(c, 1), page[0], 3, true, true);
	assert_int_equal(cluster_queued(c, 1, 0), 1);
	for (unsigned i = 0; i < 2; i++)
		cluster_expect(c, 0, 1, answer[i]);
	cluster_expect(c, 1, 0, MSG_PUTM);
	assert_int_equal(grant_state(grant_of(c, page[0])), GRANT_BUSY);
	assert_int_equal(grant_state(grant_of(c, page[1])), GRANT_CLEAN);
	assert_int_equal(grant_state(grant_of(c, page[2])), GRANT_BUSY);
	cluster_run(c);
	assert_true(cluster_store(c, 2, page[0], 0));
	assert_true(cluster_load(c, 1, page[1], 0));
	assert_true(cluster_load(c, 2, page[2], 0));
	finish(c);
}

/* Written pages that go together, from among others, go home in one piece each run. */
static void cache_make_room__dirty_runs_share_a_message(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_RDMA, 6, 1);
	uint64_t first = cluster_page(c, 0, 0);

	(void)state;
	for (unsigned i = 1; i < 5; i++)
		cluster_page(c, 0, i);
	for (unsigned i = 0; i < 5; i++) {
		if (i == 2)
			read_in(c, 1, first + i);
		else
			write_in(c, 1, first + i);
	}
	assert_true(cache_make_room(cluster_rank(c, 1), 6));
	assert_int_equal(cluster_queued(c, 1, 0), 2);
	assert_int_equal(c->rank[1].node.stats.pub.write_backs, 4);
	cluster_run(c);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(grant_state(grant_of(c, first + i)), GRANT_CLEAN);
	finish(c);
}

static void cache_unhold__home_pushes_its_own(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 0, page);
	cache_hold(cluster_rank(c, 0), page, true);
	cache_unhold(cluster_rank(c, 0), page, 1, true, true);
	assert_int_equal(grant_state(grant_of(c, page)), GRANT_CLEAN);
	assert_int_equal(state_of(c, 0, page), PAGE_SHARED);
	finish(c);
}

/* A hold of an own page for writing, and its end with write-through. */
static void home_writes(struct cluster *c, uint64_t page)
{
	cache_write(cluster_rank(c, 0), page, 0, false);
	cluster_run(c);
	assert_int_equal(cache_hold(cluster_rank(c, 0), page, true), 0);
	assert_true(cluster_store(c, 0, page, 0));
	cache_unhold(cluster_rank(c, 0), page, 1, true, true);
	cluster_run(c);
}

static void cache_unhold__own_page_that_nobody_reads_stays_writable(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		home_writes(c, page);
	assert_int_equal(state_of(c, 0, page), PAGE_SHARED); /* nobody looks */
	read_in(c, 2, page);
	cache_looked(cluster_rank(c, 1), page);
	cluster_expect(c, 1, 0, MSG_LOOKS);
	cache_looked(cluster_rank(c, 1), page);
	assert_int_equal(cluster_queued(c, 1, 0), 0); /* once */
	for (unsigned i = 0; i < 2; i++) {
		home_writes(c, page);
		assert_int_equal(grant_of(c, page), grant_word(GRANT_CLEAN, 0));
		assert_int_equal(state_of(c, 0, page), PAGE_SHARED);
	}
	home_writes(c, page);
	assert_int_equal(state_of(c, 0, page), PAGE_MODIFIED);
	assert_int_equal(grant_of(c, page), grant_word(GRANT_EXCLUSIVE, 0) | GRANT_OPEN);
	read_in(c, 1, page);
	assert_int_equal(grant_of(c, page), grant_word(GRANT_CLEAN, 0));
	home_writes(c, page);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	assert_int_equal(grant_of(c, page), grant_word(GRANT_CLEAN, 0));
	finish(c);
}

static uint64_t word_of(struct cluster *c, uint64_t page)
{
	return *segment_grant(&c->rank[0].space, c->rank[0].space.alias, page);
}

static bool still(struct cluster *c, uint64_t page, uint64_t word)
{
	return snapshot_end(&c->rank[0].space, c->rank[0].space.alias, page, word);
}

static void snapshot_end__tells_of_holds_and_owners(void **state)
{
	uint64_t page, word;
	struct cluster *c = three(CLUSTER_SHM, &page);
	const struct space *s = &c->rank[0].space;

	(void)state;
	assert_true(snapshot_begin(s, s->alias, page, &word));
	write_in(c, 1, page); /* Exclusive elsewhere */
	assert_false(still(c, page, word));
	read_in(c, 2, page); /* and Clean again */
	assert_int_equal(grant_of(c, page), grant_word(GRANT_CLEAN, 0));
	assert_false(still(c, page, word));
	write_in(c, 0, page);
	assert_false(snapshot_begin(s, s->alias, page, &word));
	assert_int_equal(cache_hold(cluster_rank(c, 0), page, true), 0);
	cache_unhold(cluster_rank(c, 0), page, 1, true, false);
	assert_true(snapshot_begin(s, s->alias, page, &word)); /* open */
	assert_true(cluster_store(c, 0, page, 0));
	assert_true(still(c, page, word));
	assert_int_equal(cache_hold(cluster_rank(c, 0), page, true), 0);
	assert_false(still(c, page, word));
	assert_false(snapshot_is_there(word_of(c, page)));
	cache_unhold(cluster_rank(c, 0), page, 1, true, false);
	assert_false(still(c, page, word));
	finish(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cache_read__clean_page_takes_no_message),
		cmocka_unit_test(cache_read__exclusive_page_is_asked_for),
		cmocka_unit_test(cache_read__ahead_takes_what_is_clean),
		cmocka_unit_test(cache_read__who_needs_a_refused_prefetch_gets_it),
		cmocka_unit_test(cache_read__what_no_chain_reaches_goes_by_message),
		cmocka_unit_test(cache_read__fault_on_a_page_that_is_here_maps_it_again),
		cmocka_unit_test(cache_read__home_reads_its_own_in_one_step),
		cmocka_unit_test(cache_hold__recall_waits_for_the_release),
		cmocka_unit_test(cache_hold__nests),
		cmocka_unit_test(cache_hold__write_hold_lets_no_reader_in),
		cmocka_unit_test(cache_hold__refuses_to_overflow),
		cmocka_unit_test(cache_hold__two_upgrades_of_held_pages),
		cmocka_unit_test(cache_write__obeys_the_recall_that_waits),
		cmocka_unit_test(cache_hold__copy_outlives_an_upgrade_that_fails),
		cmocka_unit_test(protocol_retry__recall_of_a_fresh_page_waits),
		cmocka_unit_test(cache_contended__tells_what_was_recalled),
		cmocka_unit_test(protocol_retry__not_for_pages_that_no_fault_asked_for),
		cmocka_unit_test(cache_make_room__counts_what_is_due),
		cmocka_unit_test(cache_make_room__keeps_to_the_budget),
		cmocka_unit_test(cache_make_room__held_pages_stay),
		cmocka_unit_test(cache_make_room__contiguous_pages_share_a_call),
		cmocka_unit_test(cache_make_room__last_copy_stays),
		cmocka_unit_test(cache_write__ahead_takes_what_is_free),
		cmocka_unit_test(cache_write__own_registration_does_not_make_a_page_used),
		cmocka_unit_test(cache_write__refused_ahead_but_needed_meanwhile),
		cmocka_unit_test(cache_write_run__is_one_message_each_way),
		cmocka_unit_test(cache_write_run__what_the_home_has_comes_with_the_others),
		cmocka_unit_test(cache_write_run__takes_what_others_have),
		cmocka_unit_test(cache_write_run__copies_are_not_fetched_again),
		cmocka_unit_test(cache_write_run__copy_that_is_lost_meanwhile_comes_with_its_data),
		cmocka_unit_test(cache_write_run__frames_that_are_here_already),
		cmocka_unit_test(cache_write_run__ends_where_a_page_is_held_or_asked_for),
		cmocka_unit_test(hold_may_join__waits_for_what_is_asked_for_ahead),
		cmocka_unit_test(cache_write__refusals_come_together),
		cmocka_unit_test(cache_atomic__ranks_share_the_homes_memory),
		cmocka_unit_test(cache_atomic__all_by_adapter_or_none),
		cmocka_unit_test(cache_atomic__by_processor_once_the_adapter_has_failed),
		cmocka_unit_test(cache_atomic__every_other_state_and_back),
		cmocka_unit_test(cache_atomic__recall_right_behind_the_grant_waits),
		cmocka_unit_test(cache_atomic__owner_needs_no_home),
		cmocka_unit_test(cache_unhold__push_leaves_a_clean_page),
		cmocka_unit_test(cache_unhold__push_crosses_a_recall),
		cmocka_unit_test(cache_unhold__push_crosses_a_recall_of_a_held_page),
		cmocka_unit_test(cache_unhold__push_undone_poisons_the_chain),
		cmocka_unit_test(cache_unhold__pushes_runs),
		cmocka_unit_test(cache_unhold__run_crosses_recalls),
		cmocka_unit_test(cache_make_room__dirty_runs_share_a_message),
		cmocka_unit_test(cache_unhold__home_pushes_its_own),
		cmocka_unit_test(cache_unhold__own_page_that_nobody_reads_stays_writable),
		cmocka_unit_test(snapshot_end__tells_of_holds_and_owners),
	};

	return cmocka_run_group_tests_name("protocol, cache side", tests, NULL, NULL);
}
