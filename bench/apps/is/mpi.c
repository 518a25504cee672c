/* SPDX-License-Identifier: MIT */
/*
 * Each rank counts its keys; the counts are added up and scattered by parts of the range of values.
 */
#include "is.h"
#include "mpi_form.h"

struct ranking {
	struct is_size s;
	size_t begin, end; /* own keys */
	uint32_t from, to; /* own values */
	uint32_t *keys, tests[IS_TESTS];
	uint32_t *counts; /* of own keys */
	uint32_t *upto; /* of own values */
	int *parts, *displs; /* by rank: its values */
};

static unsigned rank_keys(const struct ranking *r, unsigned iteration)
{
	uint32_t n = r->to - r->from, sum = 0, below = 0;
	int rank;

	is_change(&r->s, r->keys, r->begin, r->end, iteration);
	memset(r->counts, 0, r->s.range * sizeof(*r->counts));
	is_count(r->counts, r->keys, r->end - r->begin);
	MPI_Reduce_scatter(r->counts, r->upto, r->parts, MPI_UINT32_T, MPI_SUM, MPI_COMM_WORLD);
	for (uint32_t k = 0; k < n; k++)
		sum += r->upto[k];
	MPI_Exscan(&sum, &below, 1, MPI_UINT32_T, MPI_SUM, MPI_COMM_WORLD);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	is_accumulate(r->upto, n, rank ? below : 0); /* rank 0's is not defined */
	return is_check(&r->s, r->tests, r->upto, r->from, r->to, iteration);
}

static void ranking_init(struct ranking *r, const struct run *run)
{
	r->begin = part_begin(r->s.n, run->rank, run->size);
	r->end = part_begin(r->s.n, run->rank + 1, run->size);
	r->from = (uint32_t)part_begin(r->s.range, run->rank, run->size);
	r->to = (uint32_t)part_begin(r->s.range, run->rank + 1, run->size);
	r->keys = must_calloc(r->end - r->begin, sizeof(*r->keys));
	r->counts = must_calloc(r->s.range, sizeof(*r->counts));
	r->upto = must_calloc(r->to - r->from, sizeof(*r->upto));
	r->parts = must_calloc(run->size, sizeof(*r->parts));
	r->displs = must_calloc(run->size, sizeof(*r->displs));
	for (unsigned q = 0; q < run->size; q++) {
		r->displs[q] = (int)part_begin(r->s.range, q, run->size);
		r->parts[q] = (int)part_begin(r->s.range, q + 1, run->size) - r->displs[q];
	}
	is_fill(&r->s, r->keys, r->begin, r->end);
	is_tests(&r->s, r->tests);
}

static void ranking_fini(struct ranking *r)
{
	free(r->keys);
	free(r->counts);
	free(r->upto);
	free(r->parts);
	free(r->displs);
}

void is_mpi(struct run *run)
{
	struct ranking r = { .s = is_size(run->class) };
	uint32_t *all = run->rank ? NULL : must_calloc(r.s.range, sizeof(*all));
	double passed = 0;

	ranking_init(&r, run);
	rank_keys(&r, 1);
	mpi_start(run);
	for (unsigned i = 1; i <= IS_ITERATIONS; i++)
		passed += rank_keys(&r, i);
	mpi_stop(run);
	passed = mpi_sum(passed);
	MPI_Gatherv(r.upto, (int)(r.to - r.from), MPI_UINT32_T, all, r.parts, r.displs,
		    MPI_UINT32_T, 0, MPI_COMM_WORLD);
	if (run->rank == 0)
		is_report(run, &r.s, all, passed);
	ranking_fini(&r);
	free(all);
}
