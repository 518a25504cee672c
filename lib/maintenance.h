/* SPDX-License-Identifier: MIT */
/*
 * Cache maintenance: what the processor's caches and memory must do where a device reads and writes
 * memory past the caches.
 *
 * A transport says what a device is about to do, or has done, with a piece of memory; the back end
 * that was chosen at init knows what follows from that:
 *
 *   none    nothing: the device sees the caches, as on every x86, or there is no device
 *   user    the processor's own instructions, which a program may use (arm64: dc cvac, dc civac;
 *           x86: clwb, clflushopt, clflush)
 *   kernel  the module dsm_cache (kmod/), through /dev/dsm_cache: where it is asked for, or where
 *           programs have no such instructions
 *
 * Between maintenance_device_writes() and maintenance_device_wrote() the CPU leaves the memory
 * alone: a line it dirtied there could be evicted over what the device wrote, and no call mends it.
 *
 * None fails: what the module refuses is done by the instructions. Any thread.
 */
#ifndef DSM_MAINTENANCE_H
#define DSM_MAINTENANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

/* Which memory it is, and whose: for tests that leave one single call out. */
enum maintenance_memory {
	MAINTENANCE_MESSAGE, /* where messages land, and copies of those on their way out */
	MAINTENANCE_STAGING, /* copies of pages on their way out */
	MAINTENANCE_LANDING, /* where one-sided reads land */
	MAINTENANCE_PULLED, /* where granted pages land that are read */
	MAINTENANCE_PUSHED, /* where granted pages land that their home writes */
	MAINTENANCE_HOME, /* pages of home blocks, written by their home or by devices */
	MAINTENANCE_NEIGHBOUR, /* the same, written by a rank that shares memory with their home */
	MAINTENANCE_ATOMICS, /* the same, written by remote atomics */
	MAINTENANCE_GRANTS, /* written by the home's CPU, read by devices */
	MAINTENANCE_KEYS, /* of home blocks: the table that is read, and where it is read to */
	MAINTENANCE_READERS, /* written by devices, read by the home's CPU */
};

struct maintenance;

/* All over whole lines: the first and the last may reach beyond [addr, addr + len_bytes). */
struct maintenance_ops {
	const char *name; /* "user" */
	/* Memory gets what the caches hold. */
	void (*clean)(struct maintenance *m, uintptr_t addr, size_t len_bytes);
	/* And the caches keep nothing. */
	void (*flush)(struct maintenance *m, uintptr_t addr, size_t len_bytes);
	/* The caches keep nothing; there is nothing dirty, or flush() would be meant. */
	void (*invalidate)(struct maintenance *m, uintptr_t addr, size_t len_bytes);
};

struct maintenance {
	const struct maintenance_ops *ops; /* NULL: none */
	int fd; /* of the module's device; -1 */
	atomic_bool refused; /* the module refused a range, and that was logged */
	char why[160]; /* a clause: why this back end */
};

/*
 * Choose a back end for an RDMA device (its name, such as "mlx5_0"; NULL: for no device).
 *
 * -ENODEV, -EACCES, -EPROTO: @kind is MAINTENANCE_KERNEL and the module is not loaded, may not be
 * opened, or is of another version; -EOPNOTSUPP: the processor has no such instructions.
 */
int maintenance_init(struct maintenance *m, enum maintenance_kind kind, const char *device);
void maintenance_fini(struct maintenance *m);

/* "none", "user", "kernel" */
static inline const char *maintenance_name(const struct maintenance *m)
{
	return m->ops ? m->ops->name : "none";
}

/* One call of a transport: which, and about which memory. */
enum maintenance_call {
	MAINTENANCE_DEVICE_READS,
	MAINTENANCE_DEVICE_WRITES,
	MAINTENANCE_DEVICE_WROTE
};

/* Out of line what the calls below do; only with m->ops. */
void maintenance_do(struct maintenance *m, enum maintenance_call call, const volatile void *addr,
		    size_t len_bytes);

#ifdef DSM_MAINTENANCE_PROBE
/* For tests: maintenance_probe.c. */
void maintenance_probe(struct maintenance *m, enum maintenance_call call,
		       enum maintenance_memory memory, const volatile void *addr, size_t len_bytes);
void maintenance_probe_reach(const volatile void *addr, size_t len_bytes, bool reached);
void maintenance_probe_home(const volatile uint64_t *grants, const volatile void *pages,
			    size_t len_bytes, uint64_t wire_ranks);
#endif

/* For tests: devices reach this memory from now on, or no more. */
static inline void maintenance_reach(const volatile void *addr, size_t len_bytes, bool reached)
{
#ifdef DSM_MAINTENANCE_PROBE
	maintenance_probe_reach(addr, len_bytes, reached);
#else
	(void)addr;
	(void)len_bytes;
	(void)reached;
#endif
}

/* For tests: of what devices reach these are home pages and their grants, which say when a page
 * that was read is used; wire_ranks: the first 64 of those who come through a device. */
static inline void maintenance_reach_home(const volatile uint64_t *grants,
					  const volatile void *pages, size_t len_bytes,
					  uint64_t wire_ranks)
{
#ifdef DSM_MAINTENANCE_PROBE
	maintenance_probe_home(grants, pages, len_bytes, wire_ranks);
#else
	(void)grants;
	(void)pages;
	(void)len_bytes;
	(void)wire_ranks;
#endif
}

static inline void maintenance_call(struct maintenance *m, enum maintenance_call call,
				    enum maintenance_memory memory, const volatile void *addr,
				    size_t len_bytes)
{
#ifdef DSM_MAINTENANCE_PROBE
	maintenance_probe(m, call, memory, addr, len_bytes);
#else
	(void)memory;
	if (m->ops)
		maintenance_do(m, call, addr, len_bytes);
#endif
}

/*
 * A device may read this memory from now on, and gets what the CPU wrote so far. Before the
 * doorbell for what is sent or written from here; after the last store to what others read from
 * here, before they are told that they may.
 */
static inline void maintenance_device_reads(struct maintenance *m, enum maintenance_memory memory,
					    const volatile void *addr, size_t len_bytes)
{
	maintenance_call(m, MAINTENANCE_DEVICE_READS, memory, addr, len_bytes);
}

/*
 * A device may write this memory from now on. Needed once after the CPU wrote it, so mostly when it
 * is registered; memory that the CPU only reads between two writes of a device needs none.
 */
static inline void maintenance_device_writes(struct maintenance *m, enum maintenance_memory memory,
					     const volatile void *addr, size_t len_bytes)
{
	maintenance_call(m, MAINTENANCE_DEVICE_WRITES, memory, addr, len_bytes);
}

/* A device has written this memory: loads behind this call see it. After the completion, or the
 * message that tells of it, and before the first load. */
static inline void maintenance_device_wrote(struct maintenance *m, enum maintenance_memory memory,
					    const volatile void *addr, size_t len_bytes)
{
	maintenance_call(m, MAINTENANCE_DEVICE_WROTE, memory, addr, len_bytes);
}

#endif
