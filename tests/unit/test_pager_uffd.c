/* SPDX-License-Identifier: MIT */
/*
 * The pager on userfaultfd, against this machine's kernel.
 *
 * A toucher is a second thread that makes one access; the test's own thread plays the agent. What a
 * toucher runs into is seen by next_fault(), that it went through by joining it.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include "error.h"
#include "pager.h"
#include "uffd.h"

#define BASE          0x7e8000000000ul
#define SPACE_BYTES   (2 * BLOCK_BYTES)
#define WAIT_MS       10000
#define SKIP_STATUS   77
#define FORBID_ROUNDS 2000

enum touch { TOUCH_READ, TOUCH_WRITE, TOUCH_SYSCALL };

struct toucher {
	pthread_t thread;
	enum touch touch;
	volatile uint8_t *addr;
	uint8_t value; /* to write, or read */
	int result; /* 0, the negative signal that it got, or what write(2) said */
	_Atomic pid_t tid;
	bool running;
};

struct fixture {
	struct space space;
	struct pager *pager;
	const struct pager_ops *ops;
	struct toucher toucher;
	_Alignas(4096) uint8_t src[64 * GRANULE_BYTES];
};

static _Thread_local sigjmp_buf on_signal;
static _Thread_local bool is_toucher;

/* A toucher's access failed: it says so. Another thread's is a bug: it happens again and kills. */
static void signal_handler(int sig)
{
	if (is_toucher)
		siglongjmp(on_signal, sig);
	signal(sig, SIG_DFL);
}

/* In the place of cmocka's, which sets its own before each test. */
static void install_handlers(void)
{
	struct sigaction sa = { .sa_handler = signal_handler };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

/* The kernel reads the byte for a system call. */
static int touch_in_syscall(const volatile uint8_t *addr)
{
	int fds[2];
	int result;

	if (pipe(fds))
		return -errno;
	result = write(fds[1], (const void *)addr, 1) == 1 ? 0 : -errno;
	close(fds[0]);
	close(fds[1]);
	return result;
}

static void *toucher_main(void *arg)
{
	struct toucher *t = arg;

	int sig;

	t->tid = gettid();
	is_toucher = true;
	install_handlers();
	sig = sigsetjmp(on_signal, 1);
	if (sig) {
		t->result = -sig;
		return NULL;
	}
	switch (t->touch) {
	case TOUCH_READ:
		t->value = *t->addr;
		break;
	case TOUCH_WRITE:
		*t->addr = t->value;
		break;
	case TOUCH_SYSCALL:
		t->result = touch_in_syscall(t->addr);
		break;
	}
	return NULL;
}

static uint8_t *addr_of(struct fixture *f, uint64_t granule)
{
	return segment_page(f->space.base, granule);
}

static void touch_begin(struct fixture *f, enum touch touch, uint64_t granule, uint8_t value)
{
	struct toucher *t = &f->toucher;

	t->touch = touch;
	t->addr = addr_of(f, granule) + 7;
	t->value = value;
	t->result = 0;
	t->running = true;
	assert_int_equal(pthread_create(&t->thread, NULL, toucher_main, t), 0);
}

/* Wait until the access went through (or did not: result); returns the byte. */
static uint8_t touch_end(struct fixture *f)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += WAIT_MS / 1000;
	assert_int_equal(pthread_timedjoin_np(f->toucher.thread, NULL, &deadline), 0);
	f->toucher.running = false;
	return f->toucher.value;
}

/* The next access that is stopped. */
static struct pager_fault next_fault(struct fixture *f)
{
	struct pollfd pfd = { .fd = f->pager->fd, .events = POLLIN };
	struct pager_fault fault;

	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
	assert_int_equal(f->ops->faults(f->pager, &fault, 1), 1);
	return fault;
}

static void expect_fault(struct fixture *f, uint64_t granule, bool write)
{
	struct pager_fault fault = next_fault(f);

	assert_int_equal(fault.granule, granule);
	assert_int_equal(fault.write, write);
	assert_int_equal(fault.offset, 7);
	assert_int_equal(fault.tid, f->toucher.tid);
}

static void expect_no_fault(struct fixture *f)
{
	struct pager_fault fault;

	assert_int_equal(f->ops->faults(f->pager, &fault, 1), 0);
}

static uint8_t read_freely(struct fixture *f, uint64_t granule)
{
	uint8_t value;

	touch_begin(f, TOUCH_READ, granule, 0);
	value = touch_end(f);
	expect_no_fault(f);
	assert_int_equal(f->toucher.result, 0);
	return value;
}

static void write_freely(struct fixture *f, uint64_t granule, uint8_t value)
{
	touch_begin(f, TOUCH_WRITE, granule, value);
	touch_end(f);
	expect_no_fault(f);
	assert_int_equal(f->toucher.result, 0);
}

/* A write is stopped; then it is let through. */
static void expect_protected(struct fixture *f, uint64_t granule, uint8_t value)
{
	touch_begin(f, TOUCH_WRITE, granule, value);
	expect_fault(f, granule, true);
	assert_int_equal(f->ops->allow_write(f->pager, granule, 1), 0);
	touch_end(f);
	assert_int_equal(addr_of(f, granule)[7], value);
}

static uint64_t segment_used(struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->space.memfd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static int map(struct fixture *f, uint64_t granule, uint64_t n, bool writable, const void *src,
	       bool frames)
{
	return f->ops->map(f->pager, granule, n, writable, src, frames);
}

static int setup_kind(void **state, enum uffd_kind kind, enum fault_kind handler)
{
	static struct fixture f;
	struct settings settings = { .uffd = kind, .fault_handler = handler };

	memset(&f, 0, sizeof(f));
	for (size_t i = 0; i < sizeof(f.src); i++)
		f.src[i] = (uint8_t)(1 + i / GRANULE_BYTES);
	if (space_init(&f.space, BASE, SPACE_BYTES, 2) || space_map(&f.space, 0, SPACE_BYTES) ||
	    pager_uffd_create(&f.pager, &f.space, &settings)) {
		fprintf(stderr, "%s\n", error_text());
		return -1;
	}
	f.ops = f.pager->ops;
	*state = &f;
	return f.ops->watch(f.pager, 0, SPACE_BYTES >> GRANULE_SHIFT);
}

static int setup(void **state)
{
	return setup_kind(state, UFFD_AUTO, FAULT_AGENT);
}

static int setup_user(void **state)
{
	return setup_kind(state, UFFD_USER, FAULT_AGENT);
}

static int setup_signal(void **state)
{
	return setup_kind(state, UFFD_AUTO, FAULT_INLINE);
}

/* Ending the pager lets go a toucher that a failed test left waiting. */
static int teardown(void **state)
{
	struct fixture *f = *state;

	f->ops->destroy(f->pager);
	if (f->toucher.running)
		pthread_join(f->toucher.thread, NULL);
	space_fini(&f->space);
	return 0;
}

static void map__copy_shows_src_and_stops_writes(void **state)
{
	struct fixture *f = *state;

	touch_begin(f, TOUCH_READ, 3, 0);
	expect_fault(f, 3, false);
	assert_int_equal(map(f, 3, 1, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
	assert_int_equal(memcmp(addr_of(f, 3), f->src, GRANULE_BYTES), 0);
	expect_protected(f, 3, 50);
}

static void map__copy_writable_stops_nothing(void **state)
{
	struct fixture *f = *state;

	touch_begin(f, TOUCH_WRITE, 3, 60);
	expect_fault(f, 3, true);
	assert_int_equal(map(f, 3, 1, true, f->src, false), 0);
	touch_end(f);
	assert_int_equal(addr_of(f, 3)[7], 60);
	assert_int_equal(addr_of(f, 3)[8], 1);
	write_freely(f, 3, 61);
}

static void map__refills_the_frame_of_an_earlier_copy(void **state)
{
	struct fixture *f = *state;
	uint64_t used;

	assert_int_equal(map(f, 0, 4, false, f->src, false), 0);
	assert_int_equal(f->ops->zap(f->pager, 0, 4), 0);
	used = segment_used(f);
	memset(f->src, 77, 4 * GRANULE_BYTES);
	touch_begin(f, TOUCH_READ, 2, 0);
	expect_fault(f, 2, false);
	assert_int_equal(map(f, 0, 4, false, f->src, true), 0);
	assert_int_equal(touch_end(f), 77);
	assert_int_equal(segment_used(f), used);
	expect_protected(f, 2, 78);
	expect_protected(f, 3, 79);
}

static void map__shows_frames_that_have_their_content(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(space_populate(&f->space, 0, 8 * GRANULE_BYTES), 0);
	segment_page(f->space.alias, 5)[7] = 33;
	touch_begin(f, TOUCH_READ, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(map(f, 0, 8, false, NULL, true), 0);
	assert_int_equal(touch_end(f), 33);
	assert_int_equal(read_freely(f, 4), 0);
	expect_protected(f, 5, 34);
	assert_int_equal(segment_page(f->space.alias, 5)[7], 34);
}

/* A home page: a write that finds nothing mapped is one fault, not two. */
static void map__writable_frame_answers_a_write_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(space_populate(&f->space, 0, GRANULE_BYTES), 0);
	touch_begin(f, TOUCH_WRITE, 0, 12);
	expect_fault(f, 0, true);
	assert_int_equal(map(f, 0, 1, true, NULL, true), 0);
	touch_end(f);
	expect_no_fault(f);
	assert_int_equal(segment_page(f->space.alias, 0)[7], 12);
}

static void map__of_a_hole_is_an_error_and_maps_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map(f, 0, 2, false, f->src, false), 0);
	assert_int_equal(f->ops->zap(f->pager, 0, 2), 0);
	assert_int_equal(map(f, 0, 3, false, NULL, true), -EFAULT);
	assert_non_null(strstr(error_text(), "UFFDIO_CONTINUE"));
	touch_begin(f, TOUCH_READ, 0, 0);
	expect_fault(f, 0, false);
	assert_int_equal(map(f, 0, 2, false, NULL, true), 0);
	assert_int_equal(touch_end(f), 1);
}

/* Runs by COPY and by CONTINUE over granules of which some are mapped, in each access. */
static void map__run_keeps_what_is_mapped(void **state)
{
	struct fixture *f = *state;
	uint8_t other[GRANULE_BYTES];

	memset(other, 200, sizeof(other));
	assert_int_equal(map(f, 0, 1, true, other, false), 0);
	assert_int_equal(map(f, 3, 1, true, other, false), 0);
	write_freely(f, 3, 201);
	assert_int_equal(map(f, 7, 1, false, other, false), 0);
	assert_int_equal(map(f, 0, 8, true, f->src, false), 0);
	for (uint64_t i = 0; i < 8; i++) {
		uint8_t expect = i == 0 || i == 7 ? 200 : i == 3 ? 201 : (uint8_t)(i + 1);

		assert_int_equal(read_freely(f, i), expect);
		write_freely(f, i, (uint8_t)(100 + i));
	}
	assert_int_equal(f->ops->zap(f->pager, 2, 3), 0);
	assert_int_equal(map(f, 0, 8, false, NULL, true), 0);
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(read_freely(f, i), 100 + i);
		expect_protected(f, i, 99);
	}
}

static void map__wakes_who_waits_for_a_mapped_granule(void **state)
{
	struct fixture *f = *state;

	/* The fault is taken before the mapping, and answered by a second one. */
	assert_int_equal(map(f, 1, 1, false, f->src, false), 0);
	touch_begin(f, TOUCH_WRITE, 1, 5);
	expect_fault(f, 1, true);
	assert_int_equal(map(f, 0, 2, true, f->src, false), 0);
	touch_end(f);
	assert_int_equal(addr_of(f, 1)[7], 5);
	assert_int_equal(addr_of(f, 1)[8], 1);
}

/* A reader that slept through the mapping of its granule is woken by the run that comes past. */
static void map__wakes_a_reader_of_a_mapped_granule(void **state)
{
	struct fixture *f = *state;
	struct uffdio_continue c = {
		.range = { (uintptr_t)addr_of(f, 1), GRANULE_BYTES },
		.mode = UFFDIO_CONTINUE_MODE_WP | UFFDIO_CONTINUE_MODE_DONTWAKE,
	};

	assert_int_equal(space_populate(&f->space, 0, 2 * GRANULE_BYTES), 0);
	touch_begin(f, TOUCH_READ, 1, 1);
	expect_fault(f, 1, false);
	assert_int_equal(ioctl(f->pager->fd, UFFDIO_CONTINUE, &c), 0);
	assert_int_equal(map(f, 0, 2, false, NULL, true), 0);
	assert_int_equal(touch_end(f), 0);
	expect_protected(f, 1, 4);
}

/* A look at a hole through the alias leaves a frame of zeros, which nobody may see. */
static void map__copy_replaces_a_stray_frame(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(*(volatile uint8_t *)segment_page(f->space.alias, 2), 0);
	assert_int_equal(segment_used(f), GRANULE_BYTES);
	touch_begin(f, TOUCH_READ, 2, 0);
	expect_fault(f, 2, false);
	assert_int_equal(map(f, 0, 4, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 3);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(memcmp(addr_of(f, i), f->src + i * GRANULE_BYTES, GRANULE_BYTES),
				 0);
	expect_protected(f, 2, 4);
}

static void map__follows_a_zap_or_drop_in_any_order(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++) {
		bool frames = i % 3;
		bool writable = i & 1;

		f->src[7] = (uint8_t)(100 + i);
		assert_int_equal(map(f, 9, 1, writable, f->src, frames), 0);
		assert_int_equal(read_freely(f, 9), 100 + i);
		if (writable)
			write_freely(f, 9, 5);
		else
			expect_protected(f, 9, 5);
		if (i % 3 == 2)
			assert_int_equal(f->ops->drop(f->pager, 9, 1), 0);
		else
			assert_int_equal(f->ops->zap(f->pager, 9, 1), 0);
	}
}

static void map__outside_what_is_watched_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->ops->unwatch(f->pager, 0, 512), 0);
	assert_int_equal(space_unmap(&f->space, 0, BLOCK_BYTES), 0);
	assert_int_equal(map(f, 0, 1, true, f->src, false), -ENOENT);
	assert_non_null(strstr(error_text(), "UFFDIO_COPY"));
}

/* Two words of a page: one is counted up until the other, seen through the alias, is set. */
struct counter {
	_Atomic uint64_t count;
	_Atomic uint64_t stop;
};

static void *increment(void *arg)
{
	struct counter *c = arg;

	while (!c->stop)
		atomic_fetch_add_explicit(&c->count, 1, memory_order_relaxed);
	return NULL;
}

/* A thread counts without pause: once forbid_write() is back, the count stands. */
static void forbid_write__lets_no_late_write_through(void **state)
{
	struct fixture *f = *state;
	struct counter *c = (struct counter *)addr_of(f, 4);
	struct counter *alias = (struct counter *)segment_page(f->space.alias, 4);
	pthread_t thread;

	memset(f->src, 0, GRANULE_BYTES);
	assert_int_equal(map(f, 4, 1, true, f->src, false), 0);
	assert_int_equal(pthread_create(&thread, NULL, increment, c), 0);
	for (int round = 0; round < FORBID_ROUNDS; round++) {
		struct pager_fault fault;
		uint64_t after;

		assert_int_equal(f->ops->forbid_write(f->pager, 4, 1), 0);
		after = c->count;
		fault = next_fault(f);
		assert_int_equal(fault.granule, 4);
		assert_true(fault.write);
		assert_int_equal(c->count, after);
		if (round == FORBID_ROUNDS - 1)
			alias->stop = 1;
		assert_int_equal(f->ops->allow_write(f->pager, 4, 1), 0);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void forbid_write__leaves_reading(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map(f, 0, 64, true, f->src, false), 0);
	assert_int_equal(f->ops->forbid_write(f->pager, 0, 64), 0);
	assert_int_equal(read_freely(f, 63), 64);
	expect_protected(f, 63, 3);
	expect_protected(f, 0, 3);
	assert_int_equal(f->ops->allow_write(f->pager, 0, 64), 0);
	write_freely(f, 31, 4);
}

static void zap__keeps_the_frame_and_its_content(void **state)
{
	struct fixture *f = *state;
	uint64_t used;

	assert_int_equal(map(f, 0, 3, true, f->src, false), 0);
	write_freely(f, 1, 90);
	used = segment_used(f);
	assert_int_equal(f->ops->zap(f->pager, 0, 3), 0);
	assert_int_equal(segment_used(f), used);
	assert_int_equal(segment_page(f->space.alias, 1)[7], 90);
	touch_begin(f, TOUCH_READ, 1, 0);
	expect_fault(f, 1, false);
	assert_int_equal(map(f, 1, 1, false, NULL, true), 0);
	assert_int_equal(touch_end(f), 90);
}

static void drop__frees_the_frame_and_stops_the_next_access(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map(f, 0, 3, true, f->src, false), 0);
	write_freely(f, 1, 90);
	assert_int_equal(segment_used(f), 3 * GRANULE_BYTES);
	assert_int_equal(f->ops->drop(f->pager, 0, 2), 0);
	assert_int_equal(segment_used(f), GRANULE_BYTES);
	assert_int_equal(read_freely(f, 2), 3);
	touch_begin(f, TOUCH_READ, 1, 0);
	expect_fault(f, 1, false);
	/* It waits for a page that is not there: its frame cannot be mapped. */
	assert_int_equal(map(f, 1, 1, false, NULL, true), -EFAULT);
	assert_int_equal(map(f, 1, 1, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
}

/* Protected granules leave a marker in the page table, which must not stand in for the page. */
static void drop__of_protected_granules_stops_reads(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map(f, 0, 2, false, f->src, false), 0);
	assert_int_equal(f->ops->drop(f->pager, 0, 2), 0);
	touch_begin(f, TOUCH_READ, 0, 0);
	expect_fault(f, 0, false);
	assert_int_equal(map(f, 0, 2, true, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
	write_freely(f, 1, 1);
}

static void poison__raises_SIGBUS_until_it_is_zapped(void **state)
{
	struct fixture *f = *state;

	/* Of all kinds: mapped, protected, zapped, never had. */
	assert_int_equal(map(f, 0, 1, true, f->src, false), 0);
	assert_int_equal(map(f, 1, 2, false, f->src, false), 0);
	assert_int_equal(f->ops->zap(f->pager, 2, 1), 0);
	assert_int_equal(f->ops->poison(f->pager, 0, 4), 0);
	for (uint64_t i = 0; i < 4; i++) {
		touch_begin(f, i & 1 ? TOUCH_WRITE : TOUCH_READ, i, 0);
		touch_end(f);
		assert_int_equal(f->toucher.result, -SIGBUS);
		expect_no_fault(f);
	}
	assert_int_equal(f->ops->zap(f->pager, 0, 4), 0);
	touch_begin(f, TOUCH_READ, 1, 0);
	expect_fault(f, 1, false);
	assert_int_equal(map(f, 0, 3, false, f->src, true), 0);
	assert_int_equal(touch_end(f), 2);
}

static void poison__reaches_a_thread_that_waits(void **state)
{
	struct fixture *f = *state;

	touch_begin(f, TOUCH_READ, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(f->ops->poison(f->pager, 4, 4), 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, -SIGBUS);
	/* Again, over what is poisoned. */
	assert_int_equal(f->ops->poison(f->pager, 4, 4), 0);
	touch_begin(f, TOUCH_WRITE, 5, 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, -SIGBUS);
}

static void poison__can_be_mapped_over(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->ops->poison(f->pager, 0, 1), 0);
	assert_int_equal(f->ops->zap(f->pager, 0, 1), 0);
	assert_int_equal(map(f, 0, 1, false, f->src, false), 0);
	assert_int_equal(read_freely(f, 0), 1);
}

static void wake__makes_a_thread_try_again(void **state)
{
	struct fixture *f = *state;

	touch_begin(f, TOUCH_READ, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(f->ops->wake(f->pager, 0, 8), 0);
	expect_fault(f, 5, false);
	assert_int_equal(map(f, 5, 1, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
}

/* Reclaim, played by a zap that nobody was told of. */
static void map__brings_back_what_the_kernel_unmapped(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map(f, 5, 1, true, f->src, false), 0);
	write_freely(f, 5, 9);
	assert_int_equal(madvise(addr_of(f, 5), GRANULE_BYTES, MADV_DONTNEED), 0);
	touch_begin(f, TOUCH_WRITE, 5, 10);
	expect_fault(f, 5, true);
	assert_int_equal(map(f, 5, 1, true, NULL, true), 0);
	touch_end(f);
	assert_int_equal(addr_of(f, 5)[7], 10);
	assert_int_equal(addr_of(f, 5)[8], 1);
}

static void faults__gives_several_at_once_and_no_more_than_asked(void **state)
{
	struct fixture *f = *state;
	struct toucher touchers[5];
	struct pager_fault faults[PAGER_FAULTS_MAX];
	unsigned seen = 0;
	int n = 0;

	expect_no_fault(f);
	for (int i = 0; i < 5; i++) {
		touchers[i] = (struct toucher){ .addr = addr_of(f, (uint64_t)i) };
		assert_int_equal(
			pthread_create(&touchers[i].thread, NULL, toucher_main, &touchers[i]), 0);
	}
	while (n < 5) {
		struct pollfd pfd = { .fd = f->pager->fd, .events = POLLIN };
		int got;

		assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
		got = f->ops->faults(f->pager, faults, 2);
		assert_in_range(got, 1, 2);
		for (int i = 0; i < got; i++) {
			assert_int_equal(faults[i].tid, touchers[faults[i].granule].tid);
			seen |= 1u << faults[i].granule;
		}
		n += got;
	}
	assert_int_equal(seen, 31);
	expect_no_fault(f);
	assert_int_equal(map(f, 0, 5, false, f->src, false), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pthread_join(touchers[i].thread, NULL), 0);
		assert_int_equal(touchers[i].value, i + 1);
	}
}

static void syscall_access__is_reported_like_any_other(void **state)
{
	struct fixture *f = *state;
	struct pager_probe probe;

	pager_uffd_probe(&probe);
	if (probe.device_errno && probe.syscall_errno)
		skip();
	touch_begin(f, TOUCH_SYSCALL, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(map(f, 5, 1, false, f->src, false), 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, 0);
}

static void syscall_access__fails_in_user_mode_unless_mapped(void **state)
{
	struct fixture *f = *state;

	touch_begin(f, TOUCH_SYSCALL, 5, 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, -EFAULT);
	expect_no_fault(f);
	touch_begin(f, TOUCH_READ, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(map(f, 5, 1, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
	touch_begin(f, TOUCH_SYSCALL, 5, 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, 0);
}

static void unwatch__turns_a_waiting_thread_away(void **state)
{
	struct fixture *f = *state;

	touch_begin(f, TOUCH_READ, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(f->ops->unwatch(f->pager, 0, 512), 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, -SIGSEGV);
	/* The other half is watched still. */
	touch_begin(f, TOUCH_READ, 600, 0);
	expect_fault(f, 600, false);
	assert_int_equal(map(f, 600, 1, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
}

static void watch__says_what_cannot_be_watched(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->ops->unwatch(f->pager, 0, 512), 0);
	assert_int_equal(space_unmap(&f->space, 0, BLOCK_BYTES), 0);
	assert_int_not_equal(f->ops->watch(f->pager, 1u << 20, 1), 0);
	assert_non_null(strstr(error_text(), "UFFDIO_REGISTER"));
	assert_int_equal(space_map(&f->space, 0, BLOCK_BYTES), 0);
	assert_int_equal(f->ops->watch(f->pager, 0, 512), 0);
	touch_begin(f, TOUCH_READ, 5, 0);
	expect_fault(f, 5, false);
	assert_int_equal(map(f, 5, 1, false, f->src, false), 0);
	assert_int_equal(touch_end(f), 1);
}

static void expect_signal(struct fixture *f, enum touch touch, uint64_t granule)
{
	touch_begin(f, touch, granule, 0);
	touch_end(f);
	assert_int_equal(f->toucher.result, touch == TOUCH_SYSCALL ? -EFAULT : -SIGBUS);
	expect_no_fault(f);
}

/* Every kind of fault is a signal, and none an event; what is mapped works as ever. */
static void signal__comes_instead_of_an_event(void **state)
{
	struct fixture *f = *state;

	expect_signal(f, TOUCH_READ, 3);
	expect_signal(f, TOUCH_WRITE, 3);
	expect_signal(f, TOUCH_SYSCALL, 3);
	assert_int_equal(map(f, 3, 2, false, f->src, false), 0);
	assert_int_equal(read_freely(f, 3), 1);
	expect_signal(f, TOUCH_WRITE, 4);
	assert_int_equal(f->ops->allow_write(f->pager, 4, 1), 0);
	write_freely(f, 4, 9);
	assert_int_equal(f->ops->zap(f->pager, 3, 2), 0);
	expect_signal(f, TOUCH_READ, 4);
	assert_int_equal(map(f, 3, 2, true, NULL, true), 0);
	assert_int_equal(read_freely(f, 4), 9);
}

/* What lets threads go on changes the words of its granules, and only while somebody waits. */
static void signal__words_change_for_those_who_wait(void **state)
{
	struct fixture *f = *state;
	uint32_t before[8], *word;

	for (unsigned waiting = 0; waiting < 2; waiting++) {
		f->pager->waits->waiting = waiting;
		for (uint64_t g = 0; g < 8; g++)
			before[g] = *pager_wait_word(f->pager, g);
		assert_int_equal(map(f, 0, 2, false, f->src, false), 0);
		assert_int_equal(f->ops->allow_write(f->pager, 0, 1), 0);
		assert_int_equal(f->ops->poison(f->pager, 2, 2), 0);
		assert_int_equal(f->ops->wake(f->pager, 4, 1), 0);
		assert_int_equal(f->ops->zap(f->pager, 0, 4), 0);
		assert_int_equal(f->ops->forbid_write(f->pager, 0, 8), 0);
		assert_int_equal(f->ops->drop(f->pager, 0, 8), 0);
		for (uint64_t g = 0; g < 8; g++) {
			word = pager_wait_word(f->pager, g);
			if (waiting && g < 5)
				assert_int_not_equal(*word, before[g]);
			else
				assert_int_equal(*word, before[g]);
		}
	}
}

/* The exit status of a child without privilege that asks for full userfaultfd: 0 if it is refused
 * with the remedies named, SKIP_STATUS if it gets one. */
static int open_without_privilege(void)
{
	bool user_only;
	int fd;

	if (setgid(65534) || setuid(65534))
		return SKIP_STATUS;
	fd = uffd_open(UFFD_KERNEL, false, &user_only);
	if (fd >= 0)
		return SKIP_STATUS;
	if (fd != -EPERM || !strstr(error_text(), "/dev/userfaultfd") ||
	    !strstr(error_text(), "vm.unprivileged_userfaultfd=1"))
		return 1;
	fd = uffd_open(UFFD_USER, false, &user_only);
	return fd >= 0 && user_only ? 0 : 2;
}

static void open__without_privilege_names_the_remedies(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(open_without_privilege());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIP_STATUS)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void probe__finds_what_the_pager_needs(void **state)
{
	struct pager_probe probe;
	char names[512];

	(void)state;
	pager_uffd_probe(&probe);
	assert_int_equal(probe.missing, 0);
	assert_int_equal(probe.features & UFFD_NEEDED, UFFD_NEEDED);
	assert_true(probe.map_protected);
	pager_uffd_feature_names(probe.features, names, sizeof(names));
	assert_non_null(strstr(names, "MINOR_SHMEM"));
}

static void feature_names__fits_its_buffer(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(pager_uffd_feature_names(0, buf, sizeof(buf)), "");
	assert_string_equal(
		pager_uffd_feature_names(UFFD_FEATURE_POISON | UFFD_FEATURE_MOVE, buf, sizeof(buf)),
		"POISON MOVE");
	memset(buf, 'x', sizeof(buf));
	pager_uffd_feature_names(UINT64_MAX, buf, 8);
	assert_true(strnlen(buf, 8) < 8);
	assert_int_equal(buf[8], 'x');
}

#define fixture_test(f)        cmocka_unit_test_setup_teardown(f, setup, teardown)
#define fixture_test_user(f)   cmocka_unit_test_setup_teardown(f, setup_user, teardown)
#define fixture_test_signal(f) cmocka_unit_test_setup_teardown(f, setup_signal, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(map__copy_shows_src_and_stops_writes),
		fixture_test(map__copy_writable_stops_nothing),
		fixture_test(map__refills_the_frame_of_an_earlier_copy),
		fixture_test(map__shows_frames_that_have_their_content),
		fixture_test(map__writable_frame_answers_a_write_at_once),
		fixture_test(map__of_a_hole_is_an_error_and_maps_nothing),
		fixture_test(map__run_keeps_what_is_mapped),
		fixture_test(map__wakes_who_waits_for_a_mapped_granule),
		fixture_test(map__wakes_a_reader_of_a_mapped_granule),
		fixture_test(map__copy_replaces_a_stray_frame),
		fixture_test(map__follows_a_zap_or_drop_in_any_order),
		fixture_test(map__outside_what_is_watched_is_an_error),
		fixture_test(map__brings_back_what_the_kernel_unmapped),
		fixture_test(forbid_write__lets_no_late_write_through),
		fixture_test(forbid_write__leaves_reading),
		fixture_test(zap__keeps_the_frame_and_its_content),
		fixture_test(drop__frees_the_frame_and_stops_the_next_access),
		fixture_test(drop__of_protected_granules_stops_reads),
		fixture_test(poison__raises_SIGBUS_until_it_is_zapped),
		fixture_test(poison__reaches_a_thread_that_waits),
		fixture_test(poison__can_be_mapped_over),
		fixture_test(wake__makes_a_thread_try_again),
		fixture_test(faults__gives_several_at_once_and_no_more_than_asked),
		fixture_test(syscall_access__is_reported_like_any_other),
		fixture_test_user(syscall_access__fails_in_user_mode_unless_mapped),
		fixture_test(unwatch__turns_a_waiting_thread_away),
		fixture_test(watch__says_what_cannot_be_watched),
		fixture_test_signal(signal__comes_instead_of_an_event),
		fixture_test_signal(signal__words_change_for_those_who_wait),
		cmocka_unit_test(open__without_privilege_names_the_remedies),
		cmocka_unit_test(probe__finds_what_the_pager_needs),
		cmocka_unit_test(feature_names__fits_its_buffer),
	};
	bool user_only;
	int fd;

	if (RUNNING_ON_VALGRIND) {
		printf("skipped: valgrind runs one thread at a time, and a page fault does not "
		       "make it switch\n");
		return SKIP_STATUS;
	}
	fd = uffd_open(UFFD_AUTO, false, &user_only);
	if (fd < 0) {
		printf("skipped: %s\n", error_text());
		return SKIP_STATUS;
	}
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
