/* SPDX-License-Identifier: MIT */
/*
 * The choice between the ways to launch, the cluster of one, and what the ways share.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "error.h"
#include "launch.h"
#include "stats.h"

static uint8_t cards[2 * LAUNCH_CARD_MAX];

static struct settings default_settings(void)
{
	return (struct settings){ .rank = -1, .size = -1, .timeout_ms = 1000 };
}

static uint64_t soon_ns(void)
{
	return clock_ns() + 1000000000;
}

/* No launcher is around this test, whatever started it. */
static int forget_launchers(void **state)
{
	static const char *const names[] = { "PMIX_NAMESPACE", "PMIX_RANK", "PMI_SIZE",
					     "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS" };

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	error_clear();
	return 0;
}

static void launch_create__auto_is_alone(void **state)
{
	struct settings s = default_settings();
	struct launch *l = NULL;

	(void)state;
	assert_int_equal(launch_create(&l, &s), 0);
	assert_string_equal(l->ops->name, "alone");
	assert_int_equal(l->rank, 0);
	assert_int_equal(l->size, 1);
	assert_string_equal(error_text(), "");
	l->ops->destroy(l);
}

static void launch_create__auto_is_tcp_when_told_rank_size_or_root(void **state)
{
	struct settings s[3] = { default_settings(), default_settings(), default_settings() };
	struct launch *l = NULL;

	(void)state;
	s[0].rank = 0;
	s[1].size = 2;
	strcpy(s[2].root, "localhost:7000");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(launch_create(&l, &s[i]), -EINVAL);
		assert_non_null(strstr(error_text(), "is not set"));
		assert_null(l);
	}
	s[0].size = 1;
	assert_int_equal(launch_create(&l, &s[0]), 0);
	assert_string_equal(l->ops->name, "tcp");
	l->ops->destroy(l);
}

static void launch_create__pmix_without_server(void **state)
{
	struct settings s = default_settings();
	struct launch *l = NULL;

	(void)state;
	s.launch = LAUNCH_PMIX;
	assert_int_equal(launch_create(&l, &s), -EINVAL);
	assert_non_null(strstr(error_text(), "DSM_LAUNCH is pmix"));
	assert_null(l);
}

#ifdef HAVE_PMIX
static void launch_pmix_create__no_server(void **state)
{
	struct settings s = default_settings();
	struct launch *l = NULL;

	(void)state;
	assert_int_equal(launch_pmix_create(&l, &s), -ENOENT);
	assert_null(l);
}
#endif

static void launch_alone_create__contradiction(void **state)
{
	struct settings s = default_settings();
	struct launch *l = NULL;

	(void)state;
	s.launch = LAUNCH_ALONE;
	s.rank = 1;
	s.size = 2;
	assert_int_equal(launch_create(&l, &s), -EINVAL);
	assert_non_null(strstr(error_text(), "DSM_SIZE"));
	assert_null(l);
}

static void exchange__alone_draws_a_token(void **state)
{
	struct settings s = default_settings();
	struct launch *a = NULL, *b = NULL;

	(void)state;
	s.launch = LAUNCH_ALONE;
	assert_int_equal(launch_create(&a, &s), 0);
	assert_int_equal(launch_create(&b, &s), 0);
	memset(cards, 0xee, sizeof(cards));
	assert_int_equal(a->ops->exchange(a, "card", 4, cards, soon_ns()), 0);
	assert_int_equal(b->ops->exchange(b, "card", 4, cards, soon_ns()), 0);
	assert_memory_equal(cards, "card\0\0\0\0", 8);
	assert_int_equal(cards[LAUNCH_CARD_MAX - 1], 0);
	assert_int_equal(cards[LAUNCH_CARD_MAX], 0xee);
	assert_int_equal(strlen(a->token), 32);
	assert_int_equal(strspn(a->token, "0123456789abcdef"), 32);
	assert_string_not_equal(a->token, b->token);
	a->ops->destroy(a);
	b->ops->destroy(b);
}

static void exchange__alone_keeps_the_given_token(void **state)
{
	struct settings s = default_settings();
	struct launch *l = NULL;

	(void)state;
	strcpy(s.token, "a given token");
	assert_int_equal(launch_create(&l, &s), 0);
	assert_int_equal(l->ops->exchange(l, "", 0, cards, soon_ns()), 0);
	assert_string_equal(l->token, "a given token");
	l->ops->destroy(l);
}

static void exchange__card_too_long(void **state)
{
	static const uint8_t card[LAUNCH_CARD_MAX + 1];
	struct settings s = default_settings();
	struct launch *l = NULL;

	(void)state;
	assert_int_equal(launch_create(&l, &s), 0);
	assert_int_equal(l->ops->exchange(l, card, sizeof(card), cards, soon_ns()), -EINVAL);
	assert_int_equal(l->ops->exchange(l, card, sizeof(card) - 1, cards, soon_ns()), 0);
	l->ops->destroy(l);
}

static void launch_token_equal__differences(void **state)
{
	char a[CONFIG_TOKEN_MAX] = "12345678", b[CONFIG_TOKEN_MAX] = "12345678";

	(void)state;
	assert_true(launch_token_equal(a, b));
	b[0] = '2';
	assert_false(launch_token_equal(a, b));
	b[0] = '1';
	b[8] = '9';
	assert_false(launch_token_equal(a, b));
	assert_false(launch_token_equal(b, a));
}

static const char *ranks_text(const unsigned *ranks, unsigned n, size_t len)
{
	static char buf[100];
	struct rankset set = { 0 };

	for (unsigned i = 0; i < n; i++)
		rankset_add(&set, ranks[i]);
	return launch_ranks_text(&set, buf, len);
}

static void launch_ranks_text__runs(void **state)
{
	unsigned all[RANKS_MAX];

	(void)state;
	for (unsigned r = 0; r < RANKS_MAX; r++)
		all[r] = r;
	assert_string_equal(ranks_text((unsigned[]){ 3 }, 1, 100), "rank 3");
	assert_string_equal(ranks_text((unsigned[]){ 3, 4 }, 2, 100), "ranks 3, 4");
	assert_string_equal(ranks_text((unsigned[]){ 3, 4, 5, 70, 511 }, 5, 100),
			    "ranks 3-5, 70, 511");
	assert_string_equal(ranks_text(all, RANKS_MAX, 100), "ranks 0-511");
	assert_string_equal(ranks_text((unsigned[]){ 100, 200, 300, 400 }, 4, 20),
			    "ranks 100, 200, ...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(launch_create__auto_is_alone, forget_launchers),
		cmocka_unit_test_setup(launch_create__auto_is_tcp_when_told_rank_size_or_root,
				       forget_launchers),
		cmocka_unit_test_setup(launch_create__pmix_without_server, forget_launchers),
#ifdef HAVE_PMIX
		cmocka_unit_test_setup(launch_pmix_create__no_server, forget_launchers),
#endif
		cmocka_unit_test_setup(launch_alone_create__contradiction, forget_launchers),
		cmocka_unit_test_setup(exchange__alone_draws_a_token, forget_launchers),
		cmocka_unit_test_setup(exchange__alone_keeps_the_given_token, forget_launchers),
		cmocka_unit_test_setup(exchange__card_too_long, forget_launchers),
		cmocka_unit_test(launch_token_equal__differences),
		cmocka_unit_test(launch_ranks_text__runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
