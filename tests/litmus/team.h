/* SPDX-License-Identifier: MIT */
/*
 * The same number of threads in each rank, for the tests that are not litmus programs.
 */
#ifndef LITMUS_TEAM_H
#define LITMUS_TEAM_H

#include <pthread.h>

#include "check.h"

#define TEAM_THREADS 2u /* a rank */
#define TEAM_MAX     16u /* in all ranks */

struct member {
	struct dsm *d;
	void *arg;
	unsigned number; /* in all ranks */
	uint64_t random;
	void (*run)(struct member *m);
	pthread_t id;
};

static inline unsigned team_size(const struct dsm *d)
{
	return dsm_size(d) * TEAM_THREADS;
}

static inline void *team_main(void *arg)
{
	struct member *m = arg;

	m->run(m);
	return NULL;
}

/* Collective: begins and ends with a barrier. */
static inline void team_run(struct dsm *d, void (*run)(struct member *m), void *arg, uint64_t seed)
{
	struct member m[TEAM_THREADS];

	CHECK(team_size(d) <= TEAM_MAX);
	CHECK(dsm_barrier(d) == 0);
	for (unsigned i = 0; i < TEAM_THREADS; i++) {
		unsigned number = check_rank * TEAM_THREADS + i;

		m[i] = (struct member){
			.d = d, .arg = arg, .number = number, .random = seed + number, .run = run
		};
		CHECK(pthread_create(&m[i].id, NULL, team_main, &m[i]) == 0);
	}
	for (unsigned i = 0; i < TEAM_THREADS; i++)
		CHECK(pthread_join(m[i].id, NULL) == 0);
	CHECK(dsm_barrier(d) == 0);
}

#endif
