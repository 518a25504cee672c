/* SPDX-License-Identifier: MIT */
/*
 * See variant.h; docs/memory-model.md derives what variant_allowed() knows.
 */
#include "variant.h"

#include <stdio.h>
#include <string.h>

#include "model.h"

const char *const access_names[ACCESS_COUNT] = {
	[ACCESS_RELAXED] = "relaxed", [ACCESS_ACQREL] = "acqrel", [ACCESS_FENCED] = "fenced",
	[ACCESS_SEQCST] = "seqcst",   [ACCESS_REMOTE] = "remote", [ACCESS_MIXED] = "mixed",
	[ACCESS_HELD] = "held",       [ACCESS_LOCKED] = "locked",
};
const char *const placement_names[PLACE_COUNT] = { "apart", "paired", "together" };
const char *const layout_names[LAYOUT_COUNT] = { "page", "pages", "homes" };

bool variant_is_distinct(const struct variant *v)
{
	if (v->placement == PLACE_PAIRED && (v->program->nthreads < 3 || v->nranks < 2))
		return false;
	if (v->placement == PLACE_APART && v->nranks < 2)
		return false;
	if (v->layout != LAYOUT_PAGE && v->program->nlocations < 2)
		return false;
	return v->layout != LAYOUT_HOMES || v->nranks > 1;
}

unsigned variant_rank(const struct variant *v, unsigned thread, unsigned shift)
{
	switch (v->placement) {
	case PLACE_APART:
		return (thread + shift) % v->nranks;
	case PLACE_PAIRED:
		return (thread / 2 + shift) % v->nranks;
	default:
		return shift % v->nranks;
	}
}

unsigned variant_home(const struct variant *v, unsigned location, unsigned home)
{
	return (home + (v->layout == LAYOUT_HOMES ? location : 0)) % v->nranks;
}

/*
 * Strong accesses are sequentially consistent anywhere. Weak ones see the processor's own memory
 * model. On x86 there is more: if no two threads share a rank, each page that one of them is to see
 * changed is first taken from the other by an interrupt, which empties the store buffer.
 */
void variant_allowed(const struct variant *v, bool *allowed)
{
	const struct program *p = v->program;

	if (access_is_strong(v->access)) {
		model_outcomes(p, MODEL_SC, allowed);
		return;
	}
#ifdef __x86_64__
	if (v->placement == PLACE_APART && v->nranks >= p->nthreads)
		model_outcomes(p, MODEL_SC, allowed);
	else
		model_outcomes(p, MODEL_TSO, allowed);
#else
	if (p->coherence) {
		model_outcomes(p, MODEL_SC, allowed);
		return;
	}
	/* What C11 forbids to acquire and release is among the outcomes that the programs are
	 * about; of the others nothing is said here. */
	memset(allowed, true, PROGRAM_OUTCOMES * sizeof(*allowed));
	allowed[p->weak_outcome] = v->access == ACCESS_RELAXED || !p->acquire_release;
#endif
}

void variant_print(const struct variant *v, char *text, size_t size)
{
	snprintf(text, size, "%s.%s.%s.%s", v->program->name, access_names[v->access],
		 placement_names[v->placement], layout_names[v->layout]);
}
