/* SPDX-License-Identifier: MIT */
/*
 * Idea: a ring buffer in a named region. A thread of rank 0 fills slots of one page each; every
 * rank takes whichever is next. A lock guards the count of items, and who finds none waits on a
 * condition variable for more. Each slot has a semaphore that says when it may be filled again.
 * They are named by any address: here by members that say what they are about.
 *
 * Command: mpirun -n 4 build/examples/03_producer_consumer
 *
 * Expected output (who takes how many depends on who is quick):
 *	4000 items went through a ring of 16 slots to 4 ranks
 *	  rank 0 took 1049
 *	... and a line for each of the others ...
 *	sum 1542198000 as alone
 */
#include <pthread.h>

#include "example.h"

#define NITEMS 4000u
#define NSLOTS 16u
#define NWORDS (PAGE_SIZE / sizeof(uint64_t) - 1)

/* A slot is a page: taking one disturbs no other. */
struct slot {
	_Alignas(4096) uint64_t word[NWORDS];
	char empty; /* names a semaphore */
};

struct ring {
	struct slot slot[NSLOTS];
	_Alignas(4096) char lock, more; /* names of a lock and of a condition variable */
	uint64_t filled, taken; /* items */
	_Alignas(4096) uint64_t sum;
	_Alignas(4096) uint64_t taken_by[]; /* by rank */
};

static struct dsm *dsm;
static struct ring *ring;

static uint64_t word_of(uint64_t item, uint64_t i)
{
	return item * NWORDS % 1000 + i;
}

static void *produce(void *unused)
{
	for (uint64_t item = 0; item < NITEMS; item++) {
		struct slot *slot = &ring->slot[item % NSLOTS];

		TRY(dsm_sem_wait(dsm, &slot->empty));
		for (uint64_t i = 0; i < NWORDS; i++)
			slot->word[i] = word_of(item, i);
		TRY(dsm_lock(dsm, &ring->lock));
		ring->filled++;
		TRY(dsm_unlock(dsm, &ring->lock));
		TRY(dsm_cond_signal(dsm, &ring->more));
	}
	TRY(dsm_cond_broadcast(dsm, &ring->more)); /* nobody need wait any longer */
	return unused;
}

/* Take items until there are no more; returns how many. */
static uint64_t consume(void)
{
	uint64_t item, taken = 0, sum = 0;
	struct slot *slot;

	for (;; taken++) {
		TRY(dsm_lock(dsm, &ring->lock));
		while (ring->taken == ring->filled && ring->filled < NITEMS)
			TRY(dsm_cond_wait(dsm, &ring->more, &ring->lock));
		item = ring->taken;
		ring->taken += item < NITEMS;
		TRY(dsm_unlock(dsm, &ring->lock));
		if (item == NITEMS)
			break;
		slot = &ring->slot[item % NSLOTS];
		for (uint64_t i = 0; i < NWORDS; i++)
			sum += slot->word[i];
		TRY(dsm_sem_post(dsm, &slot->empty));
	}
	TRY(dsm_fetch_add64(dsm, &ring->sum, sum, NULL));
	return taken;
}

static int report(void)
{
	uint64_t alone = 0;

	for (uint64_t item = 0; item < NITEMS; item++)
		for (uint64_t i = 0; i < NWORDS; i++)
			alone += word_of(item, i);

	printf("%u items went through a ring of %u slots to %u ranks\n", NITEMS, NSLOTS,
	       dsm_size(dsm));
	for (unsigned r = 0; r < dsm_size(dsm); r++)
		printf("  rank %u took %" PRIu64 "\n", r, ring->taken_by[r]);
	printf("sum %" PRIu64 "%s as alone\n", ring->sum, ring->sum == alone ? "" : ", not");
	return ring->sum == alone ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
	/* At home where the slots are filled: only the taking of them moves a page. */
	struct dsm_attr attr = { .name = "ring", .home = DSM_HOME_RANK, .home_rank = 0 };
	pthread_t producer;
	int status = EXIT_SUCCESS;

	TRY(dsm_init(&dsm, NULL));
	TRY_PTR(ring = dsm_alloc(dsm, sizeof(*ring) + dsm_size(dsm) * sizeof(uint64_t), &attr));
	if (dsm_rank(dsm) == 0) {
		for (unsigned i = 0; i < NSLOTS; i++)
			TRY(dsm_sem_init(dsm, &ring->slot[i].empty, 1));
		if (pthread_create(&producer, NULL, produce, NULL)) {
			fprintf(stderr, "03_producer_consumer: cannot start a thread\n");
			return EXIT_FAILURE;
		}
	}
	ring->taken_by[dsm_rank(dsm)] = consume();
	if (dsm_rank(dsm) == 0)
		pthread_join(producer, NULL);
	TRY(dsm_barrier(dsm)); /* every rank has added its sum */
	if (dsm_rank(dsm) == 0)
		status = report();
	TRY(dsm_fini(dsm));
	return status;
}
