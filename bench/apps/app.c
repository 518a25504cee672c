/* SPDX-License-Identifier: MIT */
/*
 * What both programs do alike: the command line, the line of a result.
 */
#include <stdarg.h>

#include "app.h"

void die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "dsm_apps: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(EXIT_FAILURE);
}

void *must_calloc(size_t n, size_t size)
{
	void *memory = calloc(n ? n : 1, size);

	if (!memory)
		die("no memory for %zu times %zu bytes; a smaller --class needs less", n, size);
	return memory;
}

static int status = EXIT_SUCCESS;

int run_status(void)
{
	return status;
}

void run_report(const struct run *run, const struct result *result)
{
	double seconds = result->seconds > 0 ? result->seconds : run->seconds;

	if (!result->ok)
		status = EXIT_FAILURE;
	printf("app=%s class=%c form=%s ranks=%u seconds=%.6f ok=%d checksum=%.15g rate=%.6g "
	       "unit=%s%s\n",
	       result->name ? result->name : run->app->name, run->class, run->form, run->size,
	       seconds, result->ok, result->checksum, result->work / seconds, run->app->unit,
	       run->counters);
	fflush(stdout);
}

static void usage(const struct options *o, const char *program, const char *forms, FILE *to)
{
	fprintf(to,
		"usage: %s [--form=%s] [--class=S|W] APP... | all\n"
		"One line a result; exit status 1 if one is not what was expected.\n\n",
		program, forms);
	for (unsigned i = 0; i < o->napps; i++)
		fprintf(to, "  %-13s %s\n", o->apps[i].name, o->apps[i].what);
}

static bool choose(struct options *o, const char *name)
{
	bool found = false;

	for (unsigned i = 0; i < o->napps; i++)
		if (!strcmp(name, "all") || !strcmp(name, o->apps[i].name))
			found = o->chosen[i] = true;
	return found;
}

static bool is_form(const char *form, const char *forms)
{
	size_t len = strlen(form);
	const char *at = strstr(forms, form);

	return len && at && (at == forms || at[-1] == '|') && (at[len] == '|' || !at[len]);
}

void options_read(struct options *o, int argc, char **argv, const char *forms)
{
	unsigned nchosen = 0;

	o->class = 'S';
	o->chosen = must_calloc(o->napps, sizeof(*o->chosen));
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (!strcmp(arg, "--help") || !strcmp(arg, "--list")) {
			usage(o, argv[0], forms, stdout);
			exit(EXIT_SUCCESS);
		} else if (!strncmp(arg, "--form=", 7) && is_form(arg + 7, forms)) {
			o->form = arg + 7;
		} else if (!strcmp(arg, "--class=S") || !strcmp(arg, "--class=W")) {
			o->class = arg[8];
		} else if (choose(o, arg)) {
			nchosen++;
		} else {
			fprintf(stderr, "%s: \"%s\" is no option and no application\n", argv[0],
				arg);
			usage(o, argv[0], forms, stderr);
			exit(2);
		}
	}
	if (!nchosen) {
		usage(o, argv[0], forms, stderr);
		exit(2);
	}
}
