/* SPDX-License-Identifier: MIT */
/*
 * See remote_atomic.h. Who waits has a record on its stack, in the node's list, found by the id
 * that goes with the message and comes back with the answer; one that gave up is not found.
 */
#include <errno.h>

#include "error.h"
#include "log.h"
#include "node.h"
#include "remote_atomic.h"

struct asked {
	struct cds_list_head link;
	uint64_t id;
	unsigned home;
	uint64_t before;
	struct waiter waiter;
};

static uint64_t apply32(uint32_t *word, const struct remote_atomic *a)
{
	uint32_t expected = (uint32_t)a->expected;

	if (a->op == ATOMIC_FETCH_ADD)
		return __atomic_fetch_add(word, (uint32_t)a->operand, __ATOMIC_SEQ_CST);
	__atomic_compare_exchange_n(word, &expected, (uint32_t)a->operand, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return expected;
}

static uint64_t apply64(uint64_t *word, const struct remote_atomic *a)
{
	uint64_t expected = a->expected;

	if (a->op == ATOMIC_FETCH_ADD)
		return __atomic_fetch_add(word, a->operand, __ATOMIC_SEQ_CST);
	__atomic_compare_exchange_n(word, &expected, a->operand, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return expected;
}

uint64_t remote_atomic_apply(void *word, const struct remote_atomic *a)
{
	return a->width == 4 ? apply32(word, a) : apply64(word, a);
}

static void *address(const struct dsm *d, uint64_t offset)
{
	return d->space.base + offset;
}

int remote_atomic_ask(struct dsm *d, unsigned home, uint64_t offset, const struct remote_atomic *a,
		      uint64_t *result)
{
	struct asked asked = { .id = ++d->next_atomic, .home = home, .waiter = WAITER_INIT };
	struct msg m = { .kind = MSG_ATOMIC,
			 .slots = 1,
			 .src = (uint16_t)d->rank,
			 .flags = (uint32_t)a->op | a->width << 8,
			 .page = offset >> GRANULE_SHIFT,
			 .word = { asked.id, offset, a->operand, a->expected } };

	if (rankset_has(&d->down, home))
		return error_set(EHOSTDOWN, "rank %u has died, and the word at %p with it", home,
				 address(d, offset));
	cds_list_add_tail(&asked.link, &d->atomics);
	node_send(d, home, &m);
	node_run_local(d);
	node_unlock(d);
	(void)waiter_wait(d, &asked.waiter, node_deadline(DSM_FOREVER, d->settings.timeout_ms));
	node_lock(d);
	cds_list_del(&asked.link);
	if (!waiter_is_done(&asked.waiter))
		return error_set(ETIMEDOUT,
				 "rank %u has not answered an atomic on %p in %llu ms; whether it "
				 "was done is not known",
				 home, address(d, offset),
				 (unsigned long long)d->settings.timeout_ms);
	if (asked.waiter.result == -EHOSTDOWN)
		return error_set(EHOSTDOWN,
				 "rank %u died before it answered an atomic on %p; whether it was "
				 "done is not known",
				 home, address(d, offset));
	if (asked.waiter.result < 0)
		return error_set(-asked.waiter.result, "rank %u refused an atomic on %p", home,
				 address(d, offset));
	*result = asked.before;
	return 0;
}

/* Is it one that this rank, as home, can do? */
static bool is_sane(const struct dsm *d, const struct msg *m, const struct remote_atomic *a)
{
	uint64_t offset = m->word[1];

	if (m->src >= d->size || (a->op != ATOMIC_FETCH_ADD && a->op != ATOMIC_COMPARE_SWAP) ||
	    (a->width != 4 && a->width != 8) || offset % a->width || offset >= d->space.len_bytes ||
	    offset >> GRANULE_SHIFT != m->page)
		return false;
	return protocol_block(&d->protocol, m->page)->in_use &&
	       protocol_home(&d->protocol, m->page) == d->rank;
}

static void on_atomic(struct dsm *d, const struct msg *m)
{
	struct remote_atomic a = { .op = (enum transport_atomic)(m->flags & 0xff),
				   .width = m->flags >> 8,
				   .operand = m->word[2],
				   .expected = m->word[3] };
	struct msg answer = { .kind = MSG_ATOMIC_DONE,
			      .slots = 1,
			      .src = (uint16_t)d->rank,
			      .page = m->page,
			      .word = { m->word[0], EFAULT } };

	if (is_sane(d, m, &a)) {
		answer.word[1] = 0;
		answer.word[2] = remote_atomic_apply(d->space.alias + m->word[1], &a);
	}
	node_send(d, m->src, &answer);
}

static void on_done(struct dsm *d, const struct msg *m)
{
	struct asked *w;

	cds_list_for_each_entry (w, &d->atomics, link) {
		if (w->id != m->word[0] || w->home != m->src || waiter_is_done(&w->waiter))
			continue;
		w->before = m->word[2];
		waiter_complete(&w->waiter, -(int)m->word[1]);
		return;
	}
}

void remote_atomic_message(struct dsm *d, const struct msg *m)
{
	if (m->kind == MSG_ATOMIC)
		on_atomic(d, m);
	else
		on_done(d, m);
}

void remote_atomic_rank_down(struct dsm *d, unsigned rank)
{
	struct asked *w;

	cds_list_for_each_entry (w, &d->atomics, link)
		if (w->home == rank && !waiter_is_done(&w->waiter))
			waiter_complete(&w->waiter, -EHOSTDOWN);
}
