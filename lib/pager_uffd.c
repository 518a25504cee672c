/* SPDX-License-Identifier: MIT */
/*
 * The pager on userfaultfd.
 *
 * The application mapping is registered MISSING, MINOR and WP: without MISSING a granule that has
 * no frame would read as zeros with no event. A granule is, in the page table of the application
 * mapping, one of:
 *
 *	none		stops: MISSING if the segment has no frame for it, else MINOR
 *	protected	a write stops: WP
 *	writable	nothing stops
 *	poisoned	an access raises SIGBUS
 *
 * and only the operations here make it more than none; the kernel may make it none at any time
 * (reclaim), which is why the layers above answer a fault on a granule that they take for mapped by
 * map(src NULL, frames). Each operation wakes the threads that may go on after it.
 *
 * Zapping leaves a marker "write-protected" in the page table of what was protected. COPY and
 * CONTINUE replace it; POISON refuses to, so poison() clears it first.
 *
 * Of a granule one operation runs at a time (the contract of pager.h). No lock, and no state beside
 * the descriptor: any thread.
 */
#define _GNU_SOURCE
#include "pager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "uffd.h"

/* How often an operation that makes no progress (EAGAIN) is tried again. */
#define TRIES_MAX 100000
/* What the kernel maps around a read fault, by default (fault_around_bytes). */
#define FAULT_AROUND_GRANULES 16

struct pager_uffd {
	struct pager pager;
	struct space *space;
	struct pager_waits waits;
};

static struct pager_uffd *uffd_of(struct pager *p)
{
	return (struct pager_uffd *)p;
}

static uint8_t *granule_addr(struct pager_uffd *u, uint64_t granule)
{
	return segment_page(u->space->base, granule);
}

static struct uffdio_range range_of(struct pager_uffd *u, uint64_t granule, uint64_t n)
{
	return (struct uffdio_range){ (uintptr_t)granule_addr(u, granule), n << GRANULE_SHIFT };
}

static int failed(struct pager_uffd *u, int err, const char *what, uint64_t granule, uint64_t n)
{
	return error_set_sys(err, "pager: %s of %" PRIu64 " granules at %p failed", what, n,
			     (void *)granule_addr(u, granule));
}

/* An ioctl that does all or nothing. */
static int range_ioctl(struct pager_uffd *u, unsigned long request, void *arg)
{
	for (int i = 0; i < TRIES_MAX; i++) {
		if (!ioctl(u->pager.fd, request, arg))
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return errno;
		sched_yield();
	}
	return EAGAIN;
}

/* Threads that wait for these granules may look again. Their own business where the kernel has them
 * wait. */
static void woken(struct pager_uffd *u, uint64_t granule, uint64_t n)
{
	struct pager_waits *w = u->pager.waits;

	if (!w || !__atomic_load_n(&w->waiting, __ATOMIC_RELAXED))
		return;
	if (n > PAGER_WAIT_WORDS)
		n = PAGER_WAIT_WORDS;
	/* Sequentially consistent: either the change is seen by who goes to sleep, or who sleeps is
	 * seen here. */
	for (uint64_t i = 0; i < n; i++)
		__atomic_fetch_add(pager_wait_word(&u->pager, granule + i), 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&w->asleep, __ATOMIC_SEQ_CST))
		return;
	for (uint64_t i = 0; i < n; i++)
		syscall(SYS_futex, pager_wait_word(&u->pager, granule + i), FUTEX_WAKE_PRIVATE,
			INT_MAX, NULL, NULL, 0);
}

static int pager_uffd_watch(struct pager *p, uint64_t granule, uint64_t n)
{
	struct pager_uffd *u = uffd_of(p);
	struct uffdio_register reg = {
		.range = range_of(u, granule, n),
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR |
			UFFDIO_REGISTER_MODE_WP,
	};
	int err = range_ioctl(u, UFFDIO_REGISTER, &reg);

	return err ? failed(u, err, "UFFDIO_REGISTER", granule, n) : 0;
}

/* Unregistering wakes those who wait and lets everything through: with the access taken away
 * before, a late touch is a SIGSEGV and never a read of stray zeros. */
static int pager_uffd_unwatch(struct pager *p, uint64_t granule, uint64_t n)
{
	struct pager_uffd *u = uffd_of(p);
	struct uffdio_range range = range_of(u, granule, n);
	int err;

	if (mprotect(granule_addr(u, granule), range.len, PROT_NONE))
		return failed(u, errno, "mprotect", granule, n);
	err = range_ioctl(u, UFFDIO_UNREGISTER, &range);
	woken(u, granule, n);
	return err ? failed(u, err, "UFFDIO_UNREGISTER", granule, n) : 0;
}

static int pager_uffd_wake(struct pager *p, uint64_t granule, uint64_t n)
{
	struct pager_uffd *u = uffd_of(p);
	struct uffdio_range range = range_of(u, granule, n);
	int err = u->pager.waits ? 0 : range_ioctl(u, UFFDIO_WAKE, &range);

	woken(u, granule, n);
	return err ? failed(u, err, "UFFDIO_WAKE", granule, n) : 0;
}

static int write_protect(struct pager_uffd *u, uint64_t granule, uint64_t n, uint64_t mode)
{
	struct uffdio_writeprotect wp = { .range = range_of(u, granule, n), .mode = mode };
	int err = range_ioctl(u, UFFDIO_WRITEPROTECT, &wp);

	return err ? failed(u, err, "UFFDIO_WRITEPROTECT", granule, n) : 0;
}

static int pager_uffd_allow_write(struct pager *p, uint64_t granule, uint64_t n)
{
	int err = write_protect(uffd_of(p), granule, n, 0);

	woken(uffd_of(p), granule, n);
	return err;
}

/* The kernel flushes the TLBs of all CPUs before it returns: no write is late. */
static int pager_uffd_forbid_write(struct pager *p, uint64_t granule, uint64_t n)
{
	return write_protect(uffd_of(p), granule, n, UFFDIO_WRITEPROTECT_MODE_WP);
}

static int pager_uffd_zap(struct pager *p, uint64_t granule, uint64_t n)
{
	struct pager_uffd *u = uffd_of(p);

	for (int i = 0; i < TRIES_MAX; i++) {
		if (!madvise(granule_addr(u, granule), n << GRANULE_SHIFT, MADV_DONTNEED))
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return failed(u, errno, "MADV_DONTNEED", granule, n);
}

/* Punching a hole unmaps the frames everywhere first, so that zapping is part of it. */
static int pager_uffd_drop(struct pager *p, uint64_t granule, uint64_t n)
{
	struct pager_uffd *u = uffd_of(p);

	for (int i = 0; i < TRIES_MAX; i++) {
		if (!fallocate(u->space->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)(granule << GRANULE_SHIFT), (off_t)(n << GRANULE_SHIFT)))
			return 0;
		if (errno != EINTR)
			break;
	}
	return failed(u, errno, "FALLOC_FL_PUNCH_HOLE", granule, n);
}

/* 1 if a read of this granule would go through, 0 if not, -errno. Only slow paths ask. */
static int granule_mapped(struct pager_uffd *u, uint64_t granule)
{
	off_t offset = (off_t)((uintptr_t)granule_addr(u, granule) / GRANULE_BYTES * 8);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;
	ssize_t n;

	if (fd < 0)
		return failed(u, errno, "open of /proc/self/pagemap, to look at the mapping,",
			      granule, 1);
	n = pread(fd, &entry, sizeof(entry), offset);
	if (n != sizeof(entry)) {
		int err = n < 0 ? errno : EIO;

		close(fd);
		return failed(u, err, "read of /proc/self/pagemap", granule, 1);
	}
	close(fd);
	return (int)(entry >> 63);
}

/* A granule that is mapped gets exactly the access asked for, and its waiters go on. */
static int set_access(struct pager_uffd *u, uint64_t granule, bool writable)
{
	int err = write_protect(u, granule, 1, writable ? 0 : UFFDIO_WRITEPROTECT_MODE_WP);

	/* Protecting, unlike unprotecting, does not wake. */
	if (!err && !writable)
		err = pager_uffd_wake(&u->pager, granule, 1);
	return err;
}

/* One CONTINUE: the bytes it mapped, at least a granule, or -errno. */
static int64_t continue_once(struct pager_uffd *u, uint64_t granule, uint64_t n, bool writable)
{
	struct uffdio_continue c = {
		.range = range_of(u, granule, n),
		.mode = writable ? 0 : UFFDIO_CONTINUE_MODE_WP,
	};

	if (!ioctl(u->pager.fd, UFFDIO_CONTINUE, &c))
		return (int64_t)c.range.len;
	return c.mapped > 0 ? c.mapped : -errno;
}

/* One COPY, likewise. */
static int64_t copy_once(struct pager_uffd *u, uint64_t granule, uint64_t n, bool writable,
			 const void *src)
{
	struct uffdio_copy c = {
		.dst = (uintptr_t)granule_addr(u, granule),
		.src = (uintptr_t)src,
		.len = n << GRANULE_SHIFT,
		.mode = writable ? 0 : UFFDIO_COPY_MODE_WP,
	};

	if (!ioctl(u->pager.fd, UFFDIO_COPY, &c))
		return (int64_t)c.len;
	return c.copy > 0 ? c.copy : -errno;
}

static int map_over_frame(struct pager_uffd *u, uint64_t granule, bool writable, const void *src);

/*
 * Map a run: by COPY from src, or, if src is NULL, by CONTINUE of the frames. Granules of the run
 * that cannot be taken that way (EEXIST) interrupt it and are seen to one by one.
 */
static int map_run(struct pager_uffd *u, uint64_t granule, uint64_t n, bool writable,
		   const uint8_t *src)
{
	int tries = 0;

	while (n) {
		int64_t done = src ? copy_once(u, granule, n, writable, src)
				   : continue_once(u, granule, n, writable);

		if (done == -EAGAIN && tries++ < TRIES_MAX) {
			sched_yield();
			continue;
		}
		if (done == -EEXIST) {
			int err = src ? map_over_frame(u, granule, writable, src)
				      : set_access(u, granule, writable);

			if (err)
				return err;
			done = GRANULE_BYTES;
		}
		if (done < 0)
			return failed(u, (int)-done, src ? "UFFDIO_COPY" : "UFFDIO_CONTINUE",
				      granule, n);
		if (src)
			src += done;
		granule += (uint64_t)done >> GRANULE_SHIFT;
		n -= (uint64_t)done >> GRANULE_SHIFT;
	}
	return 0;
}

/*
 * COPY found a frame where the caller expected none. The kernel says the same (EEXIST) for two
 * cases that must not be confused:
 * - the granule is mapped, so that a thread may have written to it: its content stays;
 * - it is not mapped: the frame is left from a run that failed halfway, or somebody looked at the
 *   hole through an alias, which fills it with zeros. Its content is worth nothing: src replaces it
 *   before CONTINUE shows it to anybody.
 * The kernel can unmap behind our back, but nothing else maps a granule while we are at it. So the
 * answer "not mapped" holds, and "mapped" does no harm when it is late: the frame has the content
 * still, and a thread that needs it faults again.
 */
static int map_over_frame(struct pager_uffd *u, uint64_t granule, bool writable, const void *src)
{
	int mapped = granule_mapped(u, granule);

	if (mapped < 0)
		return mapped;
	if (mapped)
		return set_access(u, granule, writable);
	memcpy(segment_page(u->space->alias, granule), src, GRANULE_BYTES);
	return map_run(u, granule, 1, writable, NULL);
}

/*
 * Copy into frames through the alias. Where it has no page table entries for them yet, each page
 * that is written would fault by itself; a read fault, though, enters its neighbours too, writable.
 */
static void fill_frames(struct pager_uffd *u, uint64_t granule, uint64_t n, const void *src)
{
	uint8_t *frames = segment_page(u->space->alias, granule);

	for (uint64_t i = 0; i < n; i += FAULT_AROUND_GRANULES)
		(void)*(volatile uint8_t *)(frames + (i << GRANULE_SHIFT));
	memcpy(frames, src, n << GRANULE_SHIFT);
}

/*
 * With src and frames the copy goes through the alias into frames that are not mapped: the caller,
 * who has zapped them, knows. After a failure nothing of the run is mapped: it can be tried again,
 * and what was mapped before the call keeps its content and faults MINOR.
 */
static int pager_uffd_map(struct pager *p, uint64_t granule, uint64_t n, bool writable,
			  const void *src, bool frames)
{
	struct pager_uffd *u = uffd_of(p);
	int err;

	if (src && frames) {
		fill_frames(u, granule, n, src);
		src = NULL;
	}
	err = map_run(u, granule, n, writable, src);
	if (err)
		madvise(granule_addr(u, granule), n << GRANULE_SHIFT, MADV_DONTNEED);
	woken(u, granule, n);
	return err;
}

/*
 * Between zapping and poisoning a thread may fault and queue up: POISON wakes it. One that queues
 * up just after that sleeps on, but its fault is reported: wake(), or poisoning again, answers it.
 */
static int pager_uffd_poison(struct pager *p, uint64_t granule, uint64_t n)
{
	struct pager_uffd *u = uffd_of(p);
	int tries = 0;
	int err;

	err = pager_uffd_zap(p, granule, n);
	if (!err)
		err = write_protect(u, granule, n, UFFDIO_WRITEPROTECT_MODE_DONTWAKE);
	while (!err && n) {
		struct uffdio_poison poison = { .range = range_of(u, granule, n) };
		uint64_t done = n;

		if (ioctl(u->pager.fd, UFFDIO_POISON, &poison)) {
			done = poison.updated > 0 ? (uint64_t)poison.updated >> GRANULE_SHIFT : 0;
			if (!done && (errno != EAGAIN || tries++ == TRIES_MAX))
				return failed(u, errno, "UFFDIO_POISON", granule, n);
		}
		woken(u, granule, done);
		granule += done;
		n -= done;
	}
	return err;
}

static int pager_uffd_faults(struct pager *p, struct pager_fault *faults, int max)
{
	struct pager_uffd *u = uffd_of(p);
	struct uffd_msg msgs[PAGER_FAULTS_MAX];
	int n = 0;
	ssize_t len;

	if (u->pager.waits)
		return 0;
	if (max > PAGER_FAULTS_MAX)
		max = PAGER_FAULTS_MAX;
	do {
		len = read(p->fd, msgs, (size_t)max * sizeof(msgs[0]));
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return errno == EAGAIN ? 0 : error_set_sys(errno, "cannot read page faults");
	for (size_t i = 0; i < (size_t)len / sizeof(msgs[0]); i++) {
		uint64_t flags = msgs[i].arg.pagefault.flags;
		uintptr_t addr = (uintptr_t)msgs[i].arg.pagefault.address;

		/* No other event is enabled. */
		if (msgs[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		faults[n++] = (struct pager_fault){
			.granule = space_granule(u->space, (void *)addr),
			.offset = (uint32_t)(addr % GRANULE_BYTES),
			.write = flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP),
			.tid = (pid_t)msgs[i].arg.pagefault.feat.ptid,
		};
	}
	return n;
}

/* Closing unregisters all that is watched and wakes all who wait. */
static void pager_uffd_destroy(struct pager *p)
{
	close(p->fd);
	free(uffd_of(p));
}

static const struct pager_ops uffd_ops = {
	.name = "userfaultfd",
	.watch = pager_uffd_watch,
	.unwatch = pager_uffd_unwatch,
	.map = pager_uffd_map,
	.allow_write = pager_uffd_allow_write,
	.forbid_write = pager_uffd_forbid_write,
	.zap = pager_uffd_zap,
	.drop = pager_uffd_drop,
	.poison = pager_uffd_poison,
	.wake = pager_uffd_wake,
	.faults = pager_uffd_faults,
	.destroy = pager_uffd_destroy,
};

int pager_uffd_create(struct pager **pager, struct space *space, const struct settings *s)
{
	struct pager_uffd *u = calloc(1, sizeof(*u));
	bool user_only = false, by_signal = s->fault_handler == FAULT_INLINE;
	int fd;

	if (!u)
		return error_set(ENOMEM, "no memory for the pager");
	fd = uffd_open(s->uffd, by_signal, &user_only);
	if (fd < 0) {
		free(u);
		return fd;
	}
	u->pager.ops = &uffd_ops;
	u->pager.fd = fd;
	u->pager.waits = by_signal ? &u->waits : NULL;
	u->space = space;
	log_debug("pager: userfaultfd%s%s", user_only ? ", user mode only" : "",
		  by_signal ? ", by SIGBUS" : "");
	*pager = &u->pager;
	return 0;
}
