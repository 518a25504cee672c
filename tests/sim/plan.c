/* SPDX-License-Identifier: MIT */
/*
 * See plan.h. What makes a program end, whatever the schedule: holds are taken in ascending order
 * of pages and locks of keys; who holds a page waits for nothing but what it holds, and for nothing
 * at all if it holds two; a held page is upgraded by one thread of a rank alone.
 */
#include <string.h>

#include "plan.h"

/*
 * Making one: each plan draws how often it has which operation (Groce, Zhang, Eide, Chen, Regehr,
 * "Swarm testing", 2012), so that some have much of one kind and nothing of another.
 */

struct maker {
	struct plan *plan;
	uint64_t random;
	unsigned weight[OP_KINDS];
	unsigned weights;
	struct plan_thread *thread;
	bool first; /* the rank's first thread */
	uint8_t pairs;
};

static unsigned draw(struct maker *m, unsigned below)
{
	return (unsigned)(random_next(&m->random) % below);
}

static bool chance(struct maker *m, unsigned percent)
{
	return draw(m, 100) < percent;
}

static unsigned shift_of(const struct plan *p, unsigned page)
{
	return p->shift[p->page[page].block];
}

/* Is the next page of the plan the page behind this one? */
static bool has_next(const struct plan *p, unsigned page)
{
	return page + 1u < p->npages && p->page[page + 1].block == p->page[page].block;
}

static void add(struct maker *m, struct op op)
{
	if (m->thread->nops < PLAN_OPS_MAX)
		m->thread->op[m->thread->nops++] = op;
}

/* Is there room for n operations, and the ends of what is open? */
static bool room_for(const struct maker *m, unsigned n)
{
	return m->thread->nops + n + 4 <= PLAN_OPS_MAX;
}

static struct op any_access(struct maker *m, unsigned page)
{
	static const uint8_t kinds[] = { OP_LOAD, OP_LOAD, OP_STORE, OP_STORE, OP_ADD, OP_SWAP };
	unsigned kind = kinds[draw(m, sizeof(kinds))];

	if (m->weight[kind] == 0)
		kind = chance(m, 50) ? OP_LOAD : OP_STORE;
	return (struct op){ .kind = (uint8_t)kind,
			    .page = (uint8_t)page,
			    .word = (uint8_t)draw(m, CLUSTER_WORDS),
			    .ahead = chance(m, 30) ? (uint8_t)draw(m, 4) : 0 };
}

static void add_hold(struct maker *m)
{
	struct op op = { .kind = OP_HOLD, .pair = ++m->pairs };
	unsigned n = draw(m, 4);

	op.page = (uint8_t)draw(m, m->plan->npages);
	op.npages = has_next(m->plan, op.page) && chance(m, 40) ? 2 : 1;
	op.write = chance(m, 50);
	op.ahead = chance(m, 30) ? (uint8_t)draw(m, 4) : 0;
	add(m, op);
	while (n-- && room_for(m, 1)) {
		struct op in = any_access(m, op.page + draw(m, op.npages));

		if (!op.write && (op.npages > 1 || !m->first || chance(m, 70)))
			in.kind = OP_LOAD;
		add(m, in);
	}
	op.kind = OP_UNHOLD;
	op.write = chance(m, 50);
	add(m, op);
}

static void add_one(struct maker *m, unsigned kind)
{
	struct op op = any_access(m, draw(m, m->plan->npages));

	op.kind = (uint8_t)kind;
	op.write = chance(m, 50);
	if (kind == OP_HOLD)
		add_hold(m);
	else
		add(m, op);
}

static unsigned any_kind(struct maker *m)
{
	unsigned at = draw(m, m->weights), kind = 0;

	while (at >= m->weight[kind])
		at -= m->weight[kind++];
	return kind;
}

static void add_locked(struct maker *m, unsigned from)
{
	struct op op = { .kind = OP_LOCK, .pair = ++m->pairs };
	unsigned n = 1 + draw(m, 3);

	op.page = (uint8_t)(from + draw(m, PLAN_LOCKS - from));
	op.how = chance(m, 60) ? LOCK_WAIT : chance(m, 50) ? LOCK_TRY : LOCK_TIMED;
	op.ahead = (uint8_t)draw(m, 8);
	add(m, op);
	while (n-- && room_for(m, 7)) {
		unsigned kind = any_kind(m);

		if (kind != OP_LOCK)
			add_one(m, kind);
		else if (op.page + 1u < PLAN_LOCKS)
			add_locked(m, op.page + 1u);
	}
	op.kind = OP_UNLOCK;
	add(m, op);
}

static void make_thread(struct maker *m, unsigned nops_max)
{
	unsigned nops = 1 + draw(m, nops_max), barriers = 0;

	for (unsigned i = 0; i < nops && room_for(m, 9); i++) {
		unsigned kind = any_kind(m);

		if (m->first && barriers < m->plan->nbarriers && chance(m, 20))
			add(m, (struct op){ .kind = OP_BARRIER, .pair = (uint8_t)barriers++ });
		if (kind == OP_LOCK)
			add_locked(m, 0);
		else
			add_one(m, kind);
	}
	while (m->first && barriers < m->plan->nbarriers)
		add(m, (struct op){ .kind = OP_BARRIER, .pair = (uint8_t)barriers++ });
}

static void make_weights(struct maker *m)
{
	static const uint8_t usual[OP_KINDS] = {
		[OP_LOAD] = 30,    [OP_STORE] = 25, [OP_ADD] = 6,  [OP_SWAP] = 4,
		[OP_PREFETCH] = 6, [OP_HOLD] = 10,  [OP_LOCK] = 6, [OP_LOOK] = 10
	};
	static const uint8_t times[] = { 0, 1, 1, 4 };

	for (unsigned kind = 0; kind < OP_KINDS; kind++) {
		m->weight[kind] = usual[kind] * times[draw(m, sizeof(times))];
		if ((kind == OP_LOAD || kind == OP_STORE) && !m->weight[kind])
			m->weight[kind] = 5;
		m->weights += m->weight[kind];
	}
}

static void make_pages(struct maker *m)
{
	struct plan *p = m->plan;

	p->nblocks = (uint8_t)(1 + draw(m, 2));
	for (unsigned b = 0; b < p->nblocks; b++) {
		unsigned n = 1 + draw(m, 3);

		p->home[b] = (uint8_t)draw(m, p->nranks);
		p->shift[b] = chance(m, 25) ? (uint8_t)(1 + draw(m, 2)) : 0;
		for (unsigned i = 0; i < n; i++)
			p->page[p->npages++] = (struct plan_page){ (uint8_t)b, (uint8_t)i };
	}
}

static void make_incidents(struct maker *m)
{
	struct plan *p = m->plan;
	unsigned deaths = chance(m, 25) ? 1 + draw(m, p->nranks - 1u) : 0, n = deaths + draw(m, 3);

	for (unsigned i = 0; i < n && i < PLAN_INCIDENTS_MAX; i++) {
		struct incident *in = &p->incident[p->nincidents++];

		in->kind = i < deaths      ? INCIDENT_DEATH
			   : chance(m, 50) ? INCIDENT_PAUSE
					   : INCIDENT_RECLAIM;
		in->rank = (uint8_t)draw(m, p->nranks);
		in->page = (uint8_t)draw(m, p->npages);
		in->drain = chance(m, 30);
		in->event = draw(m, chance(m, 50) ? 60 : 400);
		in->events = 20 + draw(m, 300);
	}
}

void plan_create(struct plan *p, uint64_t seed)
{
	static const uint8_t percents[] = { 0, 3, 10, 25 };
	struct maker m = { .plan = p, .random = seed };
	unsigned nops_max, per_rank;

	memset(p, 0, sizeof(*p));
	random_next(&m.random);
	p->nranks = (uint8_t)(chance(&m, 70) ? 2 + draw(&m, 2) : 2 + draw(&m, PLAN_RANKS_MAX - 1));
	p->group = (uint8_t)(seed >> PLAN_GROUP_SHIFT);
	make_pages(&m);
	make_weights(&m);
	p->mode = chance(&m, 60) ? CLUSTER_RDMA : CLUSTER_SHM;
	p->cache_granules = chance(&m, 35) ? (uint16_t)(1 + draw(&m, 6)) : 4096;
	p->slow = (uint8_t)draw(&m, SLOW_KINDS);
	p->slow_rank = (uint8_t)draw(&m, p->nranks);
	p->preempt_percent = percents[draw(&m, 4)];
	p->fresh_percent = percents[draw(&m, 4)];
	p->map_fail_percent = chance(&m, 8) ? 5 : 0;
	p->nbarriers = chance(&m, 30) ? (uint8_t)(1 + draw(&m, 2)) : 0;
	make_incidents(&m);
	nops_max = chance(&m, 50) ? 4 : 14;
	per_rank = chance(&m, 50) ? 1 : 1 + draw(&m, 3);
	for (unsigned i = 0; i < p->nranks * per_rank && i < PLAN_THREADS_MAX; i++) {
		m.thread = &p->thread[p->nthreads++];
		m.thread->rank = (uint8_t)(i % p->nranks);
		m.first = i < p->nranks;
		make_thread(&m, nops_max);
	}
}

/*
 * Making it smaller
 */

static void cut_op(struct plan_thread *t, unsigned op)
{
	memmove(&t->op[op], &t->op[op + 1], (--t->nops - op) * sizeof(*t->op));
}

void plan_remove_op(struct plan *p, unsigned thread, unsigned op)
{
	struct op is = p->thread[thread].op[op];
	bool barrier = is.kind == OP_BARRIER;

	cut_op(&p->thread[thread], op);
	if (!is.pair && !barrier)
		return;
	for (unsigned i = 0; i < p->nthreads; i++)
		for (unsigned k = p->thread[i].nops; k-- > 0;) {
			const struct op *o = &p->thread[i].op[k];

			if (o->pair == is.pair && (o->kind == OP_BARRIER) == barrier &&
			    (o->pair || barrier) && (barrier || i == thread))
				cut_op(&p->thread[i], k);
		}
}

void plan_remove_thread(struct plan *p, unsigned thread)
{
	memmove(&p->thread[thread], &p->thread[thread + 1],
		(--p->nthreads - thread) * sizeof(*p->thread));
}

void plan_remove_incident(struct plan *p, unsigned i)
{
	memmove(&p->incident[i], &p->incident[i + 1], (--p->nincidents - i) * sizeof(*p->incident));
}

static uint8_t renumbered(uint8_t rank, unsigned removed)
{
	return rank > removed || (rank == removed && rank > 0) ? rank - 1 : rank;
}

void plan_remove_rank(struct plan *p, unsigned rank)
{
	for (unsigned i = p->nthreads; i-- > 0;) {
		if (p->thread[i].rank == rank)
			plan_remove_thread(p, i);
		else
			p->thread[i].rank = renumbered(p->thread[i].rank, rank);
	}
	for (unsigned i = p->nincidents; i-- > 0;) {
		if (p->incident[i].rank == rank)
			plan_remove_incident(p, i);
		else
			p->incident[i].rank = renumbered(p->incident[i].rank, rank);
	}
	for (unsigned b = 0; b < p->nblocks; b++)
		p->home[b] = renumbered(p->home[b], rank);
	p->slow_rank = renumbered(p->slow_rank, rank);
	p->nranks--;
}

/*
 * Printing
 */

const char *op_name(unsigned kind)
{
	static const char *const names[OP_KINDS] = { "-",         "load",         "store",
						     "fetch_add", "compare_swap", "prefetch",
						     "acquire",   "release",      "lock",
						     "unlock",    "barrier",      "look" };

	return kind < OP_KINDS ? names[kind] : "?";
}

void op_print(const struct op *op, FILE *to)
{
	static const char *const hows[] = { "", "_try", "_timed" };

	fputs(op_name(op->kind), to);
	if (op->kind == OP_LOCK || op->kind == OP_UNLOCK)
		fprintf(to, "%s %u", op->kind == OP_LOCK ? hows[op->how] : "", op->page);
	else if (op->kind == OP_HOLD)
		fprintf(to, " p%u..%u %s", op->page, op->page + op->npages - 1,
			op->write ? "write" : "read");
	else if (op->kind == OP_UNHOLD)
		fprintf(to, " p%u%s", op->page, op->write ? " through" : "");
	else if (op->kind == OP_PREFETCH)
		fprintf(to, " p%u %s", op->page, op->write ? "write" : "read");
	else if (op->kind != OP_BARRIER)
		fprintf(to, " p%u.%u", op->page, op->word);
	if (op->ahead && op->kind != OP_LOCK && op->kind != OP_UNLOCK && op->kind != OP_UNHOLD)
		fprintf(to, " +%u", op->ahead);
}

static void incident_print(const struct incident *in, FILE *to)
{
	fprintf(to, "  at event %u: rank %u ", in->event, in->rank);
	if (in->kind == INCIDENT_DEATH)
		fprintf(to, "dies%s\n", in->drain ? ", all it sent arrives" : "");
	else if (in->kind == INCIDENT_PAUSE)
		fprintf(to, "pauses for %u events\n", in->events);
	else
		fprintf(to, "loses its mapping of p%u to the kernel\n", in->page);
}

void plan_print(const struct plan *p, FILE *to)
{
	static const char *const slow[] = { "nothing", "chains", "sender", "receiver", "threads" };

	fprintf(to,
		"  %u ranks, %s, cache of %u granules, slow: %s %u, preempt %u %%, "
		"unsettled %u %%, mapping fails %u %%\n",
		p->nranks, p->mode == CLUSTER_SHM ? "shm" : "rdma", p->cache_granules,
		slow[p->slow], p->slow_rank, p->preempt_percent, p->fresh_percent,
		p->map_fail_percent);
	for (unsigned i = 0; i < p->npages; i++)
		fprintf(to, "  p%u: page %u of block %u, home %u, %u granules\n", i,
			p->page[i].index, p->page[i].block, p->home[p->page[i].block],
			1u << shift_of(p, i));
	for (unsigned i = 0; i < p->nthreads; i++) {
		fprintf(to, "  thread %u of rank %u:", i, p->thread[i].rank);
		for (unsigned k = 0; k < p->thread[i].nops; k++) {
			fputs(k ? "; " : " ", to);
			op_print(&p->thread[i].op[k], to);
		}
		fputc('\n', to);
	}
	for (unsigned i = 0; i < p->nincidents; i++)
		incident_print(&p->incident[i], to);
}
