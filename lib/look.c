/* SPDX-License-Identifier: MIT */
/*
 * Looks at pages and at their directory where they live, by the transport's one-sided reads,
 * without becoming a reader. They do not depend on the home's processor: one for the sentence of an
 * error may be about just that.
 */
#include <errno.h>
#include <string.h>

#include "node.h"

/* One for a sentence may take so long; the sentence can do without. */
#define LOOK_NS 500000000u

static void looked(struct transport_fetch *f, int status)
{
	struct node_look *look = f->ctx;

	if (look->abandoned) {
		pool_put(look->pool, look);
		return;
	}
	/* The data is the transport's, and only here. */
	if (status == 0 && look->to)
		memcpy(look->to, f->data, (size_t)f->n << f->shift << GRANULE_SHIFT);
	waiter_complete(&look->waiter, status);
}

/* Do what f says, as far as it is given; its grants are what came. @to: where the data goes, or
 * NULL. */
static int look_at(struct dsm *d, struct transport_fetch *f, void *to, uint64_t deadline_ns)
{
	struct node_look *look = pool_get(&d->look_pool);
	int err;

	if (!look)
		return -ENOMEM;
	look->pool = &d->look_pool;
	look->to = to;
	look->fetch = *f;
	look->fetch.done = looked;
	look->fetch.ctx = look;
	err = d->transport->ops->fetch(d->transport, &look->fetch);
	if (err == 1) {
		if (waiter_wait(d, &look->waiter, deadline_ns) < 0) {
			look->abandoned = true;
			return -ETIMEDOUT;
		}
		err = look->waiter.result;
	}
	memcpy(f->grant, look->fetch.grant, sizeof(f->grant));
	pool_put(&d->look_pool, look);
	return err;
}

int node_look(struct dsm *d, uint64_t page, uint64_t *grant)
{
	struct transport_fetch f = { .rank = protocol_home(&d->protocol, page),
				     .granule = page,
				     .n = 1 };
	int err = look_at(d, &f, NULL, clock_ns() + LOOK_NS);

	if (err == 0)
		*grant = f.grant[0];
	return err;
}

int node_copy(struct dsm *d, uint64_t page, unsigned n, void *to)
{
	struct transport_fetch f = { .rank = protocol_home(&d->protocol, page),
				     .granule = page,
				     .shift = protocol_block(&d->protocol, page)->page_shift,
				     .n = n,
				     .look = true };
	int err = look_at(d, &f, to, node_deadline(DSM_FOREVER, d->settings.timeout_ms));

	for (unsigned i = 0; err == 0 && i < n; i++)
		if (grant_state(f.grant[i]) != GRANT_CLEAN)
			err = -EAGAIN;
	return err;
}
