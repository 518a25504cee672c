/* SPDX-License-Identifier: MIT */
/*
 * litmus [OPTION...], under a launcher: hold the library to docs/memory-model.md.
 *
 *	--seconds N	run for about N seconds, but at least one round of all (default 12)
 *	--seed N	of the random plan; printed on start (default: by the clock)
 *	--only PATTERN	only variants that fnmatch(3), as "SB.relaxed.*"; and no histories
 *	--histograms	print each variant's outcomes
 *
 * Exit status 0: nothing forbidden was seen; 1: something was, and is printed; 77: no userfaultfd.
 */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "history.h"
#include "spin.h"
#include "tally.h"

struct options {
	uint64_t seconds;
	uint64_t seed;
	const char *only;
	bool histograms;
};

struct run {
	struct dsm *d;
	const struct options *options;
	struct batches *batches;
	struct tally *tally; /* rank 0 */
	uint64_t nbatches;
	uint64_t until_ns;
	unsigned round;
	unsigned bad;
};

unsigned check_rank;

static void usage(const char *name)
{
	fprintf(stderr, "usage: %s [--seconds N] [--seed N] [--only PATTERN] [--histograms]\n",
		name);
	exit(2);
}

static uint64_t number(const char *name, const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end)
		usage(name);
	return n;
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = { { "seconds", required_argument, NULL, 's' },
					       { "seed", required_argument, NULL, 'r' },
					       { "only", required_argument, NULL, 'o' },
					       { "histograms", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	struct options o = { .seconds = 12, .seed = check_clock_ns() };
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			o.seconds = number(argv[0], optarg);
			break;
		case 'r':
			o.seed = number(argv[0], optarg);
			break;
		case 'o':
			o.only = optarg;
			break;
		case 'h':
			o.histograms = true;
			break;
		default:
			usage(argv[0]);
		}
	}
	if (optind < argc)
		usage(argv[0]);
	return o;
}

static void forbidden(const struct run *r, const struct batch *b, unsigned instance,
		      unsigned outcome)
{
	char name[64], text[128];

	variant_print(&b->variant, name, sizeof(name));
	outcome_print(b->variant.program, outcome, text, sizeof(text));
	printf("FORBIDDEN: %s: %s(round %u, batch %" PRIu64 ", instance %u, batch seed %" PRIu64
	       "; threads at rank",
	       name, text, r->round, b->number, instance, b->seed);
	for (unsigned t = 0; t < b->variant.program->nthreads; t++)
		printf(" %u", variant_rank(&b->variant, t, b->shift));
	printf(", homes");
	for (unsigned l = 0; l < b->variant.program->nlocations; l++)
		printf(" %u", variant_home(&b->variant, l, b->home));
	printf(")\n");
}

/* Time's up, as rank 0 sees it: not before all variants have had a batch. */
static void look_at_clock(struct run *r)
{
	if (check_rank == 0 && r->round > 0 && check_clock_ns() >= r->until_ns)
		batches_stop(r->batches);
}

/* All ranks compute the same batch, from the seed and its number. */
static bool run_variant(struct run *r, const struct variant *v)
{
	uint64_t random = r->options->seed + 1000 * r->nbatches;
	struct batch b = { .variant = *v, .number = r->nbatches++ };
	unsigned outcomes[BATCH_INSTANCES];

	b.seed = check_random(&random);
	b.shift = check_random(&random) % v->nranks;
	b.home = check_random(&random) % v->nranks;
	look_at_clock(r);
	if (!batch_run(r->batches, &b, outcomes))
		return false;
	for (unsigned i = 0; check_rank == 0 && i < BATCH_INSTANCES; i++) {
		if (tally_add(r->tally, v, outcomes[i]))
			continue;
		forbidden(r, &b, i, outcomes[i]);
		r->bad++;
	}
	return true;
}

static bool is_wanted(const struct options *o, const struct variant *v)
{
	char name[64];

	variant_print(v, name, sizeof(name));
	return variant_is_distinct(v) && (!o->only || fnmatch(o->only, name, 0) == 0);
}

/* The variants in an order in which neighbours differ in program, access and layout. */
static bool run_round(struct run *r)
{
	struct variant v = { .nranks = dsm_size(r->d) };
	unsigned total = nprograms * ACCESS_COUNT * PLACE_COUNT * LAYOUT_COUNT;

	for (unsigned i = 0; i < total; i++) {
		unsigned n = i;

		v.program = &programs[n % nprograms];
		n /= nprograms;
		v.access = (enum access)(n % ACCESS_COUNT);
		n /= ACCESS_COUNT;
		v.layout = (enum layout)(n % LAYOUT_COUNT);
		v.placement = (enum placement)(n / LAYOUT_COUNT);
		if (is_wanted(r->options, &v) && !run_variant(r, &v))
			return false;
	}
	return true;
}

static bool any_wanted(const struct run *r)
{
	for (unsigned i = 0; i < nprograms * ACCESS_COUNT * PLACE_COUNT * LAYOUT_COUNT; i++) {
		struct variant v = { .nranks = dsm_size(r->d) };

		v.program = &programs[i % nprograms];
		v.access = (enum access)(i / nprograms % ACCESS_COUNT);
		v.layout = (enum layout)(i / nprograms / ACCESS_COUNT % LAYOUT_COUNT);
		v.placement = (enum placement)(i / nprograms / ACCESS_COUNT / LAYOUT_COUNT);
		if (is_wanted(r->options, &v))
			return true;
	}
	return false;
}

/* Three quarters of the time for the programs. */
static void run_programs(struct run *r, struct options *o)
{
	r->batches = batches_create(r->d, &o->seed);
	if (check_rank == 0) {
		r->tally = tally_create(dsm_size(r->d));
		printf("litmus: %u ranks, seed %" PRIu64 "\n\n", dsm_size(r->d), o->seed);
	}
	r->until_ns = check_clock_ns() + o->seconds * 750000000u;
	while (run_round(r))
		r->round++;
	batches_destroy(r->batches);
	if (check_rank != 0)
		return;
	if (o->histograms)
		tally_print_histograms(r->tally);
	tally_print_table(r->tally);
	printf("%" PRIu64 " instances, %u rounds, %u forbidden outcomes\n\n",
	       (r->nbatches - 1) * BATCH_INSTANCES, r->round, r->bad);
	tally_destroy(r->tally);
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct run r = { .options = &o };
	int err = dsm_init(&r.d, NULL);

	if (err < 0) {
		fprintf(stderr, "dsm_init: %s\n", dsm_errmsg());
		return err == -EPERM || err == -ENOSYS || err == -EOPNOTSUPP ? 77 : 1;
	}
	check_rank = dsm_rank(r.d);
	setvbuf(stdout, NULL, _IOLBF, 0); /* a rank that fails leaves by _exit() */
	programs_parse();
	if (!any_wanted(&r)) {
		fprintf(stderr, "no variant of %u ranks is called %s\n", dsm_size(r.d), o.only);
		return 2;
	}
	run_programs(&r, &o);
	if (!o.only) {
		r.bad += spin_run(r.d, 1 + (unsigned)(o.seconds / 12));
		r.bad += history_run(r.d, check_clock_ns() + o.seconds * 150000000u, o.seed);
	}
	CHECK(dsm_fini(r.d) == 0);
	return r.bad ? 1 : 0;
}
