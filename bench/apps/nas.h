/* SPDX-License-Identifier: MIT */
/*
 * The random numbers of the NAS parallel benchmarks: x <- 5^13 x mod 2^46, and x / 2^46 as a number
 * from 0 to 1 (D. Bailey and others, "The NAS Parallel Benchmarks", RNR-94-007, section 2.3).
 */
#ifndef NAS_H
#define NAS_H

#include <stdint.h>

#define NAS_SEED       314159265u
#define NAS_MULTIPLIER 1220703125u
#define NAS_MASK       ((UINT64_C(1) << 46) - 1)

static inline double nas_random(uint64_t *x)
{
	/* What the product loses above 2^64 is above 2^46. */
	*x = *x * NAS_MULTIPLIER & NAS_MASK;
	return (double)*x * 0x1p-46;
}

/* The state n numbers further on. */
static inline uint64_t nas_skip(uint64_t x, uint64_t n)
{
	for (uint64_t a = NAS_MULTIPLIER; n; n >>= 1, a = a * a & NAS_MASK)
		if (n & 1)
			x = x * a & NAS_MASK;
	return x;
}

#endif /* NAS_H */
