/* SPDX-License-Identifier: MIT */
/*
 * Litmus programs: a few threads, each with a few loads and stores of up to three locations that
 * hold 0 at first.
 *
 * An outcome is what the loads returned, in the order of the text, and then the final values of the
 * locations that more than one store writes. All are 0 to 3: an outcome is a number of two bits
 * each.
 */
#ifndef LITMUS_PROGRAM_H
#define LITMUS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRAM_THREADS   4u
#define PROGRAM_OPS       3u
#define PROGRAM_LOCATIONS 3u
#define PROGRAM_VALUES    7u /* in an outcome */
#define PROGRAM_OUTCOMES  (1u << 2 * PROGRAM_VALUES)

struct op {
	bool store;
	uint8_t location;
	uint8_t value; /* of a store; of a load: its place in the outcome */
};

struct program {
	const char *name;
	const char *text; /* "Wx1 Ry | Wy1 Rx" */
	const char *weak; /* the outcome that the program is about, "0 0" */
	bool coherence; /* one location: forbidden to relaxed accesses everywhere */
	bool acquire_release; /* forbidden if loads acquire and stores release */
	/* Made from the text: */
	unsigned nthreads;
	unsigned nops[PROGRAM_THREADS];
	struct op ops[PROGRAM_THREADS][PROGRAM_OPS];
	unsigned nloads;
	unsigned nlocations;
	unsigned nfinals;
	uint8_t final[PROGRAM_LOCATIONS]; /* the location of each final value */
	unsigned weak_outcome;
};

extern struct program programs[];
extern const unsigned nprograms;

/* Parse the texts of all programs. */
void programs_parse(void);

/* Outcomes of p are numbers below this. */
static inline unsigned program_outcomes(const struct program *p)
{
	return 1u << 2 * (p->nloads + p->nfinals);
}

static inline unsigned outcome_set(unsigned outcome, unsigned i, unsigned value)
{
	return (outcome & ~(3u << 2 * i)) | value << 2 * i;
}

static inline unsigned outcome_get(unsigned outcome, unsigned i)
{
	return outcome >> 2 * i & 3;
}

/* "0:y=0; 1:x=0;", final values as "x=1;". */
void outcome_print(const struct program *p, unsigned outcome, char *text, size_t size);

#endif
