/* SPDX-License-Identifier: MIT */
/*
 * See virtual_cluster.h. Here: set-up, the protocol's actions, what moves, and the schedule.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtual_cluster.h"
#include "virtual_directory.h"

/* More events than any schedule of the tests needs. */
#define EVENTS_MAX 400000u
/* Events inside events inside events. */
#define DEPTH_MAX 2u

static const struct protocol_ops ops;
static struct cluster *now; /* for the hook in the directory, which knows no cluster */

static void trace(struct cluster *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void trace(struct cluster *c, const char *fmt, ...)
{
	va_list args;

	if (!c->trace)
		return;
	fprintf(stderr, "%6llu %*s", (unsigned long long)c->events, (int)c->depth * 2, "");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
uint64_t cluster_random(struct cluster *c, uint64_t below)
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % below;
}

bool cluster_chance(struct cluster *c, unsigned percent)
{
	return percent && cluster_random(c, 100) < percent;
}

/*
 * Set-up
 */

static void hook(void)
{
	cluster_preempt(now);
}

static void *zeroed(size_t n, size_t each)
{
	void *p = calloc(n, each);

	if (!p)
		abort();
	return p;
}

static void rank_create(struct cluster *c, unsigned r, uint64_t cache_granules)
{
	struct vrank *v = &c->rank[r];
	uint64_t len = c->nblocks * BLOCK_BYTES, granules = len / GRANULE_BYTES;
	unsigned words = (c->n + 63) / 64;

	v->cluster = c;
	v->rank = r;
	v->space = (struct space){ .len_bytes = len,
				   .segment_bytes = len + granules * 8 * (1 + words),
				   .rank_words = words,
				   .memfd = -1 };
	v->space.alias = zeroed(1, v->space.segment_bytes);
	v->granules = zeroed(granules, sizeof(*v->granules));
	v->slots = zeroed(1, len);
	if (protocol_init(&v->protocol, &ops, v, r, c->n, &v->space, v->blocks, &v->stats,
			  cache_granules << GRANULE_SHIFT) < 0)
		abort();
}

struct cluster *cluster_create(unsigned n, unsigned nblocks, enum cluster_mode mode,
			       uint64_t cache_granules, uint64_t seed)
{
	struct cluster *c = zeroed(1, sizeof(*c));

	c->n = n;
	c->nblocks = nblocks;
	c->mode = mode;
	c->seed = c->random = seed;
	c->trace = getenv("TRACE") != NULL;
	c->rank = zeroed(n, sizeof(*c->rank));
	c->queue = zeroed((size_t)n * n, sizeof(*c->queue));
	for (unsigned i = 0; i < n * n; i++)
		CDS_INIT_LIST_HEAD(&c->queue[i]);
	CDS_INIT_LIST_HEAD(&c->chains);
	for (unsigned r = 0; r < n; r++)
		rank_create(c, r, cache_granules);
	for (unsigned b = 0; b < nblocks; b++)
		cluster_block(c, b, b % n, 0);
	now = c;
	virtual_directory_hook = hook;
	return c;
}

static void chain_free(struct chain *ch)
{
	cds_list_del(&ch->link);
	free(ch->landing);
	free(ch);
}

static void item_free(struct item *i)
{
	cds_list_del(&i->link);
	free(i);
}

void cluster_destroy(struct cluster *c)
{
	struct item *i, *next;
	struct chain *ch, *after;

	virtual_directory_hook = NULL;
	for (unsigned q = 0; q < c->n * c->n; q++)
		cds_list_for_each_entry_safe(i, next, &c->queue[q], link)
			item_free(i);
	cds_list_for_each_entry_safe(ch, after, &c->chains, link)
		chain_free(ch);
	for (unsigned r = 0; r < c->n; r++) {
		protocol_fini(&c->rank[r].protocol);
		free(c->rank[r].space.alias);
		free(c->rank[r].granules);
		free(c->rank[r].slots);
	}
	free(c->queue);
	free(c->rank);
	free(c);
}

void cluster_block(struct cluster *c, unsigned block, unsigned home, unsigned page_shift)
{
	for (unsigned r = 0; r < c->n; r++) {
		struct vrank *v = &c->rank[r];

		v->blocks[block] = (struct block){ .home = (uint16_t)home,
						   .page_shift = (uint8_t)page_shift,
						   .in_use = 1 };
		for (uint64_t g = 0; g < GRANULES_PER_BLOCK; g++)
			v->granules[block * GRANULES_PER_BLOCK + g].frame = r == home;
	}
}

uint64_t cluster_page(struct cluster *c, unsigned block, unsigned index)
{
	uint64_t page = block * GRANULES_PER_BLOCK +
			((uint64_t)index << c->rank[0].blocks[block].page_shift);

	return c->page[c->npages++] = page;
}

/*
 * What moves
 */

static struct cds_list_head *queue_of(struct cluster *c, unsigned from, unsigned to)
{
	return &c->queue[from * c->n + to];
}

static struct item *enqueue(struct cluster *c, unsigned from, unsigned to, enum item_kind kind,
			    uint64_t page, size_t len_bytes)
{
	struct item *i = zeroed(1, sizeof(*i) + len_bytes);

	i->kind = kind;
	i->page = page;
	i->len_bytes = len_bytes;
	cds_list_add_tail(&i->link, queue_of(c, from, to));
	return i;
}

void cluster_enter(struct cluster *c, unsigned rank)
{
	if (c->rank[rank].busy)
		cluster_fail(c, "rank %u: an event inside an event", rank);
	c->rank[rank].busy = true;
	c->depth++;
}

void cluster_leave(struct cluster *c, unsigned rank)
{
	c->depth--;
	c->rank[rank].busy = false;
}

/* Finish the chains of a rank to a home that it has learnt to be dead. */
static void chains_cut(struct cluster *c, unsigned rank, unsigned home)
{
	struct chain *ch;

	cds_list_for_each_entry(ch, &c->chains, link) {
		if (ch->rank != rank || ch->fetch->rank != home || ch->step == 3 * ch->fetch->n)
			continue;
		ch->step = 3 * ch->fetch->n;
		ch->status = -EHOSTDOWN;
	}
}

static void item_run(struct cluster *c, unsigned from, unsigned to, struct item *i)
{
	struct vrank *v = &c->rank[to];
	uint64_t offset = i->page << GRANULE_SHIFT;

	cds_list_del(&i->link);
	switch (i->kind) {
	case ITEM_WRITE:
		trace(c, "%u: page %llx of rank %u lands", to, (unsigned long long)i->page, from);
		memcpy(v->space.alias + offset, i->data, i->len_bytes);
		break;
	case ITEM_PUSH:
		trace(c, "%u: page %llx pushed by %u lands", to, (unsigned long long)i->page, from);
		memcpy(v->slots + offset, i->data, i->len_bytes);
		break;
	case ITEM_MSG:
		trace(c, "%u: %s from %u, page %llx, flags %u", to, msg_name(i->msg.kind), from,
		      (unsigned long long)i->msg.page, i->msg.flags);
		cluster_enter(c, to);
		protocol_message(&v->protocol, &i->msg);
		cluster_leave(c, to);
		break;
	case ITEM_DOWN:
		trace(c, "%u: rank %u is down", to, from);
		cluster_enter(c, to);
		chains_cut(c, to, from);
		protocol_rank_down(&v->protocol, from);
		cluster_leave(c, to);
		break;
	}
	free(i);
}

/* Can the item be run now? One-sided ones need no processor. */
static bool item_ready(struct cluster *c, unsigned to, const struct item *i)
{
	if (i->kind == ITEM_WRITE || i->kind == ITEM_PUSH)
		return true;
	return !c->rank[to].busy;
}

unsigned cluster_deliver(struct cluster *c, unsigned from, unsigned to)
{
	struct cds_list_head *q = queue_of(c, from, to);

	while (!cds_list_empty(q)) {
		struct item *i = cds_list_first_entry(q, struct item, link);
		unsigned kind = i->kind == ITEM_MSG ? i->msg.kind : (unsigned)MSG_NONE;
		bool last = i->kind == ITEM_MSG || i->kind == ITEM_DOWN;

		item_run(c, from, to, i);
		cluster_check(c);
		if (last)
			return kind;
	}
	return MSG_NONE;
}

void cluster_expect(struct cluster *c, unsigned from, unsigned to, unsigned kind)
{
	unsigned came = cluster_deliver(c, from, to);

	if (came != kind)
		cluster_fail(c, "rank %u sent %s to %u, not %s", from, msg_name(came), to,
			     msg_name(kind));
}

unsigned cluster_queued(struct cluster *c, unsigned from, unsigned to)
{
	struct item *i;
	unsigned n = 0;

	cds_list_for_each_entry(i, queue_of(c, from, to), link)
		n += i->kind == ITEM_MSG;
	return n;
}

/*
 * Read chains
 */

/* Step 3 * i + 0, 1, 2: register for page i, read its grant, read its data. */
static void fetch_step(struct cluster *c, unsigned rank, struct transport_fetch *f, unsigned step,
		       uint8_t *landing)
{
	struct vrank *home = &c->rank[f->rank];
	unsigned i = step / 3;
	uint64_t page = f->granule + ((uint64_t)i << f->shift);
	size_t len = GRANULE_BYTES << f->shift;
	uint64_t *readers = segment_readers(&home->space, home->space.alias, page) + rank / 64;

	if (step % 3 == 0 && f->add >> i & 1) {
		cluster_check_add(c, rank, page);
		__atomic_fetch_add(readers, 1ull << rank % 64, __ATOMIC_SEQ_CST);
	} else if (step % 3 == 1) {
		f->grant[i] = *segment_grant(&home->space, home->space.alias, page);
		trace(c, "%u: chain reads grant %llx of page %llx", rank,
		      (unsigned long long)f->grant[i], (unsigned long long)page);
	} else if (step % 3 == 2 && landing) {
		memcpy(landing + i * len, segment_page(home->space.alias, page), len);
	}
}

static int op_fetch(void *env, struct transport_fetch *f)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	struct chain *ch;

	trace(c, "%u: chain for %u pages at %llx, add %llx", v->rank, f->n,
	      (unsigned long long)f->granule, (unsigned long long)f->add);
	if (rankset_has(&v->protocol.down, f->rank))
		return -EHOSTDOWN;
	if (c->mode == CLUSTER_SHM) {
		for (unsigned step = 0; step < 3 * f->n; step++) {
			cluster_preempt(c);
			fetch_step(c, v->rank, f, step, NULL);
		}
		f->data = segment_page(c->rank[f->rank].space.alias, f->granule);
		return 0;
	}
	ch = zeroed(1, sizeof(*ch));
	ch->rank = v->rank;
	ch->fetch = f;
	ch->landing = zeroed(f->n, GRANULE_BYTES << f->shift);
	cds_list_add_tail(&ch->link, &c->chains);
	cluster_preempt(c);
	return 1;
}

static bool chain_complete(const struct chain *ch)
{
	return ch->step == 3 * ch->fetch->n;
}

static void chain_step(struct cluster *c, struct chain *ch)
{
	fetch_step(c, ch->rank, ch->fetch, ch->step++, ch->landing);
}

static void chain_done(struct cluster *c, struct chain *ch)
{
	unsigned rank = ch->rank;

	trace(c, "%u: chain at %llx is complete: %d", rank,
	      (unsigned long long)ch->fetch->granule, ch->status);
	cds_list_del(&ch->link);
	ch->fetch->data = ch->landing;
	cluster_enter(c, rank);
	protocol_fetched(&c->rank[rank].protocol, ch->fetch, ch->status);
	cluster_leave(c, rank);
	free(ch->landing);
	free(ch);
}

static struct chain *chain_of(struct cluster *c, unsigned rank)
{
	struct chain *ch;

	cds_list_for_each_entry(ch, &c->chains, link)
		if (ch->rank == rank)
			return ch;
	return NULL;
}

bool cluster_has_chain(struct cluster *c, unsigned rank)
{
	return chain_of(c, rank) != NULL;
}

bool cluster_chain_step(struct cluster *c, unsigned rank)
{
	struct chain *ch = chain_of(c, rank);

	if (!ch || chain_complete(ch))
		return false;
	chain_step(c, ch);
	cluster_check(c);
	return true;
}

void cluster_chain_finish(struct cluster *c, unsigned rank)
{
	struct chain *ch = chain_of(c, rank);

	if (!ch)
		cluster_fail(c, "rank %u has no chain", rank);
	while (!chain_complete(ch))
		chain_step(c, ch);
	chain_done(c, ch);
	cluster_check(c);
}

/*
 * The protocol's other actions
 */

static void op_send(void *env, unsigned rank, const struct msg *m)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	if (rank == v->rank || rank >= c->n)
		cluster_fail(c, "rank %u sends %s to rank %u", v->rank, msg_name(m->kind), rank);
	if (m->src != v->rank || m->slots != 1)
		cluster_fail(c, "rank %u sends %s of rank %u, %u slots", v->rank,
			     msg_name(m->kind), m->src, m->slots);
	trace(c, "%u: sends %s to %u, page %llx, flags %u", v->rank, msg_name(m->kind), rank,
	      (unsigned long long)m->page, m->flags);
	if (!c->rank[rank].dead)
		enqueue(c, v->rank, rank, ITEM_MSG, m->page, 0)->msg = *m;
	cluster_preempt(c);
}

static void op_write_home(void *env, unsigned home, uint64_t page, unsigned granules)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	size_t len = (size_t)granules << GRANULE_SHIFT;
	const uint8_t *from = segment_page(v->space.alias, page);

	cluster_preempt(c);
	if (home == v->rank)
		cluster_fail(c, "rank %u writes page %#llx home to itself", home,
			     (unsigned long long)page);
	if (c->mode == CLUSTER_SHM)
		memcpy(segment_page(c->rank[home].space.alias, page), from, len);
	else if (!c->rank[home].dead)
		memcpy(enqueue(c, v->rank, home, ITEM_WRITE, page, len)->data, from, len);
	cluster_preempt(c);
}

static void op_push(void *env, unsigned rank, uint64_t page, unsigned granules)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	size_t len = (size_t)granules << GRANULE_SHIFT;

	cluster_preempt(c);
	if (c->mode == CLUSTER_RDMA && !c->rank[rank].dead)
		memcpy(enqueue(c, v->rank, rank, ITEM_PUSH, page, len)->data,
		       segment_page(v->space.alias, page), len);
	cluster_preempt(c);
}

static const uint8_t *op_pushed(void *env, unsigned home, uint64_t page)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	if (c->mode == CLUSTER_SHM)
		return segment_page(c->rank[home].space.alias, page);
	return v->slots + (page << GRANULE_SHIFT);
}

static int map_granule(struct vrank *v, uint64_t granule, bool writable, const uint8_t *src,
		       bool frames)
{
	struct granule *g = &v->granules[granule];

	if (g->access == ACCESS_POISONED)
		cluster_fail(v->cluster, "rank %u maps granule %#llx, which is poisoned", v->rank,
			     (unsigned long long)granule);
	if (frames != g->frame)
		cluster_fail(v->cluster, "rank %u maps granule %#llx as if it had %s frame",
			     v->rank, (unsigned long long)granule, frames ? "a" : "no");
	if (src && g->access != ACCESS_NONE)
		cluster_fail(v->cluster, "rank %u copies into granule %#llx, which is mapped",
			     v->rank, (unsigned long long)granule);
	if (src)
		memcpy(segment_page(v->space.alias, granule), src, GRANULE_BYTES);
	g->frame = 1;
	g->access = writable ? ACCESS_WRITE : ACCESS_READ;
	g->fault_wakes++;
	return 0;
}

static int op_map(void *env, uint64_t granule, uint64_t n, bool writable, const void *src,
		  bool frames)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;
	const uint8_t *from = src;

	trace(c, "%u: maps %llu granules at %llx%s", v->rank, (unsigned long long)n,
	      (unsigned long long)granule, writable ? " to write" : "");
	if (cluster_chance(c, c->map_fail_percent)) {
		trace(c, "%u: mapping fails", v->rank);
		for (uint64_t i = 0; i < n; i++)
			v->granules[granule + i].access = ACCESS_NONE;
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < n; i++) {
		cluster_preempt(c);
		map_granule(v, granule + i, writable, from ? from + i * GRANULE_BYTES : NULL,
			    frames);
	}
	cluster_preempt(c);
	return 0;
}

static int op_allow_write(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	trace(v->cluster, "%u: allows writes at %llx", v->rank, (unsigned long long)granule);
	if (cluster_chance(v->cluster, v->cluster->map_fail_percent))
		return -ENOMEM;
	for (uint64_t i = granule; i < granule + n; i++) {
		if (v->granules[i].access == ACCESS_READ)
			v->granules[i].access = ACCESS_WRITE;
		v->granules[i].fault_wakes++;
	}
	cluster_preempt(v->cluster);
	return 0;
}

static int op_forbid_write(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	cluster_preempt(v->cluster);
	trace(v->cluster, "%u: forbids writes at %llx", v->rank, (unsigned long long)granule);
	for (uint64_t i = granule; i < granule + n; i++)
		if (v->granules[i].access == ACCESS_WRITE)
			v->granules[i].access = ACCESS_READ;
	cluster_preempt(v->cluster);
	return 0;
}

static int op_zap(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	cluster_preempt(v->cluster);
	trace(v->cluster, "%u: zaps %llx", v->rank, (unsigned long long)granule);
	for (uint64_t i = granule; i < granule + n; i++)
		v->granules[i].access = ACCESS_NONE;
	cluster_preempt(v->cluster);
	return 0;
}

static int op_drop(void *env, uint64_t granule, uint64_t n)
{
	struct vrank *v = env;

	trace(v->cluster, "%u: drops %llu granules at %llx", v->rank, (unsigned long long)n,
	      (unsigned long long)granule);
	for (uint64_t i = granule; i < granule + n; i++) {
		if (v->blocks[i / GRANULES_PER_BLOCK].home == v->rank)
			cluster_fail(v->cluster, "rank %u drops its own granule %#llx", v->rank,
				     (unsigned long long)i);
		v->granules[i].access = ACCESS_NONE;
		v->granules[i].frame = 0;
	}
	memset(segment_page(v->space.alias, granule), 0xdd, n << GRANULE_SHIFT);
	cluster_preempt(v->cluster);
	return 0;
}

static void op_wake(void *env, uint64_t page)
{
	struct vrank *v = env;
	unsigned n = protocol_granules(&v->protocol, page);

	for (unsigned i = 0; i < n; i++) {
		v->granules[page + i].fault_wakes++;
		v->granules[page + i].call_wakes++;
	}
}

static void op_fail(void *env, uint64_t page, int err, unsigned blame)
{
	struct vrank *v = env;
	unsigned n = protocol_granules(&v->protocol, page);

	trace(v->cluster, "%u: page %llx fails: %s, rank %u", v->rank, (unsigned long long)page,
	      strerror(err), blame);
	if (err == EHOSTDOWN ? !v->cluster->deaths : err != ENOMEM || !v->cluster->map_fail_percent)
		cluster_fail(v->cluster, "rank %u: page %#llx fails: %s, rank %u", v->rank,
			     (unsigned long long)page, strerror(err), blame);
	for (unsigned i = 0; i < n; i++) {
		struct granule *g = &v->granules[page + i];

		if (err == EHOSTDOWN)
			g->access = ACCESS_POISONED;
		g->err = err;
		g->fails++;
		g->fault_wakes++;
		g->call_wakes++;
	}
}

static bool op_settled(void *env, uint64_t page)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	return !c->settled || c->settled(c->app, v->rank, page);
}

static const struct protocol_ops ops = {
	.send = op_send,
	.fetch = op_fetch,
	.write_home = op_write_home,
	.push = op_push,
	.pushed = op_pushed,
	.map = op_map,
	.allow_write = op_allow_write,
	.forbid_write = op_forbid_write,
	.zap = op_zap,
	.drop = op_drop,
	.wake = op_wake,
	.fail = op_fail,
	.settled = op_settled,
};

/*
 * The schedule
 */

/* What a schedule can choose from; at most one of each kind is looked at in more detail. */
struct choice {
	enum { CHOICE_ITEM, CHOICE_CHAIN, CHOICE_RETRY, CHOICE_APP } kind;
	unsigned a, b;
	struct chain *chain;
};

struct chooser {
	struct cluster *c;
	struct choice choice;
	unsigned seen;
};

/* Keep one of all that are offered, each with the same chance. */
static void offer(struct chooser *ch, struct choice choice)
{
	if (cluster_random(ch->c, ++ch->seen) == 0)
		ch->choice = choice;
}

static void offer_items(struct chooser *ch)
{
	struct cluster *c = ch->c;

	for (unsigned from = 0; from < c->n; from++) {
		for (unsigned to = 0; to < c->n; to++) {
			struct cds_list_head *q = queue_of(c, from, to);

			if (!cds_list_empty(q) &&
			    item_ready(c, to, cds_list_first_entry(q, struct item, link)))
				offer(ch, (struct choice){ CHOICE_ITEM, from, to, NULL });
		}
	}
}

static void offer_chains(struct chooser *ch)
{
	struct chain *chain;

	cds_list_for_each_entry(chain, &ch->c->chains, link)
		if (!chain_complete(chain) || !ch->c->rank[chain->rank].busy)
			offer(ch, (struct choice){ CHOICE_CHAIN, 0, 0, chain });
}

static void offer_ranks(struct chooser *ch)
{
	struct cluster *c = ch->c;

	for (unsigned r = 0; r < c->n; r++)
		if (!c->rank[r].dead && !c->rank[r].busy &&
		    !cds_list_empty(&c->rank[r].protocol.retries))
			offer(ch, (struct choice){ CHOICE_RETRY, r, 0, NULL });
	for (unsigned i = 0; i < c->nthreads; i++)
		if (c->app_ready(c->app, i))
			offer(ch, (struct choice){ CHOICE_APP, i, 0, NULL });
}

static void choice_run(struct cluster *c, const struct choice *choice)
{
	struct cds_list_head *q;

	switch (choice->kind) {
	case CHOICE_ITEM:
		q = queue_of(c, choice->a, choice->b);
		item_run(c, choice->a, choice->b, cds_list_first_entry(q, struct item, link));
		break;
	case CHOICE_CHAIN:
		if (chain_complete(choice->chain))
			chain_done(c, choice->chain);
		else
			chain_step(c, choice->chain);
		break;
	case CHOICE_RETRY:
		cluster_enter(c, choice->a);
		protocol_retry(&c->rank[choice->a].protocol);
		cluster_leave(c, choice->a);
		break;
	case CHOICE_APP:
		c->app_run(c->app, choice->a);
		break;
	}
}

static bool run_one(struct cluster *c)
{
	struct chooser ch = { .c = c };

	offer_items(&ch);
	offer_chains(&ch);
	offer_ranks(&ch);
	if (!ch.seen)
		return false;
	if (++c->events > EVENTS_MAX)
		cluster_fail(c, "no end after %u events", EVENTS_MAX);
	choice_run(c, &ch.choice);
	return true;
}

bool cluster_step(struct cluster *c)
{
	if (!run_one(c))
		return false;
	cluster_check(c);
	return true;
}

void cluster_run(struct cluster *c)
{
	while (cluster_step(c))
		;
}

void cluster_preempt(struct cluster *c)
{
	if (c->depth == 0 || c->depth > DEPTH_MAX)
		return;
	while (cluster_chance(c, c->preempt_percent))
		if (!run_one(c))
			return;
}

/*
 * Deaths, and the kernel
 */

void cluster_kill(struct cluster *c, unsigned rank, bool drain)
{
	struct item *i, *next;
	struct chain *ch, *after;

	trace(c, "%u: dies", rank);
	c->rank[rank].dead = true;
	c->deaths++;
	for (unsigned r = 0; r < c->n; r++) {
		bool cut = false;

		cds_list_for_each_entry_safe(i, next, queue_of(c, r, rank), link)
			item_free(i);
		cds_list_for_each_entry_safe(i, next, queue_of(c, rank, r), link) {
			cut |= !drain && cluster_chance(c, 30);
			if (cut)
				item_free(i);
		}
		if (r != rank && !c->rank[r].dead)
			enqueue(c, rank, r, ITEM_DOWN, 0, 0);
	}
	cds_list_for_each_entry_safe(ch, after, &c->chains, link)
		if (ch->rank == rank)
			chain_free(ch);
}

void cluster_reclaim(struct cluster *c, unsigned rank, uint64_t granule)
{
	struct granule *g = &c->rank[rank].granules[granule];

	if (g->access != ACCESS_POISONED)
		g->access = ACCESS_NONE;
}
