/* SPDX-License-Identifier: MIT */
/*
 * The reservation, the segment behind it, and giving memory to parts of it and taking it back.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "machine.h"
#include "space.h"
#include "valgrind_here.h"

#define BASE        0x7e8000000000ul
#define SPACE_BYTES (8 * BLOCK_BYTES)

/* Bytes of memory that the segment has. */
static uint64_t segment_used(const struct space *s)
{
	struct stat st;

	assert_int_equal(fstat(s->memfd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Descriptors and mappings of this process, to see that nothing is left behind. */
static int count_lines(const char *path)
{
	FILE *f = fopen(path, "re");
	int lines = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

static int lowest_free_fd(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static int setup(void **state)
{
	static struct space s;

	*state = &s;
	return space_init(&s, BASE, SPACE_BYTES, 4);
}

static int teardown(void **state)
{
	space_fini(*state);
	return 0;
}

static void space_segment_bytes__counts_pages_grants_and_readers(void **state)
{
	(void)state;
	assert_int_equal(space_segment_bytes(BLOCK_BYTES, 1), BLOCK_BYTES + 4096 + 4096);
	assert_int_equal(space_segment_bytes(BLOCK_BYTES, 3), BLOCK_BYTES + 4096 + 3 * 4096);
	assert_int_equal(space_segment_bytes(1ul << 40, 1), (1ul << 40) + (1ul << 32));
}

static void space_init__reserves_the_range_without_access(void **state)
{
	struct space *s = *state;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[256], access[5];
	bool found = false;
	uintptr_t from, to;

	assert_ptr_equal(s->base, (void *)BASE);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, access) == 3 &&
		    from <= BASE && to >= BASE + SPACE_BYTES)
			found = !strcmp(access, "---p");
	}
	fclose(f);
	assert_true(found);
}

static void space_init__segment_is_private_sealed_and_sparse(void **state)
{
	struct space *s = *state;
	struct stat st;

	assert_int_equal(fstat(s->memfd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, s->segment_bytes);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(fcntl(s->memfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(ftruncate(s->memfd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(s->memfd, (off_t)s->segment_bytes * 2), -1);
	assert_int_equal(errno, EPERM);
}

static void space_init__names_the_mapping_that_collides(void **state)
{
	struct space s;
	char expect[64];
	int fd = lowest_free_fd();
	int maps;
	void *taken;

	(void)state;
	taken = mmap((void *)(BASE + BLOCK_BYTES), 4096, PROT_READ,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(taken, (void *)(BASE + BLOCK_BYTES));
	maps = count_lines("/proc/self/maps");
	assert_int_equal(space_init(&s, BASE, SPACE_BYTES, 2), -EADDRINUSE);
	snprintf(expect, sizeof(expect), "\"%lx-%lx r--p", BASE + BLOCK_BYTES,
		 BASE + BLOCK_BYTES + 4096);
	assert_non_null(strstr(error_text(), expect));
	assert_non_null(strstr(error_text(), "DSM_BASE"));
	assert_int_equal(count_lines("/proc/self/maps"), maps);
	assert_int_equal(lowest_free_fd(), fd);
	munmap(taken, 4096);
}

static void space_init__refuses_what_is_not_whole_blocks(void **state)
{
	struct space s;

	(void)state;
	assert_int_equal(space_init(&s, BASE, 4096, 2), -EINVAL);
	assert_int_equal(space_init(&s, BASE, 0, 2), -EINVAL);
	assert_int_equal(space_init(&s, BASE + 4096, SPACE_BYTES, 2), -EINVAL);
	assert_int_equal(space_init(&s, BASE, UINT64_MAX - BLOCK_BYTES + 1, 2), -EINVAL);
	assert_non_null(strstr(error_text(), "DSM_SPACE"));
}

static void space_init__says_when_the_file_size_limit_is_too_low(void **state)
{
	struct rlimit old, low;
	struct space s;
	int fd = lowest_free_fd();
	int err;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = old;
	low.rlim_cur = BLOCK_BYTES;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	err = space_init(&s, BASE, SPACE_BYTES, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(err, -ENOMEM);
	assert_non_null(strstr(error_text(), "ulimit -f"));
	assert_int_equal(lowest_free_fd(), fd);
	/* The reservation was undone. */
	assert_int_equal(space_init(&s, BASE, SPACE_BYTES, 2), 0);
	space_fini(&s);
}

static void space_init__says_when_addresses_run_out(void **state)
{
	struct space s;
	int maps = count_lines("/proc/self/maps");
	int fd = lowest_free_fd();

	(void)state;
	/* More than the addresses of a process reach, from here. Which errno says so depends on
	 * what runs the program: the kernel says ENOMEM. */
	assert_true(space_init(&s, BASE, 1ul << 46, 2) < 0);
	assert_non_null(strstr(error_text(), "DSM_SPACE"));
	assert_int_equal(count_lines("/proc/self/maps"), maps);
	assert_int_equal(lowest_free_fd(), fd);
}

static void space_fini__leaves_nothing(void **state)
{
	int fd = lowest_free_fd();
	int maps = count_lines("/proc/self/maps");
	struct space s;

	(void)state;
	assert_int_equal(space_init(&s, BASE, SPACE_BYTES, 2), 0);
	assert_int_equal(space_map(&s, 0, BLOCK_BYTES), 0);
	space_fini(&s);
	assert_int_equal(lowest_free_fd(), fd);
	assert_int_equal(count_lines("/proc/self/maps"), maps);
}

static void space_map__shows_the_segment(void **state)
{
	struct space *s = *state;

	assert_int_equal(space_map(s, BLOCK_BYTES, 2 * BLOCK_BYTES), 0);
	s->base[BLOCK_BYTES + 5] = 42;
	assert_int_equal(segment_page(s->alias, GRANULES_PER_BLOCK)[5], 42);
	segment_page(s->alias, GRANULES_PER_BLOCK + 1)[0] = 43;
	assert_int_equal(s->base[BLOCK_BYTES + GRANULE_BYTES], 43);
}

/* The child's exit status is the signal that its touch ended in. */
static int touch_in_child(const volatile uint8_t *addr)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*addr == 0xff);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void space_map__is_not_there_in_a_child(void **state)
{
	struct space *s = *state;

	if (RUNNING_ON_VALGRIND) {
		print_message(
			"skipped: to valgrind a fault that ends a child is an error, and long\n");
		skip();
	}
	assert_int_equal(space_map(s, 0, BLOCK_BYTES), 0);
	s->base[0] = 1;
	assert_int_equal(touch_in_child(s->base), SIGSEGV);
	assert_int_equal(touch_in_child(s->alias), SIGSEGV);
}

static void space_unmap__takes_access_away_and_keeps_the_reservation(void **state)
{
	struct space *s = *state;
	void *other;

	assert_int_equal(space_map(s, 0, BLOCK_BYTES), 0);
	s->base[0] = 1;
	assert_int_equal(space_unmap(s, 0, BLOCK_BYTES), 0);
	assert_int_equal(touch_in_child(s->base), SIGSEGV);
	other = mmap(s->base, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		     -1, 0);
	assert_ptr_not_equal(other, s->base);
	if (other != MAP_FAILED) /* where the address is but a hint, as under valgrind */
		munmap(other, 4096);
	/* Memory is space_discard()'s business. */
	assert_int_equal(s->alias[0], 1);
}

static void space_map__refuses_what_is_outside(void **state)
{
	struct space *s = *state;

	assert_int_equal(space_map(s, SPACE_BYTES, BLOCK_BYTES), -EINVAL);
	assert_int_equal(space_map(s, BLOCK_BYTES, SPACE_BYTES), -EINVAL);
	assert_int_equal(space_map(s, 4096, UINT64_MAX - 4095), -EINVAL);
	assert_int_equal(space_unmap(s, 1, 4096), -EINVAL);
	assert_int_equal(space_populate(s, 0, 0), -EINVAL);
	assert_int_equal(space_discard(s, 0, SPACE_BYTES + 4096), -EINVAL);
}

static void space_populate__gives_memory_to_pages_and_directory(void **state)
{
	struct space *s = *state;

	assert_int_equal(space_populate(s, BLOCK_BYTES, 2 * BLOCK_BYTES), 0);
	assert_int_equal(segment_used(s), 2 * (BLOCK_BYTES + 2 * 4096));
	for (uint64_t i = 0; i < 2 * BLOCK_BYTES; i += 4096)
		assert_int_equal(s->alias[BLOCK_BYTES + i], 0);
	/* The memory was where it was looked for: no look at a hole added to it. */
	assert_int_equal(segment_used(s), 2 * (BLOCK_BYTES + 2 * 4096));
}

static void space_populate__refuses_more_than_there_is(void **state)
{
	const char *limit;
	uint64_t left = machine_left_bytes(&limit);
	uint64_t much = (left + left / 4) & ~(BLOCK_BYTES - 1);
	char expect[64];
	struct space s;

	(void)state;
	if (left == UINT64_MAX)
		skip();
	assert_int_equal(space_init(&s, BASE, much, 2), 0);
	assert_int_equal(space_populate(&s, 0, much), -ENOMEM);
	snprintf(expect, sizeof(expect), "%" PRIu64 " MiB", much >> 20);
	assert_non_null(strstr(error_text(), expect));
	assert_non_null(strstr(error_text(), limit));
	assert_int_equal(segment_used(&s), 0);
	space_fini(&s);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* shmem undoes an allocation that a signal interrupts. */
static void space_populate__ends_under_a_storm_of_signals(void **state)
{
	suseconds_t us = RUNNING_ON_VALGRIND ? 2000 : 100;
	struct itimerval often = { { 0, us }, { 0, us } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = on_alarm };
	struct space *s = *state;
	int err;

	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	err = space_populate(s, 0, SPACE_BYTES);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(err, 0);
	assert_int_equal(segment_used(s), s->segment_bytes);
}

static void space_discard__gives_memory_back(void **state)
{
	struct space *s = *state;

	assert_int_equal(space_populate(s, 0, SPACE_BYTES), 0);
	s->alias[BLOCK_BYTES] = 1;
	*segment_grant(s, s->alias, GRANULES_PER_BLOCK) = 7;
	*segment_readers(s, s->alias, GRANULES_PER_BLOCK) = 8;
	assert_int_equal(space_discard(s, BLOCK_BYTES, BLOCK_BYTES), 0);
	assert_int_equal(segment_used(s), s->segment_bytes - BLOCK_BYTES - 2 * 4096);
	assert_int_equal(s->alias[BLOCK_BYTES], 0);
	assert_int_equal(*segment_grant(s, s->alias, GRANULES_PER_BLOCK), 0);
	assert_int_equal(*segment_readers(s, s->alias, GRANULES_PER_BLOCK), 0);
}

/* Directory words of several regions share a host page. */
static void space_discard__leaves_the_neighbours_words(void **state)
{
	struct space *s = *state;

	for (uint64_t granule = 0; granule < 8; granule++) {
		s->alias[granule << GRANULE_SHIFT] = 9;
		*segment_grant(s, s->alias, granule) = 100 + granule;
		*segment_readers(s, s->alias, granule) = 200 + granule;
	}
	assert_int_equal(space_discard(s, 2 * GRANULE_BYTES, 3 * GRANULE_BYTES), 0);
	for (uint64_t granule = 0; granule < 8; granule++) {
		bool gone = granule >= 2 && granule < 5;

		assert_int_equal(s->alias[granule << GRANULE_SHIFT], gone ? 0 : 9);
		assert_int_equal(*segment_grant(s, s->alias, granule), gone ? 0 : 100 + granule);
		assert_int_equal(*segment_readers(s, s->alias, granule), gone ? 0 : 200 + granule);
	}
}

/* A look at a word of the directory must not cost memory for what was discarded. */
static void space_discard__of_nothing_allocates_nothing(void **state)
{
	struct space *s = *state;

	assert_int_equal(space_discard(s, 4096, SPACE_BYTES - 2 * 4096), 0);
	assert_int_equal(segment_used(s), 0);
}

static void space_granule__finds_addresses_of_the_range_only(void **state)
{
	struct space *s = *state;

	assert_true(space_contains(s, s->base));
	assert_true(space_contains(s, s->base + SPACE_BYTES - 1));
	assert_false(space_contains(s, s->base + SPACE_BYTES));
	assert_false(space_contains(s, s->base - 1));
	assert_int_equal(space_granule(s, s->base + 3 * GRANULE_BYTES + 5), 3);
}

/* With more than 64 ranks a granule has several readers words, and they do not overlap. */
static void segment_readers__has_room_for_every_rank(void **state)
{
	struct space s;

	(void)state;
	assert_int_equal(space_init(&s, BASE, BLOCK_BYTES, 65), 0);
	assert_int_equal(s.rank_words, 2);
	assert_ptr_equal(segment_readers(&s, s.alias, 1), segment_readers(&s, s.alias, 0) + 2);
	assert_ptr_equal(segment_readers(&s, s.alias, GRANULES_PER_BLOCK),
			 s.alias + s.segment_bytes);
	assert_int_equal(space_populate(&s, 0, BLOCK_BYTES), 0);
	assert_int_equal(segment_used(&s), s.segment_bytes);
	space_fini(&s);
}

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(space_segment_bytes__counts_pages_grants_and_readers),
		fixture_test(space_init__reserves_the_range_without_access),
		fixture_test(space_init__segment_is_private_sealed_and_sparse),
		cmocka_unit_test(space_init__names_the_mapping_that_collides),
		cmocka_unit_test(space_init__refuses_what_is_not_whole_blocks),
		cmocka_unit_test(space_init__says_when_the_file_size_limit_is_too_low),
		cmocka_unit_test(space_init__says_when_addresses_run_out),
		cmocka_unit_test(space_fini__leaves_nothing),
		fixture_test(space_map__shows_the_segment),
		fixture_test(space_map__is_not_there_in_a_child),
		fixture_test(space_map__refuses_what_is_outside),
		fixture_test(space_unmap__takes_access_away_and_keeps_the_reservation),
		fixture_test(space_populate__gives_memory_to_pages_and_directory),
		cmocka_unit_test(space_populate__refuses_more_than_there_is),
		fixture_test(space_populate__ends_under_a_storm_of_signals),
		fixture_test(space_discard__gives_memory_back),
		fixture_test(space_discard__leaves_the_neighbours_words),
		fixture_test(space_discard__of_nothing_allocates_nothing),
		fixture_test(space_granule__finds_addresses_of_the_range_only),
		cmocka_unit_test(segment_readers__has_room_for_every_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
