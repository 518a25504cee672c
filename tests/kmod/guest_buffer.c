/* SPDX-License-Identifier: MIT */
/*
 * The device's own memory: blocks of every order, mappings that are split, shared and gone, limits.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void order_is(unsigned order)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", order);
	CHECK_EQ(parameter_set("max_contiguous_alloc_order", text), 0);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

/* One access brings one block, of so many pages that follow one another in memory. */
static void orders(void)
{
	long fallbacks = account("fallbacks_ever");
	size_t page = page_bytes();

	for (unsigned order = 0; order <= 9; order++) {
		int fd = device_open();
		size_t n = (size_t)1 << order;
		uint8_t *p = pages_device(fd, 4 * n);
		struct dsm_cache_range r;

		order_is(order);
		CHECK_EQ(account("blocks"), 0);
		p[n * page + 5] = 1;
		CHECK_EQ(account("blocks"), 1);
		CHECK_EQ(account("pages"), n);
		p[3 * n * page] = 1;
		CHECK_EQ(account("blocks"), 2);
		CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p + n * page, n * page, &r), 0);
		CHECK_EQ(r.runs, 1);
		CHECK_EQ(r.pages, n);
		CHECK_EQ(account("blocks"), 2);
		close(fd);
		CHECK_EQ(account("pages"), 2 * n);
		munmap(p, 4 * n * page);
		CHECK_EQ(account("pages"), 0);
	}
	CHECK_EQ(account("fallbacks_ever"), fallbacks);
}

static void zeroed_and_kept(void)
{
	size_t page = page_bytes(), len = 64 * page;
	int fd = device_open();
	uint8_t *p, *q;

	order_is(3);
	p = pages_device(fd, 64);
	CHECK(all_zero(p, len));
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i % 251);
	munmap(p, len);
	/* The file keeps it, wherever it is mapped. */
	p = pages_device(fd, 64);
	q = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(13 * page));
	CHECK(q != MAP_FAILED);
	for (size_t i = 0; i < len; i++)
		CHECK_EQ(p[i], i % 251);
	CHECK(!memcmp(q, p + 13 * page, 8 * page));
	q[0] = 77;
	CHECK_EQ(p[13 * page], 77);
}

/* Whoever opens it anew sees nothing of what others wrote. */
static void openers_are_apart(void)
{
	int a = device_open(), b = device_open();
	uint8_t *p = pages_device(a, 4), *q = pages_device(b, 4);

	memset(p, 0xaa, 4 * page_bytes());
	CHECK(all_zero(q, 4 * page_bytes()));
	CHECK_EQ(account("files"), 2);
	CHECK_EQ(account("blocks"), 8);
	close(a);
	/* The mapping holds the file. */
	CHECK_EQ(account("files"), 2);
	munmap(p, 4 * page_bytes());
	CHECK_EQ(account("files"), 1);
	CHECK_EQ(account("blocks"), 4);
}

static void splits(void)
{
	size_t page = page_bytes();
	int fd = device_open();
	uint8_t *p = pages_device(fd, 16);
	long closes = account("closes_ever");

	order_is(4);
	memset(p, 1, 16 * page);
	CHECK_EQ(account("mappings"), 1);
	munmap(p + 5 * page, 3 * page);
	CHECK_EQ(account("mappings"), 2);
	CHECK_EQ(account("closes_ever"), closes + 1);
	CHECK_EQ(mprotect(p + 10 * page, page, PROT_READ), 0);
	CHECK_EQ(account("mappings"), 4);
	CHECK(p[4 * page] == 1 && p[8 * page] == 1 && p[10 * page] == 1 && p[15 * page] == 1);
	munmap(p, 16 * page);
	CHECK_EQ(account("mappings"), 0);
	CHECK_EQ(account("closes_ever"), closes + 5);
	/* The block is the file's, and whole. */
	CHECK_EQ(account("blocks"), 1);
	p = pages_device(fd, 16);
	CHECK_EQ(p[6 * page], 1);
}

static void moved_and_grown(void)
{
	size_t page = page_bytes();
	int fd = device_open();
	uint8_t *p = pages_device(fd, 8), *to, *q;

	memset(p, 3, 8 * page);
	CHECK(mremap(p, 8 * page, 16 * page, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	to = mmap(NULL, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	q = mremap(p, 8 * page, 8 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(q == to);
	CHECK_EQ(q[7 * page], 3);
	CHECK_EQ(account("mappings"), 1);
}

static void write_in_child(void *p)
{
	CHECK_EQ(account("mappings"), 2);
	memset(p, 9, page_bytes());
	/* A block that the parent never touched. */
	((uint8_t *)p)[5 * page_bytes()] = 8;
}

static void forks(void)
{
	int fd = device_open();
	uint8_t *p = pages_device(fd, 8);

	p[0] = 1;
	CHECK_EQ(in_child(write_in_child, p), 0);
	CHECK_EQ(p[0], 9);
	CHECK_EQ(p[5 * page_bytes()], 8);
	CHECK_EQ(account("mappings"), 1);
	CHECK_EQ(account("blocks"), 2);
}

/* Blocks of one order beside blocks of another: none overlaps. */
static void order_changes(void)
{
	size_t page = page_bytes();
	int fd = device_open();
	uint8_t *p = pages_device(fd, 32);
	struct dsm_cache_range r;
	long fallbacks = account("fallbacks_ever");

	order_is(0);
	p[5 * page] = 1;
	order_is(4);
	/* 16 pages and 8 would overlap page 5; 4 from page 0 on do not. */
	p[0] = 2;
	CHECK_EQ(account("pages"), 5);
	CHECK_EQ(account("fallbacks_ever"), fallbacks + 1);
	p[16 * page] = 3;
	CHECK_EQ(account("pages"), 21);
	CHECK(p[5 * page] == 1 && p[0] == 2);
	CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p, 32 * page, &r), 0);
	CHECK_EQ(r.pages, 32);
	CHECK_EQ(account("pages"), 32);
}

static void order_refused(void)
{
	CHECK_EQ(parameter_set("max_contiguous_alloc_order", "64"), -EINVAL);
	CHECK_EQ(parameter_set("max_contiguous_alloc_order", "-1"), -EINVAL);
	CHECK_EQ(parameter_set("max_contiguous_alloc_order", "x"), -EINVAL);
}

static void mappings_refused(void)
{
	size_t page = page_bytes();
	int fd = device_open();

	CHECK(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(parameter_set("max_pages", "16"), 0);
	CHECK(mmap(NULL, 17 * page, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK_EQ(errno, ENOMEM);
	CHECK(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)(16 * page)) == MAP_FAILED);
	CHECK_EQ(errno, ENOMEM);
	CHECK(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)(INT64_MAX & -(int64_t)page)) ==
	      MAP_FAILED);
}

static void touch_all(void *p)
{
	for (size_t i = 0; i < 16; i++)
		((volatile uint8_t *)p)[i * page_bytes()] = 1;
}

/* Beyond the limit there is nothing, and what there is stays usable. */
static void limit(void)
{
	size_t page = page_bytes();
	int a = device_open(), b = device_open();
	uint8_t *p = pages_device(a, 16), *q = pages_device(b, 16);

	CHECK_EQ(parameter_set("max_pages", "20"), 0);
	order_is(3);
	touch_all(p);
	CHECK_EQ(account("pages"), 16);
	CHECK_EQ(in_child(touch_all, q), 256 + SIGBUS);
	/* A block of eight pages, or of four that is beyond, was not taken. */
	CHECK(account("pages") <= 20);
	CHECK_EQ(p[15 * page], 1);
	close(a);
	munmap(p, 16 * page);
	CHECK_EQ(in_child(touch_all, q), 0);
	CHECK_EQ(account("pages") <= 20, 1);
}

/* Memory that is pinned outlives its file: here by the module itself, over another file. */
static void maintained_through_another(void)
{
	int a = device_open(), b = device_open();
	uint8_t *p = pages_device(a, 8);
	struct dsm_cache_range r;

	order_is(3);
	memset(p, 5, 8 * page_bytes());
	close(a);
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++) {
		CHECK_EQ(maintain(b, op, p, 8 * page_bytes(), &r), 0);
		CHECK_EQ(r.runs, 1);
	}
	CHECK_EQ(p[7 * page_bytes()], 5);
}

const struct test tests_buffer[] = {
	{ "buffer: orders", orders },
	{ "buffer: zeroed and kept", zeroed_and_kept },
	{ "buffer: openers are apart", openers_are_apart },
	{ "buffer: splits", splits },
	{ "buffer: moved, not grown", moved_and_grown },
	{ "buffer: fork", forks },
	{ "buffer: the order changes", order_changes },
	{ "buffer: no such order", order_refused },
	{ "buffer: mappings that are refused", mappings_refused },
	{ "buffer: limit", limit },
	{ "buffer: maintained through another file", maintained_through_another },
	{ NULL, NULL },
};
