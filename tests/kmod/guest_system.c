/* SPDX-License-Identifier: MIT */
/*
 * The module and the system: who may open the device, when it may be unloaded, what is traced.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"
#define GROUP   4711

static int unload(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

static void not_unloaded_under_use(void)
{
	int fd = device_open();
	uint8_t *p;

	CHECK_EQ(unload(), -EAGAIN);
	p = pages_device(fd, 4);
	memset(p, 1, 4 * page_bytes());
	close(fd);
	/* A mapping is use as well. */
	CHECK_EQ(unload(), -EAGAIN);
	CHECK_EQ(p[0], 1);
}

static void as_nobody(void *expected)
{
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setgid(65534), 0);
	CHECK_EQ(setuid(65534), 0);
	CHECK(open(DSM_CACHE_PATH, O_RDWR | O_CLOEXEC) < 0);
	CHECK_EQ(errno, *(int *)expected);
	CHECK(open(DSM_CACHE_PATH, O_RDONLY | O_CLOEXEC) < 0);
}

static void as_group(void *unused)
{
	const gid_t group = GROUP;

	(void)unused;
	CHECK_EQ(setgroups(1, &group), 0);
	CHECK_EQ(setgid(65534), 0);
	CHECK_EQ(setuid(65534), 0);
	CHECK(open(DSM_CACHE_PATH, O_RDWR | O_CLOEXEC) >= 0);
}

static void permission(void)
{
	int expected = EACCES;
	struct stat st;

	CHECK_EQ(stat(DSM_CACHE_PATH, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0660);
	CHECK_EQ(st.st_uid + st.st_gid, 0);
	CHECK_EQ(in_child(as_nobody, &expected), 0);
	/* What the udev rule does. */
	CHECK_EQ(chown(DSM_CACHE_PATH, 0, GROUP), 0);
	CHECK_EQ(in_child(as_group, NULL), 0);
	CHECK_EQ(in_child(as_nobody, &expected), 0);
	CHECK_EQ(chown(DSM_CACHE_PATH, 0, 0), 0);
}

static void trace_begin(const char *tracer, const char *filter, const char *events)
{
	mount("tracefs", TRACING, "tracefs", 0, NULL);
	CHECK_EQ(file_write(TRACING "trace", ""), 0);
	CHECK_EQ(file_write(TRACING "set_ftrace_filter", filter), 0);
	CHECK_EQ(file_write(TRACING "current_tracer", tracer), 0);
	CHECK_EQ(file_write(TRACING "events/dsm_cache/enable", events), 0);
	CHECK_EQ(file_write(TRACING "tracing_on", "1"), 0);
}

static const char *trace_end(void)
{
	static char text[1 << 20];

	file_read(TRACING "trace", text, sizeof(text));
	file_write(TRACING "events/dsm_cache/enable", "0");
	file_write(TRACING "current_tracer", "nop");
	file_write(TRACING "set_ftrace_filter", "");
	return text;
}

static void says(const char *trace, const char *what)
{
	if (!strstr(trace, what))
		check_failed(__FILE__, __LINE__, "the trace does not say \"%s\":\n%.2000s", what,
			     trace);
}

/* Every operation, block and mapping has its trace point. */
static void trace_points(void)
{
	static const char *const ops[] = { "clean", "clean_invalidate", "invalidate", "for_device",
					   "for_cpu" };
	char line[160];
	size_t page = page_bytes();
	struct dsm_cache_range r;
	const char *trace;
	uint8_t *p;
	int fd;

	trace_begin("nop", "", "1");
	fd = device_open();
	CHECK_EQ(parameter_set("max_contiguous_alloc_order", "2"), 0);
	p = pages_device(fd, 4);
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++)
		CHECK_EQ(maintain(fd, op, p, 4 * page, &r), 0);
	CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, NULL, 1, &r), -EFAULT);
	munmap(p, 4 * page);
	close(fd);
	trace = trace_end();
	says(trace, "dsm_cache_alloc: pfn=0x");
	says(trace, "order=2");
	for (size_t i = 0; i < 5; i++) {
		snprintf(line, sizeof(line),
			 "dsm_cache_range: op=%s addr=0x%lx len=%zu pages=4 runs=1", ops[i],
			 (unsigned long)p, 4 * page);
		says(trace, line);
		snprintf(line, sizeof(line), "dsm_cache_run: op=%s pfn=0x", ops[i]);
		says(trace, line);
	}
	says(trace, "err=-14");
	says(trace, "dsm_cache_free: pfn=0x");
}

/* Functions that ftrace can be told to follow. */
static void functions(void)
{
	size_t page = page_bytes();
	struct dsm_cache_range r;
	const char *trace;
	uint8_t *p;
	int fd;

	trace_begin("function", "dsm_cache_*", "0");
	fd = device_open();
	p = pages_device(fd, 4);
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++)
		CHECK_EQ(maintain(fd, op, p, 4 * page, &r), 0);
	munmap(p, 4 * page);
	close(fd);
	trace = trace_end();
	says(trace, "dsm_cache_open <-");
	says(trace, "dsm_cache_alloc <-");
	says(trace, "dsm_cache_pin <-");
	says(trace, "dsm_cache_clean <-");
	says(trace, "dsm_cache_clean_invalidate <-");
	says(trace, "dsm_cache_invalidate <-");
	says(trace, "dsm_cache_dma <-");
	says(trace, "dsm_cache_unpin <-");
	says(trace, "dsm_cache_clean_mapping <-");
	says(trace, "dsm_cache_free <-");
}

const struct test tests_system[] = {
	{ "not unloaded under use", not_unloaded_under_use },
	{ "permission", permission },
	{ "trace points", trace_points },
	{ "functions for ftrace", functions },
	{ NULL, NULL },
};
