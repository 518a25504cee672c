/* SPDX-License-Identifier: MIT */
/*
 * Each rank sorts its updates by the rank that has the word, and everybody sends everybody theirs.
 */
#include "buckets.h"
#include "mpi_form.h"

struct buckets {
	struct gups_size s;
	unsigned size, shift;
	uint64_t *made, *sorted, *received;
	uint32_t *counts;
	uint64_t **to;
	int *send, *recv, *send_at, *recv_at; /* by rank: how many, and from where */
};

static void sort(const struct buckets *b, size_t n)
{
	int at = 0;

	buckets_count(b->made, n, b->counts, b->size, b->s.n - 1, b->shift);
	for (unsigned r = 0; r < b->size; r++) {
		b->send_at[r] = at;
		b->send[r] = (int)b->counts[r];
		b->to[r] = b->sorted + at;
		at += b->send[r];
	}
	buckets_sort(b->made, n, b->to, b->s.n - 1, b->shift);
}

/* Returns how many came. */
static size_t exchange(const struct buckets *b)
{
	size_t n = 0;

	MPI_Alltoall(b->send, 1, MPI_INT, b->recv, 1, MPI_INT, MPI_COMM_WORLD);
	for (unsigned r = 0; r < b->size; r++) {
		b->recv_at[r] = (int)n;
		n += (size_t)b->recv[r];
	}
	MPI_Alltoallv(b->sorted, b->send, b->send_at, MPI_UINT64_T, b->received, b->recv,
		      b->recv_at, MPI_UINT64_T, MPI_COMM_WORLD);
	return n;
}

static void all_updates(const struct buckets *b, uint64_t *table, unsigned rank)
{
	size_t k = part_begin(b->s.updates, rank, b->size), n;
	size_t end = part_begin(b->s.updates, rank + 1, b->size);
	size_t rounds = (b->s.updates / b->size + b->s.bucket - 1) / b->s.bucket;
	uint64_t r = gups_number(k);

	for (; rounds--; k += n) {
		n = end - k < b->s.bucket ? end - k : b->s.bucket;
		r = buckets_make(b->made, n, r);
		sort(b, n);
		buckets_apply(table, ((uint64_t)1 << b->shift) - 1, b->received, exchange(b));
	}
}

static void buckets_init(struct buckets *b, unsigned size)
{
	b->size = size;
	b->shift = buckets_shift(&b->s, size);
	b->made = must_calloc(b->s.bucket, sizeof(*b->made));
	b->sorted = must_calloc(b->s.bucket, sizeof(*b->sorted));
	b->received = must_calloc(b->s.bucket * size, sizeof(*b->received));
	b->counts = must_calloc(size, sizeof(*b->counts));
	b->to = must_calloc(size, sizeof(*b->to));
	b->send = must_calloc(4 * size, sizeof(*b->send));
	b->recv = b->send + size;
	b->send_at = b->recv + size;
	b->recv_at = b->send_at + size;
}

static void buckets_fini(struct buckets *b)
{
	free(b->made);
	free(b->sorted);
	free(b->received);
	free(b->counts);
	free(b->to);
	free(b->send);
}

void gups_buckets_mpi(struct run *run)
{
	struct buckets b = { .s = gups_buckets_size(run->class) };
	size_t each = b.s.n / run->size, begin = run->rank * each, wrong;
	uint64_t *table = must_calloc(each, sizeof(*table));
	double checksum = 0;

	buckets_init(&b, run->size);
	gups_fill(table, begin, begin + each);
	mpi_start(run);
	all_updates(&b, table, run->rank);
	mpi_stop(run);
	wrong = gups_undo(&b.s, table, begin, begin + each, &checksum);
	checksum = mpi_sum(checksum);
	gups_report(run, &b.s, checksum, mpi_sum((double)wrong));
	buckets_fini(&b);
	free(table);
}
