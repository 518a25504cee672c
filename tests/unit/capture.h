/* SPDX-License-Identifier: MIT */
/*
 * What a unit test writes to stderr, as text.
 */
#ifndef TESTS_CAPTURE_H
#define TESTS_CAPTURE_H

/* From now on stderr goes into a pipe, whose buffer must take all that is written. */
void capture_begin(void);

/* stderr is itself again; returns what was written, in a buffer that the next call overwrites. */
const char *capture_end(void);

#endif
