/* SPDX-License-Identifier: MIT */
/*
 * What other ranks must not be able to do to this one, message by message: what fuzzing found, and
 * what was seen on the way. Ranks, names and places in the messages are wrong; the rank must say
 * no, or nothing, and go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contention_report.h"
#include "node_rank.h"
#include "region_internal.h"

#include <errno.h>

static struct input none;

static void rank_begin(unsigned rank, unsigned size)
{
	none = (struct input){ 0 };
	fuzz_clock_start();
	fuzz_log_clear();
	node_rank_create(&none, rank, size);
}

static void rank_end(void)
{
	node_rank_check();
	node_rank_destroy();
	fuzz_clock_stop();
}

/* Deliver a message, and do what it leaves to the agent. */
static void hear(const void *m)
{
	node_handler.message(node, m);
	for (unsigned i = 0; i < 8; i++)
		region_work(node);
	node_run_local(node);
	node_rank_check();
}

static struct msg_region region_msg(enum msg_kind kind, unsigned src)
{
	return (struct msg_region){ .kind = (uint8_t)kind,
				    .slots = MSG_SLOTS_MAX,
				    .src = (uint16_t)src,
				    .addr = NODE_BASE,
				    .len_bytes = BLOCK_BYTES,
				    .id = 1 };
}

static struct msg plain_msg(enum msg_kind kind, unsigned src, uint64_t page)
{
	return (struct msg){
		.kind = (uint8_t)kind, .slots = 1, .src = (uint16_t)src, .page = page
	};
}

/* Rank 1 of 3 has heard of region 1, of one block. */
static void region_begin(enum dsm_home_policy policy, unsigned home)
{
	struct msg_region m = region_msg(MSG_REGION_ADD, 0);

	rank_begin(1, 3);
	m.home_policy = (uint16_t)policy;
	m.home_rank = (uint16_t)home;
	hear(&m);
	assert_true(node->blocks[0].granules);
	assert_int_equal(node_rank_sent(MSG_REGION_ADDED)->region.status, 0);
}

static void region_add__refused(const struct msg_region *m)
{
	fuzz_log_clear();
	hear(m);
	assert_int_equal(node_rank_sent(MSG_REGION_ADDED)->region.status, -EPROTO);
	assert_non_null(strstr(fuzz_log_last(), "RegionAdd"));
}

static void region_add__home_that_does_not_exist(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_ADD, 0);

	(void)state;
	rank_begin(1, 3);
	m.home_policy = DSM_HOME_RANK;
	m.home_rank = 3;
	region_add__refused(&m);
	m.home_rank = 60000;
	region_add__refused(&m);
	m.home_policy = 17;
	region_add__refused(&m);
	rank_end();
}

static void region_add__over_another(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_ADD, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 1);
	m.id = 2;
	region_add__refused(&m);
	m.len_bytes = 2 * BLOCK_BYTES;
	region_add__refused(&m);
	m.addr += BLOCK_BYTES; /* the place is free, the number is not */
	m.len_bytes = BLOCK_BYTES;
	m.id = 1;
	region_add__refused(&m);
	rank_end();
}

/* It cannot be mapped here, so nothing of it stays: rank 0 has it dropped everywhere. */
static void region_add__that_cannot_be_mapped(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_ADD, 0);

	(void)state;
	rank_begin(1, 3);
	node_rank_mood(MOOD_NO_WATCH);
	m.home_policy = DSM_HOME_RANK;
	m.home_rank = 1;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_ADDED)->region.status, -ENOMEM);
	assert_int_equal(dsm_acquire(node, (void *)NODE_BASE, GRANULE_BYTES, DSM_WRITE), -EFAULT);
	m.kind = MSG_REGION_DROP;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_DROPPED)->region.status, 0);
	node_rank_mood(0);
	m.kind = MSG_REGION_ADD;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_ADDED)->region.status, 0);
	rank_end();
}

static void region_drop__forget_comes_first(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_DROP, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 0);
	m.status = REGION_DROP_FORGET;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_DROPPED)->region.status, -EBUSY);
	assert_true(node->blocks[0].granules);
	m.status = REGION_DROP_DRAIN;
	hear(&m);
	hear(&m);
	m.status = REGION_DROP_FORGET;
	hear(&m);
	assert_false(node->blocks[0].granules);
	rank_end();
}

static void region_drop__twice_is_once(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_DROP, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 0);
	m.status = REGION_DROP_DRAIN;
	node_handler.message(node, (struct msg *)&m);
	node_handler.message(node, (struct msg *)&m);
	assert_int_equal(node->regions.working, 1);
	hear(&m);
	assert_int_equal(node->regions.working, 0);
	rank_end();
}

static void region_drop__what_is_acquired(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_DROP, 0);
	void *addr = (void *)NODE_BASE;

	(void)state;
	region_begin(DSM_HOME_RANK, 1);
	assert_int_equal(dsm_acquire(node, addr, GRANULE_BYTES, DSM_WRITE), 0);
	m.status = REGION_DROP_DRAIN;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_DROPPED)->region.status, -EBUSY);
	m.status = REGION_DROP_FORGET;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_DROPPED)->region.status, -EBUSY);
	assert_int_equal(dsm_release(node, addr, GRANULE_BYTES), 0);
	rank_end();
}

/* Between the two rounds nothing more is acquired; if the region stays after all, it is as before.
 */
static void region_drop__drained_then_kept(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_DROP, 0);
	void *addr = (void *)NODE_BASE;

	(void)state;
	region_begin(DSM_HOME_RANK, 1);
	m.status = REGION_DROP_DRAIN;
	hear(&m);
	assert_int_equal(dsm_acquire(node, addr, GRANULE_BYTES, DSM_WRITE), -EFAULT);
	assert_non_null(strstr(dsm_errmsg(), "being freed"));
	m.status = REGION_DROP_KEEP;
	hear(&m);
	assert_int_equal(dsm_acquire(node, addr, GRANULE_BYTES, DSM_WRITE), 0);
	assert_int_equal(dsm_release(node, addr, GRANULE_BYTES), 0);
	m.status = REGION_DROP_FORGET;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_DROPPED)->region.status, -EBUSY);
	rank_end();
}

/* Rank 0 is asked by rank 1 for regions that cannot be. */
static void region_alloc__attributes_that_cannot_be(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_ALLOC, 1);

	(void)state;
	rank_begin(0, 3);
	m.home_policy = DSM_HOME_RANK;
	m.home_rank = 3;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_ALLOCATED)->region.status, -EINVAL);
	m.home_rank = 0;
	m.page_shift = 200;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_ALLOCATED)->region.status, -EINVAL);
	m.page_shift = 0;
	m.len_bytes = UINT64_MAX;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_REGION_ALLOCATED)->region.status, -EINVAL);
	rank_end();
}

/* Requests wait behind one that does not end; then all are answered, and the stack is what it is.
 */
static void region_free__a_row_of_requests(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_ALLOC, 1);

	(void)state;
	rank_begin(0, 3);
	hear(&m);
	m = region_msg(MSG_REGION_FREE, 1);
	m.addr = NODE_BASE + BLOCK_BYTES;
	for (unsigned i = 0; i < 200000; i++)
		node_handler.message(node, (struct msg *)&m);
	m = region_msg(MSG_REGION_ADDED, 1);
	hear(&m);
	m.src = 2;
	hear(&m);
	assert_true(cds_list_empty(&node->regions.requests));
	rank_end();
}

static void region_added__of_another_phase(void **state)
{
	struct msg_region m = region_msg(MSG_REGION_ALLOC, 1);

	(void)state;
	rank_begin(0, 3);
	hear(&m);
	for (unsigned r = 1; r < 3; r++) {
		m = region_msg(MSG_REGION_DROPPED, r);
		hear(&m);
	}
	assert_null(node_rank_sent(MSG_REGION_ALLOCATED));
	for (unsigned r = 1; r < 3; r++) {
		m = region_msg(MSG_REGION_ADDED, r);
		m.status = r == 2 ? INT32_MIN : 0;
		hear(&m);
	}
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned r = 1; r < 3; r++) {
			m = region_msg(MSG_REGION_DROPPED, r);
			hear(&m);
		}
	}
	assert_int_equal(node_rank_sent(MSG_REGION_ALLOCATED)->region.status, -EPROTO);
	assert_false(node->blocks[0].granules);
	rank_end();
}

/* The call waits; the script answers it. */
static void region_allocated__by_whom_and_what(void **state)
{
	/* RegionAllocated; from rank; nothing wrong, no name; addr: block; length; cookie: as
	 * sent; id; policy. */
	uint8_t answer[] = { STEP_OTHERS | MSG_REGION_ALLOCATED, 0, 0, 0, 1, 0, 0xa8, 1, 0 };
	struct input in = { answer, answer + sizeof(answer) };

	(void)state;
	rank_begin(1, 3);
	script = &in;
	assert_null(dsm_alloc(node, 4096, NULL)); /* there is no such region */
	assert_int_equal(errno, EPROTO);
	assert_non_null(strstr(dsm_errmsg(), "no sense"));
	in.at = answer;
	answer[1] = 2; /* another than rank 0 answers */
	assert_null(dsm_alloc(node, 4096, NULL));
	assert_int_equal(errno, ETIMEDOUT);
	script = &none;
	rank_end();
}

static void block_home__from_another_than_the_arbiter(void **state)
{
	struct msg m = plain_msg(MSG_BLOCK_HOME, 2, 0);

	(void)state;
	region_begin(DSM_HOME_FIRST_TOUCH, 0); /* the arbiter of block 0 is rank 0 */
	m.word[0] = 1;
	hear(&m);
	assert_int_equal(node->blocks[0].home, WIRE_NO_RANK);
	m.src = 0;
	hear(&m);
	assert_int_equal(node->blocks[0].home, 1);
	m.word[0] = 2; /* for good */
	hear(&m);
	assert_int_equal(node->blocks[0].home, 1);
	rank_end();
}

static void block_touch__at_another_than_the_arbiter(void **state)
{
	struct msg m = plain_msg(MSG_BLOCK_TOUCH, 2, 0);

	(void)state;
	region_begin(DSM_HOME_FIRST_TOUCH, 0);
	m.word[0] = 1;
	hear(&m);
	assert_int_equal(node->blocks[0].home, WIRE_NO_RANK);
	rank_end();
}

/* Only the home's arbiter can have told a rank that this one is the home: here that is itself. */
static void gets__for_a_block_that_nobody_was_given(void **state)
{
	struct msg_region add = region_msg(MSG_REGION_ADD, 0);
	struct msg m = plain_msg(MSG_GETS, 2, GRANULES_PER_BLOCK);

	(void)state;
	rank_begin(1, 3);
	add.len_bytes = 2 * BLOCK_BYTES;
	add.home_policy = DSM_HOME_FIRST_TOUCH;
	hear(&add);
	hear(&m);
	assert_int_equal(node->blocks[1].home, WIRE_NO_RANK);
	rank_end();
}

/* Rank 1 of 3 has heard of a region of three pages in one block. */
static void short_region_begin(unsigned home)
{
	struct msg_region add = region_msg(MSG_REGION_ADD, 0);

	rank_begin(1, 3);
	add.len_bytes = 2 * GRANULE_BYTES + 1;
	add.home_policy = DSM_HOME_RANK;
	add.home_rank = (uint16_t)home;
	hear(&add);
}

static void gets__for_what_is_behind_the_end(void **state)
{
	static const enum msg_kind requests[] = { MSG_GETS, MSG_GETM, MSG_GETA };
	struct msg m = plain_msg(MSG_GETS, 2, 2);

	(void)state;
	short_region_begin(1);
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_GRANT_S)->msg.page, 2);
	for (unsigned i = 0; i < 3; i++) {
		m = plain_msg(requests[i], 2, 3);
		hear(&m);
		assert_int_equal(*segment_grant(&node->space, node->space.alias, 3), 0);
	}
	assert_int_equal(node_rank_sent(MSG_GRANT_S)->msg.page, 2);
	assert_null(node_rank_sent(MSG_GRANT_M));
	assert_null(node_rank_sent(MSG_GRANT_A));
	rank_end();
}

static void putm__that_goes_beyond_the_end(void **state)
{
	const uint64_t *word;
	struct msg m = plain_msg(MSG_GETM, 2, 2);

	(void)state;
	short_region_begin(1);
	word = segment_grant(&node->space, node->space.alias, 2);
	hear(&m);
	assert_true(grant_is(*word, GRANT_EXCLUSIVE, 2));
	m = plain_msg(MSG_PUTM, 2, 2);
	m.word[0] = 1;
	hear(&m);
	assert_true(grant_is(*word, GRANT_EXCLUSIVE, 2));
	m.word[0] = 0;
	hear(&m);
	assert_true(grant_is(*word, GRANT_CLEAN, 0));
	rank_end();
}

static void atomic__on_what_is_behind_the_end(void **state)
{
	struct msg m = plain_msg(MSG_ATOMIC, 2, 3);

	(void)state;
	short_region_begin(1);
	m.flags = ATOMIC_FETCH_ADD | 8 << 8;
	m.word[1] = 3 * GRANULE_BYTES;
	m.word[2] = 1;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_ATOMIC_DONE)->msg.word[1], EFAULT);
	m.page = 2;
	m.word[1] = 2 * GRANULE_BYTES;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_ATOMIC_DONE)->msg.word[1], 0);
	rank_end();
}

/* As home, of a rank that was granted the page by adapter: this one has none (any more). */
static void atomic__by_an_adapter_that_does_none(void **state)
{
	struct msg m = plain_msg(MSG_ATOMIC, 2, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 1);
	m.flags = ATOMIC_FETCH_ADD | 8 << 8 | MSG_BY_ADAPTER;
	m.word[2] = 1;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_ATOMIC_DONE)->msg.word[1], EAGAIN);
	assert_int_equal(*(uint64_t *)node->space.alias, 0);
	rank_end();
}

/* A home that grants the page by adapter so many times, and whose adapter does nothing. */
static struct {
	struct input in;
	uint8_t said[64];
	unsigned by_adapter;
} home;

static int home_answers(struct transport *t, unsigned rank, const struct msg *m)
{
	uint8_t grant[] = { STEP_OTHERS | MSG_GRANT_A, 0, 0, 0,
			    42 /* of the processor's atomic */ };
	uint8_t none_done[] = {
		STEP_OTHERS | MSG_ATOMIC_DONE, 0, 0, 2, (uint8_t)m->word[0], EAGAIN
	};
	size_t len = 0;

	(void)t;
	(void)rank;
	if (m->kind == MSG_ATOMIC)
		len = sizeof(none_done);
	else if (m->kind == MSG_GETA)
		len = sizeof(grant);
	if (m->kind == MSG_GETA && home.by_adapter) {
		home.by_adapter--;
		grant[3] = MSG_ADAPTER << 3;
		len--;
	}
	home.in = (struct input){ home.said, home.said + len };
	memcpy(home.said, m->kind == MSG_ATOMIC ? none_done : grant, len);
	return 0;
}

static void atomic_done__that_the_adapter_does_none(void **state)
{
	struct transport_ops ops;
	struct msg inv = plain_msg(MSG_INV, 0, 0);
	uint64_t old = 0;

	(void)state;
	region_begin(DSM_HOME_RANK, 0);
	ops = *node->transport->ops;
	ops.send = home_answers;
	node->transport->ops = &ops;
	script = &home.in;
	home.by_adapter = 1;
	assert_int_equal(dsm_fetch_add64(node, (uint64_t *)NODE_BASE, 1, &old), 0);
	assert_int_equal(old, 42);
	hear(&inv);
	home.by_adapter = 2; /* it goes on as if it could */
	assert_int_equal(dsm_fetch_add64(node, (uint64_t *)NODE_BASE, 1, &old), -EIO);
	assert_non_null(strstr(dsm_errmsg(), "twice"));
	script = &none;
	rank_end();
}

static void inv__of_what_is_behind_the_end(void **state)
{
	struct msg m = plain_msg(MSG_INV, 0, 3);

	(void)state;
	short_region_begin(0);
	hear(&m);
	assert_null(node_rank_sent(MSG_INV_ACK));
	m.page = 2;
	hear(&m);
	assert_int_equal(node_rank_sent(MSG_INV_ACK)->msg.page, 2);
	rank_end();
}

/* Whoever reads there adds itself to the readers without asking; the block's next region must not
 * begin with them. */
static void region_drop__readers_of_what_is_behind_the_end(void **state)
{
	struct msg_region drop = region_msg(MSG_REGION_DROP, 0);
	uint64_t *readers;

	(void)state;
	short_region_begin(1);
	readers = segment_readers(&node->space, node->space.alias, 3);
	*readers = 1 << 2;
	drop.status = REGION_DROP_DRAIN;
	hear(&drop);
	drop.status = REGION_DROP_FORGET;
	hear(&drop);
	assert_int_equal(node->blocks[0].granules, 0);
	assert_int_equal(*readers, 0);
	rank_end();
}

static void grant_error__that_is_none(void **state)
{
	static const uint64_t words[][2] = {
		{ 0, 0 }, { 1ull << 31, 0 }, { ENOMEM, 3 }, { 4096, 0 }
	};
	struct msg m = plain_msg(MSG_GRANT_ERROR, 0, 0);
	void *addr = (void *)NODE_BASE;

	(void)state;
	region_begin(DSM_HOME_RANK, 0);
	assert_int_equal(dsm_prefetch(node, addr, GRANULE_BYTES, DSM_WRITE), 0);
	assert_int_equal(node->protocol.pages[0].pending, PEND_GETM);
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		m.word[0] = words[i][0];
		m.word[1] = words[i][1];
		hear(&m);
		assert_int_equal(node->protocol.pages[0].pending, PEND_GETM);
	}
	m.word[0] = ENOMEM;
	m.word[1] = 0;
	hear(&m);
	assert_int_equal(node->protocol.pages[0].pending, PEND_NONE);
	rank_end();
}

/* node_rank_check() looks that the mapping goes with the state. */
static void inv__of_a_modified_page(void **state)
{
	struct msg m = plain_msg(MSG_GRANT_M, 0, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 0);
	node_rank_fault(0, true);
	m.flags = MSG_DATA;
	hear(&m);
	assert_int_equal(node->protocol.pages[0].state, PAGE_MODIFIED);
	m = plain_msg(MSG_INV, 0, 0);
	hear(&m);
	assert_int_equal(node->protocol.pages[0].state, PAGE_INVALID);
	rank_end();
}

/* A fault that came after the agent had looked at the clock has not waited for 600 years. */
static void faults_check__fault_that_is_younger_than_the_clock(void **state)
{
	(void)state;
	region_begin(DSM_HOME_RANK, 0);
	node_rank_mood(MOOD_ASYNC);
	node_rank_fault(0, false);
	assert_true(fault_waits(node, 0));
	fuzz_log_clear();
	faults_check(node, 0);
	assert_int_equal(fuzz_log_lines(), 0);
	faults_check(node, 10000000000u);
	assert_non_null(strstr(fuzz_log_last(), "has waited"));
	rank_end();
}

static void gets__from_an_owner_that_does_not_exist(void **state)
{
	static const unsigned owners[] = { 3, 600, 60000 };
	struct msg m = plain_msg(MSG_GETS, 2, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 1);
	for (unsigned i = 0; i < 3; i++) {
		m.page = i;
		*segment_grant(&node->space, node->space.alias, i) =
			grant_word(GRANT_EXCLUSIVE, owners[i]);
		hear(&m);
		assert_int_equal(node_rank_sent(MSG_GRANT_ERROR)->msg.page, i);
		assert_int_equal(node_rank_sent(MSG_GRANT_ERROR)->msg.word[0], EHOSTDOWN);
		assert_true(node_rank_sent(MSG_GRANT_ERROR)->msg.word[1] < 3);
	}
	rank_end();
}

static void getm__readers_that_do_not_exist(void **state)
{
	struct msg m = plain_msg(MSG_GETM, 2, 0);

	(void)state;
	region_begin(DSM_HOME_RANK, 1);
	*segment_readers(&node->space, node->space.alias, 0) = ~7ull;
	hear(&m);
	assert_non_null(node_rank_sent(MSG_GRANT_M));
	rank_end();
}

static void stats__complete_twice(void **state)
{
	struct msg m = plain_msg(MSG_STATS, 1, 0);

	(void)state;
	rank_begin(0, 3);
	m.flags = sizeof(struct stats) / sizeof(uint64_t) - 1;
	hear(&m);
	hear(&m);
	assert_int_equal(node->parts_complete, 1);
	m.flags = UINT32_MAX;
	hear(&m);
	assert_int_equal(node->parts_complete, 1);
	rank_end();
}

/* Notes on contention that no rank takes: they reach into nothing, and are not printed. */
static void contention__nonsense(void **state)
{
	struct msg m = plain_msg(MSG_CONTENTION, 1, 0);

	(void)state;
	rank_begin(0, 3);
	m.flags = UINT32_MAX - 5;
	hear(&m);
	m.flags = 5;
	hear(&m);
	for (unsigned i = 0; i < 6; i++)
		m.word[i] = UINT64_MAX;
	for (m.flags = 0; m.flags < 54; m.flags += 6)
		hear(&m);
	contention_print(node);
	rank_end();
}

#define TEST(f) cmocka_unit_test(f)

/* test_hostile [PATTERN]: those whose names match. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(region_add__home_that_does_not_exist),
		TEST(region_add__over_another),
		TEST(region_add__that_cannot_be_mapped),
		TEST(region_drop__forget_comes_first),
		TEST(region_drop__twice_is_once),
		TEST(region_drop__what_is_acquired),
		TEST(region_drop__drained_then_kept),
		TEST(region_alloc__attributes_that_cannot_be),
		TEST(region_free__a_row_of_requests),
		TEST(region_added__of_another_phase),
		TEST(region_allocated__by_whom_and_what),
		TEST(block_home__from_another_than_the_arbiter),
		TEST(block_touch__at_another_than_the_arbiter),
		TEST(gets__for_a_block_that_nobody_was_given),
		TEST(gets__for_what_is_behind_the_end),
		TEST(putm__that_goes_beyond_the_end),
		TEST(atomic__on_what_is_behind_the_end),
		TEST(atomic__by_an_adapter_that_does_none),
		TEST(atomic_done__that_the_adapter_does_none),
		TEST(inv__of_what_is_behind_the_end),
		TEST(region_drop__readers_of_what_is_behind_the_end),
		TEST(grant_error__that_is_none),
		TEST(inv__of_a_modified_page),
		TEST(faults_check__fault_that_is_younger_than_the_clock),
		TEST(gets__from_an_owner_that_does_not_exist),
		TEST(getm__readers_that_do_not_exist),
		TEST(stats__complete_twice),
		TEST(contention__nonsense),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
