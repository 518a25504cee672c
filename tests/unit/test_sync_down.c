/* SPDX-License-Identifier: MIT */
/*
 * Locks, when a rank dies that holds one, keeps one, waits for one or hands one over.
 */
#include <errno.h>

#include "sync_net.h"

static void sync_rank_down__holder(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, later;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	net_kill(net, 0, false);
	net_run(net);
	assert_down(&w, 0);
	assert_int_equal(sync_lock(net->s[1], key, &later, false), -EHOSTDOWN);
	assert_int_equal(later.blame, 0);
	assert_int_equal(sync_lock(net->s[2], key, &later, true), 1);
	net_run(net);
	assert_down(&later, 0);
	assert_int_equal(net->s[3]->entries.in_use, 0);
	net_destroy(net);
}

static void sync_rank_down__home(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait local, w, later;

	(void)state;
	take(net, 0, key);
	stand(net, 0, key, &local);
	stand(net, 1, key, &w);
	net_kill(net, 3, false);
	net_run(net);
	assert_down(&local, 3);
	assert_down(&w, 3);
	drop(net, 0, key);
	assert_int_equal(sync_lock(net->s[0], key, &later, false), -EHOSTDOWN);
	assert_int_equal(later.blame, 3);
	assert_int_equal(sync_lock(net->s[2], key, &later, false), -EHOSTDOWN);
	assert_int_equal(later.blame, 3);
	net_destroy(net);
}

static void sync_rank_down__successor(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	net_kill(net, 1, false);
	net_run(net);
	drop(net, 0, key);
	assert_ended(&next, 0);
	net_destroy(net);
}

/* The last successor: the holder keeps the lock, and may take it again. */
static void sync_rank_down__only_successor(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	net_kill(net, 1, false);
	while (net_step_pair(net, 1, 0)) /* the holder hears of it, the home does not */
		;
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	net_run(net);
	take(net, 0, key);
	drop(net, 0, key);
	take(net, 2, key);
	net_destroy(net);
}

static void sync_rank_down__grant_lost_with_its_sender(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	net->pipe[0 * 4 + 1].tail = net->pipe[0 * 4 + 1].head;
	net_kill(net, 0, false);
	net_run(net);
	assert_ended(&w, 0);
	drop(net, 1, key);
	take(net, 2, key);
	net_destroy(net);
}

static void sync_rank_down__handed_over_to_the_dead(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	net_kill(net, 1, false);
	while (net_step_pair(net, 1, 3)) /* the death overtakes the news of the hand-over */
		;
	net_run(net);
	assert_down(&next, 1);
	net_destroy(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_rank_down__holder),
		cmocka_unit_test(sync_rank_down__home),
		cmocka_unit_test(sync_rank_down__successor),
		cmocka_unit_test(sync_rank_down__only_successor),
		cmocka_unit_test(sync_rank_down__grant_lost_with_its_sender),
		cmocka_unit_test(sync_rank_down__handed_over_to_the_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
