/* SPDX-License-Identifier: MIT */
/*
 * "Fail the Nth call": a run of dsm_init() to dsm_fini() in which the Nth call of one libc function
 * fails, for N = 1, 2, ... until a run is clean. Each run ends in success or in an error with a
 * sentence, never in a crash or a hang; nothing is left of it in the process; the next run works.
 *
 *	test_fault alone [CALL [N]]		as a cluster of one, forked
 *	test_fault two [CALL [N [RANK]]]	as two ranks, the fault in one of them
 */
#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kill/job.h"
#include "../kill/rank.h"
#include "faults.h"

/* A run without an end is a hang. */
#define RUN_S 15
/* Of a function that is called more often, the rest are more of the same. */
#define NTH_MAX 40u
/* Exit status of a run in which the fault did not strike. */
#define NOT_STRUCK   10
#define REGION_BYTES (2 * BLOCK_BYTES + 5 * PAGE_BYTES)

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/*
 * One run
 */

static const struct fault_kind *kind;
static unsigned nth;
static bool struck;

static void phase_done(enum fault_until phase)
{
	if (kind && kind->until == phase)
		struck = fault_disarm();
}

/* A result is success or an error with a sentence. */
static int told(int err)
{
	CHECK(err == 0 || (err < 0 && dsm_errmsg()[0]));
	return err;
}

static uint8_t *allocate(struct dsm *d)
{
	struct dsm_attr attr = { .name = "region", .home = DSM_HOME_CYCLIC };
	uint8_t *p = dsm_alloc(d, REGION_BYTES, &attr);

	told(p ? 0 : -errno);
	phase_done(UNTIL_ALLOC);
	return p;
}

static void use_memory(struct dsm *d, uint8_t *p)
{
	uint8_t value;

	if (told(dsm_acquire(d, p, REGION_BYTES, DSM_WRITE)) == 0) {
		memset(p, 1, REGION_BYTES);
		told(dsm_release(d, p, REGION_BYTES));
	}
	if (told(dsm_acquire(d, p, BLOCK_BYTES, DSM_READ)) == 0)
		told(dsm_release(d, p, BLOCK_BYTES));
	/* SIGBUS is an answer, too. */
	rank_store(p + BLOCK_BYTES, 2);
	rank_load(p + 2 * BLOCK_BYTES, &value);
	told(dsm_fetch_add64(d, (uint64_t *)(p + PAGE_BYTES), 1, NULL));
}

static void use_sync(struct dsm *d)
{
	const void *name = &kind;

	if (told(dsm_lock(d, name)) == 0) {
		told(dsm_cond_signal(d, name));
		told(dsm_unlock(d, name));
	}
	if (told(dsm_sem_post(d, name)) == 0)
		told(dsm_sem_wait(d, name));
	told(dsm_barrier(d));
}

/* The first error of a run, or 0. */
static int run(const struct dsm_config *config)
{
	struct dsm *d;
	int err = told(dsm_init(&d, config));
	uint8_t *p;

	phase_done(UNTIL_INIT);
	if (err < 0)
		return err;
	p = allocate(d);
	if (p) {
		use_memory(d, p);
		use_sync(d);
		err = told(dsm_free(d, p));
	} else {
		err = -1;
	}
	told(dsm_fini(d));
	return err;
}

/*
 * What a run may leave: nothing
 */

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Mapped KiB, without what malloc has. */
static unsigned long mapped_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	struct mallinfo2 m = mallinfo2();
	unsigned long pages;

	CHECK(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return pages * 4 - (m.arena + m.hblkhd) / 1024;
}

static void print_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		fputs(line, stderr);
	if (f)
		fclose(f);
}

struct possessions {
	unsigned fds;
	struct stat std[3]; /* the program's own, of the lowest numbers */
	unsigned long kib;
	size_t heap_bytes;
};

static struct possessions take_stock(void)
{
	struct possessions p = { .fds = count_fds(), .kib = mapped_kib() };

	p.heap_bytes = mallinfo2().uordblks;
	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &p.std[fd]) < 0)
			p.std[fd] = (struct stat){ 0 };
	return p;
}

/* A descriptor that is closed by its number 0, because it was never set, is the program's. */
static bool same_std(const struct possessions *a, const struct possessions *b)
{
	for (unsigned fd = 0; fd < 3; fd++)
		if (a->std[fd].st_ino != b->std[fd].st_ino ||
		    a->std[fd].st_dev != b->std[fd].st_dev)
			return false;
	return true;
}

static bool nothing_left(const struct possessions *before)
{
	struct possessions now = take_stock();
	bool same = now.kib <= before->kib && now.heap_bytes <= before->heap_bytes;

	if (!same_std(before, &now)) {
		fprintf(stderr, "stdin, stdout or stderr is not what it was\n");
		return false;
	}
	/* A sanitizer has memory of its own. */
	if (now.fds == before->fds && (same || SANITIZED))
		return true;
	fprintf(stderr,
		"left: file descriptors %u -> %u, mapped KiB %lu -> %lu, heap bytes %zu -> %zu\n",
		before->fds, now.fds, before->kib, now.kib, before->heap_bytes, now.heap_bytes);
	if (now.kib > before->kib)
		print_maps();
	return false;
}

/* A run with a fault, between runs without. */
static int faulty_run(const struct dsm_config *config, const struct dsm_config *alone)
{
	struct possessions before;

	/* Twice: the first has things made that stay (thread stacks, buffers). */
	CHECK_IS(run(alone), 0);
	CHECK_IS(run(alone), 0);
	before = take_stock();
	fault_arm(kind, nth);
	run(config);
	struck |= fault_disarm();
	CHECK(nothing_left(&before));
	kind = NULL;
	unsetenv("DSM_RANK");
	unsetenv("DSM_SIZE");
	unsetenv("DSM_ROOT");
	CHECK_IS(run(alone), 0);
	CHECK(nothing_left(&before));
	return struck ? 0 : NOT_STRUCK;
}

static const struct dsm_config alone = { .launch = "alone", .timeout_ms = 10000 };

/* What malloc keeps for threads would make the heap's size depend on timing: do without. */
static void settle_malloc(char **argv)
{
	const char *settings = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";

	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", settings, 1);
		execv("/proc/self/exe", argv);
	}
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
}

static const struct fault_kind *find(const char *number)
{
	return &fault_kinds[atoi(number)];
}

static int run_rank(char **argv)
{
	bool mine = strcmp(argv[4], getenv("DSM_RANK")) == 0;
	struct dsm_config tcp = { .launch = "tcp", .timeout_ms = 400, .sync_timeout_ms = 400 };

	alarm(RUN_S);
	settle_malloc(argv);
	if (mine) {
		char rank[16], size[16], root[64];

		kind = find(argv[2]);
		nth = (unsigned)atoi(argv[3]);
		snprintf(rank, sizeof(rank), "%s", getenv("DSM_RANK"));
		snprintf(size, sizeof(size), "%s", getenv("DSM_SIZE"));
		snprintf(root, sizeof(root), "%s", getenv("DSM_ROOT"));
		tcp.rank = rank;
		tcp.size = size;
		tcp.root = root;
		unsetenv("DSM_RANK");
		unsetenv("DSM_SIZE");
		unsetenv("DSM_ROOT");
		return faulty_run(&tcp, &alone);
	}
	run(&tcp);
	return 0;
}

/*
 * The driver
 */

static bool tell(const char *who, const struct fault_kind *k, unsigned n, int status)
{
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NOT_STRUCK))
		return true;
	printf("FAILED   %s: call %u of %s with errno %d: %s\n", who, n, k->call, k->error,
	       job_status_text(status));
	fflush(stdout);
	return false;
}

static bool more(int status)
{
	return !WIFEXITED(status) || WEXITSTATUS(status) != NOT_STRUCK;
}

/* *status: of the process that had the fault. */
static bool once_alone(const struct fault_kind *k, unsigned n, int *status)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(RUN_S);
		kind = k;
		nth = n;
		_exit(faulty_run(&alone, &alone));
	}
	CHECK(waitpid(pid, status, 0) == pid);
	return tell("alone", k, n, *status);
}

static bool once_two(const struct fault_kind *k, unsigned n, unsigned rank, int *status)
{
	char which[24], number[16], who[16];
	char *argv[] = { (char *)"/proc/self/exe", (char *)"--rank", which, number, who, NULL };
	struct job j;
	bool ok;

	snprintf(which, sizeof(which), "%td", k - fault_kinds);
	snprintf(number, sizeof(number), "%u", n);
	snprintf(who, sizeof(who), "%u", rank);
	job_start(&j, 2, argv);
	ok = job_end(&j, RUN_S + 2);
	*status = j.rank[rank].status;
	ok &= tell(rank ? "rank 1 of 2" : "rank 0 of 2", k, n, *status);
	ok &= tell(rank ? "rank 0, the other," : "rank 1, the other,", k, n, j.rank[!rank].status);
	return ok;
}

static bool all_of(const struct fault_kind *k, int rank, unsigned *runs)
{
	int status = 0;
	bool ok = true;
	unsigned n;

	for (n = 1; n <= NTH_MAX && (n == 1 || more(status)); n++) {
		ok &= rank < 0 ? once_alone(k, n, &status)
			       : once_two(k, n, (unsigned)rank, &status);
		++*runs;
	}
	if (getenv("TEST_VERBOSE"))
		printf("%s, errno %d, rank %d: %u runs\n", k->call, k->error, rank, n - 1);
	return ok;
}

static void skip_without_userfaultfd(void)
{
	struct dsm *d;
	int err = dsm_init(&d, &alone);

	if (err == -EPERM || err == -ENOSYS || err == -EOPNOTSUPP) {
		printf("skipped: %s\n", dsm_errmsg());
		exit(77);
	}
	CHECK_IS(err, 0);
	CHECK_IS(dsm_fini(d), 0);
}

int main(int argc, char **argv)
{
	bool two = argc > 1 && strcmp(argv[1], "two") == 0, ok = true;
	unsigned runs = 0;
	int status;

	if (argc == 5 && strcmp(argv[1], "--rank") == 0)
		return run_rank(argv);
	setenv("DSM_SPACE", "256M", 1);
	if (!getenv("TEST_VERBOSE"))
		setenv("DSM_LOG", "error", 0);
	settle_malloc(argv);
	skip_without_userfaultfd();
	for (const struct fault_kind *k = fault_kinds; k->call; k++) {
		if (argc > 2 && strcmp(k->call, argv[2]) != 0)
			continue;
		for (int rank = two ? 0 : -1; rank < (two ? 2 : 0); rank++) {
			if (argc > 4 && atoi(argv[4]) != rank)
				continue;
			if (argc <= 3)
				ok &= all_of(k, rank, &runs);
			else if (two)
				ok &= once_two(k, (unsigned)atoi(argv[3]), (unsigned)rank, &status);
			else
				ok &= once_alone(k, (unsigned)atoi(argv[3]), &status);
		}
	}
	printf("%u runs\n", runs);
	return ok ? 0 : 1;
}
