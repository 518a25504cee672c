/* SPDX-License-Identifier: MIT */
/*
 * Recalls (Inv, FwdGetS, FwdGetM), and what makes them wait: holds, and pages so fresh that the
 * thread that asked has not had its access. And the push of written pages at a release. See
 * cache.c.
 */
#include <errno.h>

#include "bug.h"
#include "cache_internal.h"

/*
 * Recalls
 */

static bool held(const struct page *pg)
{
	return pg->readers_holding || pg->writers_holding;
}

/* May the recall be obeyed now? If a fresh page is in the way, ask again soon. */
static bool may_obey(struct protocol *p, uint64_t page, enum page_deferred recall)
{
	struct page *pg = &p->pages[page];
	struct retry *r;

	if (pg->pending)
		return true; /* waits for more than it has, and so do all that hold it (hold.h): to
			      * insist would be a deadlock */
	if (!DSM_BUG(HOLD) && (recall == DEFER_FWD_GETS ? pg->writers_holding : held(pg)))
		return false;
	if (cache_settled(p, page))
		return true;
	if (pg->retrying)
		return false;
	r = pool_get(&p->retry_pool);
	if (!r)
		return true;
	r->page = page;
	pg->retrying = 1;
	cds_list_add_tail(&r->link, &p->retries);
	return false;
}

static void defer(struct protocol *p, uint64_t page, enum page_deferred recall)
{
	p->pages[page].deferred = recall;
	stats_inc(&p->stats->pub.recalls_deferred);
}

static void recalled_now(struct protocol *p, uint64_t page)
{
	p->pages[page].recalled = 1 + p->ops->tick(p->env) % TICKS;
}

static void note_lost(struct protocol *p, uint64_t page, enum contention_loss how)
{
	if (p->contention)
		contention_lost(p->contention, page, protocol_block(p, page)->page_shift,
				protocol_home(p, page), how);
}

bool cache_contended(const struct protocol *p, uint64_t page)
{
	unsigned recalled = p->pages[page].recalled;

	if (recalled == 0)
		return false;
	return (p->ops->tick(p->env) + TICKS - (recalled - 1)) % TICKS <= 1;
}

static void obey_inv(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	/* A home that keeps to the protocol recalls a Modified page otherwise; in no case must a
	 * mapping stay behind. */
	if (pg->state == PAGE_SHARED || pg->state == PAGE_MODIFIED) {
		p->ops->zap(p->env, page, protocol_granules(p, page));
		stats_inc(&p->stats->pub.invalidations);
		note_lost(p, page, LOSS_INVALIDATED);
	} else if (pg->state == PAGE_ATOMIC) {
		note_lost(p, page, LOSS_ATOMIC);
	}
	pg->state = PAGE_INVALID;
	recalled_now(p, page);
	pg->registered &= DSM_BUG(FLAG);
	pg->unconfirmed = 0;
	if (pg->pending == PEND_CHAIN && !DSM_BUG(R4))
		pg->poisoned = 1; /* R4 */
	protocol_tell(p, protocol_home(p, page), MSG_INV_ACK, page, 0);
}

/* Answer a recall that crossed the own PutM (R6). */
static void not_here(struct protocol *p, uint64_t page, bool keep)
{
	struct page *pg = &p->pages[page];
	uint32_t flags = MSG_NOT_HERE;

	if (pg->unconfirmed && !DSM_BUG(UNCONFIRMED)) {
		/* The home will not act on that PutM's MSG_KEEPS any more: say it again, or undo
		 * it. */
		if (keep)
			flags |= MSG_KEEPS;
		else
			pg->registered = 0;
		pg->unconfirmed = 0;
	}
	/* Its group's counter was taken too, perhaps with what a chain of this rank has added; and
	 * the home sent no Inv beside this recall. */
	if (!keep && p->space->readers_group)
		pg->registered = 0;
	if (!keep && pg->state == PAGE_SHARED) {
		p->ops->zap(p->env, page, protocol_granules(p, page));
		pg->state = PAGE_INVALID;
	}
	if (!keep && pg->pending == PEND_CHAIN && !pg->registered)
		pg->poisoned = 1;
	protocol_tell(p, protocol_home(p, page), MSG_WRITE_BACK, page, flags);
}

static void obey_fwd_gets(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (!DSM_BUG(FORBID))
		p->ops->forbid_write(p->env, page, protocol_granules(p, page));
	pg->state = PAGE_SHARED;
	recalled_now(p, page);
	pg->registered = !cache_is_home(p, page);
	stats_inc(&p->stats->pub.downgrades);
	note_lost(p, page, LOSS_DOWNGRADED);
	cache_send_home(p, page, 1, MSG_WRITE_BACK, MSG_KEEPS);
	if (DSM_BUG(FORBID))
		p->ops->forbid_write(p->env, page, protocol_granules(p, page));
}

static void obey_fwd_getm(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	p->ops->zap(p->env, page, protocol_granules(p, page));
	pg->state = PAGE_INVALID;
	recalled_now(p, page);
	pg->registered = 0;
	stats_inc(&p->stats->pub.invalidations);
	note_lost(p, page, LOSS_TAKEN);
	cache_send_home(p, page, 1, MSG_WRITE_BACK, 0);
}

static void obey(struct protocol *p, uint64_t page, enum page_deferred recall)
{
	p->pages[page].deferred = DEFER_NONE;
	cache_was_read(p, page);
	if (recall == DEFER_INV)
		obey_inv(p, page);
	else if (p->pages[page].state != PAGE_MODIFIED)
		not_here(p, page, recall == DEFER_FWD_GETS);
	else if (recall == DEFER_FWD_GETS)
		obey_fwd_gets(p, page);
	else
		obey_fwd_getm(p, page);
}

/* Does the recall take anything away? A FwdGetM that crossed the PutM of a push ends the copy that
 * the push left. */
static bool has_something(const struct page *pg, enum page_deferred recall)
{
	if (pg->state == PAGE_SHARED)
		return recall == DEFER_INV || (recall == DEFER_FWD_GETM && pg->unconfirmed);
	if (pg->state == PAGE_ATOMIC)
		return recall == DEFER_INV;
	return recall != DEFER_INV && pg->state == PAGE_MODIFIED;
}

void cache_on_recall(struct protocol *p, uint64_t page, enum page_deferred recall)
{
	if (has_something(&p->pages[page], recall) && !may_obey(p, page, recall))
		defer(p, page, recall);
	else
		obey(p, page, recall);
}

void cache_obey_deferred(struct protocol *p, uint64_t page)
{
	enum page_deferred recall = p->pages[page].deferred;

	if (recall != DEFER_NONE && may_obey(p, page, recall))
		obey(p, page, recall);
}

/*
 * Own pages that are asked for by the run. Each will be recalled by itself, which changes its
 * mapping by itself; to give up neighbours before is one change for all of them. The home may let
 * its copies go at any time; who had them Modified says so to the directory next door.
 */

static bool may_leave(const struct page *pg, enum page_state state)
{
	return pg->state == state && !pg->pending && !pg->deferred && !pg->fresh && !held(pg);
}

static unsigned leaving_run(const struct protocol *p, uint64_t page, unsigned most,
			    enum page_state state)
{
	unsigned each = protocol_granules(p, page), n = 0;

	while (n < most && may_leave(&p->pages[page + (uint64_t)n * each], state))
		n++;
	return n;
}

static void leave_run(struct protocol *p, uint64_t first, unsigned n)
{
	bool modified = p->pages[first].state == PAGE_MODIFIED;
	unsigned each = protocol_granules(p, first);

	p->ops->zap(p->env, first, (uint64_t)n * each);
	for (unsigned i = 0; i < n; i++) {
		uint64_t page = first + (uint64_t)i * each;

		p->pages[page].state = PAGE_INVALID;
		cache_was_read(p, page);
		recalled_now(p, page);
		stats_inc(&p->stats->pub.invalidations);
		note_lost(p, page, modified ? LOSS_TAKEN : LOSS_INVALIDATED);
	}
	if (modified)
		directory_own_put(p, first, n);
}

void cache_leave_own(struct protocol *p, uint64_t page, unsigned n)
{
	unsigned each = protocol_granules(p, page), run;

	for (unsigned i = 0; i < n; i += run ? run : 1) {
		uint64_t first = page + (uint64_t)i * each;

		run = leaving_run(p, first, n - i, PAGE_SHARED);
		if (!run)
			run = leaving_run(p, first, n - i, PAGE_MODIFIED);
		if (run)
			leave_run(p, first, run);
	}
}

bool protocol_retry(struct protocol *p)
{
	struct cds_list_head due;
	struct retry *r, *next;

	if (cds_list_empty(&p->retries))
		return false;
	CDS_INIT_LIST_HEAD(&due);
	cds_list_splice(&p->retries, &due);
	CDS_INIT_LIST_HEAD(&p->retries);
	cds_list_for_each_entry_safe (r, next, &due, link) {
		uint64_t page = r->page;

		pool_put(&p->retry_pool, r);
		p->pages[page].retrying = 0;
		cache_obey_deferred(p, page);
	}
	protocol_run_local(p);
	return !cds_list_empty(&p->retries);
}

/*
 * Holds
 */

int cache_hold(struct protocol *p, uint64_t page, bool write)
{
	struct page *pg = &p->pages[page];
	uint16_t *holds = write ? &pg->writers_holding : &pg->readers_holding;

	if (*holds == UINT16_MAX)
		return -EOVERFLOW;
	(*holds)++;
	if (write && cache_is_home(p, page))
		directory_close(p, page);
	return 0;
}

/*
 * An own page that is pushed is made read-only, so that others can read it without asking; to write
 * it again is to make it writable again. Where others look at pages of its block, and time and
 * again nobody becomes a reader of this one, it stays writable, and open: until somebody asks for
 * it. The home is told of looks once a block: it does not see them.
 */
#define UNREAD_MAX 2u

void cache_looked(struct protocol *p, uint64_t page)
{
	struct block *b = protocol_block(p, page);

	if (b->looked_at || b->home == p->rank)
		return;
	b->looked_at = 1;
	protocol_tell(p, b->home, MSG_LOOKS, page, 0);
}

static unsigned unread(const struct protocol *p, uint64_t page)
{
	const struct page *pg = &p->pages[page];

	if (!cache_is_home(p, page) || pg->lost || !protocol_block(p, page)->looked_at)
		return 0;
	return pg->blame;
}

static void pushed_once_more(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (cache_is_home(p, page) && !pg->lost && pg->blame < UNREAD_MAX)
		pg->blame++;
}

void cache_was_read(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (cache_is_home(p, page) && !pg->lost)
		pg->blame = 0;
}

/* Modified, and nobody has asked for it yet. */
static bool unwanted(const struct protocol *p, uint64_t page)
{
	const struct page *pg = &p->pages[page];

	return pg->state == PAGE_MODIFIED && !pg->writers_holding && !pg->deferred && !pg->pending;
}

static bool to_push(const struct protocol *p, uint64_t page)
{
	return unwanted(p, page) && unread(p, page) < UNREAD_MAX;
}

/* A run of pages to be pushed: one protection change, one write and one message take it. */
static void push_home(struct protocol *p, uint64_t first, unsigned n)
{
	unsigned each = protocol_granules(p, first);

	p->ops->forbid_write(p->env, first, (uint64_t)n * each);
	cache_send_home(p, first, n, MSG_PUTM, MSG_KEEPS);
	for (unsigned i = 0; i < n; i++) {
		struct page *pg = &p->pages[first + (uint64_t)i * each];

		pushed_once_more(p, first + (uint64_t)i * each);
		pg->state = PAGE_SHARED;
		pg->registered = pg->unconfirmed = !cache_is_home(p, first);
	}
}

/* Of n pages whose last hold for writing may have ended, push those home that are to go, and open
 * the own ones that stay. */
static void written(struct protocol *p, uint64_t page, unsigned n, bool push)
{
	unsigned each = protocol_granules(p, page);

	for (unsigned i = 0, run; i < n; i += run ? run : 1) {
		uint64_t first = page + (uint64_t)i * each;

		for (run = 0; push && i + run < n && to_push(p, first + (uint64_t)run * each);)
			run++;
		if (run)
			push_home(p, first, run);
		else if (cache_is_home(p, first) && unwanted(p, first))
			directory_open(p, first);
	}
}

void cache_unhold(struct protocol *p, uint64_t page, unsigned n, bool write, bool push)
{
	unsigned each = protocol_granules(p, page);

	for (unsigned i = 0; i < n; i++) {
		struct page *pg = &p->pages[page + (uint64_t)i * each];

		if (write)
			pg->writers_holding--;
		else
			pg->readers_holding--;
		if (!DSM_BUG(DEFERRED))
			cache_obey_deferred(p, page + (uint64_t)i * each);
	}
	if (write && !rankset_has(&p->down, protocol_home(p, page)))
		written(p, page, n, push);
	protocol_run_local(p);
}
