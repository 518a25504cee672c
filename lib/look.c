/* SPDX-License-Identifier: MIT */
/*
 * One look at the directory of a page's home, from here, for the sentences of errors. It must not
 * depend on the home's processor, which may be what the error is about.
 */
#include <errno.h>

#include "node.h"

/* For so long; the sentence can do without. */
#define LOOK_NS 500000000u

static void looked(struct transport_fetch *f, int status)
{
	struct node_look *look = f->ctx;

	if (look->abandoned)
		pool_put(look->pool, look);
	else
		waiter_complete(&look->waiter, status);
}

int node_look(struct dsm *d, uint64_t page, uint64_t *grant)
{
	struct node_look *look = pool_get(&d->look_pool);
	int err;

	if (!look)
		return -ENOMEM;
	look->pool = &d->look_pool;
	look->fetch = (struct transport_fetch){ .rank = protocol_home(&d->protocol, page),
						.granule = page,
						.n = 1,
						.done = looked,
						.ctx = look };
	err = d->transport->ops->fetch(d->transport, &look->fetch);
	if (err == 1) {
		if (waiter_wait(d, &look->waiter, clock_ns() + LOOK_NS) < 0) {
			look->abandoned = true;
			return -ETIMEDOUT;
		}
		err = look->waiter.result;
	}
	if (err == 0)
		*grant = look->fetch.grant[0];
	pool_put(&d->look_pool, look);
	return err;
}
