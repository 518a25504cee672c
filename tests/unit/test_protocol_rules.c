/* SPDX-License-Identifier: MIT */
/*
 * Rules R1 to R10 of the protocol, one by one: schedules made by hand in a virtual cluster, message
 * by message. Every delivery also checks what must always be true (virtual_check.c).
 */
#include "virtual_test.h"

/* A reader whose bit was set before the home took the readers is asked; one that came later sees
 * Busy. */
static void r1__late_reader_sees_busy(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 2, page);
	cache_read(cluster_rank(c, 1), page, 0, false);
	cache_write(cluster_rank(c, 0), page, 0, false); /* Busy; Inv goes to 2 alone */
	assert_int_equal(grant_state(grant_of(c, page)), GRANT_BUSY);
	cluster_chain_finish(c, 1);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	assert_int_equal(cluster_queued(c, 1, 0), 1); /* GetS */
	cluster_run(c);
	assert_true(cluster_load(c, 1, page, 0));
	finish(c);
}

static void r2__readers_are_cleared_before_inv(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 1, page);
	cache_write(cluster_rank(c, 0), page, 0, false);
	assert_int_equal(cluster_queued(c, 0, 1), 1);
	assert_false(has_bit(c, 1, page));
	cluster_expect(c, 0, 1, MSG_INV);
	assert_false(cluster_state(c, 1, page)->registered);
	cache_read(cluster_rank(c, 1), page, 0, false); /* its fetch-add is checked for a carry */
	finish(c);
}

static void r3__silent_eviction_keeps_the_registration(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_RDMA, 1, 1);
	uint64_t first = cluster_page(c, 0, 0), second = cluster_page(c, 0, 1);

	(void)state;
	read_in(c, 1, first);
	read_in(c, 1, second);
	assert_int_equal(state_of(c, 1, first), PAGE_INVALID);
	assert_true(cluster_state(c, 1, first)->registered);
	assert_true(has_bit(c, 1, first));
	read_in(c, 1, first); /* does not register again */
	assert_int_equal(c->rank[1].node.stats.pub.evictions, 2);
	finish(c);
}

static void r4__inv_poisons_the_chain_under_way(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	cache_read(cluster_rank(c, 1), page, 0, false);
	cluster_chain_step(c, 1); /* registered */
	cluster_chain_step(c, 1); /* Clean */
	cache_write(cluster_rank(c, 0), page, 0, false);
	cluster_expect(c, 0, 1, MSG_INV);
	cluster_expect(c, 1, 0, MSG_INV_ACK); /* at once */
	assert_true(cluster_store(c, 0, page, 0));
	cluster_chain_finish(c, 1);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	assert_false(cluster_has_chain(c, 1)); /* it may be poisoned for ever: the home is asked */
	cluster_run(c);
	assert_true(cluster_load(c, 1, page, 0));
	finish(c);
}

static void r5__grant_by_message_registers(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 2, page);
	cache_read(cluster_rank(c, 1), page, 0, false);
	cluster_chain_finish(c, 1);
	/* A write of the home's comes first: it takes the bit of the reader, who waits. */
	cache_write(cluster_rank(c, 0), page, 0, false);
	cluster_run(c);
	assert_true(cluster_load(c, 1, page, 0));
	assert_true(has_bit(c, 1, page));
	assert_true(cluster_state(c, 1, page)->registered);
	finish(c);
}

static void r6__putm_crosses_the_recall(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, 1, 1);
	uint64_t page = cluster_page(c, 0, 0), other = cluster_page(c, 0, 1);

	(void)state;
	write_in(c, 1, page);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cache_read(cluster_rank(c, 1), other, 0, false); /* evicts the page */
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	cluster_expect(c, 0, 1, MSG_FWD_GETM);
	cluster_expect(c, 1, 0, MSG_PUTM);
	assert_int_equal(cluster_queued(c, 0, 2), 0); /* the answer is still to come */
	cluster_expect(c, 1, 0, MSG_WRITE_BACK);
	cluster_expect(c, 0, 2, MSG_GRANT_M);
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

static void r7__home_is_asked_like_any_reader(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	read_in(c, 0, page);
	write_in(c, 1, page);
	assert_int_equal(state_of(c, 0, page), PAGE_INVALID);
	assert_false(cluster_load(c, 0, page, 0));
	finish(c);
}

/* The home's read and a write behind it are served in one event: the write must find the copy. */
static void r7__home_grant_is_seen_by_the_next_request(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	cache_read(cluster_rank(c, 0), page, 0, false);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cluster_expect(c, 0, 1, MSG_FWD_GETS);
	cluster_expect(c, 1, 0, MSG_WRITE_BACK);
	cluster_run(c);
	assert_int_equal(state_of(c, 0, page), PAGE_INVALID);
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

static void r8__requests_are_served_in_order(void **state)
{
	struct cluster *c = cluster_create(4, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t page = cluster_page(c, 0, 0);

	(void)state;
	read_in(c, 1, page);
	for (unsigned r = 2; r < 4; r++) {
		cache_write(cluster_rank(c, r), page, 0, false);
		cluster_expect(c, r, 0, MSG_GETM);
	}
	cache_read(cluster_rank(c, 0), page, 0, false);
	cluster_expect(c, 0, 1, MSG_INV);
	cluster_expect(c, 1, 0, MSG_INV_ACK); /* past the requests that wait */
	cluster_expect(c, 0, 2, MSG_GRANT_M);
	assert_true(cluster_store(c, 2, page, 0));
	cluster_expect(c, 0, 2, MSG_FWD_GETM);
	cluster_expect(c, 2, 0, MSG_WRITE_BACK);
	cluster_expect(c, 0, 3, MSG_GRANT_M);
	assert_true(cluster_store(c, 3, page, 0));
	cluster_expect(c, 0, 3, MSG_FWD_GETS);
	cluster_expect(c, 3, 0, MSG_WRITE_BACK);
	assert_true(cluster_load(c, 0, page, 0));
	finish(c);
}

static void r9__old_owner_is_a_reader_before_the_page_is_clean(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	read_in(c, 2, page);
	assert_true(has_bit(c, 1, page));
	assert_true(cluster_state(c, 1, page)->registered);
	cache_write(cluster_rank(c, 0), page, 0, false);
	cluster_run(c);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	assert_true(cluster_store(c, 0, page, 0));
	finish(c);
}

static void r10__upgrade_goes_without_data(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 1, page);
	cache_write(cluster_rank(c, 1), page, 0, false);
	cluster_run(c);
	assert_true(cluster_store(c, 1, page, 0));
	assert_int_equal(c->rank[1].node.stats.pub.write_upgrades, 1);
	assert_int_equal(c->rank[1].node.stats.pub.fetched_bytes, GRANULE_BYTES); /* of the read */
	finish(c);
}

static void r10__upgrade_that_lost_its_copy_gets_data(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 1, page);
	read_in(c, 2, page);
	cache_write(cluster_rank(c, 1), page, 0, false); /* "I have a copy" */
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cluster_expect(c, 1, 0, MSG_GETM);
	cluster_expect(c, 0, 1, MSG_INV);
	cluster_expect(c, 1, 0, MSG_INV_ACK);
	cluster_expect(c, 0, 2, MSG_GRANT_M);
	assert_true(cluster_store(c, 2, page, 0));
	cluster_run(c);
	assert_true(cluster_store(c, 1, page, 0));
	assert_int_equal(c->rank[1].node.stats.pub.fetched_bytes, 2 * GRANULE_BYTES);
	finish(c);
}

/* Registered by a read whose copy is evicted: its bit alone is no copy. */
static void r10__bit_without_copy_gets_data(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_RDMA, 1, 1);
	uint64_t page = cluster_page(c, 0, 0), other = cluster_page(c, 0, 1);

	(void)state;
	read_in(c, 1, page);
	read_in(c, 1, other);
	write_in(c, 1, page);
	finish(c);
}

/*
 * More ranks than have a bit each: here 0 to 3 share a counter, and 4 is alone in its own.
 */

static struct cluster *grouped(uint64_t *page)
{
	struct cluster *c = cluster_create(5, 1, CLUSTER_RDMA, MANY, 1);

	cluster_group(c, 4);
	*page = cluster_page(c, 0, 0);
	return c;
}

static void groups__only_reader_is_asked(void **state)
{
	uint64_t page;
	struct cluster *c = grouped(&page);

	(void)state;
	read_in(c, 2, page);
	cache_write(cluster_rank(c, 4), page, 0, false);
	cluster_expect(c, 4, 0, MSG_GETM);
	assert_int_equal(cluster_queued(c, 0, 1) + cluster_queued(c, 0, 3), 0);
	cluster_expect(c, 0, 2, MSG_INV);
	cluster_expect(c, 2, 0, MSG_INV_ACK);
	cluster_expect(c, 0, 4, MSG_GRANT_M);
	finish(c);
}

/* The home adds a reader that a chain has added already: it is the only one still. */
static void groups__counted_once(void **state)
{
	uint64_t page;
	struct cluster *c = grouped(&page);

	(void)state;
	write_in(c, 4, page);
	read_in(c, 2, page); /* sees Exclusive: the home is asked */
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cluster_expect(c, 0, 4, MSG_INV);
	assert_int_equal(cluster_queued(c, 0, 1) + cluster_queued(c, 0, 3), 0);
	finish(c);
}

static void groups__all_are_asked(void **state)
{
	uint64_t page;
	struct cluster *c = grouped(&page);

	(void)state;
	read_in(c, 1, page);
	read_in(c, 2, page);
	cache_write(cluster_rank(c, 4), page, 0, false);
	cluster_expect(c, 4, 0, MSG_GETM);
	for (unsigned r = 1; r < 4; r++)
		cluster_expect(c, 0, r, MSG_INV);
	for (unsigned r = 3; r > 0; r--)
		cluster_expect(c, r, 0, MSG_INV_ACK);
	cluster_expect(c, 0, 4, MSG_GRANT_M);
	finish(c);
}

/* One of the group has never heard of the page's block. */
static void groups__who_knows_nothing_answers(void **state)
{
	uint64_t page;
	struct cluster *c = grouped(&page);

	(void)state;
	c->rank[3].blocks[0].granules = 0;
	read_in(c, 1, page);
	read_in(c, 2, page);
	write_in(c, 4, page);
	finish(c);
}

/* An owner's chain adds it while its PutM is under way; others of its group are counted, too, so it
 * gets no Inv: its answer to the recall ends what it has added. */
static void groups__recall_that_crosses_putm_ends_the_flag(void **state)
{
	struct cluster *c = cluster_create(5, 1, CLUSTER_RDMA, 1, 1);
	uint64_t page = cluster_page(c, 0, 0), other = cluster_page(c, 0, 1);

	(void)state;
	cluster_group(c, 4);
	write_in(c, 1, page);
	cache_read(cluster_rank(c, 1), other, 0, false); /* evicts the page */
	cluster_chain_finish(c, 1);
	cache_read(cluster_rank(c, 1), page, 0, false);
	assert_true(cluster_chain_step(c, 1));
	cache_read(cluster_rank(c, 2), page, 0, false);
	assert_true(cluster_chain_step(c, 2));
	cache_write(cluster_rank(c, 4), page, 0, false);
	cluster_expect(c, 4, 0, MSG_GETM);
	assert_int_equal(cluster_state(c, 1, page)->registered, 1);
	cluster_expect(c, 0, 1, MSG_FWD_GETM);
	assert_int_equal(cluster_state(c, 1, page)->registered, 0);
	assert_int_equal(cluster_queued(c, 0, 1), 0);
	finish(c);
}

/* What R10 says of a bit, where several ranks read: the page comes with the grant. */
static void groups__upgrade_brings_data(void **state)
{
	uint64_t page;
	struct cluster *c = grouped(&page);

	(void)state;
	read_in(c, 1, page);
	write_in(c, 1, page);
	assert_int_equal(c->rank[1].node.stats.pub.fetched_bytes, GRANULE_BYTES);
	read_in(c, 2, page);
	read_in(c, 3, page);
	write_in(c, 2, page);
	assert_int_equal(c->rank[2].node.stats.pub.fetched_bytes, 2 * GRANULE_BYTES);
	finish(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r1__late_reader_sees_busy),
		cmocka_unit_test(r2__readers_are_cleared_before_inv),
		cmocka_unit_test(r3__silent_eviction_keeps_the_registration),
		cmocka_unit_test(r4__inv_poisons_the_chain_under_way),
		cmocka_unit_test(r5__grant_by_message_registers),
		cmocka_unit_test(r6__putm_crosses_the_recall),
		cmocka_unit_test(r7__home_is_asked_like_any_reader),
		cmocka_unit_test(r7__home_grant_is_seen_by_the_next_request),
		cmocka_unit_test(r8__requests_are_served_in_order),
		cmocka_unit_test(r9__old_owner_is_a_reader_before_the_page_is_clean),
		cmocka_unit_test(r10__upgrade_goes_without_data),
		cmocka_unit_test(r10__upgrade_that_lost_its_copy_gets_data),
		cmocka_unit_test(r10__bit_without_copy_gets_data),
		cmocka_unit_test(groups__only_reader_is_asked),
		cmocka_unit_test(groups__counted_once),
		cmocka_unit_test(groups__all_are_asked),
		cmocka_unit_test(groups__who_knows_nothing_answers),
		cmocka_unit_test(groups__recall_that_crosses_putm_ends_the_flag),
		cmocka_unit_test(groups__upgrade_brings_data),
	};

	return cmocka_run_group_tests_name("protocol, rules", tests, NULL, NULL);
}
