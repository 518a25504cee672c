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
#include "stats.h"

/* An atomic that an adapter has. */
struct posted {
	struct cds_list_head link;
	struct transport_atomic_op op;
	struct waiter waiter;
	struct dsm *dsm;
	bool abandoned; /* nobody waits for it any more: done() gives it back */
};

struct asked {
	struct cds_list_head link;
	uint64_t id;
	unsigned home;
	uint64_t before;
	struct waiter waiter;
};

void remote_atomic_init(struct dsm *d)
{
	CDS_INIT_LIST_HEAD(&d->atomics);
	CDS_INIT_LIST_HEAD(&d->posted);
	pool_init(&d->posted_pool, sizeof(struct posted));
}

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

static int died(const struct dsm *d, unsigned home, uint64_t offset)
{
	return error_set(EHOSTDOWN, "rank %u has died, and the word at %p with it", home,
			 address(d, offset));
}

/*
 * By message
 */

static int ask(struct dsm *d, uint64_t offset, const struct remote_atomic *a, bool by_adapter,
	       uint64_t *result)
{
	unsigned home = protocol_home(&d->protocol, offset >> GRANULE_SHIFT);
	struct asked asked = { .id = ++d->next_atomic, .home = home, .waiter = WAITER_INIT };
	struct msg m = { .kind = MSG_ATOMIC,
			 .slots = 1,
			 .src = (uint16_t)d->rank,
			 .flags = (uint32_t)a->op | a->width << 8 |
				  (by_adapter ? MSG_BY_ADAPTER : 0),
			 .page = offset >> GRANULE_SHIFT,
			 .word = { asked.id, offset, a->operand, a->expected } };
	int err;

	if (rankset_has(&d->down, home))
		return died(d, home, offset);
	cds_list_add_tail(&asked.link, &d->atomics);
	node_send(d, home, &m);
	node_run_local(d);
	err = waiter_wait(d, &asked.waiter, node_deadline(DSM_FOREVER, d->settings.timeout_ms));
	cds_list_del(&asked.link);
	if (err < 0)
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
	if (asked.waiter.result == -EAGAIN && by_adapter)
		return -EAGAIN;
	if (asked.waiter.result < 0)
		return error_set(-asked.waiter.result, "rank %u refused an atomic on %p", home,
				 address(d, offset));
	*result = asked.before;
	return 0;
}

/*
 * By adapter
 */

static int own_adapter_step(struct dsm *d, uint64_t offset, enum transport_atomic op,
			    uint64_t operand, uint64_t expected, uint64_t *before)
{
	struct transport_atomic_op step = { .rank = d->rank,
					    .op = op,
					    .offset = offset,
					    .operand = operand,
					    .expected = expected };
	int err = -EAGAIN;

	if (d->transport->ops->adapter_atomic)
		err = d->transport->ops->adapter_atomic(d->transport, &step);
	if (err == 0) {
		*before = step.before;
		return 0;
	}
	if (err == -EAGAIN)
		return err;
	return error_set(EIO,
			 "RDMA device of rank %u has failed at an atomic on its own memory at %p, "
			 "as the log says; whether it was done is not known",
			 d->rank, address(d, offset));
}

/* The word of 8 bytes that one of 4 at @offset is part of, with that part replaced. */
static uint64_t with_half(uint64_t word, unsigned shift, uint32_t half)
{
	return (word & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)half << shift;
}

static int own_adapter_half(struct dsm *d, uint64_t offset, const struct remote_atomic *a,
			    uint64_t *result)
{
	uint64_t at = offset & ~7ull, word = 0, before = 0;
	unsigned shift = offset & 4 ? 32 : 0;
	uint64_t deadline_ns = clock_ns() + d->settings.timeout_ms * 1000000u;
	int err = own_adapter_step(d, at, ATOMIC_FETCH_ADD, 0, 0, &word);

	while (err == 0) {
		uint32_t half = (uint32_t)(word >> shift), desired = (uint32_t)a->operand;

		*result = half;
		if (a->op == ATOMIC_FETCH_ADD)
			desired += half;
		else if (half != (uint32_t)a->expected)
			return 0;
		err = own_adapter_step(d, at, ATOMIC_COMPARE_SWAP, with_half(word, shift, desired),
				       word, &before);
		if (err == 0 && before == word)
			return 0;
		word = before;
		if (err == 0 && clock_ns() > deadline_ns)
			err = error_set(EIO, "the word at %p changes faster than rank %u can swap",
					address(d, offset), d->rank);
	}
	return err;
}

/* On this rank's own memory, at once. */
static int by_own_adapter(struct dsm *d, uint64_t offset, const struct remote_atomic *a,
			  uint64_t *result)
{
	if (a->width == 4)
		return own_adapter_half(d, offset, a, result);
	return own_adapter_step(d, offset, a->op, a->operand, a->expected, result);
}

static void put_posted(struct posted *w)
{
	cds_list_del(&w->link);
	pool_put(&w->dsm->posted_pool, w);
}

static void posted_done(struct transport_atomic_op *op, int status)
{
	struct posted *w = op->ctx;

	if (w->abandoned)
		put_posted(w);
	else
		waiter_complete(&w->waiter, status);
}

/* Lock held, let go meanwhile. */
static int await_posted(struct dsm *d, struct posted *w, uint64_t *result)
{
	unsigned home = w->op.rank;
	void *at = address(d, w->op.offset);
	int err;

	err = waiter_wait(d, &w->waiter, node_deadline(DSM_FOREVER, d->settings.timeout_ms));
	if (err < 0) {
		w->abandoned = true;
		return error_set(ETIMEDOUT,
				 "the adapter of rank %u has not answered an atomic on %p in %llu "
				 "ms; whether it was done is not known",
				 home, at, (unsigned long long)d->settings.timeout_ms);
	}
	err = w->waiter.result;
	*result = w->op.before;
	put_posted(w);
	if (err < 0)
		return error_set(-err,
				 "rank %u died before its adapter answered an atomic on %p; "
				 "whether it was done is not known",
				 home, at);
	return 0;
}

/* -EAGAIN: to be asked for by message. */
static int post(struct dsm *d, uint64_t offset, const struct remote_atomic *a, uint64_t *result)
{
	struct posted *w = d->transport->ops->adapter_atomic ? pool_get(&d->posted_pool) : NULL;
	unsigned home;
	int err;

	if (!w)
		return -EAGAIN;
	w->dsm = d;
	w->op = (struct transport_atomic_op){ .rank = protocol_home(&d->protocol,
								    offset >> GRANULE_SHIFT),
					      .op = a->op,
					      .offset = offset,
					      .operand = a->operand,
					      .expected = a->expected,
					      .done = posted_done,
					      .ctx = w };
	cds_list_add_tail(&w->link, &d->posted);
	err = d->transport->ops->adapter_atomic(d->transport, &w->op);
	if (err == 1)
		return await_posted(d, w, result);
	home = w->op.rank;
	put_posted(w);
	return err == -EHOSTDOWN ? died(d, home, offset) : err;
}

bool remote_atomic_busy(const struct dsm *d, uint64_t block)
{
	const struct posted *w;

	cds_list_for_each_entry (w, &d->posted, link)
		if (w->op.offset / BLOCK_BYTES == block)
			return true;
	return false;
}

/*
 * By either
 */

/* Ranks of the home's machine reach its memory. */
static int by_processor(struct dsm *d, uint64_t offset, const struct remote_atomic *a,
			uint64_t *result)
{
	unsigned home = protocol_home(&d->protocol, offset >> GRANULE_SHIFT);
	int err;

	if (home == d->rank) {
		*result = remote_atomic_apply(d->space.alias + offset, a);
		return 0;
	}
	err = d->transport->ops->atomic(d->transport, home, offset, a->width, a->op, a->operand,
					a->expected, result);
	if (err == -EOPNOTSUPP)
		return ask(d, offset, a, false, result);
	return err == -EHOSTDOWN ? died(d, home, offset) : err;
}

/* -EAGAIN: nothing was done, since the home's adapter does none any more. */
static int by_adapter(struct dsm *d, uint64_t offset, const struct remote_atomic *a,
		      uint64_t *result)
{
	int err = -EAGAIN;

	if (protocol_home(&d->protocol, offset >> GRANULE_SHIFT) == d->rank)
		return by_own_adapter(d, offset, a, result);
	if (a->width == 8)
		err = post(d, offset, a, result);
	return err == -EAGAIN ? ask(d, offset, a, true, result) : err;
}

int remote_atomic_do(struct dsm *d, uint64_t offset, const struct remote_atomic *a,
		     uint64_t *result)
{
	uint64_t page = protocol_page(&d->protocol, offset >> GRANULE_SHIFT);
	int err;

	if (!d->protocol.pages[page].adapter)
		return by_processor(d, offset, a, result);
	err = by_adapter(d, offset, a, result);
	if (err == -EAGAIN)
		cache_atomic_again(&d->protocol, page);
	return err;
}

/*
 * At the home
 */

/* Is it one that this rank, as home, can do? */
static bool is_sane(const struct dsm *d, const struct msg *m, const struct remote_atomic *a)
{
	uint64_t offset = m->word[1];

	if (m->src >= d->size || (a->op != ATOMIC_FETCH_ADD && a->op != ATOMIC_COMPARE_SWAP) ||
	    (a->width != 4 && a->width != 8) || offset % a->width || offset >= d->space.len_bytes ||
	    offset >> GRANULE_SHIFT != m->page)
		return false;
	return protocol_in_region(&d->protocol, m->page) &&
	       protocol_home(&d->protocol, m->page) == d->rank;
}

static void on_atomic(struct dsm *d, const struct msg *m)
{
	struct remote_atomic a = { .op = (enum transport_atomic)(m->flags & 0xff),
				   .width = m->flags >> 8 & 0xff,
				   .operand = m->word[2],
				   .expected = m->word[3] };
	struct msg answer = { .kind = MSG_ATOMIC_DONE,
			      .slots = 1,
			      .src = (uint16_t)d->rank,
			      .page = m->page,
			      .word = { m->word[0], EFAULT } };

	if (is_sane(d, m, &a) && m->flags & MSG_BY_ADAPTER) {
		answer.word[1] = (uint64_t)-by_own_adapter(d, m->word[1], &a, &answer.word[2]);
	} else if (is_sane(d, m, &a)) {
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
