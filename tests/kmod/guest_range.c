/* SPDX-License-Identifier: MIT */
/*
 * Ranges: every operation, over every kind of memory; what the results say; who may drop lines.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct dsm_cache_info info_of(int fd)
{
	struct dsm_cache_info info;

	CHECK_EQ(call(fd, DSM_CACHE_INFO, &info), 0);
	return info;
}

static void info(void)
{
	struct dsm_cache_info i = info_of(device_open());

	CHECK_EQ(i.version, DSM_CACHE_VERSION);
	CHECK_EQ(i.page_bytes, page_bytes());
	CHECK_EQ(i.pages_max, DSM_CACHE_PAGES_MAX);
	CHECK(i.line_bytes >= 16 && i.line_bytes <= 2048);
	CHECK_EQ(i.line_bytes & (i.line_bytes - 1), 0);
	CHECK_EQ(i.ops, 0x3e);
	CHECK_EQ(i.discards, ARM64);
	CHECK(!i.reserved[0] && !i.reserved[1]);
}

static bool drops(enum dsm_cache_op op)
{
	return op == DSM_CACHE_INVALIDATE || op == DSM_CACHE_FOR_CPU;
}

/* Lines from the one that holds at to the one that holds at + len - 1. */
static uint64_t lines_between(uint64_t at, uint64_t len, uint64_t line)
{
	return (at + len - 1) / line - at / line + 1;
}

static void check_results(const struct dsm_cache_range *r, uint32_t line)
{
	CHECK_EQ(r->pages,
		 (r->addr + r->len_bytes - 1) / page_bytes() - r->addr / page_bytes() + 1);
	CHECK(r->runs >= 1 && r->runs <= r->pages);
	/* Runs begin and end between lines, but for the range's own ends. */
	CHECK_EQ(r->lines, lines_between(r->addr, r->len_bytes, line));
	CHECK_EQ(r->line_bytes, line);
	CHECK(r->pin_ns > 0 && r->work_ns > 0);
	CHECK_EQ(r->reserved, 0);
}

/* Every operation, with ends at and around the borders of lines and pages. */
static void every_op(void)
{
	static const int around[] = { -1, 0, 1, 7, 63, 64, 65 };
	size_t n = sizeof(around) / sizeof(around[0]), page = page_bytes();
	uint8_t *p = pages_anonymous(4), *copy = malloc(4 * page);
	int fd = device_open();
	uint32_t line = info_of(fd).line_bytes;
	struct dsm_cache_range r;

	memcpy(copy, p, 4 * page);
	/* Nothing dirty, so that dropping drops nothing. */
	CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p, 4 * page, &r), 0);
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++) {
		for (size_t i = 0; i < n * n * 2; i++) {
			size_t begin = page + (size_t)around[i % n];
			size_t end = (i / n / n ? 2 : 3) * page + (size_t)around[i / n % n];
			long lines = account("lines_ever");

			CHECK_EQ(maintain(fd, op, p + begin, end - begin, &r), 0);
			check_results(&r, line);
			CHECK_EQ(account("lines_ever"), lines + (long)r.lines);
			CHECK_EQ(r.cleaned, !ARM64 && drops(op));
		}
		CHECK_EQ(maintain(fd, op, p + page - 1, 1, &r), 0);
		check_results(&r, line);
		CHECK(!memcmp(copy, p, 4 * page));
	}
}

/* Pages that nobody has touched, pages of files, huge pages, pages that are only read. */
static void every_memory(void)
{
	size_t page = page_bytes(), huge = (size_t)4 << 20;
	int fd = device_open(), mem = memfd_create("pages", MFD_CLOEXEC);
	struct dsm_cache_range r;
	uint8_t *p;

	p = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(maintain(fd, DSM_CACHE_INVALIDATE, p, 8 * page, &r), 0);
	CHECK_EQ(r.pages, 8);

	CHECK_EQ(ftruncate(mem, (off_t)(8 * page)), 0);
	p = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	CHECK(p != MAP_FAILED);
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++) {
		memset(p, (int)op, 8 * page);
		CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p, 8 * page, &r), 0);
		CHECK_EQ(maintain(fd, op, p, 8 * page, &r), 0);
		CHECK_EQ(p[5 * page], op);
	}
	p = mmap(NULL, 8 * page, PROT_READ, MAP_SHARED, mem, 0);
	CHECK(p != MAP_FAILED);
	CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN_INVALIDATE, p, 8 * page, &r), 0);
	CHECK_EQ(maintain(fd, DSM_CACHE_FOR_DEVICE, p, 8 * page, &r), 0);

	p = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	madvise(p, huge, MADV_HUGEPAGE);
	memset(p, 1, huge);
	CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p, huge, &r), 0);
	CHECK_EQ(r.pages, huge / page);
}

/* The largest range that there may be. */
static void most_pages(void)
{
	size_t len = DSM_CACHE_PAGES_MAX * page_bytes();
	int fd = device_open();
	struct dsm_cache_range r;
	uint8_t *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	/* All of them the page of zeros, or huge pages of it: no memory is used. */
	CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p, len, &r), 0);
	CHECK_EQ(r.pages, DSM_CACHE_PAGES_MAX);
}

static void nobody(void *fd_)
{
	int fd = *(int *)fd_;
	uint8_t *p = pages_anonymous(2);
	struct dsm_cache_range r;

	CHECK(open(DSM_CACHE_PATH, O_RDWR | O_CLOEXEC) >= 0);
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setgid(65534), 0);
	CHECK_EQ(setuid(65534), 0);
	CHECK_EQ(info_of(fd).discards, 0);
	for (enum dsm_cache_op op = DSM_CACHE_CLEAN; op <= DSM_CACHE_FOR_CPU; op++) {
		CHECK_EQ(maintain(fd, op, p, 2 * page_bytes(), &r), 0);
		CHECK_EQ(r.cleaned, drops(op));
	}
}

/* Whoever may not see all memory gets no line dropped that was not written back. */
static void unprivileged(void)
{
	int fd = device_open();

	CHECK_EQ(in_child(nobody, &fd), 0);
}

static void trusted(void *fd_)
{
	int fd = *(int *)fd_;
	uint8_t *p = pages_anonymous(1);
	struct dsm_cache_range r;

	CHECK_EQ(setuid(65534), 0);
	CHECK_EQ(info_of(fd).discards, ARM64);
	CHECK_EQ(maintain(fd, DSM_CACHE_INVALIDATE, p, page_bytes(), &r), 0);
	CHECK_EQ(r.cleaned, !ARM64);
}

static void unprivileged_but_trusted(void)
{
	int fd = device_open();

	CHECK_EQ(parameter_set("trust_group", "1"), 0);
	CHECK_EQ(in_child(trusted, &fd), 0);
}

struct racer {
	uint8_t *p;
	atomic_bool *stop;
};

static void *map_and_unmap(void *arg)
{
	struct racer *racer = arg;

	while (!*racer->stop) {
		munmap(racer->p + 4 * page_bytes(), 4 * page_bytes());
		mmap(racer->p + 4 * page_bytes(), 4 * page_bytes(), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
	return NULL;
}

/* Pages that go away and come back meanwhile: done, or -EFAULT, and nothing stays pinned. */
static void unmapped_meanwhile(void)
{
	atomic_bool stop = false;
	struct racer racer = { .p = pages_anonymous(12), .stop = &stop };
	int fd = device_open();
	struct dsm_cache_range r;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, map_and_unmap, &racer), 0);
	for (int i = 0; i < 2000; i++) {
		int err = maintain(fd, DSM_CACHE_INVALIDATE, racer.p, 12 * page_bytes(), &r);

		CHECK(!err || err == -14);
	}
	stop = true;
	pthread_join(thread, NULL);
	CHECK_EQ(account("pinned"), 0);
}

static void maintain_for_ever(void *arg)
{
	size_t len = DSM_CACHE_PAGES_MAX / 4 * page_bytes();
	uint8_t *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = device_open(), told = *(int *)arg;
	struct dsm_cache_range r;

	CHECK(p != MAP_FAILED);
	for (bool first = true;; first = false) {
		CHECK_EQ(maintain(fd, DSM_CACHE_CLEAN, p, len, &r), 0);
		CHECK(!first || write(told, "", 1) == 1);
	}
}

/* A caller that dies in the middle leaves nothing pinned. */
static void killed_meanwhile(void)
{
	int pipes[2], status;
	char byte;

	CHECK_EQ(pipe(pipes), 0);
	for (useconds_t us = 0; us < 20000; us += 1000) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			maintain_for_ever(&pipes[1]);
		CHECK_EQ(read(pipes[0], &byte, 1), 1);
		/* At a different place each time. */
		usleep(us);
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		CHECK_EQ(account("pinned"), 0);
		CHECK_EQ(account("files"), 0);
	}
}

const struct test tests_range[] = {
	{ "info", info },
	{ "range: every op", every_op },
	{ "range: every memory", every_memory },
	{ "range: most pages", most_pages },
	{ "range: unprivileged", unprivileged },
	{ "range: unprivileged but trusted", unprivileged_but_trusted },
	{ "range: unmapped meanwhile", unmapped_meanwhile },
	{ "range: killed meanwhile", killed_meanwhile },
	{ NULL, NULL },
};
