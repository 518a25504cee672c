/* SPDX-License-Identifier: MIT */
/*
 * Locks: who takes them, who waits, who gives up.
 */
#include <errno.h>

#include "sync_net.h"

static void sync_lock__home_asks_nobody(void **state)
{
	struct net *net = setup(4);

	(void)state;
	assert_int_equal(sync_lock(net->s[2], key_at(net, 2, 0), NULL, false), 0);
	assert_int_equal(sync_unlock(net->s[2], key_at(net, 2, 0)), 0);
	assert_int_equal(net->sent, 0);
	net_destroy(net);
}

static void sync_lock__again_asks_nobody(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 2, 0);
	unsigned sent;

	(void)state;
	take(net, 1, key);
	drop(net, 1, key);
	sent = net->sent;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(sync_lock(net->s[1], key, NULL, i & 1), 0);
		assert_int_equal(sync_unlock(net->s[1], key), 0);
	}
	assert_int_equal(net->sent, sent);
	net_destroy(net);
}

static void sync_lock__hand_over_is_one_hop(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_true(net_step_pair(net, 0, 1));
	assert_ended(&w, 0);
	net_run(net);
	assert_int_equal(sync_lock_holder(net->s[2], key), 1);
	assert_int_equal(sync_lock_holder(net->s[0], key), 1);
	net_destroy(net);
}

static void sync_lock__remote_goes_before_later_local(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait before, remote, after;

	(void)state;
	take(net, 0, key);
	stand(net, 0, key, &before);
	stand(net, 1, key, &remote);
	stand(net, 0, key, &after);
	drop(net, 0, key);
	assert_ended(&before, 0);
	drop(net, 0, key);
	assert_ended(&remote, 0);
	assert_int_not_equal(after.kind, WAIT_NONE);
	drop(net, 1, key);
	assert_ended(&after, 0);
	net_destroy(net);
}

static void sync_lock__try(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w, other;

	(void)state;
	take(net, 0, key);
	assert_int_equal(sync_lock(net->s[0], key, &w, true), -EBUSY);
	assert_int_equal(sync_lock(net->s[1], key, &w, true), 1);
	net_run(net);
	assert_ended(&w, -EBUSY);
	assert_int_equal(sync_lock_holder(net->s[1], key), 0);
	drop(net, 0, key);
	/* Merely cached at rank 0: two tries at once, one has it. */
	assert_int_equal(sync_lock(net->s[1], key, &w, true), 1);
	assert_int_equal(sync_lock(net->s[2], key, &other, true), 1);
	net_run(net);
	assert_int_equal(w.kind, WAIT_NONE);
	assert_int_equal(other.kind, WAIT_NONE);
	assert_true((w.result == 0 && other.result == -EBUSY) ||
		    (w.result == -EBUSY && other.result == 0));
	assert_int_equal(net->s[2]->entries.in_use, 0);
	net_destroy(net);
}

/* One thread is in line, whose turn the holder alone can tell: the answer comes all the same. */
static void sync_lock__try_behind_a_wait(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, try_w[2];

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sync_lock(net->s[2], key, &try_w[i], true), 1);
	net_run(net);
	assert_ended(&try_w[0], -EBUSY);
	assert_ended(&try_w[1], -EBUSY);
	drop(net, 0, key);
	assert_ended(&w, 0);
	net_destroy(net);
}

/* It had its turn, but the home does not know: the lock is free, a try has it. */
static void sync_lock__try_behind_a_wait_that_is_over(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, try_w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_true(net_step_pair(net, 0, 1));
	assert_ended(&w, 0);
	assert_int_equal(sync_unlock(net->s[1], key), 0);
	assert_int_equal(sync_lock(net->s[2], key, &try_w, true), 1);
	assert_true(net_step_pair(net, 2, 3)); /* before the news from rank 0 */
	net_run(net);
	assert_ended(&try_w, 0);
	net_destroy(net);
}

static void sync_unlock__not_held(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 1, 0);

	(void)state;
	assert_int_equal(sync_unlock(net->s[0], key), -EPERM);
	take(net, 1, key);
	assert_int_equal(sync_unlock(net->s[0], key), -EPERM);
	drop(net, 1, key);
	assert_int_equal(sync_unlock(net->s[1], key), -EPERM);
	net_destroy(net);
}

static void sync_lock__no_memory(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 1, 0), other = key_at(net, 1, 1);
	struct sync_wait w;

	(void)state;
	net->s[0]->objects_max = 0;
	assert_int_equal(sync_lock(net->s[0], key, &w, false), -ENOMEM);
	net->s[0]->objects_max = 10;
	net->s[1]->objects_max = 1;
	assert_int_equal(sync_lock(net->s[0], key, &w, false), 1);
	net_run(net);
	assert_ended(&w, -ENOMEM);
	net->s[1]->objects_max = 10;
	net->s[1]->entries_max = 0;
	assert_int_equal(sync_lock(net->s[0], other, &w, false), 1);
	net_run(net);
	assert_ended(&w, -ENOMEM);
	net->s[1]->entries_max = 10;
	take(net, 0, key);
	take(net, 0, other);
	net_destroy(net);
}

/*
 * Locks: giving up
 */

static void sync_cancel__local(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 0, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 0, key, &w);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	assert_ended(&w, -ETIMEDOUT);
	drop(net, 0, key);
	assert_int_equal(net->nwoken, 0);
	assert_int_equal(sync_cancel(net->s[0], &w), 0);
	net_destroy(net);
}

static void sync_cancel__successor(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	net_run(net);
	assert_ended(&w, -ETIMEDOUT);
	assert_int_equal(sync_lock_holder(net->s[1], key), 0);
	drop(net, 0, key);
	assert_ended(&next, 0);
	net_destroy(net);
}

static void sync_cancel__grant_came_first(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_true(net_step_pair(net, 0, 3)); /* the home knows */
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	net_run(net);
	assert_ended(&w, 0);
	drop(net, 1, key);
	net_destroy(net);
}

static void sync_cancel__token_comes_later(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 3, 0);
	struct sync_wait w, next;

	(void)state;
	take(net, 0, key);
	stand(net, 1, key, &w);
	stand(net, 2, key, &next);
	assert_int_equal(sync_unlock(net->s[0], key), 0);
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	while (net_step_pair(net, 1, 3)) /* the cancel overtakes the news */
		;
	while (net_step_pair(net, 3, 1))
		;
	assert_ended(&w, -ETIMEDOUT);
	net_run(net);
	assert_ended(&next, 0);
	assert_false(((struct lock *)object_find(net->s[1], key, OBJECT_LOCK))->held);
	net_destroy(net);
}

static void sync_cancel__home_does_not_answer(void **state)
{
	struct net *net = setup(4);
	uint64_t lock = key_at(net, 3, 0), sem = key_at(net, 3, 1);
	struct sync_wait w, v, next;

	(void)state;
	take(net, 0, lock);
	stand(net, 1, lock, &w);
	stand(net, 2, lock, &next);
	assert_int_equal(sync_sem_wait(net->s[1], sem, &v, false), 1);
	net_run(net);
	assert_int_equal(sync_unlock(net->s[0], lock), 0);
	assert_int_equal(sync_sem_post(net->s[3], sem, &next), 0);
	assert_int_equal(sync_cancel(net->s[1], &w), 1);
	assert_int_equal(sync_cancel(net->s[1], &w), 0);
	assert_int_equal(sync_cancel(net->s[1], &v), 1);
	assert_int_equal(sync_cancel(net->s[1], &v), 0);
	assert_ended(&w, -ETIMEDOUT);
	assert_ended(&v, -ETIMEDOUT);
	memset(&w, 0xee, sizeof(w));
	memset(&v, 0xee, sizeof(v));
	net_run(net);
	assert_ended(&next, 0);
	assert_int_equal(sync_sem_wait(net->s[3], sem, &v, true), 0);
	assert_int_equal(net->s[1]->objects.in_use, net->s[1]->table.nobjects);
	assert_int_equal(((struct lock *)object_find(net->s[1], lock, OBJECT_LOCK))->asked, 0);
	net_destroy(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_lock__home_asks_nobody),
		cmocka_unit_test(sync_lock__again_asks_nobody),
		cmocka_unit_test(sync_lock__hand_over_is_one_hop),
		cmocka_unit_test(sync_lock__remote_goes_before_later_local),
		cmocka_unit_test(sync_lock__try),
		cmocka_unit_test(sync_lock__try_behind_a_wait),
		cmocka_unit_test(sync_lock__try_behind_a_wait_that_is_over),
		cmocka_unit_test(sync_unlock__not_held),
		cmocka_unit_test(sync_lock__no_memory),
		cmocka_unit_test(sync_cancel__local),
		cmocka_unit_test(sync_cancel__successor),
		cmocka_unit_test(sync_cancel__grant_came_first),
		cmocka_unit_test(sync_cancel__token_comes_later),
		cmocka_unit_test(sync_cancel__home_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
