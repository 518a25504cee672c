/* SPDX-License-Identifier: MIT */
/*
 * The protocol as a whole: page sizes, many ranks, deaths, failures, messages that make no sense,
 * regions that go away; by hand in a virtual cluster.
 */
#include <errno.h>
#include <string.h>

#include "capture.h"
#include "virtual_test.h"

/*
 * Sizes
 */

static void protocol__pages_of_many_granules(void **state)
{
	(void)state;
	for (unsigned shift = 1; shift <= 9; shift += 4) {
		for (unsigned mode = CLUSTER_SHM; mode <= CLUSTER_RDMA; mode++) {
			struct cluster *c =
				cluster_create(3, 1, (enum cluster_mode)mode, 1u << shift, 1);
			uint64_t page;

			cluster_block(c, 0, 0, shift);
			page = cluster_page(c, 0, 0);
			for (unsigned r = 0; r < 3; r++) {
				write_in(c, r, page);
				assert_true(cluster_store(c, r, page, 1));
				assert_true(cluster_store(c, r, page, 3));
				read_in(c, (r + 1) % 3, page);
			}
			finish(c);
		}
	}
}

static void protocol__more_than_64_ranks(void **state)
{
	static const unsigned readers[] = { 1, 63, 64, 65, 127, 128, 149 };
	struct cluster *c = cluster_create(150, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t page, next;

	(void)state;
	cluster_block(c, 0, 100, 0);
	page = cluster_page(c, 0, 0);
	next = cluster_page(c, 0, 1);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 7; i++) {
			read_in(c, readers[i], page);
			read_in(c, readers[i], next); /* its words lie behind those of the first */
			assert_true(has_bit(c, readers[i], page));
		}
		write_in(c, round ? 100 : 129, page);
		for (unsigned i = 0; i < 7; i++) {
			assert_int_equal(state_of(c, readers[i], page), PAGE_INVALID);
			assert_int_equal(state_of(c, readers[i], next), PAGE_SHARED);
		}
	}
	finish(c);
}

/*
 * Deaths
 */

static void protocol_rank_down__reader_is_not_waited_for(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 1, page);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	cluster_kill(c, 1, false);
	cluster_run(c);
	assert_true(cluster_store(c, 2, page, 0));
	/* Its bit may come late all the same, by a chain that was under way. */
	read_in(c, 2, page);
	segment_readers(&c->rank[0].space, c->rank[0].space.alias, page)[0] |= 1u << 1;
	write_in(c, 0, page);
	finish(c);
}

static void protocol_rank_down__owner_takes_the_page_along(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	cache_read(cluster_rank(c, 2), page, 0, true);
	cluster_chain_finish(c, 2);
	cluster_expect(c, 2, 0, MSG_GETS);
	cluster_kill(c, 1, true);
	cluster_run(c);
	assert_int_equal(grant_of(c, page), grant_word(GRANT_LOST, 1));
	assert_int_equal(c->rank[2].granules[page].err, EHOSTDOWN);
	assert_int_equal(c->rank[2].granules[page].access, ACCESS_POISONED);
	/* Later ones are told at once; so is the home. */
	cache_write(cluster_rank(c, 0), page, 0, false);
	assert_int_equal(c->rank[0].granules[page].err, EHOSTDOWN);
	cache_atomic(cluster_rank(c, 2), page);
	assert_int_equal(c->rank[2].granules[page].fails, 2);
	finish(c);
}

/* Nobody asked while it lived. */
static void protocol_rank_down__owner_that_nobody_recalled(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	cluster_kill(c, 1, true);
	cluster_run(c);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_run(c);
	assert_int_equal(c->rank[2].granules[page].err, EHOSTDOWN);
	finish(c);
}

static void protocol_rank_down__owner_that_had_sent_the_page(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, 1, 1);
	uint64_t page = cluster_page(c, 0, 0);

	(void)state;
	write_in(c, 1, page);
	cache_read(cluster_rank(c, 2), page, 0, false);
	cluster_chain_finish(c, 2);
	cluster_expect(c, 2, 0, MSG_GETS);
	cache_make_room(cluster_rank(c, 1), 1); /* PutM, and death before the recall is answered */
	cluster_kill(c, 1, true);
	cluster_run(c);
	assert_true(cluster_load(c, 2, page, 0));
	finish(c);
}

static void protocol_rank_down__requester_is_passed_over(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	read_in(c, 2, page);
	cache_hold(cluster_rank(c, 2), page, false);
	cache_write(cluster_rank(c, 1), page, 0, false);
	cluster_expect(c, 1, 0, MSG_GETM);
	cluster_kill(c, 1, true);
	cluster_run(c);
	cache_unhold(cluster_rank(c, 2), page, 1, false, false);
	cluster_run(c);
	assert_int_equal(grant_state(grant_of(c, page)), GRANT_CLEAN); /* not lost with it */
	write_in(c, 2, page);
	finish(c);
}

static void protocol_rank_down__home_fails_those_who_wait(void **state)
{
	struct cluster *c = cluster_create(3, 1, CLUSTER_RDMA, MANY, 1);
	uint64_t page = cluster_page(c, 0, 0), other = cluster_page(c, 0, 1);
	uint64_t third = cluster_page(c, 0, 2);

	(void)state;
	read_in(c, 2, page);
	write_in(c, 2, third);
	cache_write(cluster_rank(c, 1), page, 0, false);
	cache_read(cluster_rank(c, 1), other, 0, false);
	cluster_kill(c, 0, false);
	cluster_run(c);
	assert_int_equal(c->rank[1].granules[page].err, EHOSTDOWN);
	assert_int_equal(c->rank[1].granules[other].err, EHOSTDOWN);
	/* What is here stays usable, as far as it goes. */
	assert_true(cluster_load(c, 2, page, 0));
	assert_true(cluster_store(c, 2, third, 0));
	cluster_reclaim(c, 2, third);
	cache_write(cluster_rank(c, 2), third, 0, true);
	assert_true(cluster_store(c, 2, third, 0));
	cache_write(cluster_rank(c, 2), page, 0, false);
	assert_int_equal(c->rank[2].granules[page].err, EHOSTDOWN);
	assert_false(cluster_load(c, 2, page, 0));
	finish(c);
}

static void protocol_rank_down__home_with_a_recall_deferred_here(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	cache_hold(cluster_rank(c, 1), page, true);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_run(c);
	cluster_kill(c, 0, false);
	cluster_run(c);
	assert_int_equal(c->rank[2].granules[page].err, EHOSTDOWN);
	cache_unhold(cluster_rank(c, 1), page, 1, true, true);
	assert_true(cluster_store(c, 1, page, 0));
	finish(c);
}

/* The chain had all its answers when the home died: its page has failed, and stays so. */
static void protocol_fetched__after_its_home_died(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	cache_read(cluster_rank(c, 1), page, 0, false);
	while (cluster_chain_step(c, 1))
		;
	cluster_kill(c, 0, true);
	cluster_deliver(c, 0, 1);
	assert_int_equal(c->rank[1].granules[page].err, EHOSTDOWN);
	cluster_chain_finish(c, 1);
	assert_int_equal(state_of(c, 1, page), PAGE_INVALID);
	assert_int_equal(c->rank[1].granules[page].access, ACCESS_POISONED);
	finish(c);
}

/*
 * Failures
 */

static void cache_write__grant_that_cannot_be_mapped_goes_back(void **state)
{
	static const bool copies[] = { false, true };
	uint64_t page;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned r = 0; r < 2; r++) {
			struct cluster *c = three(CLUSTER_RDMA, &page);

			write_in(c, 2, page);
			if (copies[i])
				read_in(c, r, page);
			c->map_fail_percent = 100;
			cache_write(cluster_rank(c, r), page, 0, false);
			cluster_run(c);
			assert_int_equal(c->rank[r].granules[page].err, ENOMEM);
			assert_int_equal(state_of(c, r, page),
					 copies[i] ? PAGE_SHARED : PAGE_INVALID);
			assert_int_equal(c->rank[r].granules[page].access,
					 copies[i] ? ACCESS_READ : ACCESS_NONE);
			c->map_fail_percent = 0;
			write_in(c, 1 - r, page);
			write_in(c, r, page);
			finish(c);
		}
	}
}

static void cache_read__map_failure_is_told(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	c->map_fail_percent = 100;
	cache_read(cluster_rank(c, 1), page, 0, false);
	assert_int_equal(c->rank[1].granules[page].err, ENOMEM);
	c->map_fail_percent = 0;
	read_in(c, 1, page);
	cluster_reclaim(c, 1, page);
	c->map_fail_percent = 100;
	cache_read(cluster_rank(c, 1), page, 0, true);
	assert_int_equal(c->rank[1].granules[page].fails, 2);
	c->map_fail_percent = 0;
	finish(c);
}

/*
 * Messages from outside
 */

static void protocol_message__nonsense_is_ignored(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);
	struct msg good = { .slots = 1, .src = 1 };

	(void)state;
	cluster_page(c, 0, 1);
	cluster_block(c, 0, 0, 1);
	c->npages = 0;
	page = cluster_page(c, 0, 0);
	write_in(c, 2, page);
	for (unsigned kind = 0; kind < 256; kind++) {
		struct msg bad[] = { good, good, good, good };

		bad[0].page = 1; /* inside a page */
		bad[1].page = c->nblocks * GRANULES_PER_BLOCK; /* outside the range */
		bad[2].page = ~0ull;
		bad[3].src = 3; /* no such rank */
		for (unsigned i = 0; i < 4; i++) {
			bad[i].kind = (uint8_t)kind;
			protocol_message(cluster_rank(c, 0), &bad[i]);
			protocol_message(cluster_rank(c, 2), &bad[i]);
		}
	}
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

/* A PutM of pages that are not all of one block, or not all the sender's. */
static void protocol_message__putm_of_too_many_pages(void **state)
{
	static const uint64_t more[] = { GRANULES_PER_BLOCK - 3, GRANULES_PER_BLOCK, ~0ull,
					 ~0ull / 2 };
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);
	struct msg m = { .kind = MSG_PUTM, .slots = 1, .src = 1, .page = page + 3 };

	(void)state;
	cluster_page(c, 0, 1);
	write_in(c, 1, page);
	write_in(c, 2, page + 1);
	for (unsigned i = 0; i < 4; i++) {
		m.word[0] = more[i];
		protocol_message(cluster_rank(c, 0), &m);
		cluster_check(c);
	}
	m.page = page + 1;
	m.word[0] = GRANULES_PER_BLOCK - 2;
	protocol_message(cluster_rank(c, 0), &m);
	assert_true(cluster_store(c, 2, page + 1, 0));
	assert_true(cluster_store(c, 1, page, 0));
	finish(c);
}

static void protocol_message__wrong_role_is_ignored(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	write_in(c, 2, page);
	for (unsigned kind = MSG_GETS; kind <= MSG_GRANT_ERROR; kind++) {
		bool for_home = kind <= MSG_WRITE_BACK;
		struct msg m = { .kind = (uint8_t)kind, .slots = 1, .src = 1, .page = page };

		/* To one that is not the home; or to a cache, from one that is not. */
		protocol_message(cluster_rank(c, 2), &m);
		if (!for_home)
			protocol_message(cluster_rank(c, 0), &m);
		/* As if from itself. */
		m.src = 0;
		m.kind = (uint8_t)kind;
		protocol_message(cluster_rank(c, 0), &m);
	}
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

static void protocol_message__answers_that_nobody_awaits(void **state)
{
	static const unsigned to_home[] = { MSG_INV_ACK, MSG_PUTM, MSG_WRITE_BACK };
	static const unsigned to_cache[] = { MSG_GRANT_S, MSG_GRANT_M, MSG_GRANT_A,
					     MSG_GRANT_ERROR };
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);

	(void)state;
	write_in(c, 2, page);
	for (unsigned flags = 0; flags < 4; flags++) {
		struct msg m = { .slots = 1, .flags = flags, .page = page };

		for (unsigned i = 0; i < 3; i++) {
			m.kind = (uint8_t)to_home[i];
			m.src = 1;
			protocol_message(cluster_rank(c, 0), &m);
		}
		for (unsigned i = 0; i < 4; i++) {
			m.kind = (uint8_t)to_cache[i];
			m.src = 0;
			protocol_message(cluster_rank(c, 1), &m);
			protocol_message(cluster_rank(c, 2), &m);
		}
		cluster_check(c);
	}
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

static void protocol_message__request_of_the_owner_is_refused(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);
	struct msg m = { .kind = MSG_GETM, .slots = 1, .src = 2, .page = page };

	(void)state;
	write_in(c, 2, page);
	capture_begin();
	protocol_message(cluster_rank(c, 0), &m);
	assert_non_null(strstr(capture_end(), "rank 2 asks for page 0, which it has"));
	cluster_expect(c, 0, 2, MSG_GRANT_ERROR);
	assert_true(cluster_store(c, 2, page, 0));
	finish(c);
}

/* One rank asks again and again for what another has and does not give yet. */
static void protocol_message__asking_again_takes_no_memory(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_SHM, &page);
	struct msg m = { .kind = MSG_GETM, .slots = 1, .src = 2, .page = page };

	(void)state;
	write_in(c, 1, page);
	cache_write(cluster_rank(c, 2), page, 0, false);
	cluster_expect(c, 2, 0, MSG_GETM);
	for (unsigned i = 0; i < 1000; i++)
		protocol_message(cluster_rank(c, 0), &m);
	assert_in_range(cluster_rank(c, 0)->request_pool.in_use, 1, 2);
	cluster_expect(c, 0, 1, MSG_FWD_GETM);
	cluster_run(c);
	assert_true(cluster_store(c, 2, page, 0));
	write_in(c, 1, page);
	finish(c);
}

/*
 * Regions that go away
 */

static void protocol_busy__tells_what_is_awaited(void **state)
{
	struct cluster *c = cluster_create(2, 2, CLUSTER_RDMA, MANY, 1);
	uint64_t page = cluster_page(c, 0, 3);

	(void)state;
	cache_read(cluster_rank(c, 1), page, 0, false);
	assert_true(protocol_busy(cluster_rank(c, 1), 0, 1));
	assert_false(protocol_busy(cluster_rank(c, 1), 1, 1));
	cluster_run(c);
	assert_false(protocol_busy(cluster_rank(c, 1), 0, 2));
	finish(c);
}

static void protocol_forget__starts_anew(void **state)
{
	struct cluster *c = cluster_create(2, 1, CLUSTER_SHM, 2, 1);
	uint64_t page = cluster_page(c, 0, 0), next = cluster_page(c, 0, 1);

	(void)state;
	write_in(c, 1, page);
	read_in(c, 1, next);
	for (unsigned r = 0; r < 2; r++) {
		protocol_forget(cluster_rank(c, r), 0, 1);
		for (unsigned i = 0; i < c->nblocks * GRANULES_PER_BLOCK; i++)
			c->rank[r].granules[i] = (struct granule){ .frame = r == 0 };
		memset(c->rank[r].space.alias, 0, c->rank[r].space.segment_bytes);
	}
	assert_int_equal(cluster_rank(c, 1)->frames, 0);
	memset(c->truth, 0, sizeof(c->truth));
	/* With another page size: what is left in the eviction queue names no page of it. */
	cluster_block(c, 0, 0, 1);
	c->npages = 0;
	for (unsigned i = 0; i < 4; i++)
		write_in(c, 1, cluster_page(c, 0, i));
	assert_int_equal(cluster_rank(c, 1)->frames, 2);
	finish(c);
}

static void protocol_forget__drops_transactions(void **state)
{
	uint64_t page;
	struct cluster *c = three(CLUSTER_RDMA, &page);

	(void)state;
	write_in(c, 1, page);
	for (unsigned i = 0; i < 2; i++)
		cache_read(cluster_rank(c, i * 2), page, 0, false);
	cluster_chain_finish(c, 2);
	cluster_expect(c, 2, 0, MSG_GETS);
	assert_int_equal(cluster_rank(c, 0)->txn_pool.in_use, 1);
	assert_int_equal(cluster_rank(c, 0)->request_pool.in_use, 2);
	protocol_forget(cluster_rank(c, 0), 0, 1);
	assert_int_equal(cluster_rank(c, 0)->txn_pool.in_use, 0);
	assert_int_equal(cluster_rank(c, 0)->request_pool.in_use, 0);
	cluster_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocol__pages_of_many_granules),
		cmocka_unit_test(protocol__more_than_64_ranks),
		cmocka_unit_test(protocol_rank_down__reader_is_not_waited_for),
		cmocka_unit_test(protocol_rank_down__owner_takes_the_page_along),
		cmocka_unit_test(protocol_rank_down__owner_that_nobody_recalled),
		cmocka_unit_test(protocol_rank_down__owner_that_had_sent_the_page),
		cmocka_unit_test(protocol_rank_down__requester_is_passed_over),
		cmocka_unit_test(protocol_rank_down__home_fails_those_who_wait),
		cmocka_unit_test(protocol_rank_down__home_with_a_recall_deferred_here),
		cmocka_unit_test(protocol_fetched__after_its_home_died),
		cmocka_unit_test(cache_write__grant_that_cannot_be_mapped_goes_back),
		cmocka_unit_test(cache_read__map_failure_is_told),
		cmocka_unit_test(protocol_message__nonsense_is_ignored),
		cmocka_unit_test(protocol_message__putm_of_too_many_pages),
		cmocka_unit_test(protocol_message__wrong_role_is_ignored),
		cmocka_unit_test(protocol_message__answers_that_nobody_awaits),
		cmocka_unit_test(protocol_message__request_of_the_owner_is_refused),
		cmocka_unit_test(protocol_message__asking_again_takes_no_memory),
		cmocka_unit_test(protocol_busy__tells_what_is_awaited),
		cmocka_unit_test(protocol_forget__starts_anew),
		cmocka_unit_test(protocol_forget__drops_transactions),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
