/* SPDX-License-Identifier: MIT */
/* Registry: each test's name, meaning, ranks, target and what its peers were measured to need. */
#include <string.h>

#include "registry.h"
#include "tests.h"

#define NAME_MAX_BYTES 64

static const struct bench_test tests[] = {
	{ "read_miss", "load faults on pages that are Clean at the other rank, which sleeps", 2,
	  "at most 1.3 x the bare userfaultfd round trip of the same handler mode + copy",
	  "ArgoDSM 13.6 us", test_read_miss },
	{ "read_miss_busy_home", "the same while the home computes and never calls the library", 2,
	  "99% under 100 us", "ArgoDSM 3 s", test_read_miss_busy_home },
	{ "acquire_read", "dsm_acquire for reading of a range that is Clean at the other rank", 2,
	  "one page 3 us; 1 MiB at least 80 % of batched UFFDIO_COPY's rate",
	  "raw MPI get of one page 1.0-1.65 us", test_acquire_read },
	{ "write_back", "dsm_release of a range that was written and is homed at the other rank", 2,
	  "1 MiB at least 80 % of the rate of one UFFDIO_WRITEPROTECT and memcpy", "none",
	  test_write_back },
	{ "write_upgrade", "store to a page that is Shared here and homed at the other rank", 2,
	  "10 us", "ArgoDSM 13.9 us", test_write_upgrade },
	{ "ping_pong", "store to a page that is Modified at the other rank, in strict alternation",
	  2, "15 us per hand-over", "peers 21-615 us", test_ping_pong },
	{ "relock", "dsm_lock and dsm_unlock by the rank that had the lock last", 1, "0.2 us",
	  "peers 3 us", test_relock },
	{ "lock_handover", "dsm_lock of a lock that the rank before had last; it goes round", 2,
	  "10 us", "peers 18-350 us", test_lock_handover },
	{ "lock_contended", "dsm_lock of a lock that all ranks want all the time", 2, "none",
	  "none", test_lock_contended },
	{ "barrier", "dsm_barrier with an empty cache, and after much was cached", 2,
	  "3 us, whatever was cached before", "peers 5.6-115 us, 332 ms after a large read",
	  test_barrier },
	{ "fetch_add", "dsm_fetch_add64 on a word of rank 1, alone and from all at once", 2, "1 us",
	  "peers 1.1-167 us", test_fetch_add },
	{ "scan", "sum of a range homed at the other rank by plain loads: cold, and again", 2,
	  "1 GB/s cold; again after a barrier at the speed of private memory",
	  "peers 0.47 GB/s cold; 0.6-1.6 GB/s again", test_scan },
	{ "write_scan", "write a range homed at the other rank, then release it", 2, "none", "none",
	  test_write_scan },
	{ "get", "read 8 bytes to 4 MiB of rank 1's: one range, again, and one after another", 2,
	  "none", "compare with a get of one-sided communication", test_get },
	{ "put", "write 8 bytes to 4 MiB of rank 1's: one range, again, and one after another", 2,
	  "none", "compare with a put of one-sided communication", test_put },
	{ "hit", "loads from pages that are here already", 2, "the speed of private memory", "none",
	  test_hit },
	{ "memory", "memory that the library itself takes for a region", 2,
	  "directory at most 1 % of the region; at a rank that never touched it at most a word a "
	  "page",
	  "none", test_memory },
};

const struct bench_test *registry_tests(size_t *count)
{
	*count = sizeof(tests) / sizeof(tests[0]);
	return tests;
}

const struct bench_test *registry_find(const char *name)
{
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (!strcmp(tests[i].name, name))
			return &tests[i];
	return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Insertions, deletions and changes of one letter that lead from a to b (Levenshtein 1966). */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_BYTES + 1];
	size_t len = strnlen(b, NAME_MAX_BYTES);

	for (unsigned j = 0; j <= len; j++)
		row[j] = j;
	for (unsigned i = 0; a[i]; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < len; j++) {
			unsigned change = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = least(change, least(row[j], row[j + 1]) + 1);
		}
	}
	return row[len];
}

const char *registry_nearest(const char *name)
{
	const char *nearest = tests[0].name;
	unsigned best = distance(nearest, name);

	for (size_t i = 1; i < sizeof(tests) / sizeof(tests[0]); i++) {
		unsigned d = distance(tests[i].name, name);

		if (d < best) {
			best = d;
			nearest = tests[i].name;
		}
	}
	return nearest;
}
