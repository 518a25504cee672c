/* SPDX-License-Identifier: MIT */
/*
 * The four kernels of the STREAM benchmark on arrays of doubles, and the values that they leave.
 * Each kernel is timed by itself; the best of the passes counts, but for the first.
 */
#ifndef STREAM_H
#define STREAM_H

#include "app.h"

#define STREAM_KERNELS 4
#define STREAM_SCALAR  3.0

struct stream_size {
	size_t n; /* elements; a multiple of 4 ranks' blocks */
	unsigned passes;
};

struct stream_arrays {
	double *a, *b, *c;
};

static inline struct stream_size stream_size(char class)
{
	return class == 'S' ? (struct stream_size){ 1 << 20, 5 }
			    : (struct stream_size){ 1 << 22, 20 };
}

static inline void stream_fill(struct stream_arrays s, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++) {
		s.a[i] = 1;
		s.b[i] = 2;
		s.c[i] = 0;
	}
}

static inline void stream_kernel(unsigned kernel, struct stream_arrays s, size_t begin, size_t end)
{
	double *restrict a = s.a, *restrict b = s.b, *restrict c = s.c;

	switch (kernel) {
	case 0:
		for (size_t i = begin; i < end; i++)
			c[i] = a[i];
		break;
	case 1:
		for (size_t i = begin; i < end; i++)
			b[i] = STREAM_SCALAR * c[i];
		break;
	case 2:
		for (size_t i = begin; i < end; i++)
			c[i] = a[i] + b[i];
		break;
	default:
		for (size_t i = begin; i < end; i++)
			a[i] = b[i] + STREAM_SCALAR * c[i];
		break;
	}
}

/* Does every element have the value that the passes leave? Adds to the checksum. */
static inline bool stream_check(struct stream_arrays s, size_t begin, size_t end, unsigned passes,
				double *checksum)
{
	double a = 1, b = 2, c = 0;
	bool ok = true;

	for (unsigned pass = 0; pass < passes; pass++) {
		c = a;
		b = STREAM_SCALAR * c;
		c = a + b;
		a = b + STREAM_SCALAR * c;
	}
	for (size_t i = begin; i < end; i++) {
		ok &= s.a[i] == a && s.b[i] == b && s.c[i] == c;
		*checksum += s.a[i] / a + s.b[i] / b + s.c[i] / c;
	}
	return ok;
}

static inline void stream_report(const struct run *run, const double *best, size_t n,
				 double checksum, bool ok)
{
	static const char *const names[] = { "stream_copy", "stream_scale", "stream_add",
					     "stream_triad" };
	static const unsigned arrays[] = { 2, 2, 3, 3 };

	for (unsigned k = 0; k < STREAM_KERNELS && run->rank == 0; k++)
		run_report(run, &(struct result){ names[k], best[k],
						  1e-6 * (double)(arrays[k] * n * sizeof(double)),
						  checksum, ok });
}

#endif /* STREAM_H */
