/* SPDX-License-Identifier: MIT */
/*
 * Log lines as they reach stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "capture.h"
#include "log.h"

/* Must run first: nothing takes a rank back. */
static void log_write__before_a_rank_shows_the_process(void **state)
{
	char expected[64];

	(void)state;
	snprintf(expected, sizeof(expected), "libdsm[%d] warn: hello 7\n", (int)getpid());
	capture_begin();
	log_warn("hello %d", 7);
	assert_string_equal(capture_end(), expected);
}

static int level_default(void **state)
{
	(void)state;
	log_set_level(LOG_WARN);
	return 0;
}

static void log_write__shows_host_and_rank(void **state)
{
	char host[64] = "";
	char expected[128];

	(void)state;
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	log_set_rank(3);
	capture_begin();
	log_error("gone");
	snprintf(expected, sizeof(expected), "libdsm[%s:3] error: gone\n", host);
	assert_string_equal(capture_end(), expected);
}

static void log_set_level__drops_what_is_above(void **state)
{
	(void)state;
	log_set_level(LOG_WARN);
	capture_begin();
	log_info("no");
	log_debug("no");
	assert_string_equal(capture_end(), "");
	log_set_level(LOG_DEBUG);
	capture_begin();
	log_info("one");
	log_debug("two");
	assert_non_null(strstr(capture_end(), " info: one\n"));
	log_set_level(LOG_ERROR);
	capture_begin();
	log_warn("no");
	assert_string_equal(capture_end(), "");
}

static int formatted;

static int count_formatting(void)
{
	return ++formatted;
}

static void log_at__does_not_evaluate_what_it_drops(void **state)
{
	(void)state;
	formatted = 0;
	log_debug("%d", count_formatting());
	assert_int_equal(formatted, 0);
}

static void log_write__cuts_a_long_line_and_ends_it(void **state)
{
	static char text[8192];
	const char *line;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	capture_begin();
	log_warn("%s", text);
	line = capture_end();
	assert_true(strlen(line) < 2048);
	assert_true(strlen(line) > 512);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void log_write__keeps_errno(void **state)
{
	(void)state;
	capture_begin();
	close(STDERR_FILENO);
	errno = ENOTTY;
	log_warn("into nothing");
	assert_int_equal(errno, ENOTTY);
	capture_end();
}

#define THREADS 4
#define LINES   50

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_warn("thread %d says a line that must stay whole", *(int *)arg);
	return NULL;
}

static void log_write__lines_of_threads_stay_whole(void **state)
{
	static const char end[] = "says a line that must stay whole";
	int number[THREADS];
	pthread_t thread[THREADS];
	int lines = 0;
	char *line, *rest;

	(void)state;
	capture_begin();
	for (int i = 0; i < THREADS; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, write_lines, &number[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	rest = (char *)capture_end();
	while ((line = strsep(&rest, "\n")) && *line) {
		assert_int_equal(strncmp(line, "libdsm[", 7), 0);
		assert_string_equal(line + strlen(line) - strlen(end), end);
		lines++;
	}
	assert_int_equal(lines, THREADS * LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(log_write__before_a_rank_shows_the_process, level_default),
		cmocka_unit_test_setup(log_write__shows_host_and_rank, level_default),
		cmocka_unit_test_setup(log_set_level__drops_what_is_above, level_default),
		cmocka_unit_test_setup(log_at__does_not_evaluate_what_it_drops, level_default),
		cmocka_unit_test_setup(log_write__cuts_a_long_line_and_ends_it, level_default),
		cmocka_unit_test_setup(log_write__keeps_errno, level_default),
		cmocka_unit_test_setup(log_write__lines_of_threads_stay_whole, level_default),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
