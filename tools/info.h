/* SPDX-License-Identifier: MIT */
/*
 * Parts of dsm_info. Each looks at one thing, tells of it by info_line(), and reports what keeps
 * libdsm from running by info_problem(). Under --check only problems and notes are printed.
 */
#ifndef DSM_TOOLS_INFO_H
#define DSM_TOOLS_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

/* Where the kernel shows RDMA devices. */
#define INFO_RDMA_ROOT "/sys/class/infiniband"

/* A heading, and a line "  name: text" under it. */
void info_heading(const char *text);
void info_line(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* libdsm could not run; the text says why and what to do. */
void info_problem(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* It could, but worse than it might; the text says how and what to do. */
void info_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "1.5 GiB" into buf; returns buf. UINT64_MAX: "unlimited". */
const char *info_bytes(char *buf, size_t len, uint64_t bytes);

/* The first line of a file, without newline, into buf; returns buf, empty if it cannot be read. */
const char *info_read(char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

void info_machine(const struct settings *s);
void info_userfaultfd(const struct settings *s);
void info_range(const struct settings *s);
void info_rdma(const char *root, const struct settings *s);
void info_maintenance(const struct settings *s, const char *root);

#endif
