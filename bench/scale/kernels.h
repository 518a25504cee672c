/* SPDX-License-Identifier: MIT */
/*
 * Kernels: what programs of the usual kinds do to shared pages, as a function of rank and step; and
 * the laws that the protocol promises for each, whatever the number of ranks.
 */
#ifndef SCALE_KERNELS_H
#define SCALE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "machine.h"

struct run;

struct kernel {
	const char *name;
	const char *meaning;
	const char *regions[MACHINE_REGIONS_MAX]; /* NULL: no more */
	unsigned warm; /* iterations before the measured ones */
	bool once; /* one iteration is all there is */
	/* Steps of an iteration. */
	unsigned (*length)(const struct run *run);
	void (*op)(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		   struct op *op);
	/* What must be true of what was counted: run_law() for each. */
	void (*laws)(struct run *run);
};

extern const struct kernel kernels[];
extern const unsigned nkernels;

/* NULL: there is none of that name. */
const struct kernel *kernel_find(const char *name, size_t len);

#endif
