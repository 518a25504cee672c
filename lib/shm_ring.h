/* SPDX-License-Identifier: MIT */
/*
 * Mailboxes and message rings in shared memory.
 *
 * A rank's mailbox is a memfd that its peers map. It holds one ring for each sending rank, a bitmap
 * in which a sender tells that its ring has something, and a word by which the owner tells that it
 * sleeps, and what for it wants to be woken. A ring has one sender and one receiver.
 *
 * Who writes what: the owner writes `asleep` (a sender may clear it), clears bits of `pending` and
 * moves each ring's `head`; the sender fills slots and sets its bit. What a peer can write is
 * checked before it is used: it may be broken, but it must not take this rank with it.
 *
 * Nothing here locks or blocks. A struct shm_tx or shm_rx belongs to one thread at a time.
 */
#ifndef DSM_SHM_RING_H
#define DSM_SHM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "rankset.h"
#include "wire.h"

#define SHM_PENDING_WORDS RANKSET_WORDS
#define SHM_RING_SLOTS    1024u
#define SHM_SLOT_WORDS    (MSG_SLOT_BYTES / sizeof(uint64_t))
/* Most slots that wait at the sender for room in one ring; reserved, but not touched before use. */
#define SHM_OVERFLOW_SLOTS (1u << 20)

/* Two cache lines: neighbours are prefetched in pairs. */
#define SHM_APART __attribute__((aligned(128)))

struct shm_ring {
	SHM_APART uint64_t head; /* slots taken out since the start; receiver's */
	SHM_APART uint32_t sender_waits; /* set by the sender, cleared by who wakes it */
	/* A slot's first word is 0 while it is free; the header of a message goes in last. */
	SHM_APART uint64_t slot[SHM_RING_SLOTS][SHM_SLOT_WORDS];
} __attribute__((aligned(4096)));

#define SHM_BOX_MAGIC 0x786f624du /* "Mbox" */

struct shm_box {
	uint32_t magic;
	uint32_t version; /* WIRE_VERSION */
	uint32_t rank;
	uint32_t size;
	char token[CONFIG_TOKEN_MAX];
	/* A sender needs both, so up to 448 ranks they share a line. */
	SHM_APART uint32_t asleep;
	uint32_t pad;
	uint64_t pending[SHM_PENDING_WORDS]; /* bit r: look at ring r, and at what waits for r */
	struct shm_ring ring[];
};

/* A message of any size, as it leaves a ring. */
union shm_message {
	struct msg msg;
	struct msg_region region;
	uint64_t slot[MSG_SLOTS_MAX][SHM_SLOT_WORDS];
};

/* The sender's end of a ring, with the messages that wait for room. */
struct shm_tx {
	struct shm_ring *ring;
	uint64_t tail; /* slots put in since the start */
	uint64_t head_seen; /* ring->head when it was last looked at */
	uint64_t (*overflow)[SHM_SLOT_WORDS];
	uint64_t first, end; /* of the overflow, in slots since the start */
};

/* The receiver's end. */
struct shm_rx {
	struct shm_ring *ring;
	uint64_t head;
};

/* Map a memfd shared, without reserving memory for it, neither inherited by fork() nor dumped.
 * @what: its name in the sentence of an error. */
int shm_map(void **map, int fd, uint64_t len_bytes, const char *what);

/* Bytes of a mailbox for @size ranks. */
uint64_t shm_box_bytes(unsigned size);

/* Make this rank's mailbox: 0600, close-on-exec, sealed against any change of size. The caller
 * unmaps *box and closes *fd. */
int shm_box_create(struct shm_box **box, int *fd, unsigned rank, unsigned size);

/*
 * Tell the owner of @box that rank @from has put something into its ring, or has made room for it.
 * True: the owner sleeps and the caller, alone, must wake it. Call after shm_tx_send().
 * @can_wait: a drowsy owner need not be woken for it
 */
bool shm_box_notify(struct shm_box *box, unsigned from, bool can_wait);

/* Has anybody told the owner something that it has not taken yet? Any thread of the owner. */
bool shm_box_pending(struct shm_box *box, unsigned size);

/*
 * Owner: from now on the next notifier wakes it; if it is drowsy, the next whose news cannot wait.
 * Look at shm_box_pending() after this and before sleeping: also when a drowsy owner dozes again,
 * drowsy no more. shm_box_stir() ends it; true: nobody has taken it upon himself to wake the owner.
 */
void shm_box_doze(struct shm_box *box, bool drowsy);
bool shm_box_stir(struct shm_box *box);

void shm_tx_init(struct shm_tx *tx, struct shm_ring *ring);
void shm_tx_fini(struct shm_tx *tx);

/*
 * Send a message, of m->slots slots, or queue it behind those that wait. 0: it is in the ring. 1:
 * it waits; the receiver will notify this rank of room. -EPROTO: the receiver's end is out of
 * order. -ENOBUFS, -ENOMEM: it could not be queued. No sentence is set: the caller knows the rank.
 */
int shm_tx_send(struct shm_tx *tx, const struct msg *m);

/* Move what waits into the ring, as far as there is room. Returns the number of messages moved, or
 * -EPROTO. If some still wait, the receiver will notify this rank of room. */
int shm_tx_flush(struct shm_tx *tx);

/* Slots that wait for room. */
static inline uint64_t shm_tx_waiting(const struct shm_tx *tx)
{
	return tx->end - tx->first;
}

void shm_rx_init(struct shm_rx *rx, struct shm_ring *ring);

/* Take the next message out, into *m, where the sender can no longer change it. Returns its number
 * of slots, 0 if there is none, -EPROTO if its length makes no sense. */
int shm_rx_take(struct shm_rx *rx, union shm_message *m);

/* End a series of shm_rx_take(). True: the sender waits for room; the caller must notify it. */
bool shm_rx_done(struct shm_rx *rx);

#endif
