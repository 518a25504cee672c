/* SPDX-License-Identifier: MIT */
/*
 * The frame of the applications. Each has a directory: NAME.h is the computation, seq.c runs it by
 * one thread, dsm.c by ranks over libdsm, mpi.c by ranks over MPI. What differs between the three
 * is how data gets from one rank to another, and nothing else: the same sizes, the same kernels,
 * the same compiler options. libdsm's is also run with all left out that is there for speed alone:
 * form plain.
 *
 * A form does its set-up, calls *_start(), does the timed part, calls *_stop(), and rank 0 reports
 * one line. An application that says what it expects (a published value, an invariant) reports
 * whether it got it; run.sh compares the checksums of the forms as well.
 */
#ifndef APP_H
#define APP_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct app {
	const char *name;
	const char *unit; /* of its rate */
	const char *what;
};

/* name, unit, what it does and how it shares */
#define APPS(X)                                                                                    \
	X(stream, "MB/s", "copy, scale, add, triad: each rank on its part of shared arrays")       \
	X(gups, "MUP/s", "random updates of a table, one at a time: the finest sharing")           \
	X(gups_buckets, "MUP/s", "random updates of a table, sent to a word's rank by the bucket") \
	X(cg, "Mflop/s", "NAS CG: conjugate gradient, random sparse matrix")                       \
	X(ft, "Mflop/s", "NAS FT: 3D Fourier transform; a transposition an iteration")             \
	X(is, "Mkey/s", "NAS IS: ranking of integer keys by counting")                             \
	X(heat, "Mcell/s", "2D stencil; neighbours' rows")                                         \
	X(pagerank, "Mlink/s", "PageRank, skewed random graph; all of a vector an iteration")      \
	X(spmv, "Mflop/s", "sparse matrix-vector product, 27-point grid; what the columns name")   \
	X(kmeans, "Mdist/s", "k-means; sums of the clusters")                                      \
	X(sort, "Mkey/s", "sample sort of 64-bit keys; each key moves once")                       \
	X(hash, "Mop/s", "counters in a hash table under locks, any rank any key")                 \
	X(hash_local, "Mop/s", "the same; seven of eight operations on keys of the own rank")

/* One run of an application in one form, as one rank sees it. */
struct run {
	const struct app *app;
	const char *form;
	char class; /* S: small, for tests; W: workstation, for measurements */
	unsigned rank, size;
	double start;
	double seconds; /* of the timed part, all ranks having ended it */
	char counters[256]; /* " name=value": what the form counts beside */
};

struct team; /* of the libdsm forms */

#define DECLARE_FORMS(name, unit, what)                                                            \
	void name##_seq(struct run *run);                                                          \
	void name##_dsm(struct run *run, struct team *t);                                          \
	void name##_mpi(struct run *run);
APPS(DECLARE_FORMS)

struct result {
	const char *name; /* NULL: the application's */
	double seconds; /* 0: the run's */
	double work; /* millions of the unit of the rate, without its "/s" */
	double checksum; /* equal in all forms, up to rounding */
	bool ok; /* what was expected */
};

struct options {
	const struct app *apps; /* all there are */
	unsigned napps;
	const char *form; /* seq, dsm or plain; mpi has a program of its own */
	char class;
	bool *chosen; /* by application */
};

/* Read the command line; ends the program with usage or the list of applications. */
void options_read(struct options *o, int argc, char **argv, const char *forms);

/* Print one line of name=value words. Called by rank 0. */
void run_report(const struct run *run, const struct result *result);

/* The exit status: has all that was reported been ok? */
int run_status(void);

/* End this rank with a sentence. Its launcher ends the others. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed private memory, or the end. */
void *must_calloc(size_t n, size_t size);

static inline double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static inline void seq_start(struct run *run)
{
	run->start = now_s();
}

static inline void seq_stop(struct run *run)
{
	run->seconds = now_s() - run->start;
}

/* Of n things rank r of size has those from part_begin(n, r, size) to part_begin(n, r + 1, size).
 */
static inline size_t part_begin(size_t n, unsigned rank, unsigned size)
{
	return n * rank / size;
}

/* A number without pattern for each number: input that every rank makes for itself. */
static inline uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* From 0 to 1, without 1. */
static inline double uniform(uint64_t x)
{
	return (double)(mix64(x) >> 11) * 0x1p-53;
}

static inline bool close_to(double x, double expected, double tolerance)
{
	return fabs(x - expected) <= tolerance * fabs(expected);
}

#endif /* APP_H */
