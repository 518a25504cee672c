/* SPDX-License-Identifier: MIT */
/*
 * See table.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "table.h"

#define ADD_MAX_BYTES 256u

void table_flush(struct table *t)
{
	ssize_t n = write(STDERR_FILENO, t->text, t->len);

	/* There is nowhere to complain. */
	(void)n;
	t->len = 0;
}

void table_add(struct table *t, const char *fmt, ...)
{
	size_t room = sizeof(t->text) - t->len;
	va_list args;
	int n;

	if (room < ADD_MAX_BYTES) {
		table_flush(t);
		room = sizeof(t->text);
	}
	va_start(args, fmt);
	n = vsnprintf(t->text + t->len, room, fmt, args);
	va_end(args);
	if (n > 0)
		t->len += (size_t)n < room ? (size_t)n : room - 1;
}
