/* SPDX-License-Identifier: MIT */
/*
 * dsm_bench: how fast libdsm is, next to the floors under it, measured in the same run.
 *
 * Exit status: 0; 1 if something failed; 2 for a wrong command line; 77 if every test asked for
 * was skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "registry.h"

#define EXIT_USAGE   2
#define EXIT_SKIPPED 77

/* The rank as the launcher gives it, before dsm_init(): only rank 0 prints. */
static bool speaks(void)
{
	static const char *const names[] = { "DSM_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK",
					     "SLURM_PROCID" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *rank = getenv(names[i]);

		if (rank)
			return !strcmp(rank, "0");
	}
	return true;
}

static void print_help(void)
{
	printf("usage: mpirun -n 2 dsm_bench [options] NAME...\n\n"
	       "Runs the named tests, or with the name \"all\" every test, and prints what they\n"
	       "took, the floors measured beside them, and how far one is from the other.\n\n"
	       "  --list            names and meanings of the tests\n"
	       "  --format=FORMAT   text (default), json or csv: test,bytes,ranks,system,repeat,\n"
	       "                    value,unit without a heading\n"
	       "  --iterations=N    measured repetitions, instead of each test's own number\n"
	       "  --blocks=N        turns that a test and its floors take, each with a tenth of "
	       "the\n"
	       "                    test's own repetitions; 10 (default), or less for a short run\n"
	       "  --bytes=N[,N...]  sizes for acquire_read; the first is the range of scan,\n"
	       "                    write_scan, hit, memory and of what barrier caches; K, M, G\n"
	       "  --sizes=N[,N...]  sizes of get and put; 8 to 4M (default); K, M\n"
	       "  --system=NAME, --repeat=N\n"
	       "                    what libdsm is called in csv, and the number of this run\n"
	       "  --help            this text\n");
}

static void print_list(void)
{
	size_t count;
	const struct bench_test *tests = registry_tests(&count);

	for (size_t i = 0; i < count; i++)
		printf("%-20s %s (ranks: %u; target: %s)\n", tests[i].name, tests[i].meaning,
		       tests[i].ranks, tests[i].target);
}

static bool is_all(const char *name)
{
	return !strcmp(name, "all");
}

/* The first name that is no test, or NULL. */
static const char *find_wrong_name(const struct options *o)
{
	for (unsigned i = 0; i < o->nnames; i++)
		if (!is_all(o->names[i]) && !registry_find(o->names[i]))
			return o->names[i];
	return NULL;
}

/* -1: go on; else the exit status. */
static int answer_without_ranks(const struct options *o)
{
	const char *wrong = find_wrong_name(o);

	if (o->help || o->list) {
		if (speaks() && o->help)
			print_help();
		if (speaks() && o->list)
			print_list();
		return EXIT_SUCCESS;
	}
	if (wrong && speaks())
		fprintf(stderr,
			"dsm_bench: no test is called %s; did you mean %s? --list has all\n", wrong,
			registry_nearest(wrong));
	if (!o->nnames && speaks())
		fprintf(stderr, "dsm_bench: name a test, or \"all\"; --list has all names\n");
	return wrong || !o->nnames ? EXIT_USAGE : -1;
}

static bool is_wanted(const struct options *o, const char *name)
{
	for (unsigned i = 0; i < o->nnames; i++)
		if (is_all(o->names[i]) || !strcmp(o->names[i], name))
			return true;
	return false;
}

/* Returns whether it was run. */
static bool run_test(struct bench *b, const struct bench_test *test)
{
	report_init(b->report, test);
	if (b->size < test->ranks) {
		b->report->skipped = "needs more ranks; run it by mpirun -n 2";
		return false;
	}
	bench_barrier(b);
	test->run(b);
	bench_barrier(b);
	return true;
}

static unsigned run_tests(struct bench *b)
{
	size_t count;
	const struct bench_test *tests = registry_tests(&count);
	unsigned printed = 0, run = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_wanted(b->options, tests[i].name))
			continue;
		run += run_test(b, &tests[i]);
		if (!b->rank)
			report_print(b->report, b->options, b->size, !printed++);
	}
	return run;
}

static unsigned run_all(struct bench *b)
{
	struct host host;
	unsigned run;

	host_describe(&host, b);
	b->host = &host;
	side_open(b);
	if (!b->rank)
		report_begin(&host, b->options);
	run = run_tests(b);
	if (!b->rank)
		report_end(b->options);
	side_close(b);
	return run;
}

int main(int argc, char **argv)
{
	static struct report report;
	struct options options;
	struct bench b = { .options = &options, .report = &report };
	const char *message;
	unsigned run;
	int ret;

	if (options_parse(&options, argc, argv, &message)) {
		if (speaks())
			fprintf(stderr, "dsm_bench: %s\n", message);
		return EXIT_USAGE;
	}
	ret = answer_without_ranks(&options);
	if (ret >= 0)
		return ret;
	ret = dsm_init(&b.dsm, NULL);
	if (ret) {
		fprintf(stderr, "dsm_bench: dsm_init: %s (%s)\n", dsm_errmsg(), strerror(-ret));
		return EXIT_FAILURE;
	}
	b.rank = dsm_rank(b.dsm);
	b.size = dsm_size(b.dsm);
	run = run_all(&b);
	ret = dsm_fini(b.dsm);
	if (ret) {
		fprintf(stderr, "dsm_bench: dsm_fini: %s (%s)\n", dsm_errmsg(), strerror(-ret));
		return EXIT_FAILURE;
	}
	return run ? EXIT_SUCCESS : EXIT_SKIPPED;
}
