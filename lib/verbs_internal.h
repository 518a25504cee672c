/* SPDX-License-Identifier: MIT */
/*
 * The RDMA transport from inside. transport_verbs.c sets it up; verbs_connect.c makes connections;
 * verbs_window.c exposes home blocks; verbs_post.c, verbs_push.c, verbs_atomic.c and
 * verbs_message.c start operations, verbs_progress.c ends them, verbs_deliver.c makes the upcalls;
 * verbs_end.c sees peers off.
 *
 * An operation (struct verbs_op) is what one call starts: one or more work requests, of which the
 * last is signalled. Its address is the requests' wr_id, so it lives until that one has completed,
 * also when nobody waits for it any more. What has to wait, for room in the send queue or in an
 * arena, or to learn where a block lies, waits in order in its peer's list.
 *
 * There are two completion queues. One is for what comes: while nobody polls, its next completion
 * wakes the agent. The other is for what this rank has started: mostly the thread that started it
 * polls, so it wakes somebody only if nobody polls and the end of something is waited for: the
 * agent, or the thread if it has gone to sleep (verbs_lend()). Sends and writes are not waited for:
 * who needs their room takes them out. That they failed shows at
 * once nevertheless, since the adapter then gives back all receives of the connection.
 *
 * All but pending() runs under the node's lock. Below it, cq_lock guards the completion queues and
 * what was taken out of them and not yet looked at.
 */
#ifndef DSM_VERBS_INTERNAL_H
#define DSM_VERBS_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <urcu/list.h>

#include "error.h"
#include "maintenance.h"
#include "pool.h"
#include "rankset.h"
#include "transport.h"
#include "verbs_arena.h"
#include "verbs_chain.h"
#include "verbs_credit.h"
#include "verbs_device.h"
#include "verbs_offer.h"

/* Messages that a peer may have under way to this rank. */
#define VERBS_WINDOW   64u
#define VERBS_RECEIVES (VERBS_WINDOW + VERBS_CREDIT_SPARE)
/* Work requests of a send queue, if the device has as many. */
#define VERBS_SENDS     512u
#define VERBS_SENDS_MIN 16u
/* The same of the connection to itself: one operation is under way on it at a time. */
#define VERBS_SELF_SENDS 4u
/* Messages that wait for one peer. */
#define VERBS_QUEUE_MAX (1u << 20)
/* Room for pages that homes write here. */
#define VERBS_PUSHED_BYTES (VERBS_ARENA_BYTES / 4)
/* Completions taken at a time. */
#define VERBS_COMPLETIONS 16u
#define VERBS_RETRIES     6u

/* How to reach a rank; travels through the launch. */
struct verbs_card {
	uint32_t magic; /* WIRE_MAGIC; 0: this rank has no RDMA */
	uint32_t version; /* WIRE_VERSION */
	uint16_t family;
	uint16_t port; /* as in a socket's address */
	uint8_t addr[16];
	uint32_t pad;
	char host[64];
	char device[64];
};
static_assert(sizeof(struct verbs_card) == 160, "the same everywhere");

/* What both ends say when they connect: at most 56 bytes of private data. */
struct verbs_hello {
	uint32_t magic;
	uint16_t version;
	uint16_t rank;
	uint16_t size;
	uint16_t atomics; /* my adapter does them */
	uint32_t table_rkey;
	uint64_t digest[2]; /* of the job's token */
	uint64_t window; /* where the window of block 0 would be */
	uint64_t table; /* of 64-bit words: a block's rkey, see verbs_window.h */
	uint64_t nblocks;
};
static_assert(sizeof(struct verbs_hello) == 56, "fits the private data of a request");

enum verbs_op_kind { OP_FETCH, OP_PULL, OP_TABLE, OP_WRITE, OP_ATOMIC, OP_PUSH, OP_SEND, OP_BEAT };

struct verbs_arrival;

struct verbs_op {
	struct cds_list_head link; /* of the peer: waiting, in flight; or of the transport: done */
	enum verbs_op_kind kind;
	unsigned rank;
	unsigned nwr; /* work requests posted */
	int status;
	uint64_t granule; /* that it begins with */
	struct transport_fetch *fetch; /* NULL: nobody waits for it any more */
	struct verbs_arrival *arrival; /* of a pull, likewise */
	struct transport_atomic_op *atomic; /* likewise */
	struct verbs_arena *arena;
	uint8_t *buffer; /* in arena */
	size_t buffer_bytes;
};

/* A message that came and is not delivered. */
struct verbs_arrival {
	unsigned slot;
	unsigned len_bytes;
	unsigned data; /* its page's data, as verbs_imm() has it; 0: none */
	struct verbs_op *pull; /* that fetches the data; NULL: it has been pushed */
	bool ready; /* it is here */
};

/* A message that waits for a credit or for room. */
struct verbs_queued {
	struct cds_list_head link;
	unsigned data;
	uint64_t slot[MSG_SLOTS_MAX * MSG_SLOT_BYTES / sizeof(uint64_t)];
};

/* A completion queue. */
struct verbs_queue {
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	bool armed; /* its next completion will make the channel readable, or one has */
};

enum verbs_state { VERBS_ABSENT, VERBS_UP, VERBS_DOWN };

struct verbs_peer {
	struct rdma_cm_id *id;
	enum verbs_state state;
	bool broken; /* the next poll() declares it down */
	bool atomics; /* both ends' adapters do them */
	bool ordered; /* a read sees the writes before it */
	bool beating; /* a sign of life is awaited */
	bool asking; /* the rkey of a block is being read */
	char address[64];
	uint64_t window; /* what its hello said */
	uint64_t table;
	uint32_t table_rkey;
	uint64_t heard_ns; /* when an operation on it last succeeded */
	/* out */
	struct verbs_credit credit;
	unsigned sends_free; /* of the send queue */
	struct cds_list_head queue; /* of struct verbs_queued */
	unsigned nqueued;
	struct cds_list_head waiting; /* operations that are not posted yet */
	struct cds_list_head flight; /* those that are */
	uint64_t pushed_granule; /* the next message that names it is its grant */
	unsigned pushed_data; /* granules that go with it; 0: none */
	struct verbs_offers asked; /* this rank's, for pages that it waits for */
	struct verbs_offers offered; /* the peer's, for pages of this rank */
	/* in */
	uint8_t *slots; /* VERBS_RECEIVES messages */
	struct verbs_arrival arrival[VERBS_RECEIVES]; /* ring, oldest at first */
	unsigned first;
	unsigned narrivals;
};

struct transport_verbs {
	struct transport base;
	struct transport_params p;
	struct verbs_device device;
	uint64_t timeout_ns; /* of waits for the adapter */
	struct rdma_event_channel *events;
	struct rdma_cm_id *listener;
	struct verbs_card card;
	struct ibv_context *context; /* librdmacm's */
	struct maintenance maintenance;
	struct rankset connected; /* or to be */
	struct ibv_pd *pd;
	struct verbs_queue arrived; /* messages */
	struct verbs_queue ended; /* own operations */
	uint64_t digest[2];
	struct verbs_peer *peers; /* by rank; one more: verbs_self() */
	struct rdma_cm_id *self_accepted; /* the other end of the connection to itself */
	struct rankset adapters; /* who does atomics on this rank's memory by adapter */
	unsigned npeers;
	unsigned nmissing; /* while connecting */
	unsigned sends; /* of each queue */
	unsigned inline_bytes;

	/* memory: fixed is [table][scratch a rank][slots of each peer] */
	uint64_t locked_bytes;
	uint64_t limit_bytes;
	uint8_t *fixed;
	size_t fixed_bytes;
	struct ibv_mr *fixed_mr;
	uint64_t *table;
	uint64_t *scratch;
	uint8_t *buffers; /* two arenas */
	struct ibv_mr *buffers_mr;
	struct verbs_arena landing; /* what is read from others */
	struct verbs_arena staging; /* what is written to others */
	struct verbs_arena pushed; /* what others write here, with their grants */
	struct ibv_mr *pushed_mr;
	uint8_t *windows;
	uint64_t window_bytes; /* of one block */
	struct ibv_mr **mr; /* by block */
	uint64_t *rkeys; /* of others' blocks, as in their tables */
	uint64_t *registered; /* WIRE_WORDS a block of others: what was last written there */

	struct pool op_pool;
	struct pool queue_pool;
	struct cds_list_head done; /* fetches that are complete and not told */
	struct rankset stirred; /* peers that may have something to be done */
	uint32_t nbroken;
	unsigned nawaited; /* operations under way whose end somebody waits for */
	uint32_t awaits; /* atomic: there are some, or some that wait for room */
	uint32_t work; /* atomic: poll() has something to do that is in no queue of the adapter */
	bool lent; /* see verbs_lend() */
	bool ended_in_fd; /* base.fd looks at the channel of `ended` */
	uint64_t look_ns; /* when to look at them at the latest */
	uint64_t beat_ns;
	/* while a message is delivered: the data that came with it */
	const uint8_t *data;
	uint64_t data_granule;
	size_t data_bytes;
	unsigned data_rank;

	pthread_mutex_t cq_lock;
	struct ibv_wc taken[VERBS_COMPLETIONS];
	uint32_t ntaken; /* atomic for readers without the lock */
};

/* The kinds of wr_id. */
#define VERBS_ID_OP      0u /* of an operation, not its last request */
#define VERBS_ID_LAST    1u
#define VERBS_ID_RECEIVE 2u
#define VERBS_ID_MASK    3u

static inline struct transport_verbs *verbs_of(struct transport *t)
{
	return (struct transport_verbs *)t;
}

static inline bool verbs_is_down(const struct transport_verbs *v, unsigned rank)
{
	return rank >= v->p.size || v->peers[rank].state != VERBS_UP || v->peers[rank].broken;
}

/* Is there a peer, or has there been? */
static inline bool verbs_has_queues(const struct transport_verbs *v)
{
	return v->arrived.cq && v->ended.cq;
}

/* The connection of this rank to itself, which carries atomics alone. It is in no set of ranks. */
static inline struct verbs_peer *verbs_self(const struct transport_verbs *v)
{
	return &v->peers[v->p.size];
}

static inline uint64_t verbs_last_id(const struct verbs_op *op)
{
	return (uintptr_t)op | VERBS_ID_LAST;
}

static inline int verbs_err_down(unsigned rank)
{
	return error_set(EHOSTDOWN, "rank %u is down", rank);
}

/* Scratch words of a peer, registered: [0] heartbeat, [1] rkey. */
static inline uint64_t *verbs_scratch(struct transport_verbs *v, unsigned rank)
{
	return v->scratch + rank * 8;
}

/* verbs_connect.c: listen, and connect to a set of ranks. */
int verbs_listen(struct transport_verbs *v);
int verbs_connect(struct transport_verbs *v, const struct rankset *peers, const uint8_t *cards,
		  size_t stride, const char *token, uint64_t deadline_ns);

/* verbs_memory.c: what all connections need, made when the first is to be. */
int verbs_memory_create(struct transport_verbs *v);
void verbs_memory_destroy(struct transport_verbs *v);
/* -ENOMEM: the limit on locked memory, with its remedy; else what the driver says. */
int verbs_register(struct transport_verbs *v, void *at, size_t len_bytes, int access,
		   const char *what, struct ibv_mr **mr);
void verbs_unregister(struct transport_verbs *v, struct ibv_mr **mr);

/* verbs_window.c */
int verbs_window_create(struct transport_verbs *v);
void verbs_window_destroy(struct transport_verbs *v);
int verbs_expose(struct transport *t, uint64_t block, uint64_t len_bytes);
void verbs_withdraw(struct transport *t, uint64_t first_block, uint64_t nblocks);

/* verbs_post.c: the one-sided operations; verbs_start_waiting() starts what has waited. */
struct verbs_op *verbs_op_new(struct transport_verbs *v, enum verbs_op_kind kind, unsigned rank);
bool verbs_op_buffer(struct verbs_op *op, struct verbs_arena *arena, size_t len_bytes);
/* Post the requests of an operation, n of them, which is in no list; false: the peer is broken. */
bool verbs_post(struct transport_verbs *v, struct verbs_op *op, struct ibv_send_wr *wr, unsigned n);
void verbs_start_waiting(struct transport_verbs *v, struct verbs_peer *peer);
int verbs_fetch(struct transport *t, struct transport_fetch *f);
const uint8_t *verbs_pushed(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
int verbs_push(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
int verbs_write(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
void verbs_pull(struct transport_verbs *v, unsigned rank, struct verbs_arrival *a);
void verbs_beat(struct transport_verbs *v, uint64_t now_ns);
/* Ask where a block lies at a peer, if that is not being asked. */
void verbs_ask_rkey(struct transport_verbs *v, unsigned rank, uint64_t block);
void verbs_op_free(struct transport_verbs *v, struct verbs_op *op);

/* verbs_push.c: pages that come with a grant. */
void verbs_expect(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes);
/* Say in a request where its page may be written, if there is a place for it. */
void verbs_offer_place(const struct verbs_peer *peer, struct msg *m);
/* A message is to be delivered: if it is an answer, *place is what was offered for it, no longer in
 * the table (len_bytes 0: nothing); if its page was written there, it is what verbs_pushed() finds.
 * False: it was not to be. */
bool verbs_answered(struct transport_verbs *v, unsigned rank, const struct msg *m, unsigned data,
		    struct verbs_offer *place);
/* Note what a message offers. False: that makes no sense. */
bool verbs_note_offer(struct transport_verbs *v, unsigned rank, const struct msg *m);
/* Send an answer with its page to the place that was offered, which ends the offer. False: it is to
 * be sent without. */
bool verbs_send_page(struct transport_verbs *v, unsigned rank, const struct msg *m, unsigned data);

/* verbs_atomic.c */
int verbs_adapter_atomic(struct transport *t, struct transport_atomic_op *a);
/* An operation of it has ended: note what came. */
void verbs_atomic_end(struct transport_verbs *v, struct verbs_op *op, bool ok);

/* verbs_message.c: messages; verbs_flush() starts whatever has waited for a peer. */
int verbs_send(struct transport *t, unsigned rank, const struct msg *m);
void verbs_flush(struct transport_verbs *v, unsigned rank);
int verbs_post_receive(struct transport_verbs *v, unsigned rank, unsigned slot);

/* verbs_progress.c */
int verbs_poll(struct transport *t, int budget);
bool verbs_pending(struct transport *t);
void verbs_sleep(struct transport *t, bool asleep);
int verbs_lend(struct transport *t);
void verbs_take_back(struct transport *t);
/* base.fd is readable when this is; not 0: errno. */
int verbs_watch(struct transport_verbs *v, int fd);
/* Take what the adapter has completed, without an upcall; returns the number. */
unsigned verbs_reap(struct transport_verbs *v);
/* Somebody waits for the end of an own operation, or for the room that it makes. */
void verbs_note_awaited(struct transport_verbs *v);
/* Does somebody wait for the end of this one? */
bool verbs_is_awaited(const struct transport_verbs *v, const struct verbs_op *op);
/* There is something for poll() that is in no queue of the adapter. */
void verbs_note_work(struct transport_verbs *v);

/* verbs_deliver.c: the upcalls; each returns their number. */
int verbs_tell_done(struct transport_verbs *v);
int verbs_deliver(struct transport_verbs *v, unsigned rank, int budget);
/* Deliver to, and start for, all peers that have something. */
int verbs_serve(struct transport_verbs *v, int budget);
/* Can more be delivered at once? */
bool verbs_has_ready(const struct verbs_peer *peer);

/* verbs_end.c */
/* The connection to itself has failed: no atomics by adapter on this rank's memory any more. */
void verbs_end_self(struct transport_verbs *v, const char *why);
void verbs_mark_broken(struct transport_verbs *v, unsigned rank, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Declare those down that are broken; returns the number of upcalls. */
int verbs_end_broken(struct transport_verbs *v);
/* Look at the event channel after set-up. */
void verbs_look_at_events(struct transport_verbs *v);
/* Let what is under way go, then disconnect. */
void verbs_leave(struct transport_verbs *v);

#endif
