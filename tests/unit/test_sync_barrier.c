/* SPDX-License-Identifier: MIT */
/*
 * Barriers, and the one of dsm_fini().
 */
#include <errno.h>

#include "sync_net.h"

static void barrier_round(struct net *net, struct sync_wait *w, unsigned n, bool leave)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned r = (i * 7 + 3) % n; /* n is no multiple of 7 */
		int rc;

		w[r].kind = WAIT_NONE;
		for (unsigned k = draw(net, 4); k; k--)
			net_step(net);
		rc = sync_barrier(net->s[r], &w[r], leave);
		w[r].result = rc == 1 ? w[r].result : rc;
		if (rc == 0) /* only the last one may find all the others there */
			assert_int_equal(i + 1, n);
		else
			assert_int_equal(rc, 1);
		if (i + 1 < n)
			for (unsigned k = 0; k <= i; k++)
				assert_int_not_equal(w[(k * 7 + 3) % n].kind, WAIT_NONE);
	}
	net_run(net);
	for (unsigned r = 0; r < n; r++)
		assert_ended(&w[r], 0);
}

static void sync_barrier__sizes(void **state)
{
	static const unsigned sizes[] = { 1, 2, 3, 4, 5, 8, 9, 13, 64, 100, 512 };
	struct sync_wait w[512];

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct net *net;

		if (RUNNING_ON_VALGRIND && sizes[i] > 64)
			continue;
		net = setup(sizes[i]);
		for (unsigned round = 0; round < 3; round++)
			barrier_round(net, w, sizes[i], false);
		barrier_round(net, w, sizes[i], true);
		assert_int_equal(net->sent, 4 * sizes[i] * net->s[0]->rounds);
		net_destroy(net);
	}
}

static void sync_barrier__busy(void **state)
{
	struct net *net = setup(2);
	struct sync_wait w, v;

	(void)state;
	assert_int_equal(sync_barrier(net->s[0], &w, false), 1);
	assert_int_equal(sync_barrier(net->s[0], &v, false), -EBUSY);
	net_destroy(net);
}

static void sync_barrier__resumed_after_time_out(void **state)
{
	struct net *net = setup(3);
	struct sync_wait w[3];

	(void)state;
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 1);
	assert_int_equal(sync_cancel(net->s[0], &w[0]), 0);
	assert_ended(&w[0], -ETIMEDOUT);
	assert_int_equal(sync_barrier(net->s[1], &w[1], false), 1);
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 1);
	assert_int_equal(sync_cancel(net->s[0], &w[0]), 0);
	assert_int_equal(sync_barrier(net->s[2], &w[2], false), 1);
	net_run(net);
	assert_ended(&w[1], 0);
	assert_ended(&w[2], 0);
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 0);
	assert_int_equal(sync_barrier(net->s[0], &w[0], false), 1);
	net_destroy(net);
}

static void sync_barrier__rank_down(void **state)
{
	struct net *net = setup(5);
	struct sync_wait w[5];

	(void)state;
	for (unsigned r = 0; r < 3; r++)
		assert_int_equal(sync_barrier(net->s[r], &w[r], false), 1);
	net_kill(net, 4, false);
	net_run(net);
	for (unsigned r = 0; r < 3; r++)
		assert_down(&w[r], 4);
	assert_int_equal(sync_barrier(net->s[3], &w[3], false), -EHOSTDOWN);
	assert_int_equal(w[3].blame, 4);
	net_destroy(net);
}

/* Whatever a rank's end overtakes: it left, so the others leave. */
static void sync_barrier__left_is_not_dead(void **state)
{
	struct sync_wait w[7];

	(void)state;
	for (unsigned seed = 0; seed < 100; seed++) {
		struct net *net = net_create(7, seed);

		for (unsigned r = 0; r < 7; r++)
			assert_int_equal(sync_barrier(net->s[r], &w[r], true), 1);
		while (net_step(net))
			for (unsigned r = 0; r < 7; r++)
				if (net->alive[r] && w[r].kind == WAIT_NONE)
					net_kill(net, r, false);
		for (unsigned r = 0; r < 7; r++)
			assert_ended(&w[r], 0);
		net_destroy(net);
	}
}

/*
 * One that dies before it has left: all others come to an end, whenever they came; with success
 * only if it had come, and had told of it.
 */
static void sync_barrier__dead_before_it_left(void **state)
{
	struct sync_wait w[7];

	(void)state;
	for (unsigned seed = 0; seed < 200; seed++) {
		struct net *net = net_create(7, seed);
		unsigned dead = seed % 7, when = draw(net, 30);
		int rc[7];

		for (unsigned i = 0; i < 7; i++) {
			unsigned r = (dead + i) % 7;

			rc[r] = 1;
			if (r == dead && seed & 1)
				continue;
			if (i < 6) /* the last comes after the death */
				rc[r] = sync_barrier(net->s[r], &w[r], true);
		}
		for (; when && net_step(net); when--)
			;
		net_kill(net, dead, true);
		for (when = draw(net, 10); when && net_step(net); when--)
			;
		rc[(dead + 6) % 7] = sync_barrier(net->s[(dead + 6) % 7], &w[(dead + 6) % 7], true);
		net_run(net);
		for (unsigned r = 0; r < 7; r++) {
			if (r == dead)
				continue;
			if (rc[r] == 1) {
				assert_int_equal(w[r].kind, WAIT_NONE);
				rc[r] = w[r].result;
			}
			if (!(seed & 1) && rc[r] == 0)
				continue;
			assert_int_equal(rc[r], -EHOSTDOWN);
			assert_int_equal(w[r].blame, dead);
		}
		net_destroy(net);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_barrier__sizes),
		cmocka_unit_test(sync_barrier__busy),
		cmocka_unit_test(sync_barrier__resumed_after_time_out),
		cmocka_unit_test(sync_barrier__rank_down),
		cmocka_unit_test(sync_barrier__left_is_not_dead),
		cmocka_unit_test(sync_barrier__dead_before_it_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
