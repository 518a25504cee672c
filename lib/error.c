/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's last error, as a sentence.
 *
 * The text lies in thread-local storage of fixed size, so that setting it cannot fail and needs no
 * lock; what is too long is cut.
 */
#define _GNU_SOURCE
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char text[ERROR_TEXT_MAX];

/*
 * Formats into a buffer first: an argument may be error_text() itself, when a caller adds to what
 * its callee said.
 */
static size_t format(char *out, size_t len, const char *fmt, va_list args)
{
	int n = vsnprintf(out, len, fmt, args);

	if (n < 0) {
		out[0] = '\0';
		return 0;
	}
	return (size_t)n < len ? (size_t)n : len - 1;
}

int error_set(int err, const char *fmt, ...)
{
	char out[ERROR_TEXT_MAX];
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = format(out, sizeof(out), fmt, args);
	va_end(args);
	memcpy(text, out, n + 1);
	return -err;
}

int error_set_sys(int err, const char *fmt, ...)
{
	char out[ERROR_TEXT_MAX];
	char reason[128];
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = format(out, sizeof(out), fmt, args);
	va_end(args);
	snprintf(out + n, sizeof(out) - n, ": %s", strerror_r(err, reason, sizeof(reason)));
	memcpy(text, out, strlen(out) + 1);
	return -err;
}

void error_clear(void)
{
	text[0] = '\0';
}

const char *error_text(void)
{
	return text;
}
