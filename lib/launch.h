/* SPDX-License-Identifier: MIT */
/*
 * Launch: who the ranks are. Gives own rank and size, and one all-to-all exchange of small cards.
 *
 * Three ways: PMIx (mpirun, srun; no MPI library), TCP through rank 0 (DSM_RANK, DSM_SIZE,
 * DSM_ROOT), alone. Chosen by settings.launch; auto: TCP if DSM_RANK, DSM_SIZE or DSM_ROOT is
 * given, else PMIx if a server is there, else alone.
 */
#ifndef DSM_LAUNCH_H
#define DSM_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "rankset.h"

#define LAUNCH_CARD_MAX 1024

struct launch;

struct launch_ops {
	const char *name; /* "pmix", "tcp", "alone" */
	/*
	 * Give my card and get everybody's: cards[r * LAUNCH_CARD_MAX] is rank r's, zero-padded.
	 * Collective, called once; blocks until deadline_ns (clock_ns()). Also agrees on the token.
	 * -ETIMEDOUT names the ranks that are missing. -EPROTO: ranks disagree about version, size
	 * or token. -EADDRINUSE: rank 0's port is taken. -EHOSTDOWN: a rank or the launcher's
	 * server went away. -ENOMEM, -EINVAL.
	 */
	int (*exchange)(struct launch *l, const void *card, size_t len, uint8_t *cards,
			uint64_t deadline_ns);
	void (*destroy)(struct launch *l);
};

struct launch {
	const struct launch_ops *ops;
	unsigned rank;
	unsigned size;
	char token[CONFIG_TOKEN_MAX]; /* the job's secret; valid after exchange() */
};

/*
 * Find out rank and size. *launch is written only on success; launch->ops->destroy() ends it.
 * -EINVAL: rank, size or root is missing or out of range, or the way asked for is not to be had.
 */
int launch_create(struct launch **launch, const struct settings *s);

/* The three ways; launch_create() chooses. -ENOENT from pmix: no server is there. */
int launch_pmix_create(struct launch **launch, const struct settings *s);
int launch_tcp_create(struct launch **launch, const struct settings *s);
int launch_alone_create(struct launch **launch, const struct settings *s);

/*
 * For the three ways
 */

/* Draw a token: 32 random hexadecimal digits. @token has CONFIG_TOKEN_MAX bytes. */
int launch_token_draw(char *token);
/* Are two zero-padded tokens the same? Takes the same time wherever they differ. */
bool launch_token_equal(const char *a, const char *b);
/* -EINVAL: the card is longer than LAUNCH_CARD_MAX. */
int launch_card_check(size_t len);
/* "rank 3" or "ranks 1-4, 7": writes the set into buf and returns buf. */
const char *launch_ranks_text(const struct rankset *ranks, char *buf, size_t len);

#endif
