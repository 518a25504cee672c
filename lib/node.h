/* SPDX-License-Identifier: MIT */
/*
 * The node: this process as a rank. Ties the parts together: launch, space, pager, transport,
 * protocol, regions, synchronisation.
 *
 * Threads: the agent serves faults, messages and timers; application threads enter by the public
 * calls and, while they wait, serve messages themselves. One lock, dsm->lock, guards everything
 * below it; there is no other lock. Nobody holds it across a wait. Under it nobody touches the
 * application mapping or memory that a caller handed in (which may lie there), takes a lock of the
 * application's, calls stdio or malloc (the agent), or blocks on another rank. So a thread that
 * serves its own fault (fault_inline.c) can take it wherever its access was.
 */
#ifndef DSM_NODE_H
#define DSM_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "config.h"
#include "fault.h"
#include "follow.h"
#include "launch.h"
#include "pager.h"
#include "pool.h"
#include "protocol.h"
#include "region.h"
#include "space.h"
#include "stats.h"
#include "sync.h"
#include "transport.h"
#include "waiter.h"

#define PAGE_WAIT_BUCKETS 256u

/* A thread in a call that waits for a page, or for a block's home (page: the block's first). */
struct page_wait {
	struct cds_list_head link;
	uint64_t page;
	unsigned blame; /* rank that a failure is about */
	struct waiter waiter;
};

/* See node_look() and node_copy(). */
struct node_look {
	struct transport_fetch fetch;
	void *to; /* where the data goes, or NULL */
	struct waiter waiter;
	struct pool *pool;
	bool abandoned; /* nobody waits for it any more: done() gives it back */
};

struct contention_parts;

struct dsm {
	struct settings settings;
	unsigned rank;
	unsigned size;
	struct launch *launch;
	struct space space;
	bool has_space;
	struct pager *pager;
	struct transport *transport;

	pthread_mutex_t lock;
	struct protocol protocol;
	struct block *blocks;
	struct regions regions;
	struct sync *sync;
	struct stats stats;
	struct faults faults;
	struct cds_list_head page_waits[PAGE_WAIT_BUCKETS];
	uint64_t npage_waits;
	struct cds_list_head acquired; /* ranges, see access.c */
	struct cds_list_head local; /* messages to the own rank */
	struct pool local_pool;
	struct pool look_pool; /* looks at a home's directory, node_look() */
	struct cds_list_head atomics; /* remote atomics that wait for an answer */
	struct cds_list_head posted; /* those that an adapter has */
	struct pool posted_pool;
	uint64_t next_atomic;
	bool running_local;
	struct rankset down;
	struct rankset blamed; /* ranks whose loss of pages has been logged */
	unsigned first_down; /* the first rank that died, or WIRE_NO_RANK */
	uint16_t left_for[RANKS_MAX]; /* of a rank that said MSG_LEFT: on whose account, or itself;
				       * WIRE_NO_RANK: it has not */
	bool leaving; /* dsm_fini() has begun */
	enum stats_kind sum_stats; /* what rank 0 wants of everybody at the end */
	struct contention *contention; /* NULL: no notes are taken */
	struct contention_parts *contention_parts; /* at rank 0: the others' */
	struct stats *parts; /* at rank 0: what the others sent, by rank */
	unsigned parts_complete;
	struct rankset parts_of; /* whose are complete */
	struct waiter *parts_waiter;

	/* the agent */
	pthread_t agent;
	bool agent_started;
	bool stop;
	bool agent_asleep;
	unsigned pollers; /* threads that poll messages while they wait */
	bool ends_lent; /* a thread sleeps for the end of own operations itself: waiter.c */
	int ends_fd; /* eventfd: what it waits for has come by another way */
	uint64_t spin_ns; /* how long to poll before sleeping */
	bool pages_wanted; /* others have wanted pages since the agent last looked */
	uint64_t poll_until_ns; /* until then work is likely to come: see agent.c */
	uint64_t wanted_until_ns; /* until then others are likely to want pages */
	struct follow follow; /* the agent's */
	uint64_t backoff_ns; /* the agent's: see agent.c */
	uint64_t no_poll_until_ns;
	bool lock_moved; /* a lock has come here from another rank */
	bool crowded; /* more threads than processors here: yield while polling */
	int epoll_fd;
	int wake_fd; /* eventfd: stop, or work queued by another thread */
};

/* Names a page or lock in error texts. */
static inline void *node_addr(const struct dsm *d, uint64_t granule)
{
	return d->space.base + (granule << GRANULE_SHIFT);
}

/* How much of the cache a stream or an acquire may ask for ahead of need. */
#define AHEAD_SHARE 8u

/* At most n pages of so many granules each, so that what is asked for ahead does not push out what
 * is in use: pages can be large and the cache small. */
static inline uint64_t node_ahead_max(const struct dsm *d, uint64_t n, uint64_t each)
{
	uint64_t share = d->protocol.frames_max / AHEAD_SHARE / each;

	return n < share ? n : share;
}

static inline void node_lock(struct dsm *d)
{
	pthread_mutex_lock(&d->lock);
}

/* Lock held, the agent asleep: have it woken by what matters from now on. For node_unlock(). */
void agent_heed(struct dsm *d);

/*
 * Whoever lets go of the lock leaves nothing behind that nobody would notice: while the agent
 * sleeps and no thread polls, what comes, and the end of what was started, wakes the agent. So a
 * call may start what it likes, and none needs to be told of until it lets go: a thread that polls
 * for its own operations, as most do, has the agent sleep on.
 */
static inline void node_unlock(struct dsm *d)
{
	if (d->agent_asleep && !d->pollers && !d->transport->watching)
		agent_heed(d);
	pthread_mutex_unlock(&d->lock);
}

/* What all parts share: the lock, lists and pools. */
void node_init(struct dsm *d);
void node_fini(struct dsm *d);

extern const struct protocol_ops node_protocol_ops;
extern const struct transport_handler node_handler;

/* Send a message to any rank; to the own one it is queued for node_run_local(). */
void node_send(struct dsm *d, unsigned rank, const struct msg *m);
/* Deliver messages to the own rank: at the end of every event. */
void node_run_local(struct dsm *d);
/* What has become of a rank that is down: "rank 2 has died", or "rank 1 has left, since rank 2 has
 * died". Any thread. */
struct fate {
	char text[80];
};
struct fate node_fate(const struct dsm *d, unsigned rank);
/* On whose account a rank is gone: a rank that has left names another, who died. Any thread. */
unsigned node_cause(const struct dsm *d, unsigned rank);
/* The transport's upcall: handle one message; ctx is the struct dsm. */
void node_message(void *ctx, const struct msg *m);

/* The calling thread's id: what struct hold knows it by. */
uint64_t node_tid(void);

/* The processor's hint that this is a spin loop. */
static inline void spin_hint(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* The deadline, on clock_ns()'s scale, of a wait of timeout_ms (DSM_FOREVER: fallback_ms). */
uint64_t node_deadline(int timeout_ms, uint64_t fallback_ms);

/* Start to bring the pages from page up to end, a granule, here: in one go what can be had so, by a
 * message each what others have. What is here or on its way is left alone. Lock held. */
void node_want(struct dsm *d, uint64_t page, uint64_t end, bool write);

/* Wait for a page's next change of state. Lock held, let go meanwhile, held again.
 * 0, -ETIMEDOUT, or what ops->fail() said; *blame is then the rank. */
int node_wait_page(struct dsm *d, uint64_t page, uint64_t deadline_ns, unsigned *blame);
/* The same in two steps, for what may answer, or fail, before the asking returns: begin, ask, then
 * end or cancel. w->blame is the rank. */
void node_wait_begin(struct dsm *d, struct page_wait *w, uint64_t page);
int node_wait_end(struct dsm *d, struct page_wait *w, uint64_t deadline_ns);
void node_wait_cancel(struct dsm *d, struct page_wait *w);

/* Let those look again who wait for this page or block. */
void node_page_changed(struct dsm *d, uint64_t page, int result, unsigned blame);

/* The grants word of a page, looked up in its home's directory from here. Lock held, let go
 * meanwhile. -EHOSTDOWN, -EAGAIN: it cannot be reached. -ETIMEDOUT: not within a moment. */
int node_look(struct dsm *d, uint64_t page, uint64_t *grant);
/* Copy n pages of one block, at most TRANSPORT_FETCH_MAX, out of the memory of their home, which
 * this rank's loads do not reach, if they are Clean there all the while (R11). @to: memory of the
 * library's own. Lock held, let go meanwhile. -EAGAIN: they are not, or cannot be reached so;
 * -EHOSTDOWN, -ETIMEDOUT, -ENOMEM. */
int node_copy(struct dsm *d, uint64_t page, unsigned n, void *to);

/* A block's home has become known: faults that were parked for it go on. */
void region_home_known(struct dsm *d, uint64_t block);

/* access.c: free what dsm_acquire() has noted, at the end. */
void access_forget(struct dsm *d);

/* sync_api.c: the state machines' upcall, and the last barrier. */
void sync_call_done(void *env, struct sync_wait *w);
int sync_leave(struct dsm *dsm, unsigned *blame);

/* agent.c: init comes first, whatever fails later; stop undoes init and start, also one that
 * failed. */
void agent_init(struct dsm *d);
int agent_start(struct dsm *d);
void agent_stop(struct dsm *d);
/* Wake the agent if it sleeps: there is work that it does not see. Nothing to do in the agent. */
void agent_kick(struct dsm *d);
/* Is polling worth the while, or does somebody else want the agent's processor? Any thread. */
bool agent_may_poll(const struct dsm *d, uint64_t now_ns);
/* Serve what has arrived, if anything; lock held. */
int agent_poll(struct dsm *d);

#endif
