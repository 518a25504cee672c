/* SPDX-License-Identifier: MIT */
/*
 * sim: the protocol under random schedules. See README.md.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shrink.h"
#include "worker.h"

#define SCHEDULES_DEFAULT 1000u
#define LONG_BATCH        20000u

struct sim_settings {
	uint64_t first;
	uint64_t schedules;
	uint64_t seconds;
	unsigned checks;
	bool one; /* --seed */
	bool endless;
	bool trace;
	bool shrink;
};

static void usage(FILE *to)
{
	fputs("usage: sim [OPTION...]\n"
	      "  --schedules N  run N schedules (1000)\n"
	      "  --seconds N    stop after N seconds\n"
	      "  --first N      the first schedule's seed (1)\n"
	      "  --long         run until stopped, or until one fails\n"
	      "  --seed N       run schedule N alone, and print its program\n"
	      "  --shrink       with --seed: make what fails smaller (without: always)\n"
	      "  --trace        with --seed: print its events\n"
	      "  --programs     judge by what programs see alone, not by the protocol's state\n",
	      to);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - start->tv_sec) + 1e-9 * (double)(end.tv_nsec - start->tv_nsec);
}

static void settings_read(struct sim_settings *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "schedules", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 't' },
		{ "first", required_argument, NULL, 'f' },
		{ "long", no_argument, NULL, 'l' },
		{ "seed", required_argument, NULL, 's' },
		{ "shrink", no_argument, NULL, 'k' },
		{ "trace", no_argument, NULL, 'v' },
		{ "programs", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*s = (struct sim_settings){ .first = 1,
				    .schedules = SCHEDULES_DEFAULT,
				    .checks = CHECK_ALL };
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 'n':
			s->schedules = number;
			break;
		case 't':
			s->seconds = number;
			break;
		case 's':
			s->one = true;
			s->schedules = 1;
			s->first = number;
			break;
		case 'f':
			s->first = number;
			break;
		case 'l':
			s->endless = true;
			break;
		case 'k':
			s->shrink = true;
			break;
		case 'v':
			s->trace = true;
			break;
		case 'p':
			s->checks = 0;
			break;
		default:
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
}

static void add(struct outcome *total, const struct outcome *o)
{
	total->schedules += o->schedules;
	total->sum.events += o->sum.events;
	total->sum.messages += o->sum.messages;
	total->sum.accesses += o->sum.accesses;
	total->sum.failed += o->sum.failed;
	total->sum.undecided += o->sum.undecided;
}

static void report(const struct outcome *o, double seconds)
{
	printf("%s%llu schedules, %llu steps, %llu messages, %llu operations (%llu failed as a "
	       "death allows), %.1f s\n",
	       o->failed ? "FAILED: " : "", (unsigned long long)o->schedules,
	       (unsigned long long)o->sum.events, (unsigned long long)o->sum.messages,
	       (unsigned long long)o->sum.accesses, (unsigned long long)o->sum.failed, seconds);
	if (o->sum.undecided)
		printf("%llu histories were too long to be judged\n",
		       (unsigned long long)o->sum.undecided);
}

static void make_smaller(uint64_t seed, unsigned checks)
{
	struct shrunk small;

	shrink(seed, checks, &small);
	shrunk_print(&small, checks);
	free(small.decisions.value);
}

static int one(const struct sim_settings *s)
{
	struct job job = { .first = s->first,
			   .schedules = 1,
			   .checks = s->checks,
			   .trace = s->trace,
			   .show = true };
	struct timespec start;
	struct outcome o;
	struct plan plan;

	clock_gettime(CLOCK_MONOTONIC, &start);
	plan_create(&plan, s->first);
	plan_print(&plan, stdout);
	worker_run(&job, &o);
	if (o.failed)
		printf("%s\n", o.text);
	if (o.failed && s->shrink)
		make_smaller(s->first, s->checks);
	report(&o, seconds_since(&start));
	return o.failed;
}

static int many(const struct sim_settings *s)
{
	struct job job = { .first = s->first,
			   .schedules = s->endless ? LONG_BATCH : s->schedules,
			   .checks = s->checks,
			   .seconds = s->seconds };
	struct outcome o, total = { 0 };
	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		worker_run(&job, &o);
		add(&total, &o);
		job.first += job.schedules;
		if (s->endless && !o.failed)
			report(&total, seconds_since(&start));
	} while (s->endless && !o.failed);
	total.failed = o.failed;
	if (o.failed) {
		printf("seed %llu: %s\n", (unsigned long long)o.seed, o.text);
		make_smaller(o.seed, s->checks);
	}
	report(&total, seconds_since(&start));
	return o.failed;
}

int main(int argc, char **argv)
{
	struct sim_settings s;

	settings_read(&s, argc, argv);
	return s.one ? one(&s) : many(&s);
}
