/* SPDX-License-Identifier: MIT */
/*
 * Notes on contention: which pages stay in a table of fixed size, where in them faults were, what
 * is made of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "contention.h"

static struct contention *c;

static int begin(void **state)
{
	(void)state;
	c = calloc(1, sizeof(*c));
	return c ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	free(c);
	return 0;
}

static const struct contention_page *notes_of(uint64_t page, uint32_t region)
{
	const struct contention_page *e = &c->page[0][0];

	for (unsigned i = 0; i < CONTENTION_SETS * CONTENTION_WAYS; i++)
		if (contention_times(&e[i]) && e[i].page == page && e[i].region == region)
			return &e[i];
	return NULL;
}

static void lose(uint64_t page)
{
	contention_lost(c, page, 0, 3, LOSS_TAKEN);
}

static void lost__counts_by_kind(void **state)
{
	const struct contention_page *e;

	(void)state;
	contention_lost(c, 8, 3, 2, LOSS_TAKEN);
	contention_lost(c, 8, 3, 2, LOSS_DOWNGRADED);
	contention_lost(c, 8, 3, 2, LOSS_DOWNGRADED);
	contention_lost(c, 8, 3, 2, LOSS_INVALIDATED);
	e = notes_of(8, 0);
	assert_non_null(e);
	assert_int_equal(e->lost[LOSS_TAKEN], 1);
	assert_int_equal(e->lost[LOSS_DOWNGRADED], 2);
	assert_int_equal(e->lost[LOSS_INVALIDATED], 1);
	assert_int_equal(e->lost[LOSS_ATOMIC], 0);
	assert_int_equal(contention_times(e), 4);
	assert_int_equal(e->home, 2);
	assert_int_equal(e->page_shift, 3);
	assert_int_equal(e->over, 0);
}

/* Nobody else has anything to do with a page that one rank alone treats both ways. */
static void left_atomics__counts_where_others_take_the_page(void **state)
{
	(void)state;
	contention_left_atomics(c, 8);
	assert_null(notes_of(8, 0));
	lose(8);
	contention_left_atomics(c, 8);
	assert_int_equal(notes_of(8, 0)->lost[LOSS_ATOMIC], 1);
}

/* A page that is fought over stays, however many others are given up once. */
static void lost__keeps_what_is_frequent(void **state)
{
	const struct contention_page *e;

	(void)state;
	for (uint64_t i = 0; i < 100000; i++) {
		lose(1000 + i);
		if (i % 50 == 0)
			lose(7);
	}
	e = notes_of(7, 0);
	assert_non_null(e);
	/* It may be displaced before it has weight, never after. */
	assert_in_range(contention_times(e) + e->over, 2000, 2000 + 100000 / 128);
	assert_true(contention_times(e) > 1900);
}

/* What a newcomer inherits is not its own. */
static void lost__tells_how_far_it_may_be_wrong(void **state)
{
	const struct contention_page *e = &c->page[0][0];
	uint64_t times = 0, over = 0;

	(void)state;
	for (uint64_t i = 0; i < 50000; i++)
		lose(i);
	for (unsigned i = 0; i < CONTENTION_SETS * CONTENTION_WAYS; i++, e++) {
		times += contention_times(e);
		over += e->over;
		assert_int_equal(contention_times(e), 1);
	}
	assert_int_equal(times, CONTENTION_SETS * CONTENTION_WAYS);
	assert_int_equal(times + over, 50000); /* nothing is lost of the sum */
}

static void fault__is_noted_where_it_was(void **state)
{
	const struct contention_page *e;

	(void)state;
	lose(5);
	for (unsigned i = 0; i < 3; i++)
		contention_fault(c, 5, 8, true);
	contention_fault(c, 5, 9, false);
	e = notes_of(5, 0);
	assert_int_equal(e->nplaces, 2);
	assert_int_equal(e->place_shift, 0);
	assert_int_equal(e->place[0].offset, 8);
	assert_int_equal(e->place[0].writes, 3);
	assert_int_equal(e->place[1].offset, 9);
	assert_int_equal(e->place[1].reads, 1);
	assert_int_equal(e->writes, 3);
	assert_int_equal(e->reads, 1);
}

/* The fault that brought the page comes before it is given up for the first time. */
static void fault__before_the_first_loss_is_noted(void **state)
{
	(void)state;
	contention_fault(c, 5, 40, true);
	contention_fault(c, 6, 48, true);
	lose(5);
	assert_int_equal(notes_of(5, 0)->nplaces, 1);
	assert_int_equal(notes_of(5, 0)->place[0].offset, 40);
	assert_null(notes_of(6, 0));
}

/* Faults all over the lower half: places grow wide, and none reaches into the upper. */
static void fault__places_widen(void **state)
{
	const struct contention_page *e;
	uint64_t sum = 0;

	(void)state;
	lose(5);
	for (unsigned i = 0; i < 2048; i += 8)
		contention_fault(c, 5, i * 7 % 2048, true);
	e = notes_of(5, 0);
	assert_int_equal(e->place_shift, 8);
	assert_int_equal(e->nplaces, 8);
	for (unsigned i = 0; i < e->nplaces; i++) {
		assert_true(e->place[i].offset + 256 <= 2048);
		assert_int_equal(e->place[i].offset % 256, 0);
		sum += e->place[i].writes;
	}
	assert_int_equal(sum, 256);
}

/* One place is hit a thousand times: that others are hit now and then does not blur it. */
static void fault__rare_places_give_way(void **state)
{
	const struct contention_page *e;

	(void)state;
	lose(5);
	for (unsigned i = 0; i < 1000; i++) {
		contention_fault(c, 5, 16, true);
		if (i % 25 == 24)
			contention_fault(c, 5, 64 + i * 3, false);
	}
	e = notes_of(5, 0);
	assert_int_equal(e->place_shift, 0);
	for (unsigned i = 0; i < e->nplaces; i++)
		if (e->place[i].offset == 16)
			assert_int_equal(e->place[i].writes, 1000);
	assert_int_equal(e->reads, 40);
}

/* A region is freed, another takes its place: notes are not mixed up. */
static void forget__parts_regions_at_one_address(void **state)
{
	(void)state;
	lose(512);
	lose(512);
	contention_fault(c, 513, 4, true);
	contention_note_region(c, 9, 512, "first");
	contention_forget(c, 512, 512, 9);
	lose(512);
	lose(513);
	assert_int_equal(contention_times(notes_of(512, 9)), 2);
	assert_int_equal(contention_times(notes_of(512, 0)), 1);
	assert_int_equal(notes_of(513, 0)->nplaces, 0);
	assert_string_equal(contention_region(c, 9)->name, "first");
	assert_null(contention_region(c, 8));
	assert_null(contention_region(c, 0));
}

static void note_region__forgets_the_oldest(void **state)
{
	(void)state;
	for (uint32_t id = 1; id <= CONTENTION_REGIONS + 1; id++)
		contention_note_region(c, id, 512 * id, "name");
	assert_null(contention_region(c, 1));
	assert_int_equal(contention_region(c, 2)->first, 1024);
	assert_non_null(contention_region(c, CONTENTION_REGIONS + 1));
}

/*
 * Verdicts
 */

static struct contention_page notes[4];

static void add(unsigned rank, unsigned place_shift, uint32_t offset, uint32_t writes,
		uint32_t reads)
{
	struct contention_page *e = &notes[rank];

	e->lost[LOSS_TAKEN]++;
	e->place_shift = (uint8_t)place_shift;
	e->place[e->nplaces++] =
		(struct contention_place){ .offset = offset, .reads = reads, .writes = writes };
	e->reads += reads;
	e->writes += writes;
}

static int clear(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		notes[i] = (struct contention_page){ 0 };
	return 0;
}

static void judge__neighbours_in_one_cache_line_share_falsely(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		add(i, 0, 8 * i, 100, 0);
	assert_int_equal(contention_judge(notes, 4), CONTENTION_FALSE);
}

static void judge__one_counter_is_shared(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		add(i, 0, 24, 100, 0);
	assert_int_equal(contention_judge(notes, 4), CONTENTION_WRITERS);
}

static void judge__a_flag_has_one_writer(void **state)
{
	(void)state;
	add(0, 0, 0, 100, 0);
	for (unsigned i = 1; i < 4; i++)
		add(i, 0, 0, 0, 100);
	assert_int_equal(contention_judge(notes, 4), CONTENTION_READERS);
}

/* Readers of one byte do not dispute it: the writer beside them does not write it. */
static void judge__readers_together_share_falsely_with_a_writer_elsewhere(void **state)
{
	(void)state;
	add(0, 0, 128, 100, 0);
	for (unsigned i = 1; i < 4; i++)
		add(i, 0, 0, 0, 100);
	assert_int_equal(contention_judge(notes, 4), CONTENTION_FALSE);
}

static void judge__stray_faults_change_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		add(i, 0, 8 * i, 100, 0);
		add(i, 0, 512, 1, 1);
	}
	assert_int_equal(contention_judge(notes, 4), CONTENTION_FALSE);
}

static void judge__some_of_both(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		add(i, 0, 8 * i, 100, 0);
		add(i, 0, 512, 25, 10);
	}
	assert_int_equal(contention_judge(notes, 2), CONTENTION_BOTH);
}

/* Halves of a page, noted with different widths. */
static void judge__compares_at_the_wider_width(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		add(0, 8, 256 * i, 10, 0);
	for (uint32_t i = 0; i < 4; i++)
		add(1, 9, 2048 + 512 * i, 20, 0);
	assert_int_equal(contention_judge(notes, 2), CONTENTION_FALSE);
	add(1, 9, 0, 400, 0);
	assert_int_equal(contention_judge(notes, 2), CONTENTION_WRITERS);
}

static void judge__without_faults_it_was_calls(void **state)
{
	(void)state;
	notes[0].lost[LOSS_TAKEN] = notes[1].lost[LOSS_TAKEN] = 5;
	assert_int_equal(contention_judge(notes, 2), CONTENTION_CALLS);
	add(0, 0, 0, 5, 0); /* one side alone proves nothing of the other */
	assert_int_equal(contention_judge(notes, 2), CONTENTION_CALLS);
	add(1, 0, 8, 2, 0); /* nor do a few faults among many calls */
	assert_int_equal(contention_judge(notes, 2), CONTENTION_CALLS);
	add(1, 0, 8, 2, 0);
	assert_int_equal(contention_judge(notes, 2), CONTENTION_FALSE);
}

static void judge__atomics_come_first(void **state)
{
	(void)state;
	add(0, 0, 0, 5, 0);
	add(1, 0, 0, 5, 0);
	notes[1].lost[LOSS_ATOMIC] = 3;
	assert_int_equal(contention_judge(notes, 2), CONTENTION_ATOMICS);
}

#define TABLE(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define JUDGE(f) cmocka_unit_test_setup(f, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TABLE(lost__counts_by_kind),
		TABLE(left_atomics__counts_where_others_take_the_page),
		TABLE(lost__keeps_what_is_frequent),
		TABLE(lost__tells_how_far_it_may_be_wrong),
		TABLE(fault__is_noted_where_it_was),
		TABLE(fault__before_the_first_loss_is_noted),
		TABLE(fault__places_widen),
		TABLE(fault__rare_places_give_way),
		TABLE(forget__parts_regions_at_one_address),
		TABLE(note_region__forgets_the_oldest),
		JUDGE(judge__neighbours_in_one_cache_line_share_falsely),
		JUDGE(judge__one_counter_is_shared),
		JUDGE(judge__a_flag_has_one_writer),
		JUDGE(judge__readers_together_share_falsely_with_a_writer_elsewhere),
		JUDGE(judge__stray_faults_change_nothing),
		JUDGE(judge__some_of_both),
		JUDGE(judge__compares_at_the_wider_width),
		JUDGE(judge__without_faults_it_was_calls),
		JUDGE(judge__atomics_come_first),
	};

	return cmocka_run_group_tests_name("contention", tests, NULL, NULL);
}
