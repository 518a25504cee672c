/* SPDX-License-Identifier: MIT */
/*
 * The message rings of the shared-memory transport with a peer that has gone mad: it writes what it
 * likes into this rank's mailbox and into its own, and to its control socket.
 *
 * This is rank 0 of 2; rank 1 has connected as it should. The steps are rank 1's stores, and what
 * rank 0 does meanwhile. In the end rank 1 goes, and rank 0 must learn of it once, whatever went
 * before.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "shm_rank.h"
#include "stats.h"

#define POLLS_AT_END 600u /* a look at the events is due within them */
#define SENDS_MAX    2000u

struct script {
	struct input in;
	struct transport_shm *s;
	struct shm_box *mine; /* rank 0's mailbox */
	struct shm_box *theirs; /* rank 1's */
	int fd; /* rank 1's end of the connection; -1: closed */
	bool spoken; /* it was used */
	uint64_t tail; /* of rank 1's ring in rank 0's mailbox, as it should be */
	unsigned sends;
};

static struct shm_ring *ring(struct script *sc)
{
	return &sc->mine->ring[1];
}

/* A message as it should be, of any kind. */
static void put_message(struct script *sc)
{
	union shm_message m = { .msg = { .kind = input_byte(&sc->in), .slots = 1, .src = 1 } };

	if (m.msg.kind >= MSG_REGION_ALLOC && m.msg.kind <= MSG_REGION_FREED)
		m.msg.slots = MSG_SLOTS_MAX;
	for (unsigned i = 0; i < m.msg.slots; i++, sc->tail++)
		memcpy(ring(sc)->slot[sc->tail % SHM_RING_SLOTS], m.slot[i], MSG_SLOT_BYTES);
	sc->mine->pending[0] |= 2;
}

static void store_slot(struct script *sc)
{
	uint64_t slot = sc->tail + input_byte(&sc->in);
	unsigned word = input_byte(&sc->in) % SHM_SLOT_WORDS;

	ring(sc)->slot[slot % SHM_RING_SLOTS][word] = input_u64(&sc->in);
}

static void send_some(struct script *sc)
{
	unsigned n = input_byte(&sc->in), slots = n & 1 ? MSG_SLOTS_MAX : 1;
	union shm_message m = { .msg = { .kind = slots > 1 ? MSG_REGION_ADD : MSG_INV,
					 .slots = (uint8_t)slots } };

	for (; n && sc->sends < SENDS_MAX; n--, sc->sends++)
		fuzz_expect_reason(sc->s->base.ops->send(&sc->s->base, 1, &m.msg), "send");
}

static void speak(struct script *sc)
{
	uint8_t how = input_byte(&sc->in);

	if (sc->fd < 0)
		return;
	sc->spoken = true;
	if (how < 0x80)
		shm_rank_say(sc->fd, &how, 1, NULL, 0);
	else if (how < 0xc0)
		shutdown(sc->fd, how & 1 ? SHUT_WR : SHUT_RDWR);
	else {
		close(sc->fd);
		sc->fd = -1;
	}
}

static int poll_once(struct script *sc, int budget)
{
	int n = sc->s->base.ops->poll(&sc->s->base, budget);

	/* A peer that ends has its ring emptied before. */
	FUZZ_CHECK(n >= 0 && n <= budget + (int)SHM_RING_SLOTS + 1, "%d of %d", n, budget);
	return n;
}

static void step(struct script *sc)
{
	struct input *in = &sc->in;

	switch (input_byte(in) % 13) {
	case 0:
	case 1:
		put_message(sc);
		break;
	case 2:
		store_slot(sc);
		break;
	case 3:
		sc->mine->pending[input_byte(in) % SHM_PENDING_WORDS] = input_u64(in);
		break;
	case 4:
		sc->theirs->ring[0].head = input_u64(in);
		break;
	case 5:
		sc->theirs->ring[0].head += input_byte(in);
		sc->mine->pending[0] |= 2; /* room, it says */
		break;
	case 6:
		ring(sc)->sender_waits = input_byte(in);
		sc->theirs->asleep = input_byte(in);
		break;
	case 7:
		ring(sc)->head = input_u64(in);
		break;
	case 8:
		send_some(sc);
		break;
	case 9:
		poll_once(sc, 1 + input_byte(in) % 64);
		break;
	case 10:
		sc->s->base.ops->sleep(&sc->s->base, input_byte(in) & 1);
		break;
	case 11:
		speak(sc);
		break;
	case 12:
		sc->mine->asleep = input_byte(in);
		sc->mine->magic = input_byte(in);
		break;
	}
}

/* Rank 1 says its hello, and rank 0 hears it. */
static void connect_pair(struct script *sc)
{
	struct shm_card cards[2] = { sc->s->self.card, sc->s->self.card };
	struct shm_hello h;
	int fds[HELLO_FDS], rc;

	shm_rank_hello(&h, 1, 2);
	fds[HELLO_SEGMENT] = shm_rank_segment();
	fds[HELLO_BOX] = shm_rank_box(1, 2, &sc->theirs);
	fds[HELLO_EVENT] = sc->s->self.event_fd;
	sc->fd = shm_rank_dial(sc->s);
	shm_rank_say(sc->fd, &h, sizeof(h), fds, HELLO_FDS);
	rc = sc->s->base.ops->connect(&sc->s->base, NULL, (uint8_t *)cards, sizeof(cards[0]),
				      FUZZ_TOKEN, clock_ns() + 1000000000u);
	FUZZ_CHECK(rc == 0, "%s", dsm_errmsg());
	sc->mine = sc->s->box;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct script sc = { .in = { data, data + len } };

	fuzz_clock_start();
	sc.s = shm_rank_create(0, 2);
	connect_pair(&sc);
	fuzz_log_clear();
	while (input_left(&sc.in))
		step(&sc);
	/* Nothing has ended the connection but rank 0, which must have said why. */
	FUZZ_CHECK(!shm_downs || sc.spoken || fuzz_log_lines(), "rank 1 went down without a word");
	if (sc.fd >= 0)
		close(sc.fd);
	for (unsigned i = 0; i < POLLS_AT_END && !shm_downs; i++)
		poll_once(&sc, 64);
	FUZZ_CHECK(shm_downs == 1, "rank 1 went down %u times", shm_downs);
	sc.s->base.ops->destroy(&sc.s->base);
	fuzz_clock_stop();
	return 0;
}
