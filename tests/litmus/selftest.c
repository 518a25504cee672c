/* SPDX-License-Identifier: MIT */
/*
 * The litmus tests' own judges can say no: the models know the classic results, and the
 * linearizability checkers refuse wrong histories. Runs alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "linear.h"
#include "model.h"
#include "variant.h"

static bool allowed[PROGRAM_OUTCOMES];

static const struct program *find(const char *name)
{
	for (unsigned i = 0; i < nprograms; i++)
		if (!strcmp(programs[i].name, name))
			return &programs[i];
	fail_msg("no program %s", name);
	return NULL;
}

static unsigned count(const struct program *p, enum model model)
{
	unsigned n = 0;

	model_outcomes(p, model, allowed);
	for (unsigned i = 0; i < PROGRAM_OUTCOMES; i++)
		n += allowed[i];
	return n;
}

static void model_outcomes__sc_forbids_every_weak_outcome(void **state)
{
	(void)state;
	for (unsigned i = 0; i < nprograms; i++) {
		model_outcomes(&programs[i], MODEL_SC, allowed);
		assert_false(allowed[programs[i].weak_outcome]);
	}
}

/* Owens, Sarkar, Sewell, "A better x86 memory model: x86-TSO", 2009. */
static void model_outcomes__tso_allows_store_buffering_alone(void **state)
{
	static const char *const weak[] = { "SB", "R", "RWC", "3.SB" };

	(void)state;
	for (unsigned i = 0; i < nprograms; i++) {
		bool expected = false;

		for (unsigned k = 0; k < sizeof(weak) / sizeof(weak[0]); k++)
			expected |= !strcmp(programs[i].name, weak[k]);
		model_outcomes(&programs[i], MODEL_TSO, allowed);
		assert_int_equal(allowed[programs[i].weak_outcome], expected);
	}
}

static void model_outcomes__counts(void **state)
{
	(void)state;
	assert_int_equal(count(find("SB"), MODEL_SC), 3);
	assert_int_equal(count(find("SB"), MODEL_TSO), 4);
	assert_int_equal(count(find("MP"), MODEL_TSO), 3);
	assert_int_equal(count(find("LB"), MODEL_TSO), 3);
	assert_int_equal(count(find("2+2W"), MODEL_SC), 3);
	assert_int_equal(count(find("IRIW"), MODEL_SC), 15);
	assert_int_equal(count(find("IRIW"), MODEL_TSO), 15);
}

static void variant_allowed__strong_is_sc_everywhere(void **state)
{
	struct variant v = { .program = find("SB"), .access = ACCESS_SEQCST, .nranks = 2 };

	(void)state;
	for (v.placement = 0; v.placement < PLACE_COUNT; v.placement++) {
		variant_allowed(&v, allowed);
		assert_false(allowed[v.program->weak_outcome]);
	}
	v.access = ACCESS_RELAXED;
	v.placement = PLACE_TOGETHER;
	variant_allowed(&v, allowed);
	assert_true(allowed[v.program->weak_outcome]);
}

static struct linear_event event(enum linear_op op, uint64_t call_ns, uint64_t return_ns,
				 uint64_t a, uint64_t b, uint64_t result)
{
	return (struct linear_event){ call_ns, return_ns, a, b, result, op };
}

static void linear_check__register(void **state)
{
	struct linear_event e[] = { event(LINEAR_STORE, 10, 20, 5, 0, 0),
				    event(LINEAR_LOAD, 15, 30, 0, 0, 0),
				    event(LINEAR_SWAP, 25, 40, 5, 7, 5),
				    event(LINEAR_LOAD, 41, 50, 0, 0, 7) };

	(void)state;
	assert_int_equal(linear_check(e, 4, 0), LINEAR_YES);
	e[1].call_ns = 21; /* now it reads 0 after the store of 5 has returned */
	assert_int_equal(linear_check(e, 4, 0), LINEAR_NO);
	e[1].call_ns = 15;
	e[3].result = 5; /* what the swap had replaced */
	assert_int_equal(linear_check(e, 4, 0), LINEAR_NO);
	e[3].call_ns = 35; /* at the same time as the swap: before it */
	assert_int_equal(linear_check(e, 4, 0), LINEAR_YES);
}

static void linear_check__lock(void **state)
{
	struct linear_event e[] = { event(LINEAR_LOCK, 10, 20, 1, 0, 0),
				    event(LINEAR_UNLOCK, 40, 50, 1, 0, 0),
				    event(LINEAR_LOCK, 15, 45, 2, 0, 0),
				    event(LINEAR_UNLOCK, 60, 70, 2, 0, 0),
				    event(LINEAR_BUSY, 5, 12, 0, 0, 0) };

	(void)state;
	assert_int_equal(linear_check(e, 5, 0), LINEAR_YES);
	e[4].return_ns = 9; /* busy before anybody had it */
	assert_int_equal(linear_check(e, 5, 0), LINEAR_NO);
	e[4].return_ns = 12;
	e[2].return_ns = 39; /* two have it */
	assert_int_equal(linear_check(e, 5, 0), LINEAR_NO);
}

/* A lock that is free may be refused to a try while another thread waits for it, and not else. */
static void linear_check__lock_waited_for(void **state)
{
	struct linear_event e[] = { event(LINEAR_LOCK, 10, 100, 1, 1, 0),
				    event(LINEAR_BUSY, 20, 30, 2, 0, 0),
				    event(LINEAR_LOCK, 40, 50, 3, 0, 0),
				    event(LINEAR_UNLOCK, 60, 70, 3, 0, 0) };

	(void)state;
	assert_int_equal(linear_check(e, 4, 0), LINEAR_YES);
	e[0].b = 0; /* a try itself: nobody waits */
	assert_int_equal(linear_check(e, 4, 0), LINEAR_NO);
	e[0].b = 1;
	e[0].call_ns = 31; /* it comes after */
	assert_int_equal(linear_check(e, 4, 0), LINEAR_NO);
}

static void linear_check_adds__order_and_gaps(void **state)
{
	struct linear_event e[] = { event(LINEAR_ADD, 10, 20, 1, 0, 1),
				    event(LINEAR_ADD, 15, 30, 1, 0, 0),
				    event(LINEAR_ADD, 31, 40, 1, 0, 2) };

	(void)state;
	assert_int_equal(linear_check_adds(e, 3), 3);
	e[2].call_ns = 1;
	e[2].return_ns = 5; /* returned first, and yet counted last */
	assert_int_equal(linear_check_adds(e, 3), 2);
	e[2] = event(LINEAR_ADD, 31, 40, 1, 0, 1);
	assert_int_equal(linear_check_adds(e, 3), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_outcomes__sc_forbids_every_weak_outcome),
		cmocka_unit_test(model_outcomes__tso_allows_store_buffering_alone),
		cmocka_unit_test(model_outcomes__counts),
		cmocka_unit_test(variant_allowed__strong_is_sc_everywhere),
		cmocka_unit_test(linear_check__register),
		cmocka_unit_test(linear_check__lock),
		cmocka_unit_test(linear_check__lock_waited_for),
		cmocka_unit_test(linear_check_adds__order_and_gaps),
	};

	programs_parse();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
