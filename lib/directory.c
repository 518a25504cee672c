/* SPDX-License-Identifier: MIT */
/*
 * The home side: the directory of the pages that live at this rank.
 *
 * A page at rest is described by its grants word and its readers words alone. A request that cannot
 * be answered at once opens a transaction: the page is Busy, later requests queue behind it in
 * arrival order (R8), and responses are taken as they come. The transaction goes in one step:
 *
 *	grants = Busy			R1: visible before the readers are taken
 *	take and clear the readers	R2: before any Inv is sent
 *	Inv to each of them but the requester; FwdGetS or FwdGetM to an owner
 *	gather the acknowledgements
 *	grants = Clean, Exclusive or Atomic; grant to the requester
 *
 * The readers words are in readers.c.
 */
#include <errno.h>

#include "bug.h"
#include "log.h"
#include "protocol.h"
#include "readers.h"
#include "snapshot.h"

struct request {
	struct cds_list_head link;
	uint8_t kind; /* MSG_GETS, MSG_GETM, MSG_GETA */
	uint16_t rank;
	uint32_t flags;
};

struct txn {
	struct cds_list_head link; /* in its hash bucket */
	struct cds_list_head queue; /* requests, the first is being served */
	struct rankset queued; /* whose the others are */
	uint64_t page;
	struct rankset acks; /* ranks whose InvAck is awaited */
	uint16_t recalled; /* owner whose WriteBack is awaited, or WIRE_NO_RANK */
	bool have_data; /* a PutM of that owner came, crossing the recall */
	bool was_atomic; /* before the first request: this machine's processors may have written
			  * it, or, */
	bool was_adapter; /* its adapter */
	bool had_requester; /* the requester was among the readers taken (R10) */
};

void directory_init(struct protocol *p)
{
	for (unsigned i = 0; i < TXN_BUCKETS; i++)
		CDS_INIT_LIST_HEAD(&p->txns[i]);
	pool_init(&p->txn_pool, sizeof(struct txn));
	pool_init(&p->request_pool, sizeof(struct request));
}

/*
 * The directory's words
 */

static uint64_t grant_get(const struct protocol *p, uint64_t page)
{
	return __atomic_load_n(segment_grant(p->space, p->space->alias, page), __ATOMIC_RELAXED);
}

/* Not everywhere does the order of atomics among processors hold for devices too; on x86 it does.
 */
static void device_fence(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb osh" ::: "memory");
#elif !defined(__x86_64__)
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Sequentially consistent: pairs with a reader's fetch-add on the readers word followed by its load
 * of the grants word; either it sees Busy, or taking the readers afterwards sees its bit (R1). */
static void grant_store(struct protocol *p, uint64_t page, uint64_t word)
{
	uint64_t before = grant_get(p, page);
	uint32_t count = grant_count(before);

	/* R11 */
	if (snapshot_is_there(before) && !snapshot_is_there(word))
		count += !DSM_BUG(R11);
	word |= (uint64_t)count << GRANT_COUNT_SHIFT;
	__atomic_store_n(segment_grant(p->space, p->space->alias, page), word, __ATOMIC_SEQ_CST);
	/* What this rank stores in the page from now on comes behind the new count. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (!p->space->wire)
		return;
	maintenance_device_reads(p->space->maintenance, MAINTENANCE_GRANTS,
				 segment_grant(p->space, p->space->alias, page), sizeof(uint64_t));
	device_fence();
}

static void grant_set(struct protocol *p, uint64_t page, enum grant_state state, unsigned rank)
{
	grant_store(p, page, grant_word(state, rank));
}

/* A processor of this machine wrote the home's copy of a page: what adapters read is to be that. */
static void page_written_here(struct protocol *p, uint64_t page, enum maintenance_memory by)
{
	if (p->space->wire)
		maintenance_device_reads(p->space->maintenance, by,
					 segment_page(p->space->alias, page),
					 (size_t)protocol_granules(p, page) << GRANULE_SHIFT);
}

/* An adapter did: what processors of this machine read is to be that. */
static void page_wrote_adapter(struct protocol *p, uint64_t page, enum maintenance_memory by)
{
	if (p->space->wire)
		maintenance_device_wrote(p->space->maintenance, by,
					 segment_page(p->space->alias, page),
					 (size_t)protocol_granules(p, page) << GRANULE_SHIFT);
}

/* A page came home from a rank. */
static void page_came(struct protocol *p, uint64_t page, unsigned rank)
{
	if (p->space->wire && rankset_has(p->space->wire_ranks, rank))
		page_wrote_adapter(p, page, MAINTENANCE_HOME);
	else
		page_written_here(p, page,
				  rank == p->rank ? MAINTENANCE_HOME : MAINTENANCE_NEIGHBOUR);
}

bool directory_own_read(struct protocol *p, uint64_t page)
{
	return grant_state(grant_get(p, page)) == GRANT_CLEAN;
}

bool directory_own_write(struct protocol *p, uint64_t page)
{
	if (grant_state(grant_get(p, page)) != GRANT_CLEAN || readers_any(p, page))
		return false;
	grant_set(p, page, GRANT_EXCLUSIVE, p->rank);
	if (!readers_any(p, page) || DSM_BUG(R7_LOOK))
		return true;
	/* A reader came in between and may have seen Clean: it is to be asked, so queue. */
	grant_set(p, page, GRANT_CLEAN, 0);
	return false;
}

void directory_open(struct protocol *p, uint64_t page)
{
	if (grant_is(grant_get(p, page), GRANT_EXCLUSIVE, p->rank))
		grant_store(p, page, grant_word(GRANT_EXCLUSIVE, p->rank) | GRANT_OPEN);
}

void directory_close(struct protocol *p, uint64_t page)
{
	if (grant_get(p, page) & GRANT_OPEN && !DSM_BUG(OPEN))
		grant_set(p, page, GRANT_EXCLUSIVE, p->rank);
}

/*
 * Transactions
 */

static struct cds_list_head *txn_bucket(struct protocol *p, uint64_t page)
{
	return &p->txns[(page * 0x9e3779b97f4a7c15ull) >> 54 & (TXN_BUCKETS - 1)];
}

static struct txn *txn_find(struct protocol *p, uint64_t page)
{
	struct txn *t;

	cds_list_for_each_entry (t, txn_bucket(p, page), link)
		if (t->page == page)
			return t;
	return NULL;
}

static void txn_close(struct protocol *p, struct txn *t)
{
	cds_list_del(&t->link);
	pool_put(&p->txn_pool, t);
}

static void request_drop(struct protocol *p, struct request *r)
{
	cds_list_del(&r->link);
	pool_put(&p->request_pool, r);
}

/*
 * Answers. Those about neighbouring pages that are alike are one message, while the event lasts in
 * which a run of pages was asked for: so what asking for a run saves is saved on the way back too.
 * They do not fall behind anything: what else goes to that rank has them sent before.
 */

static void send_answers(struct protocol *p)
{
	struct answers *a = &p->answers;
	struct msg m = a->msg;
	unsigned n = a->n;

	if (!n)
		return;
	a->n = 0;
	m.word[m.kind == MSG_GRANT_ERROR ? 2 : 0] = n - 1;
	if (m.kind == MSG_GRANT_M && m.flags & MSG_DATA)
		p->ops->push(p->env, a->rank, m.page, n * protocol_granules(p, m.page));
	protocol_send(p, a->rank, &m);
}

static bool is_next(const struct protocol *p, unsigned rank, const struct msg *m)
{
	const struct answers *a = &p->answers;

	return a->n && a->rank == rank && a->msg.kind == m->kind && a->msg.flags == m->flags &&
	       a->msg.word[0] == m->word[0] && a->msg.word[1] == m->word[1] &&
	       m->page == a->msg.page + (uint64_t)a->n * protocol_granules(p, a->msg.page) &&
	       m->page % GRANULES_PER_BLOCK;
}

/* Never to the own rank. */
static void answer(struct protocol *p, unsigned rank, const struct msg *m)
{
	struct answers *a = &p->answers;

	if (!is_next(p, rank, m)) {
		send_answers(p);
		a->msg = *m;
		a->rank = rank;
	}
	a->n++;
	if (!a->gather)
		send_answers(p);
}

void directory_before_send(struct protocol *p, unsigned rank)
{
	if (p->answers.n && p->answers.rank == rank)
		send_answers(p);
}

void directory_event_end(struct protocol *p)
{
	p->answers.gather = false;
	send_answers(p);
}

static void refuse(struct protocol *p, uint64_t page, unsigned rank, int err, unsigned blame)
{
	struct msg m = { .kind = MSG_GRANT_ERROR,
			 .slots = 1,
			 .src = (uint16_t)p->rank,
			 .page = page,
			 .word = { (uint64_t)err, blame < p->size ? blame : p->rank } };

	if (rank == p->rank)
		protocol_send(p, rank, &m);
	else
		answer(p, rank, &m);
}

/*
 * A grant to the home itself takes effect at once (R7), not behind the current event: the next
 * request in the queue may be served within this event, and must find the home's copy when it looks
 * for readers. Nothing can be overtaken: a grant is not given while an answer of the home's is
 * awaited.
 */
static void grant(struct protocol *p, unsigned rank, enum msg_kind kind, uint64_t page,
		  uint32_t flags)
{
	struct msg m = { .kind = (uint8_t)kind,
			 .slots = 1,
			 .src = (uint16_t)p->rank,
			 .flags = flags,
			 .page = page };

	if (rank == p->rank)
		cache_message(p, &m);
	else if (kind == MSG_GRANT_M)
		answer(p, rank, &m);
	else
		protocol_send(p, rank, &m);
}

static void grant_shared(struct protocol *p, uint64_t page, unsigned rank)
{
	if (!DSM_BUG(R5))
		reader_add(p, page, rank); /* R5 */
	if (rank != p->rank) {
		directory_before_send(p, rank);
		p->ops->push(p->env, rank, page, protocol_granules(p, page));
	}
	grant(p, rank, MSG_GRANT_S, page, 0);
}

static void grant_modified(struct protocol *p, uint64_t page, const struct request *r,
			   bool had_requester)
{
	bool data = !((r->flags & MSG_HAS_COPY) && (had_requester || DSM_BUG(R10))); /* R10 */

	grant_set(p, page, GRANT_EXCLUSIVE, r->rank);
	grant(p, r->rank, MSG_GRANT_M, page, data ? MSG_DATA : 0);
}

/* Does this rank do remote atomics by adapter? Then all do on the pages that it has a part in. */
static enum atomic_by atomic_by(const struct protocol *p, unsigned rank)
{
	return p->space->wire_atomics && rankset_has(p->space->wire_atomics, rank)
		       ? ATOMIC_BY_ADAPTER
		       : ATOMIC_BY_PROCESSORS;
}

static void grant_atomic(struct protocol *p, uint64_t page, unsigned rank, enum atomic_by by)
{
	grant_set(p, page, GRANT_ATOMIC, by);
	reader_add(p, page, rank);
	grant(p, rank, MSG_GRANT_A, page, by == ATOMIC_BY_ADAPTER ? MSG_ADAPTER : 0);
}

static bool waiting(const struct txn *t)
{
	return t->recalled != WIRE_NO_RANK || !rankset_empty(&t->acks);
}

/* Busy names one rank that is waited for, so that a requester can say who holds the page. */
static void show_busy(struct protocol *p, const struct txn *t)
{
	unsigned who = t->recalled != WIRE_NO_RANK ? t->recalled : rankset_next(&t->acks, 0);

	grant_set(p, t->page, GRANT_BUSY, who == RANKS_MAX ? p->rank : who);
}

/* Nobody is waited for any more: answer the first request. */
static void txn_grant(struct protocol *p, struct txn *t)
{
	struct request *r = cds_list_first_entry(&t->queue, struct request, link);

	if (t->was_adapter)
		page_wrote_adapter(p, t->page, MAINTENANCE_ATOMICS);
	else if (t->was_atomic)
		page_written_here(p, t->page, MAINTENANCE_ATOMICS);
	t->was_atomic = t->was_adapter = false;
	if (rankset_has(&p->down, r->rank)) {
		grant_set(p, t->page, GRANT_CLEAN, 0);
	} else if (r->kind == MSG_GETS) {
		grant_set(p, t->page, GRANT_CLEAN, 0);
		grant_shared(p, t->page, r->rank);
	} else if (r->kind == MSG_GETM) {
		grant_modified(p, t->page, r, t->had_requester);
	} else {
		grant_atomic(p, t->page, r->rank, atomic_by(p, r->rank));
	}
	request_drop(p, r);
}

/* The data is gone with its owner: everybody who asks is told, now and later. */
static void txn_lose(struct protocol *p, struct txn *t, unsigned blame)
{
	struct request *r, *next;

	grant_set(p, t->page, GRANT_LOST, blame);
	t->recalled = WIRE_NO_RANK;
	rankset_clear(&t->acks);
	rankset_clear(&t->queued);
	cds_list_for_each_entry_safe (r, next, &t->queue, link) {
		refuse(p, t->page, r->rank, EHOSTDOWN, blame);
		request_drop(p, r);
	}
}

/* An owner that may be no reader is recalled and must get no Inv; a requester that may be none has
 * perhaps lost its copy (R10). @owner: WIRE_NO_RANK if there is none. */
static void invalidate_readers(struct protocol *p, struct txn *t, unsigned requester,
			       unsigned owner)
{
	struct readers taken;

	readers_take(p, t->page, &taken);
	t->had_requester = rankset_has(&taken.ask, requester) &&
			   (!rankset_has(&taken.unsure, requester) || DSM_BUG(GROUP_COPY));
	rankset_for_each (rank, &taken.ask) {
		bool spare = rank == owner && rankset_has(&taken.unsure, rank);

		if (rank != requester && !rankset_has(&p->down, rank) &&
		    (!spare || DSM_BUG(GROUP_OWNER)))
			rankset_add(&t->acks, rank);
	}
	rankset_for_each (rank, &t->acks)
		protocol_tell(p, rank, MSG_INV, t->page, 0);
	if (DSM_BUG(ACKS))
		rankset_clear(&t->acks);
}

static void recall(struct protocol *p, struct txn *t, unsigned owner, bool shared)
{
	t->recalled = (uint16_t)owner;
	protocol_tell(p, owner, shared ? MSG_FWD_GETS : MSG_FWD_GETM, t->page, 0);
}

/* Is the page as a GetM that may not disturb anybody wants it? */
static bool free_for(struct protocol *p, uint64_t page, unsigned rank)
{
	return grant_state(grant_get(p, page)) == GRANT_CLEAN &&
	       p->pages[page].state == PAGE_INVALID && !readers_beside(p, page, rank);
}

/* Whoever does a page's atomics by processor has to be asked before anybody does them by adapter;
 * who could do either does them by adapter with those who must. If this rank's adapter does none
 * any more, all have to be asked, and begin anew by processor. */
static bool may_join_atomics(const struct protocol *p, uint64_t word, unsigned rank)
{
	if (grant_state(word) != GRANT_ATOMIC)
		return grant_state(word) == GRANT_CLEAN && DSM_BUG(ATOMIC);
	if (grant_rank(word) == ATOMIC_BY_ADAPTER)
		return p->space->wire_atomics && !rankset_empty(p->space->wire_atomics);
	return atomic_by(p, rank) == ATOMIC_BY_PROCESSORS || DSM_BUG(ADAPTER);
}

static enum atomic_by joint_atomics(const struct protocol *p, uint64_t word, unsigned rank)
{
	if (grant_state(word) == GRANT_ATOMIC && grant_rank(word) == ATOMIC_BY_ADAPTER)
		return ATOMIC_BY_ADAPTER;
	return atomic_by(p, rank);
}

/* Answer without asking anybody, if the page's state allows it. */
static bool answered_at_once(struct protocol *p, uint64_t page, const struct request *r)
{
	uint64_t word = grant_get(p, page);
	enum grant_state state = grant_state(word);

	if (state == GRANT_LOST) {
		refuse(p, page, r->rank, EHOSTDOWN, grant_rank(word));
	} else if (state == GRANT_EXCLUSIVE && grant_rank(word) == r->rank) {
		log_error("rank %u asks for page %#llx, which it has", r->rank,
			  (unsigned long long)page);
		refuse(p, page, r->rank, EPROTO, r->rank);
	} else if (r->kind == MSG_GETS && state == GRANT_CLEAN) {
		grant_shared(p, page, r->rank);
	} else if (r->kind == MSG_GETA && may_join_atomics(p, word, r->rank)) {
		grant_atomic(p, page, r->rank, joint_atomics(p, word, r->rank));
	} else if (r->kind == MSG_GETM && (r->flags & MSG_IF_FREE) && !free_for(p, page, r->rank)) {
		refuse(p, page, r->rank, EAGAIN, r->rank);
	} else {
		return false;
	}
	return true;
}

/* Can the owner that the grants word names give the page up? A word that a peer has overwritten may
 * name a rank that does not exist. */
static bool owner_is_there(const struct protocol *p, unsigned owner)
{
	return owner < p->size && !rankset_has(&p->down, owner);
}

/* Ask whoever stands in the way of the first request. */
static void txn_begin(struct protocol *p, struct txn *t, const struct request *r)
{
	uint64_t word = grant_get(p, t->page);
	bool exclusive = grant_state(word) == GRANT_EXCLUSIVE;
	bool keep_readers = r->kind == MSG_GETS && exclusive;

	t->was_atomic = grant_state(word) == GRANT_ATOMIC;
	t->was_adapter = t->was_atomic && grant_rank(word) == ATOMIC_BY_ADAPTER;
	t->had_requester = false;
	t->have_data = false;
	if (!DSM_BUG(R1))
		grant_set(p, t->page, GRANT_BUSY, exclusive ? grant_rank(word) : p->rank); /* R1 */
	if (!keep_readers && !(exclusive && DSM_BUG(EXCLUSIVE)))
		invalidate_readers(p, t, r->rank,
				   exclusive ? grant_rank(word) : WIRE_NO_RANK); /* R2 */
	if (exclusive && !owner_is_there(p, grant_rank(word)))
		txn_lose(p, t, grant_rank(word));
	else if (exclusive)
		recall(p, t, grant_rank(word), keep_readers);
	if (waiting(t))
		show_busy(p, t);
}

/* Serve requests until one has to wait; without any left, the transaction is over. */
static void txn_run(struct protocol *p, struct txn *t)
{
	while (!waiting(t) && !cds_list_empty(&t->queue)) {
		struct request *r = cds_list_first_entry(&t->queue, struct request, link);

		rankset_remove(&t->queued, r->rank);
		if (rankset_has(&p->down, r->rank) || answered_at_once(p, t->page, r)) {
			request_drop(p, r);
			continue;
		}
		txn_begin(p, t, r);
		if (!waiting(t) && !cds_list_empty(&t->queue))
			txn_grant(p, t);
	}
	if (!waiting(t))
		txn_close(p, t);
}

static struct txn *txn_open(struct protocol *p, uint64_t page)
{
	struct txn *t = pool_get(&p->txn_pool);

	if (!t)
		return NULL;
	t->page = page;
	t->recalled = WIRE_NO_RANK;
	CDS_INIT_LIST_HEAD(&t->queue);
	cds_list_add(&t->link, txn_bucket(p, page));
	return t;
}

static void on_request(struct protocol *p, const struct msg *m)
{
	struct request now = { .kind = m->kind, .rank = m->src, .flags = m->flags };
	struct txn *t = txn_find(p, m->page);
	struct request *r;

	if (!t && answered_at_once(p, m->page, &now))
		return;
	if (t && rankset_has(&t->queued, m->src)) {
		log_debug("ignored %s of page %#llx: rank %u asks again", msg_name(m->kind),
			  (unsigned long long)m->page, m->src);
		return;
	}
	r = pool_get(&p->request_pool);
	if (r && !t) {
		t = txn_open(p, m->page);
		if (!t)
			pool_put(&p->request_pool, r);
	}
	if (!r || !t) {
		refuse(p, m->page, m->src, ENOMEM, p->rank);
		return;
	}
	*r = now;
	rankset_add(&t->queued, r->rank);
	if (DSM_BUG(R8))
		cds_list_add(&r->link, &t->queue);
	else
		cds_list_add_tail(&r->link, &t->queue);
	if (!waiting(t))
		txn_run(p, t);
}

/* Of a run the pages behind the first may be asked for only if nobody else has them. */
static void on_getm(struct protocol *p, const struct msg *m)
{
	unsigned each = protocol_granules(p, m->page);
	struct msg one = *m;

	p->answers.gather = m->word[0] != 0;
	if (m->word[0] && !(m->flags & MSG_IF_FREE))
		cache_leave_own(p, m->page, 1 + (unsigned)m->word[0]);
	one.flags &= ~MSG_IF_FREE;
	for (uint64_t i = 0; i <= m->word[0]; i++) {
		on_request(p, &one);
		one.page += each;
		one.flags = m->flags;
	}
}

/* A response came: go on if it was the last. */
static void txn_response(struct protocol *p, struct txn *t)
{
	if (waiting(t)) {
		show_busy(p, t);
		return;
	}
	if (!cds_list_empty(&t->queue))
		txn_grant(p, t);
	txn_run(p, t);
}

static void on_inv_ack(struct protocol *p, const struct msg *m)
{
	struct txn *t = txn_find(p, m->page);

	if (!t || !rankset_has(&t->acks, m->src))
		return;
	rankset_remove(&t->acks, m->src);
	txn_response(p, t);
}

static void on_write_back(struct protocol *p, const struct msg *m)
{
	struct txn *t = txn_find(p, m->page);

	if (!t || t->recalled != m->src)
		return;
	if (m->flags & MSG_KEEPS && !DSM_BUG(R9))
		reader_add(p, m->page, m->src); /* R9 */
	if (!(m->flags & MSG_NOT_HERE))
		page_came(p, m->page, m->src);
	t->recalled = WIRE_NO_RANK;
	if ((m->flags & MSG_NOT_HERE) && !t->have_data) { /* R6 promises the PutM */
		log_error("rank %u neither has page %#llx nor sent it", m->src,
			  (unsigned long long)m->page);
		txn_lose(p, t, m->src);
	}
	txn_response(p, t);
}

static void put_page(struct protocol *p, uint64_t page, unsigned rank, uint32_t flags)
{
	struct txn *t = txn_find(p, page);
	uint64_t word = grant_get(p, page);

	if (t && t->recalled == rank) {
		t->have_data = !DSM_BUG(R6); /* R6: its answer to the recall follows */
		page_came(p, page, rank);
	} else if (!t && grant_is(word, GRANT_EXCLUSIVE, rank)) {
		if (flags & MSG_KEEPS)
			reader_add(p, page, rank); /* R9 */
		page_came(p, page, rank);
		grant_set(p, page, GRANT_CLEAN, 0);
	} else {
		log_debug("ignored PutM of page %#llx from rank %u", (unsigned long long)page,
			  rank);
	}
}

void directory_own_put(struct protocol *p, uint64_t page, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_page(p, page + (uint64_t)i * protocol_granules(p, page), p->rank, 0);
}

static void on_putm(struct protocol *p, const struct msg *m)
{
	unsigned each = protocol_granules(p, m->page);

	for (uint64_t i = 0; i <= m->word[0]; i++)
		put_page(p, m->page + i * each, m->src, m->flags);
}

void directory_message(struct protocol *p, const struct msg *m)
{
	switch (m->kind) {
	case MSG_GETM:
		on_getm(p, m);
		break;
	case MSG_GETS:
	case MSG_GETA:
		on_request(p, m);
		break;
	case MSG_INV_ACK:
		on_inv_ack(p, m);
		break;
	case MSG_WRITE_BACK:
		on_write_back(p, m);
		break;
	case MSG_LOOKS:
		protocol_block(p, m->page)->looked_at = 1;
		break;
	case MSG_PUTM:
		on_putm(p, m);
		break;
	default:
		break;
	}
}

static void txn_rank_down(struct protocol *p, struct txn *t, unsigned rank)
{
	bool touched = rankset_has(&t->acks, rank) || t->recalled == rank;

	rankset_remove(&t->acks, rank);
	if (t->recalled == rank) {
		t->recalled = WIRE_NO_RANK;
		if (!t->have_data)
			txn_lose(p, t, rank);
	}
	if (touched && !DSM_BUG(DEATH))
		txn_response(p, t);
}

void directory_rank_down(struct protocol *p, unsigned rank)
{
	struct txn *t, *next;

	for (unsigned i = 0; i < TXN_BUCKETS; i++)
		cds_list_for_each_entry_safe (t, next, &p->txns[i], link)
			txn_rank_down(p, t, rank);
}

void directory_forget(struct protocol *p, uint64_t first_block, uint64_t nblocks)
{
	struct txn *t, *next;
	struct request *r, *after;

	for (unsigned i = 0; i < TXN_BUCKETS; i++) {
		cds_list_for_each_entry_safe (t, next, &p->txns[i], link) {
			if (t->page / GRANULES_PER_BLOCK - first_block >= nblocks)
				continue;
			cds_list_for_each_entry_safe (r, after, &t->queue, link)
				request_drop(p, r);
			txn_close(p, t);
		}
	}
}
