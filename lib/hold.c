/* SPDX-License-Identifier: MIT */
/*
 * See hold.h. The list is walked for a page that is held and that another thread wants: such pages
 * are few, and so are the ranges that a rank holds.
 */
#include "bug.h"
#include "hold.h"
#include "protocol.h"

static bool covers(const struct hold *h, uint64_t page)
{
	return page >= h->first && page < h->taken;
}

void hold_begin(struct protocol *p, struct hold *h, uint64_t first, bool write, uint64_t thread)
{
	*h = (struct hold){ .first = first,
			    .taken = first,
			    .wants = HOLD_NO_PAGE,
			    .thread = thread,
			    .write = write };
	cds_list_add(&h->link, &p->holds);
}

int hold_take(struct protocol *p, struct hold *h)
{
	int err = cache_hold(p, h->taken, h->write);

	if (err == 0)
		h->taken += protocol_granules(p, h->taken);
	return err;
}

/* Does every thread that holds the page for reading wait to write it? */
static bool all_want(const struct protocol *p, uint64_t page)
{
	struct hold *h;

	cds_list_for_each_entry (h, &p->holds, link)
		if (!h->write && covers(h, page) && h->wants != page)
			return false;
	return true;
}

bool hold_may_write(struct protocol *p, uint64_t page, uint64_t thread)
{
	struct page *pg = &p->pages[page];
	struct hold *h;

	if (!pg->readers_holding || cache_can_write(p, page))
		return true;
	cds_list_for_each_entry (h, &p->holds, link) {
		if (h->thread == thread) {
			h->wants = page;
			p->holds_want = true;
		}
	}
	if (all_want(p, page) || DSM_BUG(HOLD_WRITE))
		return true;
	pg->hold_awaited = 1;
	pg->write_awaited = 1;
	return false;
}

bool hold_may_join(struct protocol *p, uint64_t page, uint64_t thread)
{
	struct page *pg = &p->pages[page];
	struct hold *h;

	/* The copy that is here may go as long as more is asked for. */
	if (pg->pending) {
		pg->demanded = 1;
		return false;
	}
	if (!pg->readers_holding && !pg->writers_holding)
		return true;
	if (!pg->deferred && !pg->hold_awaited)
		return true;
	cds_list_for_each_entry (h, &p->holds, link)
		if (h->thread == thread && covers(h, page))
			return true;
	pg->hold_awaited = 1;
	return false;
}

void hold_settled(struct protocol *p, uint64_t page)
{
	struct hold *h;

	p->pages[page].write_awaited = 0;
	if (!p->holds_want)
		return;
	p->holds_want = false;
	cds_list_for_each_entry (h, &p->holds, link) {
		if (h->wants == page)
			h->wants = HOLD_NO_PAGE;
		p->holds_want |= h->wants != HOLD_NO_PAGE;
	}
}

void hold_wants_nothing(struct protocol *p, uint64_t thread)
{
	struct hold *h;

	if (!p->holds_want)
		return;
	cds_list_for_each_entry (h, &p->holds, link)
		if (h->thread == thread)
			h->wants = HOLD_NO_PAGE;
}

/* A hold of the page has ended: let those look again who wait for that. */
static void page_released(struct protocol *p, uint64_t page)
{
	struct page *pg = &p->pages[page];

	if (!pg->hold_awaited)
		return;
	pg->hold_awaited = 0;
	/* Asked for here, before anybody else can take a new hold of the copy: who waits to write
	 * is not passed over for ever. */
	if (pg->write_awaited && all_want(p, page)) {
		pg->write_awaited = 0;
		cache_write(p, page, 0, false);
	}
	p->ops->hold_ended(p->env, page);
}

void hold_end(struct protocol *p, struct hold *h, bool push)
{
	unsigned each = protocol_granules(p, h->first);

	cds_list_del(&h->link);
	for (uint64_t page = h->first; page < h->taken;) {
		uint64_t stop = (page / GRANULES_PER_BLOCK + 1) * GRANULES_PER_BLOCK;

		if (stop > h->taken)
			stop = h->taken;
		cache_unhold(p, page, (unsigned)((stop - page) / each), h->write, push);
		page = stop;
	}
	for (uint64_t page = h->first; page < h->taken; page += each)
		page_released(p, page);
}
