/* SPDX-License-Identifier: MIT */
/*
 * See kernels.h. Pages that one phase writes and the next reads are written by dsm_acquire() and
 * dsm_release(), which leaves them Clean at home: so the reads are one-sided. What is written by
 * plain stores (updates, hot) is fetched from its owner by the home.
 */
#include <string.h>

#include "kernel_run.h"

/* A number that depends on all of these, and on the seed. */
static uint64_t hash(const struct run *run, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t state = run->params.seed ^ a << 42 ^ b << 21 ^ c;

	random_next(&state);
	return random_next(&state);
}

static uint64_t page_of(const struct run *run, unsigned region, unsigned home, unsigned index)
{
	return machine_page(run->machine, region, home, index);
}

static struct op load(uint64_t page)
{
	return (struct op){ OP_LOAD, page };
}

static struct op put(uint64_t page)
{
	return (struct op){ OP_PUT, page };
}

static uint64_t messages_of(const struct run *run, unsigned kind)
{
	return run->counts.messages[kind];
}

static uint64_t page_messages(const struct run *run)
{
	uint64_t n = 0;

	for (unsigned kind = MSG_NONE; kind <= MSG_GRANT_ERROR; kind++)
		n += run->counts.messages[kind];
	return n;
}

/*
 * Laws that several have
 */

static void law_one_sided(struct run *run)
{
	uint64_t loads = run->counts.took[OP_LOAD].count;

	uint64_t packets = run->counts.packets - run->counts.messages_all;

	run_law(run,
		run->counts.chains == loads && packets == 2 * loads &&
			!messages_of(run, MSG_GETS) && !messages_of(run, MSG_GRANT_S),
		"%llu read misses: %llu one-sided chains, %llu packets there and back, %llu "
		"messages handled by a home",
		(unsigned long long)loads, (unsigned long long)run->counts.chains,
		(unsigned long long)packets, (unsigned long long)messages_of(run, MSG_GETS));
}

static void law_invalidations(struct run *run, uint64_t expected)
{
	uint64_t inv = messages_of(run, MSG_INV), acks = messages_of(run, MSG_INV_ACK);

	/* Where ranks share a counter, all of a group in which two read are asked. */
	run_law(run,
		inv == acks && page_messages(run) == inv + acks &&
			(run->group == 1 ? inv == expected : inv <= expected * run->group),
		"%llu Inv and %llu InvAck for %llu copies of what was written%s, no other message "
		"about pages",
		(unsigned long long)inv, (unsigned long long)acks, (unsigned long long)expected,
		run->group == 1 ? "" : " (or for their groups)");
}

static void law_barriers(struct run *run, unsigned each)
{
	uint64_t expected = (uint64_t)run->iterations * each * run->n * run_rounds(run->n);

	run_law(run, messages_of(run, MSG_BARRIER) == expected,
		"%llu messages of %u barriers: ranks x log2(ranks) each, rounded up: %llu",
		(unsigned long long)messages_of(run, MSG_BARRIER), run->iterations * each,
		(unsigned long long)expected);
}

static void law_at_most(struct run *run, double messages, const char *what)
{
	double each = (double)run->counts.messages_all / (double)run->operations;

	run_law(run, each <= messages, "%.2f messages %s, at most %g", each, what, messages);
}

/*
 * read: pages that nobody writes, each read once
 */

static unsigned read_length(const struct run *run)
{
	return run->params.npages;
}

static void read_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		    struct op *op)
{
	unsigned from = (unsigned)(hash(run, rank, index, 1) % (run->n - 1));

	(void)iteration;
	*op = load(page_of(run, 0, (rank + 1 + from) % run->n, index));
}

static void read_laws(struct run *run)
{
	law_one_sided(run);
	run_law(run, run->counts.messages_all == 0, "%llu messages of any kind",
		(unsigned long long)run->counts.messages_all);
}

/*
 * stencil: a ring of slabs, two grids in turn; what neighbours need is a page at each end
 */

static unsigned stencil_length(const struct run *run)
{
	(void)run;
	return 5;
}

static void stencil_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		       struct op *op)
{
	unsigned n = run->n, last = run->params.npages - 1, old = iteration % 2, new = !old;

	switch (index) {
	case 0:
		*op = load(page_of(run, old, (rank + n - 1) % n, last));
		break;
	case 1:
		*op = load(page_of(run, old, (rank + 1) % n, 0));
		break;
	case 2:
		*op = put(page_of(run, new, rank, 0));
		break;
	case 3:
		*op = put(page_of(run, new, rank, last));
		break;
	default:
		op->kind = OP_BARRIER;
		break;
	}
}

static void stencil_laws(struct run *run)
{
	law_one_sided(run);
	law_invalidations(run, 2ull * run->n * run->iterations);
	law_barriers(run, 1);
}

/*
 * gather: a sparse matrix times a vector (CG): pages of the vector wherever the matrix has columns,
 * the same in each iteration; then every rank writes its part of the vector
 */

#define GATHER_PAGES 8u

static unsigned gather_length(const struct run *run)
{
	(void)run;
	return 2 * GATHER_PAGES + 2;
}

static void gather_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		      struct op *op)
{
	unsigned from;

	(void)iteration;
	if (index < GATHER_PAGES) {
		from = (unsigned)(hash(run, rank, index, 2) % (run->n - 1));
		*op = load(page_of(run, 0, (rank + 1 + from) % run->n, index));
	} else if (index > GATHER_PAGES && index <= 2 * GATHER_PAGES) {
		*op = put(page_of(run, 0, rank, index - GATHER_PAGES - 1));
	} else {
		op->kind = OP_BARRIER;
	}
}

static void gather_laws(struct run *run)
{
	law_one_sided(run);
	law_invalidations(run, (uint64_t)GATHER_PAGES * run->n * run->iterations);
	law_barriers(run, 2);
}

/*
 * transpose: all to all (FT): every rank writes its slab, then reads its part of everybody's, which
 * is less than a page where there are more ranks than pages a rank
 */

static unsigned transpose_length(const struct run *run)
{
	return run->params.npages + run->n + 1;
}

static void transpose_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
			 struct op *op)
{
	unsigned n = run->n, npages = run->params.npages, i = index - npages;

	(void)iteration;
	if (index < npages)
		*op = put(page_of(run, 0, rank, index));
	else if (i == 0 || i == n)
		op->kind = OP_BARRIER;
	else
		*op = load(
			page_of(run, 0, (rank + i) % n, (unsigned)((uint64_t)rank * npages / n)));
}

static void transpose_laws(struct run *run)
{
	law_one_sided(run);
	law_invalidations(run, (uint64_t)run->n * (run->n - 1) * run->iterations);
	law_barriers(run, 2);
}

/*
 * updates: read and write a word of a random page of a table (GUPS), by plain stores
 */

#define UPDATES 16u

static unsigned updates_length(const struct run *run)
{
	(void)run;
	return UPDATES;
}

static void updates_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		       struct op *op)
{
	uint64_t at = hash(run, rank, iteration, index + 3);

	op->kind = OP_STORE;
	op->page =
		page_of(run, 0, (unsigned)(at >> 32) % run->n, (unsigned)at % run->params.npages);
}

static void updates_laws(struct run *run)
{
	law_at_most(run, 4, "an update: GetM, FwdGetM, WriteBack, GrantM");
}

/*
 * hot: all ranks write one page, as often as they get it
 */

static unsigned hot_length(const struct run *run)
{
	(void)run;
	return 2;
}

static void hot_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		   struct op *op)
{
	(void)rank;
	(void)iteration;
	*op = (struct op){ OP_STORE, page_of(run, 0, 0, 0) };
	if (index)
		*op = (struct op){ OP_COMPUTE, 1000 };
}

static void hot_laws(struct run *run)
{
	law_at_most(run, 4, "a store: GetM, FwdGetM, WriteBack, GrantM");
	run_law(run, run->has_hot && run->hot.rank == 0 && !strcmp(run->hot.region, "counter"),
		"the hot home is named: rank %u, region %s, %.0f %% of the traffic", run->hot.rank,
		run->has_hot ? run->hot.region : "(none)", run->hot.share * 100);
}

/*
 * broadcast: rank 0 writes four pages, all others read them
 */

#define BROADCAST_PAGES 4u

static unsigned broadcast_length(const struct run *run)
{
	(void)run;
	return 2 * BROADCAST_PAGES + 2;
}

static void broadcast_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
			 struct op *op)
{
	(void)iteration;
	op->kind = OP_NOTHING;
	if (index % (BROADCAST_PAGES + 1) == BROADCAST_PAGES)
		op->kind = OP_BARRIER;
	else if (index < BROADCAST_PAGES && rank == 0)
		*op = put(page_of(run, 0, 0, index));
	else if (index > BROADCAST_PAGES && rank != 0)
		*op = load(page_of(run, 0, 0, index - BROADCAST_PAGES - 1));
}

static void broadcast_laws(struct run *run)
{
	law_one_sided(run);
	law_invalidations(run, (uint64_t)BROADCAST_PAGES * (run->n - 1) * run->iterations);
	law_barriers(run, 2);
}

/*
 * lock: every rank takes one lock once, all at the same time. The home has it at first; each that
 * comes after takes LockGet, LockForward, LockPassed, LockGrant, the first of them only two.
 */

static unsigned lock_length(const struct run *run)
{
	(void)run;
	return 3;
}

static void lock_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		    struct op *op)
{
	static const enum op_kind kinds[] = { OP_LOCK, OP_COMPUTE, OP_UNLOCK };

	(void)rank;
	(void)iteration;
	op->kind = kinds[index];
	op->page = index == 1 ? 100 : run->params.seed;
}

static void lock_laws(struct run *run)
{
	run_law(run, run->counts.messages_all == 4ull * run->n - 6,
		"%llu messages for %u ranks: four each, but two for the first and none for the "
		"home",
		(unsigned long long)run->counts.messages_all, run->n);
}

/*
 * barrier
 */

static unsigned barrier_length(const struct run *run)
{
	(void)run;
	return 1;
}

static void barrier_op(const struct run *run, unsigned rank, unsigned iteration, unsigned index,
		       struct op *op)
{
	(void)run;
	(void)rank;
	(void)iteration;
	(void)index;
	op->kind = OP_BARRIER;
}

static void barrier_laws(struct run *run)
{
	law_barriers(run, 1);
}

#define KERNEL(name, ...)                                                                          \
	{                                                                                          \
#name, __VA_ARGS__, .length = name##_length, .op = name##_op, .laws = name##_laws  \
	}

const struct kernel kernels[] = {
	KERNEL(read, "read misses on pages that nobody writes", { "data" }, .once = true),
	KERNEL(stencil, "neighbours' edges, every iteration (heat)", { "grid a", "grid b" },
	       .warm = 2),
	KERNEL(gather, "pages of a vector wherever a sparse matrix has columns (CG)", { "vector" },
	       .warm = 1),
	KERNEL(transpose, "all to all (FT)", { "array" }, .warm = 1),
	KERNEL(updates, "stores to random pages of a table (GUPS)", { "table" }, .warm = 1),
	KERNEL(hot, "stores of all ranks to one page", { "counter" }, .warm = 1),
	KERNEL(broadcast, "one writes, all others read", { "state" }, .warm = 1),
	KERNEL(lock, "all ranks take one lock", { NULL }, .once = true),
	KERNEL(barrier, "barriers", { NULL }, .warm = 1),
};

const unsigned nkernels = sizeof(kernels) / sizeof(*kernels);

const struct kernel *kernel_find(const char *name, size_t len)
{
	for (unsigned i = 0; i < nkernels; i++)
		if (strlen(kernels[i].name) == len && !memcmp(kernels[i].name, name, len))
			return &kernels[i];
	return NULL;
}
