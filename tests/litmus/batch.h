/* SPDX-License-Identifier: MIT */
/*
 * Run many instances of a variant, each on locations of its own, on the real library.
 *
 * Instance i begins in all its threads at an agreed time (the machine's clock is common to the
 * ranks), after a small random delay and after a random touch of its pages, so that it meets them
 * in all states. Nothing that the threads do to start together touches shared memory: the tested
 * accesses are ordered by nothing but themselves. Pages are shared by some instances, which adds
 * what another instance's accesses do to them.
 */
#ifndef LITMUS_BATCH_H
#define LITMUS_BATCH_H

#include "variant.h"

#define BATCH_INSTANCES 64u

struct batch {
	struct variant variant;
	uint64_t number; /* counts the batches of a run */
	uint64_t seed; /* of this batch's random numbers */
	unsigned shift; /* see variant_rank() */
	unsigned home; /* see variant_home() */
};

struct batches;

/* Collective. seed: of rank 0, taken over by all. */
struct batches *batches_create(struct dsm *d, uint64_t *seed);
void batches_destroy(struct batches *b);

/* Rank 0, before batch_run(): this is to be the last call, which runs nothing. */
void batches_stop(struct batches *b);

/*
 * Collective, with the same batch at all ranks. False: batches_stop() was called. In rank 0
 * outcomes[BATCH_INSTANCES] receives what was seen.
 */
bool batch_run(struct batches *b, const struct batch *batch, unsigned *outcomes);

#endif
