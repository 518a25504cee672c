/* SPDX-License-Identifier: MIT */
/*
 * dsm_info: which libdsm this is, what this machine offers it, and every setting with its value and
 * where that came from. With --check: can libdsm run here, and if not, what is to be done?
 *
 * It looks at the machine by the library's own means wherever there are any, so that what it says
 * is what a program would meet.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dsm/dsm.h"
#include "error.h"
#include "info.h"
#include "wire.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)
#define VERSION                                                                                    \
	STRING(DSM_VERSION_MAJOR) "." STRING(DSM_VERSION_MINOR) "." STRING(DSM_VERSION_PATCH)

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#ifdef HAVE_PMIX
#define WITH_PMIX "yes"
#else
#define WITH_PMIX "no: this libdsm was built without libpmix"
#endif

#ifdef HAVE_VERBS
#define WITH_VERBS "shm, verbs"
#else
#define WITH_VERBS "shm; no verbs: this libdsm was built without libibverbs and librdmacm"
#endif

#ifdef HAVE_SDT
#define WITH_SDT "yes"
#else
#define WITH_SDT "no: this libdsm was built without <sys/sdt.h>"
#endif

static bool checking;
static unsigned problems;

void info_heading(const char *text)
{
	if (!checking)
		printf("\n%s\n", text);
}

void info_line(const char *name, const char *fmt, ...)
{
	va_list args;

	if (checking)
		return;
	printf("  %-18s ", name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

static void finding(const char *what, const char *fmt, va_list args)
{
	printf("%s%s: ", checking ? "" : "  ", what);
	vprintf(fmt, args);
	putchar('\n');
}

void info_problem(const char *fmt, ...)
{
	va_list args;

	problems++;
	va_start(args, fmt);
	finding("PROBLEM", fmt, args);
	va_end(args);
}

void info_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	finding("note", fmt, args);
	va_end(args);
}

const char *info_bytes(char *buf, size_t len, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned i = 0;

	if (bytes == UINT64_MAX) {
		snprintf(buf, len, "unlimited");
		return buf;
	}
	while (value >= 1024 && i < 4) {
		value /= 1024;
		i++;
	}
	snprintf(buf, len, "%.*f %s", i && value < 100 ? 1 : 0, value, units[i]);
	return buf;
}

const char *info_read(char *buf, size_t len, const char *fmt, ...)
{
	char path[4096];
	va_list args;
	FILE *f;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	buf[0] = '\0';
	f = fopen(path, "re");
	if (!f)
		return buf;
	if (!fgets(buf, (int)len, f))
		buf[0] = '\0';
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

static void print_version(void)
{
	printf("dsm_info " VERSION " (libdsm)\n");
	info_line("compiler", "%s", COMPILER);
	info_line("wire version", "%u", WIRE_VERSION);
	info_line("transports", WITH_VERBS);
	info_line("PMIx", "%s", WITH_PMIX);
	info_line("USDT probes", "%s", WITH_SDT);
}

static void info_launch(const struct settings *s)
{
	const char *name = getenv("PMIX_NAMESPACE");
	const char *rank = getenv("PMIX_RANK");

	info_heading("Launch");
	if (name && rank)
		info_line("PMIx server", "there: job %s, rank %s", name, rank);
	else
		info_line("PMIx server", "none: this was not started by mpirun or srun");
#ifndef HAVE_PMIX
	if (s->launch == LAUNCH_PMIX)
		info_problem("DSM_LAUNCH is pmix, but this libdsm was built without it; install "
			     "libpmix-dev and build libdsm again, or give DSM_RANK, DSM_SIZE and "
			     "DSM_ROOT");
	else if (name && rank)
		info_note("this libdsm was built without PMIx, so each process that this launcher "
			  "starts would be alone; install libpmix-dev and build libdsm again");
#else
	if (s->launch == LAUNCH_PMIX && !(name && rank))
		info_problem("DSM_LAUNCH is pmix, but no PMIx server is there; start the program "
			     "by mpirun or srun, or unset DSM_LAUNCH");
#endif
}

static void print_setting(const struct settings *s, const struct config_row *row, size_t i)
{
	enum config_source source = config_source_of(i);
	char value[sizeof(s->root)];

	config_value(s, i, value, sizeof(value));
	if (!value[0])
		strcpy(value, "not given");
	else if (!strcmp(row->name, "DSM_TOKEN"))
		strcpy(value, "given (a secret: not shown)");
	printf("  %-20s %-16s %s", row->name, value,
	       source == CONFIG_ENVIRONMENT ? "from the environment" : "default");
	if (source == CONFIG_DEFAULT && row->fallback[0] && strcmp(row->fallback, value))
		printf(": %s", row->fallback);
	printf("\n      %s\n      allowed: %s\n", row->meaning, row->allowed);
}

static void info_settings(const struct settings *s)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);

	if (checking)
		return;
	info_heading("Settings (a program may set each in struct dsm_config; the environment "
		     "overrides it)");
	for (size_t i = 0; i < count; i++)
		print_setting(s, &rows[i], i);
}

/* The setting in the environment that a sentence speaks of; NULL if it speaks of none. */
static const char *blamed(const char *sentence)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (strstr(sentence, rows[i].name) && getenv(rows[i].name))
			return rows[i].name;
	}
	return NULL;
}

/*
 * Settings that are not valid are a problem each, but the machine can be looked at all the same: by
 * the other settings, and defaults for these.
 */
static void load(struct settings *s)
{
	const char *name;

	while (config_load(s, NULL)) {
		info_problem("%s", error_text());
		name = blamed(error_text());
		if (!name)
			exit(EXIT_FAILURE);
		unsetenv(name);
	}
}

static int look(void)
{
	struct settings s;

	if (!checking)
		print_version();
	load(&s);
	info_machine(&s);
	info_userfaultfd(&s);
	info_range(&s);
	info_launch(&s);
	info_rdma(INFO_RDMA_ROOT, &s);
	info_maintenance(&s, INFO_RDMA_ROOT);
	info_settings(&s);
	if (!checking)
		putchar('\n');
	if (problems)
		printf("libdsm cannot run here: %u problem%s, see above\n", problems,
		       problems == 1 ? "" : "s");
	else
		printf("libdsm can run here\n");
	return checking && problems ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void usage(FILE *f)
{
	fprintf(f,
		"usage: dsm_info [--check | --version | --help]\n"
		"\n"
		"Without an option: libdsm's version and build, what this machine offers it, and\n"
		"every setting with its value, where that came from, and its meaning.\n"
		"\n"
		"  -c, --check    say only what keeps libdsm from running here and what to do\n"
		"                 about it; exit status 1 if there is anything\n"
		"  -V, --version  version and build\n"
		"  -h, --help     this text\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "cVh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			checking = true;
			break;
		case 'V':
			print_version();
			return EXIT_SUCCESS;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "dsm_info: unexpected argument: %s\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	return look();
}
