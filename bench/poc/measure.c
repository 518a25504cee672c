/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest where the module dsm_cache is loaded: maps so many pages of the device in blocks
 * of 2^order pages, writes to each, unmaps them, and measures the cleaning of each block as the
 * mapping goes away; once by ftrace's function_graph on dsm_cache_clean(), once by the module's own
 * trace point dsm_cache_run.
 *
 * Prints a line for each measurement:
 *	method pages order calls min median average max        (nanoseconds a call)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "dsm_cache.h"

#define TRACING   "/sys/kernel/tracing/"
#define PARAMETER "/sys/module/dsm_cache/parameters/max_contiguous_alloc_order"
#define PAGES_MAX 1024
#define ORDER_MAX 10

struct method {
	const char *name;
	const char *tracer;
	const char *filter;
	const char *events;
	/* Nanoseconds in a line of the trace; false: it has none. */
	bool (*parse)(const char *line, double *ns);
};

static void die(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* "  0)   1.136 us    |  dsm_cache_clean [dsm_cache]();" */
static bool parse_function(const char *line, double *ns)
{
	const char *bracket = strstr(line, ") ");
	double us;

	if (!strstr(line, "dsm_cache_clean") || !bracket)
		return false;
	bracket += strcspn(bracket, "0123456789");
	if (sscanf(bracket, "%lf us", &us) != 1)
		return false;
	*ns = us * 1000;
	return true;
}

/* "... dsm_cache_run: op=clean pfn=0x6528 off=0 len=4096 lines=64 ns=346" */
static bool parse_event(const char *line, double *ns)
{
	const char *at = strstr(line, " ns=");

	if (!strstr(line, "dsm_cache_run: op=clean ") || !at)
		return false;
	*ns = atof(at + strlen(" ns="));
	return true;
}

static const struct method methods[] = {
	{ "ftrace", "function_graph", "dsm_cache_clean", "0", parse_function },
	{ "tracepoint", "nop", "", "1", parse_event },
};

/* Map, write to every page, unmap. */
static void work(unsigned pages, unsigned order)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = open(DSM_CACHE_PATH, O_RDWR | O_CLOEXEC);
	char text[16];
	uint8_t *p;

	snprintf(text, sizeof(text), "%u", order);
	put(PARAMETER, text);
	if (fd < 0)
		die(DSM_CACHE_PATH);
	p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < pages; i++)
		memset(p + i * page, (int)i, page);
	put(TRACING "tracing_on", "1");
	if (munmap(p, pages * page))
		die("munmap");
	put(TRACING "tracing_on", "0");
	close(fd);
}

static int by_value(const void *a_, const void *b_)
{
	double a = *(const double *)a_, b = *(const double *)b_;

	return (a > b) - (a < b);
}

static unsigned collect(const struct method *m, double ns[PAGES_MAX])
{
	FILE *f = fopen(TRACING "trace", "re");
	char line[512];
	unsigned n = 0;

	if (!f)
		die(TRACING "trace");
	while (n < PAGES_MAX && fgets(line, sizeof(line), f))
		n += m->parse(line, &ns[n]);
	fclose(f);
	return n;
}

static void measure(const struct method *m, unsigned pages, unsigned order)
{
	unsigned expected = pages >> order, n;
	static double ns[PAGES_MAX];
	double sum = 0;

	put(TRACING "set_ftrace_filter", m->filter);
	put(TRACING "current_tracer", m->tracer);
	put(TRACING "events/dsm_cache/dsm_cache_run/enable", m->events);
	put(TRACING "trace", "");
	work(pages, order);
	n = collect(m, ns);
	if (n != expected) {
		fprintf(stderr,
			"measure: %s saw %u calls where %u pages in blocks of 2^%u are %u\n",
			m->name, n, pages, order, expected);
		exit(1);
	}
	qsort(ns, n, sizeof(*ns), by_value);
	for (unsigned i = 0; i < n; i++)
		sum += ns[i];
	printf("%s %u %u %u %.0f %.0f %.0f %.0f\n", m->name, pages, order, n, ns[0], ns[n / 2],
	       sum / n, ns[n - 1]);
	fflush(stdout);
}

static void both(unsigned pages, unsigned order)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		measure(&methods[i], pages, order);
}

int main(void)
{
	static const unsigned fixed[] = { 0, 4 };

	mount("tracefs", TRACING, "tracefs", 0, NULL);
	put(TRACING "tracing_on", "0");
	put(TRACING "buffer_size_kb", "4096");
	/* What is done first is done with cold translations; it is not counted. */
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		work(16, 2);
	printf("experiment 1\n");
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		for (unsigned pages = 1u << fixed[i]; pages <= PAGES_MAX; pages *= 2)
			both(pages, fixed[i]);
	}
	printf("experiment 2\n");
	for (unsigned order = 0; order <= ORDER_MAX; order++)
		both(PAGES_MAX, order);
	put(TRACING "current_tracer", "nop");
	return 0;
}
