/* SPDX-License-Identifier: MIT */
/*
 * See history.h. Each thread notes its calls, with the common clock before and after, in private
 * memory; after a barrier rank 0 has the notes of all, and checks them.
 */
#include "history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"
#include "team.h"

#define ADDS_EACH   50u
#define EVENTS_EACH ADDS_EACH

struct notes {
	uint64_t n;
	struct linear_event event[EVENTS_EACH];
};

struct board {
	_Alignas(4096) _Atomic uint64_t word; /* what the histories are of */
	_Alignas(4096) uint64_t stop;
	_Alignas(4096) struct notes notes[TEAM_MAX];
};

static void begin(struct linear_event *e, enum linear_op op, uint64_t a, uint64_t b)
{
	*e = (struct linear_event){ .op = op, .a = a, .b = b, .call_ns = check_clock_ns() };
	/* The operation is not to start before the clock has been read. */
	atomic_thread_fence(memory_order_seq_cst);
}

static void end(struct notes *notes, struct linear_event *e, uint64_t result)
{
	atomic_thread_fence(memory_order_seq_cst);
	e->return_ns = check_clock_ns();
	e->result = result;
	notes->event[notes->n++] = *e;
}

/*
 * Kinds of history. How: by dsm_ calls, by C11 atomics, or each by chance.
 */

enum how { BY_CALL, BY_C11, BY_BOTH };

static bool calls(enum how how, struct member *m)
{
	return how == BY_CALL || (how == BY_BOTH && check_random(&m->random) % 2);
}

static uint64_t add(struct member *m, struct board *board, bool call, uint64_t operand)
{
	uint64_t old;

	if (!call)
		return atomic_fetch_add(&board->word, operand);
	CHECK(dsm_fetch_add64(m->d, (uint64_t *)&board->word, operand, &old) == 0);
	return old;
}

static uint64_t swap(struct member *m, struct board *board, bool call, uint64_t from, uint64_t to)
{
	uint64_t old = from;

	if (call)
		CHECK(dsm_compare_swap64(m->d, (uint64_t *)&board->word, from, to, &old) == 0);
	else
		atomic_compare_exchange_strong(&board->word, &old, to);
	return old;
}

static void record_adds(struct member *m, struct notes *notes, enum how how)
{
	struct board *board = m->arg;
	struct linear_event e;

	for (unsigned i = 0; i < ADDS_EACH; i++) {
		bool call = calls(how, m);

		begin(&e, LINEAR_ADD, 1, 0);
		end(notes, &e, add(m, board, call, 1));
	}
}

/* All threads on one word: few enough events to search all orders of. */
static void record_register(struct member *m, struct notes *notes, enum how how)
{
	struct board *board = m->arg;
	unsigned n = LINEAR_MAX / team_size(m->d);
	uint64_t seen = 0, result;
	struct linear_event e;

	for (unsigned i = 0; i < n && i < 10; i++) {
		bool call = calls(how, m);
		uint64_t fresh = (uint64_t)(m->number + 1) << 32 | i << 8;

		switch (check_random(&m->random) % 4) {
		case 0:
			begin(&e, LINEAR_ADD, 1, 0);
			result = add(m, board, call, 1);
			break;
		case 1:
			if (!call) {
				begin(&e, LINEAR_STORE, fresh, 0);
				atomic_store(&board->word, fresh);
				result = 0;
				break;
			}
			/* fall through */
		case 2:
			begin(&e, LINEAR_SWAP, seen, fresh);
			result = swap(m, board, call, seen, fresh);
			break;
		default:
			begin(&e, LINEAR_LOAD, 0, 0);
			result = call ? add(m, board, true, 0) : atomic_load(&board->word);
		}
		end(notes, &e, result);
		if (e.op != LINEAR_STORE)
			seen = result;
	}
}

static bool lock_board(struct member *m, struct notes *notes)
{
	struct board *board = m->arg;
	bool try_only = check_random(&m->random) % 3 == 0;
	struct linear_event e;
	int err;

	begin(&e, LINEAR_LOCK, m->number + 1, !try_only);
	err = try_only ? dsm_lock_try(m->d, board) : dsm_lock(m->d, board);
	CHECK(err == 0 || (try_only && err == -EBUSY));
	if (err)
		e.op = LINEAR_BUSY;
	end(notes, &e, 0);
	return err == 0;
}

static void record_locks(struct member *m, struct notes *notes, enum how how)
{
	unsigned n = LINEAR_MAX / team_size(m->d) / 2;
	struct linear_event e;

	(void)how;
	for (unsigned i = 0; i < n && i < 6; i++) {
		if (!lock_board(m, notes))
			continue;
		for (volatile unsigned k = 0; k < check_random(&m->random) % 4096; k++)
			;
		begin(&e, LINEAR_UNLOCK, m->number + 1, 0);
		CHECK(dsm_unlock(m->d, m->arg) == 0);
		end(notes, &e, 0);
	}
}

struct kind {
	const char *name;
	void (*record)(struct member *m, struct notes *notes, enum how how);
	enum how how;
	bool adds; /* linear_check_adds() judges it */
};

static const struct kind kinds[] = {
	{ "fetch_add by dsm_fetch_add64", record_adds, BY_CALL, true },
	{ "fetch_add by C11", record_adds, BY_C11, true },
	{ "fetch_add by both", record_adds, BY_BOTH, true },
	{ "register by dsm_ calls", record_register, BY_CALL, false },
	{ "register by C11", record_register, BY_C11, false },
	{ "register by both", record_register, BY_BOTH, false },
	{ "dsm_lock, dsm_lock_try, dsm_unlock", record_locks, BY_CALL, false },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind *kind_now;

static void record(struct member *m)
{
	struct board *board = m->arg;
	struct notes *notes = calloc(1, sizeof(*notes));

	CHECK(notes != NULL);
	kind_now->record(m, notes, kind_now->how);
	/* All are done with the word before these pages come and go. */
	memcpy(&board->notes[m->number], notes, sizeof(*notes));
	free(notes);
}

/*
 * Judging, in rank 0
 */

struct result {
	uint64_t good, bad, undecided, events;
};

static void print_history(const struct linear_event *e, unsigned n)
{
	static const char *const names[] = { "load", "store",  "add", "swap",
					     "lock", "unlock", "busy" };

	for (unsigned i = 0; i < n; i++)
		printf("  %" PRIu64 " to %" PRIu64 " ns: %s %#" PRIx64 " %#" PRIx64 " -> %#" PRIx64
		       "\n",
		       e[i].call_ns - e[0].call_ns, e[i].return_ns - e[0].call_ns, names[e[i].op],
		       e[i].a, e[i].b, e[i].result);
}

static enum linear_result judge(const struct kind *kind, struct linear_event *e, unsigned n)
{
	unsigned wrong;

	if (!kind->adds)
		return linear_check(e, n, 0);
	wrong = linear_check_adds(e, n);
	if (wrong < n)
		printf("number %u of the history is out of order:\n", wrong);
	return wrong == n ? LINEAR_YES : LINEAR_NO;
}

static void check(const struct kind *kind, const struct board *board, unsigned team,
		  struct result *result)
{
	static struct linear_event e[TEAM_MAX * EVENTS_EACH];
	unsigned n = 0;

	for (unsigned i = 0; i < team; i++) {
		memcpy(e + n, board->notes[i].event, board->notes[i].n * sizeof(e[0]));
		n += (unsigned)board->notes[i].n;
	}
	result->events += n;
	switch (judge(kind, e, n)) {
	case LINEAR_YES:
		result->good++;
		break;
	case LINEAR_TOO_MANY:
		result->undecided++;
		break;
	case LINEAR_NO:
		result->bad++;
		printf("NOT LINEARIZABLE: %s, on %p\n", kind->name, (const void *)board);
		print_history(e, n);
	}
}

static void run_round(struct dsm *d, struct board *board, uint64_t seed, struct result *results)
{
	for (unsigned k = 0; k < KINDS; k++) {
		kind_now = &kinds[k];
		if (check_rank == 0)
			atomic_store(&board->word, 0);
		team_run(d, record, board, seed + k);
		if (check_rank == 0)
			check(&kinds[k], board, team_size(d), &results[k]);
	}
}

static unsigned report(const struct result *results)
{
	unsigned bad = 0;

	printf("| history | linearizable | not | undecided | events |\n"
	       "| --- | --- | --- | --- | --- |\n");
	for (unsigned k = 0; k < KINDS; k++) {
		printf("| %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " |\n",
		       kinds[k].name, results[k].good, results[k].bad, results[k].undecided,
		       results[k].events);
		bad += (unsigned)results[k].bad;
	}
	printf("\n");
	return bad;
}

unsigned history_run(struct dsm *d, uint64_t until_ns, uint64_t seed)
{
	struct dsm_attr attr = { .name = "history", .home = DSM_HOME_CYCLIC };
	struct result results[KINDS] = { { 0 } };
	uint8_t *region = dsm_alloc(d, dsm_size(d) * BLOCK_BYTES, &attr);
	bool stop = false;

	CHECK(region != NULL);
	/* Round by round, the word has another home. */
	for (unsigned i = 0; !stop; i++) {
		struct board *board = (void *)(region + i % dsm_size(d) * BLOCK_BYTES);

		run_round(d, board, seed + i * KINDS * TEAM_MAX, results);
		if (check_rank == 0)
			board->stop = check_clock_ns() >= until_ns;
		CHECK(dsm_barrier(d) == 0);
		stop = board->stop;
	}
	CHECK(dsm_barrier(d) == 0);
	CHECK(dsm_free(d, region) == 0);
	return check_rank == 0 ? report(results) : 0;
}
