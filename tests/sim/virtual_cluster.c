/* SPDX-License-Identifier: MIT */
/*
 * See virtual_cluster.h. Here: set-up, the schedule, deaths. Its parts: virtual_wire.c,
 * virtual_pager.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtual_internal.h"
#include "virtual_directory.h"

/* More events than any schedule of the unit tests needs. */
#define EVENTS_MAX 400000u
/* What can happen next; what is beyond has to wait until some of it has. */
#define CHOICES_MAX 256u
/* Events inside events inside events. */
#define DEPTH_MAX 2u
/* How often something slow is done although something else could be. */
#define SLOW_PERCENT 4u

static struct cluster *now; /* for the hook in the directory, which knows no cluster */

void cluster_trace(struct cluster *c, const char *fmt, ...)
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

uint64_t cluster_random(struct cluster *c, uint64_t below)
{
	size_t i = c->ndecisions++;
	uint64_t value;

	if (!c->replay)
		value = random_next(&c->random);
	else
		value = i < c->replay->n ? c->replay->value[i] : 0;
	value %= below;
	if (c->record && i < c->record->room)
		c->record->value[i] = (uint32_t)value;
	if (c->record)
		c->record->n = i + 1;
	return value;
}

bool cluster_chance(struct cluster *c, unsigned percent)
{
	return percent && cluster_random(c, 100) >= 100 - percent;
}

static bool op_settled(void *env, uint64_t page)
{
	struct vrank *v = env;
	struct cluster *c = v->cluster;

	return !c->settled || c->settled(c->app, v->rank, page);
}

static uint64_t op_tick(void *env)
{
	const struct vrank *v = env;

	return v->cluster->tick;
}

static const struct protocol_ops ops = {
	.send = virtual_send,
	.fetch = virtual_fetch,
	.write_home = virtual_write_home,
	.push = virtual_push,
	.pushed = virtual_pushed,
	.map = virtual_map,
	.allow_write = virtual_allow_write,
	.forbid_write = virtual_forbid_write,
	.zap = virtual_zap,
	.drop = virtual_drop,
	.wake = virtual_wake,
	.fail = virtual_fail,
	.settled = op_settled,
	.hold_ended = virtual_hold_ended,
	.tick = op_tick,
};

/*
 * Set-up
 */

static void hook(void)
{
	cluster_preempt(now);
}

static void rank_create(struct cluster *c, unsigned r, uint64_t cache_granules)
{
	struct vrank *v = &c->rank[r];
	uint64_t len = c->nblocks * BLOCK_BYTES, granules = len / GRANULE_BYTES;

	v->cluster = c;
	v->rank = r;
	v->space = (struct space){ .len_bytes = len, .memfd = -1 };
	space_set_ranks(&v->space, c->n);
	v->space.segment_bytes = len + granules * 8 * (1 + CLUSTER_WORDS_MAX);
	for (unsigned other = 1; c->mode == CLUSTER_RDMA && other < c->n; other += 2)
		if (other != r)
			rankset_add(&v->adapters, other);
	v->space.wire_atomics = &v->adapters;
	v->space.alias = virtual_zeroed(1, v->space.segment_bytes);
	v->granules = virtual_zeroed(granules, sizeof(*v->granules));
	v->slots = virtual_zeroed(1, len);
	virtual_node_init(&v->node, &(struct virtual_node_params){ .rank = r,
								   .size = c->n,
								   .space = &v->space,
								   .blocks = v->blocks,
								   .cache_bytes = cache_granules
										  << GRANULE_SHIFT,
								   .protocol_ops = &ops,
								   .sync_ops = &virtual_sync_ops,
								   .env = v });
}

struct cluster *cluster_create(unsigned n, unsigned nblocks, enum cluster_mode mode,
			       uint64_t cache_granules, uint64_t seed)
{
	struct cluster *c = virtual_zeroed(1, sizeof(*c));

	c->n = n;
	c->nblocks = nblocks;
	c->mode = mode;
	c->seed = c->random = seed;
	c->checks = CHECK_ALL;
	c->events_max = EVENTS_MAX;
	c->trace = getenv("TRACE") != NULL;
	c->rank = virtual_zeroed(n, sizeof(*c->rank));
	c->queue = virtual_zeroed((size_t)n * n, sizeof(*c->queue));
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

void cluster_destroy(struct cluster *c)
{
	struct item *i, *next;
	struct chain *ch, *after;

	virtual_directory_hook = NULL;
	for (unsigned q = 0; q < c->n * c->n; q++)
		cds_list_for_each_entry_safe (i, next, &c->queue[q], link)
			virtual_item_free(i);
	cds_list_for_each_entry_safe (ch, after, &c->chains, link)
		virtual_chain_free(ch);
	for (unsigned r = 0; r < c->n; r++) {
		virtual_node_fini(&c->rank[r].node);
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
						   .granules = GRANULES_PER_BLOCK };
		for (uint64_t g = 0; g < GRANULES_PER_BLOCK; g++)
			v->granules[block * GRANULES_PER_BLOCK + g].frame = r == home;
	}
}

void cluster_group(struct cluster *c, unsigned ranks)
{
	unsigned words = ranks ? (c->n - 1) / ranks / READERS_COUNTERS + 1 : (c->n + 63) / 64;

	if (words > CLUSTER_WORDS_MAX)
		cluster_fail(c, "groups of %u ranks take %u words", ranks, words);
	for (unsigned r = 0; r < c->n; r++) {
		c->rank[r].space.readers_group = ranks;
		c->rank[r].space.rank_words = words;
	}
}

uint64_t cluster_page(struct cluster *c, unsigned block, unsigned index)
{
	uint64_t page = block * GRANULES_PER_BLOCK +
			((uint64_t)index << c->rank[0].blocks[block].page_shift);

	return c->page[c->npages++] = page;
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
	virtual_node_run_local(&c->rank[rank].node);
	c->depth--;
	c->rank[rank].busy = false;
}

/*
 * The schedule
 */

/* What a schedule can choose from, the plainest first. */
struct choice {
	enum { CHOICE_ITEM, CHOICE_CHAIN, CHOICE_APP, CHOICE_RETRY } kind;
	unsigned a, b;
	struct chain *chain;
};

/* Apart: what goes at the usual pace, and what the schedule lets wait. */
struct choices {
	struct cluster *c;
	unsigned n[2];
	struct choice choice[2][CHOICES_MAX];
};

/* Is this what the schedule lets wait, so that all else overtakes it? */
static bool is_slow(struct cluster *c, const struct choice *choice)
{
	switch (c->slow) {
	case SLOW_CHAINS:
		return choice->kind == CHOICE_CHAIN;
	case SLOW_SENDER:
		return choice->kind == CHOICE_ITEM && choice->a == c->slow_rank;
	case SLOW_RECEIVER:
		return choice->kind == CHOICE_ITEM && choice->b == c->slow_rank;
	case SLOW_APP:
		return choice->kind == CHOICE_APP;
	default:
		return false;
	}
}

static void offer(struct choices *ch, struct choice choice)
{
	bool slow = is_slow(ch->c, &choice);

	if (ch->n[slow] < CHOICES_MAX)
		ch->choice[slow][ch->n[slow]++] = choice;
}

bool cluster_can_run(const struct cluster *c, unsigned rank)
{
	const struct vrank *v = &c->rank[rank];

	return !v->dead && !v->busy && v->paused_until <= c->events;
}

static void offer_items(struct choices *ch)
{
	struct cluster *c = ch->c;

	for (unsigned from = 0; from < c->n; from++) {
		for (unsigned to = 0; to < c->n; to++) {
			struct cds_list_head *q = virtual_queue(c, from, to);

			if (!cds_list_empty(q) &&
			    virtual_item_ready(c, to, cds_list_first_entry(q, struct item, link)))
				offer(ch, (struct choice){ CHOICE_ITEM, from, to, NULL });
		}
	}
}

static void offer_others(struct choices *ch)
{
	struct cluster *c = ch->c;
	struct chain *chain;

	cds_list_for_each_entry (chain, &c->chains, link)
		if (!virtual_chain_complete(chain) || cluster_can_run(c, chain->rank))
			offer(ch, (struct choice){ CHOICE_CHAIN, 0, 0, chain });
	for (unsigned i = 0; i < c->nthreads; i++)
		if (c->app_ready(c->app, i))
			offer(ch, (struct choice){ CHOICE_APP, i, 0, NULL });
	for (unsigned r = 0; r < c->n; r++)
		if (cluster_can_run(c, r) && !cds_list_empty(&c->rank[r].node.protocol.retries))
			offer(ch, (struct choice){ CHOICE_RETRY, r, 0, NULL });
}

static void choice_run(struct cluster *c, const struct choice *choice)
{
	struct cds_list_head *q;

	switch (choice->kind) {
	case CHOICE_ITEM:
		q = virtual_queue(c, choice->a, choice->b);
		virtual_item_run(c, choice->a, choice->b,
				 cds_list_first_entry(q, struct item, link));
		break;
	case CHOICE_CHAIN:
		if (virtual_chain_complete(choice->chain))
			virtual_chain_done(c, choice->chain);
		else
			virtual_chain_step(c, choice->chain);
		break;
	case CHOICE_RETRY:
		cluster_enter(c, choice->a);
		protocol_retry(&c->rank[choice->a].node.protocol);
		cluster_leave(c, choice->a);
		break;
	case CHOICE_APP:
		c->app_run(c->app, choice->a);
		break;
	}
}

static bool run_one(struct cluster *c)
{
	struct choices ch;
	bool slow;

	ch.c = c;
	ch.n[0] = ch.n[1] = 0;
	offer_items(&ch);
	offer_others(&ch);
	if (!ch.n[0] && !ch.n[1])
		return false;
	slow = !ch.n[0] || (ch.n[1] && cluster_chance(c, SLOW_PERCENT));
	if (++c->events > c->events_max)
		cluster_fail(c, "no end after %llu events", (unsigned long long)c->events_max);
	choice_run(c, &ch.choice[slow][cluster_random(c, ch.n[slow])]);
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

	cluster_trace(c, "%u: dies", rank);
	c->rank[rank].dead = true;
	c->deaths++;
	for (unsigned r = 0; r < c->n; r++) {
		bool cut = false;

		cds_list_for_each_entry_safe (i, next, virtual_queue(c, r, rank), link)
			virtual_item_free(i);
		cds_list_for_each_entry_safe (i, next, virtual_queue(c, rank, r), link) {
			cut |= !drain && cluster_chance(c, 30);
			if (cut)
				virtual_item_free(i);
		}
		if (r != rank && !c->rank[r].dead)
			virtual_enqueue(c, rank, r, ITEM_DOWN, 0, 0);
	}
	cds_list_for_each_entry_safe (ch, after, &c->chains, link)
		if (ch->rank == rank)
			virtual_chain_free(ch);
}

void cluster_reclaim(struct cluster *c, unsigned rank, uint64_t granule)
{
	struct granule *g = &c->rank[rank].granules[granule];

	if (g->access != ACCESS_POISONED)
		g->access = ACCESS_NONE;
}
