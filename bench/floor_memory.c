/* SPDX-License-Identifier: MIT */
/* Floors of plain memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "floor_memory.h"

uint8_t *floor_memory_alloc(struct bench *b, size_t len_bytes)
{
	void *p = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_fail(b, "no memory for %zu bytes of private memory: %s", len_bytes,
			   strerror(errno));
	madvise(p, len_bytes, MADV_NOHUGEPAGE);
	memset(p, 1, len_bytes);
	return p;
}

void floor_memory_free(uint8_t *memory, size_t len_bytes)
{
	munmap(memory, len_bytes);
}

/* Not inlined: the same instructions run over shared and private memory. */
__attribute__((noinline)) uint64_t load_sum(const uint8_t *memory, size_t len_bytes)
{
	const uint64_t *word = (const uint64_t *)memory;
	uint64_t sum = 0;

	for (size_t i = 0; i < len_bytes / sizeof(*word); i++)
		sum += word[i];
	return sum;
}

__attribute__((noinline)) uint64_t load_gather(const uint8_t *memory, size_t len_bytes, size_t n)
{
	const uint64_t *word = (const uint64_t *)memory;
	uint64_t words = len_bytes / sizeof(*word), sum = 0, x = 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		sum += word[(uint64_t)((unsigned __int128)x * words >> 64)];
	}
	return sum;
}
