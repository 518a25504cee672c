/* SPDX-License-Identifier: MIT */
/*
 * Peer: MPI-3 one-sided communication with passive targets, as Open MPI and MPICH have it.
 *
 * The window is open to all for the whole run (MPI_Win_lock_all); an operation is complete after
 * MPI_Win_flush. The lock is MPI's own, exclusive, on a second window.
 */
#include <mpi.h>
#include <string.h>

#include "peer.h"

static int rank, size;
static MPI_Win window, lock_window, shared_window;
static uint8_t *memory;
static uint64_t *shared; /* NULL: not all ranks share memory */

static void share(void)
{
	MPI_Comm host;
	MPI_Aint len;
	int unit, on_host;

	MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
	MPI_Comm_size(host, &on_host);
	if (on_host == size) {
		len = rank ? 0 : PEER_SHARED * sizeof(*shared);
		MPI_Win_allocate_shared(len, 1, MPI_INFO_NULL, host, &shared, &shared_window);
		MPI_Win_shared_query(shared_window, 0, &len, &unit, &shared);
		if (!rank)
			memset(shared, 0, PEER_SHARED * sizeof(*shared));
	}
	MPI_Comm_free(&host);
	MPI_Barrier(MPI_COMM_WORLD);
}

void peer_init(int *argc, char ***argv, size_t window_bytes)
{
	static uint64_t *word;

	MPI_Init(argc, argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Win_allocate((MPI_Aint)window_bytes, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &memory,
			 &window);
	MPI_Win_allocate(sizeof(*word), 1, MPI_INFO_NULL, MPI_COMM_WORLD, &word, &lock_window);
	MPI_Win_lock_all(0, window);
	share();
}

void peer_fini(void)
{
	MPI_Win_unlock_all(window);
	if (shared)
		MPI_Win_free(&shared_window);
	MPI_Win_free(&lock_window);
	MPI_Win_free(&window);
	MPI_Finalize();
}

unsigned peer_rank(void)
{
	return (unsigned)rank;
}

unsigned peer_size(void)
{
	return (unsigned)size;
}

uint8_t *peer_window(void)
{
	return memory;
}

void peer_sync(void)
{
	MPI_Win_sync(window);
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_Win_sync(window);
}

void peer_progress(void)
{
	int flag;

	MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
}

void peer_barrier(void)
{
	MPI_Barrier(MPI_COMM_WORLD);
}

void peer_get(void *to, size_t offset, size_t len_bytes)
{
	MPI_Get(to, (int)len_bytes, MPI_BYTE, PEER_HOME, (MPI_Aint)offset, (int)len_bytes, MPI_BYTE,
		window);
}

void peer_put(const void *from, size_t offset, size_t len_bytes)
{
	MPI_Put(from, (int)len_bytes, MPI_BYTE, PEER_HOME, (MPI_Aint)offset, (int)len_bytes,
		MPI_BYTE, window);
}

void peer_complete(void)
{
	MPI_Win_flush(PEER_HOME, window);
}

uint64_t peer_fetch_add(size_t offset)
{
	static const uint64_t one = 1;
	uint64_t old;

	MPI_Fetch_and_op(&one, &old, MPI_UINT64_T, PEER_HOME, (MPI_Aint)offset, MPI_SUM, window);
	MPI_Win_flush(PEER_HOME, window);
	return old;
}

void peer_lock(void)
{
	MPI_Win_lock(MPI_LOCK_EXCLUSIVE, PEER_HOME, 0, lock_window);
}

void peer_unlock(void)
{
	MPI_Win_unlock(PEER_HOME, lock_window);
}

uint64_t *peer_shared(void)
{
	return shared;
}
