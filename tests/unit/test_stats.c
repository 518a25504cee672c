/* SPDX-License-Identifier: MIT */
/*
 * Histograms, sums over ranks, and the printed table.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "capture.h"
#include "stats.h"

static void stats_record__counts_sum_and_maximum(void **state)
{
	struct dsm_hist h = { 0 };

	(void)state;
	stats_record(&h, 5);
	stats_record(&h, 100);
	stats_record(&h, 7);
	assert_int_equal(h.count, 3);
	assert_int_equal(h.sum_ns, 112);
	assert_int_equal(h.max_ns, 100);
}

static void stats_record__chooses_the_bucket_by_powers_of_two(void **state)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} cases[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ 2, 1 },
		{ 3, 1 },
		{ 4, 2 },
		{ 1023, 9 },
		{ 1024, 10 },
		{ (UINT64_C(1) << 39) - 1, 38 },
		{ UINT64_C(1) << 39, 39 },
		{ UINT64_MAX, 39 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dsm_hist h = { 0 };

		stats_record(&h, cases[i].ns);
		assert_int_equal(h.bucket[cases[i].bucket], 1);
	}
}

static void stats_percentile__of_nothing_is_zero(void **state)
{
	struct dsm_hist h = { 0 };

	(void)state;
	assert_int_equal(stats_percentile(&h, 0.5), 0);
}

static void stats_percentile__of_one_value_is_in_its_bucket(void **state)
{
	struct dsm_hist h = { 0 };

	(void)state;
	stats_record(&h, 1500);
	assert_in_range(stats_percentile(&h, 0.5), 1024, 1500);
	assert_int_equal(stats_percentile(&h, 1), 1500);
}

/* 1024 to 2047, each once: uniform in one bucket, so interpolation is exact. */
static void stats_percentile__interpolates_in_a_bucket(void **state)
{
	struct dsm_hist h = { 0 };

	(void)state;
	for (uint64_t ns = 1024; ns < 2048; ns++)
		stats_record(&h, ns);
	assert_in_range(stats_percentile(&h, 0.25), 1024 + 250, 1024 + 260);
	assert_in_range(stats_percentile(&h, 0.5), 1024 + 505, 1024 + 515);
	assert_in_range(stats_percentile(&h, 0.99), 1024 + 1005, 1024 + 1020);
	assert_in_range(stats_percentile(&h, 0), 1024, 1030);
}

static void stats_percentile__finds_the_tail(void **state)
{
	struct dsm_hist h = { 0 };

	(void)state;
	for (int i = 0; i < 990; i++)
		stats_record(&h, 1000);
	for (int i = 0; i < 10; i++)
		stats_record(&h, 1000000);
	assert_in_range(stats_percentile(&h, 0.5), 512, 1024);
	assert_in_range(stats_percentile(&h, 0.98), 512, 1024);
	assert_in_range(stats_percentile(&h, 0.995), 524288, 1000000);
}

static void stats_percentile__never_above_the_maximum(void **state)
{
	struct dsm_hist h = { 0 };

	(void)state;
	stats_record(&h, UINT64_C(1) << 45);
	stats_record(&h, 3);
	assert_int_equal(stats_percentile(&h, 1), UINT64_C(1) << 45);
	assert_int_equal(stats_percentile(&h, 2), UINT64_C(1) << 45);
	assert_true(stats_percentile(&h, 0.75) <= UINT64_C(1) << 45);
}

static void stats_sum__adds_all_and_keeps_the_larger_maximum(void **state)
{
	struct stats sum = { 0 }, s = { 0 };
	uint64_t *word = (uint64_t *)&s;

	(void)state;
	/* Every word of it, so that a counter that the sum forgot shows. */
	for (size_t i = 0; i < sizeof(s) / sizeof(*word); i++)
		word[i] = i + 1;
	stats_sum(&sum, &s);
	assert_memory_equal(&sum, &s, sizeof(s));
	s.pub.lock_ns.max_ns = 5;
	sum.pub.lock_ns.max_ns = 9;
	stats_sum(&sum, &s);
	assert_int_equal(sum.pub.read_misses, 2 * s.pub.read_misses);
	assert_int_equal(sum.pub.home_pages, 2 * s.pub.home_pages);
	assert_int_equal(sum.pub.barrier_ns.bucket[39], 2 * s.pub.barrier_ns.bucket[39]);
	assert_int_equal(sum.pub.read_miss_ns.max_ns, s.pub.read_miss_ns.max_ns);
	assert_int_equal(sum.pub.lock_ns.max_ns, 9);
	assert_int_equal(sum.sent[MSG_LEAVE], 2 * s.sent[MSG_LEAVE]);
}

static const char *printed(const struct stats *s, unsigned ranks)
{
	capture_begin();
	stats_print(s, ranks);
	return capture_end();
}

static void stats_print__names_values_and_units(void **state)
{
	struct stats s = { 0 };
	const char *text;

	(void)state;
	s.pub.read_misses = 400;
	s.pub.read_misses_one_sided = 390;
	s.pub.fetched_bytes = 3 << 19;
	s.pub.cached_pages = 12;
	text = printed(&s, 4);
	assert_non_null(strstr(text, "libdsm statistics, sum over 4 ranks\n"));
	assert_non_null(strstr(text, "  read misses                        400\n"));
	assert_non_null(strstr(text, "    one-sided                        390  97.5 %\n"));
	assert_non_null(strstr(text, "1572864  bytes (1.50 MiB)\n"));
	assert_non_null(strstr(text, "12  frames of 4 KiB\n"));
}

static void stats_print__columns_are_aligned(void **state)
{
	struct stats s = { 0 };
	const char *end, *line;

	(void)state;
	s.pub.read_misses = 123456789;
	s.pub.lock_acquires = 1;
	s.sent[MSG_GETS] = 5;
	line = strstr(printed(&s, 2), "read misses");
	for (int i = 0; i < 3; i++, line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
	}
	assert_non_null(strstr(line, "upgrades"));
	assert_int_equal(strchr(line, '\n') - line, strlen("  ") + 22 + 1 + 15);
}

static void stats_print__only_kinds_that_were_sent(void **state)
{
	struct stats s = { 0 };
	const char *text;

	(void)state;
	s.sent[MSG_GETM] = 7;
	text = printed(&s, 1);
	assert_non_null(strstr(text, "sum over 1 rank\n"));
	assert_non_null(strstr(text, "GetM"));
	assert_null(strstr(text, "GetS"));
	assert_null(strstr(text, "None"));
}

static void stats_print__latencies_in_fitting_units(void **state)
{
	struct stats s = { 0 };
	const char *line;

	(void)state;
	stats_record(&s.pub.read_miss_ns, 12345);
	stats_record(&s.pub.barrier_ns, 2500000);
	stats_record(&s.pub.lock_ns, 800);
	line = printed(&s, 1);
	assert_non_null(strstr(line, "12.3 us"));
	assert_non_null(strstr(line, "2.50 ms"));
	assert_non_null(strstr(line, "800 ns"));
	assert_null(strstr(line, "acquire     "));
}

/* The largest possible table: nothing is lost between two writes. */
static void stats_print__takes_the_largest_values(void **state)
{
	struct stats s;
	const char *text;

	(void)state;
	memset(&s, 0xff, sizeof(s));
	text = printed(&s, ~0u);
	assert_non_null(strstr(text, "read misses"));
	for (unsigned i = 0; i < MSG_KINDS; i++)
		assert_non_null(strstr(text, msg_name(i)));
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void clock_ns__goes_forward(void **state)
{
	uint64_t before = clock_ns();

	(void)state;
	assert_true(before > 0);
	assert_true(clock_ns() >= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_record__counts_sum_and_maximum),
		cmocka_unit_test(stats_record__chooses_the_bucket_by_powers_of_two),
		cmocka_unit_test(stats_percentile__of_nothing_is_zero),
		cmocka_unit_test(stats_percentile__of_one_value_is_in_its_bucket),
		cmocka_unit_test(stats_percentile__interpolates_in_a_bucket),
		cmocka_unit_test(stats_percentile__finds_the_tail),
		cmocka_unit_test(stats_percentile__never_above_the_maximum),
		cmocka_unit_test(stats_sum__adds_all_and_keeps_the_larger_maximum),
		cmocka_unit_test(stats_print__names_values_and_units),
		cmocka_unit_test(stats_print__columns_are_aligned),
		cmocka_unit_test(stats_print__only_kinds_that_were_sent),
		cmocka_unit_test(stats_print__latencies_in_fitting_units),
		cmocka_unit_test(stats_print__takes_the_largest_values),
		cmocka_unit_test(clock_ns__goes_forward),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
