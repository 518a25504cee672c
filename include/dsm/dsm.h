/* SPDX-License-Identifier: MIT */
/*
 * libdsm: one address space for the processes of a cluster.
 *
 * A pointer means the same in every process ("rank"); plain loads and stores work on memory that
 * dsm_alloc() returns, wherever it lives. A page has one writer or many readers. Pages are
 * sequentially consistent: all ranks together behave as one machine with the processor's own memory
 * model, so C11 holds across them (docs/memory-model.md); dsm_acquire() and dsm_release() exist for
 * bulk transfer, for holding pages and for speed, not for correctness.
 *
 * Conventions, unless a function says otherwise:
 * - it returns 0 or a negative errno; dsm_errmsg() then says what failed, with which values, and
 *   what to do about it;
 * - any thread may call it, several at once, between the return of dsm_init() and the call of
 *   dsm_fini();
 * - lengths are in bytes, time-outs in milliseconds (0: do not wait, DSM_FOREVER: the configured
 *   default deadline);
 * - a call that waits ends with -EHOSTDOWN when a rank that it needs has died, naming the rank, and
 *   with -ETIMEDOUT at its deadline.
 */
#ifndef DSM_DSM_H
#define DSM_DSM_H

#include <stddef.h>
#include <stdint.h>

#define DSM_VERSION_MAJOR 0
#define DSM_VERSION_MINOR 1
#define DSM_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* The time-out that means "until the configured deadline" (timeout_ms or sync_timeout_ms). */
#define DSM_FOREVER (-1)

/* The longest region name, in bytes, without the terminating zero. */
#define DSM_NAME_MAX 63

struct dsm;

/*
 * Settings that a program may pass to dsm_init(). A field that is 0 or NULL is not set. The
 * environment (DSM_CACHE_SIZE and so on; `dsm_info` prints all names, meanings and values)
 * overrides the program, and the program overrides the default. Zero-initialise it.
 */
struct dsm_config {
	const char *rank; /* DSM_RANK: own rank, when not started by a launcher */
	const char *size; /* DSM_SIZE: number of ranks, when not started by a launcher */
	const char *root; /* DSM_ROOT: "host:port" where rank 0 listens for the others */
	const char *token; /* DSM_TOKEN: secret of the job, 8 to 64 characters */
	const char *launch; /* DSM_LAUNCH: auto, pmix, tcp, alone */
	const char *transport; /* DSM_TRANSPORT: auto, shm, verbs */
	const char *userfaultfd; /* DSM_USERFAULTFD: auto, kernel, user */
	const char *cache_maintenance; /* DSM_CACHE_MAINTENANCE: auto, none, user, kernel */
	const char *log; /* DSM_LOG: error, warn, info, debug */
	uint64_t base; /* DSM_BASE: address of the global range, 2 MiB aligned */
	uint64_t space; /* DSM_SPACE: bytes of the global range */
	uint64_t cache_size; /* DSM_CACHE_SIZE: bytes of other ranks' pages kept here */
	uint64_t page_size; /* DSM_PAGE_SIZE: default unit of coherence of a region, bytes */
	uint64_t timeout_ms; /* DSM_TIMEOUT_MS: deadline of waits for other ranks' service */
	uint64_t sync_timeout_ms; /* DSM_SYNC_TIMEOUT_MS: deadline of waits for the application */
	const char *spin_us; /* DSM_SPIN_US: how long to poll before sleeping, us, or auto */
	const char *prefetch; /* DSM_PREFETCH: most pages fetched ahead of a stream; 0: none */
	const char *stats; /* DSM_STATS: 1: print statistics at dsm_fini(); pages: and contention */
	const char *rdma_device; /* DSM_RDMA_DEVICE: device, device:port, interface or address */
	const char *fault_handler; /* DSM_FAULT_HANDLER: agent, core, inline */
};

/*
 * Join the cluster and reserve the global address range.
 *
 * @dsm:    receives the handle; written only on success
 * @config: settings, or NULL
 *
 * Collective: every rank of the job calls it; it blocks until all have, or timeout_ms. One cluster
 * a process at a time. Under mpirun or srun the ranks find one another by PMIx, else by DSM_RANK,
 * DSM_SIZE and DSM_ROOT; a process started alone is a cluster of one. Starts one service thread
 * with all signals blocked; installs no signal handler.
 *
 * -EALREADY: this process is in a cluster already. -EINVAL: a setting is not valid. -EPROTO: ranks
 * disagree about version, base address, range or job token. -EADDRINUSE: the address range is
 * taken, and the message names the mapping; or the port of DSM_ROOT is. -EPERM, -ENOSYS,
 * -EOPNOTSUPP: no userfaultfd, or one that lacks a feature; the message names it and the remedy.
 * -ENOMEM. -ETIMEDOUT: not every rank arrived. -EHOSTDOWN: a rank died or could not start.
 */
int dsm_init(struct dsm **dsm, const struct dsm_config *config);

/*
 * Leave the cluster. Collective: waits for all ranks (sync_timeout_ms), prints the statistics if
 * asked, unmaps every region and frees the handle, also when it returns an error. No other thread
 * may be inside libdsm or touch shared memory any more.
 *
 * -EHOSTDOWN: a rank died before it called dsm_fini(). -ETIMEDOUT: a rank did not call it in time.
 */
int dsm_fini(struct dsm *dsm);

/* Own rank, 0 to size - 1; the number of ranks. Neither fails nor blocks. */
unsigned dsm_rank(const struct dsm *dsm);
unsigned dsm_size(const struct dsm *dsm);

/*
 * Memory
 */

/* Where the pages of a region live. A home is given by blocks of 2 MiB. */
enum dsm_home_policy {
	DSM_HOME_BLOCKED = 0, /* rank r has the r-th of size equal, contiguous parts */
	DSM_HOME_CYCLIC, /* block i lives at rank i mod size */
	DSM_HOME_RANK, /* all blocks live at home_rank */
	DSM_HOME_FIRST_TOUCH, /* a block lives at the rank that first touches it */
};

/* What dsm_release() does with pages that were acquired for writing. */
enum dsm_release_policy {
	DSM_RELEASE_KEEP = 0, /* they stay here, until another rank asks */
	DSM_RELEASE_WRITE_THROUGH, /* they are written home; readers then need no recall */
};

/* Attributes of a region. Zero-initialise it: every zero is the default. */
struct dsm_attr {
	const char *name; /* NULL: anonymous; else 1 to DSM_NAME_MAX bytes */
	size_t page_size; /* unit of coherence: power of two, 4 KiB to 2 MiB */
	enum dsm_home_policy home;
	unsigned home_rank; /* for DSM_HOME_RANK */
	enum dsm_release_policy release;
};

/* What dsm_region_get() tells of a region. */
struct dsm_region_info {
	void *addr;
	size_t len; /* bytes, as asked for by its creator */
	size_t page_size;
	enum dsm_home_policy home;
	unsigned home_rank;
	enum dsm_release_policy release;
	char name[DSM_NAME_MAX + 1]; /* empty if anonymous */
};

/*
 * Allocate shared memory, filled with zeros.
 *
 * @len:  bytes, more than 0; for a name that exists it may be 0 ("whatever it has")
 * @attr: attributes, or NULL for the defaults
 *
 * Not collective: one rank may call it and hand out the pointer. With a name the first caller
 * creates the region and the others attach to it; each attachment is undone by one dsm_free().
 * Address space is given out in blocks of 2 MiB, memory by the page. Blocks until every home has
 * its memory (timeout_ms).
 *
 * Returns the address, the same in every rank, or NULL with errno: EINVAL: len, page_size, name or
 * home_rank out of range; ENOENT: len is 0 and no region has this name; EEXIST: the named region
 * differs in the attributes or length given here; ENOMEM: a home is out of memory, or the global
 * range is full; EHOSTDOWN; ETIMEDOUT.
 */
void *dsm_alloc(struct dsm *dsm, size_t len, const struct dsm_attr *attr);

/*
 * Free a region, or undo one attachment of a named one (the last frees it).
 *
 * @ptr: what dsm_alloc() returned in any rank
 *
 * No rank may touch the region afterwards; a touch is a SIGSEGV, as after munmap(). Blocks until
 * every rank has let go (timeout_ms).
 *
 * -EINVAL: ptr is not the start of a region (also: freed before). -EBUSY: a range of it is acquired
 * in this rank or another. -EHOSTDOWN, -ETIMEDOUT. -EPROTO: rank 0 makes no sense.
 */
int dsm_free(struct dsm *dsm, void *ptr);

/* Describe the region that contains addr. Does not block. -EFAULT: addr is in no region. */
int dsm_region_get(struct dsm *dsm, const volatile void *addr, struct dsm_region_info *info);

/*
 * The rank whose memory holds the page at addr, to place work near data. For a first-touch block
 * that nobody has touched: -ENODATA. May ask another rank once per block (timeout_ms).
 * -EFAULT: addr is in no region. -EHOSTDOWN, -ETIMEDOUT.
 */
int dsm_home(struct dsm *dsm, const volatile void *addr);

enum dsm_mode {
	DSM_READ = 1,
	DSM_WRITE = 2,
};

/*
 * Bring a range here and hold it until dsm_release(): readable (DSM_READ) or, alone in the cluster,
 * writable (DSM_WRITE). Touching it then neither faults nor waits. Other ranks that want a held
 * page wait. Works on whole pages; neighbours on the first and last page are held too.
 *
 * @addr, @len: any range inside one region, len more than 0
 * @timeout_ms: 0: only if no other rank has to answer
 *
 * Pages are taken in ascending order, so that ranks that acquire one range at a time cannot
 * deadlock. Holds nest. On error nothing is held.
 * A hold keeps other ranks away, not the own rank's threads; but a thread that wants to write a
 * page (by acquire, store or atomic) which others of its rank hold for reading waits for these to
 * release it. A thread may write what it holds for reading: it then gives up its copy until it has
 * the page for writing. Two that hold a page for reading should not both count on that.
 *
 * -EINVAL: len is 0 or overflows, mode is neither. -EFAULT: not inside one region. -ETIMEDOUT: the
 * message names a page and the rank that has it. -ENOMEM: more than the cache can hold.
 * -EHOSTDOWN: the page's home or owner died. Memory order: as sequentially consistent accesses.
 */
int dsm_acquire(struct dsm *dsm, const volatile void *addr, size_t len, enum dsm_mode mode);
int dsm_acquire_timed(struct dsm *dsm, const volatile void *addr, size_t len, enum dsm_mode mode,
		      int timeout_ms);

/*
 * Let go of a range acquired by this rank (any thread), given by the same addr and len. Of several
 * holds on the same range the calling thread's latest ends, or if it has none, another's. With
 * DSM_RELEASE_WRITE_THROUGH the written pages go home. Does not block. -EINVAL: this range is not
 * acquired.
 */
int dsm_release(struct dsm *dsm, const volatile void *addr, size_t len);

/*
 * Start to bring a range here and return at once; nothing is held. A hint: it does no more than the
 * cache can take. -EINVAL, -EFAULT as dsm_acquire().
 */
int dsm_prefetch(struct dsm *dsm, const volatile void *addr, size_t len, enum dsm_mode mode);

/*
 * Copy a range to @to, any memory of this rank, for one look: one-sidedly, and without keeping the
 * pages here, so that whoever writes them next has nobody to ask. For what others write again and
 * again; what is looked at more than once in between is better kept, by loads or by dsm_acquire().
 *
 * Of each page it sees all of what is written under a hold, or nothing: it waits for holds as
 * dsm_acquire() does. Stores without a hold it sees as memcpy() does. What is not at its home
 * alone, because another rank has it for writing, or the home has and is on another host, is
 * acquired for the copy (DSM_READ): errors are those of dsm_acquire(), and leave @to undefined.
 * Memory order: as sequentially consistent accesses.
 */
int dsm_read(struct dsm *dsm, void *to, const volatile void *from, size_t len);

/*
 * Synchronisation. Objects are named by an address: any value will do, it need not be in a region
 * and is never dereferenced. Locks, semaphores and condition variables have separate names. All
 * waits are first come, first served. Each is a sequentially consistent synchronisation point.
 */

/*
 * Take a lock; not recursive; owned by the calling thread's rank, released by dsm_unlock() from any
 * thread of it. The rank that had it last re-takes it without a message.
 * -EBUSY (dsm_lock_try): taken, or others wait for it. -ETIMEDOUT: the message names the holder.
 * -EHOSTDOWN: the lock's home died, or its holder did while holding it. -ENOMEM.
 */
int dsm_lock(struct dsm *dsm, const volatile void *name);
int dsm_lock_try(struct dsm *dsm, const volatile void *name);
int dsm_lock_timed(struct dsm *dsm, const volatile void *name, int timeout_ms);
/* -EPERM: this rank does not hold the lock. Does not block. */
int dsm_unlock(struct dsm *dsm, const volatile void *name);

/*
 * Wait until every rank is here. One thread a rank calls it. Its cost does not depend on memory.
 * -EHOSTDOWN: a rank has died. -ETIMEDOUT: sync_timeout_ms. -EBUSY: another thread is in it.
 */
int dsm_barrier(struct dsm *dsm);

/*
 * Condition variable: release the lock, wait for a signal, take the lock again, as
 * pthread_cond_wait(). Wait in a loop that tests the condition: another thread may run first. The
 * lock is held again on return, also after -ETIMEDOUT; not after -EHOSTDOWN. -EPERM: lock not held.
 * Signal wakes the longest-waiting thread of any rank, if there is one; broadcast wakes all. With
 * or without the lock held. It is done when the call returns, and not kept: a wait that begins
 * after that is not ended by it, in any rank. Both block until the object's home has answered.
 * -EHOSTDOWN: the object's home died; for a wait: any rank did, as that may have been the one to
 * signal. -ETIMEDOUT: the home did not answer within timeout_ms.
 */
int dsm_cond_wait(struct dsm *dsm, const volatile void *cond, const volatile void *lock);
int dsm_cond_wait_timed(struct dsm *dsm, const volatile void *cond, const volatile void *lock,
			int timeout_ms);
int dsm_cond_signal(struct dsm *dsm, const volatile void *cond);
int dsm_cond_broadcast(struct dsm *dsm, const volatile void *cond);

/*
 * Counting semaphore; a name's value is 0 until it is set or posted. dsm_sem_init() sets the value:
 * -EBUSY: somebody waits on it. -EOVERFLOW: above INT32_MAX. dsm_sem_try(): -EAGAIN: it is 0.
 * -EHOSTDOWN: the semaphore's home died; for a wait while it is 0: any rank did, as that may have
 * been the one to post.
 */
int dsm_sem_init(struct dsm *dsm, const volatile void *name, unsigned value);
int dsm_sem_post(struct dsm *dsm, const volatile void *name);
int dsm_sem_wait(struct dsm *dsm, const volatile void *name);
int dsm_sem_try(struct dsm *dsm, const volatile void *name);
int dsm_sem_wait_timed(struct dsm *dsm, const volatile void *name, int timeout_ms);

/*
 * Remote atomics: done at the word's home, without moving its page here; coherent with plain
 * accesses and C11 atomics to the same word (which also work, and move the page). Sequentially
 * consistent. Fast when a page is used by remote atomics alone.
 *
 * @addr: naturally aligned, in a region
 * @old:  receives the value before, or NULL
 *
 * -EINVAL: misaligned. -EFAULT: in no region. -ETIMEDOUT, -EHOSTDOWN.
 */
int dsm_fetch_add32(struct dsm *dsm, uint32_t *addr, uint32_t operand, uint32_t *old);
int dsm_fetch_add64(struct dsm *dsm, uint64_t *addr, uint64_t operand, uint64_t *old);
int dsm_compare_swap32(struct dsm *dsm, uint32_t *addr, uint32_t expected, uint32_t desired,
		       uint32_t *old);
int dsm_compare_swap64(struct dsm *dsm, uint64_t *addr, uint64_t expected, uint64_t desired,
		       uint64_t *old);

/*
 * Statistics
 */

/* Histogram of durations: bucket i counts those of 2^i to 2^(i+1) - 1 ns; the last is open. */
#define DSM_HIST_BUCKETS 40
struct dsm_hist {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t bucket[DSM_HIST_BUCKETS];
};

/* Counters of this rank since dsm_init(). Fields are only ever added, at the end. */
struct dsm_stats {
	uint64_t read_misses; /* faults and acquires that had to fetch a page to read */
	uint64_t read_misses_one_sided; /* of these, served without the home's CPU */
	uint64_t write_misses; /* writable page fetched */
	uint64_t write_upgrades; /* readable page made writable, no data moved */
	uint64_t home_faults; /* faults on pages that live here */
	uint64_t prefetched_pages; /* fetched ahead of a stream or by dsm_prefetch() */
	uint64_t invalidations; /* copies given up because another rank wrote */
	uint64_t downgrades; /* writable pages made readable for another rank */
	uint64_t evictions; /* copies given up because the cache was full */
	uint64_t write_backs; /* pages written to their home */
	uint64_t recalls_deferred; /* recalls that waited for a hold */
	uint64_t fetched_bytes; /* copied here from other ranks' memory */
	uint64_t written_bytes; /* copied from here to other ranks' memory */
	uint64_t messages_sent;
	uint64_t messages_received;
	uint64_t atomics_remote; /* dsm_fetch_add, dsm_compare_swap done at another rank */
	uint64_t lock_acquires;
	uint64_t lock_acquires_local; /* of these, without a message */
	uint64_t barriers;
	uint64_t cached_pages; /* gauge: 4 KiB frames of other ranks' pages here now */
	uint64_t home_pages; /* gauge: 4 KiB frames that live here now */
	struct dsm_hist read_miss_ns; /* from the fault's arrival at the agent to the wake-up */
	struct dsm_hist write_miss_ns;
	struct dsm_hist acquire_ns;
	struct dsm_hist lock_ns;
	struct dsm_hist barrier_ns;
};

/*
 * Copy this rank's counters into *stats. @size: sizeof(struct dsm_stats); an older program's
 * smaller struct gets the fields it knows. -EINVAL: size is 0. Does not block.
 */
int dsm_stats_get(struct dsm *dsm, struct dsm_stats *stats, size_t size);

/*
 * What the calling thread's last failed call has to say, in one or two sentences without a newline.
 * Never NULL; empty if none failed. Valid until the thread's next call into libdsm.
 */
const char *dsm_errmsg(void);

/* Version of the library that is loaded: major * 10000 + minor * 100 + patch; and as "0.1.0". */
unsigned dsm_version(void);
const char *dsm_version_string(void);

#ifdef __cplusplus
}
#endif

#endif /* DSM_DSM_H */
