/* SPDX-License-Identifier: MIT */
/*
 * Memory that the library itself takes, seen from outside: the blocks of every memfd that a rank
 * has open, and the anonymous memory and page tables of /proc/self/status.
 *
 * A memfd that several ranks have open counts once. The one that grows most while the home gets
 * the region is the home's segment: what it grows by beyond the region is directory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "floor_memory.h"
#include "tests.h"

#define MEMORY_BYTES (256ul << 20)

/* What all ranks use at one moment; rank 0's view. */
struct usage {
	uint64_t anon_bytes[2]; /* of rank 0 and 1 */
	uint64_t table_bytes[2];
	unsigned ninodes;
	struct side_inode inode[SIDE_RANKS_MAX * SIDE_INODES_MAX];
};

static uint64_t status_kib(const char *name)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kib = strtoull(line + strlen(name) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static bool is_memfd(const char *fd_name)
{
	char path[300], target[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%s", fd_name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = 0;
	return !strncmp(target, "/memfd:", 7);
}

static void add_inode(struct side_usage *u, const struct stat *st)
{
	for (unsigned i = 0; i < u->ninodes; i++)
		if (u->inode[i].ino == st->st_ino)
			return;
	if (u->ninodes == SIDE_INODES_MAX)
		return;
	u->inode[u->ninodes].ino = st->st_ino;
	u->inode[u->ninodes++].bytes = (uint64_t)st->st_blocks * 512;
}

static void look_at_self(struct side_usage *u)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	struct stat st;

	u->ninodes = 0;
	while (dir && (entry = readdir(dir)))
		if (is_memfd(entry->d_name) && !fstat(atoi(entry->d_name), &st))
			add_inode(u, &st);
	if (dir)
		closedir(dir);
	u->anon_bytes = status_kib("RssAnon") << 10;
	u->table_bytes = status_kib("VmPTE") << 10;
}

/* NULL if this memfd is not among them. */
static const struct side_inode *find(const struct usage *u, uint64_t ino)
{
	for (unsigned i = 0; i < u->ninodes; i++)
		if (u->inode[i].ino == ino)
			return &u->inode[i];
	return NULL;
}

static void merge(struct usage *u, const struct side_usage *rank)
{
	for (unsigned i = 0; i < rank->ninodes; i++)
		if (!find(u, rank->inode[i].ino))
			u->inode[u->ninodes++] = rank->inode[i];
}

/* Collective. */
static void look(struct bench *b, struct usage *u)
{
	bench_barrier(b);
	look_at_self(&b->side->usage[b->rank]);
	bench_barrier(b);
	memset(u, 0, sizeof(*u));
	for (unsigned r = 0; r < b->size; r++)
		merge(u, &b->side->usage[r]);
	for (unsigned r = 0; r < 2; r++) {
		u->anon_bytes[r] = b->side->usage[r].anon_bytes;
		u->table_bytes[r] = b->side->usage[r].table_bytes;
	}
	bench_barrier(b);
}

/* How much the memfds grew: all of them together, and the one that grew most. */
static void growth(const struct usage *before, const struct usage *after, double *all, double *most)
{
	*all = *most = 0;
	for (unsigned i = 0; i < after->ninodes; i++) {
		const struct side_inode *old = find(before, after->inode[i].ino);
		double bytes = (double)after->inode[i].bytes - (old ? (double)old->bytes : 0);

		*all += bytes;
		if (bytes > *most)
			*most = bytes;
	}
}

static double grown(const uint64_t *before, const uint64_t *after, unsigned rank)
{
	return (double)after[rank] - (double)before[rank];
}

static void set_target(struct value *v, double target)
{
	v->target_kind = TARGET_VALUE;
	v->target = target;
}

/* Rank 1 has written everything, rank 0 has touched nothing. */
static void report_untouched(struct bench *b, const struct usage *before, const struct usage *after,
			     double bytes)
{
	double all, home, pages = bytes / PAGE_BYTES, directory, elsewhere;

	growth(before, after, &all, &home);
	directory = home - bytes + grown(before->anon_bytes, after->anon_bytes, 1);
	elsewhere = (all - home) / (b->size - 1);
	elsewhere += grown(before->anon_bytes, after->anon_bytes, 0);
	set_target(report_value(b->report, "directory at the home, share of the region",
				100 * directory / bytes, "%"),
		   1);
	report_value(b->report, "directory at the home", directory / pages, "bytes a page");
	set_target(report_value(b->report, "at a rank that never touched the region",
				elsewhere / pages, "bytes a page"),
		   8);
	report_value(b->report, "page tables of the home",
		     grown(before->table_bytes, after->table_bytes, 1) / pages, "bytes a page");
}

/* Now rank 0 has read everything. */
static void report_read(struct bench *b, const struct usage *before, const struct usage *after,
			double bytes)
{
	double all, cache, pages = bytes / PAGE_BYTES;

	growth(before, after, &all, &cache);
	report_value(b->report, "more at the home for a reader of all pages, directory",
		     (all - cache + grown(before->anon_bytes, after->anon_bytes, 1)) / pages,
		     "bytes a page");
	report_value(b->report, "at the reader, frames", (cache < bytes ? cache : bytes) / pages,
		     "bytes a page");
	report_value(b->report, "at the reader, besides",
		     ((cache > bytes ? cache - bytes : 0) +
		      grown(before->anon_bytes, after->anon_bytes, 0)) /
			     pages,
		     "bytes a page");
	report_value(b->report, "page tables of the reader",
		     grown(before->table_bytes, after->table_bytes, 0) / pages, "bytes a page");
}

void test_memory(struct bench *b)
{
	static struct usage before, written, read;
	size_t len_bytes = bench_bytes(b, MEMORY_BYTES);
	uint8_t *region;

	look(b, &before);
	region = bench_alloc(b, len_bytes, 1, DSM_RELEASE_WRITE_THROUGH);
	bench_publish(b, region, len_bytes, 1, 1);
	look(b, &written);
	if (!b->rank)
		load_sum(region, len_bytes);
	look(b, &read);
	report_untouched(b, &before, &written, (double)len_bytes);
	report_read(b, &written, &read, (double)len_bytes);
	report_note(b->report, "a region of %zu bytes homed at rank 1", len_bytes);
	bench_free(b, region);
}
