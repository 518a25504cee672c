/* SPDX-License-Identifier: MIT */
/*
 * Message rings and mailboxes: order, wrap-around, waiting for room, broken peers, wake-ups.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "error.h"
#include "shm_ring.h"
#include "valgrind_here.h"

#define STRESS_MESSAGES (RUNNING_ON_VALGRIND ? 20000u : 300000u)

struct fixture {
	struct shm_box *box;
	int fd;
	struct shm_tx tx;
	struct shm_rx rx;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(shm_box_create(&f->box, &f->fd, 0, 3), 0);
	shm_tx_init(&f->tx, &f->box->ring[1]);
	shm_rx_init(&f->rx, &f->box->ring[1]);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	shm_tx_fini(&f->tx);
	munmap(f->box, shm_box_bytes(3));
	close(f->fd);
	free(f);
	return 0;
}

/* Message number i: every fifth takes four slots; every byte depends on i. */
static void fill(union shm_message *m, uint64_t i)
{
	unsigned slots = i % 5 == 4 ? MSG_SLOTS_MAX : 1;

	memset(m, (int)(i % 251) + 1, sizeof(*m));
	m->msg.kind = slots == 1 ? MSG_GETS : MSG_REGION_ADD;
	m->msg.slots = (uint8_t)slots;
	m->msg.src = 1;
	m->msg.page = i;
}

static void check(const union shm_message *m, uint64_t i)
{
	union shm_message want;

	fill(&want, i);
	assert_memory_equal(m, &want, want.msg.slots * MSG_SLOT_BYTES);
}

static int send_nth(struct shm_tx *tx, uint64_t i)
{
	union shm_message m;

	fill(&m, i);
	return shm_tx_send(tx, &m.msg);
}

static void take_nth(struct shm_rx *rx, uint64_t i)
{
	union shm_message m;

	assert_true(shm_rx_take(rx, &m) > 0);
	check(&m, i);
}

static void shm_rx_take__empty(void **state)
{
	struct fixture *f = *state;
	union shm_message m;

	assert_int_equal(shm_rx_take(&f->rx, &m), 0);
	assert_false(shm_rx_done(&f->rx));
}

static void shm_rx_take__in_order_across_the_end(void **state)
{
	struct fixture *f = *state;
	union shm_message m;

	/* Three laps, with one to seven messages in the ring. */
	for (uint64_t sent = 0, taken = 0; taken < 3 * SHM_RING_SLOTS;) {
		for (unsigned n = 1 + sent % 7; n > 0; n--)
			assert_int_equal(send_nth(&f->tx, sent++), 0);
		while (taken < sent)
			take_nth(&f->rx, taken++);
		assert_int_equal(shm_rx_take(&f->rx, &m), 0);
		assert_false(shm_rx_done(&f->rx));
	}
}

static void shm_tx_send__full_ring_keeps_order(void **state)
{
	struct fixture *f = *state;
	union shm_message m;
	uint64_t sent = 0, taken = 0;
	int rc;

	do
		rc = send_nth(&f->tx, sent++);
	while (rc == 0);
	assert_int_equal(rc, 1);
	/* There may be room for one slot, but what waits goes first. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(send_nth(&f->tx, sent++), 1);
	take_nth(&f->rx, taken++);
	assert_int_equal(send_nth(&f->tx, sent++), 1);
	assert_true(shm_rx_done(&f->rx));
	assert_false(shm_rx_done(&f->rx));
	while (taken < sent) {
		assert_true(shm_tx_flush(&f->tx) >= 0);
		while (shm_rx_take(&f->rx, &m) > 0)
			check(&m, taken++);
		shm_rx_done(&f->rx);
	}
	assert_int_equal(shm_tx_waiting(&f->tx), 0);
	assert_int_equal(send_nth(&f->tx, sent), 0);
	take_nth(&f->rx, sent);
}

static void shm_tx_flush__asks_again_while_room_is_short(void **state)
{
	struct fixture *f = *state;
	union shm_message m;

	for (unsigned i = 0; i < SHM_RING_SLOTS; i++)
		assert_int_equal(send_nth(&f->tx, 0), 0);
	assert_int_equal(send_nth(&f->tx, 4), 1);
	/* It needs four slots, and three are free. */
	for (unsigned i = 0; i < MSG_SLOTS_MAX - 1; i++) {
		assert_true(shm_rx_take(&f->rx, &m) > 0);
		assert_true(shm_rx_done(&f->rx));
		assert_int_equal(shm_tx_flush(&f->tx), 0);
	}
	assert_true(shm_rx_take(&f->rx, &m) > 0);
	assert_true(shm_rx_done(&f->rx));
	assert_int_equal(shm_tx_flush(&f->tx), 1);
	assert_int_equal(shm_tx_waiting(&f->tx), 0);
}

static void shm_tx_send__overflow_has_a_bound(void **state)
{
	struct fixture *f = *state;
	union shm_message m;
	uint64_t n = 0, i;
	int rc;

	fill(&m, 4);
	do
		rc = shm_tx_send(&f->tx, &m.msg);
	while (rc >= 0 && ++n);
	assert_int_equal(rc, -ENOBUFS);
	assert_int_equal(n, (SHM_RING_SLOTS + SHM_OVERFLOW_SLOTS) / MSG_SLOTS_MAX);
	/* Nothing is lost of what was taken. */
	for (i = 0; i < n; i++) {
		if (i % (SHM_RING_SLOTS / MSG_SLOTS_MAX) == 0)
			assert_true(shm_tx_flush(&f->tx) >= 0);
		take_nth(&f->rx, 4);
	}
	assert_int_equal(shm_rx_take(&f->rx, &m), 0);
	assert_int_equal(shm_tx_waiting(&f->tx), 0);
}

static void shm_tx_send__head_out_of_order(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < SHM_RING_SLOTS; i++)
		assert_int_equal(send_nth(&f->tx, 0), 0);
	f->box->ring[1].head = SHM_RING_SLOTS + 1;
	assert_int_equal(send_nth(&f->tx, 0), -EPROTO);
	f->box->ring[1].head = UINT64_MAX;
	assert_int_equal(send_nth(&f->tx, 0), -EPROTO);
}

static void shm_rx_take__impossible_length(void **state)
{
	static const uint8_t bad[] = { 0, 2, 3, MSG_SLOTS_MAX + 1, 255 };
	struct fixture *f = *state;
	struct msg *m = (struct msg *)(void *)f->box->ring[1].slot[0];
	union shm_message taken;

	for (size_t i = 0; i < sizeof(bad); i++) {
		m->kind = MSG_GETS;
		m->slots = bad[i];
		assert_int_equal(shm_rx_take(&f->rx, &taken), -EPROTO);
	}
}

static void shm_rx_take__message_is_a_copy(void **state)
{
	struct fixture *f = *state;
	union shm_message m;

	assert_int_equal(send_nth(&f->tx, 0), 0);
	assert_int_equal(shm_rx_take(&f->rx, &m), 1);
	memset(f->box->ring[1].slot, 0xff, sizeof(f->box->ring[1].slot));
	check(&m, 0);
}

static void shm_box_create__sealed_and_private(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, shm_box_bytes(3));
	assert_int_equal(ftruncate(f->fd, 4096), -1);
	assert_int_equal(ftruncate(f->fd, st.st_size + 4096), -1);
	assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
	/* Rings take memory when they are used. */
	assert_true(st.st_blocks * 512 <= 2 * 4096);
}

static void shm_map__no_address_space(void **state)
{
	struct fixture *f = *state;
	void *map;

	/* More than any processor can address. ENOMEM from the kernel; EINVAL from valgrind. */
	assert_true(shm_map(&map, f->fd, 1ull << 52, "something large") < 0);
	assert_non_null(strstr(error_text(), "something large"));
}

static void shm_box_notify__wakes_once(void **state)
{
	struct fixture *f = *state;

	assert_false(shm_box_pending(f->box, 3));
	assert_false(shm_box_notify(f->box, 2, false));
	assert_true(shm_box_pending(f->box, 3));
	shm_box_doze(f->box, false);
	assert_true(shm_box_notify(f->box, 1, false));
	assert_false(shm_box_notify(f->box, 2, false));
	assert_int_equal(f->box->pending[0], 6);
	shm_box_doze(f->box, false);
	assert_true(shm_box_stir(f->box));
	assert_false(shm_box_notify(f->box, 1, false));
}

static void shm_box_notify__wakes_the_drowsy_for_what_cannot_wait(void **state)
{
	struct fixture *f = *state;

	shm_box_doze(f->box, true);
	assert_false(shm_box_notify(f->box, 1, true));
	assert_int_equal(f->box->pending[0], 2);
	assert_true(shm_box_notify(f->box, 2, false));
	shm_box_doze(f->box, true);
	assert_false(shm_box_notify(f->box, 1, true));
	/* Drowsy no more: it looks at what is pending, and the next one wakes it. */
	shm_box_doze(f->box, false);
	assert_true(shm_box_pending(f->box, 3));
	assert_true(shm_box_notify(f->box, 1, true));
	shm_box_doze(f->box, true);
	assert_true(shm_box_stir(f->box));
	assert_false(shm_box_notify(f->box, 1, false));
}

/* Stress: two threads, a ring that is nearly always full. */

static void *stress_sender(void *arg)
{
	struct fixture *f = arg;

	for (uint64_t i = 0; i < STRESS_MESSAGES; i++) {
		/* Keep the queue short, so that it fills and empties many times. */
		if (send_nth(&f->tx, i) < 0)
			return "send failed";
		while (shm_tx_waiting(&f->tx) > 64) {
			if (shm_tx_flush(&f->tx) < 0)
				return "flush failed";
			sched_yield();
		}
	}
	while (shm_tx_waiting(&f->tx)) {
		if (shm_tx_flush(&f->tx) < 0)
			return "flush failed";
		sched_yield();
	}
	return NULL;
}

static void shm_rx_take__against_a_sending_thread(void **state)
{
	struct fixture *f = *state;
	union shm_message m;
	pthread_t thread;
	void *failure;
	int rc;

	assert_int_equal(pthread_create(&thread, NULL, stress_sender, f), 0);
	for (uint64_t i = 0; i < STRESS_MESSAGES;) {
		rc = shm_rx_take(&f->rx, &m);
		assert_true(rc >= 0);
		if (rc) {
			check(&m, i++);
			continue;
		}
		shm_rx_done(&f->rx);
		sched_yield();
	}
	pthread_join(thread, &failure);
	assert_null(failure);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(shm_rx_take__empty),
		T(shm_rx_take__in_order_across_the_end),
		T(shm_tx_send__full_ring_keeps_order),
		T(shm_tx_flush__asks_again_while_room_is_short),
		T(shm_tx_send__overflow_has_a_bound),
		T(shm_tx_send__head_out_of_order),
		T(shm_rx_take__impossible_length),
		T(shm_rx_take__message_is_a_copy),
		T(shm_box_create__sealed_and_private),
		T(shm_map__no_address_space),
		T(shm_box_notify__wakes_once),
		T(shm_box_notify__wakes_the_drowsy_for_what_cannot_wait),
		T(shm_rx_take__against_a_sending_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
