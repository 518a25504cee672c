/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process may use.
 *
 * Limits of cgroups nest: the one that counts is the least on the way from the process's own cgroup
 * to the root. Inside a container the way often ends in the container's root, where the limit then
 * is; files that are not there are no limit.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

uint64_t machine_memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

uint64_t machine_available_bytes(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	}
	fclose(f);
	return kib * 1024;
}

/* A limit file holds a number, or "max". */
static uint64_t limit_read(const char *path)
{
	uint64_t limit = MACHINE_NO_LIMIT;
	FILE *f = fopen(path, "re");

	if (!f)
		return MACHINE_NO_LIMIT;
	if (fscanf(f, "%" SCNu64, &limit) != 1)
		limit = MACHINE_NO_LIMIT;
	fclose(f);
	return limit;
}

/* The least limit in root/cgroup/file and in every directory above it up to root. Cuts cgroup. */
static uint64_t limit_on_way(const char *root, char *cgroup, const char *file)
{
	uint64_t least = MACHINE_NO_LIMIT;
	char path[2 * PATH_MAX];
	uint64_t limit;
	char *slash;

	for (;;) {
		snprintf(path, sizeof(path), "%s%s/%s", root, cgroup, file);
		limit = limit_read(path);
		if (limit < least)
			least = limit;
		slash = strrchr(cgroup, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* @line: "0::/path" (v2) or "4:memory:/path" (v1). */
static uint64_t limit_of_line(char *line, const char *root)
{
	char *controllers = strchr(line, ':');
	char *cgroup = controllers ? strchr(controllers + 1, ':') : NULL;
	char root_v1[PATH_MAX];

	if (!cgroup)
		return MACHINE_NO_LIMIT;
	*cgroup++ = '\0';
	cgroup[strcspn(cgroup, "\n")] = '\0';
	if (!strcmp(line, "0:"))
		return limit_on_way(root, cgroup, "memory.max");
	if (!strcmp(controllers, ":memory")) {
		snprintf(root_v1, sizeof(root_v1), "%s/memory", root);
		return limit_on_way(root_v1, cgroup, "memory.limit_in_bytes");
	}
	return MACHINE_NO_LIMIT;
}

uint64_t machine_cgroup_bytes_at(const char *self, const char *root)
{
	uint64_t least = MACHINE_NO_LIMIT;
	char line[PATH_MAX + 64];
	uint64_t limit;
	FILE *f;

	f = fopen(self, "re");
	if (!f)
		return MACHINE_NO_LIMIT;
	while (fgets(line, sizeof(line), f)) {
		limit = limit_of_line(line, root);
		if (limit < least)
			least = limit;
	}
	fclose(f);
	return least;
}

uint64_t machine_cgroup_bytes(void)
{
	return machine_cgroup_bytes_at("/proc/self/cgroup", "/sys/fs/cgroup");
}
