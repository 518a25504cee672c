/* SPDX-License-Identifier: MIT */
/*
 * What the library says while it is fuzzed: kept, and looked at, instead of printed.
 */
#include <stdarg.h>

#include "dsm/dsm.h"
#include "fuzz.h"
#include "log.h"

static char last[1024];
static unsigned lines;

bool fuzz_verbose(void)
{
	const char *text = getenv("FUZZ_VERBOSE");

	return text && text[0];
}

/* In the place of log_write(): the linker's --wrap. */
void __wrap_log_write(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void __wrap_log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(last, sizeof(last), fmt, args);
	va_end(args);
	lines++;
	FUZZ_CHECK(last[0], "an empty line in the log");
	if (fuzz_verbose())
		fprintf(stderr, "log: %s\n", last);
}

const char *fuzz_log_last(void)
{
	return last;
}

unsigned fuzz_log_lines(void)
{
	return lines;
}

void fuzz_log_clear(void)
{
	last[0] = '\0';
	lines = 0;
}

void fuzz_expect_reason(int rc, const char *call)
{
	FUZZ_CHECK(rc >= 0 || dsm_errmsg()[0], "%s fails with %d and does not say why", call, rc);
	if (rc < 0 && fuzz_verbose())
		fprintf(stderr, "%s: %d: %s\n", call, rc, dsm_errmsg());
}
