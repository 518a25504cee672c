/* SPDX-License-Identifier: MIT */
/*
 * See waiter.h. A waiting thread first polls for messages itself, for the node's spin time: on a
 * fast transport the answer is there before a sleeping agent could be woken. Then it sleeps, and
 * the agent takes over, with one exception: if operations are under way whose end nothing but the
 * adapter's event tells, and the agent sleeps, then one thread sleeps on that event itself. To have
 * the agent woken by it, and then the thread by the agent, would cost two switches more.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "node.h"

enum { WAITING, DONE, ASLEEP, ASLEEP_ON_FD };

void waiter_complete(struct waiter *w, int result)
{
	uint64_t one = 1;
	int fd = w->fd;
	ssize_t n;

	w->result = result;
	/* Release: pairs with the acquire in waiter_is_done(); after it w may be gone. A futex wake
	 * on an address that is gone wakes nobody, or somebody who checks again. */
	switch (__atomic_exchange_n(&w->done, DONE, __ATOMIC_ACQ_REL)) {
	case ASLEEP:
		syscall(SYS_futex, &w->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		break;
	case ASLEEP_ON_FD:
		n = write(fd, &one, sizeof(one));
		(void)n;
		break;
	default:
		break;
	}
}

static void spin(struct dsm *d, const uint32_t *word, uint32_t value, uint64_t until_ns)
{
	for (unsigned i = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) == value; i++) {
		if (d->transport->ops->pending(d->transport)) {
			if (pthread_mutex_trylock(&d->lock) == 0) {
				agent_poll(d);
				node_unlock(d);
			}
			continue;
		}
		if (d->crowded)
			sched_yield();
		else
			spin_hint();
		if (i % 16 == 0 && clock_ns() >= until_ns)
			return;
	}
}

void waiter_poll(struct dsm *d, const uint32_t *word, uint32_t value, uint64_t until_ns)
{
	/* While somebody polls, senders need not wake the agent. */
	if (d->pollers++ == 0 && d->agent_asleep)
		d->transport->ops->sleep(d->transport, false);
	node_unlock(d);
	spin(d, word, value, until_ns);
	node_lock(d);
	if (--d->pollers || !d->agent_asleep)
		return;
	/* What is here already need not wake it either. */
	while (d->transport->ops->pending(d->transport))
		agent_poll(d);
}

/* Lock held, let go meanwhile: sleep until an own operation ends, the waiter is done, or the
 * deadline. What has ended is left to be polled for. */
static void sleep_on(struct dsm *d, int ends_fd, struct waiter *w, uint64_t left_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(left_ns / 1000000000u),
			       .tv_nsec = (long)(left_ns % 1000000000u) };
	struct pollfd p[2] = { { .fd = ends_fd, .events = POLLIN },
			       { .fd = d->ends_fd, .events = POLLIN } };
	uint64_t count;
	ssize_t n;

	w->fd = d->ends_fd;
	__atomic_store_n(&w->done, ASLEEP_ON_FD, __ATOMIC_RELAXED);
	node_unlock(d);
	if (ppoll(p, 2, &ts, NULL) <= 0)
		p[0].revents = p[1].revents = 0;
	node_lock(d);
	d->transport->end_ready |= p[0].revents != 0;
	if (waiter_is_done(w)) {
		n = read(d->ends_fd, &count, sizeof(count));
		(void)n;
		return;
	}
	__atomic_store_n(&w->done, WAITING, __ATOMIC_RELAXED);
}

/* Lock held, let go meanwhile: wait as long as this rank's own operations may bring what is waited
 * for, and the agent sleeps. */
static void sleep_for_ends(struct dsm *d, struct waiter *w, uint64_t deadline_ns)
{
	const struct transport_ops *ops = d->transport->ops;
	uint64_t now;
	int fd;

	if (!ops->lend || d->ends_lent)
		return;
	d->ends_lent = true;
	while (!waiter_is_done(w) && d->agent_asleep && (now = clock_ns()) < deadline_ns) {
		fd = ops->lend(d->transport);
		if (fd < 0)
			break;
		if (!ops->pending(d->transport))
			sleep_on(d, fd, w, deadline_ns - now);
		agent_poll(d);
	}
	d->ends_lent = false;
	ops->take_back(d->transport);
}

/* Sleep until done, or the deadline. */
static void sleep_until_done(struct waiter *w, uint64_t deadline_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000u),
			       .tv_nsec = (long)(deadline_ns % 1000000000u) };
	uint32_t waiting = WAITING;

	__atomic_compare_exchange_n(&w->done, &waiting, ASLEEP, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_ACQUIRE);
	while (!waiter_is_done(w)) {
		/* FUTEX_WAIT_BITSET takes an absolute time on the monotonic clock. */
		if (syscall(SYS_futex, &w->done, FUTEX_WAIT_BITSET_PRIVATE, ASLEEP, &ts, NULL,
			    FUTEX_BITSET_MATCH_ANY) < 0 &&
		    errno == ETIMEDOUT)
			return;
	}
}

int waiter_wait(struct dsm *d, struct waiter *w, uint64_t deadline_ns)
{
	uint64_t now, until;

	if (waiter_is_done(w))
		return 0;
	now = clock_ns();
	until = now + d->spin_ns;
	if (until > deadline_ns)
		until = deadline_ns;
	if (until > now && d->size > 1)
		waiter_poll(d, &w->done, WAITING, until);
	if (!waiter_is_done(w))
		sleep_for_ends(d, w, deadline_ns);
	if (!waiter_is_done(w)) {
		node_unlock(d);
		sleep_until_done(w, deadline_ns);
		node_lock(d);
	}
	return waiter_is_done(w) ? 0 : -ETIMEDOUT;
}
