/* SPDX-License-Identifier: MIT */
/*
 * Each rank has a part of the stripes in its window, and any rank gets and puts slots there. A
 * window has one lock a rank.
 */
#include "hash.h"
#include "mpi_form.h"

/* @at: the stripe in the owner's window, in bytes */
static void count_key(MPI_Win window, int owner, MPI_Aint at, uint64_t key)
{
	size_t i = hash_slot(key);
	struct slot slot;

	MPI_Win_lock(MPI_LOCK_EXCLUSIVE, owner, 0, window);
	for (;; i = (i + 1) % HASH_SLOTS) {
		MPI_Get(&slot, 2, MPI_UINT64_T, owner, at + (MPI_Aint)(i * sizeof(slot)), 2,
			MPI_UINT64_T, window);
		MPI_Win_flush(owner, window);
		if (!slot.key || slot.key == key)
			break;
	}
	slot.key = key;
	slot.count++;
	MPI_Put(&slot, 2, MPI_UINT64_T, owner, at + (MPI_Aint)(i * sizeof(slot)), 2, MPI_UINT64_T,
		window);
	MPI_Win_unlock(owner, window);
}

static void count_keys(struct run *run, struct hash_size s)
{
	size_t each = (s.stripes + run->size - 1) / run->size;
	size_t end = part_begin(s.operations, run->rank + 1, run->size);
	double counts = 0, checksum = 0;
	struct stripe *stripes;
	MPI_Win window;

	MPI_Win_allocate((MPI_Aint)(each * sizeof(*stripes)), 1, MPI_INFO_NULL, MPI_COMM_WORLD,
			 &stripes, &window);
	memset(stripes, 0, each * sizeof(*stripes));
	mpi_start(run);
	for (size_t i = part_begin(s.operations, run->rank, run->size); i < end; i++) {
		uint64_t key = hash_key(&s, i);
		size_t stripe = hash_stripe(key);

		count_key(window, (int)(stripe / each),
			  (MPI_Aint)(stripe % each * sizeof(*stripes)), key);
	}
	mpi_stop(run);
	MPI_Win_lock(MPI_LOCK_SHARED, (int)run->rank, 0, window);
	hash_check(stripes, each, &counts, &checksum);
	MPI_Win_unlock((int)run->rank, window);
	counts = mpi_sum(counts);
	checksum = mpi_sum(checksum);
	hash_report(run, &s, counts, checksum);
	MPI_Win_free(&window);
}

void hash_mpi(struct run *run)
{
	count_keys(run, hash_size(run->class, false));
}

void hash_local_mpi(struct run *run)
{
	count_keys(run, hash_size(run->class, true));
}
