/* SPDX-License-Identifier: MIT */
/*
 * The litmus programs and their parser. Names as in the literature (Alglave, Maranget, Sarkar,
 * Sewell, "Litmus: running tests against hardware", 2011, and the C11 tests after it).
 */
#include "program.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define COHERENCE .coherence = true, .acquire_release = true

struct program programs[] = {
	{ .name = "SB", .text = "Wx1 Ry | Wy1 Rx", .weak = "0 0" },
	{ .name = "MP", .text = "Wx1 Wy1 | Ry Rx", .weak = "1 0", .acquire_release = true },
	{ .name = "LB", .text = "Rx Wy1 | Ry Wx1", .weak = "1 1", .acquire_release = true },
	{ .name = "R", .text = "Wx1 Wy1 | Wy2 Rx", .weak = "0 2" },
	{ .name = "S", .text = "Wx2 Wy1 | Ry Wx1", .weak = "1 2", .acquire_release = true },
	{ .name = "2+2W", .text = "Wx1 Wy2 | Wy1 Wx2", .weak = "1 1" },
	{ .name = "WRC", .text = "Wx1 | Rx Wy1 | Ry Rx", .weak = "1 1 0", .acquire_release = true },
	{ .name = "RWC", .text = "Wx1 | Rx Ry | Wy1 Rx", .weak = "1 0 0" },
	{ .name = "ISA2",
	  .text = "Wx1 Wy1 | Ry Wz1 | Rz Rx",
	  .weak = "1 1 0",
	  .acquire_release = true },
	{ .name = "3.SB", .text = "Wx1 Ry | Wy1 Rz | Wz1 Rx", .weak = "0 0 0" },
	{ .name = "IRIW", .text = "Wx1 | Wy1 | Rx Ry | Ry Rx", .weak = "1 0 1 0" },
	{ .name = "CoRR", .text = "Wx1 | Rx Rx", .weak = "1 0", COHERENCE },
	{ .name = "CoWW", .text = "Wx1 Wx2 | Rx", .weak = "0 1", COHERENCE },
	{ .name = "CoRW1", .text = "Rx Wx1 | Rx", .weak = "1 0", COHERENCE },
	{ .name = "CoRW2", .text = "Wx1 | Rx Wx2", .weak = "1 1", COHERENCE },
	{ .name = "CoWR", .text = "Wx1 Rx | Wx2", .weak = "2 1", COHERENCE },
	{ .name = "CoIRIW", .text = "Wx1 | Wx2 | Rx Rx | Rx Rx", .weak = "1 2 2 1 1", COHERENCE },
};

const unsigned nprograms = sizeof(programs) / sizeof(programs[0]);

static void parse_op(struct program *p, unsigned thread, const char *word)
{
	struct op *op = &p->ops[thread][p->nops[thread]++];

	assert(p->nops[thread] <= PROGRAM_OPS && (word[0] == 'W' || word[0] == 'R'));
	op->store = word[0] == 'W';
	op->location = (uint8_t)(word[1] - 'x');
	assert(op->location < PROGRAM_LOCATIONS);
	op->value = op->store ? (uint8_t)(word[2] - '0') : (uint8_t)p->nloads++;
	if (op->location >= p->nlocations)
		p->nlocations = op->location + 1u;
}

static unsigned count_stores(const struct program *p, unsigned location)
{
	unsigned n = 0;

	for (unsigned t = 0; t < p->nthreads; t++)
		for (unsigned i = 0; i < p->nops[t]; i++)
			n += p->ops[t][i].store && p->ops[t][i].location == location;
	return n;
}

static void parse(struct program *p)
{
	p->nthreads = 1;
	for (const char *c = p->text; *c; c++) {
		if (*c == '|')
			p->nthreads++;
		else if (*c == 'W' || *c == 'R')
			parse_op(p, p->nthreads - 1, c);
	}
	for (unsigned l = 0; l < p->nlocations; l++)
		if (count_stores(p, l) > 1)
			p->final[p->nfinals++] = (uint8_t)l;
	assert(p->nthreads <= PROGRAM_THREADS && p->nloads + p->nfinals <= PROGRAM_VALUES);
	assert(strlen(p->weak) == 2 * (p->nloads + p->nfinals) - 1);
	for (unsigned i = 0; i < p->nloads + p->nfinals; i++)
		p->weak_outcome = outcome_set(p->weak_outcome, i, (unsigned)(p->weak[2 * i] - '0'));
}

void programs_parse(void)
{
	for (unsigned i = 0; i < nprograms; i++)
		parse(&programs[i]);
}

void outcome_print(const struct program *p, unsigned outcome, char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	for (unsigned t = 0; t < p->nthreads; t++) {
		for (unsigned i = 0; i < p->nops[t]; i++) {
			const struct op *op = &p->ops[t][i];

			if (!op->store && n < size)
				n += (size_t)snprintf(text + n, size - n, "%u:%c=%u; ", t,
						      'x' + op->location,
						      outcome_get(outcome, op->value));
		}
	}
	for (unsigned i = 0; i < p->nfinals && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%c=%u; ", 'x' + p->final[i],
				      outcome_get(outcome, p->nloads + i));
}
