/* SPDX-License-Identifier: MIT */
/*
 * A variant of a litmus test: the program, how it makes its accesses, which ranks run its threads,
 * and how its locations lie on pages; and what it may see.
 */
#ifndef LITMUS_VARIANT_H
#define LITMUS_VARIANT_H

#include "access.h"
#include "program.h"

enum placement {
	PLACE_APART, /* thread t on rank t, as far as there are ranks */
	PLACE_PAIRED, /* two neighbouring threads on a rank */
	PLACE_TOGETHER, /* all threads on one rank */
	PLACE_COUNT
};

enum layout {
	LAYOUT_PAGE, /* all locations on one page */
	LAYOUT_PAGES, /* each on a page of its own, all pages with one home */
	LAYOUT_HOMES, /* each on a page with another home */
	LAYOUT_COUNT
};

extern const char *const access_names[ACCESS_COUNT];
extern const char *const placement_names[PLACE_COUNT];
extern const char *const layout_names[LAYOUT_COUNT];

struct variant {
	const struct program *program;
	enum access access;
	enum placement placement;
	enum layout layout;
	unsigned nranks;
};

/* Not one that another variant is the same as. */
bool variant_is_distinct(const struct variant *v);

/* The rank of a thread; shift turns the ranks round, so that each has each part in time. */
unsigned variant_rank(const struct variant *v, unsigned thread, unsigned shift);

/* The home of a location, if that of the first is `home`. */
unsigned variant_home(const struct variant *v, unsigned location, unsigned home);

/* Mark the outcomes that the memory model permits on this processor. */
void variant_allowed(const struct variant *v, bool *allowed);

/* "SB.relaxed.apart.pages" */
void variant_print(const struct variant *v, char *text, size_t size);

#endif
