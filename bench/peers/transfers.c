/* SPDX-License-Identifier: MIT */
/*
 * Peers: get and put of N bytes, one at a time and as a stream; see ../transfer.h.
 *
 * Data goes from and to private memory at the offset that it has in the window, so that as much
 * memory is touched as where pages are cached. What arrived is compared, outside of the times.
 */
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "peer.h"

struct transfer {
	const struct measure *m;
	size_t bytes; /* of one */
	uint32_t *order;
	unsigned char value; /* of every byte that is written in this block */
	struct samples latency, stream;
};

static size_t part_of(unsigned rank)
{
	return (size_t)(rank > PEER_HOME ? rank - 1 : rank) * TRANSFER_BYTES;
}

static void get(const struct transfer *t, size_t at)
{
	peer_get(t->m->private + at, at, t->bytes);
}

static void put(const struct transfer *t, size_t at)
{
	peer_put(t->m->private + at, part_of(peer_rank()) + at, t->bytes);
}

typedef void operation(const struct transfer *t, size_t at);

static void run_latency(struct transfer *t, operation *op)
{
	for (size_t i = 0; i < transfer_ranges(t->bytes); i++) {
		size_t at = t->order[i] * transfer_stride(t->bytes);
		uint64_t start_ns = now_ns();

		op(t, at);
		peer_complete();
		samples_add(&t->latency, us_since(start_ns));
	}
}

static void run_stream(struct transfer *t, operation *op)
{
	for (size_t i = 0; i < transfer_pieces(t->bytes); i++) {
		op(t, i * t->bytes);
		if (i % TRANSFER_WINDOW == TRANSFER_WINDOW - 1)
			peer_complete();
	}
	peer_complete();
}

/* Every rank but the home, at once; the stream is timed until the last of them is through. */
static void run_block(struct transfer *t, operation *op)
{
	uint64_t start_ns;

	peer_sync();
	if (peer_rank() != PEER_HOME)
		run_latency(t, op);
	peer_sync();
	start_ns = now_ns();
	if (peer_rank() != PEER_HOME)
		run_stream(t, op);
	peer_barrier();
	samples_add(&t->stream, us_since(start_ns));
	peer_sync();
}

static void check(const struct transfer *t, const uint8_t *memory, size_t at)
{
	const uint8_t *p = memory + at;

	if (p[0] != t->value || p[t->bytes - 1] != t->value)
		measure_fail(t->m, "bytes %zu to %zu are %u ... %u, not %u", at, at + t->bytes - 1,
			     p[0], p[t->bytes - 1], t->value);
}

static void check_all(const struct transfer *t, const uint8_t *memory)
{
	for (size_t i = 0; i < transfer_ranges(t->bytes); i++)
		check(t, memory, i * transfer_stride(t->bytes));
	for (size_t i = 0; i < transfer_pieces(t->bytes); i++)
		check(t, memory, i * t->bytes);
}

static void run_gets(struct transfer *t)
{
	t->value++;
	if (peer_rank() == PEER_HOME)
		memset(peer_window(), t->value, TRANSFER_BYTES);
	run_block(t, get);
	if (peer_rank() != PEER_HOME)
		check_all(t, t->m->private);
}

static void run_puts(struct transfer *t)
{
	t->value++;
	memset(t->m->private, t->value, TRANSFER_BYTES);
	run_block(t, put);
	for (unsigned rank = 0; peer_rank() == PEER_HOME && rank < peer_size(); rank++)
		if (rank != PEER_HOME)
			check_all(t, peer_window() + part_of(rank));
}

static void run_blocks(struct transfer *t, void run(struct transfer *t))
{
	for (unsigned block = 0; block <= t->m->blocks; block++) {
		run(t);
		if (block)
			continue;
		samples_clear(&t->latency); /* the warm-up */
		samples_clear(&t->stream);
	}
}

static void report(struct transfer *t, const char *latency, const char *stream)
{
	size_t moved = transfer_pieces(t->bytes) * t->bytes * (peer_size() - 1);

	measure_report(t->m, latency, t->bytes, &t->latency);
	measure_report_rate(t->m, stream, t->bytes, moved, &t->stream);
}

void measure_transfers(const struct measure *m)
{
	struct transfer t = { .m = m };

	t.order = malloc(TRANSFER_RANGES_MAX * sizeof(*t.order));
	if (!t.order)
		measure_fail(m, "no memory");
	for (const size_t *size = m->sizes; *size && measure_goes_on(m); size++) {
		t.bytes = *size;
		transfer_shuffle(t.order, transfer_ranges(t.bytes));
		run_blocks(&t, run_gets);
		report(&t, "get", "get_stream");
		run_blocks(&t, run_puts);
		report(&t, "put", "put_stream");
	}
	samples_free(&t.latency);
	samples_free(&t.stream);
	free(t.order);
}
