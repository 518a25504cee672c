/* SPDX-License-Identifier: MIT */
/*
 * Shared pages and the kernel: system calls that read and write pages which are not here, in both
 * modes of userfaultfd, and fork(). With DSM_FAULT_HANDLER=inline both modes are as the user mode.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "mpi_test.h"

#define LEN (8 * TEST_PAGE)

static int temporary_file(void)
{
	char path[] = "/tmp/dsm-test-syscall-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_EQ(unlink(path), 0);
	return fd;
}

/* Rank w fills the region; afterwards no other rank has a page of it. */
static void fill(struct dsm *d, char *p, unsigned w)
{
	test_barrier(d);
	if (dsm_rank(d) == w)
		for (size_t i = 0; i < LEN; i++)
			p[i] = (char)(i * 7 + w);
	test_barrier(d);
}

static void check(const char *p, unsigned w)
{
	for (size_t i = 0; i < LEN; i++)
		CHECK_EQ(p[i], (char)(i * 7 + w));
}

/* Each rank in turn writes the region to a file, from pages that another rank has, and reads it
 * back into pages that another rank has. */
static void by_the_kernel(struct dsm *d)
{
	char *p = test_alloc(d, "kernel", LEN, (struct dsm_attr){ .home = DSM_HOME_CYCLIC });
	unsigned size = dsm_size(d), writer;
	int fd = temporary_file();
	char copy[LEN];

	for (unsigned r = 0; r < size; r++) {
		writer = (r + 1) % size;
		fill(d, p, writer);
		if (r == dsm_rank(d)) {
			CHECK_EQ(pwrite(fd, p, LEN, 0), LEN);
			CHECK_EQ(pread(fd, copy, LEN, 0), LEN);
			check(copy, writer);
		}
		fill(d, p, writer + 1);
		if (r == dsm_rank(d)) {
			CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
			CHECK_EQ(read(fd, p, LEN), LEN);
		}
		test_barrier(d);
		check(p, writer);
		fill(d, p, writer);
		if (r == dsm_rank(d)) {
			struct iovec v[2] = { { p + TEST_PAGE + 5, 100 }, { p + 5, 100 } };

			CHECK_EQ(pwritev(fd, v, 2, 0), 200);
			CHECK_EQ(pread(fd, copy, 200, 0), 200);
			CHECK(memcmp(copy, p + TEST_PAGE + 5, 100) == 0);
			CHECK(memcmp(copy + 100, p + 5, 100) == 0);
		}
		test_barrier(d);
	}
	close(fd);
	test_free(d, p);
}

/* In user mode the kernel cannot wait for a page: EFAULT, until the page is acquired. */
static void not_by_the_kernel(struct dsm *d)
{
	char *p = test_alloc(d, "user", LEN, (struct dsm_attr){ .home = DSM_HOME_RANK });
	unsigned last = dsm_size(d) - 1;
	int fd = temporary_file();

	fill(d, p, 0);
	if (dsm_rank(d) == last && last > 0) {
		CHECK_EQ(write(fd, p, LEN), -1);
		CHECK_EQ(errno, EFAULT);
		CHECK_EQ(dsm_acquire(d, p, LEN, DSM_READ), 0);
		CHECK_EQ(pwrite(fd, p, LEN, 0), LEN);
		CHECK_EQ(dsm_release(d, p, LEN), 0);
	}
	fill(d, p, 1 % dsm_size(d));
	if (dsm_rank(d) == 0) {
		if (last > 0) { /* rank 1 has them; their home has not */
			CHECK_EQ(pwrite(fd, p, LEN, 0), -1);
			CHECK_EQ(errno, EFAULT);
		}
		CHECK_EQ(dsm_acquire(d, p, LEN, DSM_WRITE), 0);
		CHECK_EQ(pwrite(fd, p, LEN, 0), LEN);
		memset(p, 0, LEN);
		CHECK_EQ(pread(fd, p, LEN, 0), LEN);
		CHECK_EQ(dsm_release(d, p, LEN), 0);
	}
	test_barrier(d);
	check(p, 1 % dsm_size(d)); /* plain accesses work as ever */
	close(fd);
	test_free(d, p);
}

/* A child has no shared memory: an honest SIGSEGV, not stale zeros. The parent goes on. */
static void forked(struct dsm *d)
{
	char *p = test_alloc(d, "forked", LEN, (struct dsm_attr){ .home = DSM_HOME_CYCLIC });
	int status;
	pid_t pid;

	fill(d, p, 0);
	for (unsigned touched = 0; touched < 2; touched++) {
		if (touched)
			check(p, 0); /* all of it is here */
		test_barrier(d);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			signal(SIGSEGV, SIG_DFL);
			_exit(*(volatile char *)p == 0 ? 2 : 3);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	check(p, 0);
	fill(d, p, dsm_size(d) - 1);
	check(p, dsm_size(d) - 1);
	test_free(d, p);
}

static bool served_inline(void)
{
	const char *handler = getenv("DSM_FAULT_HANDLER");

	return handler && strcmp(handler, "inline") == 0;
}

int main(void)
{
	struct dsm_config user = { .userfaultfd = "user" };
	struct dsm_config kernel = { .userfaultfd = "kernel" };
	struct dsm *d = test_init_config(&user);

	STEP(not_by_the_kernel(d));
	test_fini(d);
	d = test_init_config(&kernel);
	if (served_inline())
		STEP(not_by_the_kernel(d));
	else
		STEP(by_the_kernel(d));
	STEP(forked(d));
	test_fini(d);
	return 0;
}
