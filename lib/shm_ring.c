/* SPDX-License-Identifier: MIT */
/*
 * Mailboxes and message rings in shared memory.
 *
 * A message is published by the release store of its header, the first word of its first slot; the
 * receiver finds it there without looking at a shared tail, which saves a cache miss a message. It
 * clears the first word of every slot that it takes, and then moves the head; the sender looks at
 * the head only when the ring seems full. So slot[head] is either 0 or a complete header: the
 * sender writes other slots only ahead of the receiver's head.
 *
 * Two sleepers have to be woken, and both protocols are Dekker's: each side writes its own word and
 * then reads the other's, all sequentially consistent, so at least one of them sees the other.
 *	receiver asleep:  asleep = 1, read pending	  |  set pending, read asleep
 *	sender waiting:	  sender_waits = 1, read head	  |  write head, read sender_waits
 */
#define _GNU_SOURCE
#include "shm_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

static_assert(sizeof(struct shm_ring) % 4096 == 0, "rings do not share pages");
static_assert(offsetof(struct shm_box, ring) % 4096 == 0, "rings are page-aligned");
static_assert(sizeof(union shm_message) == MSG_SLOT_BYTES * MSG_SLOTS_MAX, "a message's slots");

int shm_map(void **map, int fd, uint64_t len_bytes, const char *what)
{
	void *p = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	int rc;

	if (p == MAP_FAILED)
		return error_set_sys(errno,
				     "cannot map %llu bytes of %s; is the address space limited "
				     "(ulimit -v), or DSM_SPACE too large for this many ranks?",
				     (unsigned long long)len_bytes, what);
	/* A child has no part in the protocol. It gets an honest SIGSEGV. */
	if (madvise(p, len_bytes, MADV_DONTFORK)) {
		rc = error_set_sys(errno, "cannot keep %s from fork() (madvise)", what);
		munmap(p, len_bytes);
		return rc;
	}
	/* Each rank dumps its own. Huge pages would tie granules of different homes together.
	 * Both are advice: a kernel without them does no harm. */
	(void)madvise(p, len_bytes, MADV_DONTDUMP);
	(void)madvise(p, len_bytes, MADV_NOHUGEPAGE);
	*map = p;
	return 0;
}

uint64_t shm_box_bytes(unsigned size)
{
	return sizeof(struct shm_box) + size * sizeof(struct shm_ring);
}

/* A sealed memfd of this size. To grow beyond the limit on files would raise SIGXFSZ. */
static int box_open(uint64_t len_bytes, unsigned size)
{
	struct rlimit limit;
	int fd, rc;

	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < len_bytes)
		return error_set(EFBIG,
				 "the mailbox for %u ranks needs a file size of %llu bytes and the "
				 "limit is %llu: raise it (ulimit -f unlimited)",
				 size, (unsigned long long)len_bytes,
				 (unsigned long long)limit.rlim_cur);
	fd = memfd_create("dsm-mailbox", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("dsm-mailbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_set_sys(errno, "cannot create the mailbox (memfd_create)");
	if (!fchmod(fd, 0600) && !ftruncate(fd, (off_t)len_bytes) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return fd;
	rc = error_set_sys(errno, "cannot set up a mailbox of %llu bytes for %u ranks",
			   (unsigned long long)len_bytes, size);
	close(fd);
	return rc;
}

int shm_box_create(struct shm_box **box, int *fd, unsigned rank, unsigned size)
{
	uint64_t len_bytes = shm_box_bytes(size);
	void *map;
	int f, rc;

	f = box_open(len_bytes, size);
	if (f < 0)
		return f;
	rc = shm_map(&map, f, len_bytes, "the mailbox");
	if (rc) {
		close(f);
		return rc;
	}
	*box = map;
	(*box)->magic = SHM_BOX_MAGIC;
	(*box)->version = WIRE_VERSION;
	(*box)->rank = rank;
	(*box)->size = size;
	*fd = f;
	return 0;
}

/* Values of shm_box.asleep. */
enum { AWAKE, ASLEEP, DROWSY };

bool shm_box_notify(struct shm_box *box, unsigned from, bool can_wait)
{
	uint32_t asleep;

	/* Pairs with shm_box_doze() and the shm_box_pending() behind it. */
	__atomic_fetch_or(&box->pending[from / 64], 1ull << (from % 64), __ATOMIC_SEQ_CST);
	asleep = __atomic_load_n(&box->asleep, __ATOMIC_SEQ_CST);
	return asleep != AWAKE && !(asleep == DROWSY && can_wait) && shm_box_stir(box);
}

bool shm_box_pending(struct shm_box *box, unsigned size)
{
	for (unsigned i = 0; i * 64 < size; i++)
		if (__atomic_load_n(&box->pending[i], __ATOMIC_SEQ_CST))
			return true;
	return false;
}

void shm_box_doze(struct shm_box *box, bool drowsy)
{
	__atomic_store_n(&box->asleep, drowsy ? DROWSY : ASLEEP, __ATOMIC_SEQ_CST);
}

bool shm_box_stir(struct shm_box *box)
{
	/* The exchange has one winner, so one system call wakes the owner, not one a message. */
	return __atomic_exchange_n(&box->asleep, AWAKE, __ATOMIC_SEQ_CST) != AWAKE;
}

static uint64_t *ring_slot(struct shm_ring *ring, uint64_t i)
{
	return ring->slot[i % SHM_RING_SLOTS];
}

void shm_tx_init(struct shm_tx *tx, struct shm_ring *ring)
{
	*tx = (struct shm_tx){ .ring = ring };
}

void shm_tx_fini(struct shm_tx *tx)
{
	if (tx->overflow)
		munmap(tx->overflow, SHM_OVERFLOW_SLOTS * MSG_SLOT_BYTES);
	tx->overflow = NULL;
	tx->first = tx->end = 0;
}

/* Look at the head again. -EAGAIN: no room for @slots. -EPROTO: it is not between 0 and the tail.
 */
static int tx_refresh(struct shm_tx *tx, unsigned slots, int order)
{
	/* Acquire: the slots were cleared before the head moved (shm_rx_take). */
	uint64_t head = order == __ATOMIC_SEQ_CST
				? __atomic_load_n(&tx->ring->head, __ATOMIC_SEQ_CST)
				: __atomic_load_n(&tx->ring->head, __ATOMIC_ACQUIRE);

	if (tx->tail - head > SHM_RING_SLOTS)
		return -EPROTO;
	tx->head_seen = head;
	return tx->tail + slots - head > SHM_RING_SLOTS ? -EAGAIN : 0;
}

/* Make room for @slots, or ask the receiver to tell when there is some (-EAGAIN). */
static int tx_room(struct shm_tx *tx, unsigned slots)
{
	int rc;

	if (tx->tail + slots - tx->head_seen <= SHM_RING_SLOTS)
		return 0;
	rc = tx_refresh(tx, slots, __ATOMIC_ACQUIRE);
	if (rc != -EAGAIN)
		return rc;
	/* Pairs with shm_rx_done(): it sees this, or the head that is read here is the new one. */
	__atomic_store_n(&tx->ring->sender_waits, 1, __ATOMIC_SEQ_CST);
	return tx_refresh(tx, slots, __ATOMIC_SEQ_CST);
}

static void tx_put(struct shm_tx *tx, const void *message, unsigned slots)
{
	uint64_t *first = ring_slot(tx->ring, tx->tail);
	const uint8_t *src = message;
	uint64_t header;

	for (unsigned i = 1; i < slots; i++)
		memcpy(ring_slot(tx->ring, tx->tail + i), src + i * MSG_SLOT_BYTES, MSG_SLOT_BYTES);
	memcpy(first + 1, src + sizeof(header), MSG_SLOT_BYTES - sizeof(header));
	memcpy(&header, src, sizeof(header));
	/* Publishes the message; pairs with the acquire in shm_rx_take(). */
	__atomic_store_n(first, header, __ATOMIC_RELEASE);
	tx->tail += slots;
}

/* Not by malloc(): the application may hold its locks while it waits for the thread that sends. */
static int overflow_put(struct shm_tx *tx, const void *message, unsigned slots)
{
	const uint8_t *src = message;
	void *p;

	if (shm_tx_waiting(tx) + slots > SHM_OVERFLOW_SLOTS)
		return -ENOBUFS;
	if (!tx->overflow) {
		p = mmap(NULL, SHM_OVERFLOW_SLOTS * MSG_SLOT_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			return -ENOMEM;
		(void)madvise(p, SHM_OVERFLOW_SLOTS * MSG_SLOT_BYTES, MADV_DONTFORK);
		tx->overflow = p;
	}
	for (unsigned i = 0; i < slots; i++)
		memcpy(tx->overflow[(tx->end + i) % SHM_OVERFLOW_SLOTS], src + i * MSG_SLOT_BYTES,
		       MSG_SLOT_BYTES);
	tx->end += slots;
	return 0;
}

/* The oldest message that waits, by copy: it may wrap around the end. */
static unsigned overflow_front(const struct shm_tx *tx, union shm_message *m)
{
	const uint64_t *first = tx->overflow[tx->first % SHM_OVERFLOW_SLOTS];

	memcpy(m->slot[0], first, MSG_SLOT_BYTES);
	for (unsigned i = 1; i < m->msg.slots; i++)
		memcpy(m->slot[i], tx->overflow[(tx->first + i) % SHM_OVERFLOW_SLOTS],
		       MSG_SLOT_BYTES);
	return m->msg.slots;
}

/* A burst is over: start at the front again and give back what it took, if it was large. */
static void overflow_reset(struct shm_tx *tx)
{
	uint64_t used_bytes = tx->end * MSG_SLOT_BYTES;

	if (used_bytes > SHM_OVERFLOW_SLOTS * MSG_SLOT_BYTES)
		used_bytes = SHM_OVERFLOW_SLOTS * MSG_SLOT_BYTES;
	if (used_bytes > 1u << 20)
		(void)madvise(tx->overflow, used_bytes, MADV_DONTNEED);
	tx->first = tx->end = 0;
}

int shm_tx_send(struct shm_tx *tx, const struct msg *m)
{
	/* What waits goes first. */
	int rc = shm_tx_waiting(tx) ? -EAGAIN : tx_room(tx, m->slots);

	if (rc == -EAGAIN) {
		rc = overflow_put(tx, m, m->slots);
		return rc ? rc : 1;
	}
	if (!rc)
		tx_put(tx, m, m->slots);
	return rc;
}

int shm_tx_flush(struct shm_tx *tx)
{
	union shm_message m;
	unsigned slots;
	int rc, n = 0;

	if (!shm_tx_waiting(tx))
		return 0;
	while (shm_tx_waiting(tx)) {
		slots = overflow_front(tx, &m);
		rc = tx_room(tx, slots);
		if (rc == -EAGAIN)
			return n;
		if (rc)
			return rc;
		tx_put(tx, &m, slots);
		tx->first += slots;
		n++;
	}
	overflow_reset(tx);
	return n;
}

void shm_rx_init(struct shm_rx *rx, struct shm_ring *ring)
{
	*rx = (struct shm_rx){ .ring = ring };
}

int shm_rx_take(struct shm_rx *rx, union shm_message *m)
{
	uint64_t *first = ring_slot(rx->ring, rx->head);
	unsigned slots;

	/* Pairs with the release in tx_put(). */
	m->slot[0][0] = __atomic_load_n(first, __ATOMIC_ACQUIRE);
	if (!m->slot[0][0])
		return 0;
	memcpy(&m->slot[0][1], first + 1, MSG_SLOT_BYTES - sizeof(*first));
	slots = m->msg.slots;
	if (slots != 1 && slots != MSG_SLOTS_MAX)
		return -EPROTO;
	for (unsigned i = 1; i < slots; i++)
		memcpy(m->slot[i], ring_slot(rx->ring, rx->head + i), MSG_SLOT_BYTES);
	for (unsigned i = 0; i < slots; i++)
		__atomic_store_n(ring_slot(rx->ring, rx->head + i), 0, __ATOMIC_RELAXED);
	rx->head += slots;
	/* The slots are clear before the sender may fill them again; pairs with tx_refresh(). */
	__atomic_store_n(&rx->ring->head, rx->head, __ATOMIC_RELEASE);
	return (int)slots;
}

bool shm_rx_done(struct shm_rx *rx)
{
	/* Pairs with tx_room(): the sender sees this head, or it is seen waiting here. */
	__atomic_store_n(&rx->ring->head, rx->head, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&rx->ring->sender_waits, __ATOMIC_SEQ_CST) &&
	       __atomic_exchange_n(&rx->ring->sender_waits, 0, __ATOMIC_SEQ_CST);
}
