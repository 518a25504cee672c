/* SPDX-License-Identifier: MIT */
/*
 * Floors of plain memory: private, resident, in 4 KiB pages, so that nothing but libdsm's mapping
 * makes a difference. Also the loops that run over either.
 */
#ifndef BENCH_FLOOR_MEMORY_H
#define BENCH_FLOOR_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct bench;

/* Resident private memory with MADV_NOHUGEPAGE; ends the job if there is none. */
uint8_t *floor_memory_alloc(struct bench *b, size_t len_bytes);
void floor_memory_free(uint8_t *memory, size_t len_bytes);

/* Load every 64-bit word in ascending order; their sum. */
uint64_t load_sum(const uint8_t *memory, size_t len_bytes);
/* Load n 64-bit words at random, none depending on another; their sum. */
uint64_t load_gather(const uint8_t *memory, size_t len_bytes, size_t n);

#endif
