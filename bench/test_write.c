/* SPDX-License-Identifier: MIT */
/*
 * Writes that need other ranks: an upgrade of a readable page, and ownership that goes to and fro.
 *
 * The fault is one floor; the other is a round trip of a message between the two processes, asleep
 * or spinning, which an arbitrated write cannot do without.
 */
#include <stdlib.h>

#include "bench.h"
#include "fault_floors.h"
#include "tests.h"

#define UPGRADES  1000
#define HANDOVERS 1000 /* by each rank */

static void report_round_trips(struct bench *b, struct samples *asleep, struct samples *spinning)
{
	report_floor(b->report, "message round trip between the processes, futex", 64, asleep);
	report_floor(b->report, "message round trip between the processes, spinning", 64, spinning);
}

/*
 * write_upgrade: rank 0 has all pages Shared and stores to each once.
 */

struct upgrade {
	size_t npages;
	uint32_t *order;
	uint8_t *region;
	uint64_t generation;
	struct fault_floors floors;
	struct samples stores, asleep, spinning;
};

static void run_upgrades(struct bench *b, struct upgrade *u)
{
	size_t len_bytes = u->npages * PAGE_BYTES;

	bench_publish(b, u->region, len_bytes, 1, ++u->generation);
	side_round_trips(b, false, u->npages, &u->asleep);
	side_round_trips(b, true, u->npages, &u->spinning);
	if (b->rank == 0) {
		fault_floors_run(&u->floors, u->order, u->npages);
		bench_acquire(b, u->region, len_bytes, DSM_READ);
		bench_release(b, u->region, len_bytes);
		fault_time_stores(u->region, u->order, u->npages, &u->stores);
	}
	bench_barrier(b);
}

/* The home must see what rank 0 stored last. */
static void check_upgrades(struct bench *b, struct upgrade *u)
{
	for (size_t i = 0; b->rank == 1 && i < u->npages; i++) {
		size_t page = u->order[i];
		uint64_t got = *(const volatile uint64_t *)(u->region + page * PAGE_BYTES);

		if (got != i)
			bench_fail(b, "page %zu holds %llu, rank 0 stored %zu", page,
				   (unsigned long long)got, i);
	}
	bench_barrier(b);
}

void test_write_upgrade(struct bench *b)
{
	struct upgrade u = { .npages = bench_block_iterations(b, UPGRADES) };
	struct row *row;

	u.order = bench_permutation(b, u.npages);
	u.region = bench_alloc(b, u.npages * PAGE_BYTES, 1, DSM_RELEASE_WRITE_THROUGH);
	fault_floors_init(&u.floors, b, FLOOR_PROTECTED, true, u.npages);
	for (unsigned block = 0; block <= b->options->blocks; block++) {
		run_upgrades(b, &u);
		check_upgrades(b, &u);
		if (block)
			continue;
		samples_clear(&u.stores); /* the warm-up */
		samples_clear(&u.asleep);
		samples_clear(&u.spinning);
		fault_floors_clear(&u.floors);
	}
	row = report_result(b->report, "store to a Shared page", PAGE_BYTES, &u.stores);
	row->target_kind = TARGET_MEDIAN_US;
	row->target = 10;
	row->floor = fault_floors_report(&u.floors, b, NULL);
	report_round_trips(b, &u.asleep, &u.spinning);
	fault_floors_fini(&u.floors);
	bench_free(b, u.region);
	free(u.order);
}

/*
 * ping_pong: one page, homed at rank 1. Turns pass through the side channel, so a hand-over is one
 * store to a page that is Modified at the other rank, whose thread sleeps or spins meanwhile:
 * asleep, it leaves its core to the agent, but the core may have to be woken. Each rank has its own
 * word in the page.
 */

struct ping_pong {
	bool spin; /* how a rank waits for its turn */
	size_t turns; /* of each rank in a block */
	uint64_t stored; /* latest value */
	volatile uint64_t *word; /* one for each rank */
	uint32_t *order;
	struct fault_floors floors;
	struct samples stores, asleep, spinning;
};

static void take_turn(struct bench *b, struct ping_pong *p)
{
	uint64_t value = ++p->stored, start_ns, other;

	side_turn_wait(b, p->spin);
	start_ns = bench_now_ns();
	p->word[b->rank] = value;
	samples_add(&p->stores, bench_us_since(start_ns));
	/* rank 0 has the first turn: the other is one behind it, or level with it */
	other = p->word[1 - b->rank];
	if (other != (b->rank ? value : value - 1))
		bench_fail(b, "the other rank's word is %llu at turn %llu",
			   (unsigned long long)other, (unsigned long long)value);
	side_turn_pass(b, 1 - b->rank);
}

static void run_turns(struct bench *b, struct ping_pong *p)
{
	bench_barrier(b);
	side_round_trips(b, false, p->turns, &p->asleep);
	side_round_trips(b, true, p->turns, &p->spinning);
	fault_floors_run(&p->floors, p->order, p->turns);
	bench_barrier(b);
	for (size_t i = 0; b->rank < 2 && i < p->turns; i++)
		take_turn(b, p);
	bench_barrier(b);
}

static void copy_samples(struct samples *to, const struct samples *from)
{
	for (size_t i = 0; i < from->n; i++)
		samples_add(to, from->us[i]);
}

static struct row *report_turns(struct bench *b, struct ping_pong *p)
{
	struct samples own = SAMPLES_INIT, home = SAMPLES_INIT;
	struct row *row;

	copy_samples(&own, &p->stores);
	if (b->rank == 1)
		copy_samples(&home, &p->stores);
	side_samples_give(b, &home);
	copy_samples(&p->stores, &home);
	row = report_result(b->report,
			    p->spin ? "hand-over, the other rank's thread spins"
				    : "hand-over, the other rank's thread sleeps",
			    PAGE_BYTES, &p->stores);
	row->target_kind = TARGET_MEDIAN_US;
	row->target = 15;
	row->key = p->spin ? "ping_pong" : "ping_pong_asleep";
	report_result(b->report, "of these, to rank 0", PAGE_BYTES, &own)->detail = true;
	report_result(b->report, "of these, to rank 1, the home", PAGE_BYTES, &home)->detail = true;
	return row;
}

static struct row *run_ping_pong(struct bench *b, struct ping_pong *p)
{
	for (unsigned block = 0; block <= b->options->blocks; block++) {
		run_turns(b, p);
		if (block)
			continue;
		samples_clear(&p->stores); /* the warm-up */
		if (p->spin)
			continue; /* the floors go on from the pass before */
		samples_clear(&p->asleep);
		samples_clear(&p->spinning);
		fault_floors_clear(&p->floors);
	}
	return report_turns(b, p);
}

void test_ping_pong(struct bench *b)
{
	struct ping_pong p = { .turns = bench_block_iterations(b, HANDOVERS) };
	void *region = bench_alloc(b, PAGE_BYTES, 1, DSM_RELEASE_KEEP);
	struct row *sleeps, *spins;

	p.word = region;
	p.order = bench_permutation(b, p.turns);
	fault_floors_init(&p.floors, b, FLOOR_MISSING, true, p.turns);
	if (!b->rank)
		side_turn_pass(b, 0);
	sleeps = run_ping_pong(b, &p);
	p.spin = true;
	spins = run_ping_pong(b, &p);
	sleeps->floor = spins->floor = fault_floors_report(&p.floors, b, NULL);
	report_round_trips(b, &p.asleep, &p.spinning);
	fault_floors_fini(&p.floors);
	bench_free(b, region);
	free(p.order);
}
