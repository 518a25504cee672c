/* SPDX-License-Identifier: MIT */
/*
 * Waiter: one thread that waits for one event of its rank.
 *
 * Lives on the waiting thread's stack. waiter_complete() is called with the node's lock held and is
 * the completer's last access to it.
 */
#ifndef DSM_WAITER_H
#define DSM_WAITER_H

#include <stdbool.h>
#include <stdint.h>

struct dsm;

struct waiter {
	uint32_t done; /* futex: 0 waiting, 1 done, 2 waiting asleep, 3 asleep on fd */
	int result; /* valid once done */
	int fd; /* an eventfd */
};

#define WAITER_INIT                                                                                \
	{                                                                                          \
		0, 0, -1                                                                           \
	}

static inline bool waiter_is_done(const struct waiter *w)
{
	/* Acquire: pairs with the exchange in waiter_complete(). */
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE) == 1;
}

/* Set the result and wake the thread. */
void waiter_complete(struct waiter *w, int result);

/*
 * Wait until completed, driving the node's progress while spinning, then asleep. The node's lock is
 * held, let go meanwhile, and held again. Returns 0 (see w->result) or -ETIMEDOUT at deadline_ns
 * (clock_ns() scale; 0: now): then it is not completed, and the caller withdraws it.
 */
int waiter_wait(struct dsm *d, struct waiter *w, uint64_t deadline_ns);

/* Drive the node's progress while *word is value, until until_ns. The lock as above. */
void waiter_poll(struct dsm *d, const uint32_t *word, uint32_t value, uint64_t until_ns);

#endif
