/* SPDX-License-Identifier: MIT */
/*
 * Locks, condition variables, semaphores and barriers between ranks and between threads.
 *
 * What must not happen in time is asked for with a short time-out, what must happen with the
 * default one: a slow machine fails no check.
 */
#include <dirent.h>
#include <sched.h>

#include "mpi_test.h"

#define THREADS  3u
#define SHORT_MS 30

/* Objects are named by any address. */
#define NAME(n) ((void *)(uintptr_t)(0x1000 + (n)))

static unsigned total(struct dsm *d)
{
	return dsm_size(d) * THREADS;
}

/*
 * Locks
 */

static void count(struct test_thread *t)
{
	volatile uint64_t *counter = t->arg;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t before;

		CHECK_EQ(dsm_lock(t->d, NAME(1)), 0);
		before = *counter;
		sched_yield();
		*counter = before + 1;
		CHECK_EQ(dsm_unlock(t->d, NAME(1)), 0);
	}
}

static void lock_counts(struct dsm *d)
{
	uint64_t *counter = test_alloc(d, "lock_counts", 8, (struct dsm_attr){ 0 });

	test_threads(d, THREADS, count, counter);
	test_barrier(d);
	CHECK_EQ(*counter, total(d) * 40);
	test_free(d, counter);
}

/* Each rank in turn holds the lock while the others fail to get it, each in its own way. */
static void lock_is_taken(struct dsm *d)
{
	char holder[32];

	for (unsigned h = 0; h < dsm_size(d); h++) {
		snprintf(holder, sizeof(holder), "rank %u has it", h);
		if (h == dsm_rank(d))
			CHECK_EQ(dsm_lock(d, NAME(2)), 0);
		test_barrier(d);
		if (h != dsm_rank(d)) {
			CHECK_FAILS(dsm_lock_try(d, NAME(2)), EBUSY, "0x1002");
			CHECK_FAILS(dsm_lock_timed(d, NAME(2), 0), ETIMEDOUT, "0x1002");
			CHECK_FAILS(dsm_lock_timed(d, NAME(2), SHORT_MS), ETIMEDOUT, holder);
			CHECK_FAILS(dsm_unlock(d, NAME(2)), EPERM, "0x1002");
			CHECK_FAILS(dsm_cond_wait(d, NAME(3), NAME(2)), EPERM, "0x1002");
		} else { /* not recursive, and owned by the rank: its threads are no exception */
			CHECK_FAILS(dsm_lock_try(d, NAME(2)), EBUSY, "0x1002");
			CHECK_FAILS(dsm_lock_timed(d, NAME(2), SHORT_MS), ETIMEDOUT, holder);
		}
		test_barrier(d);
		if (h == dsm_rank(d)) {
			CHECK_EQ(dsm_unlock(d, NAME(2)), 0);
			CHECK_FAILS(dsm_unlock(d, NAME(2)), EPERM, "0x1002");
		}
		test_barrier(d);
	}
	CHECK_FAILS(dsm_unlock(d, NAME(99)), EPERM, "0x1063");
}

/* A timed wait that is granted just as it gives up must neither lose the lock nor keep it. */
static void lock_race(struct test_thread *t)
{
	_Atomic uint64_t *inside = t->arg;

	for (unsigned i = 0; i < 30; i++) {
		int err = (i + t->all) % 5 == 0 ? dsm_lock_try(t->d, NAME(4))
						: dsm_lock_timed(t->d, NAME(4), (int)(i % 3));

		if (err < 0) {
			CHECK(err == -ETIMEDOUT || err == -EBUSY);
			CHECK(dsm_errmsg()[0]);
			continue;
		}
		CHECK_EQ(atomic_fetch_add(inside, 1), 0);
		CHECK_EQ(atomic_fetch_sub(inside, 1), 1);
		CHECK_EQ(dsm_unlock(t->d, NAME(4)), 0);
	}
}

static void lock_time_outs(struct dsm *d)
{
	uint64_t *inside = test_alloc(d, "lock_time_outs", 8, (struct dsm_attr){ 0 });

	test_threads(d, THREADS, lock_race, inside);
	CHECK_EQ(dsm_lock(d, NAME(4)), 0);
	CHECK_EQ(dsm_unlock(d, NAME(4)), 0);
	test_free(d, inside);
}

/* Taken again by the rank that had it last: no message. */
static void lock_stays(struct dsm *d)
{
	struct dsm_stats before, after;

	CHECK_EQ(dsm_lock(d, NAME(100 + dsm_rank(d))), 0);
	CHECK_EQ(dsm_unlock(d, NAME(100 + dsm_rank(d))), 0);
	before = test_stats(d);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(dsm_lock(d, NAME(100 + dsm_rank(d))), 0);
		CHECK_EQ(dsm_unlock(d, NAME(100 + dsm_rank(d))), 0);
	}
	after = test_stats(d);
	CHECK_EQ(after.lock_acquires - before.lock_acquires, 100);
	CHECK_EQ(after.lock_acquires_local - before.lock_acquires_local, 100);
	test_barrier(d);
}

/* Locked by one thread, unlocked by another of the same rank. */
static void unlock(struct test_thread *t)
{
	CHECK_EQ(dsm_unlock(t->d, t->arg), 0);
}

static void lock_is_the_ranks(struct dsm *d)
{
	for (unsigned i = 0; i < 5; i++) {
		CHECK_EQ(dsm_lock(d, NAME(5)), 0);
		test_threads(d, 1, unlock, NAME(5));
	}
	test_barrier(d);
}

/*
 * Condition variables
 */

#define SLOTS 4u
#define ITEMS 60u

struct buffer {
	uint64_t slot[SLOTS];
	uint64_t put, taken;
	uint64_t sum;
};

/* Even threads put, odd ones take; with one thread more of either kind than of the other the last
 * one has no partner and does nothing. */
static void put_or_take(struct test_thread *t)
{
	unsigned pairs = dsm_size(t->d) * THREADS / 2;
	struct buffer *b = t->arg;

	if (t->all >= 2 * pairs)
		return;
	for (unsigned i = 1; i <= ITEMS; i++) {
		CHECK_EQ(dsm_lock(t->d, b), 0);
		if (t->all % 2 == 0) {
			while (b->put - b->taken == SLOTS)
				CHECK_EQ(dsm_cond_wait(t->d, &b->taken, b), 0);
			b->slot[b->put++ % SLOTS] = i;
			CHECK_EQ(dsm_cond_signal(t->d, &b->put), 0);
		} else {
			while (b->put == b->taken)
				CHECK_EQ(dsm_cond_wait(t->d, &b->put, b), 0);
			b->sum += b->slot[b->taken++ % SLOTS];
			CHECK_EQ(dsm_cond_signal(t->d, &b->taken), 0);
		}
		CHECK_EQ(dsm_unlock(t->d, b), 0);
	}
}

static void bounded_buffer(struct dsm *d)
{
	struct buffer *b = test_alloc(d, "bounded_buffer", sizeof(*b), (struct dsm_attr){ 0 });
	unsigned pairs = total(d) / 2;

	test_threads(d, THREADS, put_or_take, b);
	test_barrier(d);
	CHECK_EQ(b->put, pairs * ITEMS);
	CHECK_EQ(b->taken, pairs * ITEMS);
	CHECK_EQ(b->sum, pairs * ITEMS * (ITEMS + 1) / 2);
	test_free(d, b);
}

/* Nobody signals: the wait ends at its time, and the lock is held again. */
static void cond_times_out(struct dsm *d)
{
	double start = test_seconds();

	CHECK_EQ(dsm_lock(d, NAME(6)), 0);
	CHECK_FAILS(dsm_cond_wait_timed(d, NAME(7), NAME(6), SHORT_MS), ETIMEDOUT, "0x1007");
	CHECK(test_seconds() - start >= SHORT_MS / 1000.0);
	CHECK_FAILS(dsm_cond_wait_timed(d, NAME(7), NAME(6), 0), ETIMEDOUT, "0x1007");
	CHECK_EQ(dsm_unlock(d, NAME(6)), 0); /* so it was held */
	test_barrier(d);
	/* A signal that nobody waits for is not kept. */
	CHECK_EQ(dsm_cond_signal(d, NAME(7)), 0);
	CHECK_EQ(dsm_cond_broadcast(d, NAME(7)), 0);
	test_barrier(d);
	CHECK_EQ(dsm_lock(d, NAME(6)), 0);
	CHECK_FAILS(dsm_cond_wait_timed(d, NAME(7), NAME(6), SHORT_MS), ETIMEDOUT, "0x1007");
	CHECK_EQ(dsm_unlock(d, NAME(6)), 0);
	test_barrier(d);
}

struct crowd {
	uint64_t waiting;
	uint64_t open;
	uint64_t woken;
};

static void wait_in_crowd(struct test_thread *t)
{
	struct crowd *c = t->arg;

	CHECK_EQ(dsm_lock(t->d, c), 0);
	c->waiting++;
	while (!c->open)
		CHECK_EQ(dsm_cond_wait(t->d, &c->open, c), 0);
	c->woken++;
	CHECK_EQ(dsm_unlock(t->d, c), 0);
}

/* The first thread of rank 0 opens when all others wait. */
static void open_or_wait(struct test_thread *t)
{
	struct crowd *c = t->arg;
	bool open = false;

	if (t->all != 0) {
		wait_in_crowd(t);
		return;
	}
	while (!open) {
		CHECK_EQ(dsm_lock(t->d, c), 0);
		open = c->waiting == total(t->d) - 1;
		c->open = open;
		if (open)
			CHECK_EQ(dsm_cond_broadcast(t->d, &c->open), 0);
		CHECK_EQ(dsm_unlock(t->d, c), 0);
		sched_yield();
	}
}

static void broadcast(struct dsm *d)
{
	struct crowd *c = test_alloc(d, "broadcast", sizeof(*c), (struct dsm_attr){ 0 });

	test_threads(d, THREADS, open_or_wait, c);
	test_barrier(d);
	CHECK_EQ(c->woken, total(d) - 1);
	test_free(d, c);
}

/*
 * Semaphores
 */

/* At most two are inside. */
static void through_two(struct test_thread *t)
{
	_Atomic uint64_t *inside = t->arg;

	for (unsigned i = 0; i < 30; i++) {
		CHECK_EQ(dsm_sem_wait(t->d, NAME(10)), 0);
		CHECK(atomic_fetch_add(inside, 1) < 2);
		sched_yield();
		atomic_fetch_sub(inside, 1);
		CHECK_EQ(dsm_sem_post(t->d, NAME(10)), 0);
	}
}

static void sem_counts(struct dsm *d)
{
	uint64_t *inside = test_alloc(d, "sem_counts", 8, (struct dsm_attr){ 0 });

	if (dsm_rank(d) == 0)
		CHECK_EQ(dsm_sem_init(d, NAME(10), 2), 0);
	test_barrier(d);
	test_threads(d, THREADS, through_two, inside);
	test_barrier(d);
	if (dsm_rank(d) == 0) { /* both are back */
		CHECK_EQ(dsm_sem_try(d, NAME(10)), 0);
		CHECK_EQ(dsm_sem_try(d, NAME(10)), 0);
		CHECK_FAILS(dsm_sem_try(d, NAME(10)), EAGAIN, "0x100a");
	}
	test_free(d, inside);
}

static void sem_limits(struct dsm *d)
{
	void *name = NAME(200 + dsm_rank(d));
	char text[32];

	snprintf(text, sizeof(text), "%p", name);
	CHECK_FAILS(dsm_sem_try(d, name), EAGAIN, text); /* 0 until it is set or posted */
	CHECK_FAILS(dsm_sem_wait_timed(d, name, SHORT_MS), ETIMEDOUT, text);
	CHECK_FAILS(dsm_sem_wait_timed(d, name, 0), ETIMEDOUT, text);
	CHECK_EQ(dsm_sem_post(d, name), 0);
	CHECK_EQ(dsm_sem_wait_timed(d, name, 0), 0);
	CHECK_FAILS(dsm_sem_init(d, name, (unsigned)INT32_MAX + 1), EOVERFLOW, text);
	CHECK_EQ(dsm_sem_init(d, name, INT32_MAX), 0);
	CHECK_FAILS(dsm_sem_post(d, name), EOVERFLOW, text);
	CHECK_EQ(dsm_sem_init(d, name, 0), 0);
	test_barrier(d);
}

static void wait_once(struct test_thread *t)
{
	CHECK_EQ(dsm_sem_wait(t->d, t->arg), 0);
}

/* The value cannot be set under those who wait. */
static void sem_is_waited_for(struct dsm *d)
{
	void *name = NAME(300 + dsm_rank(d));
	struct test_thread t = { .d = d, .arg = name, .run = wait_once };
	int err;

	CHECK_EQ(pthread_create(&t.id, NULL, test_thread_main, &t), 0);
	while ((err = dsm_sem_init(d, name, 0)) == 0) /* until the thread waits */
		sched_yield();
	CHECK_EQ(err, -EBUSY);
	CHECK(dsm_errmsg()[0]);
	CHECK_EQ(dsm_sem_post(d, name), 0);
	CHECK_EQ(pthread_join(t.id, NULL), 0);
	CHECK_EQ(dsm_sem_init(d, name, 0), 0);
	test_barrier(d);
}

/* A token that goes round all ranks. */
static void ring(struct dsm *d)
{
	unsigned next = (dsm_rank(d) + 1) % dsm_size(d);
	volatile uint64_t *p = test_alloc(d, "ring", 8, (struct dsm_attr){ 0 });

	if (dsm_rank(d) == 0)
		CHECK_EQ(dsm_sem_post(d, NAME(20)), 0);
	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(dsm_sem_wait(d, NAME(20 + dsm_rank(d))), 0);
		CHECK_EQ(*p, i * dsm_size(d) + dsm_rank(d));
		*p += 1;
		CHECK_EQ(dsm_sem_post(d, NAME(20 + next)), 0);
	}
	test_barrier(d);
	if (dsm_rank(d) == 0)
		CHECK_EQ(dsm_sem_wait(d, NAME(20)), 0);
	test_free(d, (void *)p);
}

/*
 * Barriers
 */

static void barriers(struct dsm *d)
{
	volatile uint64_t *at = test_alloc(d, "barriers", 8 * dsm_size(d), (struct dsm_attr){ 0 });
	struct dsm_stats before = test_stats(d);
	unsigned n = test_rounds(300);

	for (unsigned i = 1; i <= n; i++) {
		at[dsm_rank(d)] = i;
		test_barrier(d);
		if (i % 10)
			continue;
		for (unsigned r = 0; r < dsm_size(d); r++)
			CHECK(at[r] == i || at[r] == i + 1);
		test_barrier(d);
	}
	CHECK_EQ(test_stats(d).barriers - before.barriers, n + n / 10);
	test_free(d, (void *)at);
}

/*
 * Where ranks and their agents share processors, a thread that waits in a call takes messages
 * itself, and the agent leaves it the processor. How often agents ran is the kernel's to say.
 */

#define ROUNDS        21u
#define ROUND         300u /* barriers */
#define QUIET_SECONDS (ROUND * 10e-6) /* longer: other processes have had the processors */

/* Times that this rank's agent was given a processor, or -1 if the kernel does not count them. */
static long agent_turns(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	long turns = -1;

	while (tasks && turns < 0 && (task = readdir(tasks))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (!fgets(name, sizeof(name), f))
			name[0] = 0;
		fclose(f);
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", task->d_name);
		f = strcmp(name, "dsm-agent\n") ? NULL : fopen(path, "re");
		if (f && fscanf(f, "%*u %*u %ld", &turns) != 1)
			turns = -1;
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return turns;
}

static int by_size(const void *a_, const void *b_)
{
	long a = *(const long *)a_, b = *(const long *)b_;

	return (a > b) - (a < b);
}

static void agents_rest(struct dsm *d)
{
	long *turns = test_alloc(d, "agents_rest", 2 * sizeof(long), (struct dsm_attr){ 0 });
	long quiet[ROUNDS], before;
	unsigned nquiet = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		double start;

		test_barrier(d);
		before = agent_turns();
		start = test_seconds();
		for (unsigned n = 0; n < ROUND; n++)
			test_barrier(d);
		start = test_seconds() - start;
		turns[dsm_rank(d)] = agent_turns() - before;
		test_barrier(d);
		if (start < QUIET_SECONDS)
			quiet[nquiet++] = turns[0] + turns[1];
		test_barrier(d);
	}
	if (nquiet < ROUNDS / 2 || before < 0) {
		fprintf(stderr, "rank %u: agents_rest: not judged, the machine is %s\n", test_rank,
			before < 0 ? "one that does not count" : "busy");
	} else {
		qsort(quiet, nquiet, sizeof(*quiet), by_size);
		CHECK(quiet[nquiet / 2] < ROUND / 3);
	}
	test_free(d, turns);
}

int main(void)
{
	struct dsm *d = test_init();

	STEP(lock_counts(d));
	STEP(lock_is_taken(d));
	STEP(lock_time_outs(d));
	STEP(lock_stays(d));
	STEP(lock_is_the_ranks(d));
	STEP(bounded_buffer(d));
	STEP(cond_times_out(d));
	STEP(broadcast(d));
	STEP(sem_counts(d));
	STEP(sem_limits(d));
	STEP(sem_is_waited_for(d));
	STEP(ring(d));
	STEP(barriers(d));
	if (dsm_size(d) == 2 && sysconf(_SC_NPROCESSORS_ONLN) < 4)
		STEP(agents_rest(d));
	test_fini(d);
	return 0;
}
