/* SPDX-License-Identifier: MIT */
/*
 * Transfers of N bytes, to stand beside the get and put of one-sided communication (transfer.h).
 *
 * The pages are cold: their home, rank 1, has written them and has them Clean. All other ranks read
 * the same pages, or write pages of their own, at once, in each of these ways: by dsm_acquire() and
 * dsm_release() of the range, with a memcpy between them where something is to be written; or by
 * the memcpy alone, that is by plain loads and stores. A third way to read is dsm_read(), which
 * keeps nothing here, as a get does. What is read arrives in memory of the rank's own in each way.
 * "again" is the same range once more, when nobody has written it: here the way that has no call is
 * the one to take.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "floor_fault.h"
#include "floor_memory.h"
#include "tests.h"
#include "transfer.h"

enum way { CALLS, PLAIN, LOOK, WAYS };

struct transfer {
	size_t bytes; /* of one */
	uint32_t *order;
	uint8_t *region;
	uint8_t *part; /* of the region: what this rank transfers */
	uint8_t *private, *other; /* TRANSFER_BYTES each */
	uint64_t generation;
	unsigned char value; /* of every byte that is written in this block */
	struct floor_fault *fill; /* gets, rank 0 */
	struct samples latency[WAYS], stream[WAYS], again, copy, filled, copies;
};

typedef void operation(struct bench *b, struct transfer *t, size_t at);

static void get_by_calls(struct bench *b, struct transfer *t, size_t at)
{
	bench_acquire(b, t->part + at, t->bytes, DSM_READ);
	bench_release(b, t->part + at, t->bytes);
}

static void get_by_loads(struct bench *b, struct transfer *t, size_t at)
{
	(void)b;
	memcpy(t->private + at, t->part + at, t->bytes);
}

static void get_by_look(struct bench *b, struct transfer *t, size_t at)
{
	bench_read(b, t->private + at, t->part + at, t->bytes);
}

static void put_by_calls(struct bench *b, struct transfer *t, size_t at)
{
	bench_acquire(b, t->part + at, t->bytes, DSM_WRITE);
	memcpy(t->part + at, t->private + at, t->bytes);
	bench_release(b, t->part + at, t->bytes);
}

static void put_by_stores(struct bench *b, struct transfer *t, size_t at)
{
	(void)b;
	memcpy(t->part + at, t->private + at, t->bytes);
}

static void copy_private(struct bench *b, struct transfer *t, size_t at)
{
	(void)b;
	memcpy(t->other + at, t->private + at, t->bytes);
}

static void fill(struct bench *b, struct transfer *t, size_t at)
{
	const size_t mask = PAGE_BYTES - 1;

	(void)b;
	floor_fault_fill(t->fill, FLOOR_MISSING, at, (t->bytes + mask) & ~mask);
}

static void time_each(struct bench *b, struct transfer *t, operation *op, struct samples *s)
{
	for (size_t i = 0; i < transfer_ranges(t->bytes); i++) {
		size_t at = t->order[i] * transfer_stride(t->bytes);
		uint64_t start_ns = bench_now_ns();

		op(b, t, at);
		samples_add(s, bench_us_since(start_ns));
	}
}

/* All ranks together: timed until the last of them is through. */
static void time_stream(struct bench *b, struct transfer *t, operation *op, struct samples *s)
{
	uint64_t start_ns;

	bench_barrier(b);
	start_ns = bench_now_ns();
	for (size_t i = 0; b->rank != 1 && i < transfer_pieces(t->bytes); i++)
		op(b, t, i * t->bytes);
	bench_barrier(b);
	samples_add(s, bench_us_since(start_ns));
}

/* How far ranges, or pieces, reach: what is read or written, in whole pages. */
static size_t span(const struct transfer *t)
{
	size_t ranges = transfer_ranges(t->bytes) * transfer_stride(t->bytes);
	size_t pieces = transfer_pieces(t->bytes) * t->bytes;

	return ranges > pieces ? ranges : pieces;
}

/* Rank 1 has no part; the others have them in order. */
static size_t part_of(unsigned rank)
{
	return (size_t)(rank > 1 ? rank - 1 : rank) * TRANSFER_BYTES;
}

/* The floors of a range, at rank 0 while the others wait. */
static void run_floors(struct bench *b, struct transfer *t)
{
	uint64_t start_ns;

	if (b->rank)
		return;
	time_each(b, t, copy_private, &t->copy);
	start_ns = bench_now_ns();
	for (size_t i = 0; i < transfer_pieces(t->bytes); i++)
		copy_private(b, t, i * t->bytes);
	samples_add(&t->copies, bench_us_since(start_ns));
	if (!t->fill)
		return;
	floor_fault_prepare(t->fill, FLOOR_MISSING);
	time_each(b, t, fill, &t->filled);
}

/*
 * get
 */

static void publish(struct bench *b, struct transfer *t)
{
	bench_publish(b, t->region, span(t), 1, ++t->generation);
}

/* The first word of each page that a range begins in, in the region or in a copy of it. */
static void check_read(struct bench *b, struct transfer *t, const uint8_t *from)
{
	for (size_t i = 0; i < transfer_ranges(t->bytes); i++) {
		size_t at = i * transfer_stride(t->bytes);
		uint64_t want = bench_word(at / PAGE_BYTES, t->generation);
		uint64_t got = *(const volatile uint64_t *)(from + at);

		if (got != want)
			bench_fail(b, "page %zu holds %#llx, its home wrote %#llx", at / PAGE_BYTES,
				   (unsigned long long)got, (unsigned long long)want);
	}
}

static void run_gets(struct bench *b, struct transfer *t)
{
	static operation *const ways[WAYS] = { get_by_calls, get_by_loads, get_by_look };

	for (enum way way = 0; way < WAYS; way++) {
		publish(b, t);
		if (b->rank != 1)
			time_each(b, t, ways[way], &t->latency[way]);
		if (b->rank != 1 && way == PLAIN)
			time_each(b, t, get_by_loads, &t->again);
		check_read(b, t, way == LOOK && b->rank != 1 ? t->private : t->region);
		publish(b, t);
		time_stream(b, t, ways[way], &t->stream[way]);
		check_read(b, t, t->region);
	}
}

/*
 * put
 */

static void clean(struct bench *b, struct transfer *t)
{
	t->generation++;
	for (unsigned rank = 0; rank < b->size; rank++)
		if (rank != 1)
			bench_publish(b, t->region + part_of(rank), span(t), 1, t->generation);
}

/* The home must see what the others have written last. */
static void check_part(struct bench *b, const struct transfer *t, const uint8_t *part, bool stream)
{
	size_t n = stream ? transfer_pieces(t->bytes) : transfer_ranges(t->bytes);
	size_t stride = stream ? t->bytes : transfer_stride(t->bytes);

	for (size_t at = 0; at < n * stride; at += stride) {
		const volatile uint8_t *p = part + at;

		if (p[0] != t->value || p[t->bytes - 1] != t->value)
			bench_fail(b, "bytes %zu to %zu are %u ... %u, not %u", at,
				   at + t->bytes - 1, p[0], p[t->bytes - 1], t->value);
	}
}

static void check_written(struct bench *b, const struct transfer *t, bool stream)
{
	bench_barrier(b);
	for (unsigned rank = 0; b->rank == 1 && rank < b->size; rank++)
		if (rank != 1)
			check_part(b, t, t->region + part_of(rank), stream);
	bench_barrier(b);
}

static void run_puts(struct bench *b, struct transfer *t)
{
	static operation *const ways[] = { put_by_calls, put_by_stores };

	for (enum way way = 0; way <= PLAIN; way++) {
		memset(t->private, ++t->value, TRANSFER_BYTES);
		clean(b, t);
		if (b->rank != 1)
			time_each(b, t, ways[way], &t->latency[way]);
		if (b->rank != 1 && way == PLAIN)
			time_each(b, t, put_by_stores, &t->again);
		check_written(b, t, false);
		clean(b, t);
		time_stream(b, t, ways[way], &t->stream[way]);
		check_written(b, t, true);
	}
}

/*
 * Both
 */

struct kind {
	const char *name, *stream, *again; /* in csv */
	enum way nways;
	const char *label[WAYS], *stream_label[WAYS], *again_label;
	const char *variant[WAYS]; /* in csv */
	void (*run)(struct bench *b, struct transfer *t);
	bool parts; /* each rank has a part of its own */
	bool filled; /* the floor is also a page that is filled */
};

static const struct kind gets = {
	.name = "get",
	.stream = "get_stream",
	.again = "get_again",
	.nways = WAYS,
	.label = { "dsm_acquire(READ) and dsm_release", "plain loads", "dsm_read" },
	.stream_label = { "one after another, dsm_acquire(READ) and dsm_release",
			  "one after another, plain loads", "one after another, dsm_read" },
	.again_label = "plain loads again",
	.variant = { NULL, "loads", "read" },
	.run = run_gets,
	.filled = true,
};

static const struct kind puts_ = {
	.name = "put",
	.stream = "put_stream",
	.again = "put_again",
	.nways = PLAIN + 1,
	.label = { "dsm_acquire(WRITE), memcpy, dsm_release(write through)", "plain stores" },
	.stream_label = { "one after another, dsm_acquire(WRITE), memcpy, dsm_release",
			  "one after another, plain stores" },
	.again_label = "plain stores again",
	.variant = { NULL, "stores" },
	.run = run_puts,
	.parts = true,
};

static void clear(struct transfer *t)
{
	for (enum way way = 0; way < WAYS; way++) {
		samples_clear(&t->latency[way]);
		samples_clear(&t->stream[way]);
	}
	samples_clear(&t->again);
	samples_clear(&t->copy);
	samples_clear(&t->filled);
	samples_clear(&t->copies);
}

static void add_result(struct bench *b, const char *key, const char *label, const char *variant,
		       size_t bytes, struct samples *s, const struct row *floor)
{
	struct row *row = report_result(b->report, label, bytes, s);

	row->key = key;
	row->variant = variant;
	row->floor = floor;
}

/* A stream's time, of so many pieces by so many ranks, is reported as that of one piece. */
static void divide(struct samples *s, double pieces)
{
	for (size_t i = 0; i < s->n; i++)
		s->us[i] /= pieces;
}

static void add_streams(struct bench *b, struct transfer *t, const struct kind *k)
{
	double pieces = (double)transfer_pieces(t->bytes);
	struct row *floor, *row;

	divide(&t->copies, pieces);
	floor = report_floor(b->report, "one after another, memcpy between private memory",
			     t->bytes, &t->copies);
	floor->key = k->stream;
	floor->variant = "memcpy";
	floor->has_rate = true;
	for (enum way way = 0; way < k->nways; way++) {
		divide(&t->stream[way], pieces * (b->size - 1));
		row = report_result(b->report, k->stream_label[way], t->bytes, &t->stream[way]);
		row->key = k->stream;
		row->variant = k->variant[way];
		row->has_rate = true;
		row->floor = floor;
	}
}

static void report(struct bench *b, struct transfer *t, const struct kind *k)
{
	struct row *copy =
		report_floor(b->report, "memcpy between private memory", t->bytes, &t->copy);

	copy->key = k->name;
	copy->variant = "memcpy";
	if (k->filled) {
		struct row *row = report_floor(b->report, "one UFFDIO_COPY(WP) of the range",
					       t->bytes, &t->filled);

		row->key = k->name;
		row->variant = "UFFDIO_COPY";
	}
	for (enum way way = 0; way < k->nways; way++)
		add_result(b, k->name, k->label[way], k->variant[way], t->bytes, &t->latency[way],
			   copy);
	add_result(b, k->again, k->again_label, k->variant[PLAIN], t->bytes, &t->again, copy);
	add_streams(b, t, k);
}

static void run_size(struct bench *b, struct transfer *t, const struct kind *k)
{
	transfer_shuffle(t->order, transfer_ranges(t->bytes));
	for (unsigned block = 0; block <= bench_share(b, TRANSFER_BLOCKS); block++) {
		run_floors(b, t);
		k->run(b, t);
		if (!block)
			clear(t); /* the warm-up */
	}
	report(b, t, k);
}

static void run_kind(struct bench *b, const struct kind *k)
{
	struct transfer t = { .bytes = 0 };
	size_t parts = k->parts ? b->size - 1 : 1;

	if (b->size > TRANSFER_RANKS_MAX) {
		b->report->skipped = "takes at most 8 ranks";
		return;
	}
	t.order = bench_permutation(b, TRANSFER_RANGES_MAX);
	t.region = bench_alloc(b, parts * TRANSFER_BYTES, 1, DSM_RELEASE_WRITE_THROUGH);
	t.part = t.region + (k->parts && b->rank != 1 ? part_of(b->rank) : 0);
	t.private = floor_memory_alloc(b, TRANSFER_BYTES);
	t.other = floor_memory_alloc(b, TRANSFER_BYTES);
	if (k->filled && !b->rank)
		t.fill = floor_fault_create(b, FLOOR_MEMFD, FLOOR_SLEEPS, TRANSFER_BYTES);
	for (const size_t *size = b->options->sizes; *size; size++) {
		t.bytes = *size;
		run_size(b, &t, k);
	}
	floor_fault_destroy(t.fill);
	floor_memory_free(t.private, TRANSFER_BYTES);
	floor_memory_free(t.other, TRANSFER_BYTES);
	bench_free(b, t.region);
	free(t.order);
}

void test_get(struct bench *b)
{
	run_kind(b, &gets);
}

void test_put(struct bench *b)
{
	run_kind(b, &puts_);
}
