// SPDX-License-Identifier: MIT
/*
 * A range of the caller's pages: pinned, merged into physically contiguous runs, maintained run by
 * run.
 *
 * Dropping a dirty line lets memory show what it held before, which after a page was zeroed is
 * somebody else's data. So dirty lines are dropped only for a caller who may see all memory anyway
 * (CAP_SYS_RAWIO), or where the administrator trusts whoever may open the device (the parameter
 * trust_group); for others they are written back first, and the result says so.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "dsm_cache.h"
#include "trace.h"

/* A range of so many pages needs no memory of its own. */
#define PAGES_ON_STACK 16

static bool trust_group;
module_param(trust_group, bool, 0644);
MODULE_PARM_DESC(trust_group, "whoever may open the device may drop dirty lines");

static bool trusted(void)
{
	return READ_ONCE(trust_group) || capable(CAP_SYS_RAWIO);
}

bool range_discards(void)
{
	return IS_ENABLED(CONFIG_ARM64) && trusted();
}

static bool drops(u32 op)
{
	return op == DSM_CACHE_INVALIDATE || op == DSM_CACHE_FOR_CPU;
}

/* Everything that can be said without looking at the pages. */
static int range_check(const struct dsm_cache_range *r, u64 *npages)
{
	u64 end, last;

	if (r->op < DSM_CACHE_CLEAN || r->op > DSM_CACHE_FOR_CPU)
		return -EINVAL;
	if (r->flags || r->reserved || !r->len_bytes)
		return -EINVAL;
	if (check_add_overflow(r->addr, r->len_bytes, &end) ||
	    check_add_overflow(end, (u64)PAGE_SIZE - 1, &last))
		return -EINVAL;
	*npages = (last >> PAGE_SHIFT) - (r->addr >> PAGE_SHIFT);
	if (*npages > DSM_CACHE_PAGES_MAX)
		return -E2BIG;
	return 0;
}

/* All of them, or none and an error. */
static noinline int dsm_cache_pin(u64 addr, u64 npages, bool write, struct page **pages)
{
	int n = pin_user_pages_fast(addr & PAGE_MASK, npages, write ? FOLL_WRITE : 0, pages);

	if (n == (int)npages) {
		account_add(ACCOUNT_PINNED, n);
		return 0;
	}
	if (n > 0)
		unpin_user_pages(pages, n);
	if (fatal_signal_pending(current))
		return -EINTR;
	return n == -ENOMEM ? n : -EFAULT;
}

static noinline void dsm_cache_unpin(struct page **pages, u64 npages)
{
	unpin_user_pages(pages, npages);
	account_add(ACCOUNT_PINNED, -(long)npages);
}

/* Pages from the first of @pages on that follow one another in memory. */
static u64 run_length(struct page **pages, u64 npages)
{
	u64 n = 1;

	while (n < npages && page_to_pfn(pages[n]) == page_to_pfn(pages[0]) + n)
		n++;
	return n;
}

/* @op is what is done, which can be gentler than what r->op says. */
static int maintain_runs(struct dsm_cache_range *r, enum dsm_cache_op op, struct page **pages,
			 u64 npages)
{
	u64 off = offset_in_page(r->addr), left = r->len_bytes, i, n, piece;
	int err;

	for (i = 0; i < npages; i += n) {
		n = run_length(pages + i, npages - i);
		piece = min(left, (n << PAGE_SHIFT) - off);
		err = lines_maintain(op, pages[i], off, piece);
		if (err)
			return err;
		r->runs++;
		r->lines += lines_count(off, piece);
		left -= piece;
		off = 0;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	r->pages = npages;
	return 0;
}

static int range_pinned(struct dsm_cache_range *r, struct page **pages, u64 npages)
{
	/* amd64 has no other way than to write back first. */
	bool gently = IS_ENABLED(CONFIG_ARM64) && drops(r->op) && !trusted();
	u64 began_ns = ktime_get_ns();
	int err;

	err = dsm_cache_pin(r->addr, npages, drops(r->op), pages);
	if (err)
		return err;
	r->pin_ns = ktime_get_ns() - began_ns;
	began_ns = ktime_get_ns();
	err = maintain_runs(r, gently ? DSM_CACHE_CLEAN_INVALIDATE : r->op, pages, npages);
	r->work_ns = ktime_get_ns() - began_ns;
	r->line_bytes = lines_bytes();
	r->cleaned = gently || (drops(r->op) && !IS_ENABLED(CONFIG_ARM64));
	dsm_cache_unpin(pages, npages);
	return err;
}

int range_maintain(struct dsm_cache_range *r)
{
	struct page *few[PAGES_ON_STACK], **pages = few;
	const u64 tagged = r->addr;
	u64 npages;
	int err;

	r->addr = untagged_addr(tagged);
	err = range_check(r, &npages);
	if (err)
		goto out;
	r->pages = r->runs = r->lines = 0;
	err = -ENOMEM;
	if (npages > PAGES_ON_STACK)
		pages = kvmalloc_array(npages, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		goto out;
	err = range_pinned(r, pages, npages);
	if (pages != few)
		kvfree(pages);
out:
	account_add(err ? ACCOUNT_REFUSED : ACCOUNT_RANGES, 1);
	if (!err)
		account_add(ACCOUNT_LINES, r->lines);
	trace_dsm_cache_range(r, err);
	r->addr = tagged;
	return err;
}
