/* SPDX-License-Identifier: MIT */
/*
 * Pager: decides what the application mapping lets through, and tells of accesses that it stopped.
 *
 * The operations take runs of granules, in the application mapping. All may be called from any
 * thread, one at a time for the same granule. They do not block on other ranks.
 */
#ifndef DSM_PAGER_H
#define DSM_PAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "space.h"

struct pager;

/* An access that was stopped. */
struct pager_fault {
	uint64_t granule;
	uint32_t offset; /* of the access in the granule; 0 if the kernel does not tell */
	bool write;
	pid_t tid; /* the thread that waits */
};

#define PAGER_FAULTS_MAX 16

struct pager_ops {
	const char *name;
	/* Watch a region that space_map() has mapped; stop when it goes away. */
	int (*watch)(struct pager *p, uint64_t granule, uint64_t n);
	int (*unwatch)(struct pager *p, uint64_t granule, uint64_t n);
	/*
	 * Make n granules accessible and wake the threads that wait for them. @src: their content,
	 * to be copied in (memory that does not fault); NULL: the frames in the segment have it.
	 * @frames: the segment has frames for these granules already (an earlier copy left them);
	 * with @src, none of them is mapped. Granules that are mapped already stay as they are, but
	 * get the access asked for. -ENOMEM: no frame could be had. -EFAULT: src is NULL and there
	 * is a hole. After an error nothing of the run is mapped, and the call can be made again.
	 */
	int (*map)(struct pager *p, uint64_t granule, uint64_t n, bool writable, const void *src,
		   bool frames);
	/* Of mapped granules: allow writing and wake; forbid writing: no write is under way or
	 * comes after it returns. */
	int (*allow_write)(struct pager *p, uint64_t granule, uint64_t n);
	int (*forbid_write)(struct pager *p, uint64_t granule, uint64_t n);
	/* Take access away; the frame and its content stay in the segment. */
	int (*zap)(struct pager *p, uint64_t granule, uint64_t n);
	/* Take access away and give the frames back to the system. */
	int (*drop)(struct pager *p, uint64_t granule, uint64_t n);
	/* Every later access raises SIGBUS, and so do those that wait. zap() ends it. */
	int (*poison)(struct pager *p, uint64_t granule, uint64_t n);
	/* Let threads that wait try again. */
	int (*wake)(struct pager *p, uint64_t granule, uint64_t n);
	/* Take up to max faults without blocking; returns their number, 0 if none, or -errno. */
	int (*faults)(struct pager *p, struct pager_fault *faults, int max);
	void (*destroy)(struct pager *p);
};

/*
 * Threads that serve their own faults (DSM_FAULT_HANDLER=inline): the kernel tells nobody, and
 * raises SIGBUS in the thread. What wakes a thread that the kernel lets wait also changes the word
 * here of each granule that it is about, while any thread waits.
 */
#define PAGER_WAIT_WORDS 1024u

struct pager_waits {
	uint32_t waiting; /* threads */
	uint32_t asleep; /* of these, on their words, as futexes */
	uint32_t word[PAGER_WAIT_WORDS]; /* by granule */
};

struct pager {
	const struct pager_ops *ops;
	int fd; /* readable when faults() has something to give */
	struct pager_waits *waits; /* NULL: faults() tells of them */
};

static inline uint32_t *pager_wait_word(struct pager *p, uint64_t granule)
{
	return &p->waits->word[granule % PAGER_WAIT_WORDS];
}

/*
 * The pager on userfaultfd. Tries /dev/userfaultfd, then the system call, then user-mode-only with
 * a warning that names the remedy; settings.uffd narrows it.
 * -EPERM, -ENOSYS: none could be had. -EOPNOTSUPP: it lacks a feature that libdsm needs; the
 * message names the feature and the kernel that has it.
 */
int pager_uffd_create(struct pager **pager, struct space *space, const struct settings *s);

/* What userfaultfd offers here, for dsm_info. */
struct pager_probe {
	int device_errno; /* 0: /dev/userfaultfd can be opened */
	int syscall_errno; /* 0: the full system call works */
	int user_errno; /* 0: UFFD_USER_MODE_ONLY works */
	uint64_t features; /* as the kernel reports them */
	uint64_t missing; /* of those that libdsm needs */
	bool map_protected; /* UFFDIO_CONTINUE maps write-protected, tried */
};
void pager_uffd_probe(struct pager_probe *probe);
/* Names of the features in the mask, separated by spaces. */
const char *pager_uffd_feature_names(uint64_t features, char *buf, size_t len);

#endif
