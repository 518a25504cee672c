/* SPDX-License-Identifier: MIT */
/*
 * What the tests share: regions in a known state, random orders, the partner that computes.
 *
 * A failure ends the process with a message; the launcher ends the others. Nothing is measured
 * after a failure, so there is nothing to clean up.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "transfer.h"

/* What a pass over ranges of one length goes over. */
#define PASS_BYTES      (32ul << 20)
#define PASS_RANGES_MAX 256ul

#define PUBLISH_BYTES (16ul << 20) /* acquired at a time */

void bench_fail(const struct bench *b, const char *fmt, ...)
{
	char what[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	fflush(stdout);
	fprintf(stderr, "dsm_bench[%u]: %s%s%s\n", b->rank, what, *dsm_errmsg() ? ": " : "",
		dsm_errmsg());
	exit(EXIT_FAILURE);
}

void bench_barrier(struct bench *b)
{
	int ret = dsm_barrier(b->dsm);

	if (ret)
		bench_fail(b, "dsm_barrier: %s", strerror(-ret));
}

size_t bench_iterations(const struct bench *b, size_t fallback)
{
	return b->options->iterations ? b->options->iterations : fallback;
}

size_t bench_share(const struct bench *b, size_t whole)
{
	size_t n = whole * b->options->blocks / OPTIONS_BLOCKS;

	return n ? n : 1;
}

size_t bench_ranges(size_t range_bytes)
{
	size_t n = PASS_BYTES / range_bytes;

	if (n > PASS_RANGES_MAX)
		n = PASS_RANGES_MAX;
	return n ? n : 1;
}

size_t bench_block_iterations(const struct bench *b, size_t fallback)
{
	size_t n = fallback / OPTIONS_BLOCKS;

	if (b->options->iterations)
		n = b->options->iterations / b->options->blocks;
	return n ? n : 1;
}

size_t bench_bytes(const struct bench *b, size_t fallback)
{
	size_t bytes = b->options->nbytes ? b->options->bytes[0] : fallback;

	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

uint8_t *bench_alloc(struct bench *b, size_t len_bytes, unsigned home,
		     enum dsm_release_policy release)
{
	char name[32];
	struct dsm_attr attr = {
		.name = name,
		.home = DSM_HOME_RANK,
		.home_rank = home,
		.release = release,
	};
	void *addr;

	snprintf(name, sizeof(name), "dsm_bench.%u", b->regions++);
	addr = dsm_alloc(b->dsm, len_bytes, &attr);
	if (!addr)
		bench_fail(b, "dsm_alloc of %zu bytes: %s", len_bytes, strerror(errno));
	return addr;
}

void bench_free(struct bench *b, void *addr)
{
	int ret;

	bench_barrier(b);
	ret = dsm_free(b->dsm, addr);
	if (ret)
		bench_fail(b, "dsm_free: %s", strerror(-ret));
	bench_barrier(b);
}

void bench_acquire(struct bench *b, const void *addr, size_t len_bytes, enum dsm_mode mode)
{
	int ret = dsm_acquire(b->dsm, addr, len_bytes, mode);

	if (ret)
		bench_fail(b, "dsm_acquire of %zu bytes: %s", len_bytes, strerror(-ret));
}

void bench_read(struct bench *b, void *to, const void *from, size_t len_bytes)
{
	int ret = dsm_read(b->dsm, to, from, len_bytes);

	if (ret)
		bench_fail(b, "dsm_read of %zu bytes: %s", len_bytes, strerror(-ret));
}

void bench_release(struct bench *b, const void *addr, size_t len_bytes)
{
	int ret = dsm_release(b->dsm, addr, len_bytes);

	if (ret)
		bench_fail(b, "dsm_release of %zu bytes: %s", len_bytes, strerror(-ret));
}

static void publish_part(struct bench *b, uint8_t *addr, size_t start, size_t len_bytes,
			 uint64_t generation)
{
	bench_acquire(b, addr + start, len_bytes, DSM_WRITE);
	for (size_t at = start; at < start + len_bytes; at += PAGE_BYTES)
		*(volatile uint64_t *)(addr + at) = bench_word(at / PAGE_BYTES, generation);
	bench_release(b, addr + start, len_bytes);
}

void bench_publish(struct bench *b, uint8_t *addr, size_t len_bytes, unsigned home,
		   uint64_t generation)
{
	bench_barrier(b); /* nobody still reads the generation before */
	if (b->rank == home) {
		for (size_t at = 0; at < len_bytes; at += PUBLISH_BYTES) {
			size_t part = len_bytes - at;

			publish_part(b, addr, at, part < PUBLISH_BYTES ? part : PUBLISH_BYTES,
				     generation);
		}
	}
	bench_barrier(b);
}

uint32_t *bench_permutation(struct bench *b, size_t n)
{
	uint32_t *order = malloc(n * sizeof(*order));

	if (!order)
		bench_fail(b, "no memory for an order of %zu pages", n);
	transfer_shuffle(order, n);
	return order;
}

void bench_compute(struct bench *b)
{
	uint32_t stop = ++b->stops;
	volatile uint64_t result;
	uint64_t x = 1;

	if (b->rank != 1)
		return;
	/* pairs with the release in bench_stop_partner() */
	while (__atomic_load_n(&b->side->stop, __ATOMIC_ACQUIRE) != stop)
		for (int i = 0; i < 1000; i++)
			x = x * 6364136223846793005u + 1442695040888963407u;
	result = x; /* so that the loop is not optimised away */
	(void)result;
}

void bench_stop_partner(struct bench *b)
{
	__atomic_store_n(&b->side->stop, b->stops, __ATOMIC_RELEASE);
}
