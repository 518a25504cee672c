/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's last error.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "error.h"

static int forget(void **state)
{
	(void)state;
	error_clear();
	return 0;
}

static void error_text__empty_at_first(void **state)
{
	(void)state;
	assert_string_equal(error_text(), "");
}

static void error_set__returns_negative_errno(void **state)
{
	(void)state;
	assert_int_equal(error_set(EINVAL, "length is %d", 0), -EINVAL);
	assert_string_equal(error_text(), "length is 0");
}

static void error_set__latest_wins(void **state)
{
	(void)state;
	error_set(EINVAL, "the first, which is longer");
	error_set(ENOMEM, "the second");
	assert_string_equal(error_text(), "the second");
}

static void error_set__may_quote_itself(void **state)
{
	(void)state;
	error_set(ENOENT, "no such region");
	error_set(EINVAL, "cannot attach: %s", error_text());
	assert_string_equal(error_text(), "cannot attach: no such region");
}

static void error_set__cuts_what_is_too_long(void **state)
{
	char text[2 * ERROR_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(error_set(EIO, "%s", text), -EIO);
	assert_int_equal(strlen(error_text()), ERROR_TEXT_MAX - 1);
	assert_int_equal(error_set_sys(EIO, "%s", text), -EIO);
	assert_int_equal(strlen(error_text()), ERROR_TEXT_MAX - 1);
}

static void error_set_sys__adds_the_reason(void **state)
{
	(void)state;
	assert_int_equal(error_set_sys(ENOENT, "cannot open %s", "/x"), -ENOENT);
	assert_string_equal(error_text(), "cannot open /x: No such file or directory");
}

static void error_set_sys__may_quote_itself(void **state)
{
	(void)state;
	error_set(ENOENT, "inner");
	error_set_sys(EPERM, "outer (%s)", error_text());
	assert_string_equal(error_text(), "outer (inner): Operation not permitted");
}

static void error_clear__forgets(void **state)
{
	(void)state;
	error_set(EINVAL, "something");
	error_clear();
	assert_string_equal(error_text(), "");
}

static void *other_thread(void *arg)
{
	(void)arg;
	if (error_text()[0])
		return (void *)1;
	error_set(EIO, "of the other thread");
	return NULL;
}

static void error_text__belongs_to_the_thread(void **state)
{
	pthread_t thread;
	void *result;

	(void)state;
	error_set(EINVAL, "of this thread");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_string_equal(error_text(), "of this thread");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_text__empty_at_first),
		cmocka_unit_test_setup(error_set__returns_negative_errno, forget),
		cmocka_unit_test_setup(error_set__latest_wins, forget),
		cmocka_unit_test_setup(error_set__may_quote_itself, forget),
		cmocka_unit_test_setup(error_set__cuts_what_is_too_long, forget),
		cmocka_unit_test_setup(error_set_sys__adds_the_reason, forget),
		cmocka_unit_test_setup(error_set_sys__may_quote_itself, forget),
		cmocka_unit_test_setup(error_clear__forgets, forget),
		cmocka_unit_test_setup(error_text__belongs_to_the_thread, forget),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
