/* SPDX-License-Identifier: MIT */
/*
 * See kernel_run.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "error.h"
#include "kernel_run.h"

/* A home is hot that has so many times its share of the traffic, and at least so much of it. */
#define HOT_TIMES 4.0
#define HOT_LEAST 0.01

unsigned run_rounds(unsigned n)
{
	unsigned rounds = 0;

	while (1u << rounds < n)
		rounds++;
	return rounds;
}

void run_law(struct run *run, bool held, const char *fmt, ...)
{
	struct law *law = &run->law[run->nlaws++];
	va_list args;

	law->held = held;
	run->broken |= !held;
	va_start(args, fmt);
	vsnprintf(law->text, sizeof(law->text), fmt, args);
	va_end(args);
}

/* Warm iterations, a pause, the measured ones, the end. */
static void program(void *ctx, unsigned rank, uint64_t step, struct op *op)
{
	const struct run *run = ctx;
	const struct kernel *k = run->kernel;
	uint64_t length = k->length(run), warm = k->warm * length;

	if (step == warm) {
		op->kind = OP_PAUSE;
		return;
	}
	if (step > warm)
		step--;
	if (step < warm + run->iterations * length)
		k->op(run, rank, (unsigned)(step / length), (unsigned)(step % length), op);
}

static const char *region_name(const struct run *run, unsigned region)
{
	return region == MACHINE_SYNC_REGION ? "locks and barriers" : run->kernel->regions[region];
}

/* The home with the largest share of what goes to and from homes. */
static void find_hot(struct run *run)
{
	const struct machine *m = run->machine;
	uint64_t all = 0, most = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < MACHINE_REGIONS_MAX * m->n; i++) {
		all += m->traffic[i].bytes;
		if (m->traffic[i].bytes <= most)
			continue;
		most = m->traffic[i].bytes;
		at = i;
	}
	if (!most)
		return;
	run->hot = (struct hot){ .rank = at % m->n,
				 .region = region_name(run, at / m->n),
				 .share = (double)most / (double)all,
				 .messages = m->traffic[at].messages,
				 .chains = m->traffic[at].chains };
	run->has_hot = run->hot.share >= HOT_LEAST &&
		       (run->hot.share >= HOT_TIMES / m->n || run->hot.share > 0.9);
}

static void find_busiest(struct run *run)
{
	const struct machine *m = run->machine;

	for (unsigned i = 0; run->time_ps && i < 2 * m->topology->nnodes; i++) {
		const struct topology_node *node = &m->topology->node[i / 2];
		double share =
			(double)m->edge_bytes[i] * node->edge.ps_per_byte / (double)run->time_ps;

		if (share > run->busiest.share)
			run->busiest = (struct busiest){ node->name, i % 2, share };
	}
}

/* Where an iteration is long, fewer of them: all ranks' steps together have a limit. */
#define STEPS_MAX (1ull << 22)

static unsigned iterations(const struct run *run)
{
	uint64_t steps = (uint64_t)run->kernel->length(run) * run->n;
	uint64_t most = steps < STEPS_MAX ? STEPS_MAX / steps : 1;

	if (run->kernel->once)
		return 1;
	return run->params.iterations < most ? run->params.iterations : (unsigned)most;
}

static unsigned nregions(const struct kernel *k)
{
	unsigned n = 0;

	while (n < MACHINE_SYNC_REGION && k->regions[n])
		n++;
	return n ? n : 1;
}

static void gather_results(struct run *run)
{
	run->counts = run->machine->counts;
	run->time_ps = run->counts.ended_ps - run->counts.began_ps;
	run->group = run->machine->space.readers_group ? run->machine->space.readers_group : 1;
	run->directory_bytes = machine_directory_bytes(run->machine);
	run->events = run->machine->events_done;
	for (unsigned kind = 0; kind < OP_KINDS; kind++)
		if (kind != OP_UNLOCK)
			run->operations += run->counts.took[kind].count;
	find_hot(run);
	find_busiest(run);
	run->kernel->laws(run);
}

int run_kernel(struct run *run, const struct kernel *k, unsigned n, const struct run_params *params)
{
	int err;

	if (n < 2 || n > params->topology->nranks)
		return error_set(EINVAL, "%u ranks: the topology has %u, and a kernel takes 2", n,
				 params->topology->nranks);
	if (params->npages < RUN_PAGES_MIN)
		return error_set(EINVAL, "%u pages a rank: kernels take at least %u",
				 params->npages, RUN_PAGES_MIN);
	*run = (struct run){ .kernel = k, .params = *params, .n = n };
	run->iterations = iterations(run);
	err = machine_create(&run->machine, params->topology, params->cost,
			     &(struct machine_layout){ .n = n,
						       .nregions = nregions(k),
						       .npages = params->npages,
						       .group = params->group });
	if (err < 0)
		return err;
	run->machine->program = program;
	run->machine->program_ctx = run;
	err = machine_run(run->machine);
	if (err == 0) {
		machine_count_anew(run->machine);
		err = machine_run(run->machine);
	}
	if (err == 0)
		gather_results(run);
	machine_destroy(run->machine);
	run->machine = NULL;
	return err;
}

/*
 * What it prints
 */

static double each(const struct run *run, uint64_t n)
{
	return run->operations ? (double)n / (double)run->operations : 0;
}

/* Of all ranks' operations, which go on side by side: how long one took its rank. */
static double us_per_operation(const struct run *run)
{
	return each(run, run->time_ps) * run->n * 1e-6;
}

static double mean_us(const struct run *run, enum op_kind kind)
{
	const struct dsm_hist *h = &run->counts.took[kind];

	return h->count ? (double)h->sum_ns / (double)h->count / 1000 : 0;
}

static double p99_us(const struct run *run, enum op_kind kind)
{
	return (double)stats_percentile(&run->counts.took[kind], 0.99) / 1000;
}

void run_csv_head(FILE *out)
{
	fputs("kernel,ranks,pages_per_rank,iterations,seed,operations,read_misses,chains,messages,"
	      "handled,bytes,time_us,messages_per_operation,bytes_per_operation,"
	      "time_us_per_operation,load_us,load_us_p99,store_us,put_us,lock_us,lock_us_p99,"
	      "barrier_us,directory_bytes_per_page,ranks_per_counter,hot_rank,hot_region,hot_share,"
	      "busiest_edge,"
	      "busiest_share,laws\n",
	      out);
}

void run_csv(const struct run *run, FILE *out)
{
	const struct machine_counts *c = &run->counts;

	fprintf(out, "%s,%u,%u,%u,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%.3f,%.4f,%.1f,%.3f",
		run->kernel->name, run->n, run->params.npages, run->iterations,
		(unsigned long long)run->params.seed, (unsigned long long)run->operations,
		(unsigned long long)c->took[OP_LOAD].count, (unsigned long long)c->chains,
		(unsigned long long)c->messages_all, (unsigned long long)c->handled,
		(unsigned long long)c->bytes, (double)run->time_ps * 1e-6,
		each(run, c->messages_all), each(run, c->bytes), us_per_operation(run));
	fprintf(out, ",%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%u,%u", mean_us(run, OP_LOAD),
		p99_us(run, OP_LOAD), mean_us(run, OP_STORE), mean_us(run, OP_PUT),
		mean_us(run, OP_LOCK), p99_us(run, OP_LOCK), mean_us(run, OP_BARRIER),
		run->directory_bytes, run->group);
	if (run->has_hot)
		fprintf(out, ",%u,%s,%.4f", run->hot.rank, run->hot.region, run->hot.share);
	else
		fputs(",,,", out);
	if (run->busiest.name)
		fprintf(out, ",%s %s,%.4f", run->busiest.name, run->busiest.up ? "up" : "down",
			run->busiest.share);
	else
		fputs(",,", out);
	fprintf(out, ",%s\n", run->broken ? "BROKEN" : "held");
}

void run_text_head(FILE *out)
{
	fprintf(out, "%-10s %6s %10s %10s %10s %9s %10s %9s %9s %9s %9s\n", "#kernel", "ranks",
		"operations", "messages/", "bytes/", "us/", "read_miss", "99%", "lock", "barrier",
		"directory");
	fprintf(out, "%-10s %6s %10s %10s %10s %9s %10s %9s %9s %9s %9s\n", "#", "", "",
		"operation", "operation", "operation", "[us]", "[us]", "[us]", "[us]", "[B/page]");
}

static void text_us(FILE *out, int width, double us)
{
	if (us > 0)
		fprintf(out, " %*.2f", width, us);
	else
		fprintf(out, " %*s", width, "-");
}

void run_text(const struct run *run, FILE *out)
{
	fprintf(out, "%-10s %6u %10llu %10.2f %10.0f %9.2f", run->kernel->name, run->n,
		(unsigned long long)run->operations, each(run, run->counts.messages_all),
		each(run, run->counts.bytes), us_per_operation(run));
	text_us(out, 10, mean_us(run, OP_LOAD));
	text_us(out, 9, p99_us(run, OP_LOAD));
	text_us(out, 9, mean_us(run, OP_LOCK));
	text_us(out, 9, mean_us(run, OP_BARRIER));
	fprintf(out, " %9u\n", run->directory_bytes);
	if (run->has_hot)
		fprintf(out,
			"  hot home: rank %u, region %s: %.1f %% of the traffic, %llu messages, "
			"%llu chains\n",
			run->hot.rank, run->hot.region, run->hot.share * 100,
			(unsigned long long)run->hot.messages, (unsigned long long)run->hot.chains);
	if (run->busiest.name)
		fprintf(out, "  busiest edge: %s, %s: %.0f %% of the time\n", run->busiest.name,
			run->busiest.up ? "up" : "down", run->busiest.share * 100);
	for (unsigned i = 0; i < run->nlaws; i++)
		fprintf(out, "  %s: %s\n", run->law[i].held ? "held" : "BROKEN", run->law[i].text);
}
