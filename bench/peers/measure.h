/* SPDX-License-Identifier: MIT */
/* Measure: what is common to the peers' tests. */
#ifndef BENCH_PEERS_MEASURE_H
#define BENCH_PEERS_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "../samples.h"
#include "../transfer.h"

#define BATCH                                                                                      \
	32 /* operations near the clock's own cost that are timed together; as dsm_bench's         \
	    */

struct measure {
	const char *system; /* its name in what is printed */
	const char *repeat; /* number of this run, likewise */
	unsigned blocks; /* of measurements, after one of warm-up */
	size_t sizes[TRANSFER_SIZES_MAX + 1]; /* of transfers, 0 behind the last */
	uint64_t end_ns; /* then no other test begins */
	uint8_t *private; /* TRANSFER_BYTES of this rank's own */
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline double us_since(uint64_t start_ns)
{
	return (double)(now_ns() - start_ns) / 1000.0;
}

/* Print the samples' median as a line of the report, at rank 0; clears them in any rank. */
void measure_report(const struct measure *m, const char *test, size_t bytes, struct samples *s);
/* A rate that took the samples' median for so many bytes. */
void measure_report_rate(const struct measure *m, const char *test, size_t bytes, size_t moved,
			 struct samples *s);
/* Is there time for another test? Collective; the last call may be the one that says no. */
bool measure_goes_on(const struct measure *m);
/* End the job. */
void measure_fail(const struct measure *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));

void measure_transfers(const struct measure *m);
void measure_sync(const struct measure *m);

#endif
