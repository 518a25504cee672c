/* SPDX-License-Identifier: MIT */
/*
 * See verbs_offer.h. In a request word[4] is the address; word[5] has the key in its low half,
 * above it the number (8 bits), above that the length: 1 + log2 of its granules, 0 for no offer.
 */
#include "verbs_offer.h"

#include <errno.h>

#define NUMBER_SHIFT 32u
#define LENGTH_SHIFT 40u

void verbs_offer_tell(struct msg *m, unsigned i, const struct verbs_offer *of)
{
	uint64_t length = 1 + (unsigned)__builtin_ctz(of->len_bytes >> GRANULE_SHIFT);

	m->word[4] = of->addr;
	m->word[5] = of->rkey | (uint64_t)i << NUMBER_SHIFT | length << LENGTH_SHIFT;
}

int verbs_offer_read(const struct msg *m, unsigned *i, struct verbs_offer *of)
{
	uint64_t length = m->word[5] >> LENGTH_SHIFT;
	unsigned number = (unsigned)(m->word[5] >> NUMBER_SHIFT) & 0xff;

	if (!length)
		return 0;
	if (length > BLOCK_SHIFT - GRANULE_SHIFT + 1 || number >= VERBS_OFFERS)
		return -EPROTO;
	*i = number;
	*of = (struct verbs_offer){ .granule = m->page,
				    .addr = m->word[4],
				    .rkey = (uint32_t)m->word[5],
				    .len_bytes = (uint32_t)GRANULE_BYTES << (length - 1) };
	return 1;
}

void verbs_offer_forget(struct verbs_offers *o, uint64_t first_block, uint64_t nblocks)
{
	for (uint64_t left = o->used; left; left &= left - 1) {
		int i = __builtin_ctzll(left);

		if (o->at[i].granule / GRANULES_PER_BLOCK - first_block < nblocks)
			o->used &= ~(1ull << i);
	}
}
