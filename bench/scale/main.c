/* SPDX-License-Identifier: MIT */
/*
 * scale: the library's own protocol on 2 to 4096 virtual ranks, in virtual time. See
 * bench/README.md.
 *
 * Exit status: 0; 1: a law was broken, or a run came to no end; 2: what was asked for makes no
 * sense.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "error.h"
#include "kernel_run.h"

struct options {
	const char *newick;
	const char *racks;
	const char *ranks; /* list, or NULL: powers of two */
	const char *kernels; /* list, or NULL: all */
	const char *csv;
	const char *parameters;
	unsigned npages;
	unsigned iterations;
	uint64_t seed;
	bool exact;
	bool print_parameters;
	bool list;
	bool quiet;
};

static const char usage_text[] =
	"usage: scale [OPTION]...\n"
	"\n"
	"Runs libdsm's protocol on virtual ranks, with the access patterns of well-known kernels, "
	"in\n"
	"virtual time; prints messages, bytes and time per operation, and whether what the "
	"protocol\n"
	"promises held.\n"
	"\n"
	"  --kernels=K,K...     which (default: all)\n"
	"  --ranks=N,N...       on how many ranks (default: the powers of two that the topology "
	"has)\n"
	"  --topology=NEWICK    a tree of switches, as "
	"(0-7:0.2us@12.5GBps,(8,9)rack1:1us@25GBps),\n"
	"                       or @FILE\n"
	"  --racks=AxB          a balanced tree, A racks of B ranks, or more levels (default: "
	"128x32)\n"
	"  --pages=N            of a rank in each region (default: 16)\n"
	"  --iterations=N       measured, of the kernels that iterate (default: 4; fewer where one "
	"is long)\n"
	"  --seed=N             of what is random (default: 1)\n"
	"  --exact              a bit for each rank in the directory, however many there are (the\n"
	"                       library: counters for groups of ranks from 513 ranks on)\n"
	"  --parameters=FILE    what faults, messages and adapters take\n"
	"  --csv=FILE           write the results there, too\n"
	"  --quiet              nothing about the progress\n"
	"  --print-parameters   the parameters, what they mean and how they are measured\n"
	"  --list               the kernels\n";

enum {
	OPT_KERNELS = 256,
	OPT_RANKS,
	OPT_TOPOLOGY,
	OPT_RACKS,
	OPT_PAGES,
	OPT_ITERATIONS,
	OPT_SEED,
	OPT_EXACT,
	OPT_PARAMETERS,
	OPT_CSV,
	OPT_QUIET,
	OPT_PRINT,
	OPT_LIST,
	OPT_HELP
};

static const struct option long_options[] = {
	{ "kernels", required_argument, NULL, OPT_KERNELS },
	{ "ranks", required_argument, NULL, OPT_RANKS },
	{ "topology", required_argument, NULL, OPT_TOPOLOGY },
	{ "racks", required_argument, NULL, OPT_RACKS },
	{ "pages", required_argument, NULL, OPT_PAGES },
	{ "iterations", required_argument, NULL, OPT_ITERATIONS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "exact", no_argument, NULL, OPT_EXACT },
	{ "parameters", required_argument, NULL, OPT_PARAMETERS },
	{ "csv", required_argument, NULL, OPT_CSV },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "print-parameters", no_argument, NULL, OPT_PRINT },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static int wrong(void)
{
	fprintf(stderr, "scale: %s\n", error_text());
	return 2;
}

static int number(const char *name, const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || !*text || *text == '-' || *end || *value > max)
		return error_set(EINVAL, "--%s=%s is not a number up to %llu", name, text,
				 (unsigned long long)max);
	return 0;
}

static int take_number(int opt, const char *text, struct options *o)
{
	uint64_t value = 0;
	int err;

	if (opt == OPT_SEED)
		return number("seed", text, UINT64_MAX, &o->seed);
	err = number(opt == OPT_PAGES ? "pages" : "iterations", text, 1024, &value);
	if (err == 0 && !value)
		err = error_set(EINVAL, "--pages and --iterations are at least 1");
	if (opt == OPT_PAGES)
		o->npages = (unsigned)value;
	else
		o->iterations = (unsigned)value;
	return err;
}

/* 0: go on; 1: done; -EINVAL. */
static int take_option(int opt, struct options *o)
{
	switch (opt) {
	case OPT_KERNELS:
		o->kernels = optarg;
		break;
	case OPT_RANKS:
		o->ranks = optarg;
		break;
	case OPT_TOPOLOGY:
		o->newick = optarg;
		break;
	case OPT_RACKS:
		o->racks = optarg;
		break;
	case OPT_PARAMETERS:
		o->parameters = optarg;
		break;
	case OPT_CSV:
		o->csv = optarg;
		break;
	case OPT_EXACT:
		o->exact = true;
		break;
	case OPT_QUIET:
		o->quiet = true;
		break;
	case OPT_PRINT:
		o->print_parameters = true;
		break;
	case OPT_LIST:
		o->list = true;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		return 1;
	case OPT_PAGES:
	case OPT_ITERATIONS:
	case OPT_SEED:
		return take_number(opt, optarg, o);
	default:
		return error_set(EINVAL, "--help says what can be asked for");
	}
	return 0;
}

static int options_parse(struct options *o, int argc, char **argv)
{
	int opt, err;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		err = take_option(opt, o);
		if (err)
			return err;
	}
	if (optind < argc)
		return error_set(EINVAL, "\"%s\" is not an option; --help lists them",
				 argv[optind]);
	if (o->newick && o->racks)
		return error_set(EINVAL, "--topology and --racks both say what the topology is");
	return 0;
}

/*
 * The topology
 */

static int topology_file(struct topology *t, const char *path, const struct topology_defaults *d)
{
	char *text = NULL;
	size_t room = 0;
	FILE *in = fopen(path, "r");
	int err = -EINVAL;

	if (!in)
		return error_set_sys(errno, "the topology cannot be read from %s", path);
	if (getdelim(&text, &room, '\0', in) < 0)
		error_set(EINVAL, "%s is empty; a topology is a tree, as (0,(1,2))", path);
	else
		err = topology_parse(t, text, d);
	free(text);
	fclose(in);
	return err;
}

static int topology_of(struct topology *t, const struct options *o, const struct cost *c)
{
	struct topology_defaults d = cost_edges(c);

	if (!o->newick)
		return topology_balanced(t, o->racks ? o->racks : "128x32", &d);
	if (o->newick[0] == '@')
		return topology_file(t, o->newick + 1, &d);
	return topology_parse(t, o->newick, &d);
}

/*
 * Runs
 */

struct job {
	const struct options *options;
	struct run_params params;
	FILE *csv;
	unsigned ranks[64];
	unsigned nranks;
	unsigned nbroken;
};

static int ranks_parse(struct job *job)
{
	const char *at = job->options->ranks;
	unsigned most = job->params.topology->nranks;
	char *end;

	for (unsigned n = 2; !at && n <= most; n *= 2)
		job->ranks[job->nranks++] = n;
	if (!job->nranks && !at)
		return error_set(EINVAL, "the topology has %u rank; a kernel takes 2", most);
	for (; at; at = *end ? end + 1 : NULL) {
		unsigned long n = strtoul(at, &end, 10);

		if (n < 2 || n > most || (*end && *end != ',') || job->nranks == 64)
			return error_set(
				EINVAL,
				"--ranks=%s is not up to 64 numbers from 2 to %u, which the "
				"topology has, with commas",
				job->options->ranks, most);
		job->ranks[job->nranks++] = (unsigned)n;
	}
	return 0;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void progress(const struct run *run, double took)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr, "scale: %s on %u ranks: %.1f M events in %.1f s, at most %.2f GB\n",
		run->kernel->name, run->n, (double)run->events / 1e6, took,
		(double)usage.ru_maxrss / 1e6);
}

static int run_one(struct job *job, const struct kernel *k, unsigned n)
{
	double began = seconds();
	struct run run;
	int err = run_kernel(&run, k, n, &job->params);

	if (err < 0) {
		fprintf(stderr, "scale: %s on %u ranks: %s\n", k->name, n, error_text());
		return err;
	}
	run_text(&run, stdout);
	fflush(stdout);
	if (job->csv)
		run_csv(&run, job->csv);
	if (!job->options->quiet)
		progress(&run, seconds() - began);
	job->nbroken += run.broken;
	return 0;
}

static int run_on_all(struct job *job, const struct kernel *k)
{
	for (unsigned i = 0; i < job->nranks; i++)
		if (run_one(job, k, job->ranks[i]) < 0)
			return 1;
	return 0;
}

static int run_named(struct job *job)
{
	const char *at = job->options->kernels;
	int status = 0;

	for (unsigned i = 0; !at && i < nkernels; i++)
		status |= run_on_all(job, &kernels[i]);
	for (; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		const struct kernel *k = kernel_find(at, strcspn(at, ","));

		if (!k) {
			error_set(EINVAL, "there is no kernel \"%.*s\"; --list names them",
				  (int)strcspn(at, ","), at);
			return wrong();
		}
		status |= run_on_all(job, k);
	}
	return status;
}

static int run_all(const struct options *o, const struct topology *t, const struct cost *c)
{
	struct job job = { .options = o,
			   .params = { .topology = t,
				       .cost = c,
				       .npages = o->npages,
				       .iterations = o->iterations,
				       .seed = o->seed,
				       .group = o->exact } };
	int status;

	if (ranks_parse(&job) < 0)
		return wrong();
	if (o->csv) {
		job.csv = fopen(o->csv, "w");
		if (!job.csv) {
			error_set_sys(errno, "results cannot be written to %s", o->csv);
			return wrong();
		}
		run_csv_head(job.csv);
	}
	run_text_head(stdout);
	status = run_named(&job);
	if (job.csv && fclose(job.csv)) {
		error_set_sys(errno, "results cannot be written to %s", o->csv);
		return wrong();
	}
	if (job.nbroken)
		fprintf(stderr, "scale: %u runs broke a law; look for BROKEN\n", job.nbroken);
	return job.nbroken ? 1 : status;
}

int main(int argc, char **argv)
{
	struct options o = { .npages = 16, .iterations = 4, .seed = 1 };
	struct topology topology;
	struct cost cost;
	int status = options_parse(&o, argc, argv);

	if (status)
		return status < 0 ? wrong() : 0;
	cost_defaults(&cost);
	if (o.parameters && cost_read(&cost, o.parameters) < 0)
		return wrong();
	if (o.print_parameters) {
		cost_print(&cost, stdout);
		return 0;
	}
	for (unsigned i = 0; o.list && i < nkernels; i++)
		printf("%-10s %s\n", kernels[i].name, kernels[i].meaning);
	if (o.list)
		return 0;
	if (topology_of(&topology, &o, &cost) < 0)
		return wrong();
	status = run_all(&o, &topology, &cost);
	topology_fini(&topology);
	return status;
}
