/* SPDX-License-Identifier: MIT */
/*
 * Idea: three ways to count together, and what each costs. A C11 atomic works as between threads,
 * and moves the page to the rank that counts; a rank that has it counts on before it is taken away.
 * A lock does the same for any data, and is handed on as soon as somebody asks. A remote atomic
 * leaves the page at its home and adds there.
 *
 * Command: mpirun -n 4 build/examples/02_counter
 *
 * Expected output (the times are yours):
 *	4 ranks counted to 12000:
 *	  C11 atomic_fetch_add     12000    0.05 us each
 *	  plain ++ under a lock    12000   50.47 us each
 *	  dsm_fetch_add64          12000    0.12 us each
 */
#include <stdatomic.h>

#include "example.h"

#define TOTAL 12000u

/* Pages are the unit that moves, so each counter has its own: no false sharing. */
struct counters {
	_Alignas(4096) _Atomic uint64_t atomic;
	_Alignas(4096) uint64_t locked;
	_Alignas(4096) uint64_t remote;
};

static void count_atomic(struct dsm *dsm, struct counters *counters)
{
	(void)dsm;
	atomic_fetch_add(&counters->atomic, 1);
}

static void count_locked(struct dsm *dsm, struct counters *counters)
{
	TRY(dsm_lock(dsm, &counters->locked)); /* any address names a lock */
	counters->locked++;
	TRY(dsm_unlock(dsm, &counters->locked));
}

static void count_remote(struct dsm *dsm, struct counters *counters)
{
	TRY(dsm_fetch_add64(dsm, &counters->remote, 1, NULL));
}

/* All ranks count TOTAL together; returns microseconds per count. */
static double count(struct dsm *dsm, struct counters *counters,
		    void (*one)(struct dsm *, struct counters *))
{
	unsigned rank = dsm_rank(dsm), size = dsm_size(dsm);
	double start;

	TRY(dsm_barrier(dsm));
	start = now_s();
	for (unsigned i = rank; i < TOTAL; i += size)
		one(dsm, counters);
	TRY(dsm_barrier(dsm));
	return (now_s() - start) * 1e6 / TOTAL;
}

static int report(const char *way, uint64_t counted, double us)
{
	printf("  %-22s %7" PRIu64 " %7.2f us each\n", way, counted, us);
	if (counted == TOTAL)
		return EXIT_SUCCESS;
	fprintf(stderr, "02_counter: %s: counted %" PRIu64 ", alone it is %u\n", way, counted,
		TOTAL);
	return EXIT_FAILURE;
}

int main(void)
{
	struct dsm_attr attr = { .name = "counters", .home = DSM_HOME_RANK, .home_rank = 0 };
	double atomic_us, locked_us, remote_us;
	struct counters *counters;
	struct dsm *dsm;
	int status = EXIT_SUCCESS;

	TRY(dsm_init(&dsm, NULL));
	TRY_PTR(counters = dsm_alloc(dsm, sizeof(*counters), &attr));

	atomic_us = count(dsm, counters, count_atomic);
	locked_us = count(dsm, counters, count_locked);
	remote_us = count(dsm, counters, count_remote);

	if (dsm_rank(dsm) == 0) {
		printf("%u ranks counted to %u:\n", dsm_size(dsm), TOTAL);
		status |= report("C11 atomic_fetch_add", counters->atomic, atomic_us);
		status |= report("plain ++ under a lock", counters->locked, locked_us);
		status |= report("dsm_fetch_add64", counters->remote, remote_us);
	}
	TRY(dsm_fini(dsm));
	return status;
}
