/* SPDX-License-Identifier: MIT */
/*
 * A table of text for stderr, which leaves by few writes, so that other ranks' output does not fall
 * into it.
 */
#ifndef DSM_TABLE_H
#define DSM_TABLE_H

#include <stddef.h>

/* Starts as { .len = 0 }. */
struct table {
	char text[8192];
	size_t len;
};

/* As printf(), at most 255 bytes at a time. */
void __attribute__((format(printf, 2, 3))) table_add(struct table *t, const char *fmt, ...);
void table_flush(struct table *t);

#endif
