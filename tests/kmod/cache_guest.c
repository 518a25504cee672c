/* SPDX-License-Identifier: MIT */
/*
 * Runs in an arm64 guest whose QEMU has the plugin cache_model: sixteen pages, a device that is
 * played by hints, and what goes wrong with and without maintenance, by the module's own calls and
 * through libdsm's back ends. Prints what each report must say; cache.sh compares.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dsm_cache.h"
#include "error.h"
#include "maintenance_internal.h"

#define PAGE       4096
#define PAGES      16
#define LINE       64
#define LINES      (PAGES * PAGE / LINE)
#define LEN        ((size_t)PAGES * PAGE)
#define KNOWN_HERE 0x8000000000000000 /* in /proc/self/pagemap */

static uint8_t *p; /* the pages */
static uint64_t physical[PAGES];
static unsigned reports;
static int device;

static void die(const char *what)
{
	printf("cache_guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void hint(unsigned which, uint64_t a, uint64_t b)
{
	register uint64_t x0 __asm__("x0") = a;
	register uint64_t x1 __asm__("x1") = b;

	switch (which) {
	case 0x70:
		__asm__ volatile("hint #0x70" ::"r"(x0), "r"(x1) : "memory");
		break;
	case 0x71:
		__asm__ volatile("hint #0x71" ::"r"(x0), "r"(x1) : "memory");
		break;
	case 0x72:
		__asm__ volatile("hint #0x72" ::"r"(x0), "r"(x1) : "memory");
		break;
	case 0x73:
		__asm__ volatile("hint #0x73" ::"r"(x0), "r"(x1) : "memory");
		break;
	}
}

static void device_reads(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		hint(0x70, physical[i], PAGE);
}

static void device_writes(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		hint(0x71, physical[i], PAGE);
}

/* Nothing is in the cache, and nothing has gone wrong. */
static void begin(void)
{
	hint(0x73, 0, 0);
}

static void expect(const char *what, unsigned dirty, unsigned stale, unsigned lost,
		   unsigned hazards)
{
	hint(0x72, ++reports, 0);
	printf("%u dirty_reads %u stale_loads %u lost_writes %u hazards %u # %s\n", reports, dirty,
	       stale, lost, hazards, what);
}

static void cpu_writes(void)
{
	memset(p, (int)reports + 1, LEN);
}

static void cpu_reads(void)
{
	for (size_t i = 0; i < LEN; i += LINE)
		(void)*(volatile uint8_t *)(p + i);
}

static void range(enum dsm_cache_op op, size_t off, size_t len)
{
	struct dsm_cache_range r = { .op = op, .addr = (uintptr_t)p + off, .len_bytes = len };

	if (ioctl(device, DSM_CACHE_RANGE, &r))
		die("DSM_CACHE_RANGE");
}

/* What a device reads: dirty, unless it was cleaned. */
static void sends(void)
{
	begin();
	cpu_writes();
	device_reads();
	expect("written, a device reads", LINES, 0, 0, 0);
	begin();
	cpu_writes();
	range(DSM_CACHE_CLEAN, 0, LEN);
	device_reads();
	expect("written, cleaned, a device reads", 0, 0, 0, 0);
	begin();
	cpu_writes();
	range(DSM_CACHE_CLEAN, 0, LEN / 2);
	device_reads();
	expect("written, half of it cleaned, a device reads", LINES / 2, 0, 0, 0);
	begin();
	cpu_writes();
	range(DSM_CACHE_FOR_DEVICE, 0, LEN);
	device_reads();
	expect("written, for-device, a device reads", 0, 0, 0, 0);
}

/* What the processor reads behind a device: stale, unless it was dropped. */
static void receives(enum dsm_cache_op op, const char *what)
{
	begin();
	cpu_reads();
	device_writes();
	range(op, 0, LEN);
	cpu_reads();
	expect(what, 0, 0, 0, 0);
}

static void all_receives(void)
{
	begin();
	cpu_reads();
	device_writes();
	cpu_reads();
	expect("a device writes, read", 0, LINES, 0, 0);
	begin();
	cpu_reads();
	device_writes();
	range(DSM_CACHE_CLEAN, 0, LEN);
	cpu_reads();
	expect("a device writes, cleaned, read", 0, LINES, 0, 0);
	receives(DSM_CACHE_INVALIDATE, "a device writes, invalidated, read");
	receives(DSM_CACHE_CLEAN_INVALIDATE, "a device writes, cleaned and invalidated, read");
	receives(DSM_CACHE_FOR_CPU, "a device writes, for-cpu, read");
}

/* What is lost when lines are dropped that are dirty, or written back too late. */
static void losses(void)
{
	begin();
	cpu_writes();
	range(DSM_CACHE_INVALIDATE, 0, LEN);
	expect("written, invalidated", 0, 0, LINES, 0);
	begin();
	cpu_writes();
	range(DSM_CACHE_FOR_CPU, 0, LEN);
	expect("written, for-cpu", 0, 0, LINES, 0);
	begin();
	cpu_writes();
	range(DSM_CACHE_INVALIDATE, 10, LEN - 20);
	expect("written, all but the ends invalidated", 0, 0, LINES - 2, 0);
	begin();
	cpu_writes();
	device_writes();
	expect("written, a device writes", 0, 0, 0, LINES);
	range(DSM_CACHE_CLEAN, 0, LEN);
	expect("... then cleaned", 0, 0, LINES, 0);
	begin();
	cpu_writes();
	range(DSM_CACHE_CLEAN, 0, LEN);
	device_writes();
	range(DSM_CACHE_INVALIDATE, 0, LEN);
	cpu_reads();
	expect("written, cleaned, a device writes, invalidated, read", 0, 0, 0, 0);
}

static void unprivileged(void)
{
	begin();
	cpu_writes();
	if (seteuid(65534))
		die("seteuid");
	range(DSM_CACHE_INVALIDATE, 0, LEN);
	range(DSM_CACHE_FOR_CPU, 0, LEN);
	if (seteuid(0))
		die("seteuid");
	expect("written, invalidated by who may not drop lines", 0, 0, 0, 0);
}

/* Out and back in, as a transport does it. */
static void library(enum maintenance_kind kind, bool helps)
{
	struct maintenance m;

	if (maintenance_init(&m, kind, "mlx0")) {
		printf("cache_guest: %s\n", error_text());
		exit(1);
	}
	begin();
	cpu_writes();
	maintenance_device_reads(&m, MAINTENANCE_HOME, p, LEN);
	device_reads();
	expect(maintenance_name(&m), helps ? 0 : LINES, 0, 0, 0);
	cpu_writes();
	maintenance_device_writes(&m, MAINTENANCE_LANDING, p, LEN);
	device_writes();
	expect(maintenance_name(&m), 0, 0, 0, helps ? 0 : LINES);
	cpu_reads();
	begin();
	cpu_reads();
	device_writes();
	maintenance_device_wrote(&m, MAINTENANCE_LANDING, p, LEN);
	cpu_reads();
	expect(maintenance_name(&m), 0, helps ? 0 : LINES, 0, 0);
	maintenance_fini(&m);
}

static void find_pages(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mlock(p, LEN))
		die("memory");
	memset(p, 1, LEN);
	for (unsigned i = 0; i < PAGES; i++) {
		off_t at = (off_t)((uintptr_t)p / PAGE + i) * 8;

		if (fd < 0 || pread(fd, &entry, 8, at) != 8 || !(entry & KNOWN_HERE))
			die("/proc/self/pagemap");
		physical[i] = (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
	}
	close(fd);
}

int main(void)
{
	device = open(DSM_CACHE_PATH, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(DSM_CACHE_PATH);
	find_pages();
	sends();
	all_receives();
	losses();
	unprivileged();
	library(MAINTENANCE_NONE, false);
	library(MAINTENANCE_USER, true);
	library(MAINTENANCE_KERNEL, true);
	return 0;
}
