/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process may still take.
 *
 * Asking the kernel for pages is no way to find out: when they run out, it does not refuse, it
 * picks a process and kills it. So what is left is read beforehand, from /proc/meminfo and from the
 * memory cgroups around this process. Page cache that the kernel can give up counts as left.
 */
#define _GNU_SOURCE
#include "memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest path of a cgroup file, and the most of a file that is looked at. */
#define PATH_MAX_BYTES 1024
#define FILE_MAX_BYTES 8192

/* Names of the files that one version of cgroups has for the same things. */
struct cgroup_version {
	const char *tag; /* what stands before the path in /proc/self/cgroup, behind the number */
	const char *mount;
	const char *max;
	const char *current;
	const char *reclaimable; /* line of memory.stat */
};

static const struct cgroup_version versions[] = {
	{ "::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file" },
	{ ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	  "total_inactive_file" },
};

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

static uint64_t machine_left(void)
{
	char text[FILE_MAX_BYTES];

	if (!file_read("/proc/meminfo", text, sizeof(text)))
		return UINT64_MAX;
	return (line_value(text, "MemAvailable") + line_value(text, "SwapFree")) << 10;
}

/* A number file of the cgroup at dir; UINT64_MAX for "max" and for a file that is not there. */
static uint64_t cgroup_number(const char *dir, const char *name)
{
	char path[PATH_MAX_BYTES + 64];
	char text[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!file_read(path, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return UINT64_MAX;
	return strtoull(text, NULL, 10);
}

/* What one cgroup leaves, without those above it. */
static uint64_t cgroup_left_here(const struct cgroup_version *v, const char *dir)
{
	char path[PATH_MAX_BYTES + 64];
	char text[FILE_MAX_BYTES];
	uint64_t max = cgroup_number(dir, v->max);
	uint64_t used = cgroup_number(dir, v->current);

	if (max == UINT64_MAX || used == UINT64_MAX)
		return UINT64_MAX;
	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (file_read(path, text, sizeof(text))) {
		uint64_t reclaimable = line_value(text, v->reclaimable);

		used -= reclaimable < used ? reclaimable : used;
	}
	return used < max ? max - used : 0;
}

/*
 * What a cgroup and all those above it leave. In a container the path may be that of the host,
 * of which only an upper part, or nothing but the mount itself, is visible: what is not there is
 * passed over on the way up.
 */
static uint64_t cgroup_left(const struct cgroup_version *v, const char *path)
{
	char dir[PATH_MAX_BYTES];
	size_t mount_len = strlen(v->mount);
	uint64_t left = UINT64_MAX;
	char *slash;

	snprintf(dir, sizeof(dir), "%s%s", v->mount, path);
	for (;;) {
		uint64_t here = cgroup_left_here(v, dir);

		if (here < left)
			left = here;
		slash = strrchr(dir, '/');
		if (!slash || slash < dir + mount_len)
			return left;
		*slash = '\0';
	}
}

static uint64_t cgroups_left(void)
{
	char text[FILE_MAX_BYTES];
	uint64_t left = UINT64_MAX;
	char *line, *next, *colon;

	if (!file_read("/proc/self/cgroup", text, sizeof(text)))
		return left;
	for (line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		colon = strchr(line, ':');
		for (size_t i = 0; colon && i < sizeof(versions) / sizeof(versions[0]); i++) {
			const struct cgroup_version *v = &versions[i];
			size_t len = strlen(v->tag);
			uint64_t here;

			if (strncmp(colon, v->tag, len))
				continue;
			here = cgroup_left(v, colon + len);
			if (here < left)
				left = here;
		}
	}
	return left;
}

uint64_t memory_available(const char **limit)
{
	uint64_t machine = machine_left();
	uint64_t cgroups = cgroups_left();

	*limit = cgroups < machine ? "its memory cgroup" : "the machine";
	return cgroups < machine ? cgroups : machine;
}
