/* SPDX-License-Identifier: MIT */
/* Samples: order statistics of measured times. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"

void samples_add(struct samples *s, double us)
{
	if (s->n == s->max) {
		s->max = s->max ? 2 * s->max : 4096;
		s->us = realloc(s->us, s->max * sizeof(*s->us));
		if (!s->us) {
			fprintf(stderr, "dsm_bench: no memory for %zu samples\n", s->max);
			exit(EXIT_FAILURE);
		}
	}
	s->us[s->n++] = us;
}

void samples_clear(struct samples *s)
{
	s->n = 0;
}

void samples_free(struct samples *s)
{
	free(s->us);
	memset(s, 0, sizeof(*s));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The smallest sample that at least share of all do not exceed. */
static double percentile(const struct samples *s, double share)
{
	size_t rank = (size_t)ceil(share * (double)s->n);

	return s->us[rank ? rank - 1 : 0];
}

void samples_summarize(struct samples *s, struct summary *summary)
{
	double sum = 0, squares = 0;

	memset(summary, 0, sizeof(*summary));
	if (!s->n)
		return;
	qsort(s->us, s->n, sizeof(*s->us), compare);
	for (size_t i = 0; i < s->n; i++)
		sum += s->us[i];
	summary->n = s->n;
	summary->mean_us = sum / (double)s->n;
	for (size_t i = 0; i < s->n; i++)
		squares += (s->us[i] - summary->mean_us) * (s->us[i] - summary->mean_us);
	summary->stdev_us = sqrt(squares / (double)s->n);
	summary->min_us = s->us[0];
	summary->max_us = s->us[s->n - 1];
	summary->median_us = percentile(s, 0.5);
	summary->p99_us = percentile(s, 0.99);
	summary->p999_us = percentile(s, 0.999);
}
