/* SPDX-License-Identifier: MIT */
/*
 * Report as csv, in long form: a line a figure, test,bytes,ranks,system,repeat,value,unit. No field
 * has a comma, so that any tool can split it; nothing has a heading, so that files can be joined.
 *
 *   system               what it is
 *   libdsm, libdsm X     the library, or the part X of it that the row measured
 *   floor: X             a bare operation; X as in the text
 *   floor of S           the floor that S is compared with
 *   target of S          what S is meant to reach; the unit says which of S's figures
 *
 * Units: us (median), us 99%, MB/s, x floor, or a value's own.
 */
#include <stdio.h>

#include "options.h"
#include "registry.h"
#include "report.h"

struct csv {
	const struct options *options;
	const struct report *report;
	unsigned ranks;
};

/* A label as a field. */
static void print_field(const char *text)
{
	for (; *text; text++)
		if (*text != ',' && *text != '"')
			putchar(*text);
}

static void print_start(const struct csv *c, const char *key, uint64_t bytes)
{
	print_field(key ? key : c->report->test->name);
	printf(",%llu,%u,", (unsigned long long)bytes, c->ranks);
}

static void print_end(const struct csv *c, double value, const char *unit)
{
	printf(",%s,%.4f,%s\n", c->options->repeat, value, unit);
}

/* "libdsm", "target of libdsm acquire", ... */
static void print_system(const struct csv *c, const char *prefix, const char *variant)
{
	printf("%s%s%s", prefix, c->options->system, variant ? " " : "");
	print_field(variant ? variant : "");
}

static void print_floor(const struct csv *c, const struct row *row, double value, const char *unit)
{
	print_start(c, row->key, row->bytes);
	printf("floor: ");
	print_field(row->variant ? row->variant : row->label);
	print_end(c, value, unit);
}

static void print_result(const struct csv *c, const struct row *row, const char *prefix,
			 double value, const char *unit)
{
	print_start(c, row->key, row->bytes);
	print_system(c, prefix, row->variant);
	print_end(c, value, unit);
}

static const char *unit_of(enum target_kind kind)
{
	static const char *const units[] = {
		[TARGET_MEDIAN_US] = "us",
		[TARGET_P99_US] = "us 99%",
		[TARGET_RATIO] = "x floor",
		[TARGET_MB_PER_S] = "MB/s",
	};

	return units[kind];
}

static void print_row(const struct csv *c, const struct row *row)
{
	if (row->is_floor) {
		print_floor(c, row, row->time.median_us, "us");
		if (row->has_rate)
			print_floor(c, row, row_mb_per_s(row), "MB/s");
		return;
	}
	print_result(c, row, "", row->time.median_us, "us");
	print_result(c, row, "", row->time.p99_us, "us 99%");
	if (row->has_rate)
		print_result(c, row, "", row_mb_per_s(row), "MB/s");
	if (row->floor)
		print_result(c, row, "floor of ", row->floor->time.median_us, "us");
	if (row->floor && row->floor->has_rate)
		print_result(c, row, "floor of ", row_mb_per_s(row->floor), "MB/s");
	if (row->target_kind != TARGET_NONE)
		print_result(c, row, "target of ", row->target, unit_of(row->target_kind));
}

static void print_value(const struct csv *c, const struct value *value, const char *prefix,
			double number)
{
	print_field(c->report->test->name);
	printf(": ");
	print_field(value->label);
	printf(",0,%u,", c->ranks);
	print_system(c, prefix, NULL);
	print_end(c, number, value->unit);
}

void report_print_csv(const struct report *r, const struct options *o, unsigned ranks)
{
	struct csv c = { o, r, ranks };

	for (unsigned i = 0; i < r->nrows; i++)
		if (!r->rows[i].detail && r->rows[i].time.n)
			print_row(&c, &r->rows[i]);
	for (unsigned i = 0; i < r->nvalues; i++) {
		print_value(&c, &r->values[i], "", r->values[i].value);
		if (r->values[i].target_kind == TARGET_VALUE)
			print_value(&c, &r->values[i], "target of ", r->values[i].target);
	}
}
