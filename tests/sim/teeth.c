/* SPDX-License-Identifier: MIT */
/*
 * sim_bugs: can the simulator find what it is made for? Switches on each bug of bugs.h in turn, and
 * runs schedules until one fails: by all checks, and by what programs see alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bugs.h"
#include "shrink.h"
#include "worker.h"

/* A bug that needs more than this by all checks is a gap in the simulator. */
#define SCHEDULES_MAX          20000u
#define SCHEDULES_MAX_PROGRAMS 20000u

/* Operations that are enough to show any of them. */
#define OPS_MAX 8u

enum bug bug_now;

static const struct {
	const char *name;
	const char *text;
} bugs[] = {
#define BUG_ROW(name, text) [BUG_##name] = { #name, text },
	BUGS(BUG_ROW)
#undef BUG_ROW
};

/* Where all ranks share a counter of readers, or each has a bit. */
static uint64_t first_seed(void)
{
	return (strncmp(bugs[bug_now].name, "GROUP_", 6) ? 0 : 5ull << PLAN_GROUP_SHIFT) + 1;
}

/* The number of schedules until found, as text, and what was seen. */
static void search(unsigned checks, uint64_t schedules, struct outcome *o, char *count, size_t len)
{
	struct job job = { .first = first_seed(), .schedules = schedules, .checks = checks };

	worker_run(&job, o);
	if (o->failed)
		snprintf(count, len, "%llu", (unsigned long long)o->schedules);
	else
		snprintf(count, len, "-");
}

static bool find(enum bug bug)
{
	struct outcome all, programs;
	char n[24], n_programs[24];

	bug_now = bug;
	search(CHECK_ALL, SCHEDULES_MAX, &all, n, sizeof(n));
	search(0, SCHEDULES_MAX_PROGRAMS, &programs, n_programs, sizeof(n_programs));
	printf("| %s | %s | %s | %s |\n", bugs[bug].name, bugs[bug].text, n, n_programs);
	if (programs.failed)
		fprintf(stderr, "%s: programs: %s\n", bugs[bug].name, programs.text);
	if (all.failed)
		fprintf(stderr, "%s: %s\n", bugs[bug].name, all.text);
	return all.failed;
}

/* Find one bug, and make its schedule small. */
static int find_one(const char *name)
{
	struct shrunk small;
	struct outcome o;
	char count[24];
	bool again;

	for (unsigned bug = BUG_NONE + 1; bug < BUG_KINDS; bug++)
		if (strcmp(name, bugs[bug].name) == 0)
			bug_now = (enum bug)bug;
	if (bug_now == BUG_NONE) {
		fprintf(stderr, "sim_bugs: there is no bug called %s\n", name);
		return 2;
	}
	search(CHECK_ALL, SCHEDULES_MAX, &o, count, sizeof(count));
	if (!o.failed) {
		printf("%s is not found in %u schedules\n", name, SCHEDULES_MAX);
		return 1;
	}
	printf("seed %s: %s\n", count, o.text);
	shrink(o.seed, CHECK_ALL, &small);
	again = shrunk_print(&small, CHECK_ALL);
	free(small.decisions.value);
	return !again || small.nops > OPS_MAX;
}

int main(int argc, char **argv)
{
	unsigned missed = 0;

	if (argc > 1)
		return find_one(argv[1]);
	printf("| bug | what it does | schedules until found | by programs alone |\n"
	       "| --- | --- | --- | --- |\n");
	for (unsigned bug = BUG_NONE + 1; bug < BUG_KINDS; bug++)
		missed += !find((enum bug)bug);
	printf("%u bugs, %u not found; the number of a schedule is its seed\n", BUG_KINDS - 1u,
	       missed);
	return missed > 0;
}
