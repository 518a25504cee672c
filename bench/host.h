/* SPDX-License-Identifier: MIT */
/* Host: what the numbers were measured on. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <stdbool.h>

#include "floor_fault.h"

struct host {
	char cpu[128];
	char kernel[160];
	unsigned cores; /* online */
	unsigned cores_usable; /* by this rank: launchers bind */
	unsigned ranks;
	char handler[96]; /* who handles faults, and how it waits for them */
	enum floor_handler handler_kind; /* the floor that does the same */
	bool handler_yields; /* between polls, where it polls */
	double clock_us; /* cost of reading the clock once, median; part of every time */
	char library[32]; /* version */
};

struct bench;

void host_describe(struct host *h, struct bench *b);

#endif
