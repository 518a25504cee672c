/* SPDX-License-Identifier: MIT */
/*
 * Condition variables.
 */
#include <errno.h>

#include "sync_net.h"

/* Signal, and let the network settle. */
static void signal_one(struct net *net, unsigned rank, uint64_t cond, bool all)
{
	struct sync_wait w;

	if (sync_cond_signal(net->s[rank], cond, all, &w) == 1) {
		net_run(net);
		assert_ended(&w, 0);
	}
	net_run(net);
}

static void sync_cond__lock_is_held_until_queued(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 2, 1);
	struct sync_wait w, v;

	(void)state;
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), -EPERM);
	take(net, 0, lock);
	stand(net, 1, lock, &v);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	assert_true(net_step_pair(net, 0, 3));
	assert_int_not_equal(v.kind, WAIT_NONE);
	assert_true(net_step_pair(net, 3, 0));
	net_run(net);
	assert_ended(&v, 0);
	signal_one(net, 1, cond, false);
	assert_ended(&w, 0);
	assert_int_equal(net->s[3]->objects.in_use, 0);
	net_destroy(net);
}

static void sync_cond__signal_and_broadcast(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 2, 1);
	struct sync_wait w[4];

	(void)state;
	for (unsigned r = 0; r < 4; r++) {
		take(net, r, lock);
		assert_int_equal(sync_cond_wait(net->s[r], cond, lock, &w[r]), 1);
		net_run(net);
	}
	signal_one(net, 3, cond, false);
	assert_ended(&w[0], 0);
	assert_int_equal(w[1].kind, WAIT_COND);
	assert_int_equal(sync_cancel(net->s[2], &w[2]), 1);
	net_run(net);
	assert_ended(&w[2], -ETIMEDOUT);
	signal_one(net, 0, cond, true);
	assert_ended(&w[1], 0);
	assert_ended(&w[3], 0);
	signal_one(net, 0, cond, false);
	assert_int_equal(net->s[3]->entries.in_use, 0);
	net_destroy(net);
}

/* A signal that is delayed on its way: the call has not returned, so that nothing that comes after
 * it, by whatever way, overtakes it. */
static void sync_cond__signal_is_done_on_return(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 0, 0);
	struct sync_wait signal, w;

	(void)state;
	for (unsigned all = 0; all < 2; all++) {
		int rc = sync_cond_signal(net->s[1], cond, all, &signal);

		while (rc == 1 && signal.kind != WAIT_NONE)
			assert_true(net_step(net));
		/* Only now, and elsewhere; and what the wait sends is the first to arrive. */
		take(net, 0, lock);
		assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
		assert_true(net_step_pair(net, 0, 3));
		net_run(net);
		assert_int_equal(w.kind, WAIT_COND);
		assert_int_equal(sync_cancel(net->s[0], &w), 1);
		net_run(net);
		assert_ended(&w, -ETIMEDOUT);
	}
	net_destroy(net);
}

/* A signal whose home dies, or does not answer. */
static void sync_cond__signal_unanswered(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	assert_int_equal(sync_cond_signal(net->s[0], cond, false, &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	assert_ended(&w, -ETIMEDOUT);
	net_run(net); /* the answer finds nobody */
	assert_int_equal(sync_cond_signal(net->s[0], cond, true, &w), 1);
	net_kill(net, 3, false);
	net_run(net);
	assert_down(&w, 3);
	assert_int_equal(net->s[0]->objects.in_use, 0);
	net_destroy(net);
}

/* The next signal may have been the dead rank's to send. */
static void sync_cond__any_rank_down(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 2, 0);
	struct sync_wait w;

	(void)state;
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned r = 0; r < 3; r++) {
			uint64_t lock = key_at(net, r, 1 + r);
			int rc;

			take(net, r, lock);
			rc = sync_cond_wait(net->s[r], cond, lock, &w);
			net_run(net);
			if (!again && r == 0)
				net_kill(net, 3, false);
			net_run(net);
			if (rc == 1)
				assert_down(&w, 3);
			else
				assert_int_equal(rc, -EHOSTDOWN);
			take(net, r, lock); /* it was released */
			assert_int_equal(sync_unlock(net->s[r], lock), 0);
			net_run(net);
		}
	}
	assert_int_equal(net->s[2]->entries.in_use, 0);
	net_destroy(net);
}

/* However the wait ends, the lock is free then. */
static void sync_cond__lock_is_released_on_failure(void **state)
{
	struct net *net = setup(4);
	uint64_t cond = key_at(net, 3, 0), lock = key_at(net, 2, 1);
	struct sync_wait w;

	(void)state;
	net->s[3]->objects_max = 0;
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	net_run(net);
	assert_ended(&w, -ENOMEM);
	net->s[3]->objects_max = 1;
	take(net, 3, lock);
	assert_int_equal(sync_cond_wait(net->s[3], cond, lock, &w), -ENOMEM);
	net->s[3]->objects_max = 10;
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 1);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	net_run(net);
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), 1);
	net_kill(net, 3, true);
	net_run(net);
	assert_down(&w, 3);
	take(net, 0, lock);
	assert_int_equal(sync_cond_wait(net->s[0], cond, lock, &w), -EHOSTDOWN);
	assert_int_equal(sync_cond_signal(net->s[0], cond, false, &w), -EHOSTDOWN);
	assert_int_equal(w.blame, 3);
	take(net, 1, lock);
	net_destroy(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_cond__lock_is_held_until_queued),
		cmocka_unit_test(sync_cond__signal_and_broadcast),
		cmocka_unit_test(sync_cond__signal_is_done_on_return),
		cmocka_unit_test(sync_cond__signal_unanswered),
		cmocka_unit_test(sync_cond__any_rank_down),
		cmocka_unit_test(sync_cond__lock_is_released_on_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
