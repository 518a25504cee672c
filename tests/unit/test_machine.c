/* SPDX-License-Identifier: MIT */
/*
 * Machine: limits of nested cgroups, read from a tree that the test makes.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "machine.h"

#define GIB (UINT64_C(1) << 30)

/* A tree as /sys/fs/cgroup has it; nothing is left behind. */
static char dir[64];

static void put(const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/dsm_test_XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[80];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static const char *self_with(const char *text)
{
	static char path[80];

	put("self", text);
	snprintf(path, sizeof(path), "%s/self", dir);
	return path;
}

static uint64_t limit_with(const char *self)
{
	return machine_cgroup_bytes_at(self_with(self), dir);
}

static uint64_t left_with(const char *self)
{
	return machine_cgroup_left_bytes_at(self_with(self), dir);
}

static void machine_cgroup_bytes__least_on_the_way(void **state)
{
	(void)state;
	make("job");
	make("job/step");
	make("memory");
	make("memory/old");
	assert_true(limit_with("0::/job/step\n") == MACHINE_NO_LIMIT);
	put("job/memory.max", "1073741824\n");
	put("job/step/memory.max", "max\n");
	assert_int_equal(limit_with("0::/job/step\n"), GIB);
	put("job/step/memory.max", "4096\n");
	assert_int_equal(limit_with("0::/job/step\n"), 4096);
	assert_int_equal(limit_with("0::/job\n"), GIB);
	assert_true(limit_with("0::/\n") == MACHINE_NO_LIMIT);
	put("memory.max", "8192\n");
	assert_int_equal(limit_with("0::/\n"), 8192);
	assert_int_equal(limit_with("0::/not/here\n"), 8192);
	put("memory/old/memory.limit_in_bytes", "12288\n");
	assert_int_equal(limit_with("9:cpu:/old\n4:memory:/old\n"), 12288);
	assert_true(limit_with("nonsense\n") == MACHINE_NO_LIMIT);
	assert_true(machine_cgroup_bytes_at("/nowhere", dir) == MACHINE_NO_LIMIT);
}

/* What is used counts, but for page cache that can be given up. */
static void machine_cgroup_left__least_on_the_way(void **state)
{
	(void)state;
	make("job");
	make("job/step");
	make("memory");
	make("memory/old");
	put("job/memory.max", "100000\n");
	assert_true(left_with("0::/job\n") == MACHINE_NO_LIMIT); /* how much is used is unknown */
	put("job/memory.current", "30000\n");
	assert_int_equal(left_with("0::/job/step\n"), 70000);
	put("job/memory.stat", "anon 1\nfile 25000\ninactive_file 20000\n");
	assert_int_equal(left_with("0::/job/step\n"), 90000);
	put("job/step/memory.max", "50000\n");
	put("job/step/memory.current", "60000\n");
	assert_int_equal(left_with("0::/job/step\n"), 0);
	put("job/step/memory.stat", "inactive_file 70000\n");
	assert_int_equal(left_with("0::/job/step\n"), 50000);
	put("memory/old/memory.limit_in_bytes", "12288\n");
	put("memory/old/memory.usage_in_bytes", "4096\n");
	put("memory/old/memory.stat", "inactive_file 4096\ntotal_inactive_file 96\n");
	assert_int_equal(left_with("4:memory:/old\n"), 12288 - 4000);
	assert_int_equal(left_with("0::/job\n4:memory:/old\n"), 12288 - 4000);
}

static void machine_left_bytes__is_below_the_machine(void **state)
{
	const char *limit = NULL;
	uint64_t left = machine_left_bytes(&limit);
	FILE *swaps = fopen("/proc/swaps", "r");
	unsigned nlines = 0;
	int c;

	(void)state;
	while (swaps && (c = getc(swaps)) != EOF)
		nlines += c == '\n';
	if (swaps)
		fclose(swaps);
	assert_non_null(limit);
	if (left == MACHINE_NO_LIMIT)
		skip();
	assert_true(left > 0);
	assert_true(left <= machine_memory_bytes() || nlines > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(machine_cgroup_bytes__least_on_the_way, setup,
						teardown),
		cmocka_unit_test_setup_teardown(machine_cgroup_left__least_on_the_way, setup,
						teardown),
		cmocka_unit_test(machine_left_bytes__is_below_the_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
