/* SPDX-License-Identifier: MIT */
/*
 * See hold.h. The list is walked, for a page that is held and that another thread wants: such
 * pages are few, and so are the ranges that a rank holds.
 */
#include "hold.h"
#include "node.h"

static bool covers(const struct hold *h, uint64_t page)
{
	return page >= h->span.first && page < h->taken;
}

struct hold *hold_find(struct dsm *d, uintptr_t addr, size_t len)
{
	struct hold *h, *other = NULL;
	pid_t tid = node_tid();

	cds_list_for_each_entry (h, &d->holds, link) {
		if (!h->complete || h->addr != addr || h->len != len)
			continue;
		if (h->tid == tid)
			return h;
		if (!other)
			other = h;
	}
	return other;
}

/* Does every thread that holds the page for reading wait to write it? */
static bool all_want(struct dsm *d, uint64_t page)
{
	struct hold *h;

	cds_list_for_each_entry (h, &d->holds, link)
		if (!h->write && covers(h, page) && h->wants != page)
			return false;
	return true;
}

bool hold_may_write(struct dsm *d, uint64_t page, pid_t tid)
{
	struct page *pg = &d->protocol.pages[page];
	struct hold *h;

	if (!pg->readers_holding || cache_can_write(&d->protocol, page))
		return true;
	cds_list_for_each_entry (h, &d->holds, link) {
		if (h->tid == tid) {
			h->wants = page;
			d->holds_want = true;
		}
	}
	if (all_want(d, page))
		return true;
	pg->hold_awaited = 1;
	pg->write_awaited = 1;
	return false;
}

bool hold_may_join(struct dsm *d, uint64_t page, pid_t tid)
{
	struct page *pg = &d->protocol.pages[page];
	struct hold *h;

	/* The copy that is here may go as long as more is asked for. */
	if (pg->pending)
		return false;
	if (!pg->readers_holding && !pg->writers_holding)
		return true;
	if (!pg->deferred && !pg->hold_awaited)
		return true;
	cds_list_for_each_entry (h, &d->holds, link)
		if (h->tid == tid && covers(h, page))
			return true;
	pg->hold_awaited = 1;
	return false;
}

void hold_settled(struct dsm *d, uint64_t page)
{
	struct hold *h;

	d->protocol.pages[page].write_awaited = 0;
	if (!d->holds_want)
		return;
	d->holds_want = false;
	cds_list_for_each_entry (h, &d->holds, link) {
		if (h->wants == page)
			h->wants = HOLD_NO_PAGE;
		d->holds_want |= h->wants != HOLD_NO_PAGE;
	}
}

void hold_wants_nothing(struct dsm *d, pid_t tid)
{
	struct hold *h;

	if (!d->holds_want)
		return;
	cds_list_for_each_entry (h, &d->holds, link)
		if (h->tid == tid)
			h->wants = HOLD_NO_PAGE;
}

void hold_ended(struct dsm *d, uint64_t page)
{
	struct page *pg = &d->protocol.pages[page];

	if (!pg->hold_awaited)
		return;
	pg->hold_awaited = 0;
	/* Asked for here, before anybody else can take a new hold of the copy: who waits to write
	 * is not passed over for ever. */
	if (pg->write_awaited && all_want(d, page)) {
		pg->write_awaited = 0;
		cache_write(&d->protocol, page, 0, false);
	}
	d->pager->ops->wake(d->pager, page, protocol_granules(&d->protocol, page));
	node_page_changed(d, page, 0, WIRE_NO_RANK);
}
