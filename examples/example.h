/* SPDX-License-Identifier: MIT */
/*
 * What the examples share: a macro that ends a rank with libdsm's own sentence when a call fails,
 * a clock, and a progress line.
 *
 * A rank that exits without dsm_fini() counts as dead, and the others' calls then return
 * -EHOSTDOWN. So TRY() in one rank never leaves the others hanging.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <dsm/dsm.h>

#define PAGE_SIZE  ((size_t)4096)
#define BLOCK_SIZE ((size_t)2 << 20) /* homes are given by blocks of 2 MiB */

/* TRY(dsm_barrier(dsm)); */
#define TRY(call)                                                                                  \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			give_up(#call, __LINE__);                                                  \
	} while (0)

/* TRY_PTR(ptr = dsm_alloc(dsm, len, NULL)); */
#define TRY_PTR(call)                                                                              \
	do {                                                                                       \
		if (!(call))                                                                       \
			give_up(#call, __LINE__);                                                  \
	} while (0)

_Noreturn static inline void give_up(const char *call, int line)
{
	fprintf(stderr, "line %d: %s: %s\n", line, call, dsm_errmsg());
	exit(EXIT_FAILURE);
}

static inline size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static inline double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/*
 * Tell how far the work is: on a terminal ten times a second on one line, else a line a second.
 * Work that is done within a second says nothing.
 */
static inline void progress(const char *what, uint64_t done, uint64_t total)
{
	static double start, last;
	static const char *before;
	int terminal = isatty(STDERR_FILENO);
	double now = now_s();

	if (what != before) {
		before = what;
		start = last = now;
	}
	if (now - start < 1 || now - last < (terminal ? 0.1 : 1))
		return;
	last = now;
	fprintf(stderr, terminal ? "\r%s: %3.0f %%\033[K\r" : "%s: %3.0f %%\n", what,
		100.0 * (double)done / (double)(total ? total : 1));
}

#endif /* EXAMPLE_H */
