/* SPDX-License-Identifier: MIT */
/*
 * The global address range of this process, and the memory behind it.
 *
 * The reservation is one PROT_NONE mapping at an address that every rank has free; MAP_FIXED is
 * used inside it and nowhere else. The segment is a memfd of its final size: sparse, so that what
 * nobody populated or wrote costs nothing, and sealed, so that no peer that maps it can be made to
 * fault by a change of its size.
 *
 * Both mappings of the segment are MADV_DONTFORK: a child has no agent, and pages that were never
 * fetched would read as zeros there; it gets a SIGSEGV. The alias is also MADV_DONTDUMP: a core
 * dump would walk all of it and allocate a page for every hole.
 *
 * Holds no lock and keeps no state beside struct space: calls for different ranges may run at the
 * same time.
 */
#define _GNU_SOURCE
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "machine.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

/* Between two looks at how much memory is left. */
#define POPULATE_CHUNK_BYTES (32ul << 20)
/* Left to everything else on the machine. */
#define POPULATE_RESERVE_BYTES (32ul << 20)
/* How often a signal may interrupt one populate. */
#define POPULATE_INTERRUPTS_MAX 10000

uint64_t space_segment_bytes(uint64_t len_bytes, unsigned rank_words)
{
	uint64_t granules = len_bytes >> GRANULE_SHIFT;
	uint64_t bytes = len_bytes + granules * sizeof(uint64_t) * (1 + rank_words);

	return (bytes + GRANULE_BYTES - 1) & ~(GRANULE_BYTES - 1);
}

/* The first line of /proc/self/maps that overlaps [start, end), without its newline; or "". */
static void maps_line(uintptr_t start, uintptr_t end, char *line, int len)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uintptr_t from, to;

	while (maps && fgets(line, len, maps)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && from < end &&
		    to > start) {
			fclose(maps);
			return;
		}
	}
	if (maps)
		fclose(maps);
	line[0] = '\0';
}

static int reserve(struct space *s, uint64_t base, uint64_t len_bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	char line[256];
	uint8_t *addr;

	addr = mmap((void *)base, len_bytes, PROT_NONE, flags, -1, 0);
	if (addr == (uint8_t *)base) {
		s->base = addr;
		s->len_bytes = len_bytes;
		return 0;
	}
	/* A kernel that does not know MAP_FIXED_NOREPLACE takes the address as a hint. */
	if (addr != MAP_FAILED) {
		munmap(addr, len_bytes);
		errno = EEXIST;
	}
	if (errno != EEXIST)
		return error_set_sys(ENOMEM == errno ? ENOMEM : EINVAL,
				     "cannot reserve %" PRIu64 " MiB of addresses at %#" PRIx64
				     "; set DSM_BASE to another address or DSM_SPACE to less, and "
				     "see that the address space is not limited (ulimit -v)",
				     len_bytes >> 20, base);
	maps_line(base, base + len_bytes, line, sizeof(line));
	return error_set(EADDRINUSE,
			 "the global range %#" PRIx64 "-%#" PRIx64 " is taken in this process: "
			 "\"%s\" in /proc/self/maps; set DSM_BASE to an address that is free in "
			 "every rank, or DSM_SPACE to less",
			 base, base + len_bytes, line);
}

/* A size above the limit on files would end in SIGXFSZ, which kills by default. */
static int check_file_limit(uint64_t len_bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= len_bytes)
		return 0;
	return error_set(ENOMEM,
			 "the segment needs a file size of %" PRIu64
			 " MiB and the limit is %" PRIu64
			 " MiB: raise it (ulimit -f unlimited) or set DSM_SPACE to less",
			 len_bytes >> 20, (uint64_t)limit.rlim_cur >> 20);
}

static int segment_open(uint64_t len_bytes)
{
	int fd = memfd_create("dsm", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("dsm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_set_sys(errno, "cannot create the segment (memfd_create)");
	/* Peers of the same user open it by /proc/PID/fd, nobody else may. */
	if (fchmod(fd, 0600) || ftruncate(fd, (off_t)len_bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		int err = error_set_sys(errno, "cannot set up a segment of %" PRIu64 " MiB",
					len_bytes >> 20);

		close(fd);
		return err;
	}
	return fd;
}

static int segment_create(struct space *s)
{
	int err = check_file_limit(s->segment_bytes);
	uint8_t *alias;

	if (err)
		return err;
	s->memfd = segment_open(s->segment_bytes);
	if (s->memfd < 0)
		return s->memfd;
	alias = mmap(NULL, s->segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		     s->memfd, 0);
	if (alias == MAP_FAILED) {
		err = error_set_sys(errno,
				    "cannot map the segment of %" PRIu64 " MiB; set DSM_SPACE to "
				    "less, or raise the limit on address space (ulimit -v)",
				    s->segment_bytes >> 20);
		goto err_close;
	}
	if (madvise(alias, s->segment_bytes, MADV_DONTFORK) ||
	    madvise(alias, s->segment_bytes, MADV_DONTDUMP)) {
		err = error_set_sys(errno, "cannot keep the segment from children and core dumps");
		goto err_unmap;
	}
	/* Advice alone, which a kernel without huge pages refuses. */
	madvise(alias, s->segment_bytes, MADV_NOHUGEPAGE);
	s->alias = alias;
	return 0;

err_unmap:
	munmap(alias, s->segment_bytes);
err_close:
	close(s->memfd);
	return err;
}

int space_init(struct space *s, uint64_t base, uint64_t len_bytes, unsigned ranks)
{
	int err;

	if (sysconf(_SC_PAGESIZE) != (long)GRANULE_BYTES)
		return error_set(EOPNOTSUPP,
				 "pages of this machine have %ld bytes; libdsm needs %lu",
				 sysconf(_SC_PAGESIZE), GRANULE_BYTES);
	if (!len_bytes || len_bytes % BLOCK_BYTES || base % BLOCK_BYTES ||
	    base + len_bytes < base || !ranks)
		return error_set(EINVAL,
				 "a global range of %" PRIu64 " bytes at %#" PRIx64
				 " for %u ranks is not possible: DSM_BASE and DSM_SPACE must be "
				 "multiples of %lu",
				 len_bytes, base, ranks, BLOCK_BYTES);
	memset(s, 0, sizeof(*s));
	space_set_ranks(s, ranks);
	s->segment_bytes = space_segment_bytes(len_bytes, s->rank_words);
	err = reserve(s, base, len_bytes);
	if (err)
		return err;
	err = segment_create(s);
	if (err)
		munmap(s->base, s->len_bytes);
	return err;
}

void space_fini(struct space *s)
{
	munmap(s->alias, s->segment_bytes);
	munmap(s->base, s->len_bytes);
	close(s->memfd);
	memset(s, 0, sizeof(*s));
	s->memfd = -1;
}

/* Whole granules inside the range? Callers have checked what came from outside. */
static int check_range(const struct space *s, uint64_t offset, uint64_t len_bytes)
{
	if ((offset | len_bytes) % GRANULE_BYTES || offset > s->len_bytes ||
	    len_bytes > s->len_bytes - offset || !len_bytes)
		return error_set(EINVAL,
				 "%" PRIu64 " bytes at offset %#" PRIx64 " are not whole granules "
				 "of a range of %" PRIu64 " bytes",
				 len_bytes, offset, s->len_bytes);
	return 0;
}

int space_unmap(struct space *s, uint64_t offset, uint64_t len_bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	int err = check_range(s, offset, len_bytes);

	if (err)
		return err;
	if (mmap(s->base + offset, len_bytes, PROT_NONE, flags, -1, 0) == MAP_FAILED)
		return error_set_sys(errno, "cannot unmap %" PRIu64 " bytes at %p", len_bytes,
				     (void *)(s->base + offset));
	return 0;
}

int space_map(struct space *s, uint64_t offset, uint64_t len_bytes)
{
	int flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED;
	int err = check_range(s, offset, len_bytes);
	uint8_t *addr = s->base + offset;

	if (err)
		return err;
	if (mmap(addr, len_bytes, PROT_READ | PROT_WRITE, flags, s->memfd, (off_t)offset) ==
	    MAP_FAILED)
		return error_set_sys(errno,
				     "cannot map %" PRIu64 " bytes at %p; vm.max_map_count limits "
				     "the number of mappings",
				     len_bytes, (void *)addr);
	if (madvise(addr, len_bytes, MADV_DONTFORK)) {
		err = error_set_sys(errno, "cannot keep %" PRIu64 " bytes at %p from children",
				    len_bytes, (void *)addr);
		space_unmap(s, offset, len_bytes);
		return err;
	}
	/* Advice alone, which a kernel without huge pages refuses. */
	madvise(addr, len_bytes, MADV_NOHUGEPAGE);
	return 0;
}

/* A part of the segment. */
struct extent {
	uint64_t offset;
	uint64_t len_bytes;
};

enum { EXTENT_PAGES, EXTENT_GRANTS, EXTENT_READERS, EXTENTS };

/* Where the pages and the directory words of a range lie. */
static void extents_of(const struct space *s, uint64_t offset, uint64_t len_bytes,
		       struct extent e[EXTENTS])
{
	uint64_t granule = offset >> GRANULE_SHIFT;
	uint64_t n = len_bytes >> GRANULE_SHIFT;
	uint8_t *grants = (uint8_t *)segment_grant(s, s->alias, granule);
	uint8_t *readers = (uint8_t *)segment_readers(s, s->alias, granule);

	e[EXTENT_PAGES] = (struct extent){ offset, len_bytes };
	e[EXTENT_GRANTS] = (struct extent){ (uint64_t)(grants - s->alias), n * sizeof(uint64_t) };
	e[EXTENT_READERS] = (struct extent){ (uint64_t)(readers - s->alias),
					     n * s->rank_words * sizeof(uint64_t) };
}

/* fallocate() of one chunk, in smaller bites if signals come so fast that it cannot finish: shmem
 * undoes what it has done when it is interrupted. */
static int allocate(int fd, uint64_t offset, uint64_t len_bytes)
{
	uint64_t bite = len_bytes;
	unsigned interrupts = 0;

	while (len_bytes) {
		if (bite > len_bytes)
			bite = len_bytes;
		if (!fallocate(fd, 0, (off_t)offset, (off_t)bite)) {
			offset += bite;
			len_bytes -= bite;
		} else if (errno == EINTR && ++interrupts < POPULATE_INTERRUPTS_MAX) {
			bite = bite > 2 * GRANULE_BYTES ? bite / 2 : GRANULE_BYTES;
		} else {
			return -errno;
		}
	}
	return 0;
}

/* Looks at what is left before each chunk: other ranks populate at the same time. */
static int populate_extent(struct space *s, const struct extent *e)
{
	for (uint64_t done = 0; done < e->len_bytes; done += POPULATE_CHUNK_BYTES) {
		uint64_t need = e->len_bytes - done;
		uint64_t chunk = need < POPULATE_CHUNK_BYTES ? need : POPULATE_CHUNK_BYTES;
		const char *limit;
		int err;

		if (machine_left_bytes(&limit) < need + POPULATE_RESERVE_BYTES)
			return -ENOMEM;
		err = allocate(s->memfd, e->offset + done, chunk);
		if (err)
			return err;
	}
	return 0;
}

/* The range was empty, so what is there after a failure was put there by this call. */
int space_populate(struct space *s, uint64_t offset, uint64_t len_bytes)
{
	struct extent e[EXTENTS];
	const char *limit;
	uint64_t left;
	int err = check_range(s, offset, len_bytes);

	if (err)
		return err;
	extents_of(s, offset, len_bytes, e);
	for (int i = 0; i < EXTENTS; i++) {
		err = populate_extent(s, &e[i]);
		if (err)
			goto err_discard;
	}
	return 0;

err_discard:
	space_discard(s, offset, len_bytes);
	if (err != -ENOMEM && err != -ENOSPC)
		return error_set_sys(-err, "cannot populate %" PRIu64 " MiB of memory",
				     len_bytes >> 20);
	left = machine_left_bytes(&limit);
	return error_set(ENOMEM,
			 "cannot give %" PRIu64 " MiB of memory to a region: %s has %" PRIu64
			 " MiB left for it (%lu MiB are kept free); make the region smaller, "
			 "spread it over more ranks or machines, or raise the limit",
			 len_bytes >> 20, limit,
			 (left > POPULATE_RESERVE_BYTES ? left - POPULATE_RESERVE_BYTES : 0) >> 20,
			 POPULATE_RESERVE_BYTES >> 20);
}

/* Punching a hole frees whole host pages and zeroes what it has of others, so that directory words
 * of neighbours stay. */
int space_discard(struct space *s, uint64_t offset, uint64_t len_bytes)
{
	int flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct extent e[EXTENTS];
	int err = check_range(s, offset, len_bytes);

	if (err)
		return err;
	extents_of(s, offset, len_bytes, e);
	for (int i = 0; i < EXTENTS; i++) {
		while (fallocate(s->memfd, flags, (off_t)e[i].offset, (off_t)e[i].len_bytes)) {
			if (errno != EINTR)
				return error_set_sys(errno,
						     "cannot give back %" PRIu64 " bytes at "
						     "offset %#" PRIx64 " of the segment",
						     e[i].len_bytes, e[i].offset);
		}
	}
	return 0;
}
