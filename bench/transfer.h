/* SPDX-License-Identifier: MIT */
/*
 * Transfers of N bytes: what dsm_bench and the peers' programs have in common, so that a line of
 * one may stand beside a line of the other.
 *
 * The memory is the home's, rank 1's. All other ranks read it, or write a part of their own, at
 * once. Latency: ranges one by one, in random order. Rate: pieces one after another, in ascending
 * order, TRANSFER_WINDOW of them under way at a time where the system can have several.
 */
#ifndef BENCH_TRANSFER_H
#define BENCH_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#define TRANSFER_APART      (16ul << 10) /* at least: no stream is to be seen in what is read */
#define TRANSFER_BYTES      (16ul << 20) /* read by all, or written by one rank */
#define TRANSFER_RANGES_MAX 256ul
#define TRANSFER_PIECES_MAX 4096ul
#define TRANSFER_WINDOW     16ul
#define TRANSFER_RANKS_MAX  8u /* more would take more memory than the window has */
#define TRANSFER_BLOCKS     10u

#define TRANSFER_SIZES_MAX 32u

/* What is measured unless the command line has sizes: in bytes, 0 behind the last. */
static const size_t transfer_sizes[TRANSFER_SIZES_MAX + 1] = {
	8, 64, 512, 4ul << 10, 16ul << 10, 64ul << 10, 256ul << 10, 1ul << 20, 4ul << 20,
};

/* From one range's start to the next. */
static inline size_t transfer_stride(size_t bytes)
{
	return bytes < TRANSFER_APART ? TRANSFER_APART : bytes;
}

static inline size_t transfer_ranges(size_t bytes)
{
	size_t n = TRANSFER_BYTES / transfer_stride(bytes);

	return n < TRANSFER_RANGES_MAX ? n : TRANSFER_RANGES_MAX;
}

static inline size_t transfer_pieces(size_t bytes)
{
	size_t n = TRANSFER_BYTES / bytes;

	return n < TRANSFER_PIECES_MAX ? n : TRANSFER_PIECES_MAX;
}

/* 0 .. n - 1 in an order that is random and always the same. */
static inline void transfer_shuffle(uint32_t *order, size_t n)
{
	uint64_t x = 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t j;
		uint32_t swap;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = x % i;
		swap = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swap;
	}
}

#endif
