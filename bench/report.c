/* SPDX-License-Identifier: MIT */
/*
 * Report: collects and prints. Text: a line a row, perftest's columns, floors below the results,
 * then what the results are compared with. JSON: one object with everything the text has. For csv
 * see report_csv.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"
#include "report.h"

void report_init(struct report *r, const struct bench_test *test)
{
	memset(r, 0, sizeof(*r));
	r->test = test;
}

/* The next free index; a test that has more to say needs a larger report. */
static unsigned take(unsigned *n, unsigned max)
{
	if (*n == max) {
		fprintf(stderr, "dsm_bench: a report holds at most %u of these\n", max);
		abort();
	}
	return (*n)++;
}

static struct row *add_row(struct report *r, const char *label, uint64_t bytes, struct samples *s)
{
	struct row *row = &r->rows[take(&r->nrows, REPORT_ROWS_MAX)];

	row->label = label;
	row->bytes = bytes;
	samples_summarize(s, &row->time);
	samples_free(s);
	return row;
}

struct row *report_result(struct report *r, const char *label, uint64_t bytes, struct samples *s)
{
	return add_row(r, label, bytes, s);
}

struct row *report_floor(struct report *r, const char *label, uint64_t bytes, struct samples *s)
{
	struct row *row = add_row(r, label, bytes, s);

	row->is_floor = true;
	return row;
}

struct value *report_value(struct report *r, const char *label, double value, const char *unit)
{
	struct value *v = &r->values[take(&r->nvalues, REPORT_VALUES_MAX)];

	v->label = label;
	v->value = value;
	v->unit = unit;
	return v;
}

void report_note(struct report *r, const char *fmt, ...)
{
	char *note = r->notes[take(&r->nnotes, REPORT_NOTES_MAX)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(note, REPORT_NOTE_BYTES, fmt, args);
	va_end(args);
}

double row_ratio(const struct row *row)
{
	if (!row->floor || row->floor->time.median_us <= 0)
		return 0;
	return row->time.median_us / row->floor->time.median_us;
}

double row_mb_per_s(const struct row *row)
{
	return row->time.median_us > 0 ? (double)row->bytes / row->time.median_us : 0;
}

/* What a row's target is compared with, in words for text and JSON. */
struct verdict {
	const char *what;
	const char *bound;
	double value;
	bool reached;
};

static struct verdict judge(enum target_kind kind, double target, const struct row *row,
			    double value)
{
	struct verdict v = { "value", "at most", value, false };

	if (kind == TARGET_MEDIAN_US) {
		v.what = "median us";
		v.value = row->time.median_us;
	} else if (kind == TARGET_P99_US) {
		v.what = "99% us";
		v.value = row->time.p99_us;
	} else if (kind == TARGET_RATIO) {
		v.what = "times the floor";
		v.value = row_ratio(row);
	} else if (kind == TARGET_MB_PER_S) {
		v.what = "MB/s";
		v.bound = "at least";
		v.value = row_mb_per_s(row);
	}
	v.reached = kind == TARGET_MB_PER_S ? v.value >= target : v.value <= target;
	return v;
}

/*
 * Text
 */

static void print_row(const struct row *row)
{
	const struct summary *t = &row->time;

	printf(" %-10llu %-11zu %11.3f %13.3f %15.3f %12.3f %14.3f %10.3f %11.3f",
	       (unsigned long long)row->bytes, t->n, t->min_us, t->max_us, t->median_us, t->mean_us,
	       t->stdev_us, t->p99_us, t->p999_us);
	if (row->has_rate)
		printf(" %9.1f", row_mb_per_s(row));
	else
		printf(" %9s", "-");
	printf("  %s%s\n", row->is_floor ? "floor: " : "", row->label);
}

static void print_rows(const struct report *r)
{
	if (!r->nrows)
		return;
	printf(" %-10s %-11s %11s %13s %15s %12s %14s %10s %11s %9s\n", "#bytes", "#iterations",
	       "t_min[usec]", "t_max[usec]", "t_typical[usec]", "t_avg[usec]", "t_stdev[usec]",
	       "99%[usec]", "99.9%[usec]", "[MB/s]");
	for (int floors = 0; floors < 2; floors++)
		for (unsigned i = 0; i < r->nrows; i++)
			if (r->rows[i].is_floor == floors)
				print_row(&r->rows[i]);
}

static void print_verdict(const struct verdict *v, double target)
{
	printf(" [target: %s %s %g: %s]", v->what, v->bound, target,
	       v->reached ? "reached" : "missed");
}

static void print_comparison(const struct row *row)
{
	struct verdict v = judge(row->target_kind, row->target, row, 0);

	if (!row->floor && row->target_kind == TARGET_NONE)
		return;
	printf(" = %s (%llu bytes): median %.3f us", row->label, (unsigned long long)row->bytes,
	       row->time.median_us);
	if (row->floor)
		printf(", ratio median/floor %.2f (%s)", row_ratio(row), row->floor->label);
	if (row->target_kind != TARGET_NONE)
		print_verdict(&v, row->target);
	printf("\n");
}

static void print_value(const struct value *value)
{
	struct verdict v = judge(value->target_kind, value->target, NULL, value->value);

	printf(" %14.4f %-16s %s", value->value, value->unit, value->label);
	if (value->target_kind != TARGET_NONE)
		print_verdict(&v, value->target);
	printf("\n");
}

static void print_text(const struct report *r)
{
	printf("\n%s: %s\n", r->test->name, r->test->meaning);
	if (r->skipped) {
		printf(" skipped: %s\n", r->skipped);
		return;
	}
	print_rows(r);
	for (unsigned i = 0; i < r->nrows; i++)
		print_comparison(&r->rows[i]);
	for (unsigned i = 0; i < r->nvalues; i++)
		print_value(&r->values[i]);
	for (unsigned i = 0; i < r->nnotes; i++)
		printf(" note: %s\n", r->notes[i]);
	printf(" target: %s; reference: %s\n", r->test->target, r->test->reference);
}

/*
 * JSON
 */

static void json_string(const char *name, const char *text)
{
	printf("\"%s\": \"", name);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ')
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

static void json_target(enum target_kind kind, double target, const struct row *row, double value)
{
	struct verdict v = judge(kind, target, row, value);

	if (kind == TARGET_NONE)
		return;
	printf(", \"target\": {");
	json_string("what", v.what);
	printf(", ");
	json_string("bound", v.bound);
	printf(", \"limit\": %g, \"value\": %.4f, \"reached\": %s}", target, v.value,
	       v.reached ? "true" : "false");
}

static void json_row(const struct row *row)
{
	const struct summary *t = &row->time;

	printf("{");
	json_string("label", row->label);
	printf(", \"floor\": %s, \"bytes\": %llu, \"iterations\": %zu, \"t_min_us\": %.4f, "
	       "\"t_max_us\": %.4f, \"t_typical_us\": %.4f, \"t_avg_us\": %.4f, "
	       "\"t_stdev_us\": %.4f, \"p99_us\": %.4f, \"p999_us\": %.4f",
	       row->is_floor ? "true" : "false", (unsigned long long)row->bytes, t->n, t->min_us,
	       t->max_us, t->median_us, t->mean_us, t->stdev_us, t->p99_us, t->p999_us);
	if (row->has_rate)
		printf(", \"mb_per_s\": %.2f", row_mb_per_s(row));
	if (row->floor) {
		printf(", ");
		json_string("compared_with", row->floor->label);
		printf(", \"ratio\": %.4f", row_ratio(row));
	}
	json_target(row->target_kind, row->target, row, 0);
	printf("}");
}

static void json_value(const struct value *v)
{
	printf("{");
	json_string("label", v->label);
	printf(", ");
	json_string("unit", v->unit);
	printf(", \"value\": %.6f", v->value);
	json_target(v->target_kind, v->target, NULL, v->value);
	printf("}");
}

static void json_separator(unsigned i)
{
	printf("%s\n      ", i ? "," : "");
}

static void json_lists(const struct report *r)
{
	printf(",\n    \"rows\": [");
	for (unsigned i = 0; i < r->nrows; i++) {
		json_separator(i);
		json_row(&r->rows[i]);
	}
	printf("],\n    \"values\": [");
	for (unsigned i = 0; i < r->nvalues; i++) {
		json_separator(i);
		json_value(&r->values[i]);
	}
	printf("],\n    \"notes\": [");
	for (unsigned i = 0; i < r->nnotes; i++) {
		json_separator(i);
		printf("{");
		json_string("text", r->notes[i]);
		printf("}");
	}
	printf("]");
}

static void print_json(const struct report *r, bool first)
{
	printf("%s\n  {", first ? "" : ",");
	json_string("name", r->test->name);
	printf(",\n    ");
	json_string("meaning", r->test->meaning);
	printf(",\n    ");
	json_string("target", r->test->target);
	printf(",\n    ");
	json_string("reference", r->test->reference);
	if (r->skipped) {
		printf(",\n    ");
		json_string("skipped", r->skipped);
	}
	json_lists(r);
	printf("}");
}

static void begin_json(const struct host *h)
{
	printf("{\"machine\": {");
	json_string("cpu", h->cpu);
	printf(", \"cores\": %u, \"cores_usable\": %u, ", h->cores, h->cores_usable);
	json_string("kernel", h->kernel);
	printf(", \"ranks\": %u, ", h->ranks);
	json_string("handler", h->handler);
	printf(", \"clock_us\": %.4f, ", h->clock_us);
	json_string("libdsm", h->library);
	printf("},\n \"tests\": [");
}

void report_begin(const struct host *h, const struct options *o)
{
	if (o->json)
		begin_json(h);
	if (o->json || o->csv)
		return;
	printf("cpu %s; %u cores, %u usable by a rank\nkernel %s; libdsm %s\n", h->cpu, h->cores,
	       h->cores_usable, h->kernel, h->library);
	printf("ranks %u; handler: %s; reading the clock takes %.3f us, not subtracted\n", h->ranks,
	       h->handler, h->clock_us);
}

void report_print(const struct report *r, const struct options *o, unsigned ranks, bool first)
{
	if (o->json)
		print_json(r, first);
	else if (o->csv)
		report_print_csv(r, o, ranks);
	else
		print_text(r);
	fflush(stdout);
}

void report_end(const struct options *o)
{
	if (o->json)
		printf("\n]}\n");
	fflush(stdout);
}
