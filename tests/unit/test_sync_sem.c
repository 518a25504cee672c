/* SPDX-License-Identifier: MIT */
/*
 * Semaphores.
 */
#include <errno.h>

#include "sync_net.h"

static int sem_call(struct net *net, int rc, struct sync_wait *w)
{
	if (rc != 1)
		return rc;
	net_run(net);
	assert_int_equal(w->kind, WAIT_NONE);
	return w->result;
}

static void sync_sem__values(void **state)
{
	struct net *net = setup(3);
	struct sync_wait w;

	(void)state;
	for (unsigned r = 0; r < 3; r++) { /* r 2: at the home */
		struct sync *s = net->s[r];
		uint64_t key = key_at(net, 2, r);

		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, true), &w), -EAGAIN);
		assert_int_equal(sem_call(net, sync_sem_set(s, key, 2, &w), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, true), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, false), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(s, key, &w, true), &w), -EAGAIN);
		assert_null(object_find(net->s[2], key, OBJECT_SEM));
		assert_int_equal(sem_call(net, sync_sem_set(s, key, 1u << 31, &w), &w), -EOVERFLOW);
		assert_int_equal(sem_call(net, sync_sem_set(s, key, INT32_MAX, &w), &w), 0);
		assert_int_equal(sem_call(net, sync_sem_post(s, key, &w), &w), -EOVERFLOW);
		assert_int_equal(sem_call(net, sync_sem_set(s, key, 0, &w), &w), 0);
	}
	assert_int_equal(net->s[2]->objects.in_use, 0);
	net_destroy(net);
}

static void sync_sem__first_come_first_served(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w[4], v;

	(void)state;
	for (unsigned r = 0; r < 4; r++) {
		assert_int_equal(sync_sem_wait(net->s[r], key, &w[r], false), 1);
		net_run(net);
	}
	assert_int_equal(sem_call(net, sync_sem_set(net->s[0], key, 1, &v), &v), -EBUSY);
	assert_int_equal(sync_cancel(net->s[1], &w[1]), 1);
	net_run(net);
	assert_ended(&w[1], -ETIMEDOUT);
	for (unsigned r = 0; r < 4; r++) {
		if (r == 1)
			continue;
		assert_int_not_equal(w[r].kind, WAIT_NONE);
		assert_int_equal(sem_call(net, sync_sem_post(net->s[1], key, &v), &v), 0);
		assert_ended(&w[r], 0);
	}
	assert_int_equal(net->s[2]->objects.in_use, 0);
	assert_int_equal(net->s[2]->entries.in_use, 0);
	net_destroy(net);
}

/* The next post may have been the dead rank's to make. */
static void sync_sem__any_rank_down(void **state)
{
	struct net *net = setup(4);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w[3], v;

	(void)state;
	for (unsigned r = 0; r < 3; r++)
		assert_int_equal(sync_sem_wait(net->s[r], key, &w[r], false), 1);
	net_run(net);
	net_kill(net, 3, false);
	net_run(net);
	for (unsigned r = 0; r < 3; r++) {
		assert_down(&w[r], 3);
		assert_int_equal(sem_call(net, sync_sem_wait(net->s[r], key, &v, true), &v),
				 -EAGAIN);
		assert_int_equal(sem_call(net, sync_sem_wait(net->s[r], key, &v, false), &v),
				 -EHOSTDOWN);
		assert_int_equal(v.blame, 3);
		assert_int_equal(sem_call(net, sync_sem_post(net->s[r], key, &v), &v), 0);
		assert_int_equal(sem_call(net, sync_sem_wait(net->s[r], key, &v, false), &v), 0);
	}
	assert_int_equal(net->s[2]->objects.in_use, 0);
	assert_int_equal(net->s[2]->entries.in_use, 0);
	net_destroy(net);
}

static void sync_sem__home_down(void **state)
{
	struct net *net = setup(3);
	uint64_t key = key_at(net, 2, 0);
	struct sync_wait w, v;

	(void)state;
	assert_int_equal(sync_sem_wait(net->s[0], key, &w, false), 1);
	net_kill(net, 2, false);
	net_run(net);
	assert_down(&w, 2);
	assert_int_equal(sync_sem_post(net->s[1], key, &v), -EHOSTDOWN);
	assert_int_equal(v.blame, 2);
	net_destroy(net);
}

static void sync_sem__no_memory(void **state)
{
	struct net *net = setup(2);
	uint64_t key = key_at(net, 1, 0);
	struct sync_wait w;

	(void)state;
	net->s[1]->objects_max = 0;
	assert_int_equal(sem_call(net, sync_sem_post(net->s[0], key, &w), &w), -ENOMEM);
	assert_int_equal(sem_call(net, sync_sem_wait(net->s[1], key, &w, false), &w), -ENOMEM);
	net->s[1]->objects_max = 1;
	net->s[1]->entries_max = 0;
	assert_int_equal(sem_call(net, sync_sem_wait(net->s[0], key, &w, false), &w), -ENOMEM);
	assert_int_equal(net->s[1]->objects.in_use, 0);
	net_destroy(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_sem__values),
		cmocka_unit_test(sync_sem__first_come_first_served),
		cmocka_unit_test(sync_sem__any_rank_down),
		cmocka_unit_test(sync_sem__home_down),
		cmocka_unit_test(sync_sem__no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
