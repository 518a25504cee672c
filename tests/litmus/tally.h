/* SPDX-License-Identifier: MIT */
/*
 * What was seen: a histogram for each variant, and tables of all.
 */
#ifndef LITMUS_TALLY_H
#define LITMUS_TALLY_H

#include "variant.h"

struct tally;

struct tally *tally_create(unsigned nranks);
void tally_destroy(struct tally *t);

/* Count an outcome; false if the variant forbids it. */
bool tally_add(struct tally *t, const struct variant *v, unsigned outcome);

/* Each variant's outcomes, as litmus7 prints them: count, * for what the program is about. */
void tally_print_histograms(const struct tally *t);

/* A row for a program and a placement, a column for each kind of access; in Markdown. */
void tally_print_table(const struct tally *t);

#endif
