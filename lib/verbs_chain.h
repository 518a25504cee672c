/* SPDX-License-Identifier: MIT */
/*
 * The work requests of a read chain, as they are posted with one doorbell.
 */
#ifndef DSM_VERBS_CHAIN_H
#define DSM_VERBS_CHAIN_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

/* One write of readers words, one read of all grants words, one of all data; or none, and at last
 * another read of grants words. */
#define VERBS_CHAIN_MAX 3u

struct verbs_chain {
	/* at the home */
	uint64_t readers; /* address of the first readers word that is written */
	uint64_t grants; /* of the first page's grants word */
	uint64_t pages; /* of its data */
	uint32_t rkey;
	/* what is asked for */
	unsigned n;
	unsigned shift;
	const uint64_t *words; /* readers words, which the adapter takes with the request */
	unsigned nwords; /* 0: the rank is registered for all pages, or only looks at them */
	bool look; /* read the grants words once more */
	/* here: data, then the grants words, then these once more */
	uint8_t *landing;
	uint32_t lkey;
	/* what completions carry: of the last request, which alone is signalled, and of the others
	 * if they fail */
	uint64_t last_id;
	uint64_t other_id;
};

/* Bytes of landing memory. */
size_t verbs_chain_bytes(unsigned n, unsigned shift);

/* Fill wr[] and sge[] (VERBS_CHAIN_MAX each), linked in order; returns their number. */
unsigned verbs_chain_build(const struct verbs_chain *c, struct ibv_send_wr *wr,
			   struct ibv_sge *sge);

/* The grants word of page i, when the chain is complete. */
uint64_t verbs_chain_grant(const uint8_t *landing, unsigned n, unsigned shift, unsigned i);
/* The second one, of a look. */
uint64_t verbs_chain_grant_after(const uint8_t *landing, unsigned n, unsigned shift, unsigned i);

#endif
