/* SPDX-License-Identifier: MIT */
/*
 * What is refused, and with which errno.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* In the kernel's half of the address space. */
#define KERNEL_ADDRESS ((uint64_t)0xffff800010000000)

static int refused(int fd, const struct dsm_cache_range *asked)
{
	struct dsm_cache_range r = *asked;
	int err = call(fd, DSM_CACHE_RANGE, &r);

	/* Results are written on success alone. */
	CHECK(!memcmp(&r, asked, sizeof(r)));
	CHECK_EQ(account("pinned"), 0);
	return err;
}

static void invalid(void)
{
	uint8_t *p = pages_anonymous(2);
	const struct dsm_cache_range good = {
		.op = DSM_CACHE_CLEAN,
		.addr = (uintptr_t)p,
		.len_bytes = 2 * page_bytes(),
	};
	int fd = device_open();
	struct dsm_cache_range r;
	long before = account("refused_ever");

	r = good, r.op = 0;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r = good, r.op = DSM_CACHE_FOR_CPU + 1;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r = good, r.op = UINT32_MAX;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r = good, r.flags = 1;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r = good, r.reserved = 1;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r = good, r.len_bytes = 0;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	CHECK_EQ(account("refused_ever"), before + 6);
	r = good;
	CHECK_EQ(call(fd, DSM_CACHE_RANGE, &r), 0);
}

static void wraps(void)
{
	int fd = device_open();
	struct dsm_cache_range r = { .op = DSM_CACHE_CLEAN, .addr = (uintptr_t)pages_anonymous(1) };

	r.len_bytes = UINT64_MAX;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r.len_bytes = UINT64_MAX - r.addr + 1;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	/* Ends in the last page of all, whose end is no address. */
	r.len_bytes = UINT64_MAX - r.addr;
	CHECK_EQ(refused(fd, &r), -EINVAL);
	r.addr = UINT64_MAX;
	r.len_bytes = 1;
	CHECK_EQ(refused(fd, &r), -EINVAL);
}

static void too_many_pages(void)
{
	size_t page = page_bytes();
	int fd = device_open();
	struct dsm_cache_range r = { .op = DSM_CACHE_CLEAN, .addr = (uintptr_t)pages_anonymous(1) };

	r.len_bytes = DSM_CACHE_PAGES_MAX * page + 1;
	CHECK_EQ(refused(fd, &r), -E2BIG);
	/* As many bytes, but over one page more. */
	r.addr += 1;
	r.len_bytes = DSM_CACHE_PAGES_MAX * page;
	CHECK_EQ(refused(fd, &r), -E2BIG);
	r.addr = 0;
	r.len_bytes = UINT64_MAX / 2;
	CHECK_EQ(refused(fd, &r), -E2BIG);
}

static void not_mapped(void)
{
	size_t page = page_bytes();
	uint8_t *p = pages_anonymous(40);
	int fd = device_open();
	struct dsm_cache_range r = { .addr = (uintptr_t)p, .len_bytes = 40 * page };

	munmap(p + 30 * page, page);
	CHECK_EQ(mprotect(p + 35 * page, page, PROT_NONE), 0);
	for (r.op = DSM_CACHE_CLEAN; r.op <= DSM_CACHE_FOR_CPU; r.op++) {
		r.addr = (uintptr_t)p;
		CHECK_EQ(refused(fd, &r), -EFAULT);
		r.addr = (uintptr_t)p + 30 * page;
		r.len_bytes = page;
		CHECK_EQ(refused(fd, &r), -EFAULT);
		r.addr = (uintptr_t)p + 35 * page;
		CHECK_EQ(refused(fd, &r), -EFAULT);
		r.addr = 0;
		CHECK_EQ(refused(fd, &r), -EFAULT);
		r.addr = KERNEL_ADDRESS;
		CHECK_EQ(refused(fd, &r), -EFAULT);
		r.len_bytes = 40 * page;
	}
}

/* Dropping lines changes what memory holds: not for whoever may only read it. */
static void not_writable(void)
{
	uint8_t *p = pages_anonymous(1);
	int fd = device_open(), self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct dsm_cache_range r = { .addr = (uintptr_t)p, .len_bytes = page_bytes() };

	CHECK_EQ(mprotect(p, page_bytes(), PROT_READ), 0);
	r.op = DSM_CACHE_INVALIDATE;
	CHECK_EQ(refused(fd, &r), -EFAULT);
	r.op = DSM_CACHE_FOR_CPU;
	CHECK_EQ(refused(fd, &r), -EFAULT);
	r.op = DSM_CACHE_CLEAN;
	CHECK_EQ(call(fd, DSM_CACHE_RANGE, &r), 0);
	/* A file that everybody uses. */
	p = mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED, self, 0);
	CHECK(p != MAP_FAILED);
	memset(&r, 0, sizeof(r));
	r.op = DSM_CACHE_INVALIDATE;
	r.addr = (uintptr_t)p;
	r.len_bytes = page_bytes();
	CHECK_EQ(refused(fd, &r), -EFAULT);
}

static void bad_structures(void)
{
	static const unsigned long calls[] = { DSM_CACHE_INFO, DSM_CACHE_RANGE, DSM_CACHE_DEVICE };
	struct dsm_cache_range *r = (void *)pages_anonymous(1);
	int fd = device_open();

	for (size_t i = 0; i < 3; i++) {
		CHECK_EQ(call(fd, calls[i], NULL), -EFAULT);
		CHECK_EQ(call(fd, calls[i], (void *)(uintptr_t)KERNEL_ADDRESS), -EFAULT);
	}
	memset(r, 0, sizeof(*r));
	r->op = DSM_CACHE_CLEAN;
	r->addr = (uintptr_t)r;
	r->len_bytes = 1;
	/* Good, but the results cannot be told. */
	CHECK_EQ(mprotect(r, page_bytes(), PROT_READ), 0);
	CHECK_EQ(call(fd, DSM_CACHE_RANGE, r), -EFAULT);
	CHECK_EQ(call(fd, DSM_CACHE_INFO, r), -EFAULT);
	CHECK_EQ(account("pinned"), 0);
}

static void unknown_calls(void)
{
	char arg[256] = { 0 };
	int fd = device_open();

	CHECK_EQ(call(fd, 0, arg), -ENOTTY);
	CHECK_EQ(call(fd, _IO(DSM_CACHE_IOCTL, 0), arg), -ENOTTY);
	CHECK_EQ(call(fd, _IO(DSM_CACHE_IOCTL, 99), arg), -ENOTTY);
	/* The next version's larger structure. */
	CHECK_EQ(call(fd, _IOC(_IOC_READ | _IOC_WRITE, DSM_CACHE_IOCTL, 1, 88), arg), -ENOTTY);
	CHECK_EQ(call(fd, DSM_CACHE_RANGE ^ 0x100, arg), -ENOTTY);
	CHECK(read(fd, arg, 1) < 0 && errno == EINVAL);
	CHECK(write(fd, arg, 1) < 0 && errno == EINVAL);
}

static void devices(void)
{
	struct dsm_cache_device d = { .bus = "platform", .name = MODULE };
	int fd = device_open();

	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), 0);
	CHECK_EQ(d.coherent, !ARM64);
	d.reserved = 1;
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), -EINVAL);
	d.reserved = 0;
	strcpy(d.name, "no such device");
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), -ENODEV);
	strcpy(d.bus, "pci");
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), -ENODEV);
	/* One of the guest's own: coherent, by QEMU's word. */
	pci_device(d.name, sizeof(d.name));
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), 0);
	CHECK_EQ(d.coherent, 1);
	strcpy(d.bus, "usb");
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), -EINVAL);
	memset(d.bus, 'p', sizeof(d.bus));
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), -EINVAL);
	strcpy(d.bus, "pci");
	memset(d.name, '0', sizeof(d.name));
	CHECK_EQ(call(fd, DSM_CACHE_DEVICE, &d), -EINVAL);
}

const struct test tests_error[] = {
	{ "error: -EINVAL", invalid },
	{ "error: a range that wraps", wraps },
	{ "error: -E2BIG", too_many_pages },
	{ "error: not mapped", not_mapped },
	{ "error: not writable", not_writable },
	{ "error: structures that cannot be read or written", bad_structures },
	{ "error: unknown calls", unknown_calls },
	{ "devices", devices },
	{ NULL, NULL },
};
