/* SPDX-License-Identifier: MIT */
/*
 * Offers: where a home may write a page that it is asked for.
 *
 * A rank that asks for a page gives it a place to land and says in the request where that is; the
 * home writes the page there directly before its grant. Each end keeps the offers of a connection
 * in a table, under the number that the requester gave them: from the request until its answer,
 * whatever that is. Who finds no number or no place free offers none, and is granted a page that it
 * has to read.
 */
#ifndef DSM_VERBS_OFFER_H
#define DSM_VERBS_OFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "space.h"
#include "verbs_credit.h"
#include "wire.h"

#define VERBS_OFFERS 64u
/* Larger pages are read: of their time the way there and back is little, and a home that copied
 * them would keep the others waiting. */
#define VERBS_PUSH_MAX (64u << 10)

struct verbs_offer {
	uint64_t granule; /* that the page begins with */
	uint64_t addr; /* at the requester */
	uint32_t rkey;
	uint32_t len_bytes;
};

struct verbs_offers {
	uint64_t used; /* bit by number */
	struct verbs_offer at[VERBS_OFFERS];
};

/* The number of a page's offer; -1: there is none. */
static inline int verbs_offer_find(const struct verbs_offers *o, uint64_t granule)
{
	for (uint64_t left = o->used; left; left &= left - 1) {
		int i = __builtin_ctzll(left);

		if (o->at[i].granule == granule)
			return i;
	}
	return -1;
}

/* A free number; -1: there is none. */
static inline int verbs_offer_free(const struct verbs_offers *o)
{
	return ~o->used ? __builtin_ctzll(~o->used) : -1;
}

static inline void verbs_offer_put(struct verbs_offers *o, unsigned i, const struct verbs_offer *of)
{
	o->used |= 1ull << i;
	o->at[i] = *of;
}

/* Take a page's offer out of the table; false: there is none. */
static inline bool verbs_offer_take(struct verbs_offers *o, uint64_t granule,
				    struct verbs_offer *of)
{
	int i = verbs_offer_find(o, granule);

	if (i < 0)
		return false;
	o->used &= ~(1ull << i);
	*of = o->at[i];
	return true;
}

/* Bytes of what goes with a grant, as its immediate word has it; 0: more than there can be. */
static inline uint32_t verbs_data_bytes(unsigned data)
{
	unsigned granules = data & ~VERBS_DATA_PUSHED;

	return granules <= GRANULES_PER_BLOCK ? granules * (uint32_t)GRANULE_BYTES : 0;
}

/* Of the messages that name a page: does it ask for data, does it answer who asked? */
static inline bool verbs_offer_asks(const struct msg *m)
{
	return m->kind == MSG_GETS || m->kind == MSG_GETM;
}

static inline bool verbs_offer_answers(const struct msg *m)
{
	return m->kind == MSG_GRANT_S || m->kind == MSG_GRANT_M || m->kind == MSG_GRANT_ERROR;
}

/* Say in a request what is offered, under which number. */
void verbs_offer_tell(struct msg *m, unsigned i, const struct verbs_offer *of);
/* What a request offers. 0: nothing; 1: *i and *of; -EPROTO: it makes no sense. */
int verbs_offer_read(const struct msg *m, unsigned *i, struct verbs_offer *of);
/* Forget the offers for pages of some blocks. */
void verbs_offer_forget(struct verbs_offers *o, uint64_t first_block, uint64_t nblocks);

#endif
