/* SPDX-License-Identifier: MIT */
/*
 * Cache maintenance: which back end is chosen for which device and why, what is refused and with
 * which words, and that the instructions keep what memory holds.
 *
 * Devices are directories made for the test. What the module does is tested where it can be loaded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "capture.h"
#include "error.h"
#include "maintenance_internal.h"

#define NO_MODULE "/nonexistent/dsm_cache"

#if defined(__x86_64__)
#define ALWAYS_COHERENT true
#else
#define ALWAYS_COHERENT false
#endif

static char sysfs[64];

static void shell(const char *fmt, ...)
{
	char command[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	assert_int_equal(system(command), 0);
}

/*
 * mlx0: on PCI under a bridge that the device tree calls coherent. mlx1: under one that it does
 * not. mlx2: under one that it does not describe. rxe0: no device of its own.
 */
static int make_sysfs(void **state)
{
	(void)state;
	strcpy(sysfs, "/tmp/test_maintenance.XXXXXX");
	assert_non_null(mkdtemp(sysfs));
	shell("cd %s && mkdir -p class/infiniband/rxe0 bus/pci firmware/a firmware/b && "
	      "touch firmware/a/dma-coherent && "
	      "for i in 0 1 2; do "
	      "mkdir -p devices/bridge$i/0000:0$i:00.0 class/infiniband/mlx$i && "
	      "ln -s ../../../bus/pci devices/bridge$i/0000:0$i:00.0/subsystem && "
	      "ln -s ../../../devices/bridge$i/0000:0$i:00.0 class/infiniband/mlx$i/device; "
	      "done; "
	      "ln -s ../../firmware/a devices/bridge0/of_node && "
	      "ln -s ../../firmware/b devices/bridge1/of_node",
	      sysfs);
	return 0;
}

static int remove_sysfs(void **state)
{
	(void)state;
	shell("rm -r %s", sysfs);
	return 0;
}

static void choose(struct maintenance *m, enum maintenance_kind kind, const char *device)
{
	if (maintenance_choose(m, kind, device, NO_MODULE, sysfs))
		fail_msg("%s", error_text());
}

static void assert_shown(const char *device, enum coherence expected, const char *why)
{
	char said[160];

	assert_int_equal(maintenance_coherence_shown(device, -1, sysfs, said, sizeof(said)),
			 expected);
	if (!strstr(said, why))
		fail_msg("\"%s\" does not say \"%s\"", said, why);
}

static void coherence__device_tree_says_so(void **state)
{
	(void)state;
	assert_shown("mlx0", COHERENCE_YES, "the DMA of mlx0 is coherent, says the device tree");
}

static void coherence__device_tree_says_no(void **state)
{
	(void)state;
	assert_shown("mlx1", COHERENCE_NO, "the DMA of mlx1 is not coherent");
}

static void coherence__not_described(void **state)
{
	(void)state;
	assert_shown("mlx2", COHERENCE_UNKNOWN, "not known whether the DMA of mlx2");
}

static void coherence__software(void **state)
{
	(void)state;
	assert_shown("rxe0", COHERENCE_YES, "rxe0 is made of software");
}

/* Something that is open but does not know the question is as good as nothing. */
static void coherence__wrong_module(void **state)
{
	char said[160];
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(maintenance_coherence_shown("mlx1", fd, sysfs, said, sizeof(said)),
			 COHERENCE_NO);
	close(fd);
}

static void choose__auto_without_device(void **state)
{
	struct maintenance m;

	(void)state;
	choose(&m, MAINTENANCE_AUTO, NULL);
	assert_string_equal(maintenance_name(&m), "none");
	assert_string_equal(m.why, "no device reads or writes memory");
	maintenance_fini(&m);
}

static void choose__auto_not_coherent(void **state)
{
	struct maintenance m;

	(void)state;
	error_clear();
	choose(&m, MAINTENANCE_AUTO, "mlx1");
	assert_string_equal(maintenance_name(&m), ALWAYS_COHERENT ? "none" : "user");
	assert_non_null(strstr(m.why, ALWAYS_COHERENT ? "x86" : "mlx1"));
	/* That the module is not there is no error of the caller's. */
	assert_string_equal(error_text(), "");
	maintenance_fini(&m);
}

static void choose__none(void **state)
{
	struct maintenance m;

	(void)state;
	choose(&m, MAINTENANCE_NONE, "mlx1");
	assert_string_equal(maintenance_name(&m), "none");
	maintenance_fini(&m);
}

static void assert_refused(const char *path, int expected, const char *words)
{
	struct maintenance m;

	assert_int_equal(maintenance_choose(&m, MAINTENANCE_KERNEL, "mlx1", path, sysfs), expected);
	if (!strstr(error_text(), words))
		fail_msg("\"%s\" does not say \"%s\"", error_text(), words);
	assert_int_equal(m.fd, -1);
}

static void choose__kernel_not_loaded(void **state)
{
	(void)state;
	assert_refused(NO_MODULE, -ENODEV, "modprobe dsm_cache");
}

static void choose__kernel_another_device(void **state)
{
	(void)state;
	assert_refused("/dev/null", -EPROTO, "is not the module's device");
}

static void choose__kernel_not_permitted(void **state)
{
	char path[128];

	(void)state;
	if (!geteuid()) {
		print_message("[  SKIPPED ] root may open everything\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/closed", sysfs);
	close(open(path, O_CREAT | O_CLOEXEC, 0));
	assert_refused(path, -EACCES, "join the group");
}

static void fill(uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + (i >> 8));
}

/* Every start and length around lines and pages: what was written stays, and so do neighbours. */
static void user__keeps_contents(void **state)
{
	enum { LEN = 3 * 4096 };
	uint8_t *buf = aligned_alloc(4096, LEN), *copy = malloc(LEN);
	struct maintenance m;

	(void)state;
	if (!maintenance_user()) {
		print_message("[  SKIPPED ] no such instructions on this processor\n");
		skip();
	}
	assert_non_null(buf);
	assert_non_null(copy);
	choose(&m, MAINTENANCE_USER, "mlx1");
	assert_string_equal(maintenance_name(&m), "user");
	for (size_t at = 4096 - 130; at < 4096 + 130; at += 13) {
		for (size_t len = 0; len < 4096 + 200; len += 97) {
			fill(buf, LEN);
			memcpy(copy, buf, LEN);
			maintenance_device_writes(&m, MAINTENANCE_LANDING, buf + at, len);
			maintenance_device_wrote(&m, MAINTENANCE_LANDING, buf + at, len);
			maintenance_device_reads(&m, MAINTENANCE_HOME, buf + at, len);
			assert_memory_equal(buf, copy, LEN);
		}
	}
	maintenance_fini(&m);
	free(copy);
	free(buf);
}

/* A module that went away, or refuses: the range is done all the same, and that is said once. */
static void kernel__refused_range(void **state)
{
	struct maintenance m;
	uint8_t buf[256];
	const char *said;

	(void)state;
	if (!maintenance_user()) {
		print_message("[  SKIPPED ] no such instructions on this processor\n");
		skip();
	}
	choose(&m, MAINTENANCE_NONE, "mlx1");
	m.ops = &maintenance_kernel;
	m.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(m.fd >= 0);
	fill(buf, sizeof(buf));
	capture_begin();
	maintenance_device_writes(&m, MAINTENANCE_READERS, buf, sizeof(buf));
	maintenance_device_wrote(&m, MAINTENANCE_READERS, buf, sizeof(buf));
	maintenance_device_reads(&m, MAINTENANCE_GRANTS, buf, sizeof(buf));
	said = strstr(capture_end(), "refuses a range of 256 bytes");
	assert_non_null(said);
	assert_null(strstr(said + 1, "refuses"));
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], (uint8_t)(i * 7 + (i >> 8)));
	maintenance_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coherence__device_tree_says_so),
		cmocka_unit_test(coherence__device_tree_says_no),
		cmocka_unit_test(coherence__not_described),
		cmocka_unit_test(coherence__software),
		cmocka_unit_test(coherence__wrong_module),
		cmocka_unit_test(choose__auto_without_device),
		cmocka_unit_test(choose__auto_not_coherent),
		cmocka_unit_test(choose__none),
		cmocka_unit_test(choose__kernel_not_loaded),
		cmocka_unit_test(choose__kernel_another_device),
		cmocka_unit_test(choose__kernel_not_permitted),
		cmocka_unit_test(user__keeps_contents),
		cmocka_unit_test(kernel__refused_range),
	};

	return cmocka_run_group_tests(tests, make_sysfs, remove_sysfs);
}
