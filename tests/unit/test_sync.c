/* SPDX-License-Identifier: MIT */
/*
 * What all objects of the synchronisation share: names and homes, the table, nonsense from the
 * network. The objects themselves: test_sync_*.c.
 */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "sync_net.h"

static void sync_create__bad_size(void **state)
{
	struct sync *s;

	(void)state;
	assert_int_equal(sync_create(&s, 0, 0, &net_ops, NULL), -EINVAL);
	assert_int_equal(sync_create(&s, 0, RANKS_MAX + 1, &net_ops, NULL), -EINVAL);
	assert_int_equal(sync_create(&s, 3, 3, &net_ops, NULL), -EINVAL);
	assert_non_null(strstr(error_text(), "1 to 512"));
}

static void sync_home__spreads_neighbours(void **state)
{
	struct net *net = setup(7);
	unsigned count[7] = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 7000; i++)
		count[sync_home(net->s[0], 0x7e8000000000ull + i * 8)]++;
	for (unsigned r = 0; r < 7; r++)
		assert_in_range(count[r], 850, 1150);
	net_destroy(net);
}

static void object_get__many(void **state)
{
	struct net *net = setup(1);
	struct sync *s = net->s[0];
	unsigned n = RUNNING_ON_VALGRIND ? 3000 : 100000;
	unsigned longest = 0;

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(sync_lock(s, i * 4096, NULL, false), 0);
	for (uint64_t i = 0; i < n; i++) {
		unsigned chain = 1;

		for (struct object *o = object_find(s, i * 4096, OBJECT_LOCK); o; o = o->chain)
			chain++;
		if (chain > longest)
			longest = chain;
		assert_int_equal(sync_unlock(s, i * 4096), 0);
	}
	assert_int_equal(s->table.nobjects, n);
	assert_in_range(longest, 1, 16);
	net_destroy(net);
}

static void sync_message__nonsense_is_dropped(void **state)
{
	struct net *net = setup(4);
	unsigned n = RUNNING_ON_VALGRIND ? 20000 : 500000;
	struct sync_wait w[3];

	(void)state;
	net->on_wake = NULL;
	for (unsigned i = 0; i < n; i++) {
		struct msg m = { .kind = (uint8_t)draw(net, 256), .src = (uint16_t)draw(net, 6) };

		m.kind = i % 4 ? (uint8_t)(MSG_LOCK_GET + draw(net, MSG_KINDS - MSG_LOCK_GET))
			       : m.kind;
		m.flags = draw(net, 4);
		m.page = draw(net, 6);
		for (unsigned k = 0; k < 6; k++)
			m.word[k] = draw(net, 3) ? draw(net, 6) : (uint64_t)draw(net, ~0u) << 20;
		sync_message(net->s[0], &m);
		net_self(net, 0);
		if (i == n / 2)
			sync_rank_down(net->s[0], 9);
		if (i == 0) {
			sync_lock(net->s[0], 1, &w[0], false);
			sync_sem_wait(net->s[0], 2, &w[1], false);
			sync_barrier(net->s[0], &w[2], false);
		}
	}
	net_destroy(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sync_create__bad_size),
		cmocka_unit_test(sync_home__spreads_neighbours),
		cmocka_unit_test(object_get__many),
		cmocka_unit_test(sync_message__nonsense_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
