/* SPDX-License-Identifier: MIT */
/*
 * Each rank computes a slab of rows that lives in its own memory. Rows of other ranks are read
 * where they are. Between the steps: a barrier.
 */
#include "heat.h"
#include "team.h"

struct plate {
	size_t n, each; /* rows a rank */
	size_t pitch; /* bytes from a slab to the next */
	char *cells[2];
};

static double *row(const struct plate *p, unsigned which, size_t i)
{
	return (double *)(p->cells[which] + i / p->each * p->pitch) + i % p->each * p->n;
}

/* Rows first to last - 1 of one step. */
static void step(const struct team *t, const struct plate *p, unsigned old, size_t first,
		 size_t last)
{
	size_t bytes = p->n * sizeof(double);

	/* Not needed for the result: the rows that others wrote or read, in one go each. */
	team_fetch(t, row(p, old, first - 1), bytes);
	team_fetch(t, row(p, old, last), bytes);
	team_write_begin(t, row(p, !old, first), bytes);
	team_write_begin(t, row(p, !old, last - 1), bytes);

	for (size_t i = first; i < last; i++)
		heat_row(row(p, !old, i), row(p, old, i - 1), row(p, old, i), row(p, old, i + 1),
			 p->n);

	team_write_end(t, row(p, !old, first), bytes);
	team_write_end(t, row(p, !old, last - 1), bytes);
}

void heat_dsm(struct run *run, struct team *t)
{
	struct heat_size s = heat_size(run->class);
	struct plate p = { .n = s.n, .each = (s.n + t->size - 1) / t->size };
	size_t first = t->rank * p.each, last = first + p.each < s.n ? first + p.each : s.n;
	double checksum = 0;
	bool ok = true;

	for (unsigned i = 0; i < 2; i++) {
		p.cells[i] = team_share_parts(t, p.each * s.n * sizeof(double),
					      s.n * sizeof(double), &p.pitch);
		for (size_t j = first; j < last; j++)
			memset(row(&p, i, j), 0, s.n * sizeof(double));
		if (first == 0)
			heat_edge(row(&p, i, 0), s.n);
	}
	first += first == 0; /* the edges stay */
	last -= last == s.n;
	dsm_start(run, t);
	for (unsigned i = 0; i < s.steps; i++) {
		step(t, &p, i % 2, first, last);
		TRY(dsm_barrier(t->dsm));
	}
	dsm_stop(run, t);
	for (size_t i = 0; i < s.n && t->rank == 0; i++)
		ok &= heat_check_row(row(&p, s.steps % 2, i), s.n, &checksum);
	heat_report(run, s, checksum, ok);
}
