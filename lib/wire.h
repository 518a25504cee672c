/* SPDX-License-Identifier: MIT */
/*
 * What ranks say to one another: messages, and the words of the directory that other ranks read.
 *
 * Little-endian, fixed width, explicit padding. A message is one 64-byte slot; a region message is
 * four. Everything here is covered by WIRE_VERSION, which ranks compare before they connect.
 */
#ifndef DSM_WIRE_H
#define DSM_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 4u
#define WIRE_MAGIC   0x314d5344u /* "DSM1" */

#define MSG_SLOT_BYTES 64u
#define MSG_SLOTS_MAX  4u

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "libdsm's wire format is little-endian"
#endif

/* Message names follow Nagarajan, Sorin, Hill, Wood, "A Primer on Memory Consistency". */
enum msg_kind {
	MSG_NONE = 0,
	/* coherence: cache to home. Of GetS, GetM and their grants word[4] and word[5] are the
	 * transport's, which says there where the page may be written (verbs_offer.h). */
	MSG_GETS,
	MSG_GETM, /* flags: MSG_HAS_COPY, MSG_IF_FREE; word[0]: pages behind this one, in its block,
		   * that are asked for too */
	MSG_GETA,
	MSG_INV_ACK,
	MSG_PUTM, /* flags: MSG_KEEPS; word[0]: pages behind this one, in its block, that went too
		   */
	MSG_WRITE_BACK, /* flags: MSG_KEEPS, MSG_NOT_HERE */
	MSG_LOOKS, /* the sender looks at pages of this one's block, as snapshot.h has it */
	/* coherence: home to cache */
	MSG_INV,
	MSG_FWD_GETS,
	MSG_FWD_GETM,
	MSG_GRANT_S,
	MSG_GRANT_M, /* flags: MSG_DATA; word[0]: pages behind this one that are granted too */
	MSG_GRANT_A, /* flags: MSG_ADAPTER */
	MSG_GRANT_ERROR, /* word[0]: errno, word[1]: rank to blame; word[2]: pages behind this one
			  * that it is about too */
	/* regions: struct msg_region */
	MSG_REGION_ALLOC, /* any to rank 0 */
	MSG_REGION_ADD, /* rank 0 to all */
	MSG_REGION_ADDED, /* each to rank 0, with status */
	MSG_REGION_ALLOCATED, /* rank 0 to the caller */
	MSG_REGION_FREE,
	MSG_REGION_DROP,
	MSG_REGION_DROPPED,
	MSG_REGION_FREED,
	MSG_BLOCK_TOUCH, /* page: granule in the block; word[0]: 1 if it may assign */
	MSG_BLOCK_HOME, /* page; word[0]: home or WIRE_NO_RANK; word[1]: cookie */
	/*
	 * synchronisation; page: the object's name, id: word[0], of a wait of the sender (requests)
	 * or of the receiver (answers). A lock's token carries a number that rises with each
	 * hand-over; see sync_lock.c.
	 */
	MSG_LOCK_GET, /* rank to home: id; flags: MSG_NO_WAIT */
	MSG_LOCK_FORWARD, /* home to the token's rank: word[0]: number of its token; word[1]: id
			   * that was granted with it; word[2]: rank to hand over to or
			   * WIRE_NO_RANK; word[3]: id there; word[4]: number to hand over with;
			   * flags: MSG_NO_WAIT, MSG_PROBE */
	MSG_LOCK_GRANT, /* rank to next rank: id; word[1]: number */
	MSG_LOCK_PASSED, /* rank to home: word[0]: id; word[1]: number; word[2]: rank, of what was
			  * handed over; word[3]: number of the token before */
	MSG_LOCK_REFUSE, /* rank to home, the lock is held: word[1]: number forwarded; flags:
			  * MSG_PROBE */
	MSG_LOCK_CANCEL, /* rank to home: id */
	MSG_LOCK_REPLY, /* home to rank, not granted: id; word[1]: errno; word[2]: rank to blame;
			 * word[3]: the holder */
	MSG_SEM_WAIT, /* rank to home: id; flags: MSG_NO_WAIT */
	MSG_SEM_POST, /* rank to home: id, 0: no answer wanted */
	MSG_SEM_SET, /* rank to home: id; word[1]: value */
	MSG_SEM_CANCEL, /* rank to home: id */
	MSG_SEM_REPLY, /* home to rank: id; word[1]: errno or 0 */
	MSG_COND_WAIT, /* rank to home: id */
	MSG_COND_QUEUED, /* home to rank: id: the lock may be released */
	MSG_COND_SIGNAL, /* rank to home: id, 0: no answer wanted; flags: MSG_ALL */
	MSG_COND_CANCEL, /* rank to home: id */
	MSG_COND_REPLY, /* home to rank: id; word[1]: errno or 0 */
	MSG_BARRIER, /* page: epoch; word[0]: round */
	/* remote atomics that the home executes; see remote_atomic.c */
	MSG_ATOMIC, /* rank to home: page: granule; flags: enum transport_atomic, width in bytes <<
		     * 8, MSG_BY_ADAPTER; word[0]: id; word[1]: offset; word[2]: operand; word[3]:
		     * expected */
	MSG_ATOMIC_DONE, /* home to rank: word[0]: id; word[1]: errno or 0; word[2]: value before */
	/* the end */
	MSG_STATS, /* arg: index of the first word; word[]: values */
	MSG_LEAVE, /* the barrier of dsm_fini(): page: epoch; word[0]: round; flags: MSG_FAILED;
		    * word[1]: rank that died */
	MSG_LEFT, /* to all, from dsm_fini() that leaves without the others: word[0]: rank that
		   * died, or WIRE_NO_RANK */
	MSG_CONTENTION, /* arg: index of the first word; word[]: of struct contention_page's */
	MSG_KINDS
};

#define MSG_HAS_COPY 1u /* GetM: the requester holds the pages Shared */
#define MSG_IF_FREE  2u /* GetM: those behind the first if nobody has them; else EAGAIN */
#define MSG_KEEPS    1u /* PutM, WriteBack: the sender keeps a Shared copy */
#define MSG_NOT_HERE 2u /* WriteBack: a PutM that precedes this has the data */
#define MSG_DATA     1u /* GrantM: the page's data comes with it */
#define MSG_ADAPTER  1u /* GrantA: atomics on the page are the home's adapter's */

#define MSG_BY_ADAPTER (1u << 16) /* Atomic: by the home's adapter, not its processor */

#define MSG_NO_WAIT 1u /* LockGet, LockForward, SemWait: do not wait if it is taken */
#define MSG_PROBE   2u /* LockForward: is it held still? LockRefuse: it is */
#define MSG_ALL     1u /* CondSignal: wake every waiter */
#define MSG_FAILED  1u /* Leave: a rank died before it left */

#define WIRE_NO_RANK 0xffffu

struct msg {
	uint8_t kind;
	uint8_t slots; /* 1, or MSG_SLOTS_MAX for a region message */
	uint16_t src;
	uint32_t flags; /* or arg */
	uint64_t page; /* granule index of the page's start, or an object's name */
	uint64_t word[6];
};
static_assert(sizeof(struct msg) == MSG_SLOT_BYTES, "a message fills a slot");
static_assert(offsetof(struct msg, page) == 8 && offsetof(struct msg, word) == 16, "msg layout");

struct msg_region {
	uint8_t kind;
	uint8_t slots; /* MSG_SLOTS_MAX */
	uint16_t src;
	int32_t status; /* 0 or negative errno */
	uint64_t addr;
	uint64_t len_bytes;
	uint64_t cookie; /* of the caller, returned to it */
	uint32_t id; /* of the region, never used twice */
	uint16_t home_policy;
	uint16_t home_rank;
	uint8_t page_shift;
	uint8_t release;
	uint16_t blame; /* rank that status is about */
	uint32_t given; /* MSG_GIVEN_*: what the caller of an attach named */
	char name[64];
	uint8_t pad[144];
};
static_assert(sizeof(struct msg_region) == MSG_SLOT_BYTES * MSG_SLOTS_MAX, "region message");
static_assert(offsetof(struct msg_region, name) == 48, "region message layout");

#define MSG_GIVEN_ATTR 1u

/*
 * Directory words. One grants word a page, written by the home's CPU alone and read by all:
 * bits 0-2 state; bit 3 GRANT_OPEN; bits 16-31 a rank: the owner if Exclusive, while Busy one of
 * those waited for; bits 32-63 count how often the page has ceased to be Clean or open
 * (snapshot.h). Zeroed memory is Clean. The readers words are a bit array by rank, 64 ranks a word,
 * written by atomics alone.
 */
enum grant_state {
	GRANT_CLEAN = 0, /* the home's memory is valid; readers may register and copy */
	GRANT_BUSY, /* a transaction is under way: ask by message */
	GRANT_EXCLUSIVE, /* one rank holds it Modified: ask by message */
	GRANT_ATOMIC, /* registered ranks do remote atomics on the home's memory: for a rank there
		       * is ATOMIC_BY_PROCESSORS or ATOMIC_BY_ADAPTER */
	GRANT_LOST, /* its owner died */
};

/* Whose atomics they are: the two are not atomic against one another. */
enum atomic_by { ATOMIC_BY_PROCESSORS, ATOMIC_BY_ADAPTER };

static inline uint64_t grant_word(enum grant_state state, unsigned rank)
{
	return (uint64_t)state | (uint64_t)rank << 16;
}

/* Exclusive, at the home, which does not hold it for writing now: who gets at the home's memory by
 * loads may look at the page there. */
#define GRANT_OPEN 8u

#define GRANT_COUNT_SHIFT 32

/* Does a grants word say so, open or not, whatever its count? */
static inline bool grant_is(uint64_t word, enum grant_state state, unsigned rank)
{
	return ((uint32_t)word & ~GRANT_OPEN) == grant_word(state, rank);
}

static inline uint32_t grant_count(uint64_t word)
{
	return (uint32_t)(word >> GRANT_COUNT_SHIFT);
}

static inline enum grant_state grant_state(uint64_t word)
{
	return (enum grant_state)(word & 7);
}

static inline unsigned grant_rank(uint64_t word)
{
	return (unsigned)(word >> 16) & 0xffff;
}

/* Does it matter only to a rank that waits for it? */
static inline bool msg_can_wait(const struct msg *m)
{
	return m->kind == MSG_BARRIER;
}

/* Of a known kind, with the slots that it has? What comes from outside is not looked at before. */
bool msg_is_sane(const struct msg *m);

/* A message's kind as text ("GetS"), "?" if unknown. */
const char *msg_name(unsigned kind);

#endif
