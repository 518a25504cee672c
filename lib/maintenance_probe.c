/* SPDX-License-Identifier: MIT */
/*
 * In a build for tests (DSM_MAINTENANCE_PROBE) each call of cache maintenance also tells the cache
 * model of tests/kmod/cache_model.c, by hints that are no-ops elsewhere, what the device does with
 * that memory; and the call that the environment names (MAINTENANCE_OMIT=wrote:landing) is left
 * out, to see what goes wrong without it. For root on arm64, as it asks for physical addresses.
 *
 * A device that may write is taken to write at once, one that has written to have done so just now.
 * Only home pages are not written at once, as their home may be writing them: who may is the
 * protocol's to say, later.
 */
#define _GNU_SOURCE
#include "maintenance_internal.h"

#ifdef DSM_MAINTENANCE_PROBE

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

#define PAGE     4096
#define PFN_MASK ((UINT64_C(1) << 55) - 1)
#define HERE     (UINT64_C(1) << 63)
#define POPULATE 22 /* MADV_POPULATE_READ */
#define HINT(n)  __asm__ volatile("hint #" #n ::"r"(x0), "r"(x1) : "memory")

static int pagemap = -1;
static enum maintenance_call omit_call;
static enum maintenance_memory omit_memory;
static bool omits;

static void begin(void)
{
	static const char *const calls[] = { [MAINTENANCE_DEVICE_READS] = "reads",
					     [MAINTENANCE_DEVICE_WRITES] = "writes",
					     [MAINTENANCE_DEVICE_WROTE] = "wrote" };
	static const char *const memories[] = {
		[MAINTENANCE_MESSAGE] = "message", [MAINTENANCE_STAGING] = "staging",
		[MAINTENANCE_LANDING] = "landing", [MAINTENANCE_PULLED] = "pulled",
		[MAINTENANCE_HOME] = "home",       [MAINTENANCE_NEIGHBOUR] = "neighbour",
		[MAINTENANCE_ATOMICS] = "atomics", [MAINTENANCE_GRANTS] = "grants",
		[MAINTENANCE_KEYS] = "keys",       [MAINTENANCE_READERS] = "readers",
	};
	const char *omit = getenv("MAINTENANCE_OMIT");
	char name[32];

	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (unsigned c = 0; omit && c < sizeof(calls) / sizeof(calls[0]); c++) {
		for (unsigned m = 0; m < sizeof(memories) / sizeof(memories[0]); m++) {
			snprintf(name, sizeof(name), "%s:%s", calls[c], memories[m]);
			if (strcmp(name, omit))
				continue;
			omits = true;
			omit_call = (enum maintenance_call)c;
			omit_memory = (enum maintenance_memory)m;
		}
	}
	if (omit && omit[0] && !omits) {
		log_error("MAINTENANCE_OMIT=%s names no call", omit);
		abort();
	}
}

static uint64_t physical(uintptr_t addr)
{
	uintptr_t page = addr & ~(uintptr_t)(PAGE - 1);
	uint64_t entry;

	/* Without a load of the program's own, which the model would see. */
	(void)madvise((void *)page, PAGE, POPULATE);
	if (pread(pagemap, &entry, sizeof(entry), (off_t)(page / PAGE * sizeof(entry))) !=
		    sizeof(entry) ||
	    !(entry & HERE) || !(entry & PFN_MASK)) {
		log_error("no physical address of 0x%zx; is this root?", (size_t)addr);
		abort();
	}
	return (entry & PFN_MASK) * PAGE + addr % PAGE;
}

static void hint_mapped(uint64_t va, uint64_t pa)
{
	register uint64_t x0 __asm__("x0") = va;
	register uint64_t x1 __asm__("x1") = pa;

	HINT(0x74);
}

static void hint_device(bool writes, uint64_t pa, uint64_t len_bytes)
{
	register uint64_t x0 __asm__("x0") = pa;
	register uint64_t x1 __asm__("x1") = len_bytes;

	if (writes)
		HINT(0x71);
	else
		HINT(0x70);
}

/* @device: what it does is said; else where the pages are, for what the call is about to do. */
static void tell(bool device, bool writes, uintptr_t addr, size_t len_bytes)
{
	size_t piece;
	uint64_t pa;

	for (; len_bytes; addr += piece, len_bytes -= piece) {
		piece = PAGE - addr % PAGE;
		if (piece > len_bytes)
			piece = len_bytes;
		pa = physical(addr);
		if (device)
			hint_device(writes, pa, piece);
		else
			hint_mapped(addr, pa);
	}
}

void maintenance_probe(struct maintenance *m, enum maintenance_call call,
		       enum maintenance_memory memory, const volatile void *addr, size_t len_bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uintptr_t at = (uintptr_t)addr;

	pthread_once(&once, begin);
	tell(false, false, at, len_bytes);
	if (call == MAINTENANCE_DEVICE_WROTE)
		tell(true, true, at, len_bytes);
	if (m->ops && !(omits && call == omit_call && memory == omit_memory))
		maintenance_do(m, call, addr, len_bytes);
	if (call == MAINTENANCE_DEVICE_READS ||
	    (call == MAINTENANCE_DEVICE_WRITES && memory != MAINTENANCE_HOME))
		tell(true, call == MAINTENANCE_DEVICE_WRITES, at, len_bytes);
}

#else

/* An empty translation unit is none. */
typedef int maintenance_probe_is_not_built;

#endif
