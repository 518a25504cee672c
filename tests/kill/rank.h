/* SPDX-License-Identifier: MIT */
/*
 * One rank of a scenario: what it knows, how it speaks with the driver, how it touches memory that
 * may be lost.
 */
#ifndef RANK_H
#define RANK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dsm/dsm.h>

#define PAGE_BYTES  4096ul
#define BLOCK_BYTES (2ul << 20)

struct rank {
	struct dsm *d;
	unsigned rank;
	unsigned size;
	unsigned victim;
	unsigned home; /* a rank that lives on; the lowest */
	unsigned other; /* another one */
	const char *way; /* how the victim dies: kill, segv, abort, exit */
};

/* Tell the driver that this rank is ready; wait for the driver's word. */
void rank_ready(void);
void rank_await_go(void);
/* Tell the driver that this rank is through, and wait until all are: who leaves counts as down. */
void rank_await_all(void);
/* The victim's end: tell that all is ready, and die when the driver says so. */
_Noreturn void rank_die(const struct rank *r);
/* Wait until this rank knows that the victim is dead. */
void rank_until_down(const struct rank *r);

/* Load or store one byte. False: SIGBUS, at this very address. */
bool rank_load(const volatile uint8_t *addr, uint8_t *value);
bool rank_store(volatile uint8_t *addr, uint8_t value);

_Noreturn void rank_failed(const char *file, int line, const char *what, long long value);

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			rank_failed(__FILE__, __LINE__, #cond, 0);                                 \
	} while (0)

#define CHECK_IS(call, expected)                                                                   \
	do {                                                                                       \
		long long is_ = (call);                                                            \
		if (is_ != (expected))                                                             \
			rank_failed(__FILE__, __LINE__, #call " is not " #expected, is_);          \
	} while (0)

/* A call that fails with this errno, and says in a sentence which rank it is about. */
#define CHECK_BLAMES(call, expected, blamed)                                                       \
	do {                                                                                       \
		CHECK_IS(call, -(expected));                                                       \
		if (!rank_said(blamed))                                                            \
			rank_failed(__FILE__, __LINE__, #call " does not name the rank", blamed);  \
	} while (0)

/* Has the last call's sentence "rank <number>" in it? */
bool rank_said(unsigned number);

#endif
