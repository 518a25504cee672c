/* SPDX-License-Identifier: MIT */
/*
 * The one-sided read chain: register as a reader, read the grant, read the page, for a run of pages
 * of one block. See cache.c.
 */
#include <errno.h>

#include "cache_internal.h"

static void chain_finish(struct protocol *p, struct transport_fetch *f, int status);

unsigned cache_run_length(const struct protocol *p, uint64_t page, unsigned most)
{
	unsigned each = protocol_granules(p, page), n = 1;

	if (most > TRANSPORT_FETCH_MAX)
		most = TRANSPORT_FETCH_MAX;
	while (n < most) {
		uint64_t next = page + (uint64_t)n * each;
		const struct page *pg = &p->pages[next];

		if (next / GRANULES_PER_BLOCK != page / GRANULES_PER_BLOCK || pg->pending ||
		    pg->state != p->pages[page].state || pg->lost || pg->deferred ||
		    pg->readers_holding)
			break;
		n++;
	}
	return n;
}

void cache_chain_start(struct protocol *p, uint64_t page, unsigned most)
{
	struct transport_fetch *f;
	unsigned each = protocol_granules(p, page), n = cache_run_length(p, page, most);
	int status;

	cache_make_room(p, (uint64_t)n * each);
	f = pool_get(&p->fetch_pool);
	if (!f) {
		cache_fail(p, page, ENOMEM, p->rank);
		return;
	}
	f->rank = protocol_home(p, page);
	f->granule = page;
	f->shift = protocol_block(p, page)->page_shift;
	f->n = n;
	for (unsigned i = 0; i < f->n; i++) {
		struct page *pg = &p->pages[page + (uint64_t)i * each];

		cache_set_pending(p, page + (uint64_t)i * each, PEND_CHAIN);
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
		cache_set_pending(p, page, PEND_NONE);
		return;
	}
	cache_set_pending(p, page, PEND_GETS);
	protocol_tell(p, protocol_home(p, page), MSG_GETS, page, 0);
}

/* Nothing took place, unless the home has died. -EAGAIN: the page cannot be read one-sidedly. */
static void chain_failed(struct protocol *p, const struct transport_fetch *f, unsigned i, int err)
{
	uint64_t page = f->granule + ((uint64_t)i << f->shift);

	if (err != -EHOSTDOWN && f->add & 1ull << i)
		p->pages[page].registered = 0;
	if (err == -EAGAIN)
		chain_refused(p, page);
	else
		cache_fail(p, page, -err, f->rank);
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
	unsigned frame = p->pages[first].frame, n = 1, missed;

	while (i + n < f->n && chain_valid(p, f, i + n) &&
	       p->pages[first + ((uint64_t)n << f->shift)].frame == frame)
		n++;
	/* The others came with it, even if they are waited for meanwhile. */
	missed = i == 0 && p->pages[first].demanded;
	stats_add(&p->stats->pub.read_misses_one_sided, missed);
	stats_add(&p->stats->pub.prefetched_pages, n - missed);
	cache_map_shared(p, first, n, f->data + ((uint64_t)i << f->shift << GRANULE_SHIFT));
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
			chain_failed(p, f, i, status);
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
