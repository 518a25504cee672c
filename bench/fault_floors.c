/* SPDX-License-Identifier: MIT */
/* Fault floors: sets of floor_fault by state and handler mode. */
#include <string.h>

#include "bench.h"
#include "fault_floors.h"

/* One label for each handler, in the order of enum floor_handler; the last two with one core. */
#define LABELS(what)                                                                               \
	{                                                                                          \
		what ", handler on another core sleeps in poll()",                                 \
			what ", handler on another core spins",                                    \
			what ", handler on another core yields between polls",                     \
			what ", handler on the same core sleeps in poll()",                        \
			what ", inline in the thread that faults (SIGBUS)",                        \
			what ", handler on the same core yields between polls",                    \
	}
#define YIELDS_HERE 5

static const char *label_of(enum floor_state state, enum floor_memory memory,
			    enum floor_handler handler, bool write, bool one_core)
{

	static const char *const protect[] = LABELS("userfaultfd write-protect fault, memfd");
	static const char *const minor[] =
		LABELS("userfaultfd MINOR, memcpy + CONTINUE(WP), memfd");
	static const char *const anonymous[] = LABELS("userfaultfd MISSING, COPY(WP), anonymous");
	static const char *const store[] = LABELS("userfaultfd MISSING, COPY, memfd");
	static const char *const load[] = LABELS("userfaultfd MISSING, COPY(WP), memfd");

	unsigned label = handler;

	if (one_core && handler == FLOOR_SLEEPS)
		label = FLOOR_SAME_CORE;
	else if (one_core && handler == FLOOR_YIELDS)
		label = YIELDS_HERE;
	if (state == FLOOR_PROTECTED)
		return protect[label];
	if (state == FLOOR_UNMAPPED)
		return minor[label];
	if (memory == FLOOR_ANONYMOUS)
		return anonymous[label];
	return write ? store[label] : load[label];
}

static void add(struct fault_floors *ff, struct bench *b, enum floor_state state,
		enum floor_memory memory, enum floor_handler handler)
{
	struct fault_floor *floor = &ff->floor[ff->n];

	floor->fault = floor_fault_create(b, memory, handler, ff->npages * PAGE_BYTES);
	if (!floor->fault)
		return; /* this kernel has no such way */
	ff->n++;
	floor_fault_set_writes(floor->fault, ff->write);
	floor->state = state;
	floor->handler = handler;
	floor->label = label_of(state, memory, handler, ff->write, b->host->cores_usable < 2);
}

void fault_floors_init(struct fault_floors *ff, struct bench *b, enum floor_state state, bool write,
		       size_t npages)
{
	memset(ff, 0, sizeof(*ff));
	ff->npages = npages;
	ff->write = write;
	if (b->rank)
		return;
	add(ff, b, state, FLOOR_MEMFD, FLOOR_SLEEPS);
	/* on one core a handler that only spins would keep the faulting thread from running */
	if (b->host->cores_usable > 1) {
		add(ff, b, state, FLOOR_MEMFD, FLOOR_SPINS);
		add(ff, b, state, FLOOR_MEMFD, FLOOR_SAME_CORE);
	}
	if (b->host->handler_yields)
		add(ff, b, state, FLOOR_MEMFD, FLOOR_YIELDS);
	add(ff, b, state, FLOOR_MEMFD, FLOOR_INLINE);
	if (state == FLOOR_MISSING && !write)
		add(ff, b, state, FLOOR_ANONYMOUS, FLOOR_SLEEPS);
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
		floor_fault_take_core(floor->fault);
		if (ff->write)
			fault_time_stores(memory, order, n, &floor->times);
		else
			fault_time_loads(memory, order, n, &floor->times);
		floor_fault_leave_core(floor->fault);
		floor_fault_rest(floor->fault);
	}
}

void fault_floors_clear(struct fault_floors *ff)
{
	for (unsigned i = 0; i < ff->n; i++)
		samples_clear(&ff->floor[i].times);
}

const struct row *fault_floors_report(struct fault_floors *ff, struct bench *b, const char *key)
{
	const struct row *same_mode = NULL;

	for (unsigned i = 0; i < ff->n; i++) {
		struct fault_floor *floor = &ff->floor[i];
		struct row *row = report_floor(b->report, floor->label, PAGE_BYTES, &floor->times);

		row->key = key;
		/* the first sleeps: on the same core, if there is but one */
		if (!i || (b->host->handler_kind != FLOOR_SLEEPS &&
			   floor->handler == b->host->handler_kind))
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
