/* SPDX-License-Identifier: MIT */
/*
 * See tally.h.
 */
#include "tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

struct histogram {
	struct variant variant;
	bool *allowed; /* made with the first outcome */
	uint64_t *count;
	uint64_t total;
};

struct tally {
	unsigned nranks;
	struct histogram *of; /* [program][access][placement][layout] */
};

static struct histogram *find(const struct tally *t, const struct variant *v)
{
	unsigned i = (unsigned)(v->program - programs);

	i = i * ACCESS_COUNT + v->access;
	i = i * PLACE_COUNT + v->placement;
	return &t->of[i * LAYOUT_COUNT + v->layout];
}

static unsigned variant_count(void)
{
	return nprograms * ACCESS_COUNT * PLACE_COUNT * LAYOUT_COUNT;
}

struct tally *tally_create(unsigned nranks)
{
	struct tally *t = calloc(1, sizeof(*t));

	CHECK(t != NULL);
	t->nranks = nranks;
	t->of = calloc(variant_count(), sizeof(*t->of));
	CHECK(t->of != NULL);
	return t;
}

void tally_destroy(struct tally *t)
{
	for (unsigned i = 0; i < variant_count(); i++) {
		free(t->of[i].allowed);
		free(t->of[i].count);
	}
	free(t->of);
	free(t);
}

bool tally_add(struct tally *t, const struct variant *v, unsigned outcome)
{
	struct histogram *h = find(t, v);

	if (!h->count) {
		h->variant = *v;
		h->allowed = calloc(PROGRAM_OUTCOMES, sizeof(*h->allowed));
		h->count = calloc(program_outcomes(v->program), sizeof(*h->count));
		CHECK(h->allowed && h->count);
		variant_allowed(v, h->allowed);
	}
	h->count[outcome]++;
	h->total++;
	return h->allowed[outcome];
}

static unsigned count_states(const struct histogram *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < program_outcomes(h->variant.program); i++)
		n += h->count[i] != 0;
	return n;
}

static void print_histogram(const struct histogram *h)
{
	const struct program *p = h->variant.program;
	bool allowed = h->allowed[p->weak_outcome];
	uint64_t weak = h->count[p->weak_outcome];
	char text[128];

	variant_print(&h->variant, text, sizeof(text));
	printf("Test %s %s\nHistogram (%u states)\n", text, allowed ? "Allowed" : "Forbidden",
	       count_states(h));
	for (unsigned i = 0; i < program_outcomes(p); i++) {
		if (!h->count[i])
			continue;
		outcome_print(p, i, text, sizeof(text));
		printf("%-8" PRIu64 "%c>%s%s\n", h->count[i], i == p->weak_outcome ? '*' : ':',
		       text, h->allowed[i] ? "" : " FORBIDDEN");
	}
	printf("Observation %s %s %" PRIu64 " %" PRIu64 "\n\n", p->name,
	       weak == 0          ? "Never"
	       : weak == h->total ? "Always"
				  : "Sometimes",
	       weak, h->total - weak);
}

void tally_print_histograms(const struct tally *t)
{
	for (unsigned i = 0; i < variant_count(); i++)
		if (t->of[i].count)
			print_histogram(&t->of[i]);
}

/* The layouts of a program, an access and a placement, together. */
static void print_cell(const struct tally *t, struct variant v)
{
	uint64_t weak = 0, bad = 0, total = 0;
	bool allowed = false;

	for (v.layout = 0; v.layout < LAYOUT_COUNT; v.layout++) {
		const struct histogram *h = find(t, &v);

		if (!h->count)
			continue;
		allowed = h->allowed[v.program->weak_outcome];
		weak += h->count[v.program->weak_outcome];
		total += h->total;
		for (unsigned i = 0; i < program_outcomes(v.program); i++)
			bad += h->allowed[i] ? 0 : h->count[i];
	}
	if (!total)
		printf(" - |");
	else if (bad)
		printf(" **%" PRIu64 " FORBIDDEN** of %" PRIu64 " |", bad, total);
	else
		printf(" %s%" PRIu64 "/%" PRIu64 " |", allowed ? "may: " : "", weak, total);
}

static bool row_is_empty(const struct tally *t, struct variant v)
{
	for (v.access = 0; v.access < ACCESS_COUNT; v.access++)
		for (v.layout = 0; v.layout < LAYOUT_COUNT; v.layout++)
			if (find(t, &v)->count)
				return false;
	return true;
}

static void print_row(const struct tally *t, struct variant v)
{
	char text[128];

	if (row_is_empty(t, v))
		return;
	outcome_print(v.program, v.program->weak_outcome, text, sizeof(text));
	printf("| %s | %s| %s |", v.program->name, text, placement_names[v.placement]);
	for (v.access = 0; v.access < ACCESS_COUNT; v.access++)
		print_cell(t, v);
	printf("\n");
}

void tally_print_table(const struct tally *t)
{
	struct variant v = { .nranks = t->nranks };

	printf("%u ranks. Each cell: how often the outcome was seen / instances; \"may:\": allowed "
	       "there.\n\n| test | outcome | threads |",
	       t->nranks);
	for (unsigned a = 0; a < ACCESS_COUNT; a++)
		printf(" %s |", access_names[a]);
	printf("\n| --- | --- | --- |");
	for (unsigned a = 0; a < ACCESS_COUNT; a++)
		printf(" --- |");
	printf("\n");
	for (unsigned i = 0; i < nprograms; i++) {
		v.program = &programs[i];
		for (v.placement = 0; v.placement < PLACE_COUNT; v.placement++)
			print_row(t, v);
	}
	printf("\n");
}
