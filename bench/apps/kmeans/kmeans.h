/* SPDX-License-Identifier: MIT */
/*
 * k-means: points go to the nearest of k centres, centres to the mean of their points, again and
 * again (Lloyd's algorithm). The points are around as many hidden centres.
 */
#ifndef KMEANS_H
#define KMEANS_H

#include "app.h"

#define KMEANS_DIMENSIONS 8
#define KMEANS_CENTRES    16
#define KMEANS_ITERATIONS 20

struct kmeans_point {
	double x[KMEANS_DIMENSIONS];
};

/* What a rank's points add up to. */
struct kmeans_sums {
	struct kmeans_point sum[KMEANS_CENTRES];
	double count[KMEANS_CENTRES];
	double distance; /* of all to their centres, squared */
};

#define KMEANS_DOUBLES (sizeof(struct kmeans_sums) / sizeof(double))

static inline size_t kmeans_size(char class)
{
	return class == 'S' ? 1 << 12 : 1 << 17;
}

/* Points from begin to end - 1; points begins with point begin. */
static inline void kmeans_fill(struct kmeans_point *points, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++) {
		uint64_t hidden = mix64(i) % KMEANS_CENTRES;

		for (unsigned d = 0; d < KMEANS_DIMENSIONS; d++)
			points[i - begin].x[d] = uniform(1000 + hidden * KMEANS_DIMENSIONS + d) +
						 0.3 * uniform((i + 1) * 4096 + d);
	}
}

/* The first centres: the first points. */
static inline void kmeans_begin(struct kmeans_point *centres)
{
	kmeans_fill(centres, 0, KMEANS_CENTRES);
}

static inline void kmeans_assign(const struct kmeans_point *points, size_t n,
				 const struct kmeans_point *centres, struct kmeans_sums *sums)
{
	memset(sums, 0, sizeof(*sums));
	for (size_t i = 0; i < n; i++) {
		double nearest = INFINITY;
		unsigned best = 0;

		for (unsigned c = 0; c < KMEANS_CENTRES; c++) {
			double distance = 0;

			for (unsigned d = 0; d < KMEANS_DIMENSIONS; d++) {
				double delta = points[i].x[d] - centres[c].x[d];

				distance += delta * delta;
			}
			if (distance < nearest) {
				nearest = distance;
				best = c;
			}
		}
		for (unsigned d = 0; d < KMEANS_DIMENSIONS; d++)
			sums->sum[best].x[d] += points[i].x[d];
		sums->count[best]++;
		sums->distance += nearest;
	}
}

static inline void kmeans_add(struct kmeans_sums *total, const struct kmeans_sums *sums)
{
	double *to = total->sum[0].x;
	const double *from = sums->sum[0].x;

	for (size_t i = 0; i < KMEANS_DOUBLES; i++)
		to[i] += from[i];
}

/* A centre without points stays. */
static inline void kmeans_move(struct kmeans_point *centres, const struct kmeans_sums *total)
{
	for (unsigned c = 0; c < KMEANS_CENTRES; c++)
		for (unsigned d = 0; d < KMEANS_DIMENSIONS; d++)
			if (total->count[c] > 0)
				centres[c].x[d] = total->sum[c].x[d] / total->count[c];
}

/* The total distance must never grow, and no point be lost. */
static inline bool kmeans_better(const struct kmeans_sums *total, size_t n, double *distance)
{
	bool better = total->distance <= *distance * (1 + 1e-12);
	double count = 0;

	for (unsigned c = 0; c < KMEANS_CENTRES; c++)
		count += total->count[c];
	*distance = total->distance;
	return better && count == (double)n;
}

static inline void kmeans_report(const struct run *run, size_t n, double distance, bool ok)
{
	if (run->rank == 0)
		run_report(run, &(struct result){ .work = 1e-6 * (double)n * KMEANS_CENTRES *
							  KMEANS_ITERATIONS,
						  .checksum = distance,
						  .ok = ok });
}

#endif /* KMEANS_H */
