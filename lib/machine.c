/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process may use, and how much it may still take.
 *
 * Asking the kernel for pages is no way to find out: when they run out, it does not refuse, it
 * picks a process and kills it. So what is left is read beforehand, from /proc/meminfo and from the
 * memory cgroups around this process. Page cache that the kernel can give up counts as left.
 *
 * Limits of cgroups nest: the one that counts is the least on the way from the process's own cgroup
 * to the root. In a container the path may be that of the host, of which only an upper part, or
 * nothing but the mount itself, is visible: what is not there is no limit.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SELF "/proc/self/cgroup"
#define ROOT "/sys/fs/cgroup"
/* The most of a file that is looked at. */
#define FILE_MAX_BYTES 8192

/* Names of the files that one version of cgroups has for the same things. */
struct cgroup_version {
	const char *tag; /* what stands before the path in /proc/self/cgroup, behind the number */
	const char *mount; /* below the root */
	const char *max;
	const char *current;
	const char *reclaimable; /* line of memory.stat */
};

static const struct cgroup_version versions[] = {
	{ "::", "", "memory.max", "memory.current", "inactive_file" },
	{ ":memory:", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	  "total_inactive_file" },
};

/*
 * Files
 */

/* The start of a file as a string in buf; NULL if it cannot be read. */
static char *file_read(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

/* The number behind a name at the start of a line of text; 0 if there is none. */
static uint64_t line_value(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *line = text;

	while (line) {
		if (!strncmp(line, name, len) && (line[len] == ' ' || line[len] == ':'))
			return strtoull(line + len + 1, NULL, 10);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return 0;
}

/*
 * Cgroups
 */

/* A number file of the cgroup at dir; no limit for "max" and for a file that is not there. */
static uint64_t cgroup_number(const char *dir, const char *name)
{
	char path[PATH_MAX + 64];
	char text[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!file_read(path, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return MACHINE_NO_LIMIT;
	return strtoull(text, NULL, 10);
}

/* What one cgroup allows, without those above it. */
static uint64_t cgroup_max(const struct cgroup_version *v, const char *dir)
{
	return cgroup_number(dir, v->max);
}

/* What one cgroup leaves, without those above it. */
static uint64_t cgroup_left(const struct cgroup_version *v, const char *dir)
{
	char path[PATH_MAX + 64];
	char text[FILE_MAX_BYTES];
	uint64_t max = cgroup_max(v, dir);
	uint64_t used = cgroup_number(dir, v->current);

	if (max == MACHINE_NO_LIMIT || used == MACHINE_NO_LIMIT)
		return MACHINE_NO_LIMIT;
	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (file_read(path, text, sizeof(text))) {
		uint64_t reclaimable = line_value(text, v->reclaimable);

		used -= reclaimable < used ? reclaimable : used;
	}
	return used < max ? max - used : 0;
}

typedef uint64_t cgroup_fn(const struct cgroup_version *v, const char *dir);

/* The least of a number of the cgroup at path and of all those above it. */
static uint64_t least_on_way(const struct cgroup_version *v, const char *root, const char *path,
			     cgroup_fn *number)
{
	uint64_t least = MACHINE_NO_LIMIT;
	char dir[PATH_MAX];
	size_t top_len;
	char *slash;

	snprintf(dir, sizeof(dir), "%s%s", root, v->mount);
	top_len = strlen(dir);
	snprintf(dir + top_len, sizeof(dir) - top_len, "%s", path);
	for (;;) {
		uint64_t here = number(v, dir);

		if (here < least)
			least = here;
		slash = strrchr(dir, '/');
		if (!slash || slash < dir + top_len)
			return least;
		*slash = '\0';
	}
}

/* @line: "0::/path" (v2) or "4:memory:/path" (v1). */
static uint64_t least_of_line(const char *line, const char *root, cgroup_fn *number)
{
	const char *colon = strchr(line, ':');

	for (size_t i = 0; colon && i < sizeof(versions) / sizeof(versions[0]); i++) {
		size_t len = strlen(versions[i].tag);

		if (!strncmp(colon, versions[i].tag, len))
			return least_on_way(&versions[i], root, colon + len, number);
	}
	return MACHINE_NO_LIMIT;
}

static uint64_t least_of_all(const char *self, const char *root, cgroup_fn *number)
{
	uint64_t least = MACHINE_NO_LIMIT;
	char text[FILE_MAX_BYTES];
	char *line, *next;

	if (!file_read(self, text, sizeof(text)))
		return least;
	for (line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		uint64_t here = least_of_line(line, root, number);

		if (here < least)
			least = here;
	}
	return least;
}

uint64_t machine_cgroup_bytes_at(const char *self, const char *root)
{
	return least_of_all(self, root, cgroup_max);
}

uint64_t machine_cgroup_left_bytes_at(const char *self, const char *root)
{
	return least_of_all(self, root, cgroup_left);
}

uint64_t machine_cgroup_bytes(void)
{
	return machine_cgroup_bytes_at(SELF, ROOT);
}

/*
 * The machine
 */

uint64_t machine_memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

uint64_t machine_available_bytes(void)
{
	char text[FILE_MAX_BYTES];

	if (!file_read("/proc/meminfo", text, sizeof(text)))
		return 0;
	return line_value(text, "MemAvailable") << 10;
}

static uint64_t machine_left(void)
{
	char text[FILE_MAX_BYTES];

	if (!file_read("/proc/meminfo", text, sizeof(text)))
		return MACHINE_NO_LIMIT;
	return (line_value(text, "MemAvailable") + line_value(text, "SwapFree")) << 10;
}

uint64_t machine_left_bytes(const char **limit)
{
	uint64_t machine = machine_left();
	uint64_t cgroups = machine_cgroup_left_bytes_at(SELF, ROOT);

	*limit = cgroups < machine ? "its memory cgroup" : "the machine";
	return cgroups < machine ? cgroups : machine;
}
