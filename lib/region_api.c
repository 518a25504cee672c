/* SPDX-License-Identifier: MIT */
/*
 * dsm_alloc, dsm_free, dsm_region_get, dsm_home: the caller's side of regions.
 */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "node.h"
#include "region_internal.h"

/* Populating memory is slower than talking: so much more time a MiB. */
#define POPULATE_MS_PER_MIB 2u

struct region_call {
	struct cds_list_head link;
	uint64_t cookie;
	struct msg_region answer;
	struct waiter waiter;
};

/* What rank 0 says of a region must be so here. */
static int answer_status(const struct dsm *d, const struct msg_region *m)
{
	uint64_t offset = m->addr - (uintptr_t)d->space.base;

	if (m->status > 0 || m->status < -4095 || m->page_shift > BLOCK_SHIFT - GRANULE_SHIFT)
		return -EPROTO;
	if (m->status == 0 && m->kind == MSG_REGION_ALLOCATED &&
	    (offset >= d->space.len_bytes || offset % BLOCK_BYTES ||
	     !d->regions.at[offset / BLOCK_BYTES]))
		return -EPROTO;
	return m->status;
}

void region_call_answered(struct dsm *d, const struct msg_region *m)
{
	struct region_call *c;
	struct msg_region undo = *m;

	if (m->src != 0)
		return;
	cds_list_for_each_entry (c, &d->regions.calls, link) {
		if (c->cookie != m->cookie)
			continue;
		cds_list_del(&c->link);
		c->answer = *m;
		waiter_complete(&c->waiter, answer_status(d, m));
		return;
	}
	/* The caller gave up waiting: nobody has the pointer, so the attachment goes. */
	if (m->kind != MSG_REGION_ALLOCATED || m->status < 0)
		return;
	undo.kind = MSG_REGION_FREE;
	undo.src = (uint16_t)d->rank;
	node_send(d, 0, (struct msg *)&undo);
}

void region_calls_fail(struct dsm *d, int err, unsigned blame)
{
	struct region_call *c, *next;

	cds_list_for_each_entry_safe (c, next, &d->regions.calls, link) {
		cds_list_del(&c->link);
		c->answer.blame = (uint16_t)blame;
		waiter_complete(&c->waiter, err);
	}
}

/* Send a request to rank 0 and wait. -ETIMEDOUT sets its text; other errors are the caller's. */
static int ask_root(struct dsm *d, struct msg_region *m, struct region_call *c, uint64_t extra_ms)
{
	uint64_t deadline = node_deadline(DSM_FOREVER, d->settings.timeout_ms + extra_ms);
	int err;

	c->waiter = (struct waiter)WAITER_INIT;
	m->slots = MSG_SLOTS_MAX;
	m->src = (uint16_t)d->rank;
	node_lock(d);
	if (rankset_has(&d->down, 0)) {
		node_unlock(d);
		c->answer.blame = 0;
		return -EHOSTDOWN;
	}
	c->cookie = m->cookie = ++d->regions.next_cookie;
	cds_list_add_tail(&c->link, &d->regions.calls);
	node_send(d, 0, (struct msg *)m);
	node_run_local(d);
	err = waiter_wait(d, &c->waiter, deadline);
	if (err == 0) {
		err = c->waiter.result;
	} else {
		cds_list_del(&c->link);
		err = error_set(ETIMEDOUT, "rank 0 did not answer a region request within %llu ms",
				(unsigned long long)(d->settings.timeout_ms + extra_ms));
	}
	node_unlock(d);
	return err;
}

static int page_shift_of(size_t page_bytes)
{
	if (page_bytes < GRANULE_BYTES || page_bytes > BLOCK_BYTES ||
	    (page_bytes & (page_bytes - 1)))
		return error_set(EINVAL,
				 "page_size %zu is not a power of two from %lu to %lu bytes",
				 page_bytes, GRANULE_BYTES, BLOCK_BYTES);
	return __builtin_ctzl(page_bytes) - GRANULE_SHIFT;
}

static int check_name(const char *name)
{
	size_t len = name ? strnlen(name, DSM_NAME_MAX + 1) : 1;

	if (len == 0)
		return error_set(EINVAL, "the region's name is empty; use NULL for none");
	if (len > DSM_NAME_MAX)
		return error_set(EINVAL, "the region's name \"%.20s...\" is longer than %d bytes",
				 name, DSM_NAME_MAX);
	return 0;
}

static int check_attr(const struct dsm *d, size_t len, const struct dsm_attr *attr)
{
	int err = check_name(attr->name);

	if (err < 0)
		return err;
	if (len == 0 && !attr->name)
		return error_set(EINVAL, "length 0: an anonymous region needs at least one byte");
	if (len > d->space.len_bytes)
		return error_set(ENOMEM,
				 "%zu bytes do not fit the global range of %llu bytes; raise "
				 "DSM_SPACE in every rank",
				 len, (unsigned long long)d->space.len_bytes);
	if ((unsigned)attr->home > DSM_HOME_FIRST_TOUCH)
		return error_set(EINVAL, "home policy %d is unknown", (int)attr->home);
	if ((unsigned)attr->release > DSM_RELEASE_WRITE_THROUGH)
		return error_set(EINVAL, "release policy %d is unknown", (int)attr->release);
	if (attr->home == DSM_HOME_RANK && attr->home_rank >= d->size)
		return error_set(EINVAL, "home_rank %u: there are ranks 0 to %u", attr->home_rank,
				 d->size - 1);
	return 0;
}

/* Put rank 0's refusal into words. */
static int explain_alloc(const struct dsm *d, int err, size_t len, const struct dsm_attr *attr,
			 const struct msg_region *answer)
{
	const char *name = attr->name ? attr->name : "";

	switch (err) {
	case -ENOENT:
		return error_set(ENOENT,
				 "no region is named \"%s\" to attach to; give a length "
				 "to create it",
				 name);
	case -EEXIST:
		return error_set(EEXIST,
				 "region \"%s\" exists with %llu bytes, page size %llu, home "
				 "policy %u, release policy %u; this call asks for something else",
				 name, (unsigned long long)answer->len_bytes,
				 (unsigned long long)GRANULE_BYTES << answer->page_shift,
				 answer->home_policy, answer->release);
	case -ENOMEM:
		if (answer->blame == WIRE_NO_RANK)
			return error_set(ENOMEM,
					 "no %zu contiguous bytes are free in the global range of "
					 "%llu; raise DSM_SPACE in every rank",
					 len, (unsigned long long)d->space.len_bytes);
		return error_set(ENOMEM,
				 "rank %u has no memory for its part of %zu bytes; free some, or "
				 "place the region otherwise (attr.home)",
				 answer->blame, len);
	case -EHOSTDOWN:
		return error_set(EHOSTDOWN, "no region can be created any more: %s",
				 node_fate(d, answer->blame).text);
	case -ETIMEDOUT:
		return err; /* has its text */
	case -EPROTO:
		return error_set(EPROTO,
				 "rank 0 answers with what makes no sense here, or rank %u "
				 "has been told so: run the same libdsm everywhere",
				 answer->blame);
	default:
		return error_set_sys(-err, "rank %u cannot map %zu bytes", answer->blame, len);
	}
}

void *dsm_alloc(struct dsm *dsm, size_t len, const struct dsm_attr *attr)
{
	static const struct dsm_attr none;
	struct region_call call = { .answer = { .blame = WIRE_NO_RANK } };
	struct msg_region m = { .kind = MSG_REGION_ALLOC };
	int err, shift;

	error_clear();
	m.given = attr && (attr->page_size || attr->home || attr->release) ? MSG_GIVEN_ATTR : 0;
	attr = attr ? attr : &none;
	err = check_attr(dsm, len, attr);
	if (err < 0)
		goto err_out;
	shift = page_shift_of(attr->page_size ? attr->page_size : dsm->settings.page_bytes);
	if (shift < 0) {
		err = shift;
		goto err_out;
	}
	m.len_bytes = len;
	m.page_shift = (uint8_t)shift;
	m.home_policy = (uint16_t)attr->home;
	m.home_rank = (uint16_t)attr->home_rank;
	m.release = (uint8_t)attr->release;
	if (attr->name)
		memcpy(m.name, attr->name, strlen(attr->name));
	err = ask_root(dsm, &m, &call, len >> 20 ? (len >> 20) * POPULATE_MS_PER_MIB : 0);
	if (err == 0)
		return (void *)(uintptr_t)call.answer.addr;
	err = explain_alloc(dsm, err, len, attr, &call.answer);
err_out:
	errno = -err;
	return NULL;
}

/* Is ptr the start of a region of which nothing is acquired here? */
static int check_free(struct dsm *d, const void *ptr)
{
	struct region *region = NULL;
	int err = 0;

	node_lock(d);
	if (space_contains(&d->space, ptr))
		region = region_find(d, space_granule(&d->space, ptr));
	if (!region || ptr != node_addr(d, region->first_block * GRANULES_PER_BLOCK))
		err = error_set(EINVAL, "%p is not the start of a region (freed before?)", ptr);
	else if (region->acquired)
		err = error_set(EBUSY, "%llu acquired ranges of the region at %p are not released",
				(unsigned long long)region->acquired, ptr);
	node_unlock(d);
	return err;
}

int dsm_free(struct dsm *dsm, void *ptr)
{
	struct region_call call = { .answer = { .blame = WIRE_NO_RANK } };
	struct msg_region m = { .kind = MSG_REGION_FREE, .addr = (uintptr_t)ptr };
	int err;

	error_clear();
	err = check_free(dsm, ptr);
	if (err < 0)
		return err;
	err = ask_root(dsm, &m, &call, 0);
	switch (err) {
	case 0:
	case -ETIMEDOUT: /* has its text */
		return err;
	case -EINVAL:
		return error_set(EINVAL, "%p is not the start of a region (freed before?)", ptr);
	case -EBUSY:
		return error_set(EBUSY, "rank %u has acquired a part of the region at %p",
				 call.answer.blame, ptr);
	case -EHOSTDOWN:
		return error_set(EHOSTDOWN, "rank 0, which keeps the regions, is gone: %s",
				 node_fate(dsm, 0).text);
	default:
		return error_set_sys(-err, "rank 0 cannot free the region at %p", ptr);
	}
}

int dsm_region_get(struct dsm *dsm, const volatile void *addr, struct dsm_region_info *info)
{
	struct dsm_region_info found;
	struct region *r = NULL;

	error_clear();
	node_lock(dsm);
	if (space_contains(&dsm->space, addr))
		r = region_find(dsm, space_granule(&dsm->space, addr));
	if (!r) {
		node_unlock(dsm);
		return error_set(EFAULT, "%p is in no region", (const void *)(uintptr_t)addr);
	}
	found = (struct dsm_region_info){
		.addr = node_addr(dsm, r->first_block * GRANULES_PER_BLOCK),
		.len = r->len_bytes,
		.page_size = GRANULE_BYTES << r->page_shift,
		.home = r->policy,
		.home_rank = r->home_rank,
		.release = r->release,
	};
	memcpy(found.name, r->name, sizeof(found.name));
	node_unlock(dsm);
	*info = found; /* which may lie in shared memory */
	return 0;
}

int region_home_unknown(const struct dsm *d, uint64_t block, int err)
{
	void *addr = node_addr(d, block * GRANULES_PER_BLOCK);

	switch (err) {
	case -EHOSTDOWN:
		return error_set(EHOSTDOWN, "who knew the home of the block at %p is gone: %s",
				 addr, node_fate(d, region_arbiter(d, block)).text);
	case -ETIMEDOUT:
		return error_set(ETIMEDOUT,
				 "rank %u has not told in time where the block at %p lives",
				 region_arbiter(d, block), addr);
	case -ENODATA:
		return error_set(ENODATA, "nobody has touched the block at %p yet", addr);
	default:
		return error_set_sys(-err, "the home of the block at %p cannot be asked for", addr);
	}
}

/* Lock held. Ask for a first-touch block's home and wait. */
static int learn_home(struct dsm *d, uint64_t block)
{
	uint64_t deadline = node_deadline(DSM_FOREVER, d->settings.timeout_ms);
	unsigned blame = WIRE_NO_RANK;
	int err = region_ask_home(d, block, false);

	if (err == 1)
		err = node_wait_page(d, block * GRANULES_PER_BLOCK, deadline, &blame);
	return err;
}

int dsm_home(struct dsm *dsm, const volatile void *addr)
{
	uint64_t granule = 0;
	int home = -EFAULT;

	error_clear();
	node_lock(dsm);
	if (space_contains(&dsm->space, addr)) {
		granule = space_granule(&dsm->space, addr);
		if (region_find(dsm, granule))
			home = learn_home(dsm, granule / GRANULES_PER_BLOCK);
		if (home == 0)
			home = (int)protocol_home(&dsm->protocol, granule);
	}
	node_unlock(dsm);
	if (home == -EFAULT)
		return error_set(EFAULT, "%p is in no region", (const void *)(uintptr_t)addr);
	return home < 0 ? region_home_unknown(dsm, granule / GRANULES_PER_BLOCK, home) : home;
}
