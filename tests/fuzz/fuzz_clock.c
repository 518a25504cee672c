/* SPDX-License-Identifier: MIT */
/*
 * See fuzz.h. Processor clocks of threads go the same way, so that what looks at them ends, too.
 */
#include <time.h>

#include "fuzz.h"

#define STEP_NS 10000u

static uint64_t now_ns;
static bool runs;

/* In the place of clock_gettime(): the linker's --wrap. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __real_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!runs)
		return __real_clock_gettime(clock, ts);
	now_ns += STEP_NS;
	ts->tv_sec = (time_t)(now_ns / 1000000000u);
	ts->tv_nsec = (long)(now_ns % 1000000000u);
	return 0;
}

void fuzz_clock_start(void)
{
	now_ns = 0;
	runs = true;
}

void fuzz_clock_stop(void)
{
	runs = false;
}

void fuzz_clock_forward(uint64_t ns)
{
	now_ns += ns;
}
