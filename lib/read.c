/* SPDX-License-Identifier: MIT */
/*
 * dsm_read: a copy of a range for one look at it. Pages that are not here are copied straight out
 * of their home's memory, by loads (snapshot.h) or by the transport (look.c): nothing is mapped,
 * nobody becomes a reader, and a home that writes again has nobody to ask. If the home's memory is
 * not what the page is, they are acquired for the copy.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "access.h"
#include "error.h"
#include "snapshot.h"

/* Pages copied between two looks at their grants: few enough to be likely to stay as they are. */
#define PAGES_MAX 64u

/* What is to be copied, and how much of it can be had in one way. */
struct reading {
	struct dsm *dsm;
	uint8_t *to;
	const uint8_t *from;
	size_t left;
	uint64_t first; /* page of the part */
	unsigned each; /* granules a page */
	unsigned n; /* pages */
	size_t len; /* bytes of it that are wanted */
	bool away; /* the pages are neither here nor this rank's own */
	uint8_t *view; /* their home's memory, where loads reach it */
	bool told; /* its home knows that this rank looks */
};

static uint64_t page_at(const struct reading *r, unsigned i)
{
	return r->first + (uint64_t)i * r->each;
}

/* Lock held. Neither here nor own: then the home's memory is the place to look. */
static bool is_away(const struct reading *r, uint64_t page)
{
	const struct protocol *p = &r->dsm->protocol;

	return protocol_home(p, page) != r->dsm->rank && protocol_home(p, page) != WIRE_NO_RANK &&
	       !cache_can_read(p, page);
}

/* The next pages of what is left that are alike: of one block, away or not. */
static void next_part(struct reading *r)
{
	struct dsm *d = r->dsm;
	const struct transport_ops *ops = d->transport->ops;
	uint64_t granule, end;

	node_lock(d);
	granule = space_granule(&d->space, r->from);
	end = MIN((granule / GRANULES_PER_BLOCK + 1) * GRANULES_PER_BLOCK,
		  space_granule(&d->space, r->from + r->left - 1) + 1);
	r->first = granule & ~(uint64_t)(r->each - 1);
	r->away = is_away(r, r->first);
	for (r->n = 1; r->n < PAGES_MAX; r->n++) {
		uint64_t page = page_at(r, r->n);

		if (page >= end || is_away(r, page) != r->away)
			break;
	}
	r->view = NULL;
	if (r->away && ops->view)
		r->view = ops->view(d->transport, protocol_home(&d->protocol, r->first));
	r->told = protocol_block(&d->protocol, r->first)->looked_at;
	node_unlock(d);
	r->len = (size_t)(d->space.base + (page_at(r, r->n) << GRANULE_SHIFT) - r->from);
	if (r->len > r->left)
		r->len = r->left;
}

static void looked(const struct reading *r)
{
	struct dsm *d = r->dsm;

	if (r->told)
		return;
	node_lock(d);
	cache_looked(&d->protocol, r->first);
	node_unlock(d);
}

static bool copied_from_home(const struct reading *r)
{
	const struct space *s = &r->dsm->space;
	uint64_t word[PAGES_MAX];
	unsigned i;

	if (!r->view)
		return false;
	for (i = 0; i < r->n; i++)
		if (!snapshot_begin(s, r->view, page_at(r, i), &word[i]))
			return false;
	memcpy(r->to, r->view + (r->from - s->base), r->len);
	for (i = 0; i < r->n; i++)
		if (!snapshot_end(s, r->view, page_at(r, i), word[i]))
			return false;
	looked(r);
	return true;
}

/* Where loads do not reach: by the transport, and by way of memory of our own, since @to may be
 * shared memory, which is not to be touched under the lock. */
static bool fetched_from_home(const struct reading *r)
{
	size_t bytes = (size_t)r->n * r->each << GRANULE_SHIFT;
	struct dsm *d = r->dsm;
	uint8_t *copy;
	int err;

	if (!r->away || r->view)
		return false;
	copy = malloc(bytes);
	if (!copy)
		return false;
	node_lock(d);
	err = node_copy(d, r->first, r->n, copy);
	node_run_local(d);
	node_unlock(d);
	if (err == 0)
		memcpy(r->to, copy + (r->from - (d->space.base + (r->first << GRANULE_SHIFT))),
		       r->len);
	free(copy);
	return err == 0;
}

/* Where the pages are here already this holds them for the time of the copy. */
static int copy_acquired(const struct reading *r)
{
	int err = dsm_acquire(r->dsm, r->from, r->len, DSM_READ);

	if (err < 0)
		return err;
	memcpy(r->to, r->from, r->len);
	return dsm_release(r->dsm, r->from, r->len);
}

static int read_parts(struct reading *r)
{
	while (r->left) {
		int err = 0;

		next_part(r);
		if (copied_from_home(r) || fetched_from_home(r))
			stats_add(&r->dsm->stats.pub.fetched_bytes, r->len);
		else
			err = copy_acquired(r);
		if (err < 0)
			return err;
		r->to += r->len;
		r->from += r->len;
		r->left -= r->len;
	}
	return 0;
}

int dsm_read(struct dsm *dsm, void *to, const volatile void *from, size_t len)
{
	struct reading r = {
		.dsm = dsm, .to = to, .from = (const uint8_t *)(uintptr_t)from, .left = len
	};
	struct span s;
	int err;

	error_clear();
	node_lock(dsm);
	err = access_span(dsm, from, len, &s);
	if (err == 0)
		s.region->acquired++; /* it stays */
	node_unlock(dsm);
	if (err < 0)
		return err;
	r.each = s.each;
	/* Between what this thread stored before and what it loads now. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	err = read_parts(&r);
	node_lock(dsm);
	s.region->acquired--;
	node_unlock(dsm);
	return err;
}
