/* SPDX-License-Identifier: MIT */
/* Fault floors: sets of floor_fault by state and handler mode. */
#include <string.h>

#include "bench.h"
#include "fault_floors.h"

#define SLEEPS "handler sleeps in poll()"
#define SPINS  "handler spins"

/* By state and by whether the handler spins; those of missing pages also by access and memory. */
static const char *label_of(enum floor_state state, enum floor_memory memory, bool spin, bool write)
{
	if (state == FLOOR_PROTECTED)
		return spin ? "userfaultfd write-protect fault, memfd, " SPINS
			    : "userfaultfd write-protect fault, memfd, " SLEEPS;
	if (state == FLOOR_UNMAPPED)
		return spin ? "userfaultfd MINOR, memcpy + CONTINUE(WP), memfd, " SPINS
			    : "userfaultfd MINOR, memcpy + CONTINUE(WP), memfd, " SLEEPS;
	if (memory == FLOOR_ANONYMOUS)
		return "userfaultfd MISSING, COPY(WP), anonymous, " SLEEPS;
	if (write)
		return spin ? "userfaultfd MISSING, COPY, memfd, " SPINS
			    : "userfaultfd MISSING, COPY, memfd, " SLEEPS;
	return spin ? "userfaultfd MISSING, COPY(WP), memfd, " SPINS
		    : "userfaultfd MISSING, COPY(WP), memfd, " SLEEPS;
}

static void add(struct fault_floors *ff, struct bench *b, enum floor_state state,
		enum floor_memory memory, bool spin)
{
	struct fault_floor *floor = &ff->floor[ff->n++];

	floor->fault = floor_fault_create(b, memory, spin, ff->npages * PAGE_BYTES);
	floor->state = state;
	floor->spin = spin;
	floor->label = label_of(state, memory, spin, ff->write);
}

void fault_floors_init(struct fault_floors *ff, struct bench *b, enum floor_state state, bool write,
		       size_t npages)
{
	memset(ff, 0, sizeof(*ff));
	ff->npages = npages;
	ff->write = write;
	if (b->rank)
		return;
	add(ff, b, state, FLOOR_MEMFD, false);
	/* on one core the spinning thread would keep the faulting one from running */
	if (b->host->cores_usable > 1)
		add(ff, b, state, FLOOR_MEMFD, true);
	if (state == FLOOR_MISSING && !write)
		add(ff, b, state, FLOOR_ANONYMOUS, false);
}

void fault_floors_fini(struct fault_floors *ff)
{
	for (unsigned i = 0; i < ff->n; i++) {
		floor_fault_destroy(ff->floor[i].fault);
		samples_free(&ff->floor[i].times);
	}
	ff->n = 0;
}

void fault_floors_run(struct fault_floors *ff, const uint32_t *order, size_t n)
{
	for (unsigned i = 0; i < ff->n; i++) {
		struct fault_floor *floor = &ff->floor[i];
		uint8_t *memory = floor_fault_memory(floor->fault);

		floor_fault_prepare(floor->fault, floor->state);
		if (ff->write)
			fault_time_stores(memory, order, n, &floor->times);
		else
			fault_time_loads(memory, order, n, &floor->times);
		floor_fault_rest(floor->fault);
	}
}

void fault_floors_clear(struct fault_floors *ff)
{
	for (unsigned i = 0; i < ff->n; i++)
		samples_clear(&ff->floor[i].times);
}

const struct row *fault_floors_report(struct fault_floors *ff, struct bench *b)
{
	const struct row *same_mode = NULL;

	for (unsigned i = 0; i < ff->n; i++) {
		struct fault_floor *floor = &ff->floor[i];
		const struct row *row =
			report_floor(b->report, floor->label, PAGE_BYTES, &floor->times);

		if (!i || (floor->spin && b->host->handler_spins))
			same_mode = row;
	}
	return same_mode;
}

void fault_time_loads(const uint8_t *memory, const uint32_t *order, size_t n, struct samples *s)
{
	for (size_t i = 0; i < n; i++) {
		const volatile uint64_t *word = (const void *)(memory + order[i] * PAGE_BYTES);
		uint64_t start_ns = bench_now_ns();

		(void)*word;
		samples_add(s, bench_us_since(start_ns));
	}
}

void fault_time_stores(uint8_t *memory, const uint32_t *order, size_t n, struct samples *s)
{
	for (size_t i = 0; i < n; i++) {
		volatile uint64_t *word = (void *)(memory + order[i] * PAGE_BYTES);
		uint64_t start_ns = bench_now_ns();

		*word = i;
		samples_add(s, bench_us_since(start_ns));
	}
}
