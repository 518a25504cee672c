/* SPDX-License-Identifier: MIT */
/*
 * The coherence protocol of one rank: cache side (cache.c) and home side (directory.c).
 *
 * A pure state machine. Events come in as calls (an access that misses, a message, a one-sided
 * chain that completed, a release, a death); actions go out through struct protocol_ops. It knows
 * no verbs, userfaultfd, threads or clock, so the same object runs in the library, in unit tests
 * and in a simulator. Not thread-safe: the node's lock. No call blocks.
 *
 * States of a page at a rank: Invalid, Shared, Modified; and Atomic, a second shared state: the
 * rank may do remote atomics on the home's memory but has no copy. At the home: see enum
 * grant_state. The rules R1 to R10 that the code cites are stated in docs/protocol.md.
 */
#ifndef DSM_PROTOCOL_H
#define DSM_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "contention.h"
#include "hold.h"
#include "pool.h"
#include "rankset.h"
#include "space.h"
#include "stats.h"
#include "transport.h"
#include "wire.h"

/* A block's place: who has it, and the unit of coherence in it. */
struct block {
	uint16_t home; /* WIRE_NO_RANK: not (yet) known */
	uint16_t granules; /* of it that are part of a region; 0: it is not in use */
	uint8_t page_shift; /* a page is 2^page_shift granules */
	uint8_t looked_at; /* others look here (MSG_LOOKS); elsewhere: the home has been told */
	uint32_t region; /* index in the node's region table */
};

enum page_state { PAGE_INVALID, PAGE_SHARED, PAGE_MODIFIED, PAGE_ATOMIC };

/* What a rank waits for on a page. */
enum page_pending { PEND_NONE, PEND_CHAIN, PEND_GETS, PEND_GETM, PEND_GETA };

/* A recall that waits for a hold to end. */
enum page_deferred { DEFER_NONE, DEFER_INV, DEFER_FWD_GETS, DEFER_FWD_GETM };

/* The cache side's word for a page: all that a rank keeps about it. Zero: never touched. */
struct page {
	uint32_t state : 2; /* enum page_state */
	uint32_t pending : 3; /* enum page_pending */
	uint32_t deferred : 2; /* enum page_deferred */
	uint32_t registered : 1; /* own bit is in the home's readers word */
	uint32_t poisoned : 1; /* an Inv came while the chain was in flight (R4) */
	uint32_t frame : 1; /* own segment has a frame for it */
	uint32_t queued : 1; /* in the eviction queue */
	uint32_t fresh : 1; /* granted to a thread that may not have had its access */
	uint32_t retrying : 1; /* in the list of recalls that wait for a fresh page to settle */
	uint32_t lost : 1; /* cannot be had any more: home or owner died */
	uint32_t demanded : 1; /* somebody waits for what is pending */
	uint32_t unconfirmed : 1; /* registered by an own PutM that the home may not have seen */
	uint32_t recalled : 4; /* when it was recalled last: 1 + tick % TICKS; 0: never */
	uint32_t hold_awaited : 1; /* hold.c: somebody waits for a hold to end */
	uint32_t write_awaited : 1; /* hold.c: and that to write */
	uint32_t adapter : 1; /* Atomic: by the home's adapter, not by processors */
	uint32_t blame : 9; /* if lost: the rank that died with it; else, of an own page: releases
			     * that nobody has read since, see cache_recall.c */
	uint16_t readers_holding; /* dsm_acquire(DSM_READ) holds */
	uint16_t writers_holding; /* dsm_acquire(DSM_WRITE) holds */
};
_Static_assert(sizeof(struct page) == 8, "one word a page");

struct protocol;

struct protocol_ops {
	/* Ordered per rank; never the own rank. */
	void (*send)(void *env, unsigned rank, const struct msg *m);
	/* One-sided read chain; 0: complete, 1: protocol_fetched() will be called, -errno: nothing
	 * took place, unless -EHOSTDOWN; -EAGAIN: the home is to be asked by message. The
	 * environment sets f->done. */
	int (*fetch)(void *env, struct transport_fetch *f);
	/* Write an own page into its home's memory, ordered before later messages to it. */
	void (*write_home)(void *env, unsigned home, uint64_t page, unsigned granules);
	/* As home: bring a page to where rank finds it (pushed()), before later messages to it. */
	void (*push)(void *env, unsigned rank, uint64_t page, unsigned granules);
	/* Where the data lies that the home pushed behind a grant; NULL: none, or less. */
	const uint8_t *(*pushed)(void *env, unsigned home, uint64_t page, unsigned granules);

	/* The application mapping, see struct pager_ops. */
	int (*map)(void *env, uint64_t granule, uint64_t n, bool writable, const void *src,
		   bool frames);
	int (*allow_write)(void *env, uint64_t granule, uint64_t n);
	int (*forbid_write)(void *env, uint64_t granule, uint64_t n);
	int (*zap)(void *env, uint64_t granule, uint64_t n);
	int (*drop)(void *env, uint64_t granule, uint64_t n);

	/* The page (of a faulting thread or a waiting call) has changed state: look again. */
	void (*wake)(void *env, uint64_t page);
	/* The page cannot be had: err is a positive errno, blame the rank that it is about. */
	void (*fail)(void *env, uint64_t page, int err, unsigned blame);
	/* Have the threads that the page was granted to had their access? If not, protocol_retry()
	 * asks again: Mirage's time window (Fleisch, Popek 1989), measured on the thread. */
	bool (*settled)(void *env, uint64_t page);
	/* A hold of the page has ended that a thread waits for (hold.h): it is to look again. */
	void (*hold_ended)(void *env, uint64_t page);
	/* A coarse clock of TICK_NS: nothing but "a moment ago?" is asked of it. */
	uint64_t (*tick)(void *env);
};

#define TICK_NS (1u << 20)
#define TICKS   15u /* told apart */

#define TXN_BUCKETS 1024u

/* Grants or refusals of neighbouring pages, which go to a rank as one message: directory.c. */
struct answers {
	struct msg msg; /* about the first */
	unsigned rank;
	unsigned n; /* 0: none */
	bool gather; /* until the event is over */
};

struct protocol {
	const struct protocol_ops *ops;
	void *env;
	unsigned rank;
	unsigned size;
	struct stats *stats;
	struct contention *contention; /* NULL: no notes are taken */
	const struct space *space;
	struct block *blocks; /* by granule / GRANULES_PER_BLOCK */
	struct page *pages; /* by granule */
	struct rankset down;

	/* cache side */
	uint64_t *evict_queue; /* ring of pages with frames, oldest first */
	uint64_t evict_head;
	uint64_t evict_tail;
	uint64_t frames; /* granules of other ranks' pages in own segment */
	uint64_t due; /* granules that are asked for and will need frames */
	uint64_t frames_max;
	uint64_t prefetch_max;
	uint64_t refused; /* pages asked for ahead of a stream of stores, which others have */
	struct cds_list_head retries; /* recalls of fresh pages */
	struct cds_list_head holds; /* struct hold */
	bool holds_want; /* a holding thread waits to write what it holds for reading */

	/* home side */
	struct cds_list_head txns[TXN_BUCKETS];
	struct pool txn_pool;
	struct pool request_pool;
	struct answers answers;

	/* messages to the own rank, delivered after the current event */
	struct cds_list_head local;
	struct pool local_pool;
	bool running_local;
	struct pool retry_pool;
	struct pool fetch_pool;
};

/* -ENOMEM. @blocks is the node's table. */
int protocol_init(struct protocol *p, const struct protocol_ops *ops, void *env, unsigned rank,
		  unsigned size, const struct space *space, struct block *blocks,
		  struct stats *stats, uint64_t cache_bytes);
void protocol_fini(struct protocol *p);

/* The page that a granule belongs to, its length in granules, its home. */
static inline struct block *protocol_block(const struct protocol *p, uint64_t granule)
{
	return &p->blocks[granule / GRANULES_PER_BLOCK];
}

/* Is the granule part of a region? Of a region's last block some may not be. */
static inline bool protocol_in_region(const struct protocol *p, uint64_t granule)
{
	return granule % GRANULES_PER_BLOCK < protocol_block(p, granule)->granules;
}

static inline uint64_t protocol_page(const struct protocol *p, uint64_t granule)
{
	return granule & ~((1ull << protocol_block(p, granule)->page_shift) - 1);
}

static inline unsigned protocol_granules(const struct protocol *p, uint64_t page)
{
	return 1u << protocol_block(p, page)->page_shift;
}

static inline unsigned protocol_home(const struct protocol *p, uint64_t page)
{
	return protocol_block(p, page)->home;
}

/*
 * Want a page readable, writable, or open for remote atomics. Nothing happens if it is, or if it is
 * being fetched; else the miss starts. ops->wake() or ops->fail() tell when to look again; they may
 * be called before this returns.
 * @ahead: so many pages behind it, in the same block, are fetched too if that disturbs nobody.
 * @fault: a faulting thread waits: it is woken even if the page is here already, and the page is
 * fresh when it comes.
 */
void cache_read(struct protocol *p, uint64_t page, unsigned ahead, bool fault);
void cache_write(struct protocol *p, uint64_t page, unsigned ahead, bool fault);
/* The same for pages of one block, as many of `most` as one request can ask for, whoever has them;
 * at least the first. */
void cache_write_run(struct protocol *p, uint64_t page, unsigned most);
void cache_atomic(struct protocol *p, uint64_t page);
/* Remote atomics by adapter were granted, and the adapter does none: cache_atomic() asks anew. */
void cache_atomic_again(struct protocol *p, uint64_t page);

/* Was the page recalled from here a moment ago (or, once in a while, longer ago)? Then it is likely
 * to be recalled again soon. */
bool cache_contended(const struct protocol *p, uint64_t page);

/* Is the page readable (or better), writable, open for remote atomics? */
bool cache_can_read(const struct protocol *p, uint64_t page);
bool cache_can_write(const struct protocol *p, uint64_t page);
bool cache_can_atomic(const struct protocol *p, uint64_t page);

/* Hold a page that can be read (written); recalls wait until the last hold ends, unless this rank
 * waits for more than it has: who holds and who asks is hold.c's to decide. -EOVERFLOW. */
int cache_hold(struct protocol *p, uint64_t page, bool write);
/* End a hold of n pages of one block. @push: those that were written go home and stay here Shared.
 */
void cache_unhold(struct protocol *p, uint64_t page, unsigned n, bool write, bool push);

/* This rank has looked at a page in its home's memory (snapshot.h). */
void cache_looked(struct protocol *p, uint64_t page);

/* Can granules more frames be had without giving up a held page? Evicts what is needed, also for
 * what is due. */
bool cache_make_room(struct protocol *p, uint64_t granules);

/* A chain that ops->fetch() had not completed is complete; status: 0 or -errno. */
void protocol_fetched(struct protocol *p, struct transport_fetch *f, int status);
/* A coherence message came. One that makes no sense is logged and ignored. */
void protocol_message(struct protocol *p, const struct msg *m);
/* Ask again whether fresh pages have settled; true while some have not. */
bool protocol_retry(struct protocol *p);
/* A rank died. */
void protocol_rank_down(struct protocol *p, unsigned rank);

/* Does this rank wait for an answer about any page of these blocks? */
bool protocol_busy(const struct protocol *p, uint64_t first_block, uint64_t nblocks);
/* Forget all about these blocks; nobody uses them any more. */
void protocol_forget(struct protocol *p, uint64_t first_block, uint64_t nblocks);

/*
 * Between cache.c, directory.c and protocol.c
 */

/* Send, to the own rank too. */
void protocol_send(struct protocol *p, unsigned rank, const struct msg *m);
/* A message about a page with kind and flags and nothing else. */
void protocol_tell(struct protocol *p, unsigned rank, enum msg_kind kind, uint64_t page,
		   uint32_t flags);
/* Deliver messages to the own rank; every entry into the protocol ends with it. */
void protocol_run_local(struct protocol *p);

void cache_init(struct protocol *p);
void cache_message(struct protocol *p, const struct msg *m);
/* Another rank is to write n own pages of one block: let those go that nothing keeps here. */
void cache_leave_own(struct protocol *p, uint64_t page, unsigned n);
void cache_rank_down(struct protocol *p, unsigned rank);
void directory_init(struct protocol *p);
void directory_message(struct protocol *p, const struct msg *m);
/* The event is over: send what has been gathered. */
void directory_event_end(struct protocol *p);
/* Send it now if it is for this rank, to which something else is to go. */
void directory_before_send(struct protocol *p, unsigned rank);
void directory_rank_down(struct protocol *p, unsigned rank);
void directory_forget(struct protocol *p, uint64_t first_block, uint64_t nblocks);
/* The home takes a page of its own, in one step, where nobody is to be asked (R7). */
bool directory_own_read(struct protocol *p, uint64_t page);
bool directory_own_write(struct protocol *p, uint64_t page);
/* It gives up n that it has Modified. */
void directory_own_put(struct protocol *p, uint64_t page, unsigned n);
/* The home has a page of its own for writing. It lets others look at it there, by loads (R11); or
 * not any more. */
void directory_open(struct protocol *p, uint64_t page);
void directory_close(struct protocol *p, uint64_t page);

#endif
