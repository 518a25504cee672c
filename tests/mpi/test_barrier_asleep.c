/* SPDX-License-Identifier: MIT */
/*
 * Barriers of ranks that wait asleep (DSM_SPIN_US=0), and come late in turn: each is woken by the
 * last arrival. An arrival need not wake a rank that is not in the barrier; one that wakes nobody
 * who is would cost as long as an agent sleeps of its own accord, a second.
 */
#include "mpi_test.h"

#define BARRIERS 60u
#define LIMIT_S  20.0 /* a third of what it takes if each is noticed by chance */

static void barriers(struct dsm *d)
{
	struct timespec late = { .tv_nsec = 2000000 };
	double start = test_seconds();

	for (unsigned i = 0; i < BARRIERS; i++) {
		if (i % dsm_size(d) == dsm_rank(d))
			nanosleep(&late, NULL);
		test_barrier(d);
	}
	CHECK(test_seconds() - start < LIMIT_S);
}

int main(void)
{
	struct dsm_config config = { .spin_us = "0" };
	struct dsm *d = test_init_config(&config);

	STEP(barriers(d));
	test_fini(d);
	return 0;
}
