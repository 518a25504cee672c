/* SPDX-License-Identifier: MIT */
/*
 * What ties the parts of a rank together: the protocol's actions go to pager and transport,
 * messages go to the part that they are for, deaths go to all.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "contention_report.h"
#include "log.h"
#include "node.h"
#include "region_internal.h"
#include "remote_atomic.h"
#include "trace.h"

/* A message to the own rank, delivered after the current event. */
struct local_msg {
	struct cds_list_head link;
	union {
		struct msg msg;
		struct msg_region region;
	};
};

static void init_lock(struct dsm *d)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&d->lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

void node_init(struct dsm *d)
{
	init_lock(d);
	CDS_INIT_LIST_HEAD(&d->acquired);
	CDS_INIT_LIST_HEAD(&d->local);
	for (unsigned i = 0; i < PAGE_WAIT_BUCKETS; i++)
		CDS_INIT_LIST_HEAD(&d->page_waits[i]);
	pool_init(&d->local_pool, sizeof(struct local_msg));
	pool_init(&d->look_pool, sizeof(struct node_look));
	remote_atomic_init(d);
	d->first_down = WIRE_NO_RANK;
	for (unsigned r = 0; r < RANKS_MAX; r++)
		d->left_for[r] = WIRE_NO_RANK;
}

void node_fini(struct dsm *d)
{
	pool_fini(&d->local_pool);
	pool_fini(&d->look_pool);
	pool_fini(&d->posted_pool);
	pthread_mutex_destroy(&d->lock);
}

uint64_t node_deadline(int timeout_ms, uint64_t fallback_ms)
{
	uint64_t ms = timeout_ms < 0 ? fallback_ms : (uint64_t)timeout_ms;

	return clock_ns() + ms * 1000000u;
}

uint64_t node_tid(void)
{
	static __thread uint64_t tid;

	if (!tid)
		tid = (uint64_t)gettid();
	return tid;
}

/*
 * Messages
 */

/* Not what dsm_fini() sends: the statistics, which it carries, would differ by it from rank to
 * rank. */
static bool is_counted(const struct msg *m)
{
	return m->kind < MSG_STATS;
}

void node_send(struct dsm *d, unsigned rank, const struct msg *m)
{
	size_t bytes = (size_t)m->slots * MSG_SLOT_BYTES;
	struct local_msg *l;

	if (rank != d->rank) {
		if (is_counted(m)) {
			stats_inc(&d->stats.pub.messages_sent);
			stats_inc(&d->stats.sent[m->kind]);
		}
		d->transport->ops->send(d->transport, rank, m);
		return;
	}
	l = pool_get(&d->local_pool);
	if (!l) {
		log_error("out of memory: lost %s to the own rank", msg_name(m->kind));
		return;
	}
	memcpy(&l->region, m, bytes);
	cds_list_add_tail(&l->link, &d->local);
}

static void on_stats(struct dsm *d, const struct msg *m)
{
	uint64_t total = sizeof(struct stats) / sizeof(uint64_t), index = m->flags;
	uint64_t *sum;

	if (!d->parts || m->src >= d->size || index >= total)
		return;
	sum = (uint64_t *)&d->parts[m->src];
	for (unsigned i = 0; i < 6 && index + i < total; i++)
		sum[index + i] = m->word[i];
	if (index + 6 < total || rankset_has(&d->parts_of, m->src))
		return;
	rankset_add(&d->parts_of, m->src);
	d->parts_complete++;
	if (d->parts_waiter && d->parts_complete == d->size - 1) {
		waiter_complete(d->parts_waiter, 0);
		d->parts_waiter = NULL;
	}
}

/*
 * A rank that is told of a death leaves by dsm_fini() without waiting for the others, and to them
 * its end looks like one more death, which they may even see before the first: a dying process
 * closes its connections one by one. So it says why it goes.
 */

static void on_left(struct dsm *d, const struct msg *m)
{
	unsigned cause = m->word[0] < d->size ? (unsigned)m->word[0] : m->src;

	if (m->src < d->size)
		__atomic_store_n(&d->left_for[m->src], (uint16_t)cause, __ATOMIC_RELAXED);
}

/* WIRE_NO_RANK: it has not left. */
static unsigned left_for(const struct dsm *d, unsigned rank)
{
	return rank < d->size ? __atomic_load_n(&d->left_for[rank], __ATOMIC_RELAXED)
			      : WIRE_NO_RANK;
}

unsigned node_cause(const struct dsm *d, unsigned rank)
{
	unsigned cause = left_for(d, rank);

	return cause == WIRE_NO_RANK ? rank : cause;
}

struct fate node_fate(const struct dsm *d, unsigned rank)
{
	unsigned cause = left_for(d, rank);
	struct fate f;

	if (cause == WIRE_NO_RANK)
		snprintf(f.text, sizeof(f.text), "rank %u has died", rank);
	else if (cause == rank)
		snprintf(f.text, sizeof(f.text), "rank %u has left by dsm_fini()", rank);
	else
		snprintf(f.text, sizeof(f.text), "rank %u has left, since rank %u has died", rank,
			 cause);
	return f;
}

/* Does another rank wait until this one has done something about a page? */
static bool wants_page(const struct dsm *d, const struct msg *m)
{
	switch (m->kind) {
	case MSG_GETS:
	case MSG_GETM:
	case MSG_GETA:
	case MSG_INV:
	case MSG_FWD_GETS:
	case MSG_FWD_GETM:
		return m->src != d->rank;
	default:
		return false;
	}
}

static void dispatch(struct dsm *d, const struct msg *m)
{
	if (m->kind <= MSG_GRANT_ERROR) {
		d->pages_wanted |= wants_page(d, m);
		if (m->kind <= MSG_GETA)
			region_claimed(d, m->page);
		protocol_message(&d->protocol, m);
	} else if (m->kind <= MSG_BLOCK_HOME) {
		region_message(d, m);
	} else if (m->kind == MSG_STATS) {
		on_stats(d, m);
	} else if (m->kind == MSG_CONTENTION) {
		contention_message(d, m);
	} else if (m->kind == MSG_LEFT) {
		on_left(d, m);
	} else if (m->kind == MSG_ATOMIC || m->kind == MSG_ATOMIC_DONE) {
		remote_atomic_message(d, m);
	} else {
		sync_message(d->sync, m);
	}
}

void node_message(void *ctx, const struct msg *m)
{
	struct dsm *d = ctx;

	if (is_counted(m))
		stats_inc(&d->stats.pub.messages_received);
	trace_message(m->kind, m->src, m->page);
	dispatch(d, m);
	node_run_local(d);
}

void node_run_local(struct dsm *d)
{
	if (d->running_local)
		return;
	d->running_local = true;
	while (!cds_list_empty(&d->local)) {
		struct local_msg *l = cds_list_first_entry(&d->local, struct local_msg, link);

		cds_list_del(&l->link);
		dispatch(d, &l->msg);
		pool_put(&d->local_pool, l);
	}
	d->running_local = false;
	/* Recalls that have to be tried again are the agent's, which may mean to sleep for long. */
	if (d->agent_asleep && !cds_list_empty(&d->protocol.retries))
		agent_kick(d);
}

static void warn_lost(struct dsm *d, unsigned rank)
{
	const struct transport_ops *ops = d->transport->ops;
	const char *own, *peer;

	if (ops->addresses && ops->addresses(d->transport, rank, &own, &peer))
		log_warn("lost the connection from %s to rank %u at %s: it died or left without "
			 "dsm_fini()",
			 own, rank, peer);
	else
		log_warn("lost the connection to rank %u: it died or left without dsm_fini()",
			 rank);
}

static void rank_down(void *ctx, unsigned rank)
{
	struct dsm *d = ctx;

	if (rankset_has(&d->down, rank))
		return;
	if (!d->leaving && left_for(d, rank) != WIRE_NO_RANK)
		log_info("%s", node_fate(d, rank).text);
	else if (!d->leaving)
		warn_lost(d, rank);
	rankset_add(&d->down, rank);
	if (d->first_down == WIRE_NO_RANK)
		d->first_down = node_cause(d, rank);
	sync_rank_down(d->sync, rank);
	region_rank_down(d, rank);
	protocol_rank_down(&d->protocol, rank);
	remote_atomic_rank_down(d, rank);
	faults_rank_down(d);
	node_run_local(d);
}

const struct transport_handler node_handler = { .message = node_message, .down = rank_down };

/*
 * Threads that wait for a page
 */

static struct cds_list_head *wait_bucket(struct dsm *d, uint64_t page)
{
	return &d->page_waits[(page * 0x9e3779b97f4a7c15ull) >> 56 & (PAGE_WAIT_BUCKETS - 1)];
}

void node_page_changed(struct dsm *d, uint64_t page, int result, unsigned blame)
{
	struct page_wait *w;

	if (!d->npage_waits)
		return;
	cds_list_for_each_entry (w, wait_bucket(d, page), link) {
		if (w->page != page || waiter_is_done(&w->waiter))
			continue;
		w->blame = blame;
		waiter_complete(&w->waiter, result);
	}
}

/* Is there a thread in a call that waited for this page and has not looked at it since it came? */
static bool page_awaited(struct dsm *d, uint64_t page)
{
	struct page_wait *w;

	if (!d->npage_waits)
		return false;
	cds_list_for_each_entry (w, wait_bucket(d, page), link)
		if (w->page == page && waiter_is_done(&w->waiter))
			return true;
	return false;
}

void node_wait_begin(struct dsm *d, struct page_wait *w, uint64_t page)
{
	*w = (struct page_wait){ .page = page, .blame = WIRE_NO_RANK, .waiter = WAITER_INIT };
	cds_list_add_tail(&w->link, wait_bucket(d, page));
	d->npage_waits++;
}

void node_wait_cancel(struct dsm *d, struct page_wait *w)
{
	cds_list_del(&w->link);
	d->npage_waits--;
}

int node_wait_end(struct dsm *d, struct page_wait *w, uint64_t deadline_ns)
{
	int err;

	err = waiter_wait(d, &w->waiter, deadline_ns);
	/* Not before: until now the page is kept for this thread (page_awaited). */
	node_wait_cancel(d, w);
	return err < 0 ? err : w->waiter.result;
}

int node_wait_page(struct dsm *d, uint64_t page, uint64_t deadline_ns, unsigned *blame)
{
	struct page_wait w;
	int err;

	node_wait_begin(d, &w, page);
	err = node_wait_end(d, &w, deadline_ns);
	*blame = w.blame;
	return err;
}

void region_home_known(struct dsm *d, uint64_t block)
{
	faults_unpark(d, block);
	node_page_changed(d, block * GRANULES_PER_BLOCK, 0, WIRE_NO_RANK);
}

/*
 * The protocol's actions
 */

static void op_send(void *env, unsigned rank, const struct msg *m)
{
	struct dsm *d = env;
	uint64_t n = 1 + (m->kind == MSG_GETM ? m->word[0] : 0);

	if ((m->kind == MSG_GETS || m->kind == MSG_GETM) && d->transport->ops->expect)
		d->transport->ops->expect(d->transport, rank, m->page,
					  n * protocol_granules(&d->protocol, m->page)
						  << GRANULE_SHIFT);
	node_send(d, rank, m);
}

static void fetched(struct transport_fetch *f, int status)
{
	struct dsm *d = f->ctx;

	protocol_fetched(&d->protocol, f, status);
}

static int op_fetch(void *env, struct transport_fetch *f)
{
	struct dsm *d = env;

	f->done = fetched;
	f->ctx = d;
	return d->transport->ops->fetch(d->transport, f);
}

static void op_write_home(void *env, unsigned home, uint64_t page, unsigned granules)
{
	struct dsm *d = env;

	d->transport->ops->write(d->transport, home, page, (size_t)granules << GRANULE_SHIFT);
}

static void op_push(void *env, unsigned rank, uint64_t page, unsigned granules)
{
	struct dsm *d = env;

	d->transport->ops->push(d->transport, rank, page, (size_t)granules << GRANULE_SHIFT);
}

static const uint8_t *op_pushed(void *env, unsigned home, uint64_t page, unsigned granules)
{
	struct dsm *d = env;

	return d->transport->ops->pushed(d->transport, home, page,
					 (size_t)granules << GRANULE_SHIFT);
}

static int op_map(void *env, uint64_t granule, uint64_t n, bool writable, const void *src,
		  bool frames)
{
	struct dsm *d = env;

	trace_map(granule, n, writable);
	return d->pager->ops->map(d->pager, granule, n, writable, src, frames);
}

static int op_allow_write(void *env, uint64_t granule, uint64_t n)
{
	struct dsm *d = env;

	return d->pager->ops->allow_write(d->pager, granule, n);
}

/* The protocol goes on as if these had worked, so they must: a page that stays writable after its
 * recall would be silent corruption. They fail only if the mapping is not what we made it. */
static int must(const char *what, uint64_t granule, uint64_t n, int err)
{
	if (err < 0) {
		log_error("%s of %llu granules at granule %#llx: %s; aborting", what,
			  (unsigned long long)n, (unsigned long long)granule, strerror(-err));
		abort();
	}
	return err;
}

static int op_forbid_write(void *env, uint64_t granule, uint64_t n)
{
	struct dsm *d = env;

	trace_unmap(granule, n);
	return must("write-protection", granule, n,
		    d->pager->ops->forbid_write(d->pager, granule, n));
}

static int op_zap(void *env, uint64_t granule, uint64_t n)
{
	struct dsm *d = env;

	trace_unmap(granule, n);
	return must("unmapping", granule, n, d->pager->ops->zap(d->pager, granule, n));
}

static int op_drop(void *env, uint64_t granule, uint64_t n)
{
	struct dsm *d = env;

	trace_unmap(granule, n);
	return must("eviction", granule, n, d->pager->ops->drop(d->pager, granule, n));
}

static void op_wake(void *env, uint64_t page)
{
	struct dsm *d = env;

	/* Nothing is mapped for remote atomics: a thread that faulted meanwhile asks for more. */
	if (d->protocol.pages[page].state == PAGE_ATOMIC)
		d->pager->ops->wake(d->pager, page, protocol_granules(&d->protocol, page));
	fault_served(d, page);
	node_page_changed(d, page, 0, WIRE_NO_RANK);
}

static void op_fail(void *env, uint64_t page, int err, unsigned blame)
{
	struct dsm *d = env;
	unsigned granules = protocol_granules(&d->protocol, page);

	if (err == EHOSTDOWN || fault_waits(d, page)) {
		/* One line a rank is a warning; one a page would be a flood. */
		log_at(blame < d->size && rankset_has(&d->blamed, blame) ? LOG_DEBUG : LOG_WARN,
		       "page %p cannot be had (%s, rank %u): a thread that touches it, or another "
		       "such page, gets SIGBUS",
		       node_addr(d, page), strerror(err), blame);
		if (blame < d->size)
			rankset_add(&d->blamed, blame);
		fault_failed(d, page);
		d->pager->ops->poison(d->pager, page, granules);
	} else {
		/* A thread whose record was displaced faults again, and then has one. */
		d->pager->ops->wake(d->pager, page, granules);
	}
	fault_served(d, page);
	node_page_changed(d, page, -err, blame);
}

static bool op_settled(void *env, uint64_t page)
{
	return !page_awaited(env, page) && fault_settled(env, page);
}

static void op_hold_ended(void *env, uint64_t page)
{
	struct dsm *d = env;

	d->pager->ops->wake(d->pager, page, protocol_granules(&d->protocol, page));
	node_page_changed(d, page, 0, WIRE_NO_RANK);
}

static uint64_t op_tick(void *env)
{
	(void)env;
	return clock_ns() / TICK_NS;
}

const struct protocol_ops node_protocol_ops = {
	.send = op_send,
	.fetch = op_fetch,
	.write_home = op_write_home,
	.push = op_push,
	.pushed = op_pushed,
	.map = op_map,
	.allow_write = op_allow_write,
	.forbid_write = op_forbid_write,
	.zap = op_zap,
	.drop = op_drop,
	.wake = op_wake,
	.fail = op_fail,
	.settled = op_settled,
	.hold_ended = op_hold_ended,
	.tick = op_tick,
};
