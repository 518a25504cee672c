/* SPDX-License-Identifier: MIT */
/*
 * Each rank sorts its keys; samples are gathered; everybody sends everybody their piece.
 */
#include "mpi_form.h"
#include "sort.h"

struct sorting {
	size_t n, own, room;
	unsigned size;
	uint64_t *keys; /* own */
	uint64_t *received, *out[2];
	int *send, *send_at, *recv, *recv_at; /* by rank */
};

static void splitters(const struct sorting *s, uint64_t *splitter)
{
	uint64_t mine[SORT_SAMPLES], samples[s->size * SORT_SAMPLES];

	for (unsigned i = 0; i < SORT_SAMPLES; i++)
		mine[i] = s->keys[sort_sample_at(s->own, i)];
	MPI_Allgather(mine, SORT_SAMPLES, MPI_UINT64_T, samples, SORT_SAMPLES, MPI_UINT64_T,
		      MPI_COMM_WORLD);
	sort_splitters(samples, s->size, splitter);
}

/* Send everybody their piece of the own keys. */
static void exchange(const struct sorting *s, const uint64_t *splitter, struct piece *pieces)
{
	size_t from = 0, sum = 0;

	for (unsigned r = 0; r < s->size; r++) {
		size_t to = s->own;

		if (r + 1 < s->size)
			to = sort_below(s->keys, s->own, splitter[r + 1]);
		s->send_at[r] = (int)from;
		s->send[r] = (int)(to - from);
		from = to;
	}
	MPI_Alltoall(s->send, 1, MPI_INT, s->recv, 1, MPI_INT, MPI_COMM_WORLD);
	for (unsigned r = 0; r < s->size; r++) {
		s->recv_at[r] = (int)sum;
		pieces[r] = (struct piece){ s->received + sum, (size_t)s->recv[r] };
		sum += (size_t)s->recv[r];
	}
	if (sum > s->room)
		die("sort: %zu keys fell to a rank that has room for %zu", sum, s->room);
	MPI_Alltoallv(s->keys, s->send, s->send_at, MPI_UINT64_T, s->received, s->recv, s->recv_at,
		      MPI_UINT64_T, MPI_COMM_WORLD);
}

static struct piece sort_all(const struct sorting *s)
{
	uint64_t splitter[s->size];
	struct piece pieces[s->size];

	sort_keys(s->keys, s->out[0], s->own);
	splitters(s, splitter);
	exchange(s, splitter, pieces);
	return sort_pieces(pieces, s->size, s->out[0], s->out[1]);
}

/* Rank 0 looks at one rank's keys after the other's. */
static void check(const struct run *run, const struct sorting *s, struct piece sorted)
{
	struct sort_check check = { .sorted = true };

	if (run->rank) {
		MPI_Send(sorted.keys, (int)sorted.n, MPI_UINT64_T, 0, 0, MPI_COMM_WORLD);
		return;
	}
	sort_check(&check, sorted.keys, sorted.n);
	for (int r = 1; r < (int)run->size; r++) {
		MPI_Status status;
		int n;

		MPI_Recv(s->received, (int)s->room, MPI_UINT64_T, r, 0, MPI_COMM_WORLD, &status);
		MPI_Get_count(&status, MPI_UINT64_T, &n);
		sort_check(&check, s->received, (size_t)n);
	}
	sort_report(run, s->n, check);
}

/* Touched, as in the other forms. */
static uint64_t *room_for(size_t n)
{
	uint64_t *keys = must_calloc(n, sizeof(*keys));

	memset(keys, 1, n * sizeof(*keys));
	return keys;
}

void sort_mpi(struct run *run)
{
	struct sorting s = { .n = sort_size(run->class), .size = run->size };
	size_t begin = part_begin(s.n, run->rank, run->size);
	struct piece sorted;

	s.own = part_begin(s.n, run->rank + 1, run->size) - begin;
	s.room = sort_room(s.n, run->size);
	s.keys = room_for(s.own);
	s.received = room_for(s.room);
	s.out[0] = room_for(s.room);
	s.out[1] = room_for(s.room);
	s.send = must_calloc(4 * run->size, sizeof(*s.send));
	s.send_at = s.send + run->size;
	s.recv = s.send_at + run->size;
	s.recv_at = s.recv + run->size;
	sort_fill(s.keys, begin, begin + s.own);
	mpi_start(run);
	sorted = sort_all(&s);
	mpi_stop(run);
	check(run, &s, sorted);
	free(s.keys);
	free(s.received);
	free(s.out[0]);
	free(s.out[1]);
	free(s.send);
}
