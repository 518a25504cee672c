/* SPDX-License-Identifier: MIT */
/*
 * See model.h. A depth-first walk through all steps that any thread can take next: its next access,
 * or (TSO) the arrival of its oldest buffered store in memory. The programs are small enough to go
 * without a memory of states seen.
 */
#include "model.h"

#include <string.h>

struct state {
	unsigned pc[PROGRAM_THREADS];
	unsigned drained[PROGRAM_THREADS]; /* accesses whose stores have arrived in memory */
	unsigned memory[PROGRAM_LOCATIONS];
	unsigned outcome;
};

struct walk {
	const struct program *p;
	enum model model;
	bool *allowed;
};

/* A thread sees its own latest buffered store before memory. */
static unsigned load(const struct walk *w, const struct state *s, unsigned t, unsigned location)
{
	for (unsigned i = s->pc[t]; i > s->drained[t]; i--) {
		const struct op *op = &w->p->ops[t][i - 1];

		if (op->store && op->location == location)
			return op->value;
	}
	return s->memory[location];
}

static void drain(const struct walk *w, struct state *s, unsigned t)
{
	const struct op *op = &w->p->ops[t][s->drained[t]++];

	if (op->store)
		s->memory[op->location] = op->value;
}

static void step(const struct walk *w, struct state *s, unsigned t)
{
	const struct op *op = &w->p->ops[t][s->pc[t]];

	if (!op->store)
		s->outcome = outcome_set(s->outcome, op->value, load(w, s, t, op->location));
	s->pc[t]++;
	if (w->model == MODEL_SC)
		drain(w, s, t);
}

static void explore(const struct walk *w, const struct state *s)
{
	bool end = true;

	for (unsigned t = 0; t < w->p->nthreads; t++) {
		struct state next = *s;

		if (s->pc[t] < w->p->nops[t]) {
			step(w, &next, t);
			explore(w, &next);
			end = false;
		}
		if (s->drained[t] < s->pc[t]) {
			next = *s;
			drain(w, &next, t);
			explore(w, &next);
			end = false;
		}
	}
	if (!end)
		return;
	{
		unsigned outcome = s->outcome;

		for (unsigned i = 0; i < w->p->nfinals; i++)
			outcome = outcome_set(outcome, w->p->nloads + i, s->memory[w->p->final[i]]);
		w->allowed[outcome] = true;
	}
}

void model_outcomes(const struct program *p, enum model model, bool *allowed)
{
	struct walk w = { .p = p, .model = model, .allowed = allowed };
	struct state start = { .outcome = 0 };

	memset(allowed, 0, PROGRAM_OUTCOMES * sizeof(*allowed));
	explore(&w, &start);
}
