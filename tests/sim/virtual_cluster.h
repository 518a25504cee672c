/* SPDX-License-Identifier: MIT */
/*
 * A cluster without machines: N ranks, each a struct protocol, in one thread and under one random
 * (or hand-made) schedule.
 *
 * What moves between ranks is a queue a pair, in order: messages, and the one-sided writes before
 * them. A read chain is a list of steps (register, grant, data, for each page in turn) that run one
 * by one at any time. The application mapping is a word of access a granule, the frames are the
 * alias memory.
 *
 * Concurrency is real in one respect: wherever a rank's protocol calls out, and at each atomic that
 * its directory does on the words that others read, other ranks' events and any rank's mapped
 * accesses may run in between (cluster_preempt).
 *
 * The oracle: a word has one value, that of the last store; see virtual_check.c for what is checked
 * after every event.
 */
#ifndef DSM_VIRTUAL_CLUSTER_H
#define DSM_VIRTUAL_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "virtual_node.h"

/* Words of a page that the oracle follows: even ones in its first granule, odd ones in its last. */
#define CLUSTER_WORDS      4u
#define CLUSTER_PAGES_MAX  16u
#define CLUSTER_BLOCKS_MAX 4u
/* Of readers, a page. */
#define CLUSTER_WORDS_MAX 8u

enum cluster_mode {
	CLUSTER_SHM, /* one-sided operations are done at once, in the caller; no copy on the way */
	CLUSTER_RDMA, /* they take their time, and data lands in slots */
};

/* What a schedule lets wait, mostly: uniform choice alone seldom makes things overtake far. */
enum cluster_slow { SLOW_NOTHING, SLOW_CHAINS, SLOW_SENDER, SLOW_RECEIVER, SLOW_APP, SLOW_KINDS };

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE, ACCESS_POISONED };

struct granule {
	uint8_t access; /* enum access, of the application mapping */
	uint8_t frame;
	int err; /* what ops->fail() said last */
	unsigned fails;
	unsigned fault_wakes; /* times that a thread which waits in a fault was woken */
	unsigned call_wakes; /* times that a call which waits was */
};

enum item_kind { ITEM_MSG, ITEM_WRITE, ITEM_PUSH, ITEM_DOWN };

struct item {
	struct cds_list_head link;
	enum item_kind kind;
	struct msg msg;
	uint64_t page;
	size_t len_bytes;
	uint8_t data[];
};

/* A read chain under way. */
struct chain {
	struct cds_list_head link;
	unsigned rank;
	struct transport_fetch *fetch;
	unsigned step; /* of 3 * fetch->n; all done: complete */
	int status;
	uint8_t *landing;
};

struct cluster;

struct vrank {
	struct cluster *cluster;
	unsigned rank;
	struct virtual_node node;
	struct space space;
	struct rankset adapters; /* who does atomics on its memory by adapter: some */
	struct block blocks[CLUSTER_BLOCKS_MAX];
	struct granule *granules;
	uint8_t *slots; /* where pushed pages land */
	bool dead;
	bool busy; /* an event is under way: its lock is taken */
	uint64_t paused_until; /* event; its processor does nothing before */
};

/* A call that waits for a lock or a barrier. */
struct call {
	struct sync_wait wait;
	bool done;
};

/* What is checked beside what cannot be done at all; see virtual_check.c. */
enum { CHECK_STATES = 1, CHECK_VALUES = 2, CHECK_ALL = 3 };

/* Random choices, as they were made or to be made again; behind the last, each is 0. */
struct decisions {
	uint32_t *value;
	size_t n;
	size_t room; /* what does not fit is counted in n and forgotten */
};

struct cluster {
	unsigned n;
	unsigned nblocks;
	enum cluster_mode mode;
	bool no_chains; /* chains end -EAGAIN: nothing is to be had one-sidedly */
	struct vrank *rank;
	struct cds_list_head *queue; /* of n * n: from * n + to */
	struct cds_list_head chains;
	uint64_t page[CLUSTER_PAGES_MAX]; /* those that are used, and checked */
	unsigned npages;
	uint64_t truth[CLUSTER_PAGES_MAX][CLUSTER_WORDS];
	uint64_t next_value;

	uint64_t seed;
	uint64_t random;
	const struct decisions *replay; /* instead of random ones, or NULL */
	struct decisions *record; /* or NULL */
	size_t ndecisions;
	uint64_t events;
	uint64_t events_max;
	uint64_t messages;
	unsigned checks;
	unsigned depth;
	unsigned deaths;
	enum cluster_slow slow;
	unsigned slow_rank; /* of SLOW_SENDER, SLOW_RECEIVER */
	unsigned preempt_percent;
	unsigned map_fail_percent;
	bool trace;

	/* The application: threads 0 to nthreads - 1, each ready to go on or not. */
	void *app;
	unsigned nthreads;
	bool (*app_ready)(void *app, unsigned thread);
	void (*app_run)(void *app, unsigned thread);
	bool (*settled)(void *app, unsigned rank, uint64_t page);
	uint64_t tick; /* of the coarse clock; stands still unless a test moves it */
};

/* @cache_granules: the budget of each rank. Home of block b: rank b mod n; see cluster_block(). */
struct cluster *cluster_create(unsigned n, unsigned nblocks, enum cluster_mode mode,
			       uint64_t cache_granules, uint64_t seed);
void cluster_destroy(struct cluster *c);
/* Set a block's home and page size in all ranks, before anything happens. */
void cluster_block(struct cluster *c, unsigned block, unsigned home, unsigned page_shift);
/* So many ranks share a counter of readers (0: none), before anything happens. */
void cluster_group(struct cluster *c, unsigned ranks);
/* Use a page: the oracle follows it. Returns it. */
uint64_t cluster_page(struct cluster *c, unsigned block, unsigned index);

static inline struct protocol *cluster_rank(struct cluster *c, unsigned rank)
{
	return &c->rank[rank].node.protocol;
}

static inline struct page *cluster_state(struct cluster *c, unsigned rank, uint64_t page)
{
	return &c->rank[rank].node.protocol.pages[page];
}

/* The schedule's next decision; 0 is always the plainest one: the first that is possible, or no. */
uint64_t cluster_random(struct cluster *c, uint64_t below);
bool cluster_chance(struct cluster *c, unsigned percent);

/* Can a rank's processor take up something now: alive, not in an event, not paused? */
bool cluster_can_run(const struct cluster *c, unsigned rank);
/* A line of the trace, if there is to be one. */
void cluster_trace(struct cluster *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An event of a rank begins, ends: no other event of it may come in between. */
void cluster_enter(struct cluster *c, unsigned rank);
void cluster_leave(struct cluster *c, unsigned rank);

/* Run one event that can happen now, at random; false: there is none until time goes on. */
bool cluster_step(struct cluster *c);
/* Run until nothing is left. Fails the test if that does not end. */
void cluster_run(struct cluster *c);
/* Let other ranks, or other threads' mapped accesses, go on now. */
void cluster_preempt(struct cluster *c);

/* By hand: take the next message from one rank to another, with the writes before it. Returns its
 * kind, MSG_NONE if there is none. */
unsigned cluster_deliver(struct cluster *c, unsigned from, unsigned to);
/* As above; fails the test if it is of another kind. */
void cluster_expect(struct cluster *c, unsigned from, unsigned to, unsigned kind);
unsigned cluster_queued(struct cluster *c, unsigned from, unsigned to);
/* By hand: the next step of a rank's oldest chain; false: it is complete, or there is none. */
bool cluster_chain_step(struct cluster *c, unsigned rank);
/* By hand: tell a rank that its oldest chain is complete (running the steps that are left). */
void cluster_chain_finish(struct cluster *c, unsigned rank);
bool cluster_has_chain(struct cluster *c, unsigned rank);

/* A rank dies: of what it has sent to each other rank some prefix arrives. @drain: all of it. */
void cluster_kill(struct cluster *c, unsigned rank, bool drain);
/* The kernel takes a mapping away. */
void cluster_reclaim(struct cluster *c, unsigned rank, uint64_t granule);

/* Mapped accesses: false if the mapping does not let them through. A load checks its value. A store
 * stores one that was never stored before. */
bool cluster_load(struct cluster *c, unsigned rank, uint64_t page, unsigned word);
bool cluster_store(struct cluster *c, unsigned rank, uint64_t page, unsigned word);
bool cluster_load_value(struct cluster *c, unsigned rank, uint64_t page, unsigned word,
			uint64_t *value);
bool cluster_store_value(struct cluster *c, unsigned rank, uint64_t page, unsigned word,
			 uint64_t value);
uint64_t cluster_new_value(struct cluster *c);
/* Remote atomics; the page must be open for them at this rank. They return the value before. */
uint64_t cluster_add(struct cluster *c, unsigned rank, uint64_t page, unsigned word);
uint64_t cluster_swap(struct cluster *c, unsigned rank, uint64_t page, unsigned word,
		      uint64_t expected, uint64_t desired);
struct granule *cluster_granule(struct cluster *c, unsigned rank, uint64_t page, unsigned word);

/*
 * virtual_check.c
 */
/* The oracle's value of a page's word. */
uint64_t *cluster_truth(struct cluster *c, uint64_t page, unsigned word);
/* The word in a rank's own segment. */
uint64_t *cluster_word(struct cluster *c, unsigned rank, uint64_t page, unsigned word);
/* All that must be true between events. */
void cluster_check(struct cluster *c);
/* All that must be true when nothing is left to happen. */
void cluster_check_quiet(struct cluster *c);
/* The fetch-add of a chain is about to be done: it must not carry. */
void cluster_check_add(struct cluster *c, unsigned rank, uint64_t page);
/* Print the state of every page at every rank, and what is under way. */
void cluster_show(struct cluster *c);
_Noreturn void cluster_fail(struct cluster *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Defined by the program: what went wrong, which ends the test. */
_Noreturn void cluster_failed(struct cluster *c, const char *text);

#endif
