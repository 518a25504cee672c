/* SPDX-License-Identifier: MIT */
/*
 * Finds the texts that 06_wordcount counts, and reads them into shared memory one after the other,
 * each followed by a newline. Directories are taken with all that is below them, without symbolic
 * links. Rank 0 alone does this, so the files need not be visible to the others.
 */
#ifndef EXAMPLE_TEXTS_H
#define EXAMPLE_TEXTS_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <string.h>

#include "example.h"

struct text {
	char *path;
	uint64_t len;
};

/* nftw() passes nothing to its callback. */
static struct texts {
	struct text *text;
	size_t ntexts;
	uint64_t len; /* of all with their newlines */
} texts;

/* Add a file to the texts; returns 0, or an errno that ends the walk. */
static inline int texts_add(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	struct text *text;

	(void)ftw;
	if (kind == FTW_DNR || kind == FTW_NS)
		return EACCES;
	if (kind != FTW_F || !S_ISREG(stat->st_mode) || !stat->st_size)
		return 0;
	text = realloc(texts.text, (texts.ntexts + 1) * sizeof(*text));
	if (!text)
		return ENOMEM;
	texts.text = text;
	text[texts.ntexts].path = strdup(path);
	if (!text[texts.ntexts].path)
		return ENOMEM;
	text[texts.ntexts].len = (uint64_t)stat->st_size;
	texts.len += text[texts.ntexts++].len + 1;
	return 0;
}

/* Find all texts at the paths; says on stderr what is wrong if it returns false. Without a path:
 * the licences that every Debian machine has. */
static inline bool texts_find(char **path, int npaths)
{
	char *licences[] = { "/usr/share/common-licenses" };

	if (!npaths) {
		path = licences;
		npaths = 1;
	}
	for (int i = 0; i < npaths; i++) {
		char *real = realpath(path[i], NULL);
		int err = real ? nftw(real, texts_add, 16, FTW_PHYS) : -1;

		free(real);
		if (err) {
			fprintf(stderr, "%s: %s\n", path[i], strerror(err > 0 ? err : errno));
			return false;
		}
	}
	if (!texts.len)
		fprintf(stderr, "%s: there is no text to count\n", path[0]);
	return texts.len > 0;
}

/*
 * Read len bytes of a file to a place in shared memory. The place is acquired first: then read(2)
 * may write there also where userfaultfd does not serve the kernel's own accesses. By the MiB, so
 * that the texts may be larger than the cache.
 */
static inline int texts_read_one(struct dsm *dsm, const char *path, char *to, uint64_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = fd < 0 ? errno : 0;

	while (!err && len) {
		size_t part = len < 1 << 20 ? len : 1 << 20;
		ssize_t got;

		TRY(dsm_acquire(dsm, to, part, DSM_WRITE));
		got = read(fd, to, part);
		err = got < 0 ? errno : 0;
		TRY(dsm_release(dsm, to, part));
		if (got <= 0)
			break; /* shorter than it was: the rest stays zero, which is no letter */
		to += got;
		len -= (uint64_t)got;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* Read all texts to shared memory of texts.len bytes; says on stderr what failed. */
static inline bool texts_read(struct dsm *dsm, char *to)
{
	uint64_t done = 0;

	for (size_t i = 0; i < texts.ntexts; i++) {
		const struct text *text = &texts.text[i];
		int err = texts_read_one(dsm, text->path, to + done, text->len);

		if (err) {
			fprintf(stderr, "%s: %s\n", text->path, strerror(err));
			return false;
		}
		done += text->len;
		to[done++] = '\n';
		progress("reading", done, texts.len);
	}
	return true;
}

#endif /* EXAMPLE_TEXTS_H */
