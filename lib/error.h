/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's last error, as a sentence (dsm_errmsg).
 *
 * The function that sets the text is the first one that knows which error it is; callers above pass
 * the errno on untouched. Never allocates; any thread.
 */
#ifndef DSM_ERROR_H
#define DSM_ERROR_H

#include <stdbool.h>

#define ERROR_TEXT_MAX 512

/* Record a sentence (no newline) for this thread and return -err. @err: positive errno. */
int error_set(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As error_set(), with ": <strerror of err>" behind the text. */
int error_set_sys(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forget this thread's text: every public call begins with it. */
void error_clear(void);

/* This thread's text; empty if there is none. */
const char *error_text(void);

#endif
