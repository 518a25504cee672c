/* SPDX-License-Identifier: MIT */
/*
 * Credits of a connection: a message is sent only if the peer has a receive posted for it.
 *
 * A peer posts `window` receives for messages. What it has taken and posted anew it owes back; that
 * goes with its next message, or, if none goes and it owes half of the window, in one that carries
 * nothing else. Those need receives too, which they take without a credit: there are never more
 * than two of them under way, since each stands for half a window of messages, and whoever sent
 * those must have taken all but the last two to have had the credits. VERBS_CREDIT_SPARE of them
 * are posted.
 */
#ifndef DSM_VERBS_CREDIT_H
#define DSM_VERBS_CREDIT_H

#include <stdbool.h>

#define VERBS_CREDIT_SPARE 4u

struct verbs_credit {
	unsigned window; /* even */
	unsigned have; /* messages that may be sent */
	unsigned owed; /* receives posted anew that the peer does not know of */
};

static inline void verbs_credit_init(struct verbs_credit *c, unsigned window)
{
	*c = (struct verbs_credit){ .window = window, .have = window };
}

/* May a message be sent? Then it is. */
static inline bool verbs_credit_take(struct verbs_credit *c)
{
	if (!c->have)
		return false;
	c->have--;
	return true;
}

/* A receive that a message has used is posted anew. */
static inline void verbs_credit_posted(struct verbs_credit *c)
{
	c->owed++;
}

/* Is it time for a message that carries credits alone? */
static inline bool verbs_credit_due(const struct verbs_credit *c)
{
	return c->owed >= c->window / 2;
}

/* What goes with the message that is being sent. */
static inline unsigned verbs_credit_tell(struct verbs_credit *c)
{
	unsigned owed = c->owed;

	c->owed = 0;
	return owed;
}

/* Credits came back. False: more than there are. */
static inline bool verbs_credit_add(struct verbs_credit *c, unsigned n)
{
	if (n > c->window - c->have)
		return false;
	c->have += n;
	return true;
}

/*
 * The immediate word of a message: credits in the low half; above them, for a grant that page data
 * goes with, how many granules it has, and VERBS_DATA_PUSHED if it has been written where the
 * requester said.
 */
#define VERBS_DATA_PUSHED 0x8000u

static inline unsigned verbs_imm(unsigned credits, unsigned data)
{
	return credits | data << 16;
}

static inline unsigned verbs_imm_credits(unsigned imm)
{
	return imm & 0xffff;
}

static inline unsigned verbs_imm_data(unsigned imm)
{
	return imm >> 16 & 0xffff;
}

#endif
