/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share. A target is one LLVMFuzzerTestOneInput(); libFuzzer's main() or
 * replay.c calls it. An input is a script of bytes: a target reads it as steps, and whatever the
 * bytes are, they mean something and come to an end.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What must hold whatever the input; ends the process, so that the fuzzer keeps the input. */
#define FUZZ_CHECK(condition, ...)                                                                 \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct input {
	const uint8_t *at;
	const uint8_t *end;
};

static inline bool input_left(const struct input *in)
{
	return in->at < in->end;
}

/* The next byte; 0 behind the end. */
static inline uint8_t input_byte(struct input *in)
{
	return input_left(in) ? *in->at++ : 0;
}

static inline uint64_t input_u64(struct input *in)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)input_byte(in) << 8 * i;
	return v;
}

/* Up to max bytes into buf, of a length that the next byte tells; returns the length. */
static inline size_t input_bytes(struct input *in, void *buf, size_t max)
{
	size_t len = input_byte(in), left = (size_t)(in->end - in->at);

	len = len < max ? len : max;
	len = len < left ? len : left;
	memcpy(buf, in->at, len);
	in->at += len;
	return len;
}

/*
 * fuzz_log.c
 */

/* Log lines go here instead of stderr (all levels; to stderr too with FUZZ_VERBOSE). */
const char *fuzz_log_last(void);
unsigned fuzz_log_lines(void);
void fuzz_log_clear(void);
bool fuzz_verbose(void);

/* A call came back with rc: if it failed, dsm_errmsg() says why. */
void fuzz_expect_reason(int rc, const char *call);

/*
 * fuzz_clock.c: a clock that goes on by a step whenever it is looked at, so that no wait takes real
 * time. It stands below the real one, so a futex that waits for a moment of it comes back at once.
 */
void fuzz_clock_start(void); /* from 0 */
void fuzz_clock_stop(void); /* back to the real one */
void fuzz_clock_forward(uint64_t ns);

#endif
