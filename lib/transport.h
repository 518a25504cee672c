/* SPDX-License-Identifier: MIT */
/*
 * Transport: one-sided operations on other ranks' memory, and ordered messages between ranks.
 *
 * All operations but pending() are called with the node's lock held, so one at a time.
 * None waits for another rank's processor but connect(). One-sided operations are ordered with
 * later messages to the same rank: what write() wrote is in place when a message sent behind it is
 * seen.
 */
#ifndef DSM_TRANSPORT_H
#define DSM_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "rankset.h"
#include "space.h"
#include "wire.h"

struct transport;

/* Bytes of a card, in which a rank tells the others how to reach it; the launch exchanges them. */
#define TRANSPORT_CARD_MAX 384

/* Upcalls, made by poll() in the thread that polls. */
struct transport_handler {
	void (*message)(void *ctx, const struct msg *m);
	/* The connection to a rank ended: it died, or left. Once per rank. */
	void (*down)(void *ctx, unsigned rank);
};

struct transport_params {
	const struct settings *settings;
	struct space *space;
	unsigned rank;
	unsigned size;
	const struct transport_handler *handler;
	void *ctx;
};

/*
 * Read chain on n consecutive pages of one home, of 2^shift granules each, n <=
 * TRANSPORT_FETCH_MAX: for each page, add my bit to its readers word if its bit in @add is set;
 * then read its grants word; then read its data. With @look its grants word is read once more then;
 * if it is not what it was, its grant is said to be Busy. Nothing is added then, and the home is
 * one whose memory this rank's loads do not reach (view()).
 */
#define TRANSPORT_FETCH_MAX 64
struct transport_fetch {
	unsigned rank;
	uint64_t granule; /* of the first page */
	unsigned shift;
	unsigned n;
	uint64_t add;
	bool look;
	uint64_t grant[TRANSPORT_FETCH_MAX];
	/* where the data is: page i at data + (i << shift << GRANULE_SHIFT); set when complete.
	 * It stays as it is until this rank acknowledges an Inv. */
	const uint8_t *data;
	void (*done)(struct transport_fetch *f, int status); /* if it did not complete at once */
	void *ctx; /* for done() */
};

enum transport_atomic { ATOMIC_FETCH_ADD, ATOMIC_COMPARE_SWAP };

/* An atomic on an aligned word of 8 bytes that an adapter does in rank's memory. */
struct transport_atomic_op {
	unsigned rank;
	enum transport_atomic op;
	uint64_t offset; /* in rank's segment */
	uint64_t operand;
	uint64_t expected;
	uint64_t before; /* set when complete */
	void (*done)(struct transport_atomic_op *a,
		     int status); /* if it did not complete at once */
	void *ctx; /* for done() */
};

struct transport_ops {
	const char *name; /* "shm" */
	/* Write how to reach me into card (TRANSPORT_CARD_MAX bytes). */
	int (*card)(struct transport *t, uint8_t *card);
	/* Connect to the ranks of the set @peers (NULL: to all), given their cards at cards + r *
	 * stride, and the job's token; blocks until deadline_ns. A peer with another token, user,
	 * version or segment size is refused. */
	int (*connect)(struct transport *t, const struct rankset *peers, const uint8_t *cards,
		       size_t stride, const char *token, uint64_t deadline_ns);
	/* As home: peers may reach the first len_bytes of a block from now on; withdraw() ends it,
	 * when nobody reaches for them any more, and all ranks forget what they knew of the blocks.
	 * NULL: nothing is to be done. */
	int (*expose)(struct transport *t, uint64_t block, uint64_t len_bytes);
	void (*withdraw)(struct transport *t, uint64_t first_block, uint64_t nblocks);
	/* 0: complete; 1: done() will be called from poll(); -EHOSTDOWN. -EAGAIN, here or there:
	 * nothing was done, since the page cannot be reached so (yet): ask by message. */
	int (*fetch)(struct transport *t, struct transport_fetch *f);
	/* The next message to rank that names the page asks for it, or for a run from it on: data
	 * of so many bytes, or of less, may come with an answer that names the page. NULL: nothing
	 * is to be made ready. */
	void (*expect)(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
	/* Where the data lies that the home pushed to this rank behind a grant that names the page;
	 * to be asked while the grant is delivered. NULL: none, or less than so many bytes. */
	const uint8_t *(*pushed)(struct transport *t, unsigned rank, uint64_t granule,
				 size_t len_bytes);
	/* As home: bring a page's data to where rank's pushed() looks for it. The next message to
	 * rank that names the page is its grant. */
	int (*push)(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
	/* Rank's segment, where this rank's loads reach it and see what processors store there as
	 * they see one another's stores; it stays mapped until destroy(). NULL: they do not reach
	 * it, or the rank is down. The op itself NULL: nobody's. */
	uint8_t *(*view)(struct transport *t, unsigned rank);
	/* Write from own segment into the same offset of rank's. */
	int (*write)(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
	/* Atomic on a word of 4 or 8 bytes at @offset in rank's segment (own rank too) by this
	 * rank's processor; *result receives the value before. 0: complete. -EOPNOTSUPP: it does
	 * not reach there; the home's processor is to do it (remote_atomic.h). */
	int (*atomic)(struct transport *t, unsigned rank, uint64_t offset, unsigned width,
		      enum transport_atomic op, uint64_t operand, uint64_t expected,
		      uint64_t *result);
	/* The same by an adapter: rank's, which may be the own one. Ordered before later messages
	 * to rank. 0: complete. 1: done() will be called from poll(). -EAGAIN: nothing was done,
	 * ask by message; of the own rank: its adapter does none any more. -EIO: the own adapter
	 * has failed; whether it was done is not known. NULL: there is no adapter. */
	int (*adapter_atomic)(struct transport *t, struct transport_atomic_op *a);
	/* Ordered per rank; never blocks (queues what does not fit). Own rank is not allowed.
	 * -EHOSTDOWN: dropped, the rank is down. */
	int (*send)(struct transport *t, unsigned rank, const struct msg *m);
	/* Deliver what has arrived, up to about budget messages; returns their number. */
	int (*poll)(struct transport *t, int budget);
	/* Is there anything for poll()? Cheap, lock-free, any thread. */
	bool (*pending)(struct transport *t);
	/* From now on (asleep) arrivals make fd readable, and so do those ends of own operations
	 * that somebody waits for; or (not asleep) they need not. After sleep(true), check
	 * pending() once more before sleeping; also when it is called again since `drowsy` or
	 * `watching` has changed. */
	void (*sleep)(struct transport *t, bool asleep);
	/* For one thread at a time that sleeps until an own operation ends: a descriptor that it
	 * makes readable, in place of fd, until take_back(); when it has been, set end_ready and
	 * poll(). To be called before each sleep, and pending() after it. -1: none is under way.
	 * NULL: they end at once. */
	int (*lend)(struct transport *t);
	void (*take_back)(struct transport *t);
	/* For a sentence: between which addresses messages to a rank travel. False: within this
	 * host. NULL: always so. */
	bool (*addresses)(struct transport *t, unsigned rank, const char **own, const char **peer);
	/* Stop: no upcall after it. Peers see this rank go down. */
	void (*destroy)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
	int fd; /* an epoll fd or eventfd: readable when poll() has something to do */
	bool drowsy; /* of sleep(true): messages that can wait need not make fd readable */
	bool ready; /* fd has been seen readable: poll() is to look why, and clears this */
	bool end_ready; /* the same of lend()'s */
	/* True from sleep(true) to sleep(false), unless there was a poll() meanwhile, or something
	 * was started whose end would not make fd readable: then sleep(true) is due again. */
	bool watching;
	struct transport *outer; /* the chooser, if this is one of its ways */
};

static inline void transport_unwatch(struct transport *t)
{
	t->watching = false;
	if (t->outer)
		t->outer->watching = false;
}

/* The transport that the settings ask for: transport_mux.c. */
int transport_create(struct transport **t, const struct transport_params *p);

int transport_shm_create(struct transport **t, const struct transport_params *p);
/* -ENODEV: no RDMA device can be used here; the sentence says why. */
int transport_verbs_create(struct transport **t, const struct transport_params *p);

#endif
