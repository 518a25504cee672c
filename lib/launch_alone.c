/* SPDX-License-Identifier: MIT */
/*
 * See launch.h: a process that was started alone is a cluster of one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "launch.h"

static int alone_exchange(struct launch *l, const void *card, size_t len, uint8_t *cards,
			  uint64_t deadline_ns)
{
	int err;

	(void)deadline_ns;
	err = launch_card_check(len);
	if (err)
		return err;
	if (!l->token[0]) {
		err = launch_token_draw(l->token);
		if (err)
			return err;
	}
	memset(cards, 0, LAUNCH_CARD_MAX);
	memcpy(cards, card, len);
	return 0;
}

static void alone_destroy(struct launch *l)
{
	free(l);
}

static const struct launch_ops alone_ops = {
	.name = "alone",
	.exchange = alone_exchange,
	.destroy = alone_destroy,
};

int launch_alone_create(struct launch **launch, const struct settings *s)
{
	struct launch *l;

	if (s->rank > 0 || s->size > 1)
		return error_set(EINVAL,
				 "DSM_LAUNCH is alone, but rank %lld of %lld is asked for: unset "
				 "DSM_RANK and DSM_SIZE, or set DSM_LAUNCH to tcp",
				 (long long)s->rank, (long long)s->size);
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set_sys(ENOMEM, "Cannot create the launch");
	l->ops = &alone_ops;
	l->rank = 0;
	l->size = 1;
	snprintf(l->token, sizeof(l->token), "%s", s->token);
	*launch = l;
	return 0;
}
