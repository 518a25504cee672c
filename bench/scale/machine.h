/* SPDX-License-Identifier: MIT */
/*
 * A machine in virtual time: ranks, each the library's own protocol objects (virtual_node.h), their
 * adapters, and the edges of a topology between them.
 *
 * What takes time, and waits in order of arrival for what is in use:
 *	- a rank's processor, which does one thing at a time to its objects, as the node's lock has
 *	  it: a message that came, a chain that is complete, a fault or a call of its program;
 *	- a rank's adapter, in each direction;
 *	- each edge, in each direction, for as long as a packet's bytes take. A packet goes on to
 *the next edge as its head comes through, and is there when its end is.
 *
 * A one-sided chain takes effect in the home's memory as it arrives at the home's adapter, and no
 * processor knows. Pages that go to or from a home are bytes before the message behind them.
 * Pages have no content here: tests/sim is for that.
 */
#ifndef SCALE_MACHINE_H
#define SCALE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "cost.h"
#include "events.h"
#include "topology.h"
#include "virtual_node.h"

#define MACHINE_REGIONS_MAX 4u
/* What is no page's: messages of locks and barriers are counted as a region of their own. */
#define MACHINE_SYNC_REGION (MACHINE_REGIONS_MAX - 1)

enum op_kind {
	OP_NOTHING,
	OP_LOAD, /* by a fault, if the page is not here */
	OP_STORE, /* by a fault */
	OP_PUT, /* dsm_acquire(DSM_WRITE), dsm_release(): the page goes home and stays Shared */
	OP_COMPUTE,
	OP_LOCK,
	OP_UNLOCK,
	OP_BARRIER,
	OP_PAUSE, /* until all ranks have come here and nothing is under way; takes no time */
	OP_END,
	OP_KINDS
};

/* One step of a rank's program. */
struct op {
	enum op_kind kind;
	uint64_t page; /* or a lock's key, or ns to compute */
};

/* What a rank's program does next. */
typedef void program_fn(void *program, unsigned rank, uint64_t step, struct op *op);

struct packet;

struct rank {
	struct machine *machine;
	struct virtual_node node;
	/* processor */
	struct packet *first, *last; /* what waits for it */
	bool scheduled;
	uint64_t free_ps;
	uint64_t spent_ps; /* in what it does now */
	/* adapter */
	uint64_t out_free_ps, in_free_ps;
	uint64_t atomic_free_ps;
	/* bytes of pages under way before the next message to that rank */
	unsigned carry_to;
	uint32_t carry_bytes;
	/* program */
	uint64_t step;
	struct op op;
	uint64_t began_ps;
	bool waits; /* for its op to be done */
	bool faulted;
	bool called; /* the call has been made that the op needs */
	bool sync_done;
	struct sync_wait wait;
};

struct traffic {
	uint64_t messages; /* that the home's processor took */
	uint64_t chains; /* that its adapter served */
	uint64_t bytes; /* to and from it */
};

struct machine_counts {
	uint64_t messages[MSG_KINDS]; /* by kind, between ranks */
	uint64_t messages_all;
	uint64_t chains;
	uint64_t handled; /* messages that processors took */
	uint64_t packets; /* messages, chains and their answers */
	uint64_t bytes; /* out of adapters, headers and all */
	uint64_t hits;
	struct dsm_hist took[OP_KINDS]; /* what was not a hit */
	uint64_t began_ps, ended_ps;
};

struct machine {
	unsigned n;
	const struct topology *topology;
	struct cost cost;
	struct space space; /* of all: a directory's words are its home's alone */
	struct block *blocks;
	uint64_t first_block[MACHINE_REGIONS_MAX];
	unsigned blocks_each; /* of a rank in a region */
	unsigned nregions;
	struct rank *rank;
	struct events events;
	uint64_t now_ps;
	uint64_t *edge_free_ps; /* node * 2 + up */
	uint64_t *edge_bytes;
	struct packet *unused;
	struct packet **chunks;
	size_t nchunks;
	program_fn *program;
	void *program_ctx;
	unsigned npaused, nended;
	struct machine_counts counts;
	struct traffic *traffic; /* region * n + rank, by home */
	uint64_t events_done;
	bool failed;
};

/* What there is: the first n ranks of a topology; regions, homed with their ranks. */
struct machine_layout {
	unsigned n;
	unsigned nregions;
	unsigned npages; /* of a rank in each region */
	unsigned group; /* ranks that share a counter of readers; 1: each has a bit; 0: as the
			 * library has it for so many ranks */
};

/* 0, or -ENOMEM with error_text(). */
int machine_create(struct machine **m, const struct topology *t, const struct cost *c,
		   const struct machine_layout *layout);
void machine_destroy(struct machine *m);

/* The page of a region that is the index-th of those that live at a rank. */
uint64_t machine_page(const struct machine *m, unsigned region, unsigned home, unsigned index);

/*
 * Run all ranks' programs until they pause together, or have ended. 0; -EDEADLK: nothing is left to
 * happen, and a rank waits; error_text() names it.
 */
int machine_run(struct machine *m);
bool machine_ended(const struct machine *m);
/* Forget what was counted. */
void machine_count_anew(struct machine *m);

/* Of the directory, a page, at its home. */
unsigned machine_directory_bytes(const struct machine *m);

/*
 * Between machine.c, network.c and processor.c
 */

enum packet_kind { PACKET_MESSAGE, PACKET_CHAIN, PACKET_ANSWER, PACKET_CALL, PACKET_RETRY };

struct packet {
	struct packet *next;
	enum packet_kind kind;
	unsigned from, to;
	unsigned at; /* node that its head has reached */
	uint32_t bytes;
	uint64_t end_ps; /* when its last byte is there */
	struct transport_fetch *fetch;
	struct msg msg;
};

/* network.c */
struct packet *packet_get(struct machine *m, enum packet_kind kind, unsigned from, unsigned to);
void packet_put(struct machine *m, struct packet *p);
/* Give a packet to the sender's adapter at a time. */
void network_send(struct machine *m, struct packet *p, uint64_t ps);
void network_hop(struct machine *m, struct packet *p);
/* Through the receiver's adapter. */
void network_arrived(struct machine *m, struct packet *p);

/* processor.c */
extern const struct protocol_ops processor_protocol_ops;
extern const struct sync_ops processor_sync_ops;
/* Something for a rank's processor; it is freed when done. */
void processor_give(struct machine *m, struct packet *p);
void processor_run(struct rank *r);
/* A rank's program calls, or its fault has reached the agent. */
void program_call(struct rank *r);
/* A rank's program goes on. */
void program_run(struct rank *r);

#endif
