/* SPDX-License-Identifier: MIT */
/*
 * Report: the rows of one test, printed as text with perftest's columns or as JSON.
 *
 * Labels and texts must outlive the report (string literals); notes are copied.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "host.h"
#include "options.h"
#include "samples.h"

#define REPORT_ROWS_MAX   320u /* a transfer has 9 for each size */
#define REPORT_VALUES_MAX 16u
#define REPORT_NOTES_MAX  8u
#define REPORT_NOTE_BYTES 200u

struct bench_test;

enum target_kind {
	TARGET_NONE,
	TARGET_MEDIAN_US, /* at most */
	TARGET_P99_US, /* at most */
	TARGET_RATIO, /* median / floor's median, at most */
	TARGET_MB_PER_S, /* at least, by the median */
	TARGET_VALUE, /* of a value: at most */
};

struct row {
	const char *label;
	const char *key; /* csv: what was measured; NULL: the test's name */
	const char *variant; /* csv: by which part of libdsm, or the floor's short name; or NULL */
	bool detail; /* not in csv */
	bool is_floor;
	bool has_rate; /* print MB/s */
	uint64_t bytes;
	struct summary time;
	const struct row *floor; /* what it is compared with, or NULL */
	enum target_kind target_kind;
	double target;
};

/* A result that is not a time. */
struct value {
	const char *label;
	const char *unit;
	double value;
	enum target_kind target_kind;
	double target;
};

struct report {
	const struct bench_test *test;
	const char *skipped; /* why it was not run, or NULL */
	struct row rows[REPORT_ROWS_MAX];
	unsigned nrows;
	struct value values[REPORT_VALUES_MAX];
	unsigned nvalues;
	char notes[REPORT_NOTES_MAX][REPORT_NOTE_BYTES];
	unsigned nnotes;
};

void report_init(struct report *r, const struct bench_test *test);

/* Add a row made from samples, which are freed. @bytes: what one operation moves or touches. */
struct row *report_result(struct report *r, const char *label, uint64_t bytes, struct samples *s);
struct row *report_floor(struct report *r, const char *label, uint64_t bytes, struct samples *s);
struct value *report_value(struct report *r, const char *label, double value, const char *unit);
void report_note(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* 0 if there is no floor. */
double row_ratio(const struct row *row);
double row_mb_per_s(const struct row *row);

/* Around all reports, and one by one, as soon as each is there; in the format that is asked for. */
void report_begin(const struct host *h, const struct options *o);
void report_print(const struct report *r, const struct options *o, unsigned ranks, bool first);
void report_end(const struct options *o);

/* In report_csv.c. */
void report_print_csv(const struct report *r, const struct options *o, unsigned ranks);

#endif
