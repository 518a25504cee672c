/* SPDX-License-Identifier: MIT */
/* Host: read from /proc and the C library; rank 0's view. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"
#include "host.h"
#include "node.h"

#define CLOCK_SAMPLES  1001
#define HANDLER_GAP_NS 5000

static void describe_cpu(struct host *h)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(h->cpu, sizeof(h->cpu), "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		snprintf(h->cpu, sizeof(h->cpu), "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

static void describe_kernel(struct host *h)
{
	struct utsname u;

	if (uname(&u))
		memset(&u, 0, sizeof(u));
	snprintf(h->kernel, sizeof(h->kernel), "%.64s %.64s %.24s", u.sysname, u.release,
		 u.machine);
}

static void describe_cores(struct host *h)
{
	cpu_set_t set;

	h->cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	h->cores_usable = h->cores;
	if (!sched_getaffinity(0, sizeof(set), &set))
		h->cores_usable = (unsigned)CPU_COUNT(&set);
}

/*
 * The agent polls for a while after its last work, then sleeps. A fault that comes within that time
 * meets a handler that spins; misses in a row come faster than HANDLER_GAP_NS one after another.
 */
static void describe_handler(struct host *h, const struct bench *b)
{
	enum fault_kind kind = b->dsm->settings.fault_handler;
	uint64_t spin_ns = b->dsm->spin_ns;

	h->handler_yields = b->dsm->crowded;
	if (kind == FAULT_INLINE) {
		h->handler_kind = FLOOR_INLINE;
		snprintf(h->handler, sizeof(h->handler), "the thread that faults, by SIGBUS");
		return;
	}
	if (kind == FAULT_CORE) {
		h->handler_kind = FLOOR_SAME_CORE;
		snprintf(h->handler, sizeof(h->handler), "sleeps, on the core that faulted");
		return;
	}
	h->handler_kind = FLOOR_SLEEPS;
	if (spin_ns >= HANDLER_GAP_NS)
		h->handler_kind = h->handler_yields ? FLOOR_YIELDS : FLOOR_SPINS;
	snprintf(h->handler, sizeof(h->handler),
		 "polls for %.1f us after its last work, then sleeps%s", (double)spin_ns / 1000.0,
		 h->handler_yields ? "; yields between polls" : "");
}

static double clock_cost_us(void)
{
	struct samples s = SAMPLES_INIT;
	struct summary summary;

	for (int i = 0; i < CLOCK_SAMPLES; i++) {
		uint64_t start_ns = bench_now_ns();

		for (int j = 0; j < 16; j++)
			bench_now_ns();
		samples_add(&s, bench_us_since(start_ns) / 17);
	}
	samples_summarize(&s, &summary);
	samples_free(&s);
	return summary.median_us;
}

void host_describe(struct host *h, struct bench *b)
{
	memset(h, 0, sizeof(*h));
	describe_cpu(h);
	describe_kernel(h);
	describe_cores(h);
	describe_handler(h, b);
	h->ranks = b->size;
	h->clock_us = clock_cost_us();
	snprintf(h->library, sizeof(h->library), "%s", dsm_version_string());
}
