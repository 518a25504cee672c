/* SPDX-License-Identifier: MIT */
/*
 * The cache side: what this rank has of each page, and how it gets, keeps and gives it up.
 *
 * A read miss is a one-sided chain to the home: register as a reader, read the grant, read the
 * page. If the grant says Clean, that was all; else GetS asks the home. Writes ask by GetM, remote
 * atomics by GetA. Own pages take the same way through the directory next door, without a copy: the
 * frame is the home's memory.
 *
 * Invariants:
 * - registered is set only if the own bit is in the home's readers word, or a chain in flight is
 *   setting it, or a PutM under way tells the home to (unconfirmed) (R2);
 * - at most one request a page is outstanding (pending), and a page that is pending is not evicted;
 * - a recall that may not be obeyed yet is deferred, at most one a page: the home serialises them.
 *
 * Here: misses, grants, deaths. The chain is in cache_chain.c; recalls, holds and the push of a
 * release in cache_recall.c; frames and eviction in cache_evict.c.
 */
#include <errno.h>

#include "cache_internal.h"

void cache_init(struct protocol *p)
{
	CDS_INIT_LIST_HEAD(&p->retries);
	CDS_INIT_LIST_HEAD(&p->holds);
	pool_init(&p->retry_pool, sizeof(struct retry));
	pool_init(&p->fetch_pool, sizeof(struct transport_fetch));
}

bool cache_can_read(const struct protocol *p, uint64_t page)
{
	enum page_state state = p->pages[page].state;

	return state == PAGE_SHARED || state == PAGE_MODIFIED;
}

bool cache_can_write(const struct protocol *p, uint64_t page)
{
	return p->pages[page].state == PAGE_MODIFIED;
}

bool cache_can_atomic(const struct protocol *p, uint64_t page)
{
	enum page_state state = p->pages[page].state;

	return state == PAGE_ATOMIC || state == PAGE_MODIFIED;
}

/*
 * Mapping what came
 */

void cache_fail(struct protocol *p, uint64_t page, int err, unsigned blame)
{
	struct page *pg = &p->pages[page];

	cache_set_pending(p, page, PEND_NONE);
	pg->demanded = 0;
	pg->fresh = 0;
	hold_settled(p, page);
	if (err == EHOSTDOWN) {
		if (!pg->lost)
			pg->blame = blame;
		pg->lost = 1; /* a Shared copy goes too: who writes must not wait for ever */
		pg->state = PAGE_INVALID;
	}
	p->ops->fail(p->env, page, err, blame);
}

static void arrived(struct protocol *p, uint64_t page, enum page_state state)
{
	struct page *pg = &p->pages[page];

	cache_set_pending(p, page, PEND_NONE);
	pg->state = state;
	if (state == PAGE_MODIFIED)
		hold_settled(p, page);
	if (pg->demanded)
		p->ops->wake(p->env, page);
	pg->demanded = 0;
}

/* Map n pages of one home that are Invalid here; src: their data, or NULL for own pages. */
static int map_pages(struct protocol *p, uint64_t first, unsigned n, bool writable,
		     const uint8_t *src)
{
	unsigned each = protocol_granules(p, first);
	uint64_t granules = (uint64_t)n * each;
	bool frames = !src || p->pages[first].frame;
	int err = p->ops->map(p->env, first, granules, writable, src, frames);

	if (err < 0)
		return err;
	if (src) {
		stats_add(&p->stats->pub.fetched_bytes, granules << GRANULE_SHIFT);
		for (unsigned i = 0; i < n; i++)
			cache_frame_added(p, first + (uint64_t)i * each);
	}
	return 0;
}

void cache_map_shared(struct protocol *p, uint64_t first, unsigned n, const uint8_t *src)
{
	unsigned each = protocol_granules(p, first);
	int err = map_pages(p, first, n, false, src);

	for (unsigned i = 0; i < n; i++) {
		uint64_t page = first + (uint64_t)i * each;

		if (err < 0)
			cache_fail(p, page, -err, p->rank);
		else
			arrived(p, page, PAGE_SHARED);
	}
}

/*
 * Misses
 */

/* The page is here and a thread waits all the same: its fault crossed the mapping, or the kernel
 * took the mapping away. */
static void remap(struct protocol *p, uint64_t page)
{
	bool writable = p->pages[page].state == PAGE_MODIFIED;
	int err = p->ops->map(p->env, page, protocol_granules(p, page), writable, NULL, true);

	if (err < 0)
		p->ops->fail(p->env, page, -err, p->rank);
}

/* Nothing to start: lost, or pending already? */
static bool cannot_start(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];
	unsigned home = protocol_home(p, page);

	if (pg->lost || (rankset_has(&p->down, home) && !pg->pending)) {
		cache_fail(p, page, EHOSTDOWN, pg->lost ? pg->blame : home);
		return true;
	}
	if (pg->pending) {
		pg->demanded = 1;
		return true;
	}
	return false;
}

static void ask(struct protocol *p, uint64_t page, enum page_pending pending, enum msg_kind kind,
		uint32_t flags)
{
	cache_set_pending(p, page, pending);
	p->pages[page].demanded = 1;
	protocol_tell(p, protocol_home(p, page), kind, page, flags);
	/* The home will not come to this request before a recall that waits here is obeyed. */
	cache_obey_deferred(p, page);
}

/* How many own pages from page on are in state and pass test: one mapping call takes them all. */
static unsigned own_run(struct protocol *p, uint64_t page, unsigned most, enum page_state state,
			bool (*test)(struct protocol *p, uint64_t page))
{
	unsigned each = protocol_granules(p, page), n = 0;

	while (n < most) {
		uint64_t next = page + (uint64_t)n * each;
		const struct page *pg = &p->pages[next];

		if (next / GRANULES_PER_BLOCK != page / GRANULES_PER_BLOCK || pg->pending ||
		    pg->state != state || !test(p, next))
			break;
		n++;
	}
	return n;
}

static void own_read(struct protocol *p, uint64_t page, unsigned ahead)
{
	unsigned n = own_run(p, page, 1 + ahead, PAGE_INVALID, directory_own_read);

	p->pages[page].demanded = 1;
	if (n)
		cache_map_shared(p, page, n, NULL);
	else
		ask(p, page, PEND_GETS, MSG_GETS, 0);
}

static void own_write(struct protocol *p, uint64_t page, unsigned ahead)
{
	unsigned each = protocol_granules(p, page);
	enum page_state state = p->pages[page].state;
	unsigned n = own_run(p, page, 1 + ahead, state, directory_own_write);
	uint64_t granules = (uint64_t)n * each;
	int err;

	p->pages[page].demanded = 1;
	if (!n) {
		ask(p, page, PEND_GETM, MSG_GETM, state == PAGE_SHARED ? MSG_HAS_COPY : 0);
		return;
	}
	if (state == PAGE_SHARED)
		err = p->ops->allow_write(p->env, page, granules);
	else
		err = p->ops->map(p->env, page, granules, true, NULL, true);
	for (unsigned i = 0; i < n; i++) {
		arrived(p, page + (uint64_t)i * each, PAGE_MODIFIED);
		if (err < 0)
			cache_fail(p, page + (uint64_t)i * each, -err, p->rank);
	}
}

/* Atomic has no mapping: nothing is to be done but to say so. */
static void leave_atomics(struct protocol *p, uint64_t page)
{
	p->pages[page].state = PAGE_INVALID;
	if (p->contention)
		contention_left_atomics(p->contention, page);
}

void cache_read(struct protocol *p, uint64_t page, unsigned ahead, bool fault)
{
	struct page *pg = &p->pages[page];

	if (fault)
		pg->fresh = 1;
	if (cache_can_read(p, page)) {
		if (fault)
			remap(p, page);
		return;
	}
	if (cannot_start(p, page))
		return;
	if (pg->state == PAGE_ATOMIC)
		leave_atomics(p, page); /* it stays registered */
	if (cache_is_home(p, page)) {
		stats_inc(&p->stats->pub.home_faults);
		own_read(p, page, ahead);
	} else {
		stats_inc(&p->stats->pub.read_misses);
		cache_chain_start(p, page, 1 + ahead);
	}
	protocol_run_local(p);
}

/* @all: those behind the first are wanted too; else only if nobody else has them. */
static void ask_to_write(struct protocol *p, uint64_t page, unsigned most, bool all)
{
	bool copy = p->pages[page].state == PAGE_SHARED;
	unsigned each = protocol_granules(p, page), n;
	struct msg m = { .kind = MSG_GETM,
			 .slots = 1,
			 .src = (uint16_t)p->rank,
			 .flags = copy ? MSG_HAS_COPY : 0,
			 .page = page };

	if (!copy)
		cache_make_room(p, (uint64_t)most * each);
	n = cache_run_length(p, page, most);
	stats_add(copy ? &p->stats->pub.write_upgrades : &p->stats->pub.write_misses, all ? n : 1);
	for (unsigned i = 0; i < n; i++) {
		cache_set_pending(p, page + (uint64_t)i * each, PEND_GETM);
		p->pages[page + (uint64_t)i * each].demanded = all || i == 0;
	}
	m.flags |= n > 1 && !all ? MSG_IF_FREE : 0;
	m.word[0] = n - 1;
	protocol_send(p, protocol_home(p, page), &m);
	cache_obey_deferred(p, page); /* as ask() */
}

static void want_to_write(struct protocol *p, uint64_t page, unsigned most, bool all)
{
	if (cannot_start(p, page))
		return;
	if (p->pages[page].state == PAGE_ATOMIC)
		leave_atomics(p, page);
	if (cache_is_home(p, page)) {
		stats_inc(&p->stats->pub.home_faults);
		own_write(p, page, most - 1);
	} else {
		ask_to_write(p, page, most, all);
	}
	protocol_run_local(p);
}

void cache_write(struct protocol *p, uint64_t page, unsigned ahead, bool fault)
{
	if (fault)
		p->pages[page].fresh = 1;
	if (!cache_can_write(p, page))
		want_to_write(p, page, 1 + ahead, false);
	else if (fault)
		remap(p, page);
}

void cache_write_run(struct protocol *p, uint64_t page, unsigned most)
{
	if (!cache_can_write(p, page))
		want_to_write(p, page, most, true);
}

void cache_atomic_again(struct protocol *p, uint64_t page)
{
	if (p->pages[page].state == PAGE_ATOMIC && p->pages[page].adapter)
		leave_atomics(p, page); /* it stays registered */
}

void cache_atomic(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (cache_can_atomic(p, page) || cannot_start(p, page))
		return;
	if (pg->state == PAGE_SHARED)
		p->ops->zap(p->env, page, protocol_granules(p, page));
	pg->state = PAGE_INVALID;
	/* When the right comes it stays until the thread has looked: a load or a store of another
	 * rank right behind the grant would have it ask again for ever. */
	pg->fresh = 1;
	ask(p, page, PEND_GETA, MSG_GETA, 0);
	protocol_run_local(p);
}

/*
 * Grants
 */

static void on_grant_s(struct protocol *p, const struct msg *m)
{
	struct page *pg = &p->pages[m->page];
	bool own = cache_is_home(p, m->page);
	const uint8_t *data = NULL;

	if (pg->pending != PEND_GETS)
		return;
	pg->registered = !own; /* R5 */
	if (!own)
		data = p->ops->pushed(p->env, m->src, m->page, protocol_granules(p, m->page));
	if (own || data)
		cache_map_shared(p, m->page, 1, data);
	else
		cache_fail(p, m->page, EPROTO, m->src);
}

/* Make n pages that are alike writable: they are here already, or are the home's own, or their data
 * has been pushed. */
static int map_modified(struct protocol *p, uint64_t first, unsigned n, const uint8_t *data)
{
	uint64_t granules = (uint64_t)n * protocol_granules(p, first);
	bool copy = p->pages[first].state == PAGE_SHARED, own = cache_is_home(p, first);

	if (copy && (own || !data))
		return p->ops->allow_write(p->env, first, granules);
	if (own)
		return p->ops->map(p->env, first, granules, true, NULL, true);
	if (!data)
		return -EPROTO;
	if (copy)
		p->ops->zap(p->env, first, granules);
	for (uint64_t g = first; g < first + granules; g += protocol_granules(p, first))
		p->pages[g].state = PAGE_INVALID;
	return map_pages(p, first, n, true, data);
}

/* It cannot be made writable here, and goes back. A copy that is here stays, since threads may hold
 * it: the home's memory is what the page is, and the same. */
static void give_back(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];
	bool keeps = pg->state == PAGE_SHARED;

	if (keeps) /* a part of it may have become writable */
		p->ops->forbid_write(p->env, page, protocol_granules(p, page));
	pg->registered = pg->unconfirmed = keeps && !cache_is_home(p, page);
	protocol_tell(p, protocol_home(p, page), MSG_PUTM, page, keeps ? MSG_KEEPS : 0);
}

/* How many of most pages from page on are as the first: granted to be written, and mapped alike. */
static unsigned granted_run(const struct protocol *p, uint64_t page, unsigned most)
{
	const struct page *first = &p->pages[page], *pg;
	unsigned n = 0;

	while (n < most) {
		pg = first + (uint64_t)n * protocol_granules(p, page);
		if (pg->pending != PEND_GETM || pg->state != first->state ||
		    pg->frame != first->frame)
			break;
		n++;
	}
	return n;
}

static void take_modified(struct protocol *p, uint64_t first, unsigned n, const uint8_t *data)
{
	unsigned each = protocol_granules(p, first);
	int err;

	for (unsigned i = 0; i < n; i++) {
		struct page *pg = &p->pages[first + (uint64_t)i * each];

		if (!pg->demanded)
			stats_inc(&p->stats->pub.prefetched_pages);
		cache_was_read(p, first + (uint64_t)i * each);
		pg->registered = 0; /* its bit was taken with all others */
		pg->unconfirmed = 0;
	}
	err = map_modified(p, first, n, data);
	for (unsigned i = 0; i < n; i++) {
		uint64_t page = first + (uint64_t)i * each;

		if (err == 0) {
			arrived(p, page, PAGE_MODIFIED);
			continue;
		}
		give_back(p, page);
		cache_fail(p, page, -err, p->rank);
	}
}

static void on_grant_m(struct protocol *p, const struct msg *m)
{
	unsigned each = protocol_granules(p, m->page), n = 1 + (unsigned)m->word[0], run;
	const uint8_t *data = NULL;

	if (m->flags & MSG_DATA && !cache_is_home(p, m->page))
		data = p->ops->pushed(p->env, m->src, m->page, n * each);
	for (unsigned i = 0; i < n; i += run ? run : 1) {
		uint64_t page = m->page + (uint64_t)i * each;

		run = granted_run(p, page, n - i);
		if (run)
			take_modified(p, page, run,
				      data ? data + (page - m->page) * GRANULE_BYTES : NULL);
	}
}

static void on_grant_a(struct protocol *p, const struct msg *m)
{
	struct page *pg = &p->pages[m->page];

	if (pg->pending != PEND_GETA)
		return;
	pg->registered = !cache_is_home(p, m->page);
	pg->adapter = (m->flags & MSG_ADAPTER) != 0;
	arrived(p, m->page, PAGE_ATOMIC);
}

static void refused(struct protocol *p, uint64_t page, int err, unsigned blame)
{
	struct page *pg = &p->pages[page];

	if (pg->pending != PEND_GETS && pg->pending != PEND_GETM && pg->pending != PEND_GETA)
		return;
	if (err != EAGAIN) {
		cache_fail(p, page, err, blame);
		return;
	}
	/* What was asked for ahead of a stream is in use. Who came to need it meanwhile asks anew;
	 * where there is a copy that may be to hold it, for which nobody else is to be asked. To
	 * map it once more wakes those who want to store. */
	cache_set_pending(p, page, PEND_NONE);
	p->refused++;
	if (!pg->demanded)
		return;
	if (pg->state != PAGE_SHARED) {
		ask(p, page, PEND_GETM, MSG_GETM, 0);
		return;
	}
	pg->demanded = 0;
	remap(p, page);
	p->ops->wake(p->env, page);
}

static void on_grant_error(struct protocol *p, const struct msg *m)
{
	unsigned each = protocol_granules(p, m->page);

	for (uint64_t i = 0; i <= m->word[2]; i++)
		refused(p, m->page + i * each, (int)m->word[0], (unsigned)m->word[1]);
}

void cache_message(struct protocol *p, const struct msg *m)
{
	switch (m->kind) {
	case MSG_GRANT_S:
		on_grant_s(p, m);
		break;
	case MSG_GRANT_M:
		on_grant_m(p, m);
		break;
	case MSG_GRANT_A:
		on_grant_a(p, m);
		break;
	case MSG_GRANT_ERROR:
		on_grant_error(p, m);
		break;
	case MSG_INV:
		cache_on_recall(p, m->page, DEFER_INV);
		break;
	case MSG_FWD_GETS:
		cache_on_recall(p, m->page, DEFER_FWD_GETS);
		break;
	case MSG_FWD_GETM:
		cache_on_recall(p, m->page, DEFER_FWD_GETM);
		break;
	default:
		break;
	}
}

/*
 * Deaths
 */

static void block_home_down(struct protocol *p, uint64_t first, unsigned home)
{
	for (uint64_t g = first; g < first + GRANULES_PER_BLOCK; g++) {
		struct page *pg = &p->pages[g];

		pg->deferred = DEFER_NONE; /* nobody waits for it any more */
		if (pg->pending)
			cache_fail(p, g, EHOSTDOWN, home);
	}
}

void cache_rank_down(struct protocol *p, unsigned rank)
{
	uint64_t nblocks = p->space->len_bytes / BLOCK_BYTES;

	for (uint64_t b = 0; b < nblocks; b++)
		if (p->blocks[b].granules && p->blocks[b].home == rank)
			block_home_down(p, b * GRANULES_PER_BLOCK, rank);
}
