/* SPDX-License-Identifier: MIT */
/*
 * See verbs_chain.h. The order is what matters: the readers words, then the grants, then the data;
 * of a look, the grants once more.
 * A reliable connection executes them in it at the home, so that each page's bit is there before
 * its grant is read (R1), and its data read after. One request takes the readers words of all
 * pages, and one their grants, with the unused words between them if pages are large; it is cheaper
 * than one a page.
 *
 * No request carries IBV_SEND_FENCE: it makes a request wait for earlier reads, which this order
 * does not need, and soft-RoCE has been seen to stall on it for good.
 */
#include "verbs_chain.h"

#include <string.h>

static size_t data_bytes(unsigned n, unsigned shift)
{
	return ((size_t)n << shift) << GRANULE_SHIFT;
}

/* From the first page's word to the last's. */
static size_t grants_bytes(unsigned n, unsigned shift)
{
	return ((((size_t)n - 1) << shift) + 1) * sizeof(uint64_t);
}

size_t verbs_chain_bytes(unsigned n, unsigned shift)
{
	return data_bytes(n, shift) + 2 * grants_bytes(n, shift);
}

static void write_init(const struct verbs_chain *c, struct ibv_send_wr *wr, struct ibv_sge *sge)
{
	*sge = (struct ibv_sge){ .addr = (uintptr_t)c->words,
				 .length = (uint32_t)(c->nwords * sizeof(*c->words)) };
	wr->opcode = IBV_WR_RDMA_WRITE;
	wr->wr.rdma.remote_addr = c->readers;
	wr->wr.rdma.rkey = c->rkey;
	wr->send_flags = IBV_SEND_INLINE;
}

static void read_init(const struct verbs_chain *c, uint64_t remote, uint8_t *to, size_t len_bytes,
		      struct ibv_send_wr *wr, struct ibv_sge *sge)
{
	*sge = (struct ibv_sge){ .addr = (uintptr_t)to,
				 .length = (uint32_t)len_bytes,
				 .lkey = c->lkey };
	wr->opcode = IBV_WR_RDMA_READ;
	wr->wr.rdma.remote_addr = remote;
	wr->wr.rdma.rkey = c->rkey;
}

unsigned verbs_chain_build(const struct verbs_chain *c, struct ibv_send_wr *wr, struct ibv_sge *sge)
{
	size_t data = data_bytes(c->n, c->shift), grants = grants_bytes(c->n, c->shift);
	unsigned k = 0;

	memset(wr, 0, VERBS_CHAIN_MAX * sizeof(*wr));
	if (c->nwords) {
		write_init(c, &wr[k], &sge[k]);
		k++;
	}
	read_init(c, c->grants, c->landing + data, grants, &wr[k], &sge[k]);
	k++;
	read_init(c, c->pages, c->landing, data, &wr[k], &sge[k]);
	k++;
	if (c->look) {
		read_init(c, c->grants, c->landing + data + grants, grants, &wr[k], &sge[k]);
		k++;
	}
	for (unsigned i = 0; i < k; i++) {
		wr[i].wr_id = i + 1 < k ? c->other_id : c->last_id;
		wr[i].send_flags |= i + 1 < k ? 0 : IBV_SEND_SIGNALED;
		wr[i].next = i + 1 < k ? &wr[i + 1] : NULL;
		wr[i].sg_list = &sge[i];
		wr[i].num_sge = 1;
	}
	return k;
}

static uint64_t word_at(const uint8_t *words, unsigned shift, unsigned i)
{
	uint64_t grant;

	memcpy(&grant, words + ((size_t)i << shift) * sizeof(grant), sizeof(grant));
	return grant;
}

uint64_t verbs_chain_grant(const uint8_t *landing, unsigned n, unsigned shift, unsigned i)
{
	return word_at(landing + data_bytes(n, shift), shift, i);
}

uint64_t verbs_chain_grant_after(const uint8_t *landing, unsigned n, unsigned shift, unsigned i)
{
	return word_at(landing + data_bytes(n, shift) + grants_bytes(n, shift), shift, i);
}
