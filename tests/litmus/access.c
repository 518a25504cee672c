/* SPDX-License-Identifier: MIT */
/*
 * See access.h. The loop is compiled once for each kind of access, so that between two accesses
 * there is little beside them.
 */
#include "access.h"

#include <stdatomic.h>

#include "check.h"

#define INLINE static inline __attribute__((always_inline))

typedef _Atomic uint64_t word;

INLINE uint64_t load_word(struct dsm *d, enum access a, uint64_t *at)
{
	uint64_t value;

	switch (a) {
	case ACCESS_ACQREL:
		return atomic_load_explicit((word *)at, memory_order_acquire);
	case ACCESS_SEQCST:
		return atomic_load_explicit((word *)at, memory_order_seq_cst);
	case ACCESS_REMOTE:
		CHECK(dsm_fetch_add64(d, at, 0, &value) == 0);
		return value;
	case ACCESS_HELD:
		CHECK(dsm_acquire(d, at, sizeof(*at), DSM_READ) == 0);
		value = atomic_load_explicit((word *)at, memory_order_relaxed);
		CHECK(dsm_release(d, at, sizeof(*at)) == 0);
		return value;
	case ACCESS_LOCKED:
		CHECK(dsm_lock(d, at) == 0);
		value = atomic_load_explicit((word *)at, memory_order_relaxed);
		CHECK(dsm_unlock(d, at) == 0);
		return value;
	default:
		return atomic_load_explicit((word *)at, memory_order_relaxed);
	}
}

INLINE void swap_word(struct dsm *d, uint64_t *at, uint64_t value)
{
	uint64_t expected = 0, old;

	for (;;) {
		CHECK(dsm_compare_swap64(d, at, expected, value, &old) == 0);
		if (old == expected)
			return;
		expected = old;
	}
}

INLINE void store_word(struct dsm *d, enum access a, uint64_t *at, uint64_t value)
{
	switch (a) {
	case ACCESS_ACQREL:
		atomic_store_explicit((word *)at, value, memory_order_release);
		break;
	case ACCESS_SEQCST:
		atomic_store_explicit((word *)at, value, memory_order_seq_cst);
		break;
	case ACCESS_REMOTE:
		swap_word(d, at, value);
		break;
	case ACCESS_HELD:
		CHECK(dsm_acquire(d, at, sizeof(*at), DSM_WRITE) == 0);
		atomic_store_explicit((word *)at, value, memory_order_relaxed);
		CHECK(dsm_release(d, at, sizeof(*at)) == 0);
		break;
	case ACCESS_LOCKED:
		CHECK(dsm_lock(d, at) == 0);
		atomic_store_explicit((word *)at, value, memory_order_relaxed);
		CHECK(dsm_unlock(d, at) == 0);
		break;
	default:
		atomic_store_explicit((word *)at, value, memory_order_relaxed);
	}
}

INLINE void run(struct dsm *d, enum access a, const struct op *ops, unsigned n, uint64_t *const *at,
		uint8_t *seen)
{
	for (unsigned i = 0; i < n; i++) {
		if (a == ACCESS_FENCED && i)
			atomic_thread_fence(memory_order_seq_cst);
		/* What the test is about is the machine's order, not the compiler's. */
		atomic_signal_fence(memory_order_seq_cst);
		if (ops[i].store)
			store_word(d, a, at[ops[i].location], ops[i].value);
		else
			seen[ops[i].value] = (uint8_t)load_word(d, a, at[ops[i].location]);
	}
}

void access_run(struct dsm *d, enum access a, const struct program *p, unsigned t,
		uint64_t *const *at, uint8_t *seen)
{
	const struct op *ops = p->ops[t];
	unsigned n = p->nops[t];

	if (a == ACCESS_MIXED)
		a = t % 2 ? ACCESS_REMOTE : ACCESS_SEQCST;
	switch (a) {
	case ACCESS_RELAXED:
		run(d, ACCESS_RELAXED, ops, n, at, seen);
		break;
	case ACCESS_ACQREL:
		run(d, ACCESS_ACQREL, ops, n, at, seen);
		break;
	case ACCESS_FENCED:
		run(d, ACCESS_FENCED, ops, n, at, seen);
		break;
	case ACCESS_SEQCST:
		run(d, ACCESS_SEQCST, ops, n, at, seen);
		break;
	case ACCESS_REMOTE:
		run(d, ACCESS_REMOTE, ops, n, at, seen);
		break;
	case ACCESS_HELD:
		run(d, ACCESS_HELD, ops, n, at, seen);
		break;
	default:
		run(d, ACCESS_LOCKED, ops, n, at, seen);
	}
}
