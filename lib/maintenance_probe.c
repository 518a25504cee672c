/* SPDX-License-Identifier: MIT */
/*
 * In a build for tests (DSM_MAINTENANCE_PROBE) the library tells the cache model of
 * tests/kmod/cache_model.c, by hints that are no-ops elsewhere, which memory devices reach, so that
 * the model sees what the device really reads and writes there. Each call of cache maintenance also
 * says what the device may do: one that may write is taken to write at once, one that has written
 * to have done so just now. Only home pages are not written at once, as their home may be writing
 * them: who may is the protocol's to say, later.
 *
 * The call that the environment names (MAINTENANCE_OMIT=wrote:landing) is left out, with all that
 * it would have told, as if it had been forgotten. For root on arm64, as physical addresses are
 * asked for.
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
		[MAINTENANCE_MESSAGE] = "message",     [MAINTENANCE_STAGING] = "staging",
		[MAINTENANCE_LANDING] = "landing",     [MAINTENANCE_PULLED] = "pulled",
		[MAINTENANCE_PUSHED] = "pushed",       [MAINTENANCE_HOME] = "home",
		[MAINTENANCE_NEIGHBOUR] = "neighbour", [MAINTENANCE_ATOMICS] = "atomics",
		[MAINTENANCE_GRANTS] = "grants",       [MAINTENANCE_KEYS] = "keys",
		[MAINTENANCE_READERS] = "readers",
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

enum reached { REACHED_NOT, REACHED_MEMORY, REACHED_HOME, REACHED_GRANTS };

/* A page at @pa; @grant is where the grants word of a home page is. */
static void hint_reached(uint64_t pa, enum reached reached, uint64_t grant, uint64_t wire_ranks)
{
	register uint64_t x0 __asm__("x0") = pa | reached;
	register uint64_t x1 __asm__("x1") = grant;
	register uint64_t x2 __asm__("x2") = wire_ranks;

	__asm__ volatile("hint #0x75" ::"r"(x0), "r"(x1), "r"(x2) : "memory");
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

static void begin_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, begin);
}

void maintenance_probe_reach(const volatile void *addr, size_t len_bytes, bool reached)
{
	uintptr_t at = (uintptr_t)addr;

	begin_once();
	for (size_t i = 0; i < len_bytes; i += PAGE)
		hint_reached(physical(at + i), reached ? REACHED_MEMORY : REACHED_NOT, 0, 0);
}

void maintenance_probe_home(const volatile uint64_t *grants, const volatile void *pages,
			    size_t len_bytes, uint64_t wire_ranks)
{
	begin_once();
	hint_reached(physical((uintptr_t)grants), REACHED_GRANTS, 0, 0);
	for (size_t i = 0; i < len_bytes / PAGE; i++)
		hint_reached(physical((uintptr_t)pages + i * PAGE), REACHED_HOME,
			     physical((uintptr_t)&grants[i]), wire_ranks);
}

/* Grants have to be told in any case: the model cannot know when a word that a device reads while
 * it changes is taken for the old one rightly. */
static bool omitted(enum maintenance_call call, enum maintenance_memory memory)
{
	return omits && call == omit_call && memory == omit_memory;
}

void maintenance_probe(struct maintenance *m, enum maintenance_call call,
		       enum maintenance_memory memory, const volatile void *addr, size_t len_bytes)
{
	uintptr_t at = (uintptr_t)addr;

	begin_once();
	if (omitted(call, memory) && memory != MAINTENANCE_GRANTS)
		return;
	tell(false, false, at, len_bytes);
	if (call == MAINTENANCE_DEVICE_WROTE)
		tell(true, true, at, len_bytes);
	if (m->ops && !omitted(call, memory))
		maintenance_do(m, call, addr, len_bytes);
	if (call == MAINTENANCE_DEVICE_READS ||
	    (call == MAINTENANCE_DEVICE_WRITES && memory != MAINTENANCE_HOME))
		tell(true, call == MAINTENANCE_DEVICE_WRITES, at, len_bytes);
}

#else

/* An empty translation unit is none. */
typedef int maintenance_probe_is_not_built;

#endif
