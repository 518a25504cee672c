/* SPDX-License-Identifier: MIT */
/*
 * dsm_acquire, dsm_release, dsm_prefetch and the remote atomics: pages brought here by a call.
 *
 * An acquire asks ahead, a window of pages at a time, but takes its holds strictly in ascending
 * order: a page that came early and is wanted elsewhere is given up again. So two ranks that
 * acquire one range each cannot wait for one another. Where pages come later than they are asked
 * for, several windows are under way: while one is taken here, the next is on the wire.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "access.h"
#include "error.h"
#include "node.h"
#include "remote_atomic.h"

/* Pages asked for at a time. */
#define ACQUIRE_WINDOW TRANSPORT_FETCH_MAX
/* Windows under way: one that arrives, one on the wire, one that is asked for. */
#define ACQUIRE_DEPTH 3u
/* Pages taken before the lock is let go, so that faults and messages get their turn. */
#define ACQUIRE_SLICE 64u

/* What one dsm_acquire() holds, as the program named it. */
struct acquired {
	struct cds_list_head link;
	uintptr_t addr;
	size_t len;
	struct span span;
	struct hold hold;
	uint64_t asked; /* granule behind the last page that was asked for */
	bool streams; /* and those did not come at once */
};

int access_span(struct dsm *d, const volatile void *addr, size_t len, struct span *s)
{
	uintptr_t offset = (uintptr_t)addr - (uintptr_t)d->space.base, last = offset + (len - 1);
	struct region *r = NULL;

	if (len == 0 || (uintptr_t)addr + (len - 1) < (uintptr_t)addr)
		return error_set(EINVAL, "the range at %p of %zu bytes is empty or overflows",
				 (const void *)(uintptr_t)addr, len);
	if (space_contains(&d->space, addr))
		r = region_find(d, offset >> GRANULE_SHIFT);
	if (!r || last >= r->first_block * BLOCK_BYTES + (r->granules << GRANULE_SHIFT))
		return error_set(EFAULT, "the range at %p of %zu bytes is not inside one region",
				 (const void *)(uintptr_t)addr, len);
	if (r->drained)
		return error_set(EFAULT,
				 "the range at %p of %zu bytes is in a region that is being freed",
				 (const void *)(uintptr_t)addr, len);
	s->region = r;
	s->each = 1u << r->page_shift;
	s->first = (offset >> GRANULE_SHIFT) & ~(uint64_t)(s->each - 1);
	s->end = ((last >> GRANULE_SHIFT) | (s->each - 1)) + 1;
	return 0;
}

static bool ready(const struct dsm *d, uint64_t page, bool write)
{
	return write ? cache_can_write(&d->protocol, page) : cache_can_read(&d->protocol, page);
}

/* Lock held. Make sure that the home of a page is known. */
static int know_home(struct dsm *d, uint64_t page, uint64_t deadline_ns)
{
	uint64_t block = page / GRANULES_PER_BLOCK;
	unsigned blame = WIRE_NO_RANK;
	int err;

	while (d->blocks[block].home == WIRE_NO_RANK) {
		err = region_ask_home(d, block, true);
		if (err == 1)
			err = node_wait_page(d, block * GRANULES_PER_BLOCK, deadline_ns, &blame);
		if (err < 0)
			return region_home_unknown(d, block, err);
	}
	return 0;
}

void node_want(struct dsm *d, uint64_t page, uint64_t end, bool write)
{
	struct protocol *p = &d->protocol;
	unsigned each = protocol_granules(p, page), most;
	bool together = true;

	for (uint64_t g = page; g < end; g += each) {
		if (g % GRANULES_PER_BLOCK == 0)
			together = true;
		if (protocol_home(p, g) == WIRE_NO_RANK)
			break;
		/* What is on its way is waited for from now on: where others have it, it is asked
		 * for by message as soon as that is known. */
		p->pages[g].demanded |= p->pages[g].pending != PEND_NONE;
		if (p->pages[g].pending || p->pages[g].lost || ready(d, g, write) ||
		    (g != page && p->pages[g].readers_holding))
			continue;
		/* What can be had together comes with the first; what is not read with it is asked
		 * for singly. */
		most = (unsigned)((end - g) / each);
		if (write)
			cache_write_run(p, g, most);
		else
			cache_read(p, g, together ? most - 1 : 0, false);
		together = false;
	}
	node_run_local(d);
}

/* Lock held. Room for those of these pages of a span that are neither here nor on their way? Others
 * are given up for them; but what is held cannot be, and what has just come for this span must not.
 */
static bool has_room_ahead(struct dsm *d, const struct span *s, uint64_t page, uint64_t end)
{
	struct protocol *p = &d->protocol;
	uint64_t missing = 0;

	if (end > s->first + p->frames_max)
		return false;
	for (uint64_t g = page; g < end; g += s->each)
		if (!p->pages[g].frame && !p->pages[g].pending && protocol_home(p, g) != d->rank)
			missing += s->each;
	if (!missing)
		return true;
	cache_make_room(p, missing);
	return p->frames + p->due + missing <= p->frames_max;
}

/* Ask for a page of a span, and for a window of those behind it. Returns the granule behind it. */
static uint64_t ask_window(struct dsm *d, const struct span *s, uint64_t page, bool write)
{
	uint64_t n = ACQUIRE_WINDOW, end;

	if (protocol_home(&d->protocol, page) != d->rank)
		n = node_ahead_max(d, n, s->each);
	end = page + (n ? n : 1) * s->each;
	if (end > s->end)
		end = s->end;
	if (!has_room_ahead(d, s, page, end))
		end = page + s->each;
	node_want(d, page, end, write);
	return end;
}

/* Let the windows behind what is taken be on their way, as many as the cache has room for ahead. */
static void ask_on(struct dsm *d, struct acquired *a)
{
	const struct span *s = &a->span;
	uint64_t taken = a->hold.taken, window = ACQUIRE_WINDOW * s->each;
	uint64_t ahead = node_ahead_max(d, ACQUIRE_DEPTH * ACQUIRE_WINDOW, s->each) * s->each;

	while (a->streams && a->asked > taken && a->asked < s->end &&
	       a->asked + window <= taken + ahead &&
	       has_room_ahead(d, s, a->asked, MIN(a->asked + window, s->end)))
		a->asked = ask_window(d, s, a->asked, a->hold.write);
}

static const char *grant_text(uint64_t word, char *buf, size_t len)
{
	switch (grant_state(word)) {
	case GRANT_BUSY:
		snprintf(buf, len, "rank %u has not given it up", grant_rank(word));
		break;
	case GRANT_EXCLUSIVE:
		snprintf(buf, len, "rank %u has it for writing", grant_rank(word));
		break;
	default:
		snprintf(buf, len, "its home has not answered");
		break;
	}
	return buf;
}

/* Who has the page? One look at the home's directory, from here. */
static int timed_out(struct dsm *d, uint64_t page, bool write)
{
	char who[64] = "its home could not be asked";
	uint64_t grant;

	if (node_look(d, page, &grant) == 0)
		grant_text(grant, who, sizeof(who));
	return error_set(ETIMEDOUT, "page %p (home: rank %u) cannot be had for %s in time: %s",
			 node_addr(d, page), protocol_home(&d->protocol, page),
			 write ? "writing" : "reading", who);
}

static int refused(struct dsm *d, uint64_t page, int err, unsigned blame)
{
	if (err == -EHOSTDOWN)
		return error_set(EHOSTDOWN, "page %p is gone: %s", node_addr(d, page),
				 node_fate(d, blame).text);
	return error_set_sys(-err, "page %p cannot be had", node_addr(d, page));
}

/* Ask for a page, if this thread may now. Someone else's hold can be in the way. */
static void ask(struct dsm *d, struct acquired *a, uint64_t page)
{
	bool write = a->hold.write;

	if (ready(d, page, write) || (write && !hold_may_write(&d->protocol, page, node_tid())))
		return;
	a->asked = ask_window(d, &a->span, page, write);
	a->streams = d->protocol.pages[page].pending != PEND_NONE;
	/* When it comes it stays until this thread has looked; a recall right behind the grant
	 * would have it wait for ever where many ranks want the page. */
	if (!ready(d, page, write))
		d->protocol.pages[page].fresh = 1;
}

static bool may_hold(struct dsm *d, uint64_t page, bool write)
{
	return ready(d, page, write) && hold_may_join(&d->protocol, page, node_tid());
}

/* Lock held. Bring one page here, and others of the span on the way. */
static int bring(struct dsm *d, struct acquired *a, uint64_t page, uint64_t deadline_ns)
{
	bool write = a->hold.write;
	struct page_wait w;
	int err;

	while (!may_hold(d, page, write)) {
		err = know_home(d, page, deadline_ns);
		if (err < 0)
			return err;
		if (d->protocol.pages[page].lost)
			return refused(d, page, -EHOSTDOWN, d->protocol.pages[page].blame);
		/* Before the asking, which may fail at once. */
		node_wait_begin(d, &w, page);
		ask(d, a, page);
		ask_on(d, a);
		if (may_hold(d, page, write)) {
			node_wait_cancel(d, &w);
			break;
		}
		err = node_wait_end(d, &w, deadline_ns);
		if (err == -ETIMEDOUT)
			return timed_out(d, page, write);
		if (err < 0)
			return refused(d, page, err, w.blame);
	}
	return 0;
}

/* Lock held. Room in the cache for a page that is not here? */
static bool has_room(struct dsm *d, uint64_t page, unsigned granules)
{
	return protocol_home(&d->protocol, page) == d->rank || d->protocol.pages[page].frame ||
	       cache_make_room(&d->protocol, granules);
}

/* Lock held, let go between slices. */
static int acquire_pages(struct dsm *d, struct acquired *a, uint64_t deadline_ns)
{
	const struct span *s = &a->span;
	unsigned slice = 0;
	int err;

	while (a->hold.taken < s->end) {
		uint64_t page = a->hold.taken;

		if (!has_room(d, page, s->each))
			return error_set(ENOMEM,
					 "the cache of %" PRIu64 " bytes is full of pages that are "
					 "held; raise DSM_CACHE_SIZE or acquire less at a time",
					 d->settings.cache_bytes);
		err = bring(d, a, page, deadline_ns);
		if (err < 0)
			return err;
		if (hold_take(&d->protocol, &a->hold) < 0)
			return error_set(EOVERFLOW, "page %p is held too many times",
					 node_addr(d, page));
		ask_on(d, a);
		if (++slice % ACQUIRE_SLICE == 0) {
			node_unlock(d);
			node_lock(d);
		}
	}
	return 0;
}

int dsm_acquire_timed(struct dsm *dsm, const volatile void *addr, size_t len, enum dsm_mode mode,
		      int timeout_ms)
{
	uint64_t start = clock_ns(), deadline = node_deadline(timeout_ms, dsm->settings.timeout_ms);
	struct acquired *a;
	int err;

	error_clear();
	if (mode != DSM_READ && mode != DSM_WRITE)
		return error_set(EINVAL, "mode %d is neither DSM_READ nor DSM_WRITE", (int)mode);
	a = malloc(sizeof(*a));
	if (!a)
		return error_set(ENOMEM, "no memory to note an acquired range");
	a->addr = (uintptr_t)addr;
	a->len = len;
	a->asked = 0;
	a->streams = false;
	node_lock(dsm);
	err = access_span(dsm, addr, len, &a->span);
	if (err < 0)
		goto err_unlock;
	a->span.region->acquired++;
	hold_begin(&dsm->protocol, &a->hold, a->span.first, mode == DSM_WRITE, node_tid());
	err = acquire_pages(dsm, a, deadline);
	hold_wants_nothing(&dsm->protocol, node_tid());
	if (err < 0)
		goto err_not_acquired;
	cds_list_add(&a->link, &dsm->acquired);
	node_run_local(dsm);
	node_unlock(dsm);
	stats_record(&dsm->stats.pub.acquire_ns, clock_ns() - start);
	return 0;

err_not_acquired:
	hold_end(&dsm->protocol, &a->hold, false);
	a->span.region->acquired--;
err_unlock:
	node_run_local(dsm);
	node_unlock(dsm);
	free(a);
	return err;
}

int dsm_acquire(struct dsm *dsm, const volatile void *addr, size_t len, enum dsm_mode mode)
{
	return dsm_acquire_timed(dsm, addr, len, mode, DSM_FOREVER);
}

/* The calling thread's latest hold of this range, or else another thread's. */
static struct acquired *find_acquired(struct dsm *d, uintptr_t addr, size_t len)
{
	struct acquired *a, *other = NULL;
	uint64_t thread = node_tid();

	cds_list_for_each_entry (a, &d->acquired, link) {
		if (a->addr != addr || a->len != len)
			continue;
		if (a->hold.thread == thread)
			return a;
		if (!other)
			other = a;
	}
	return other;
}

int dsm_release(struct dsm *dsm, const volatile void *addr, size_t len)
{
	struct acquired *a;
	bool push;

	error_clear();
	node_lock(dsm);
	a = find_acquired(dsm, (uintptr_t)addr, len);
	if (!a) {
		node_unlock(dsm);
		return error_set(EINVAL,
				 "the range at %p of %zu bytes is not acquired by this rank",
				 (const void *)(uintptr_t)addr, len);
	}
	cds_list_del(&a->link);
	push = a->span.region->release == DSM_RELEASE_WRITE_THROUGH;
	hold_end(&dsm->protocol, &a->hold, push);
	a->span.region->acquired--;
	node_run_local(dsm);
	node_unlock(dsm);
	free(a);
	return 0;
}

void access_forget(struct dsm *d)
{
	struct acquired *a, *next;

	cds_list_for_each_entry_safe (a, next, &d->acquired, link)
		free(a);
}

int dsm_prefetch(struct dsm *dsm, const volatile void *addr, size_t len, enum dsm_mode mode)
{
	struct protocol *p = &dsm->protocol;
	struct span s;
	uint64_t page;
	int err;

	error_clear();
	if (mode != DSM_READ && mode != DSM_WRITE)
		return error_set(EINVAL, "mode %d is neither DSM_READ nor DSM_WRITE", (int)mode);
	node_lock(dsm);
	err = access_span(dsm, addr, len, &s);
	if (err < 0) {
		node_unlock(dsm);
		return err;
	}
	for (page = s.first; page < s.end; page += s.each) {
		if (dsm->blocks[page / GRANULES_PER_BLOCK].home == WIRE_NO_RANK)
			continue; /* it is to be touched first, which a hint does not */
		if (p->pages[page].pending || p->pages[page].lost ||
		    p->pages[page].readers_holding || ready(dsm, page, mode == DSM_WRITE))
			continue;
		if (p->frames + p->due + s.each > p->frames_max && !p->pages[page].frame)
			break; /* to fetch more would push out what was just fetched */
		(void)ask_window(dsm, &s, page, mode == DSM_WRITE);
	}
	node_unlock(dsm);
	return 0;
}

/*
 * Remote atomics
 */

static void ask_atomic(struct dsm *d, uint64_t page)
{
	if (!d->protocol.pages[page].readers_holding)
		cache_atomic(&d->protocol, page);
	else if (hold_may_write(&d->protocol, page, node_tid()))
		cache_write(&d->protocol, page, 0, false); /* a page that is held stays here */
	node_run_local(d);
}

/* Lock held. Bring the page into a state in which the atomic can be done at once. */
static int open_page(struct dsm *d, uint64_t page)
{
	uint64_t deadline = node_deadline(DSM_FOREVER, d->settings.timeout_ms);
	struct page_wait w;
	int err = know_home(d, page, deadline);

	while (err == 0 && !cache_can_atomic(&d->protocol, page)) {
		if (d->protocol.pages[page].lost)
			return refused(d, page, -EHOSTDOWN, d->protocol.pages[page].blame);
		node_wait_begin(d, &w, page);
		ask_atomic(d, page);
		if (cache_can_atomic(&d->protocol, page)) {
			node_wait_cancel(d, &w);
			break;
		}
		err = node_wait_end(d, &w, deadline);
		if (err == -ETIMEDOUT)
			return timed_out(d, page, true);
		if (err < 0)
			return refused(d, page, err, w.blame);
	}
	return err;
}

static int atomic_at(struct dsm *d, uintptr_t addr, const struct remote_atomic *a, uint64_t *result)
{
	struct span s;
	int err = access_span(d, (void *)addr, a->width, &s);
	uint64_t offset = addr - (uintptr_t)d->space.base;

	if (err < 0)
		return err;
	err = open_page(d, s.first);
	hold_wants_nothing(&d->protocol, node_tid());
	if (err < 0)
		return err;
	if (cache_can_write(&d->protocol, s.first)) {
		*result = remote_atomic_apply(d->space.alias + offset, a);
		return 0;
	}
	stats_inc(&d->stats.pub.atomics_remote);
	return remote_atomic_do(d, offset, a, result);
}

static int atomic(struct dsm *d, void *addr, const struct remote_atomic *a, uint64_t *result)
{
	int err;

	error_clear();
	if ((uintptr_t)addr % a->width)
		return error_set(EINVAL, "%p is not aligned to %u bytes", addr, a->width);
	node_lock(d);
	err = atomic_at(d, (uintptr_t)addr, a, result);
	if (err == -EAGAIN) /* nothing was done: the home's adapter does none any more */
		err = atomic_at(d, (uintptr_t)addr, a, result);
	if (err == -EAGAIN)
		err = error_set(EIO, "the home of %p granted an atomic twice and refused it", addr);
	/* The page has been kept for this: whoever wants it meanwhile need not wait for the agent.
	 */
	protocol_retry(&d->protocol);
	node_unlock(d);
	return err;
}

int dsm_fetch_add32(struct dsm *dsm, uint32_t *addr, uint32_t operand, uint32_t *old)
{
	struct remote_atomic a = { ATOMIC_FETCH_ADD, 4, operand, 0 };
	uint64_t result;
	int err = atomic(dsm, addr, &a, &result);

	if (err == 0 && old)
		*old = (uint32_t)result;
	return err;
}

int dsm_fetch_add64(struct dsm *dsm, uint64_t *addr, uint64_t operand, uint64_t *old)
{
	struct remote_atomic a = { ATOMIC_FETCH_ADD, 8, operand, 0 };
	uint64_t result;
	int err = atomic(dsm, addr, &a, &result);

	if (err == 0 && old)
		*old = result;
	return err;
}

int dsm_compare_swap32(struct dsm *dsm, uint32_t *addr, uint32_t expected, uint32_t desired,
		       uint32_t *old)
{
	struct remote_atomic a = { ATOMIC_COMPARE_SWAP, 4, desired, expected };
	uint64_t result;
	int err = atomic(dsm, addr, &a, &result);

	if (err == 0 && old)
		*old = (uint32_t)result;
	return err;
}

int dsm_compare_swap64(struct dsm *dsm, uint64_t *addr, uint64_t expected, uint64_t desired,
		       uint64_t *old)
{
	struct remote_atomic a = { ATOMIC_COMPARE_SWAP, 8, desired, expected };
	uint64_t result;
	int err = atomic(dsm, addr, &a, &result);

	if (err == 0 && old)
		*old = result;
	return err;
}
