/* SPDX-License-Identifier: MIT */
/*
 * See run.h. Threads as state machines: each step of one is an event of the schedule.
 *
 * Faults and calls are made as lib/fault.c and lib/access.c make them: look, ask, wait to be woken,
 * look again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "snapshot.h"

#define EVENTS_MAX   60000u
#define TIMED_EVENTS 20u /* a unit of a timed lock's patience */
#define TICK_EVENTS  16u
#define NOBODY       0xffu

enum phase {
	PHASE_START, /* of the next operation, or looking again */
	PHASE_FAULTED, /* an access was stopped; the fault is not being served yet */
	PHASE_PAGE, /* waits for a page */
	PHASE_CALL, /* waits for a lock or a barrier */
	PHASE_LOOKED, /* at a grants word: it is to load, */
	PHASE_LOADED, /* and to look again */
	PHASE_OVER
};

struct thread {
	const struct plan_thread *plan;
	unsigned next; /* operation */
	enum phase phase;
	unsigned rank;
	unsigned wakes; /* of the granule, when the wait began */
	unsigned fails;
	struct hold hold; /* or what is to become one; valid if holding */
	bool holding;
	uint64_t last; /* value seen */
	uint64_t grant; /* of a look: the word, */
	uint64_t seen, should; /* what was loaded, and what was to be seen then */
	bool held; /* then, by another rank, for writing */
	bool here; /* it ends as a load, through the mapping */
	unsigned barriers; /* arrived at */
	bool locked[PLAN_LOCKS];
	bool cancelled;
	uint64_t deadline; /* event, of a timed lock */
	struct call call;
};

struct run {
	const struct plan *plan;
	struct cluster *c;
	struct run_result *result;
	struct thread thread[PLAN_THREADS_MAX];
	struct plan_thread last_reads; /* a program for the end */
	uint8_t lock_owner[PLAN_LOCKS]; /* thread, NOBODY */
	unsigned arrived[8]; /* at each barrier */
	struct history history;
};

static struct run *now; /* for run_history() */

static const struct op *op_of(const struct thread *t)
{
	return &t->plan->op[t->next];
}

static unsigned index_of(const struct run *run, const struct thread *t)
{
	return (unsigned)(t - run->thread);
}

static struct protocol *protocol_of(struct run *run, const struct thread *t)
{
	return cluster_rank(run->c, t->rank);
}

/* The page of the operation; of a hold, the next that is missing. */
static uint64_t page_of(struct run *run, const struct thread *t)
{
	const struct op *op = op_of(t);
	return op->kind == OP_HOLD && t->holding ? t->hold.taken : run->c->page[op->page];
}

static bool is_access(const struct thread *t)
{
	return op_of(t)->kind == OP_LOAD || op_of(t)->kind == OP_STORE ||
	       (op_of(t)->kind == OP_LOOK && t->here);
}

static struct granule *granule_of(struct run *run, const struct thread *t)
{
	if (is_access(t))
		return cluster_granule(run->c, t->rank, page_of(run, t), op_of(t)->word);
	return &run->c->rank[t->rank].granules[page_of(run, t)];
}

static void next_op(struct run *run, struct thread *t, bool failed)
{
	run->result->accesses++;
	run->result->failed += failed;
	t->next++;
	t->here = false;
	t->phase = t->next < t->plan->nops ? PHASE_START : PHASE_OVER;
}

static void note(struct run *run, struct thread *t, enum event_kind kind, unsigned word, uint64_t a,
		 uint64_t b, uint64_t result)
{
	struct event e = { .kind = (uint8_t)kind,
			   .thread = (uint8_t)index_of(run, t),
			   .word = (uint16_t)word,
			   .a = a,
			   .b = b,
			   .result = result };

	cluster_trace(run->c, "%u: thread %u: %s %u.%u: %llx %llx", t->rank, e.thread,
		      op_name(op_of(t)->kind), op_of(t)->page, op_of(t)->word,
		      (unsigned long long)a, (unsigned long long)result);
	history_add(&run->history, e);
}

static unsigned word_of(const struct thread *t)
{
	return op_of(t)->page * CLUSTER_WORDS + op_of(t)->word;
}

static unsigned lock_word(unsigned lock)
{
	return PLAN_PAGES_MAX * CLUSTER_WORDS + lock;
}

static unsigned barrier_word(void)
{
	return lock_word(PLAN_LOCKS);
}

/*
 * Holds
 */

static uint64_t name_of(const struct run *run, const struct thread *t)
{
	return 1 + index_of(run, t);
}

/* Who waits to write a page that it holds for reading lets others have it first; and has lost it if
 * it cannot be had, or not be mapped, then. */
static bool keeps(const struct run *run, const struct thread *t, uint64_t page)
{
	return t->holding && page >= t->hold.first && page < t->hold.taken &&
	       t->hold.wants != page && !run->c->rank[t->rank].granules[page].err;
}

static void check_holds(struct run *run, const struct thread *by, uint64_t page, bool write)
{
	for (unsigned i = 0; i < run->plan->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (t->rank != by->rank && !run->c->rank[t->rank].dead && keeps(run, t, page) &&
		    (write || t->hold.write))
			cluster_fail(run->c,
				     "rank %u %s page %#llx, which thread %u of rank %u "
				     "holds",
				     by->rank, write ? "stores to" : "loads from",
				     (unsigned long long)page, i, t->rank);
	}
}

static void release(struct run *run, struct thread *t, bool write_through)
{
	if (!t->holding)
		return;
	cluster_trace(run->c, "%u: thread %u releases %llu granules", t->rank, index_of(run, t),
		      (unsigned long long)(t->hold.taken - t->hold.first));
	t->holding = false;
	hold_end(protocol_of(run, t), &t->hold, write_through);
}

/*
 * Loads and stores: through the mapping, or else a fault, which is served some time later
 */

static bool access_done(struct run *run, struct thread *t)
{
	const struct op *op = op_of(t);
	uint64_t page = page_of(run, t), value = 0;
	bool store = op->kind == OP_STORE;
	bool done;

	if (store)
		value = cluster_new_value(run->c);
	done = store ? cluster_store_value(run->c, t->rank, page, op->word, value)
		     : cluster_load_value(run->c, t->rank, page, op->word, &value);
	if (!done)
		return false;
	check_holds(run, t, page, store);
	if (!store)
		t->last = value;
	note(run, t, store ? EVENT_STORE : EVENT_LOAD, word_of(t), value, 0, value);
	return true;
}

static void access_start(struct run *run, struct thread *t)
{
	struct granule *g = granule_of(run, t);

	if (access_done(run, t)) {
		next_op(run, t, false);
	} else if (g->access == ACCESS_POISONED) {
		next_op(run, t, true);
	} else {
		t->wakes = g->fault_wakes;
		t->fails = g->fails;
		t->phase = PHASE_FAULTED;
	}
}

static void access_fault(struct run *run, struct thread *t)
{
	struct protocol *p = protocol_of(run, t);
	uint64_t page = page_of(run, t);
	const struct op *op = op_of(t);

	t->phase = PHASE_PAGE;
	if (op->kind != OP_STORE)
		cache_read(p, page, op->ahead, true);
	else if (hold_may_write(p, page, name_of(run, t)))
		cache_write(p, page, op->ahead, true);
}

/*
 * Looks at the home's memory, as lib/read.c has them; what cannot be seen there is loaded here
 */

static void look_start(struct run *run, struct thread *t)
{
	const struct protocol *p = protocol_of(run, t);
	uint64_t page = page_of(run, t);
	const struct space *home = &run->c->rank[protocol_home(p, page)].space;

	if (protocol_home(p, page) == t->rank || cache_can_read(p, page) ||
	    rankset_has(&p->down, protocol_home(p, page)) ||
	    !snapshot_begin(home, home->alias, page, &t->grant))
		t->here = true;
	else
		t->phase = PHASE_LOOKED;
}

/* Much can happen between two looks: one that goes on at each of its turns would see little. */
static bool look_lingers(struct run *run)
{
	return cluster_chance(run->c, 80);
}

static bool held_elsewhere(const struct run *run, const struct thread *by, uint64_t page)
{
	for (unsigned i = 0; i < run->plan->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (t->rank != by->rank && !run->c->rank[t->rank].dead && keeps(run, t, page) &&
		    t->hold.write)
			return true;
	}
	return false;
}

static void look_load(struct run *run, struct thread *t)
{
	uint64_t page = page_of(run, t);

	if (look_lingers(run))
		return;
	t->seen = *cluster_word(run->c, protocol_home(protocol_of(run, t), page), page,
				op_of(t)->word);
	t->should = *cluster_truth(run->c, page, op_of(t)->word);
	t->held = held_elsewhere(run, t, page);
	t->phase = PHASE_LOADED;
}

static void looked(struct run *run, struct thread *t, uint64_t page)
{
	t->last = t->seen;
	note(run, t, EVENT_LOAD, word_of(t), t->seen, 0, t->seen);
	cache_looked(protocol_of(run, t), page);
	next_op(run, t, false);
}

static void look_end(struct run *run, struct thread *t)
{
	uint64_t page = page_of(run, t);
	const struct space *home = &run->c->rank[protocol_home(protocol_of(run, t), page)].space;

	if (look_lingers(run))
		return;
	t->phase = PHASE_START;
	t->here = !snapshot_end(home, home->alias, page, t->grant);
	if (t->here)
		return;
	if (t->seen != t->should && run->c->checks & CHECK_VALUES)
		cluster_fail(run->c, "rank %u sees %llu in page %#llx, word %u: last stored: %llu",
			     t->rank, (unsigned long long)t->seen, (unsigned long long)page,
			     op_of(t)->word, (unsigned long long)t->should);
	if (t->held)
		cluster_fail(run->c, "rank %u sees page %#llx while another rank holds it to write",
			     t->rank, (unsigned long long)page);
	check_holds(run, t, page, false);
	looked(run, t, page);
}

/*
 * Calls that bring a page
 */

static bool is_atomic(const struct thread *t)
{
	return op_of(t)->kind == OP_ADD || op_of(t)->kind == OP_SWAP;
}

static bool is_ready(struct run *run, const struct thread *t)
{
	const struct protocol *p = protocol_of(run, t);
	uint64_t page = page_of(run, t);

	if (is_atomic(t))
		return cache_can_atomic(p, page);
	return op_of(t)->write ? cache_can_write(p, page) : cache_can_read(p, page);
}

static bool may_go_on(struct run *run, const struct thread *t)
{
	return is_ready(run, t) &&
	       (op_of(t)->kind != OP_HOLD ||
		hold_may_join(protocol_of(run, t), page_of(run, t), name_of(run, t)));
}

static void ask(struct run *run, struct thread *t)
{
	struct protocol *p = protocol_of(run, t);
	uint64_t page = page_of(run, t);
	const struct op *op = op_of(t);

	if (is_atomic(t) && !p->pages[page].readers_holding)
		cache_atomic(p, page);
	else if (!is_atomic(t) && !op->write)
		cache_read(p, page, op->ahead, false);
	else if (hold_may_write(p, page, name_of(run, t)))
		cache_write_run(p, page, 1u + op->ahead);
	if (op->kind == OP_HOLD && !is_ready(run, t))
		p->pages[page].fresh = 1;
}

/* Between its going out and its taking effect, and from there to its result, much can happen. */
static void atomic(struct run *run, struct thread *t)
{
	const struct op *op = op_of(t);
	uint64_t page = page_of(run, t), a = t->last, b = cluster_new_value(run->c), old;

	cluster_preempt(run->c);
	if (op->write) /* one that may well succeed */
		a = *cluster_truth(run->c, page, op->word);
	if (op->kind == OP_ADD)
		old = cluster_add(run->c, t->rank, page, op->word);
	else
		old = cluster_swap(run->c, t->rank, page, op->word, a, b);
	check_holds(run, t, page, op->kind == OP_ADD || old == a);
	note(run, t, op->kind == OP_ADD ? EVENT_ADD : EVENT_SWAP, word_of(t), a, b, old);
	t->last = old;
	cluster_preempt(run->c);
	next_op(run, t, false);
}

static void got(struct run *run, struct thread *t)
{
	struct protocol *p = protocol_of(run, t);
	const struct op *op = op_of(t);
	uint64_t page = page_of(run, t);

	if (is_atomic(t)) {
		atomic(run, t);
		hold_wants_nothing(p, name_of(run, t));
		return;
	}
	if (hold_take(p, &t->hold) < 0)
		cluster_fail(run->c, "page %#llx is held too often", (unsigned long long)page);
	if (t->hold.taken - t->hold.first == (uint64_t)op->npages * protocol_granules(p, page)) {
		hold_wants_nothing(p, name_of(run, t));
		next_op(run, t, false);
	} else {
		t->phase = PHASE_START;
	}
}

static void give_up(struct run *run, struct thread *t)
{
	hold_wants_nothing(protocol_of(run, t), name_of(run, t));
	if (op_of(t)->kind == OP_HOLD)
		release(run, t, false);
	next_op(run, t, true);
}

static bool has_room(struct run *run, const struct thread *t)
{
	struct protocol *p = protocol_of(run, t);
	uint64_t page = page_of(run, t);

	return protocol_home(p, page) == t->rank || p->pages[page].frame ||
	       cache_make_room(p, protocol_granules(p, page));
}

static void page_start(struct run *run, struct thread *t)
{
	struct protocol *p = protocol_of(run, t);
	uint64_t page = page_of(run, t);
	struct granule *g = granule_of(run, t);
	const struct op *op = op_of(t);

	if (op->kind == OP_HOLD && !t->holding)
		hold_begin(p, &t->hold, page, op->write, name_of(run, t));
	t->holding |= op->kind == OP_HOLD;
	t->wakes = g->call_wakes;
	t->fails = g->fails;
	if (op->kind == OP_HOLD && !has_room(run, t)) {
		give_up(run, t);
		return;
	}
	if (!is_ready(run, t) && !p->pages[page].lost)
		ask(run, t);
	if (may_go_on(run, t))
		got(run, t);
	else if (p->pages[page].lost || g->fails != t->fails)
		give_up(run, t);
	else
		t->phase = PHASE_PAGE;
}

static void prefetch(struct run *run, struct thread *t)
{
	const struct page *pg = cluster_state(run->c, t->rank, page_of(run, t));

	if (!pg->pending && !pg->lost && !pg->readers_holding && !is_ready(run, t))
		ask(run, t);
	next_op(run, t, false);
}

/* A wait for a page is over: it has failed, or is to be looked at again. */
static void page_woken(struct run *run, struct thread *t)
{
	if (granule_of(run, t)->fails == t->fails)
		t->phase = PHASE_START;
	else
		give_up(run, t);
}

/*
 * Locks and barriers
 */

/* A lock's home is a matter of its key; these are spread over the ranks. */
static uint64_t lock_key(unsigned lock)
{
	return 0x1000u + lock * 64u;
}

static void lock_taken(struct run *run, struct thread *t)
{
	unsigned lock = op_of(t)->page;
	uint8_t *owner = &run->lock_owner[lock];

	if (*owner != NOBODY)
		cluster_fail(run->c, "thread %u of rank %u has lock %u, and so has thread %u",
			     index_of(run, t), t->rank, lock, *owner);
	*owner = (uint8_t)index_of(run, t);
	t->locked[lock] = true;
	note(run, t, EVENT_LOCK, lock_word(lock), 0, 0, 0);
}

static void barrier_left(struct run *run, struct thread *t)
{
	unsigned barrier = t->barriers - 1;

	if (run->arrived[barrier] != run->c->n)
		cluster_fail(run->c, "rank %u leaves barrier %u, at which %u of %u are", t->rank,
			     barrier, run->arrived[barrier], run->c->n);
	note(run, t, EVENT_LEAVE, barrier_word(), (uint64_t)run->c->n * t->barriers, 0, 0);
}

/* A lock or a barrier is had, or never will be. */
static void call_done(struct run *run, struct thread *t, int err)
{
	const struct op *op = op_of(t);
	unsigned blame = t->call.wait.blame;
	bool may = op->kind == OP_LOCK && ((err == -EBUSY && op->how == LOCK_TRY) ||
					   (err == -ETIMEDOUT && op->how == LOCK_TIMED));

	if (err == -EHOSTDOWN)
		may = blame < run->c->n && run->c->rank[blame].dead;
	if (err < 0 && !may)
		cluster_fail(run->c, "rank %u: %s fails: %s, rank %u", t->rank, op_name(op->kind),
			     strerror(-err), blame);
	if (err == 0 && op->kind == OP_LOCK)
		lock_taken(run, t);
	else if (err == 0)
		barrier_left(run, t);
	next_op(run, t, err < 0);
}

static void call_start(struct run *run, struct thread *t)
{
	const struct op *op = op_of(t);
	struct sync *s = run->c->rank[t->rank].node.sync;
	int err;

	t->call = (struct call){ .wait = { .blame = WIRE_NO_RANK } };
	t->cancelled = false;
	t->deadline = run->c->events + (1u + op->ahead) * TIMED_EVENTS;
	t->phase = PHASE_CALL;
	if (op->kind == OP_BARRIER) {
		run->arrived[t->barriers++]++;
		note(run, t, EVENT_ARRIVE, barrier_word(), 0, 0, 0);
		err = sync_barrier(s, &t->call.wait, false);
	} else {
		err = sync_lock(s, lock_key(op->page), &t->call.wait, op->how == LOCK_TRY);
	}
	if (err <= 0)
		call_done(run, t, err);
}

static void unlock(struct run *run, struct thread *t)
{
	unsigned lock = op_of(t)->page;

	if (t->locked[lock]) {
		note(run, t, EVENT_UNLOCK, lock_word(lock), 0, 0, 0);
		t->locked[lock] = false;
		run->lock_owner[lock] = NOBODY;
		if (sync_unlock(run->c->rank[t->rank].node.sync, lock_key(lock)) < 0)
			cluster_fail(run->c, "rank %u cannot unlock lock %u, which it holds",
				     t->rank, lock);
	}
	next_op(run, t, false);
}

static bool may_cancel(struct run *run, const struct thread *t)
{
	return op_of(t)->kind == OP_LOCK && op_of(t)->how == LOCK_TIMED && !t->cancelled &&
	       run->c->events >= t->deadline;
}

static void call_woken(struct run *run, struct thread *t)
{
	if (t->call.done) {
		call_done(run, t, t->call.wait.result);
		return;
	}
	t->cancelled = true;
	if (sync_cancel(run->c->rank[t->rank].node.sync, &t->call.wait) == 0)
		call_done(run, t, t->call.wait.result);
}

/*
 * Threads
 */

static bool thread_waits(struct run *run, const struct thread *t)
{
	const struct granule *g;

	if (t->phase == PHASE_CALL)
		return !t->call.done && !may_cancel(run, t);
	if (t->phase != PHASE_PAGE)
		return false;
	g = granule_of(run, t);
	return (is_access(t) ? g->fault_wakes : g->call_wakes) == t->wakes;
}

static bool needs_no_lock(const struct thread *t)
{
	return (t->phase == PHASE_START && is_access(t)) || t->phase == PHASE_LOOKED;
}

static bool app_ready(void *app, unsigned i)
{
	struct run *run = app;
	const struct thread *t = &run->thread[i];
	const struct vrank *v = &run->c->rank[t->rank];

	if (t->phase == PHASE_OVER || v->dead || v->paused_until > run->c->events)
		return false;
	/* A mapped access needs no lock; all else does. */
	return (!v->busy || needs_no_lock(t)) && !thread_waits(run, t);
}

static void start(struct run *run, struct thread *t)
{
	switch (op_of(t)->kind) {
	case OP_ADD:
	case OP_SWAP:
	case OP_HOLD:
		page_start(run, t);
		break;
	case OP_PREFETCH:
		prefetch(run, t);
		break;
	case OP_LOOK:
		look_start(run, t);
		break;
	case OP_UNHOLD:
		release(run, t, op_of(t)->write);
		next_op(run, t, false);
		break;
	case OP_UNLOCK:
		unlock(run, t);
		break;
	default:
		call_start(run, t);
		break;
	}
}

static void step(struct run *run, struct thread *t)
{
	switch (t->phase) {
	case PHASE_START:
		start(run, t);
		break;
	case PHASE_FAULTED:
		access_fault(run, t);
		break;
	case PHASE_PAGE:
		page_woken(run, t);
		break;
	case PHASE_CALL:
		call_woken(run, t);
		break;
	case PHASE_LOADED:
		look_end(run, t);
		break;
	case PHASE_LOOKED:
	case PHASE_OVER:
		break;
	}
}

static void app_run(void *app, unsigned i)
{
	struct run *run = app;
	struct thread *t = &run->thread[i];

	if (needs_no_lock(t)) {
		if (t->phase == PHASE_LOOKED)
			look_load(run, t);
		else
			access_start(run, t);
		return;
	}
	cluster_enter(run->c, t->rank);
	step(run, t);
	cluster_leave(run->c, t->rank);
}

/* Not before the threads that faulted on the page have had it; and now and then not even then. */
static bool settled(void *app, unsigned rank, uint64_t page)
{
	struct run *run = app;

	for (unsigned i = 0; i < run->plan->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (t->rank == rank && t->phase != PHASE_OVER && is_access(t) &&
		    page_of(run, t) == page &&
		    (t->phase == PHASE_START || t->phase == PHASE_PAGE) && !thread_waits(run, t))
			return cluster_chance(run->c, 30);
	}
	return !cluster_chance(run->c, run->plan->fresh_percent);
}

/*
 * A run
 */

static void run_init(struct run *run, const struct plan *plan, const struct run_options *o)
{
	struct cluster *c =
		cluster_create(plan->nranks, plan->nblocks, (enum cluster_mode)plan->mode,
			       plan->cache_granules, o->seed);

	run->plan = plan;
	run->c = c;
	for (unsigned b = 0; b < plan->nblocks; b++)
		cluster_block(c, b, plan->home[b], plan->shift[b]);
	cluster_group(c, plan->group);
	for (unsigned i = 0; i < plan->npages; i++)
		cluster_page(c, plan->page[i].block, plan->page[i].index);
	c->slow = (enum cluster_slow)plan->slow;
	c->slow_rank = plan->slow_rank;
	c->preempt_percent = plan->preempt_percent;
	c->map_fail_percent = plan->map_fail_percent;
	c->replay = o->replay;
	c->record = o->record;
	c->checks = o->checks;
	c->trace = o->trace;
	c->events_max = EVENTS_MAX;
	c->app = run;
	c->app_ready = app_ready;
	c->app_run = app_run;
	c->settled = settled;
	c->nthreads = plan->nthreads;
	memset(run->lock_owner, NOBODY, sizeof(run->lock_owner));
	for (unsigned i = 0; i < plan->nthreads; i++) {
		const struct plan_thread *t = &plan->thread[i];

		run->thread[i] = (struct thread){ .plan = t,
						  .rank = t->rank,
						  .phase = t->nops ? PHASE_START : PHASE_OVER };
	}
}

static void happen(struct run *run, const struct incident *in)
{
	struct vrank *v = &run->c->rank[in->rank];

	if (v->dead)
		return;
	if (in->kind == INCIDENT_DEATH)
		cluster_kill(run->c, in->rank, in->drain);
	else if (in->kind == INCIDENT_PAUSE)
		v->paused_until = run->c->events + in->events;
	else
		cluster_reclaim(run->c, in->rank, run->c->page[in->page]);
}

static void incidents(struct run *run, uint64_t *done)
{
	for (unsigned i = 0; i < run->plan->nincidents; i++) {
		if (*done >> i & 1 || run->plan->incident[i].event > run->c->events)
			continue;
		*done |= 1ull << i;
		happen(run, &run->plan->incident[i]);
	}
}

/* Time goes on: every so many events the clock ticks that tells whether a page was recalled lately.
 */
static bool go_on(struct run *run)
{
	run->c->tick = run->c->events / TICK_EVENTS;
	return cluster_step(run->c);
}

/* Nothing can happen now. Until when? False: until the end of time. */
static bool wait_for_time(struct run *run)
{
	struct cluster *c = run->c;
	uint64_t when = UINT64_MAX;

	for (unsigned r = 0; r < c->n; r++)
		if (!c->rank[r].dead && c->rank[r].paused_until > c->events &&
		    c->rank[r].paused_until < when)
			when = c->rank[r].paused_until;
	for (unsigned i = 0; i < run->plan->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (t->phase == PHASE_CALL && !c->rank[t->rank].dead && !t->cancelled &&
		    op_of(t)->kind == OP_LOCK && op_of(t)->how == LOCK_TIMED &&
		    t->deadline > c->events && t->deadline < when)
			when = t->deadline;
	}
	if (when == UINT64_MAX)
		return false;
	c->events = when;
	return true;
}

static void nothing_waits(struct run *run)
{
	for (unsigned i = 0; i < run->plan->nthreads; i++) {
		const struct thread *t = &run->thread[i];

		if (!run->c->rank[t->rank].dead && t->phase != PHASE_OVER)
			cluster_fail(run->c, "thread %u of rank %u waits for ever: %s %u", i,
				     t->rank, op_name(op_of(t)->kind), op_of(t)->page);
	}
	cluster_check_quiet(run->c);
}

/* Everybody reads everything once more: what was stored and added is there. */
static void read_all(struct run *run)
{
	struct cluster *c = run->c;
	unsigned ranks = 0; /* that have, as bits */

	run->last_reads.nops = 0;
	for (unsigned i = 0; i < c->npages * CLUSTER_WORDS; i++)
		run->last_reads.op[run->last_reads.nops++] =
			(struct op){ .kind = OP_LOAD,
				     .page = (uint8_t)(i / CLUSTER_WORDS),
				     .word = (uint8_t)(i % CLUSTER_WORDS) };
	for (unsigned i = 0; i < c->nthreads; i++) {
		struct thread *t = &run->thread[i];

		if (c->rank[t->rank].dead || ranks >> t->rank & 1)
			continue;
		ranks |= 1u << t->rank;
		c->rank[t->rank].paused_until = 0;
		t->plan = &run->last_reads;
		t->next = 0;
		t->phase = PHASE_START;
		cluster_run(c);
		nothing_waits(run);
	}
}

void run_plan(const struct plan *plan, const struct run_options *o, struct run_result *result)
{
	struct run *run = calloc(1, sizeof(*run));
	uint64_t done = 0;

	if (!run)
		abort();
	now = run;
	run->result = result;
	run_init(run, plan, o);
	do {
		incidents(run, &done);
	} while (go_on(run) || wait_for_time(run));
	nothing_waits(run);
	run->c->map_fail_percent = 0;
	read_all(run);
	switch (history_check(&run->history)) {
	case HISTORY_YES:
		break;
	case HISTORY_NO:
		cluster_fail(run->c, "the history is not sequentially consistent");
	case HISTORY_UNDECIDED:
		result->undecided++;
	}
	result->events += run->c->events;
	result->messages += run->c->messages;
	cluster_destroy(run->c);
	free(run);
	now = NULL;
}

const struct history *run_history(void)
{
	return now ? &now->history : NULL;
}
