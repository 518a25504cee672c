/* SPDX-License-Identifier: MIT */
/*
 * See batch.h.
 *
 * Shared memory: one region of cyclic homes, so that block i lives at rank i; a batch uses a window
 * of the same pages in each block. A second region has the plan of the next batch, which rank 0
 * writes, and what the threads saw. Window and results are others in the next batch, which begins
 * while rank 0 still reads those of the last. Two barriers a batch:
 *
 *	one rank zeroes the window, rank 0 writes the plan; barrier; all run, and write what they
 *	saw; barrier; rank 0 reads it
 */
#define _GNU_SOURCE
#include "batch.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "check.h"

#define SLOT_BYTES     128u /* an instance's part of a page: x, z and scratch words, y */
#define SLOTS_A_PAGE   (PAGE_BYTES / SLOT_BYTES)
#define WINDOW_PAGES   (BATCH_INSTANCES / SLOTS_A_PAGE * PROGRAM_LOCATIONS)
#define WINDOWS        (BLOCK_BYTES / PAGE_BYTES / WINDOW_PAGES)
#define SCRATCH_OFFSET 96u

#define PERIOD_NS_MIN   30000u
#define PERIOD_NS_MAX   2000000u
#define PERIOD_NS_FIRST 100000u
#define SPIN_NS         8000u
#define SPIN_NS_EXACT   100000u
#define LEAD_NS         300000u /* from the plan to the first instance: a barrier, threads */

_Static_assert(SCRATCH_OFFSET + PROGRAM_THREADS * sizeof(uint64_t) == SLOT_BYTES, "slot");
_Static_assert(BATCH_INSTANCES % SLOTS_A_PAGE == 0, "window");

struct plan {
	uint64_t seed;
	uint64_t stop;
	uint64_t start_ns;
	uint64_t period_ns;
};

struct results {
	uint8_t seen[PROGRAM_THREADS][BATCH_INSTANCES][PROGRAM_VALUES];
	uint64_t late_ns[PROGRAM_THREADS];
};

struct shared {
	_Alignas(4096) struct plan plan;
	_Alignas(4096) struct results results[2];
};

struct batches {
	struct dsm *d;
	uint8_t *memory;
	struct shared *shared;
	uint64_t period_ns[PLACE_COUNT][ACCESS_COUNT]; /* rank 0: what the machine keeps up with */
	bool stop;
};

/* One litmus thread of this rank, in one batch. Its notes are private until all have ended. */
struct runner {
	const struct batches *b;
	const struct batch *batch;
	struct plan plan;
	unsigned thread;
	uint64_t random;
	uint64_t late_ns;
	uint8_t seen[BATCH_INSTANCES][PROGRAM_VALUES];
	pthread_t id;
};

static uint8_t *window_page(const struct batches *b, const struct batch *batch, unsigned block,
			    unsigned page)
{
	return b->memory + block * BLOCK_BYTES +
	       (batch->number % WINDOWS * WINDOW_PAGES + page) * PAGE_BYTES;
}

static uint8_t *slot(const struct batches *b, const struct batch *batch, unsigned i,
		     unsigned location)
{
	const struct variant *v = &batch->variant;
	unsigned block = variant_home(v, location, batch->home);
	unsigned page =
		i / SLOTS_A_PAGE * PROGRAM_LOCATIONS + (v->layout == LAYOUT_PAGE ? 0 : location);

	return window_page(b, batch, block, page) + i % SLOTS_A_PAGE * SLOT_BYTES;
}

/* x and y are on different cache lines also where they are on one page. */
static uint64_t *location(const struct batches *b, const struct batch *batch, unsigned i,
			  unsigned l)
{
	static const unsigned offset[PROGRAM_LOCATIONS] = { 0, CACHE_LINE, CACHE_LINE / 2 };

	return (uint64_t *)(slot(b, batch, i, l) + offset[l]);
}

/* Leave the page of each location as it is, or bring it here to read, or to write. */
static void touch(struct runner *r, unsigned i)
{
	uint64_t choice = check_random(&r->random);

	for (unsigned l = 0; l < r->batch->variant.program->nlocations; l++, choice >>= 8) {
		volatile uint64_t *scratch =
			(volatile uint64_t *)(slot(r->b, r->batch, i, l) + SCRATCH_OFFSET) +
			r->thread;

		if (choice % 4 == 1)
			(void)*scratch;
		else if (choice % 4 == 2)
			*scratch = i;
	}
}

/*
 * Sleep, and for the last bit spin. Threads of different ranks meet in the protocol, and leave the
 * processors to the agents; threads of one rank meet in its caches, for nanoseconds, and have to
 * start as exactly as they can.
 */
static void wait_until(uint64_t ns, bool exactly)
{
	uint64_t wake = ns - (exactly ? SPIN_NS_EXACT : SPIN_NS);
	struct timespec t = { .tv_sec = (time_t)(wake / 1000000000u),
			      .tv_nsec = (long)(wake % 1000000000u) };

	if (check_clock_ns() < wake)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	while (check_clock_ns() < ns)
		;
}

/* Mostly tens of nanoseconds, at times microseconds. */
static void delay(struct runner *r)
{
	uint64_t random = check_random(&r->random);
	unsigned turns = (unsigned)(random >> 8) & ((1u << random % 11) - 1);

	for (volatile unsigned i = 0; i < turns; i++)
		;
}

static void run_instance(struct runner *r, unsigned i)
{
	const struct variant *v = &r->batch->variant;
	uint64_t begin = r->plan.start_ns + i * r->plan.period_ns;
	uint64_t *at[PROGRAM_LOCATIONS];

	for (unsigned l = 0; l < v->program->nlocations; l++)
		at[l] = location(r->b, r->batch, i, l);
	touch(r, i);
	wait_until(begin, v->placement == PLACE_TOGETHER);
	delay(r);
	access_run(r->b->d, v->access, v->program, r->thread, at, r->seen[i]);
}

/* Run on the n-th of the processors that this thread may use. If that fails, the test is weaker. */
static void pin(unsigned n)
{
	cpu_set_t all, one;
	int count;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return;
	count = CPU_COUNT(&all);
	n %= (unsigned)count;
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && n-- == 0)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	uint64_t end = r->plan.start_ns + BATCH_INSTANCES * r->plan.period_ns, now;

	prctl(PR_SET_TIMERSLACK, 1ul);
	if (r->batch->variant.placement == PLACE_TOGETHER)
		pin(r->thread);
	for (unsigned i = 0; i < BATCH_INSTANCES; i++)
		run_instance(r, i);
	now = check_clock_ns();
	r->late_ns = now > end ? now - end : 0;
	return NULL;
}

static void run_threads(struct batches *b, const struct batch *batch)
{
	struct results *results = &b->shared->results[batch->number % 2];
	struct runner *r = calloc(PROGRAM_THREADS, sizeof(*r));
	unsigned n = 0;

	CHECK(r != NULL);
	for (unsigned t = 0; t < batch->variant.program->nthreads; t++) {
		if (variant_rank(&batch->variant, t, batch->shift) != check_rank)
			continue;
		r[n].b = b;
		r[n].batch = batch;
		r[n].plan = b->shared->plan;
		r[n].thread = t;
		r[n].random = batch->seed + t;
		n++;
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_create(&r[i].id, NULL, runner_main, &r[i]) == 0);
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_join(r[i].id, NULL) == 0);
	for (unsigned i = 0; i < n; i++) {
		memcpy(results->seen[r[i].thread], r[i].seen, sizeof(r[i].seen));
		results->late_ns[r[i].thread] = r[i].late_ns;
	}
	free(r);
}

static void zero_window(struct batches *b, const struct batch *batch)
{
	unsigned blocks = batch->variant.layout == LAYOUT_HOMES ? dsm_size(b->d) : 1;

	for (unsigned i = 0; i < blocks; i++)
		memset(window_page(b, batch, (batch->home + i) % dsm_size(b->d), 0), 0,
		       WINDOW_PAGES * PAGE_BYTES);
}

static uint64_t *period(struct batches *b, const struct batch *batch)
{
	return &b->period_ns[batch->variant.placement][batch->variant.access];
}

static void write_plan(struct batches *b, const struct batch *batch)
{
	b->shared->plan.stop = b->stop;
	b->shared->plan.period_ns = *period(b, batch);
	b->shared->plan.start_ns = check_clock_ns() + LEAD_NS;
}

/* The next batch of this kind is faster until threads fall behind by more than an instance. */
static void adapt(struct batches *b, const struct batch *batch)
{
	const struct results *results = &b->shared->results[batch->number % 2];
	uint64_t *period_ns = period(b, batch), late = 0;

	for (unsigned t = 0; t < batch->variant.program->nthreads; t++)
		if (results->late_ns[t] > late)
			late = results->late_ns[t];
	if (late > 2 * *period_ns)
		*period_ns += *period_ns / 8;
	else
		*period_ns -= *period_ns / 32;
	if (*period_ns < PERIOD_NS_MIN)
		*period_ns = PERIOD_NS_MIN;
	if (*period_ns > PERIOD_NS_MAX)
		*period_ns = PERIOD_NS_MAX;
}

static unsigned outcome_of(const struct batches *b, const struct batch *batch, unsigned i)
{
	const struct results *results = &b->shared->results[batch->number % 2];
	const struct program *p = batch->variant.program;
	unsigned outcome = 0;

	for (unsigned t = 0; t < p->nthreads; t++)
		for (unsigned k = 0; k < p->nops[t]; k++)
			if (!p->ops[t][k].store)
				outcome = outcome_set(outcome, p->ops[t][k].value,
						      results->seen[t][i][p->ops[t][k].value] & 3u);
	for (unsigned k = 0; k < p->nfinals; k++)
		outcome = outcome_set(outcome, p->nloads + k,
				      (unsigned)*location(b, batch, i, p->final[k]) & 3u);
	return outcome;
}

bool batch_run(struct batches *b, const struct batch *batch, unsigned *outcomes)
{
	if (check_rank == batch->number % dsm_size(b->d))
		zero_window(b, batch);
	if (check_rank == 0)
		write_plan(b, batch);
	CHECK(dsm_barrier(b->d) == 0);
	if (b->shared->plan.stop)
		return false;
	run_threads(b, batch);
	CHECK(dsm_barrier(b->d) == 0);
	if (check_rank == 0) {
		for (unsigned i = 0; i < BATCH_INSTANCES; i++)
			outcomes[i] = outcome_of(b, batch, i);
		adapt(b, batch);
	}
	return true;
}

void batches_stop(struct batches *b)
{
	b->stop = true;
}

struct batches *batches_create(struct dsm *d, uint64_t *seed)
{
	struct dsm_attr memory = { .name = "litmus", .home = DSM_HOME_CYCLIC };
	struct dsm_attr shared = { .name = "litmus results", .home = DSM_HOME_RANK };
	struct batches *b = calloc(1, sizeof(*b));

	CHECK(b != NULL);
	b->d = d;
	b->memory = dsm_alloc(d, dsm_size(d) * BLOCK_BYTES, &memory);
	b->shared = dsm_alloc(d, sizeof(*b->shared), &shared);
	CHECK(b->memory && b->shared);
	for (unsigned p = 0; p < PLACE_COUNT; p++)
		for (unsigned a = 0; a < ACCESS_COUNT; a++)
			b->period_ns[p][a] = PERIOD_NS_FIRST;
	if (check_rank == 0)
		b->shared->plan.seed = *seed;
	CHECK(dsm_barrier(d) == 0);
	*seed = b->shared->plan.seed;
	return b;
}

void batches_destroy(struct batches *b)
{
	CHECK(dsm_barrier(b->d) == 0);
	CHECK(dsm_free(b->d, b->memory) == 0);
	CHECK(dsm_free(b->d, b->shared) == 0);
	free(b);
}
