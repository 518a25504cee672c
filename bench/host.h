/* SPDX-License-Identifier: MIT */
/* Host: what the numbers were measured on. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <stdbool.h>

struct host {
	char cpu[128];
	char kernel[160];
	unsigned cores; /* online */
	unsigned cores_usable; /* by this rank: launchers bind */
	unsigned ranks;
	char handler[96]; /* how the library's agent waits for faults */
	bool handler_spins;
	bool handler_yields; /* between polls */
	double clock_us; /* cost of reading the clock once, median; part of every time */
	char library[32]; /* version */
};

struct bench;

void host_describe(struct host *h, struct bench *b);

#endif
