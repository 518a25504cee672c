/* SPDX-License-Identifier: MIT */
/*
 * Under a launcher: create the launch, exchange cards twice over (each with a launch of its own, as
 * a program that joins, leaves and joins again), and check what came. One card a rank, of another
 * length and content in each.
 *
 *	mpirun -n 3 launch_exchange [expected size]
 *
 * Exit 0: every card and the token are right; 1: the reason is on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "launch.h"
#include "stats.h"

#define DEADLINE_NS 20000000000ull

/* Rank 5's card in the second round is 37 * 5 + 1 bytes of value 5 + 16. */
static size_t make_card(uint8_t *card, unsigned rank, unsigned round)
{
	size_t len = 1 + 37 * rank % (LAUNCH_CARD_MAX - 1);

	memset(card, 0, LAUNCH_CARD_MAX);
	memset(card, (int)(1 + rank % 250 + 16 * (round - 1)), len);
	return len;
}

static int check(const struct launch *l, const uint8_t *cards, unsigned round)
{
	uint8_t expected[LAUNCH_CARD_MAX];

	for (unsigned r = 0; r < l->size; r++) {
		make_card(expected, r, round);
		if (memcmp(cards + (size_t)r * LAUNCH_CARD_MAX, expected, LAUNCH_CARD_MAX)) {
			fprintf(stderr, "rank %u, round %u: the card of rank %u is wrong\n",
				l->rank, round, r);
			return 1;
		}
	}
	if (strlen(l->token) < 8) {
		fprintf(stderr, "rank %u, round %u: no token\n", l->rank, round);
		return 1;
	}
	return 0;
}

static int exchange(struct launch *l, unsigned round)
{
	uint8_t card[LAUNCH_CARD_MAX];
	uint8_t *cards = calloc(l->size, LAUNCH_CARD_MAX);
	size_t len = make_card(card, l->rank, round);
	int failed = 1;

	if (!cards)
		return 1;
	if (l->ops->exchange(l, card, len, cards, clock_ns() + DEADLINE_NS))
		fprintf(stderr, "rank %u, round %u: %s\n", l->rank, round, error_text());
	else
		failed = check(l, cards, round);
	free(cards);
	return failed;
}

int main(int argc, char **argv)
{
	struct settings s;
	struct launch *l;
	int failed;

	if (config_load(&s, NULL)) {
		fprintf(stderr, "%s\n", error_text());
		return 1;
	}
	for (unsigned round = 1; round <= 2; round++) {
		if (launch_create(&l, &s)) {
			fprintf(stderr, "round %u: %s\n", round, error_text());
			return 1;
		}
		failed = exchange(l, round);
		if (argc > 1 && l->size != strtoul(argv[1], NULL, 10)) {
			fprintf(stderr, "%u ranks by %s, not %s\n", l->size, l->ops->name, argv[1]);
			failed = 1;
		}
		if (!failed)
			printf("rank %u of %u by %s, round %u: all cards are right\n", l->rank,
			       l->size, l->ops->name, round);
		l->ops->destroy(l);
		if (failed)
			return 1;
	}
	return 0;
}
