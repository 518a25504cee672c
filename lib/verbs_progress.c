/* SPDX-License-Identifier: MIT */
/*
 * Progress of the RDMA transport: what the adapter has completed, what that starts, and sleep.
 *
 * Completions are taken by whoever looks, without an upcall, and only then looked at: a message
 * joins its peer's arrivals, an operation ends. Upcalls are made by poll() alone, afterwards:
 * fetches that are done, and each peer's arrivals in order, as far as the page data that belongs to
 * a grant has been read.
 *
 * A receive is posted anew when its message has been copied out to be delivered; so what is not
 * delivered yet fills the window of the peer that sends, and nothing here grows.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"
#include "stats.h"
#include "verbs_error.h"
#include "verbs_window.h"

/* How often the descriptors are looked at without a reason. */
#define LOOK_NS 10000000u

/*
 * Taking completions
 */

/* Under cq_lock. */
static void take_from(struct transport_verbs *v, const struct verbs_queue *q)
{
	int n = ibv_poll_cq(q->cq, (int)(VERBS_COMPLETIONS - v->ntaken), v->taken + v->ntaken);

	if (n > 0)
		__atomic_store_n(&v->ntaken, v->ntaken + (uint32_t)n, __ATOMIC_RELEASE);
}

/* Under cq_lock: have something in taken[], if there is anything. */
static unsigned refill(struct transport_verbs *v, bool ended_too)
{
	if (!v->ntaken)
		take_from(v, &v->arrived);
	if (ended_too && v->ntaken < VERBS_COMPLETIONS)
		take_from(v, &v->ended);
	return v->ntaken;
}

bool verbs_pending(struct transport *t)
{
	struct transport_verbs *v = verbs_of(t);
	unsigned n;

	if (!verbs_has_queues(v))
		return false;
	if (__atomic_load_n(&v->work, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&v->ntaken, __ATOMIC_ACQUIRE))
		return true;
	pthread_mutex_lock(&v->cq_lock);
	n = refill(v, __atomic_load_n(&v->awaits, __ATOMIC_ACQUIRE));
	pthread_mutex_unlock(&v->cq_lock);
	return n > 0;
}

static unsigned take(struct transport_verbs *v, struct ibv_wc wc[VERBS_COMPLETIONS])
{
	unsigned n;

	pthread_mutex_lock(&v->cq_lock);
	n = refill(v, true);
	memcpy(wc, v->taken, n * sizeof(*wc));
	__atomic_store_n(&v->ntaken, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&v->cq_lock);
	return n;
}

/*
 * Looking at them
 */

void verbs_note_work(struct transport_verbs *v)
{
	__atomic_store_n(&v->work, 1, __ATOMIC_RELEASE);
	transport_unwatch(&v->base);
}

/* The next poll() is to look after this peer. */
static void stir(struct transport_verbs *v, unsigned rank)
{
	rankset_add(&v->stirred, rank);
	verbs_note_work(v);
}

static void on_receive(struct transport_verbs *v, const struct ibv_wc *wc)
{
	unsigned rank = (unsigned)(wc->wr_id >> 18), slot = (unsigned)(wc->wr_id >> 2) & 0xffff;
	struct verbs_peer *peer = &v->peers[rank];
	unsigned imm = be32toh(wc->imm_data);
	struct verbs_arrival *a;

	if (peer->state != VERBS_UP)
		return;
	if (!(wc->wc_flags & IBV_WC_WITH_IMM) ||
	    !verbs_credit_add(&peer->credit, verbs_imm_credits(imm))) {
		verbs_mark_broken(v, rank, "it sent a message that makes no sense");
		return;
	}
	stir(v, rank);
	if (!wc->byte_len) {
		if (verbs_post_receive(v, rank, slot))
			verbs_mark_broken(v, rank, "the adapter takes no receive");
		return;
	}
	maintenance_device_wrote(&v->maintenance, MAINTENANCE_MESSAGE,
				 peer->slots + slot * MSG_SLOTS_MAX * MSG_SLOT_BYTES, wc->byte_len);
	a = &peer->arrival[(peer->first + peer->narrivals++) % VERBS_RECEIVES];
	*a = (struct verbs_arrival){ .slot = slot,
				     .len_bytes = wc->byte_len,
				     .data = verbs_imm_data(imm) };
	if (a->data & VERBS_DATA_PUSHED)
		a->ready = true;
	else if (a->data)
		verbs_pull(v, rank, a);
}

/* The key of a block has been read: what waits for it goes on, or goes by message. */
static void on_table(struct transport_verbs *v, const struct verbs_op *op)
{
	struct verbs_peer *peer = &v->peers[op->rank];
	uint64_t block = op->granule / GRANULES_PER_BLOCK, *word = &verbs_scratch(v, op->rank)[1];
	struct verbs_op *w, *next;
	uint64_t key;

	maintenance_device_wrote(&v->maintenance, MAINTENANCE_KEYS, word, sizeof(*word));
	key = *(volatile uint64_t *)word;
	if (key & VERBS_RKEY_VALID) {
		v->rkeys[block] = key;
		return;
	}
	cds_list_for_each_entry_safe (w, next, &peer->waiting, link) {
		if (w->granule / GRANULES_PER_BLOCK != block)
			continue;
		if (w->kind == OP_PULL) {
			verbs_mark_broken(v, op->rank,
					  "it granted a page of a block that it has not exposed");
			return;
		}
		w->status = -EAGAIN;
		cds_list_del(&w->link);
		cds_list_add_tail(&w->link, &v->done);
	}
}

static const char *op_name(const struct verbs_op *op)
{
	static const char *const names[] = { [OP_FETCH] = "a read of pages",
					     [OP_PULL] = "a read of a granted page",
					     [OP_TABLE] = "a read of a block's key",
					     [OP_WRITE] = "a write of a page",
					     [OP_ATOMIC] = "a remote atomic",
					     [OP_PUSH] = "a granted page",
					     [OP_SEND] = "a message",
					     [OP_BEAT] = "a sign of life" };

	return names[op->kind];
}

/* The last request of an operation is complete: it is in no list any more. */
static void op_end(struct transport_verbs *v, struct verbs_op *op, bool ok)
{
	struct verbs_peer *peer = &v->peers[op->rank];

	switch (op->kind) {
	case OP_FETCH:
		if (!op->fetch)
			break;
		op->status = ok ? 0 : -EHOSTDOWN;
		cds_list_add_tail(&op->link, &v->done);
		return;
	case OP_PULL:
		if (!op->arrival || !ok)
			break;
		maintenance_device_wrote(&v->maintenance, MAINTENANCE_PULLED, op->buffer,
					 op->buffer_bytes);
		op->arrival->ready = true; /* it has the buffer until it is delivered */
		return;
	case OP_ATOMIC:
		if (!op->atomic)
			break;
		verbs_atomic_end(v, op, ok);
		return;
	case OP_TABLE:
		peer->asking = false;
		if (ok && peer->state == VERBS_UP)
			on_table(v, op);
		break;
	case OP_BEAT:
		peer->beating = false;
		break;
	default:
		break;
	}
	verbs_op_free(v, op);
}

static void on_error(struct transport_verbs *v, unsigned rank, const char *what,
		     const struct ibv_wc *wc)
{
	struct verbs_peer *peer = &v->peers[rank];
	char text[384];

	verbs_error_text(text, sizeof(text), wc, what);
	if (peer == verbs_self(v))
		verbs_end_self(v, text);
	else if (peer->state == VERBS_UP && !peer->broken)
		verbs_mark_broken(v, rank, "%s", text);
}

static void on_completion(struct transport_verbs *v, const struct ibv_wc *wc)
{
	struct verbs_op *op = (struct verbs_op *)(uintptr_t)(wc->wr_id & ~(uint64_t)VERBS_ID_MASK);
	struct verbs_peer *peer = &v->peers[op->rank];

	if (wc->status != IBV_WC_SUCCESS)
		on_error(v, op->rank, op_name(op), wc);
	if ((wc->wr_id & VERBS_ID_MASK) != VERBS_ID_LAST)
		return;
	peer->sends_free += op->nwr;
	if (peer != verbs_self(v))
		stir(v, op->rank);
	if (verbs_is_awaited(v, op))
		v->nawaited--;
	cds_list_del(&op->link);
	op_end(v, op, wc->status == IBV_WC_SUCCESS);
}

static void look_at(struct transport_verbs *v, const struct ibv_wc *wc, uint64_t now_ns)
{
	unsigned rank;

	if ((wc->wr_id & VERBS_ID_MASK) != VERBS_ID_RECEIVE) {
		rank = ((struct verbs_op *)(uintptr_t)(wc->wr_id & ~(uint64_t)VERBS_ID_MASK))->rank;
		if (wc->status == IBV_WC_SUCCESS)
			v->peers[rank].heard_ns = now_ns;
		on_completion(v, wc);
	} else if (wc->status == IBV_WC_SUCCESS) {
		v->peers[wc->wr_id >> 18].heard_ns = now_ns;
		on_receive(v, wc);
	} else if (wc->status != IBV_WC_WR_FLUSH_ERR) {
		on_error(v, (unsigned)(wc->wr_id >> 18), "a receive", wc);
	}
	/* One that is given back unused has its cause in an event or in an operation. */
}

unsigned verbs_reap(struct transport_verbs *v)
{
	struct ibv_wc wc[VERBS_COMPLETIONS];
	unsigned n = take(v, wc);
	uint64_t now_ns = n ? clock_ns() : 0;

	for (unsigned i = 0; i < n; i++)
		look_at(v, &wc[i], now_ns);
	return n;
}

/*
 * Sleep
 */

bool verbs_is_awaited(const struct transport_verbs *v, const struct verbs_op *op)
{
	/* Those on the own memory are waited for by polling. */
	return op->kind != OP_SEND && op->kind != OP_WRITE && op->kind != OP_PUSH &&
	       op->rank != v->p.size;
}

void verbs_note_awaited(struct transport_verbs *v)
{
	__atomic_store_n(&v->awaits, 1, __ATOMIC_RELEASE);
	if (!v->ended.armed || (!v->lent && !v->ended_in_fd))
		transport_unwatch(&v->base);
}

/* Once armed, a queue stays so until its event has been taken. */
static void arm(struct transport_verbs *v, struct verbs_queue *q)
{
	if (q->armed)
		return;
	q->armed = true;
	if (ibv_req_notify_cq(q->cq, 0)) {
		q->armed = false;
		log_error("RDMA device %s does not tell of completions", v->device.name);
	}
}

int verbs_watch(struct transport_verbs *v, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(v->base.fd, EPOLL_CTL_ADD, fd, &ev) ? errno : 0;
}

/* It is seldom that faults and threads that sleep take turns, so it stays as it was last. */
static void show_ends(struct transport_verbs *v, bool in_fd)
{
	int fd = v->ended.channel->fd;

	if (v->ended_in_fd == in_fd)
		return;
	if (in_fd ? verbs_watch(v, fd) : epoll_ctl(v->base.fd, EPOLL_CTL_DEL, fd, NULL))
		log_error("cannot watch the completions of RDMA device %s", v->device.name);
	else
		v->ended_in_fd = in_fd;
}

/* From now on what matters makes the descriptor readable. */
static void watch(struct transport_verbs *v)
{
	if (!verbs_has_queues(v))
		return;
	arm(v, &v->arrived);
	if (!v->awaits)
		return;
	arm(v, &v->ended);
	if (!v->lent)
		show_ends(v, true);
}

int verbs_lend(struct transport *t)
{
	struct transport_verbs *v = verbs_of(t);

	if (!verbs_has_queues(v) || !v->awaits)
		return -1;
	v->lent = true;
	show_ends(v, false);
	arm(v, &v->ended);
	return v->ended.channel->fd;
}

void verbs_take_back(struct transport *t)
{
	struct transport_verbs *v = verbs_of(t);

	v->lent = false;
	if (v->awaits)
		transport_unwatch(&v->base);
}

/* One only: if there are more, the channel stays readable. */
static bool take_event(struct verbs_queue *q)
{
	struct ibv_cq *cq;
	void *context;

	if (!q->armed || ibv_get_cq_event(q->channel, &cq, &context))
		return false;
	ibv_ack_cq_events(cq, 1);
	q->armed = false;
	return true;
}

static void look_at_descriptors(struct transport_verbs *v, uint64_t now_ns)
{
	bool ready = v->base.ready;
	struct epoll_event events[4];
	int n;

	v->base.ready = false;
	/* Mostly it is one of these, and then it need not be asked which. */
	if (ready && ((v->ended_in_fd && take_event(&v->ended)) || take_event(&v->arrived)))
		return;
	v->look_ns = now_ns + LOOK_NS;
	n = epoll_wait(v->base.fd, events, 4, 0);
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == v->arrived.channel->fd)
			(void)take_event(&v->arrived);
		else if (events[i].data.fd == v->ended.channel->fd)
			(void)take_event(&v->ended);
		else
			verbs_look_at_events(v);
	}
}

/* What is left over for the next poll() and is in no queue of the adapter, and what is to come. */
static void note_rest(struct transport_verbs *v)
{
	bool work = v->nbroken || !cds_list_empty(&v->done);

	rankset_for_each (r, &v->stirred)
		work = work || verbs_has_ready(&v->peers[r]);
	__atomic_store_n(&v->work, work, __ATOMIC_RELEASE);
	__atomic_store_n(&v->awaits, v->nawaited || !rankset_empty(&v->stirred), __ATOMIC_RELEASE);
}

int verbs_poll(struct transport *t, int budget)
{
	struct transport_verbs *v = verbs_of(t);
	uint64_t now_ns;
	int n;

	if (!verbs_has_queues(v))
		return 0;
	now_ns = clock_ns();
	if (v->base.end_ready)
		(void)take_event(&v->ended);
	v->base.end_ready = false;
	if (v->base.ready || now_ns >= v->look_ns)
		look_at_descriptors(v, now_ns);
	while (verbs_reap(v) == VERBS_COMPLETIONS)
		;
	n = verbs_tell_done(v);
	n += verbs_serve(v, budget);
	verbs_beat(v, now_ns);
	if (v->nbroken)
		n += verbs_end_broken(v);
	n += verbs_tell_done(v);
	note_rest(v);
	transport_unwatch(&v->base);
	return n;
}

void verbs_sleep(struct transport *t, bool asleep)
{
	struct transport_verbs *v = verbs_of(t);

	t->watching = asleep;
	if (asleep)
		watch(v);
}
