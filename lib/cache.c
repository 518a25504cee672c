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
 */
#include <errno.h>

#include "log.h"
#include "protocol.h"

/* Evict at least so many granules at a time: contiguous ones then share a system call. */
#define EVICT_BATCH 64u
/* A run of contiguous granules that are given up together. */
#define EVICT_RUN_MAX 64u

struct retry {
	struct cds_list_head link;
	uint64_t page;
};

void cache_init(struct protocol *p)
{
	CDS_INIT_LIST_HEAD(&p->retries);
	pool_init(&p->retry_pool, sizeof(struct retry));
	pool_init(&p->fetch_pool, sizeof(struct transport_fetch));
}

static bool is_home(const struct protocol *p, uint64_t page)
{
	return protocol_home(p, page) == p->rank;
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
 * Frames and eviction: first in, first out, skipping what is in use.
 */

static void frame_added(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];
	uint64_t slots = p->space->len_bytes >> GRANULE_SHIFT;

	if (pg->frame)
		return;
	pg->frame = 1;
	p->frames += protocol_granules(p, page);
	if (pg->queued)
		return;
	pg->queued = 1;
	p->evict_queue[p->evict_tail++ % slots] = page;
}

static bool settled(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (pg->fresh && !p->ops->settled(p->env, page))
		return false;
	pg->fresh = 0;
	return true;
}

static bool evictable(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (pg->pending || pg->deferred || pg->readers_holding || pg->writers_holding)
		return false;
	if (pg->state == PAGE_MODIFIED && rankset_has(&p->down, protocol_home(p, page)))
		return false;
	return pg->state == PAGE_INVALID || settled(p, page);
}

/* Write a Modified page home, and say so by PutM or WriteBack; the mapping lets no write through
 * any more. */
static void send_home(struct protocol *p, uint64_t page, enum msg_kind kind, uint32_t flags)
{
	unsigned home = protocol_home(p, page), granules = protocol_granules(p, page);

	if (home != p->rank) {
		p->ops->write_home(p->env, home, page, granules);
		stats_inc(&p->stats->pub.write_backs);
		stats_add(&p->stats->pub.written_bytes, (uint64_t)granules << GRANULE_SHIFT);
	}
	protocol_tell(p, home, kind, page, flags);
}

/* Give up [first, first + n granules), a run of evictable pages of one size. */
static void evict_run(struct protocol *p, uint64_t first, uint64_t n)
{
	unsigned each = protocol_granules(p, first);
	bool dirty = false;

	for (uint64_t g = first; g < first + n; g += each)
		dirty |= p->pages[g].state == PAGE_MODIFIED;
	if (dirty)
		p->ops->zap(p->env, first, n);
	for (uint64_t g = first; g < first + n; g += each) {
		struct page *pg = &p->pages[g];

		if (pg->state == PAGE_MODIFIED)
			send_home(p, g, MSG_PUTM, 0);
		if (pg->state != PAGE_INVALID)
			stats_inc(&p->stats->pub.evictions);
		if (pg->state == PAGE_SHARED || pg->state == PAGE_MODIFIED)
			pg->state = PAGE_INVALID; /* silent if Shared: it stays registered (R3) */
		pg->frame = 0;
	}
	p->ops->drop(p->env, first, n);
	p->frames -= n;
}

static void evict(struct protocol *p, uint64_t granules)
{
	uint64_t slots = p->space->len_bytes >> GRANULE_SHIFT;
	uint64_t looks = p->evict_tail - p->evict_head, freed = 0, first = 0, n = 0;

	for (; looks && freed < granules; looks--) {
		uint64_t page = p->evict_queue[p->evict_head++ % slots];
		unsigned each;

		p->pages[page].queued = 0;
		if (!p->pages[page].frame)
			continue;
		each = protocol_granules(p, page);
		if (!evictable(p, page)) {
			p->pages[page].queued = 1;
			p->evict_queue[p->evict_tail++ % slots] = page;
			continue;
		}
		if (n && (page != first + n || n + each > EVICT_RUN_MAX ||
			  protocol_block(p, page) != protocol_block(p, first))) {
			evict_run(p, first, n);
			n = 0;
		}
		if (!n)
			first = page;
		n += each;
		freed += each;
	}
	if (n)
		evict_run(p, first, n);
}

bool cache_make_room(struct protocol *p, uint64_t granules)
{
	uint64_t wanted = granules > EVICT_BATCH ? granules : EVICT_BATCH;

	if (p->frames + granules <= p->frames_max)
		return true;
	if (wanted > p->frames_max / 8)
		wanted = p->frames_max / 8 + granules;
	if (p->frames > p->frames_max)
		wanted += p->frames - p->frames_max;
	evict(p, wanted);
	return p->frames + granules <= p->frames_max;
}

/*
 * Mapping what came
 */

static void fail(struct protocol *p, uint64_t page, int err, unsigned blame)
{
	struct page *pg = &p->pages[page];

	pg->pending = PEND_NONE;
	pg->demanded = 0;
	pg->fresh = 0;
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

	pg->pending = PEND_NONE;
	pg->state = state;
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
			frame_added(p, first + (uint64_t)i * each);
	}
	return 0;
}

static void map_shared(struct protocol *p, uint64_t first, unsigned n, const uint8_t *src)
{
	unsigned each = protocol_granules(p, first);
	int err = map_pages(p, first, n, false, src);

	for (unsigned i = 0; i < n; i++) {
		uint64_t page = first + (uint64_t)i * each;

		if (err < 0)
			fail(p, page, -err, p->rank);
		else
			arrived(p, page, PAGE_SHARED);
	}
}

/*
 * The one-sided read chain
 */

static void chain_finish(struct protocol *p, struct transport_fetch *f, int status);

/* Which pages behind the first can join the chain: Invalid, nothing pending, of the same block. */
static unsigned chain_length(const struct protocol *p, uint64_t page, unsigned most)
{
	unsigned each = protocol_granules(p, page), n = 1;

	if (most > TRANSPORT_FETCH_MAX)
		most = TRANSPORT_FETCH_MAX;
	while (n < most) {
		uint64_t next = page + (uint64_t)n * each;
		const struct page *pg = &p->pages[next];

		if (next / GRANULES_PER_BLOCK != page / GRANULES_PER_BLOCK || pg->pending ||
		    pg->state != PAGE_INVALID || pg->lost)
			break;
		n++;
	}
	return n;
}

static void chain_start(struct protocol *p, uint64_t page, unsigned most)
{
	struct transport_fetch *f;
	unsigned each = protocol_granules(p, page), n = chain_length(p, page, most);
	int status;

	cache_make_room(p, (uint64_t)n * each);
	f = pool_get(&p->fetch_pool);
	if (!f) {
		fail(p, page, ENOMEM, p->rank);
		return;
	}
	f->rank = protocol_home(p, page);
	f->granule = page;
	f->shift = protocol_block(p, page)->page_shift;
	f->n = n;
	for (unsigned i = 0; i < f->n; i++) {
		struct page *pg = &p->pages[page + (uint64_t)i * each];

		pg->pending = PEND_CHAIN;
		pg->poisoned = 0;
		if (!pg->registered)
			f->add |= 1ull << i;
		pg->registered = 1;
	}
	p->pages[page].demanded = 1;
	status = p->ops->fetch(p->env, f);
	if (status <= 0)
		chain_finish(p, f, status);
}

/* The grant did not say Clean, or an Inv came meanwhile (R4): ask by message if somebody waits,
 * else let it be. A chain could be poisoned again and again; the home's queue comes to everyone. */
static void chain_refused(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (!pg->demanded) {
		pg->pending = PEND_NONE;
		return;
	}
	pg->pending = PEND_GETS;
	protocol_tell(p, protocol_home(p, page), MSG_GETS, page, 0);
}

static void chain_failed(struct protocol *p, const struct transport_fetch *f, unsigned i, int err)
{
	uint64_t page = f->granule + ((uint64_t)i << f->shift);

	if (err != EHOSTDOWN && f->add & 1ull << i)
		p->pages[page].registered = 0; /* nothing took place */
	fail(p, page, err, f->rank);
}

static bool chain_valid(const struct protocol *p, const struct transport_fetch *f, unsigned i)
{
	const struct page *pg = &p->pages[f->granule + ((uint64_t)i << f->shift)];

	/* Nothing is pending any more if the home went down meanwhile: the page has failed. */
	return pg->pending == PEND_CHAIN && !pg->poisoned &&
	       grant_state(f->grant[i]) == GRANT_CLEAN;
}

/* Map the valid pages from i on that are alike; returns their number. */
static unsigned chain_map(struct protocol *p, struct transport_fetch *f, unsigned i)
{
	uint64_t first = f->granule + ((uint64_t)i << f->shift);
	unsigned frame = p->pages[first].frame, n = 1;

	while (i + n < f->n && chain_valid(p, f, i + n) &&
	       p->pages[first + ((uint64_t)n << f->shift)].frame == frame)
		n++;
	for (unsigned k = 0; k < n; k++) {
		if (p->pages[first + ((uint64_t)k << f->shift)].demanded)
			stats_inc(&p->stats->pub.read_misses_one_sided);
		else
			stats_inc(&p->stats->pub.prefetched_pages);
	}
	map_shared(p, first, n, f->data + ((uint64_t)i << f->shift << GRANULE_SHIFT));
	return n;
}

static void chain_finish(struct protocol *p, struct transport_fetch *f, int status)
{
	unsigned i = 0;

	while (i < f->n) {
		uint64_t page = f->granule + ((uint64_t)i << f->shift);

		if (status == 0 && chain_valid(p, f, i)) {
			i += chain_map(p, f, i);
			continue;
		}
		if (p->pages[page].pending != PEND_CHAIN)
			; /* it has failed already */
		else if (status < 0)
			chain_failed(p, f, i, -status);
		else
			chain_refused(p, page);
		i++;
	}
	pool_put(&p->fetch_pool, f);
}

void protocol_fetched(struct protocol *p, struct transport_fetch *f, int status)
{
	chain_finish(p, f, status);
	protocol_run_local(p);
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
		fail(p, page, EHOSTDOWN, pg->lost ? pg->blame : home);
		return true;
	}
	if (pg->pending) {
		pg->demanded = 1;
		return true;
	}
	return false;
}

static void obey_deferred(struct protocol *p, uint64_t page);

static void ask(struct protocol *p, uint64_t page, enum page_pending pending, enum msg_kind kind,
		uint32_t flags)
{
	p->pages[page].pending = pending;
	p->pages[page].demanded = 1;
	protocol_tell(p, protocol_home(p, page), kind, page, flags);
	/* The home will not come to this request before a recall that waits here is obeyed. */
	obey_deferred(p, page);
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
		map_shared(p, page, n, NULL);
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
			fail(p, page + (uint64_t)i * each, -err, p->rank);
	}
}

void cache_read(struct protocol *p, uint64_t page, unsigned ahead, bool fault)
{
	struct page *pg = &p->pages[page];

	if (fault && pg->contended)
		pg->fresh = 1;
	if (cache_can_read(p, page)) {
		if (fault)
			remap(p, page);
		return;
	}
	if (cannot_start(p, page))
		return;
	pg->state = PAGE_INVALID; /* Atomic has no mapping; it stays registered */
	if (is_home(p, page)) {
		stats_inc(&p->stats->pub.home_faults);
		own_read(p, page, ahead);
	} else {
		stats_inc(&p->stats->pub.read_misses);
		chain_start(p, page, 1 + ahead);
	}
	protocol_run_local(p);
}

/* Ask for pages behind a written one, if nobody else has them. */
static void write_ahead(struct protocol *p, uint64_t page, unsigned ahead)
{
	unsigned n = ahead ? chain_length(p, page, 1 + ahead) : 1;

	for (unsigned i = 1; i < n; i++) {
		uint64_t next = page + (uint64_t)i * protocol_granules(p, page);

		p->pages[next].pending = PEND_GETM;
		protocol_tell(p, protocol_home(p, next), MSG_GETM, next, MSG_IF_FREE);
	}
}

void cache_write(struct protocol *p, uint64_t page, unsigned ahead, bool fault)
{
	struct page *pg = &p->pages[page];

	if (fault && pg->contended)
		pg->fresh = 1;
	if (cache_can_write(p, page)) {
		if (fault)
			remap(p, page);
		return;
	}
	if (cannot_start(p, page))
		return;
	if (pg->state == PAGE_ATOMIC)
		pg->state = PAGE_INVALID;
	if (is_home(p, page)) {
		stats_inc(&p->stats->pub.home_faults);
		own_write(p, page, ahead);
	} else {
		bool copy = pg->state == PAGE_SHARED;

		stats_inc(copy ? &p->stats->pub.write_upgrades : &p->stats->pub.write_misses);
		if (!copy)
			cache_make_room(p, (uint64_t)(1 + ahead) * protocol_granules(p, page));
		ask(p, page, PEND_GETM, MSG_GETM, copy ? MSG_HAS_COPY : 0);
		write_ahead(p, page, ahead);
	}
	protocol_run_local(p);
}

void cache_atomic(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (cache_can_atomic(p, page) || cannot_start(p, page))
		return;
	if (pg->state == PAGE_SHARED)
		p->ops->zap(p->env, page, protocol_granules(p, page));
	pg->state = PAGE_INVALID;
	ask(p, page, PEND_GETA, MSG_GETA, 0);
	protocol_run_local(p);
}

/*
 * Grants
 */

static void on_grant_s(struct protocol *p, const struct msg *m)
{
	struct page *pg = &p->pages[m->page];
	bool own = is_home(p, m->page);

	if (pg->pending != PEND_GETS)
		return;
	pg->registered = !own; /* R5 */
	map_shared(p, m->page, 1, own ? NULL : p->ops->pushed(p->env, m->src, m->page));
}

/* Make a page writable: it is here already, or it is the home's own, or its data has been pushed.
 */
static int map_modified(struct protocol *p, const struct msg *m)
{
	unsigned granules = protocol_granules(p, m->page);
	struct page *pg = &p->pages[m->page];

	if (pg->state == PAGE_SHARED && (is_home(p, m->page) || !(m->flags & MSG_DATA)))
		return p->ops->allow_write(p->env, m->page, granules);
	if (is_home(p, m->page))
		return p->ops->map(p->env, m->page, granules, true, NULL, true);
	if (!(m->flags & MSG_DATA))
		return -EPROTO;
	if (pg->state == PAGE_SHARED)
		p->ops->zap(p->env, m->page, granules);
	pg->state = PAGE_INVALID;
	return map_pages(p, m->page, 1, true, p->ops->pushed(p->env, m->src, m->page));
}

static void on_grant_m(struct protocol *p, const struct msg *m)
{
	struct page *pg = &p->pages[m->page];
	int err;

	if (pg->pending != PEND_GETM)
		return;
	if (!pg->demanded)
		stats_inc(&p->stats->pub.prefetched_pages);
	pg->registered = 0; /* its bit was taken with all others */
	pg->unconfirmed = 0;
	err = map_modified(p, m);
	if (err == 0) {
		arrived(p, m->page, PAGE_MODIFIED);
		return;
	}
	/* It cannot be mapped here; the home's memory is still what the page is. */
	if (pg->state == PAGE_SHARED)
		p->ops->zap(p->env, m->page, protocol_granules(p, m->page));
	pg->state = PAGE_INVALID;
	protocol_tell(p, m->src, MSG_PUTM, m->page, 0);
	fail(p, m->page, -err, p->rank);
}

static void on_grant_a(struct protocol *p, const struct msg *m)
{
	struct page *pg = &p->pages[m->page];

	if (pg->pending != PEND_GETA)
		return;
	pg->registered = !is_home(p, m->page);
	arrived(p, m->page, PAGE_ATOMIC);
}

static void on_grant_error(struct protocol *p, const struct msg *m)
{
	struct page *pg = &p->pages[m->page];
	int err = (int)m->word[0];

	if (pg->pending != PEND_GETS && pg->pending != PEND_GETM && pg->pending != PEND_GETA)
		return;
	if (err != EAGAIN) {
		fail(p, m->page, err, (unsigned)m->word[1]);
		return;
	}
	/* What was asked for ahead of a stream is in use. Who came to need it meanwhile asks anew.
	 */
	pg->pending = PEND_NONE;
	if (pg->demanded)
		ask(p, m->page, PEND_GETM, MSG_GETM, pg->state == PAGE_SHARED ? MSG_HAS_COPY : 0);
}

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
		return true; /* waiting for more than it has: to insist would be a deadlock */
	if (recall == DEFER_FWD_GETS ? pg->writers_holding : held(pg))
		return false;
	if (settled(p, page))
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

static void obey_inv(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (pg->state == PAGE_SHARED) {
		p->ops->zap(p->env, page, protocol_granules(p, page));
		stats_inc(&p->stats->pub.invalidations);
	}
	pg->state = PAGE_INVALID;
	pg->contended = 1;
	pg->registered = 0;
	pg->unconfirmed = 0;
	if (pg->pending == PEND_CHAIN)
		pg->poisoned = 1; /* R4 */
	protocol_tell(p, protocol_home(p, page), MSG_INV_ACK, page, 0);
}

/* Answer a recall that crossed the own PutM (R6). */
static void not_here(struct protocol *p, uint64_t page, bool keep)
{
	struct page *pg = &p->pages[page];
	uint32_t flags = MSG_NOT_HERE;

	if (pg->unconfirmed) {
		/* The home will not act on that PutM's MSG_KEEPS any more: say it again, or undo
		 * it. */
		if (keep)
			flags |= MSG_KEEPS;
		else
			pg->registered = 0;
		pg->unconfirmed = 0;
	}
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

	p->ops->forbid_write(p->env, page, protocol_granules(p, page));
	pg->state = PAGE_SHARED;
	pg->contended = 1;
	pg->registered = !is_home(p, page);
	stats_inc(&p->stats->pub.downgrades);
	send_home(p, page, MSG_WRITE_BACK, MSG_KEEPS);
}

static void obey_fwd_getm(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	p->ops->zap(p->env, page, protocol_granules(p, page));
	pg->state = PAGE_INVALID;
	pg->contended = 1;
	pg->registered = 0;
	stats_inc(&p->stats->pub.invalidations);
	send_home(p, page, MSG_WRITE_BACK, 0);
}

static void obey(struct protocol *p, uint64_t page, enum page_deferred recall)
{
	p->pages[page].deferred = DEFER_NONE;
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
	return recall != DEFER_INV && pg->state == PAGE_MODIFIED;
}

static void on_recall(struct protocol *p, uint64_t page, enum page_deferred recall)
{
	if (has_something(&p->pages[page], recall) && !may_obey(p, page, recall))
		defer(p, page, recall);
	else
		obey(p, page, recall);
}

static void obey_deferred(struct protocol *p, uint64_t page)
{
	enum page_deferred recall = p->pages[page].deferred;

	if (recall != DEFER_NONE && may_obey(p, page, recall))
		obey(p, page, recall);
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
		obey_deferred(p, page);
	}
	protocol_run_local(p);
	return !cds_list_empty(&p->retries);
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
		on_recall(p, m->page, DEFER_INV);
		break;
	case MSG_FWD_GETS:
		on_recall(p, m->page, DEFER_FWD_GETS);
		break;
	case MSG_FWD_GETM:
		on_recall(p, m->page, DEFER_FWD_GETM);
		break;
	default:
		break;
	}
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
	return 0;
}

/* A page to be pushed on its last release: Modified, and nobody has asked for it yet. */
static bool to_push(const struct page *pg)
{
	return pg->state == PAGE_MODIFIED && !pg->writers_holding && !pg->deferred && !pg->pending;
}

static void push_home(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	send_home(p, page, MSG_PUTM, MSG_KEEPS);
	pg->state = PAGE_SHARED;
	pg->registered = pg->unconfirmed = !is_home(p, page);
}

/* Push n pages home; one protection change takes each run of those that are to go. */
static void push_run(struct protocol *p, uint64_t page, unsigned n)
{
	unsigned each = protocol_granules(p, page);

	for (unsigned i = 0, run; i < n; i += run ? run : 1) {
		uint64_t first = page + (uint64_t)i * each;

		for (run = 0; i + run < n && to_push(&p->pages[first + (uint64_t)run * each]);)
			run++;
		if (run)
			p->ops->forbid_write(p->env, first, (uint64_t)run * each);
		for (unsigned k = 0; k < run; k++)
			push_home(p, first + (uint64_t)k * each);
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
		obey_deferred(p, page + (uint64_t)i * each);
	}
	if (write && push && !rankset_has(&p->down, protocol_home(p, page)))
		push_run(p, page, n);
	protocol_run_local(p);
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
			fail(p, g, EHOSTDOWN, home);
	}
}

void cache_rank_down(struct protocol *p, unsigned rank)
{
	uint64_t nblocks = p->space->len_bytes / BLOCK_BYTES;

	for (uint64_t b = 0; b < nblocks; b++)
		if (p->blocks[b].in_use && p->blocks[b].home == rank)
			block_home_down(p, b * GRANULES_PER_BLOCK, rank);
}
