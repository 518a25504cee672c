/* SPDX-License-Identifier: MIT */
/*
 * A fuzz of the calls: mostly sound in all but one thing, so that it gets far. Whatever is asked,
 * the module answers, and then works as before. What is not reached within the calls that are made
 * is a failure as well: each operation done, and each errno that there is to have.
 *
 * Two processes draw at once, from seeds of their own, over the same memory of the device.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES 24 /* of each kind of memory */
#define CALLS 10000 /* of each process */

static uint64_t seed;

struct fuzz {
	int fd;
	uint8_t *own; /* anonymous, with a hole and a part that is only read */
	uint8_t *device; /* the device's; pieces of it are unmapped and mapped */
	char pci[64]; /* a device's name */
	unsigned process;
	/* What was reached: */
	unsigned done[DSM_CACHE_FOR_CPU + 1]; /* by operation */
	unsigned range_err[EINVAL + 1], device_err[EINVAL + 1];
	unsigned info, info_fault, unknown, mapped, not_mapped;
};

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t below(uint64_t n)
{
	return draw() % n;
}

static size_t bytes(void)
{
	return PAGES * page_bytes();
}

static void draw_range(const struct fuzz *f, struct dsm_cache_range *r)
{
	uint64_t off = below(bytes());

	memset(r, 0, sizeof(*r));
	r->op = (uint32_t)below(DSM_CACHE_FOR_CPU) + DSM_CACHE_CLEAN;
	r->addr = (uintptr_t)(below(2) ? f->own : f->device) + off;
	r->len_bytes = below(bytes() - off) + 1;
	/* Half of them short, so that they lie beside the holes. */
	if (below(2))
		r->len_bytes = below(page_bytes()) + 1;
	switch (below(12)) {
	case 0:
		r->op = (uint32_t)draw();
		break;
	case 1:
		r->addr = draw();
		break;
	case 2:
		r->len_bytes = draw() >> below(64);
		break;
	case 3:
		((uint8_t *)r)[below(sizeof(*r))] = (uint8_t)draw();
		break;
	}
}

static void fuzz_range(struct fuzz *f)
{
	struct dsm_cache_range r, asked;
	int err;

	draw_range(f, &r);
	asked = r;
	err = call(f->fd, DSM_CACHE_RANGE, &r);
	CHECK(!err || err == -EINVAL || err == -E2BIG || err == -EFAULT);
	f->range_err[-err]++;
	if (err) {
		CHECK(!memcmp(&r, &asked, sizeof(r)));
		return;
	}
	f->done[r.op]++;
	CHECK(r.pages && r.pages <= DSM_CACHE_PAGES_MAX && r.runs && r.runs <= r.pages);
	CHECK(r.lines >= r.runs && !r.reserved && !r.flags);
	CHECK_EQ(r.addr, asked.addr);
	CHECK_EQ(r.len_bytes, asked.len_bytes);
}

static void fuzz_device(struct fuzz *f)
{
	static const char *const buses[] = { "pci", "platform", "usb", "", "platform/.." };
	struct dsm_cache_device d;
	int err;

	memset(&d, 0, sizeof(d));
	strcpy(d.bus, buses[below(5)]);
	if (below(2))
		strcpy(d.name, MODULE);
	else
		strcpy(d.name, f->pci);
	if (!below(4))
		((uint8_t *)&d)[below(sizeof(d))] = (uint8_t)draw();
	if (!below(8))
		memset(&d, (int)below(255) + 1, below(sizeof(d)));
	err = call(f->fd, DSM_CACHE_DEVICE, &d);
	CHECK(!err || err == -EINVAL || err == -ENODEV);
	f->device_err[-err]++;
	CHECK(err || d.coherent <= 1);
}

/* A structure of @len bytes at the end of memory, and a little beyond it; or none; or anywhere. */
static void *draw_place(const struct fuzz *f, size_t len)
{
	switch (below(4)) {
	case 0:
		return f->own + bytes() - len;
	case 1:
		return f->own + bytes() - len + 1 + below(len);
	case 2:
		return (void *)(uintptr_t)draw();
	default:
		return NULL;
	}
}

static void fuzz_info(struct fuzz *f)
{
	void *at = draw_place(f, sizeof(struct dsm_cache_info));
	int err = call(f->fd, DSM_CACHE_INFO, at);

	CHECK(!err || err == -EFAULT);
	if (err)
		f->info_fault++;
	else
		f->info++;
}

static void fuzz_command(struct fuzz *f)
{
	static const unsigned long calls[] = { DSM_CACHE_INFO, DSM_CACHE_RANGE, DSM_CACHE_DEVICE };
	unsigned long command = below(2) ? draw() : calls[below(3)] ^ 1ul << below(32);
	uint8_t arg[256];
	int err;

	for (size_t i = 0; i < sizeof(arg); i++)
		arg[i] = (uint8_t)draw();
	err = call(f->fd, command, arg);
	if (err == -ENOTTY)
		f->unknown++;
}

/* Pieces of the device's memory go away and come back, in blocks of any order. */
static void fuzz_mapping(struct fuzz *f)
{
	size_t page = page_bytes(), at = below(PAGES), n = below(PAGES - at) + 1;
	uint8_t *p = f->device + at * page;
	char order[8];

	switch (below(5)) {
	case 0:
		munmap(p, n * page);
		break;
	case 1:
		if (mmap(p, n * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f->fd,
			 (off_t)(at * page)) == MAP_FAILED)
			f->not_mapped++;
		else
			f->mapped++;
		break;
	case 2:
		mprotect(p, n * page, below(2) ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 3:
		if (mmap(NULL, n * page, PROT_READ, below(2) ? MAP_PRIVATE : MAP_SHARED, f->fd,
			 (off_t)(draw() & INT64_MAX & -(uint64_t)page)) == MAP_FAILED)
			f->not_mapped++;
		break;
	case 4:
		snprintf(order, sizeof(order), "%u", (unsigned)below(5));
		CHECK_EQ(parameter_set("max_contiguous_alloc_order", order), 0);
		break;
	}
}

static void check_reached(const struct fuzz *f)
{
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++)
		CHECK(f->done[op] > CALLS / 100);
	CHECK(f->range_err[EINVAL] && f->range_err[E2BIG] && f->range_err[EFAULT]);
	CHECK(f->device_err[0] && f->device_err[EINVAL] && f->device_err[ENODEV]);
	CHECK(f->info && f->info_fault && f->unknown && f->mapped && f->not_mapped);
}

static void draw_calls(void *f_)
{
	struct fuzz *f = f_;

	seed ^= f->process * UINT64_C(0x9e3779b97f4a7c15);
	for (int i = 0; i < CALLS; i++) {
		switch (below(8)) {
		case 0:
			fuzz_device(f);
			break;
		case 1:
			fuzz_info(f);
			break;
		case 2:
			fuzz_command(f);
			break;
		case 3:
			fuzz_mapping(f);
			break;
		default:
			fuzz_range(f);
		}
	}
	check_reached(f);
}

static void fuzz(void)
{
	const char *given = getenv("FUZZ_SEED");
	struct fuzz f = { .fd = device_open(), .own = pages_anonymous(PAGES + 1) };
	struct dsm_cache_range r;
	struct timespec now;
	int status;
	pid_t pid;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0)
		     : ((uint64_t)now.tv_sec << 32 | (uint64_t)now.tv_nsec);
	printf("    FUZZ_SEED=0x%llx\n", (unsigned long long)seed);
	fflush(stdout);
	f.device = pages_device(f.fd, PAGES);
	munmap(f.own + bytes(), page_bytes());
	munmap(f.own + 9 * page_bytes(), page_bytes());
	mprotect(f.own + 17 * page_bytes(), 2 * page_bytes(), PROT_READ);
	pci_device(f.pci, sizeof(f.pci));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		draw_calls(&f);
		_exit(0);
	}
	f.process = 1;
	CHECK_EQ(in_child(draw_calls, &f), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(account("pinned"), 0);
	CHECK_EQ(maintain(f.fd, DSM_CACHE_CLEAN, f.own, 9 * page_bytes(), &r), 0);
	CHECK_EQ(r.pages, 9);
}

const struct test tests_fuzz[] = {
	{ "fuzz", fuzz },
	{ NULL, NULL },
};
