/* SPDX-License-Identifier: MIT */
/*
 * See shrink.h. A smaller plan is tried under the schedule's own seed and then under others: the
 * decisions of the old schedule mean nothing in a new plan, and a schedule costs little.
 */
#include <stdlib.h>
#include <string.h>

#include "shrink.h"

/* Schedules that a smaller plan is given to fail in. */
#define SEEDS 300u

struct shrinker {
	struct shrunk *s;
	unsigned checks;
	uint64_t seed; /* a schedule in which the plan fails */
	bool progress;
};

static bool fails_from(struct shrinker *x, const struct plan *plan, uint64_t first, uint64_t n)
{
	struct job job = { .plan = plan, .first = first, .schedules = n, .checks = x->checks };
	struct outcome o;

	worker_run(&job, &o);
	x->s->tries += o.schedules;
	if (!o.failed)
		return false;
	x->seed = o.seed;
	memcpy(x->s->text, o.text, sizeof(x->s->text));
	return true;
}

/* Take the smaller plan if it fails too. */
static bool try_plan(struct shrinker *x, const struct plan *plan)
{
	if (memcmp(plan, &x->s->plan, sizeof(*plan)) == 0)
		return false;
	if (!fails_from(x, plan, x->seed, 1) && !fails_from(x, plan, 1, SEEDS))
		return false;
	x->s->plan = *plan;
	x->progress = true;
	return true;
}

static bool has_barrier(const struct plan_thread *t)
{
	for (unsigned i = 0; i < t->nops; i++)
		if (t->op[i].kind == OP_BARRIER)
			return true;
	return false;
}

static void fewer_ranks(struct shrinker *x)
{
	struct plan p;

	for (unsigned r = x->s->plan.nranks; r-- > 0 && x->s->plan.nranks > 2;) {
		p = x->s->plan;
		plan_remove_rank(&p, r);
		try_plan(x, &p);
	}
	for (unsigned i = x->s->plan.nthreads; i-- > 0;) {
		p = x->s->plan;
		if (has_barrier(&p.thread[i]))
			continue;
		plan_remove_thread(&p, i);
		try_plan(x, &p);
	}
	for (unsigned i = x->s->plan.nincidents; i-- > 0;) {
		p = x->s->plan;
		plan_remove_incident(&p, i);
		try_plan(x, &p);
	}
}

static void fewer_ops(struct shrinker *x)
{
	for (unsigned i = 0; i < x->s->plan.nthreads; i++) {
		for (unsigned k = x->s->plan.thread[i].nops; k-- > 0;) {
			struct plan p = x->s->plan;

			if (k >= p.thread[i].nops)
				continue; /* went with its partner */
			plan_remove_op(&p, i, k);
			try_plan(x, &p);
		}
	}
}

static void plainer_ops(struct shrinker *x)
{
	for (unsigned i = 0; i < x->s->plan.nthreads; i++) {
		for (unsigned k = 0; k < x->s->plan.thread[i].nops; k++) {
			struct plan p = x->s->plan;
			struct op *op = &p.thread[i].op[k];

			if (op->kind == OP_HOLD && op->npages > 1)
				op->npages = 1;
			if (op->kind == OP_ADD || op->kind == OP_SWAP)
				op->kind = OP_STORE;
			if (op->kind != OP_LOCK)
				op->ahead = 0;
			op->word = 0;
			try_plan(x, &p);
		}
	}
}

static void plainer_world(struct shrinker *x)
{
	struct plan p = x->s->plan;

#define PLAINER(field, value)                                                                      \
	do {                                                                                       \
		p = x->s->plan;                                                                    \
		p.field = (value);                                                                 \
		try_plan(x, &p);                                                                   \
	} while (0)
	PLAINER(map_fail_percent, 0);
	PLAINER(fresh_percent, 0);
	PLAINER(slow, SLOW_NOTHING);
	PLAINER(preempt_percent, 0);
	PLAINER(cache_granules, 4096);
	PLAINER(mode, CLUSTER_SHM);
	for (unsigned b = 0; b < x->s->plan.nblocks; b++)
		PLAINER(shift[b], 0);
#undef PLAINER
}

/*
 * Decisions
 */

static bool still_fails(struct shrinker *x, const struct decisions *d)
{
	struct job job = { .plan = &x->s->plan,
			   .replay = d,
			   .first = x->seed,
			   .schedules = 1,
			   .checks = x->checks };
	struct outcome o;

	worker_run(&job, &o);
	x->s->tries++;
	if (o.failed)
		memcpy(x->s->text, o.text, sizeof(x->s->text));
	return o.failed;
}

static bool all_plain(const uint32_t *value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (value[i])
			return false;
	return true;
}

/* Make the decisions [at, at + n) the plainest, if it fails all the same. */
static void plainer_decisions(struct shrinker *x, uint32_t *before, size_t at, size_t n)
{
	struct decisions *d = &x->s->decisions;

	if (all_plain(&d->value[at], n))
		return;
	memcpy(before, &d->value[at], n * sizeof(*before));
	memset(&d->value[at], 0, n * sizeof(*before));
	if (still_fails(x, d))
		x->progress = true;
	else
		memcpy(&d->value[at], before, n * sizeof(*before));
}

static void record(struct shrinker *x)
{
	struct job job = { .plan = &x->s->plan,
			   .first = x->seed,
			   .schedules = 1,
			   .checks = x->checks,
			   .record = true };
	struct decisions *d = &x->s->decisions;
	struct outcome o;

	worker_run(&job, &o);
	*d = *worker_decisions();
	d->value = malloc((d->n + 1) * sizeof(*d->value));
	if (!d->value)
		abort();
	memcpy(d->value, worker_decisions()->value, d->n * sizeof(*d->value));
}

static void fewer_decisions(struct shrinker *x)
{
	struct decisions *d = &x->s->decisions;
	uint32_t *before = malloc((d->n + 1) * sizeof(*before));

	if (!before)
		abort();
	for (size_t each = d->n; each; each = x->progress ? each : each / 2) {
		x->progress = false;
		for (size_t at = d->n; at > 0;) {
			size_t n = at < each ? at : each;

			at -= n;
			plainer_decisions(x, before, at, n);
		}
	}
	free(before);
	while (d->n && !d->value[d->n - 1])
		d->n--;
	for (size_t i = 0; i < d->n; i++)
		x->s->ndecided += d->value[i] != 0;
}

void shrink(uint64_t seed, unsigned checks, struct shrunk *s)
{
	struct shrinker x = { .s = s, .checks = checks, .seed = seed, .progress = true };

	memset(s, 0, sizeof(*s));
	plan_create(&s->plan, seed);
	while (x.progress) {
		x.progress = false;
		fewer_ranks(&x);
		fewer_ops(&x);
		plainer_world(&x);
		plainer_ops(&x);
	}
	record(&x);
	fewer_decisions(&x);
	for (unsigned i = 0; i < s->plan.nthreads; i++)
		s->nops += s->plan.thread[i].nops;
}

bool shrunk_print(const struct shrunk *s, unsigned checks)
{
	struct job job = { .plan = &s->plan,
			   .replay = &s->decisions,
			   .schedules = 1,
			   .checks = checks,
			   .trace = true,
			   .show = true };
	struct outcome o;

	printf("shrunk by %llu schedules to %u operations and %zu decisions:\n",
	       (unsigned long long)s->tries, s->nops, s->ndecided);
	plan_print(&s->plan, stdout);
	worker_run(&job, &o);
	printf("%s\n", o.failed ? o.text : "it does not fail again: the run is not deterministic");
	return o.failed;
}
