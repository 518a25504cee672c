/* SPDX-License-Identifier: MIT */
/*
 * Wire format: every message kind has a name of its own; directory words keep what is put in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "wire.h"

static void msg_name__every_kind_has_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MSG_KINDS; i++) {
		if (!strcmp(msg_name(i), "?"))
			fail_msg("kind %u has no name in wire.c", i);
	}
}

static void msg_name__names_differ(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MSG_KINDS; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(msg_name(i), msg_name(j));
	}
}

static void msg_name__unknown_kind(void **state)
{
	(void)state;
	assert_string_equal(msg_name(MSG_KINDS), "?");
	assert_string_equal(msg_name(~0u), "?");
}

static void msg_name__spelled_as_in_the_primer(void **state)
{
	(void)state;
	assert_string_equal(msg_name(MSG_GETS), "GetS");
	assert_string_equal(msg_name(MSG_FWD_GETM), "FwdGetM");
	assert_string_equal(msg_name(MSG_WRITE_BACK), "WriteBack");
	assert_string_equal(msg_name(MSG_LEAVE), "Leave");
}

static void grant_word__keeps_state_and_rank(void **state)
{
	static const unsigned ranks[] = { 0, 1, 63, 64, 4095, WIRE_NO_RANK };

	(void)state;
	for (unsigned s = GRANT_CLEAN; s <= GRANT_LOST; s++) {
		for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
			uint64_t word = grant_word((enum grant_state)s, ranks[i]);

			assert_int_equal(grant_state(word), s);
			assert_int_equal(grant_rank(word), ranks[i]);
		}
	}
}

static void grant_word__zeroed_memory_is_clean(void **state)
{
	(void)state;
	assert_int_equal(grant_state(0), GRANT_CLEAN);
}

static void msg_is_sane__kind_and_slots(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 256; kind++) {
		for (unsigned slots = 0; slots < 6; slots++) {
			struct msg m = { .kind = (uint8_t)kind, .slots = (uint8_t)slots };
			bool region = kind >= MSG_REGION_ALLOC && kind <= MSG_REGION_FREED;

			assert_int_equal(msg_is_sane(&m), kind > MSG_NONE && kind < MSG_KINDS &&
								  slots == (region ? 4 : 1));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msg_name__every_kind_has_one),
		cmocka_unit_test(msg_name__names_differ),
		cmocka_unit_test(msg_name__unknown_kind),
		cmocka_unit_test(msg_name__spelled_as_in_the_primer),
		cmocka_unit_test(msg_is_sane__kind_and_slots),
		cmocka_unit_test(grant_word__keeps_state_and_rank),
		cmocka_unit_test(grant_word__zeroed_memory_is_clean),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
