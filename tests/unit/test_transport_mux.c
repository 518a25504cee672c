/* SPDX-License-Identifier: MIT */
/*
 * The choice between shared memory and RDMA, over two transports of this file's own, which note how
 * they are called: who is reached by which way, that both ends of a pair choose alike, that each
 * operation goes its rank's way with its arguments and result, and what is said when no way is
 * left.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#ifdef HAVE_VERBS

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "shm_connect.h"
#include "transport.h"

#define SIZE     6u
#define TOKEN    "correct horse battery"
#define DEADLINE 12345678u
/* What the fake RDMA writes into its card. */
#define RDMA_MARK 0x5au

enum { SHM, RDMA, WAYS };

/* One fake transport: what it answers, and what it was asked. */
struct fake {
	struct transport base;
	const char *refusal; /* create() fails with -ENODEV and this */
	int connect_rc;
	int expose_rc;
	int npolled;
	bool pending;
	/* seen */
	bool lives;
	unsigned ncreated, ndestroyed;
	unsigned turn; /* of its connect() among all of them; 0: none */
	struct rankset connected;
	uint8_t marks[SIZE]; /* the first byte of each card that it was shown */
	const char *called; /* the last operation */
	unsigned rank;
	uint64_t args[5];
	bool asleep;
};

static struct fake fakes[WAYS];
static struct transport_ops fake_ops[WAYS];
static unsigned turns;
static uint8_t page;

static struct fake *fake_of(struct transport *t)
{
	struct fake *f = (struct fake *)t;

	assert_true(f->lives);
	return f;
}

static void note(struct transport *t, const char *called, unsigned rank, uint64_t a, uint64_t b)
{
	struct fake *f = fake_of(t);

	f->called = called;
	f->rank = rank;
	f->args[0] = a;
	f->args[1] = b;
}

static int way_of(struct transport *t)
{
	return (int)(fake_of(t) - fakes);
}

static int fake_card(struct transport *t, uint8_t *card)
{
	struct shm_card shm = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .boot_id = "boot" };

	memset(card, 0, TRANSPORT_CARD_MAX);
	if (way_of(t) == SHM)
		memcpy(card, &shm, sizeof(shm));
	else
		card[0] = RDMA_MARK;
	return 0;
}

static int fake_connect(struct transport *t, const struct rankset *peers, const uint8_t *cards,
			size_t stride, const char *token, uint64_t deadline_ns)
{
	struct fake *f = fake_of(t);

	assert_string_equal(token, TOKEN);
	assert_int_equal(deadline_ns, DEADLINE);
	f->turn = ++turns;
	f->connected = *peers;
	for (unsigned r = 0; r < SIZE; r++)
		f->marks[r] = cards[r * stride];
	return f->connect_rc;
}

static int fake_expose(struct transport *t, uint64_t block, uint64_t len_bytes)
{
	note(t, "expose", 0, block, len_bytes);
	return fake_of(t)->expose_rc;
}

static void fake_withdraw(struct transport *t, uint64_t first_block, uint64_t nblocks)
{
	note(t, "withdraw", 0, first_block, nblocks);
}

static int fake_fetch(struct transport *t, struct transport_fetch *f)
{
	note(t, "fetch", f->rank, f->granule, 0);
	return 10 + way_of(t);
}

static void fake_expect(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	note(t, "expect", rank, granule, len_bytes);
}

static const uint8_t *fake_pushed(struct transport *t, unsigned rank, uint64_t granule,
				  size_t len_bytes)
{
	note(t, "pushed", rank, granule, len_bytes);
	return &page;
}

static int fake_push(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	note(t, "push", rank, granule, len_bytes);
	return 20 + way_of(t);
}

static int fake_write(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	note(t, "write", rank, granule, len_bytes);
	return 30 + way_of(t);
}

static int fake_atomic(struct transport *t, unsigned rank, uint64_t offset, unsigned width,
		       enum transport_atomic op, uint64_t operand, uint64_t expected,
		       uint64_t *result)
{
	struct fake *f = fake_of(t);

	note(t, "atomic", rank, offset, width);
	f->args[2] = op;
	f->args[3] = operand;
	f->args[4] = expected;
	*result = 99;
	return 40 + way_of(t);
}

static int fake_send(struct transport *t, unsigned rank, const struct msg *m)
{
	note(t, "send", rank, m->page, 0);
	return 50 + way_of(t);
}

static int fake_poll(struct transport *t, int budget)
{
	note(t, "poll", 0, (uint64_t)budget, 0);
	return fake_of(t)->npolled;
}

static bool fake_pending(struct transport *t)
{
	return fake_of(t)->pending;
}

static void fake_sleep(struct transport *t, bool asleep)
{
	fake_of(t)->asleep = asleep;
}

static bool fake_addresses(struct transport *t, unsigned rank, const char **own, const char **peer)
{
	note(t, "addresses", rank, 0, 0);
	*own = "here";
	*peer = "there";
	return true;
}

static void fake_destroy(struct transport *t)
{
	struct fake *f = fake_of(t);

	f->lives = false;
	f->ndestroyed++;
	close(t->fd);
}

static const struct transport_ops fake_all = {
	.card = fake_card,
	.connect = fake_connect,
	.expose = fake_expose,
	.withdraw = fake_withdraw,
	.fetch = fake_fetch,
	.expect = fake_expect,
	.pushed = fake_pushed,
	.push = fake_push,
	.write = fake_write,
	.atomic = fake_atomic,
	.send = fake_send,
	.poll = fake_poll,
	.pending = fake_pending,
	.sleep = fake_sleep,
	.addresses = fake_addresses,
	.destroy = fake_destroy,
};

static int create(struct transport **t, int way)
{
	struct fake *f = &fakes[way];

	if (f->refusal)
		return error_set(ENODEV, "%s", f->refusal);
	f->base.ops = &fake_ops[way];
	f->base.fd = eventfd(0, EFD_CLOEXEC);
	assert_true(f->base.fd >= 0);
	f->lives = true;
	f->ncreated++;
	*t = &f->base;
	return 0;
}

/* In the place of the library's own. */
int transport_shm_create(struct transport **t, const struct transport_params *p)
{
	(void)p;
	return create(t, SHM);
}

int transport_verbs_create(struct transport **t, const struct transport_params *p)
{
	(void)p;
	return create(t, RDMA);
}

/*
 * What tests begin with
 */

static struct settings settings;
static struct transport *mux;
/* As if shared by each rank; which host it names is told by its boot_id and host. */
static uint8_t cards[SIZE * TRANSPORT_CARD_MAX];

static int make(enum transport_kind kind, unsigned rank, unsigned size)
{
	struct transport_params p = { .settings = &settings, .rank = rank, .size = size };

	settings.transport = kind;
	mux = NULL;
	return transport_create(&mux, &p);
}

/* Where the RDMA card lies in a card, by what the fake writes there. */
static size_t rdma_at(const uint8_t *card)
{
	const uint8_t *mark = memchr(card + sizeof(struct shm_card), RDMA_MARK,
				     TRANSPORT_CARD_MAX - sizeof(struct shm_card));

	assert_non_null(mark);
	return (size_t)(mark - card);
}

/* The card of a rank on host `a` to `z`; in its RDMA part is the letter, for fake.marks. */
static struct shm_card *card_of(unsigned rank, char host)
{
	uint8_t model[TRANSPORT_CARD_MAX], *card = cards + rank * TRANSPORT_CARD_MAX;
	struct shm_card *shm = (struct shm_card *)(void *)card;

	assert_int_equal(mux->ops->card(mux, model), 0);
	memset(card, 0, TRANSPORT_CARD_MAX);
	*shm = (struct shm_card){ .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	snprintf(shm->boot_id, sizeof(shm->boot_id), "boot of %c", host);
	snprintf(shm->host, sizeof(shm->host), "host-%c", host);
	card[rdma_at(model)] = (uint8_t)host;
	return shm;
}

/* Ranks on hosts as the string says: "aab" is two on one host and one on another. */
static void cards_of(const char *hosts)
{
	for (unsigned r = 0; hosts[r]; r++)
		card_of(r, hosts[r]);
}

static int connect_to(const struct rankset *peers)
{
	return mux->ops->connect(mux, peers, cards, TRANSPORT_CARD_MAX, TOKEN, DEADLINE);
}

static bool reached_by(int way, unsigned rank)
{
	return fakes[way].turn && rankset_has(&fakes[way].connected, rank);
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	memset(fakes, 0, sizeof(fakes));
	memset(cards, 0, sizeof(cards));
	for (int i = 0; i < WAYS; i++)
		fake_ops[i] = fake_all;
	fake_ops[SHM].name = "shm";
	fake_ops[RDMA].name = "verbs";
	turns = 0;
	mux = NULL;
	error_clear();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (mux)
		mux->ops->destroy(mux);
	mux = NULL;
	for (int i = 0; i < WAYS; i++)
		assert_int_equal(fakes[i].ncreated, fakes[i].ndestroyed);
	return 0;
}

/*
 * Which ways there are
 */

static void create__shm_alone_where_it_is_asked_for_or_enough(void **state)
{
	(void)state;
	assert_int_equal(make(TRANSPORT_SHM, 0, SIZE), 0);
	assert_ptr_equal(mux, &fakes[SHM].base);
	mux->ops->destroy(mux);
	assert_int_equal(make(TRANSPORT_AUTO, 0, 1), 0);
	assert_ptr_equal(mux, &fakes[SHM].base);
	mux->ops->destroy(mux);
	/* Nobody is there to be reached by RDMA. */
	assert_int_equal(make(TRANSPORT_VERBS, 0, 1), 0);
	assert_ptr_equal(mux, &fakes[SHM].base);
	assert_int_equal(fakes[RDMA].ncreated, 0);
}

static void create__verbs_asked_for_and_not_there(void **state)
{
	(void)state;
	fakes[RDMA].refusal = "no device has an address";
	assert_int_equal(make(TRANSPORT_VERBS, 0, SIZE), -ENODEV);
	assert_string_equal(error_text(), "no device has an address");
	assert_null(mux);
	assert_int_equal(fakes[SHM].ncreated, 0);
}

static void create__without_rdma_is_no_error(void **state)
{
	(void)state;
	fakes[RDMA].refusal = "no device has an address";
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	assert_string_equal(error_text(), "");
	assert_true(fakes[SHM].lives);
}

static void create__without_shm_undoes_rdma(void **state)
{
	(void)state;
	fakes[SHM].refusal = "no sockets left";
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), -ENODEV);
	assert_string_equal(error_text(), "no sockets left");
	assert_null(mux);
	assert_int_equal(fakes[RDMA].ndestroyed, 1);
}

static void card__shows_both_ways(void **state)
{
	uint8_t card[TRANSPORT_CARD_MAX];
	struct shm_card *shm = (struct shm_card *)(void *)card;

	(void)state;
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	memset(card, 0xff, sizeof(card));
	assert_int_equal(mux->ops->card(mux, card), 0);
	assert_int_equal(shm->magic, WIRE_MAGIC);
	assert_string_equal(shm->boot_id, "boot");
	/* Between the two and behind them is nothing of what lay there. */
	assert_null(memchr(card, 0xff, sizeof(card)));
	assert_true(rdma_at(card) >= sizeof(*shm));
}

static void card__shows_no_way_that_is_not_there(void **state)
{
	uint8_t card[TRANSPORT_CARD_MAX];

	(void)state;
	assert_int_equal(make(TRANSPORT_VERBS, 0, SIZE), 0);
	assert_int_equal(mux->ops->card(mux, card), 0);
	assert_int_equal(((struct shm_card *)(void *)card)->magic, 0);
	rdma_at(card);
	mux->ops->destroy(mux);
	fakes[RDMA].refusal = "none";
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	assert_int_equal(mux->ops->card(mux, card), 0);
	assert_int_equal(((struct shm_card *)(void *)card)->magic, WIRE_MAGIC);
	assert_null(memchr(card + sizeof(struct shm_card), RDMA_MARK,
			   sizeof(card) - sizeof(struct shm_card)));
}

/*
 * Who is reached by which
 */

static void connect__own_host_by_shm_others_by_rdma(void **state)
{
	(void)state;
	assert_int_equal(make(TRANSPORT_AUTO, 2, SIZE), 0);
	cards_of("abaabc");
	assert_int_equal(connect_to(NULL), 0);
	for (unsigned r = 0; r < SIZE; r++) {
		assert_int_equal(reached_by(SHM, r), r == 0 || r == 3);
		assert_int_equal(reached_by(RDMA, r), r == 1 || r == 4 || r == 5);
		/* Each way is shown its own part of the cards. */
		assert_int_equal(fakes[RDMA].marks[r], "abaabc"[r]);
		assert_int_equal(fakes[SHM].marks[r], (uint8_t)WIRE_MAGIC);
	}
	assert_int_equal(fakes[SHM].turn, 1);
	assert_int_equal(fakes[RDMA].turn, 2);
}

static void connect__to_no_more_than_the_set(void **state)
{
	struct rankset peers = { { 1u << 1 | 1u << 3 } };

	(void)state;
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	cards_of("aaabbb");
	assert_int_equal(connect_to(&peers), 0);
	assert_int_equal(rankset_count(&fakes[SHM].connected), 1);
	assert_int_equal(rankset_count(&fakes[RDMA].connected), 1);
	assert_true(reached_by(SHM, 1) && reached_by(RDMA, 3));
}

/* Ranks 1 to 5 are almost where rank 0 is. */
static void connect__another_kernel_or_namespace_is_another_host(void **state)
{
	(void)state;
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	cards_of("aaaaaa");
	card_of(1, 'a')->netns_dev = 1;
	card_of(2, 'a')->netns_ino = 1;
	card_of(3, 'a')->magic = 0; /* it shows no shared memory */
	card_of(4, 'a')->boot_id[8] = 'b';
	assert_int_equal(connect_to(NULL), 0);
	for (unsigned r = 1; r < SIZE; r++)
		assert_int_equal(reached_by(RDMA, r), r != 5);
	assert_true(reached_by(SHM, 5));
}

static void connect__unknown_kernels_are_not_the_same(void **state)
{
	(void)state;
	assert_int_equal(make(TRANSPORT_AUTO, 0, 2), 0);
	card_of(0, 'a')->boot_id[0] = 0;
	card_of(1, 'a')->boot_id[0] = 0;
	assert_int_equal(connect_to(NULL), 0);
	assert_true(reached_by(RDMA, 1));
}

static void connect__verbs_asked_for_is_taken_on_one_host_too(void **state)
{
	(void)state;
	assert_int_equal(make(TRANSPORT_VERBS, 0, 2), 0);
	cards_of("aa");
	assert_int_equal(connect_to(NULL), 0);
	assert_true(reached_by(RDMA, 1));
	assert_int_equal(fakes[SHM].ncreated, 0);
}

/* Whatever each of a pair has and was asked for. */
static void connect__both_ends_choose_alike(void **state)
{
	static const enum transport_kind kinds[] = { TRANSPORT_AUTO, TRANSPORT_VERBS };
	int way[SIZE][SIZE];
	enum transport_kind kind[SIZE];

	(void)state;
	srandom(11);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned r = 0; r < SIZE; r++) {
			kind[r] = kinds[random() % 2];
			assert_int_equal(make(kind[r], r, SIZE), 0);
			card_of(r, (char)('a' + random() % 3))->netns_ino = random() % 2;
			if (kind[r] == TRANSPORT_VERBS)
				memset(cards + r * TRANSPORT_CARD_MAX, 0, sizeof(struct shm_card));
			mux->ops->destroy(mux);
		}
		for (unsigned r = 0; r < SIZE; r++) {
			fakes[SHM].turn = 0;
			assert_int_equal(make(kind[r], r, SIZE), 0);
			assert_int_equal(connect_to(NULL), 0);
			for (unsigned p = 0; p < SIZE; p++)
				way[r][p] = reached_by(SHM, p) ? SHM : RDMA;
			mux->ops->destroy(mux);
		}
		for (unsigned r = 0; r < SIZE; r++)
			for (unsigned p = 0; p < SIZE; p++)
				if (p != r)
					assert_int_equal(way[r][p], way[p][r]);
	}
	mux = NULL;
}

static void connect__out_of_reach_is_named_with_the_reason(void **state)
{
	(void)state;
	fakes[RDMA].refusal = "no device has an address";
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	for (unsigned r = 0; r < SIZE; r++) {
		struct shm_card *shm = (struct shm_card *)(void *)(cards + r * TRANSPORT_CARD_MAX);

		shm->magic = WIRE_MAGIC;
		snprintf(shm->boot_id, sizeof(shm->boot_id), "boot %u", r / 3);
		snprintf(shm->host, sizeof(shm->host), "host-%u", r / 3);
	}
	assert_int_equal(connect_to(NULL), -EHOSTUNREACH);
	assert_string_equal(error_text(),
			    "rank 3 runs on host-1, out of reach of shared memory, and RDMA "
			    "cannot be used here: no device has an address");
	((struct shm_card *)(void *)(cards + 3 * TRANSPORT_CARD_MAX))->host[0] = 0;
	assert_int_equal(connect_to(NULL), -EHOSTUNREACH);
	assert_non_null(strstr(error_text(), "rank 3 runs on another host"));
	assert_int_equal(turns, 0);
}

static void connect__a_refusal_is_passed_on_and_ends_it(void **state)
{
	(void)state;
	fakes[SHM].connect_rc = -EPROTO;
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	cards_of("aabbbb");
	assert_int_equal(connect_to(NULL), -EPROTO);
	assert_int_equal(fakes[RDMA].turn, 0);
	fakes[SHM].connect_rc = 0;
	fakes[RDMA].connect_rc = -ETIMEDOUT;
	assert_int_equal(connect_to(NULL), -ETIMEDOUT);
}

static void connect__a_way_that_nobody_takes_goes(void **state)
{
	(void)state;
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	cards_of("aaaaaa");
	assert_int_equal(connect_to(NULL), 0);
	assert_false(fakes[RDMA].lives);
	assert_true(fakes[SHM].lives);
	mux->ops->destroy(mux);
	assert_int_equal(make(TRANSPORT_AUTO, 0, SIZE), 0);
	cards_of("abbbbb");
	assert_int_equal(connect_to(NULL), 0);
	assert_false(fakes[SHM].lives);
	/* What is for all is for what there is. */
	fakes[RDMA].npolled = 3;
	assert_int_equal(mux->ops->poll(mux, 8), 3);
	assert_false(mux->ops->pending(mux));
	mux->ops->sleep(mux, true);
	assert_true(fakes[RDMA].asleep);
	assert_int_equal(mux->ops->expose(mux, 1, 4096), 0);
	mux->ops->withdraw(mux, 1, 1);
}

/*
 * Operations
 */

/* Rank 1 by shared memory, rank 2 by RDMA. */
static int setup_connected(void **state)
{
	setup(state);
	assert_int_equal(make(TRANSPORT_AUTO, 0, 3), 0);
	cards_of("aab");
	return connect_to(NULL);
}

static void expect(unsigned rank, const char *called, uint64_t a, uint64_t b)
{
	const struct fake *f = &fakes[rank == 1 ? SHM : RDMA];

	assert_string_equal(f->called, called);
	assert_int_equal(f->rank, rank);
	assert_int_equal(f->args[0], a);
	assert_int_equal(f->args[1], b);
	fakes[SHM].called = fakes[RDMA].called = "nothing";
}

static void ops__go_the_way_of_their_rank(void **state)
{
	(void)state;
	for (unsigned r = 1; r < 3; r++) {
		struct transport_fetch f = { .rank = r, .granule = 70 };
		struct msg m = { .page = 71 };
		struct fake *fake = &fakes[r == 1 ? SHM : RDMA];
		int way = r == 1 ? SHM : RDMA;
		const char *own, *peer;
		uint64_t result = 0;

		assert_int_equal(mux->ops->fetch(mux, &f), 10 + way);
		expect(r, "fetch", 70, 0);
		mux->ops->expect(mux, r, 76, 16384);
		expect(r, "expect", 76, 16384);
		assert_ptr_equal(mux->ops->pushed(mux, r, 72, 8192), &page);
		expect(r, "pushed", 72, 8192);
		assert_int_equal(mux->ops->push(mux, r, 73, 4096), 20 + way);
		expect(r, "push", 73, 4096);
		assert_int_equal(mux->ops->write(mux, r, 74, 8192), 30 + way);
		expect(r, "write", 74, 8192);
		assert_int_equal(
			mux->ops->atomic(mux, r, 75, 4, ATOMIC_COMPARE_SWAP, 5, 6, &result),
			40 + way);
		expect(r, "atomic", 75, 4);
		assert_int_equal(fake->args[2], ATOMIC_COMPARE_SWAP);
		assert_int_equal(fake->args[3], 5);
		assert_int_equal(fake->args[4], 6);
		assert_int_equal(result, 99);
		assert_int_equal(mux->ops->send(mux, r, &m), 50 + way);
		expect(r, "send", 71, 0);
		assert_true(mux->ops->addresses(mux, r, &own, &peer));
		assert_string_equal(own, "here");
		assert_string_equal(peer, "there");
		expect(r, "addresses", 0, 0);
		/* A way that has none. */
		fake_ops[way].addresses = NULL;
		assert_false(mux->ops->addresses(mux, r, &own, &peer));
		fake_ops[way].expect = NULL;
		mux->ops->expect(mux, r, 76, 16384);
		assert_string_equal(fake->called, "nothing");
	}
}

/* The own rank needs no connection: any way that is left will do. */
static void ops__on_the_own_rank(void **state)
{
	struct transport_fetch f = { .rank = 0, .granule = 70 };

	(void)state;
	assert_true(mux->ops->fetch(mux, &f) >= 10);
	assert_ptr_equal(mux->ops->pushed(mux, 0, 72, 8192), &page);
	assert_true(mux->ops->write(mux, 0, 74, 8192) >= 30);
}

static void expose__and_withdraw_by_both_ways(void **state)
{
	(void)state;
	assert_int_equal(mux->ops->expose(mux, 7, 4096), 0);
	assert_string_equal(fakes[SHM].called, "expose");
	expect(0, "expose", 7, 4096);
	mux->ops->withdraw(mux, 7, 2);
	assert_string_equal(fakes[SHM].called, "withdraw");
	expect(0, "withdraw", 7, 2);
	/* A way that has nothing to do for it. */
	fake_ops[SHM].expose = NULL;
	fake_ops[SHM].withdraw = NULL;
	fakes[RDMA].expose_rc = -ENOMEM;
	assert_int_equal(mux->ops->expose(mux, 7, 4096), -ENOMEM);
	mux->ops->withdraw(mux, 7, 2);
	assert_string_equal(fakes[SHM].called, "nothing");
}

static void poll__and_the_rest_ask_both_ways(void **state)
{
	(void)state;
	fakes[SHM].npolled = 3;
	fakes[RDMA].npolled = 4;
	assert_int_equal(mux->ops->poll(mux, 64), 7);
	assert_int_equal(fakes[SHM].args[0], 64);
	assert_int_equal(fakes[RDMA].args[0], 64);
	assert_false(mux->ops->pending(mux));
	fakes[SHM].pending = true;
	assert_true(mux->ops->pending(mux));
	fakes[SHM].pending = false;
	fakes[RDMA].pending = true;
	assert_true(mux->ops->pending(mux));
	mux->ops->sleep(mux, true);
	assert_true(fakes[SHM].asleep && fakes[RDMA].asleep);
	mux->ops->sleep(mux, false);
	assert_false(fakes[SHM].asleep || fakes[RDMA].asleep);
}

static void fd__is_readable_when_either_way_has_something(void **state)
{
	struct pollfd p = { .fd = mux->fd, .events = POLLIN };

	(void)state;
	assert_int_equal(poll(&p, 1, 0), 0);
	for (int i = 0; i < WAYS; i++) {
		assert_int_equal(eventfd_write(fakes[i].base.fd, 1), 0);
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(eventfd_read(fakes[i].base.fd, &(eventfd_t){ 0 }), 0);
		assert_int_equal(poll(&p, 1, 0), 0);
	}
}

static void destroy__leaves_nothing(void **state)
{
	int fd = mux->fd;

	(void)state;
	mux->ops->destroy(mux);
	mux = NULL;
	assert_false(fakes[SHM].lives || fakes[RDMA].lives);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

#define TEST(f)      cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CONNECTED(f) cmocka_unit_test_setup_teardown(f, setup_connected, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(create__shm_alone_where_it_is_asked_for_or_enough),
		TEST(create__verbs_asked_for_and_not_there),
		TEST(create__without_rdma_is_no_error),
		TEST(create__without_shm_undoes_rdma),
		TEST(card__shows_both_ways),
		TEST(card__shows_no_way_that_is_not_there),
		TEST(connect__own_host_by_shm_others_by_rdma),
		TEST(connect__to_no_more_than_the_set),
		TEST(connect__another_kernel_or_namespace_is_another_host),
		TEST(connect__unknown_kernels_are_not_the_same),
		TEST(connect__verbs_asked_for_is_taken_on_one_host_too),
		TEST(connect__both_ends_choose_alike),
		TEST(connect__out_of_reach_is_named_with_the_reason),
		TEST(connect__a_refusal_is_passed_on_and_ends_it),
		TEST(connect__a_way_that_nobody_takes_goes),
		CONNECTED(ops__go_the_way_of_their_rank),
		CONNECTED(ops__on_the_own_rank),
		CONNECTED(expose__and_withdraw_by_both_ways),
		CONNECTED(poll__and_the_rest_ask_both_ways),
		CONNECTED(fd__is_readable_when_either_way_has_something),
		CONNECTED(destroy__leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	puts("skipped: this libdsm was built without libibverbs and librdmacm");
	return 77;
}

#endif
