/* SPDX-License-Identifier: MIT */
/*
 * DSM_FAULT_HANDLER=inline: threads serve their own faults in a handler of SIGBUS, which must not
 * be seen: not in errno, in locks that the interrupted code holds, in the application's own
 * handlers of this signal and of others. (What shared memory does is tested by the other programs,
 * which run in this mode too.)
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "mpi_test.h"

#define WORDS (TEST_PAGE / sizeof(uint64_t))

/* The thread sanitizer calls handlers of other signals late, and with SIGBUS blocked. */
#if defined(__SANITIZE_THREAD__)
#define LATE_HANDLERS 1
#elif defined(__has_feature)
#define LATE_HANDLERS __has_feature(thread_sanitizer)
#else
#define LATE_HANDLERS 0
#endif

static sigjmp_buf back;
static volatile sig_atomic_t buses, alarms;
static volatile sig_atomic_t leave; /* what the handlers do: go on, or leave */

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	buses++;
	if (leave)
		siglongjmp(back, 1);
}

static void handle_bus(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	CHECK_EQ(sigaction(SIGBUS, &sa, NULL), 0);
}

static bool handles_bus(void)
{
	struct sigaction sa;

	CHECK_EQ(sigaction(SIGBUS, NULL, &sa), 0);
	return sa.sa_sigaction == on_bus;
}

static void *region(struct dsm *d, const char *name, size_t len)
{
	return test_alloc(d, name, len, (struct dsm_attr){ .home = DSM_HOME_CYCLIC });
}

/* Every kind of fault, near and far, and errno survives them. */
static void errno_is_kept(struct dsm *d)
{
	unsigned size = dsm_size(d), next = (dsm_rank(d) + 1) % size;
	volatile uint64_t *p = region(d, "errno", 2 * size * TEST_BLOCK);
	const size_t block = TEST_BLOCK / sizeof(*p);

	for (unsigned round = 1; round < 4; round++) {
		errno = 77;
		p[next * block] = round;
		p[(size + dsm_rank(d)) * block + WORDS] += round;
		CHECK_EQ(errno, 77);
		test_barrier(d);
		errno = 78;
		for (unsigned r = 0; r < size; r++) {
			CHECK_EQ(p[r * block], round);
			CHECK_EQ(p[(size + r) * block + WORDS], round * (round + 1) / 2);
		}
		CHECK_EQ(errno, 78);
		test_barrier(d);
	}
	CHECK_EQ(buses, 0);
	test_free(d, (void *)p);
}

/* A file that was cut short: SIGBUS of the same kind as a fault's, elsewhere. */
static void others_are_passed_on(void)
{
	char path[] = "/tmp/dsm-test-inline-XXXXXX";
	int fd = mkstemp(path);
	volatile char *p;

	CHECK(fd >= 0);
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(ftruncate(fd, TEST_PAGE), 0);
	p = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	CHECK_EQ(ftruncate(fd, 0), 0);
	buses = 0;
	leave = 1;
	if (sigsetjmp(back, 1) == 0)
		CHECK(*p == 1); /* not reached */
	leave = 0;
	CHECK_EQ(buses, 1);
	CHECK_EQ(raise(SIGBUS), 0);
	CHECK_EQ(buses, 2);
	munmap((void *)p, TEST_PAGE);
	close(fd);
	buses = 0;
}

/* A string that is not here is printed with stdio's lock held, by several threads to one file. */
static void print_shared(struct test_thread *t)
{
	const char *text = t->arg;
	static FILE *file;
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&once);
	if (!file)
		file = tmpfile();
	pthread_mutex_unlock(&once);
	CHECK(file != NULL);
	for (unsigned i = 0; i < 64; i++)
		CHECK_EQ(fprintf(file, "%s", text + i * TEST_PAGE), 5);
}

static void stdio_goes_on(struct dsm *d)
{
	char *p = region(d, "stdio", 64 * TEST_PAGE);

	for (unsigned round = 0; round < 4; round++) {
		if (dsm_rank(d) == round % dsm_size(d))
			for (unsigned i = 0; i < 64; i++)
				strcpy(p + i * TEST_PAGE, "hello");
		test_barrier(d);
		test_threads(d, 4, print_shared, p);
		test_barrier(d);
	}
	test_free(d, p);
}

/* Words that a handler of SIGALRM touches as well. */
static volatile uint64_t *alarmed;
static unsigned ranks;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
	if (leave)
		siglongjmp(back, 1);
	for (unsigned r = 0; r < ranks; r++)
		alarmed[(ranks + r) * WORDS + test_rank] = (uint64_t)alarms;
}

static void alarm_every_us(suseconds_t us)
{
	struct itimerval t = { { 0, us }, { 0, us } };

	CHECK_EQ(setitimer(ITIMER_REAL, &t, NULL), 0);
}

/* Pages go from rank to rank while a handler of another signal faults, too: on top of a fault that
 * waits, or of the code. No call of libdsm is interrupted, which could hold its lock. */
static void handlers_may_fault(struct dsm *d)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	_Atomic uint64_t *turn;

	ranks = dsm_size(d);
	alarmed = region(d, "alarmed", 2 * ranks * TEST_PAGE);
	turn = (_Atomic uint64_t *)alarmed;
	alarms = 0;
	CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
	test_barrier(d);
	alarm_every_us(500);
	for (unsigned i = 0; i < 400; i++)
		for (unsigned r = 0; r < ranks; r++)
			atomic_fetch_add(turn + r * WORDS, 1);
	while (alarms < 5)
		atomic_fetch_add(turn + 1, 1);
	alarm_every_us(0);
	test_barrier(d);
	for (unsigned r = 0; r < ranks; r++)
		CHECK_EQ(turn[r * WORDS], 400u * ranks);
	CHECK_EQ(alarmed[ranks * WORDS + test_rank], alarms);
	test_free(d, (void *)alarmed);
}

/* A page that another rank holds is waited for asleep, and a handler leaves the wait for good. */
static void waits_may_be_left(struct dsm *d)
{
	volatile uint64_t *p = region(d, "left", 2 * TEST_PAGE);
	unsigned last = dsm_size(d) - 1;

	if (dsm_rank(d) == 0)
		CHECK_EQ(dsm_acquire(d, p, TEST_PAGE, DSM_WRITE), 0);
	test_barrier(d);
	if (dsm_rank(d) == last && last > 0) {
		alarms = 0;
		leave = 1;
		if (sigsetjmp(back, 1) == 0) {
			alarm_every_us(20000);
			CHECK(p[0] == 12345); /* not reached */
		}
		alarm_every_us(0);
		leave = 0;
		CHECK(alarms > 0);
		p[WORDS] = 1; /* other pages can be had */
	}
	test_barrier(d);
	if (dsm_rank(d) == 0) {
		p[0] = 4711;
		CHECK_EQ(dsm_release(d, p, TEST_PAGE), 0);
	}
	test_barrier(d);
	CHECK_EQ(p[0], 4711);
	test_free(d, (void *)p);
}

static void all(struct dsm *d)
{
	STEP(errno_is_kept(d));
	STEP(others_are_passed_on());
	STEP(stdio_goes_on(d));
	if (!LATE_HANDLERS) {
		STEP(handlers_may_fault(d));
		STEP(waits_may_be_left(d));
	}
	CHECK_EQ(buses, 0);
}

int main(void)
{
	struct dsm_config config = { .fault_handler = "inline" };
	struct dsm *d;

	unsetenv("DSM_FAULT_HANDLER");
	handle_bus();
	d = test_init_config(&config);
	CHECK(!handles_bus());
	all(d);
	test_fini(d);
	CHECK(handles_bus());
	/* The same where the kernel reports no other faults either; then the program takes it back.
	 */
	config.userfaultfd = "user";
	d = test_init_config(&config);
	all(d);
	signal(SIGBUS, SIG_IGN);
	test_fini(d);
	CHECK(signal(SIGBUS, SIG_DFL) == SIG_IGN);
	return 0;
}
