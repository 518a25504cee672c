/* SPDX-License-Identifier: MIT */
/*
 * Settings: what is taken from where, what is refused and with which words, and the warnings for
 * names that mean nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "capture.h"
#include "config.h"
#include "error.h"
#include "log.h"
#include "machine.h"
#include "names.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

/* Each test begins with an environment that says nothing about libdsm. */
static int clean_environment(void **state)
{
	char name[256];
	char **e;

	(void)state;
	error_clear();
	for (e = environ; *e;) {
		if (strncmp(*e, "DSM_", 4)) {
			e++;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
		unsetenv(name);
		e = environ;
	}
	return 0;
}

static struct settings loaded(void)
{
	struct settings s;

	if (config_load(&s, NULL))
		fail_msg("%s", error_text());
	return s;
}

static size_t row_of(const char *name)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (!strcmp(rows[i].name, name))
			return i;
	}
	fail_msg("no setting %s", name);
	return 0;
}

/* The sentence must name the setting and say what is allowed. */
static void assert_refused(const char *name, const char *value)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);
	struct settings s;
	int err;

	setenv(name, value, 1);
	memset(&s, 0x5a, sizeof(s));
	err = config_load(&s, NULL);
	if (err != -EINVAL)
		fail_msg("%s=%s: %d rather than -EINVAL", name, value, err);
	assert_int_equal(((unsigned char *)&s)[0], 0x5a);
	assert_non_null(strstr(error_text(), name));
	assert_non_null(strstr(error_text(), rows[row_of(name)].allowed));
	assert_non_null(strstr(error_text(), "environment"));
	unsetenv(name);
}

static void assert_taken(const char *name, const char *value, const char *shown)
{
	struct settings s;
	char buf[300];

	setenv(name, value, 1);
	s = loaded();
	assert_string_equal(config_value(&s, row_of(name), buf, sizeof(buf)), shown);
	assert_int_equal(config_source_of(row_of(name)), CONFIG_ENVIRONMENT);
	unsetenv(name);
}

static void config_load__defaults(void **state)
{
	struct settings s = loaded();

	(void)state;
	assert_int_equal(s.rank, -1);
	assert_int_equal(s.size, -1);
	assert_string_equal(s.root, "");
	assert_string_equal(s.token, "");
	assert_int_equal(s.launch, LAUNCH_AUTO);
	assert_int_equal(s.transport, TRANSPORT_AUTO);
	assert_int_equal(s.uffd, UFFD_AUTO);
	assert_int_equal(s.maintenance, MAINTENANCE_AUTO);
	assert_int_equal(s.log, LOG_WARN);
	assert_int_equal(s.base, 0x7e8000000000);
	assert_int_equal(s.space_bytes, 64 * GIB);
	assert_int_equal(s.page_bytes, 4096);
	assert_int_equal(s.timeout_ms, 30000);
	assert_int_equal(s.sync_timeout_ms, 3600000);
	assert_int_equal(s.spin_us, -1);
	assert_int_equal(s.prefetch_pages, 64);
	assert_int_equal(s.stats, STATS_OFF);
}

static void config_load__cache_is_a_share_of_memory(void **state)
{
	uint64_t memory = machine_memory_bytes();
	uint64_t limit = machine_cgroup_bytes();
	uint64_t share = (memory < limit ? memory : limit) / 4;
	struct settings s = loaded();

	(void)state;
	if (share < 64 * MIB)
		share = 64 * MIB;
	if (share > s.space_bytes)
		share = s.space_bytes;
	assert_in_range(s.cache_bytes, share - MIB, share);
}

static void config_load__default_cache_is_not_above_the_space(void **state)
{
	(void)state;
	setenv("DSM_SPACE", "2M", 1);
	assert_int_equal(loaded().cache_bytes, 2 * MIB);
	setenv("DSM_CACHE_SIZE", "1M", 1);
	assert_int_equal(loaded().cache_bytes, MIB);
}

static void config_load__program_overrides_default(void **state)
{
	const struct dsm_config config = {
		.rank = "2",
		.size = "4",
		.root = "head:7000",
		.token = "12345678",
		.launch = "tcp",
		.transport = "shm",
		.userfaultfd = "user",
		.cache_maintenance = "kernel",
		.log = "debug",
		.base = 0x10000000000,
		.space = 4 * MIB,
		.cache_size = 3 * MIB,
		.page_size = 64 * KIB,
		.timeout_ms = 5,
		.sync_timeout_ms = 6,
		.spin_us = "7",
		.prefetch = "0",
		.stats = "1",
		.rdma_device = "rxe0:1",
		.fault_handler = "inline",
	};
	struct settings s;
	size_t count;

	(void)state;
	assert_int_equal(config_load(&s, &config), 0);
	assert_int_equal(s.rank, 2);
	assert_int_equal(s.size, 4);
	assert_string_equal(s.root, "head:7000");
	assert_string_equal(s.token, "12345678");
	assert_int_equal(s.launch, LAUNCH_TCP);
	assert_int_equal(s.transport, TRANSPORT_SHM);
	assert_int_equal(s.uffd, UFFD_USER);
	assert_int_equal(s.maintenance, MAINTENANCE_KERNEL);
	assert_int_equal(s.log, LOG_DEBUG);
	assert_int_equal(s.base, 0x10000000000);
	assert_int_equal(s.space_bytes, 4 * MIB);
	assert_int_equal(s.cache_bytes, 3 * MIB);
	assert_int_equal(s.page_bytes, 64 * KIB);
	assert_int_equal(s.timeout_ms, 5);
	assert_int_equal(s.sync_timeout_ms, 6);
	assert_int_equal(s.spin_us, 7);
	assert_int_equal(s.prefetch_pages, 0);
	assert_int_equal(s.stats, STATS_SUM);
	assert_string_equal(s.rdma_device, "rxe0:1");
	assert_int_equal(s.fault_handler, FAULT_INLINE);
	config_rows(&count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(config_source_of(i), CONFIG_PROGRAM);
}

static void config_load__environment_overrides_program(void **state)
{
	const struct dsm_config config = { .timeout_ms = 5, .log = "debug", .page_size = 8 * KIB };
	struct settings s;

	(void)state;
	setenv("DSM_TIMEOUT_MS", "9", 1);
	setenv("DSM_LOG", "error", 1);
	assert_int_equal(config_load(&s, &config), 0);
	assert_int_equal(s.timeout_ms, 9);
	assert_int_equal(s.log, LOG_ERROR);
	assert_int_equal(s.page_bytes, 8 * KIB);
	assert_int_equal(config_source_of(row_of("DSM_LOG")), CONFIG_ENVIRONMENT);
	assert_int_equal(config_source_of(row_of("DSM_PAGE_SIZE")), CONFIG_PROGRAM);
	assert_int_equal(config_source_of(row_of("DSM_SPACE")), CONFIG_DEFAULT);
}

static void config_load__environment_mends_a_bad_program(void **state)
{
	const struct dsm_config config = { .page_size = 5000 };
	struct settings s;

	(void)state;
	setenv("DSM_PAGE_SIZE", "4K", 1);
	assert_int_equal(config_load(&s, &config), 0);
	assert_int_equal(s.page_bytes, 4096);
}

static void config_load__empty_text_is_not_given(void **state)
{
	const struct dsm_config config = { .log = "", .root = "" };
	struct settings s;

	(void)state;
	setenv("DSM_TIMEOUT_MS", "", 1);
	assert_int_equal(config_load(&s, &config), 0);
	assert_int_equal(s.timeout_ms, 30000);
	assert_int_equal(s.log, LOG_WARN);
	assert_int_equal(config_source_of(row_of("DSM_TIMEOUT_MS")), CONFIG_DEFAULT);
}

static void config_load__refuses_what_the_program_got_wrong(void **state)
{
	static const struct dsm_config configs[] = {
		{ .base = 0x7e8000001000 },
		{ .base = UINT64_C(1) << 60 },
		{ .space = 3 * MIB },
		{ .space = 17 * TIB },
		{ .cache_size = 4096 },
		{ .page_size = 2048 },
		{ .page_size = 12 * KIB },
		{ .page_size = 4 * MIB },
		{ .timeout_ms = UINT64_MAX },
		{ .sync_timeout_ms = 1u << 31 },
		{ .rank = "x" },
		{ .launch = "mpi" },
		{ .token = "short" },
	};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		error_clear();
		if (config_load(&s, &configs[i]) != -EINVAL)
			fail_msg("configuration %zu was taken", i);
		assert_non_null(strstr(error_text(), "program"));
		assert_non_null(strstr(error_text(), "must be"));
	}
}

static void parse_bytes__takes_suffixes(void **state)
{
	(void)state;
	assert_taken("DSM_CACHE_SIZE", "1048577", "1048577");
	assert_taken("DSM_CACHE_SIZE", "1025K", "1025K");
	assert_taken("DSM_CACHE_SIZE", "2048K", "2M");
	assert_taken("DSM_CACHE_SIZE", "5m", "5M");
	assert_taken("DSM_CACHE_SIZE", "1g", "1G");
	assert_taken("DSM_CACHE_SIZE", "16T", "16T");
	assert_taken("DSM_CACHE_SIZE", "0x100000", "1M");
	setenv("DSM_BASE", "0x100000000000", 1);
	assert_taken("DSM_SPACE", "16T", "16T");
	unsetenv("DSM_BASE");
	assert_taken("DSM_PAGE_SIZE", "2M", "2M");
	assert_taken("DSM_PAGE_SIZE", "4096", "4K");
}

static void parse_bytes__refuses_the_rest(void **state)
{
	static const char *const values[] = {
		"x",
		"-1",
		"+1",
		" 1M",
		"1M ",
		"1.5G",
		"1Q",
		"1MB",
		"M",
		"0",
		"1023K",
		"16385G",
		"17T",
		"0x",
		"18446744073709551615",
		"18446744073709551616",
		"99999999999999999999T",
		/* 2^64 + 1M, were it to wrap around */
		"17592186044417M",
		"16777216T",
		"18014398509481985K",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_refused("DSM_CACHE_SIZE", values[i]);
	assert_refused("DSM_SPACE", "1M");
	assert_refused("DSM_SPACE", "3M");
	assert_refused("DSM_SPACE", "16386G");
	assert_refused("DSM_PAGE_SIZE", "2K");
	assert_refused("DSM_PAGE_SIZE", "4M");
	assert_refused("DSM_PAGE_SIZE", "12K");
	assert_refused("DSM_PAGE_SIZE", "4097");
}

static void parse_address__wants_blocks(void **state)
{
	(void)state;
	assert_taken("DSM_BASE", "0x600000000000", "0x600000000000");
	assert_taken("DSM_BASE", "64T", "0x400000000000");
	assert_refused("DSM_BASE", "0x7e8000100000");
	assert_refused("DSM_BASE", "0");
	assert_refused("DSM_BASE", "0x800000000000");
}

static void parse_integer__range_and_auto(void **state)
{
	(void)state;
	assert_taken("DSM_SPIN_US", "auto", "auto");
	assert_taken("DSM_SPIN_US", "0", "0");
	assert_taken("DSM_SPIN_US", "1000000", "1000000");
	assert_refused("DSM_SPIN_US", "1000001");
	assert_refused("DSM_SPIN_US", "-1");
	assert_taken("DSM_TIMEOUT_MS", "1", "1");
	assert_taken("DSM_TIMEOUT_MS", "2147483647", "2147483647");
	assert_refused("DSM_TIMEOUT_MS", "0");
	assert_refused("DSM_TIMEOUT_MS", "2147483648");
	assert_refused("DSM_TIMEOUT_MS", "auto");
	assert_refused("DSM_TIMEOUT_MS", "30s");
	assert_refused("DSM_SYNC_TIMEOUT_MS", "0");
	assert_taken("DSM_RANK", "0", "0");
	assert_taken("DSM_RANK", "511", "511");
	assert_refused("DSM_RANK", "512");
	assert_refused("DSM_RANK", "1e3");
	assert_refused("DSM_SIZE", "0");
	assert_taken("DSM_SIZE", "512", "512");
	assert_refused("DSM_SIZE", "513");
	assert_non_null(strstr(error_text(), "from 1 to 512"));
	assert_taken("DSM_SIZE", "010", "10");
	assert_taken("DSM_PREFETCH", "0", "0");
	assert_refused("DSM_PREFETCH", "65537");
}

static void parse_choice__any_case(void **state)
{
	(void)state;
	assert_taken("DSM_LOG", "INFO", "info");
	assert_taken("DSM_LAUNCH", "alone", "alone");
	assert_taken("DSM_USERFAULTFD", "kernel", "kernel");
	assert_refused("DSM_LOG", "verbose");
	assert_refused("DSM_LOG", "inf");
	assert_taken("DSM_TRANSPORT", "Verbs", "verbs");
	assert_refused("DSM_TRANSPORT", "tcp");
	assert_taken("DSM_FAULT_HANDLER", "Core", "core");
	assert_refused("DSM_FAULT_HANDLER", "signal");
	assert_refused("DSM_LAUNCH", "2");
}

static void parse_bool__words(void **state)
{
	(void)state;
	assert_taken("DSM_STATS", "1", "1");
	assert_taken("DSM_STATS", "yes", "1");
	assert_taken("DSM_STATS", "ON", "1");
	assert_taken("DSM_STATS", "0", "0");
	assert_taken("DSM_STATS", "false", "0");
	assert_taken("DSM_STATS", "Pages", "pages");
	assert_refused("DSM_STATS", "2");
	assert_refused("DSM_STATS", "y");
}

static void parse_endpoint__host_and_port(void **state)
{
	char name[400];

	(void)state;
	assert_taken("DSM_ROOT", "node-1.example.org:7000", "node-1.example.org:7000");
	assert_taken("DSM_ROOT", "10.0.0.1:1", "10.0.0.1:1");
	assert_taken("DSM_ROOT", "[fe80::1%eth0]:65535", "[fe80::1%eth0]:65535");
	assert_refused("DSM_ROOT", "node");
	assert_refused("DSM_ROOT", "node:");
	assert_refused("DSM_ROOT", ":7000");
	assert_refused("DSM_ROOT", "node:0");
	assert_refused("DSM_ROOT", "node:65536");
	assert_refused("DSM_ROOT", "node:70x");
	assert_refused("DSM_ROOT", "node:-1");
	assert_refused("DSM_ROOT", "no de:7000");
	assert_refused("DSM_ROOT", "fe80::1:7000");
	assert_refused("DSM_ROOT", "[fe80::1:7000");
	assert_refused("DSM_ROOT", "[]:7000");
	/* The longest that fits is 255 bytes. */
	memset(name, 'a', sizeof(name));
	strcpy(name + 250, ":7000");
	assert_taken("DSM_ROOT", name, name);
	strcpy(name + 251, ":7000");
	assert_refused("DSM_ROOT", name);
}

static void parse_token__length_and_characters(void **state)
{
	char token[70];

	(void)state;
	assert_taken("DSM_TOKEN", "12345678", "12345678");
	memset(token, 'k', sizeof(token));
	token[65] = '\0';
	assert_refused("DSM_TOKEN", token);
	token[64] = '\0';
	assert_taken("DSM_TOKEN", token, token);
	assert_refused("DSM_TOKEN", "1234567");
	assert_refused("DSM_TOKEN", "1234 5678");
	assert_refused("DSM_TOKEN", "1234\n5678");
	assert_refused("DSM_TOKEN", "12345678\xc3\xa4");
}

static void config_load__keeps_the_token_out_of_messages(void **state)
{
	struct settings s;

	(void)state;
	setenv("DSM_TOKEN", "secret", 1);
	assert_int_equal(config_load(&s, NULL), -EINVAL);
	assert_null(strstr(error_text(), "secret"));
	setenv("DSM_TOKEN", "s3cr3t with spaces", 1);
	assert_int_equal(config_load(&s, NULL), -EINVAL);
	assert_null(strstr(error_text(), "s3cr3t"));
}

static void config_load__rank_below_size(void **state)
{
	struct settings s;

	(void)state;
	setenv("DSM_RANK", "4", 1);
	setenv("DSM_SIZE", "4", 1);
	assert_int_equal(config_load(&s, NULL), -EINVAL);
	assert_non_null(strstr(error_text(), "DSM_RANK is 4"));
	setenv("DSM_RANK", "3", 1);
	assert_int_equal(config_load(&s, NULL), 0);
}

static void config_load__range_ends_in_user_space(void **state)
{
	struct settings s;

	(void)state;
	setenv("DSM_BASE", "0x7fff00000000", 1);
	setenv("DSM_SPACE", "8G", 1);
	assert_int_equal(config_load(&s, NULL), -EINVAL);
	assert_non_null(strstr(error_text(), "can be 0x7ffe00000000 at most"));
	setenv("DSM_SPACE", "4G", 1);
	assert_int_equal(config_load(&s, NULL), 0);
}

static void config_load__shows_only_the_start_of_a_long_value(void **state)
{
	char value[4096];
	struct settings s;

	(void)state;
	memset(value, '9', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	setenv("DSM_SPACE", value, 1);
	assert_int_equal(config_load(&s, NULL), -EINVAL);
	assert_non_null(strstr(error_text(), "must be bytes"));
}

static void config_load__warns_once_of_an_unknown_name(void **state)
{
	const char *text;
	struct settings s;

	(void)state;
	setenv("DSM_CAHCE_SIZE", "1G", 1);
	capture_begin();
	assert_int_equal(config_load(&s, NULL), 0);
	text = capture_end();
	assert_non_null(strstr(text, "warn: DSM_CAHCE_SIZE"));
	assert_non_null(strstr(text, "is DSM_CACHE_SIZE meant?"));
	capture_begin();
	assert_int_equal(config_load(&s, NULL), 0);
	assert_string_equal(capture_end(), "");
}

static void config_load__no_suggestion_when_nothing_is_near(void **state)
{
	const char *text;
	struct settings s;

	(void)state;
	setenv("DSM_XYLOPHONE", "1", 1);
	capture_begin();
	assert_int_equal(config_load(&s, NULL), 0);
	text = capture_end();
	assert_non_null(strstr(text, "DSM_XYLOPHONE"));
	assert_null(strstr(text, "meant"));
}

static void config_load__warns_only_if_asked(void **state)
{
	struct settings s;

	(void)state;
	setenv("DSM_LOGG", "1", 1);
	setenv("DSM_LOG", "error", 1);
	capture_begin();
	assert_int_equal(config_load(&s, NULL), 0);
	assert_string_equal(capture_end(), "");
}

static void config_load__known_names_do_not_warn(void **state)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);
	struct settings s;

	(void)state;
	for (size_t i = 0; i < count; i++)
		setenv(rows[i].name, "", 1);
	setenv("DSMX", "1", 1);
	capture_begin();
	assert_int_equal(config_load(&s, NULL), 0);
	assert_string_equal(capture_end(), "");
	unsetenv("DSMX");
}

/* What config_value() writes, config_load() takes and means the same by. */
static void config_value__goes_round(void **state)
{
	struct settings s = loaded(), again;
	size_t count;
	const struct config_row *rows = config_rows(&count);
	char buf[300];

	(void)state;
	for (size_t i = 0; i < count; i++)
		setenv(rows[i].name, config_value(&s, i, buf, sizeof(buf)), 1);
	again = loaded();
	/* All but where the cache's size came from. */
	assert_true(s.cache_by_default);
	assert_false(again.cache_by_default);
	again.cache_by_default = true;
	assert_memory_equal(&s, &again, sizeof(s));
}

/* The defaults that are shown are the defaults that are used. */
static void config_rows__fallback_is_the_default(void **state)
{
	struct settings s = loaded();
	size_t count;
	const struct config_row *rows = config_rows(&count);
	char buf[300];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_true(rows[i].meaning[0] && rows[i].allowed[0]);
		if (strcmp(rows[i].name, "DSM_CACHE_SIZE"))
			assert_string_equal(config_value(&s, i, buf, sizeof(buf)),
					    rows[i].fallback);
	}
	/* dsm_config has nothing that the table does not know. */
	assert_int_equal(count, sizeof(struct dsm_config) / sizeof(uint64_t));
}

static unsigned distance(const char *a, const char *b)
{
	return names_distance(a, strlen(a), b, strlen(b));
}

static void names_distance__counts_slips(void **state)
{
	char name[NAMES_LEN_MAX + 2];

	(void)state;
	assert_int_equal(distance("", ""), 0);
	assert_int_equal(distance("DSM_LOG", "dsm_log"), 0);
	assert_int_equal(distance("abc", ""), 3);
	assert_int_equal(distance("", "abc"), 3);
	assert_int_equal(distance("kitten", "sitting"), 3);
	assert_int_equal(distance("ab", "ba"), 1);
	assert_int_equal(distance("abcd", "abdc"), 1);
	assert_int_equal(distance("abc", "abxc"), 1);
	memset(name, 'a', sizeof(name));
	name[NAMES_LEN_MAX] = '\0';
	assert_int_equal(distance(name, ""), NAMES_LEN_MAX);
	name[NAMES_LEN_MAX] = 'a';
	name[NAMES_LEN_MAX + 1] = '\0';
	assert_true(distance(name, "") == UINT_MAX);
}

static const char *known(size_t i)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);

	return i < count ? rows[i].name : NULL;
}

static void names_nearest__finds_what_was_meant(void **state)
{
	static const char *const pairs[][2] = {
		{ "DSM_CACHESIZE", "DSM_CACHE_SIZE" },  { "DSM_CACHE", "DSM_CACHE_SIZE" },
		{ "DSM_TIMEOUT", "DSM_TIMEOUT_MS" },    { "DSM_SPIN", "DSM_SPIN_US" },
		{ "DSM_cache_size", "DSM_CACHE_SIZE" }, { "DSM_STAT", "DSM_STATS" },
		{ "DSM_LOG_LEVEL", "DSM_LOG" },         { "DSM_PAGESIZE", "DSM_PAGE_SIZE" },
		{ "DSM_TANSPORT", "DSM_TRANSPORT" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *nearest = names_nearest(pairs[i][0], strlen(pairs[i][0]), known);

		assert_non_null(nearest);
		assert_string_equal(nearest, pairs[i][1]);
	}
	assert_null(names_nearest("DSM_", 4, known));
	assert_null(names_nearest("DSM_FOO", 7, known));
	assert_null(names_nearest("DSM_HOMEDIRECTORY", 17, known));
}

#define TEST(name) cmocka_unit_test_setup(name, clean_environment)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(config_load__defaults),
		TEST(config_load__cache_is_a_share_of_memory),
		TEST(config_load__default_cache_is_not_above_the_space),
		TEST(config_load__program_overrides_default),
		TEST(config_load__environment_overrides_program),
		TEST(config_load__environment_mends_a_bad_program),
		TEST(config_load__empty_text_is_not_given),
		TEST(config_load__refuses_what_the_program_got_wrong),
		TEST(parse_bytes__takes_suffixes),
		TEST(parse_bytes__refuses_the_rest),
		TEST(parse_address__wants_blocks),
		TEST(parse_integer__range_and_auto),
		TEST(parse_choice__any_case),
		TEST(parse_bool__words),
		TEST(parse_endpoint__host_and_port),
		TEST(parse_token__length_and_characters),
		TEST(config_load__keeps_the_token_out_of_messages),
		TEST(config_load__rank_below_size),
		TEST(config_load__range_ends_in_user_space),
		TEST(config_load__shows_only_the_start_of_a_long_value),
		TEST(config_load__warns_once_of_an_unknown_name),
		TEST(config_load__no_suggestion_when_nothing_is_near),
		TEST(config_load__warns_only_if_asked),
		TEST(config_load__known_names_do_not_warn),
		TEST(config_value__goes_round),
		TEST(config_rows__fallback_is_the_default),
		TEST(names_distance__counts_slips),
		TEST(names_nearest__finds_what_was_meant),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
