/* SPDX-License-Identifier: MIT */
/*
 * The RDMA transport as a whole, over a fake of libibverbs and librdmacm (fake_verbs.h): connecting
 * and its refusals, read chains, grants with data, writes, atomics, messages beyond all credits,
 * wake-ups, failed completions, the end of a peer, locked memory.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#ifdef HAVE_VERBS

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "fake_verbs.h"

#include "capture.h"
#include "error.h"
#include "log.h"
#include "stats.h"
#include "verbs_error.h"
#include "verbs_internal.h"
#include "verbs_window.h"

#define SIZE        2u
#define SPACE_BYTES (4ul << 20)
#define TOKEN       "correct horse battery"
#define SECOND_NS   1000000000ull

struct rank {
	unsigned id;
	struct settings settings;
	struct space space;
	struct transport *t;
	const char *token;
	uint8_t *cards;
	int status;
	char text[ERROR_TEXT_MAX];
	/* what has come */
	uint64_t got;
	unsigned ndown;
	uint8_t pushed[8192]; /* data of the last grant */
	bool has_pushed;
	int done; /* status of the last fetch; 1: none */
	int atomic_done; /* of the last atomic */
	uint64_t grant[TRANSPORT_FETCH_MAX];
	uint8_t data[3 * 4096];
};

static struct rank ranks[SIZE];
static uint8_t cards[SIZE * TRANSPORT_CARD_MAX];

static void on_message(void *ctx, const struct msg *m)
{
	struct rank *r = ctx;
	const uint8_t *data;

	assert_int_equal(m->src, 1 - r->id);
	if (m->kind == MSG_GRANT_M) {
		data = r->t->ops->pushed(r->t, m->src, m->page, 4096);
		r->has_pushed = data != NULL;
		/* More than came is not there. */
		assert_null(r->t->ops->pushed(r->t, m->src, m->page, BLOCK_BYTES));
		if (data)
			memcpy(r->pushed, data, sizeof(r->pushed));
	} else {
		assert_int_equal(m->word[0], r->got);
	}
	r->got++;
}

static void on_down(void *ctx, unsigned peer)
{
	struct rank *r = ctx;

	assert_int_equal(peer, 1 - r->id);
	r->ndown++;
}

static const struct transport_handler handler = { .message = on_message, .down = on_down };

static void on_done(struct transport_fetch *f, int status)
{
	struct rank *r = f->ctx;

	r->done = status;
	memcpy(r->grant, f->grant, sizeof(r->grant));
	if (status == 0 && (size_t)f->n << f->shift << GRANULE_SHIFT <= sizeof(r->data))
		memcpy(r->data, f->data, (size_t)f->n << f->shift << GRANULE_SHIFT);
}

static void on_atomic_done(struct transport_atomic_op *a, int status)
{
	struct rank *r = a->ctx;

	r->atomic_done = status;
}

static void space_make(struct space *s)
{
	*s = (struct space){ .base = (uint8_t *)0x7e8000000000, .len_bytes = SPACE_BYTES };
	s->rank_words = 1;
	s->segment_bytes = space_segment_bytes(SPACE_BYTES, 1);
	s->memfd = memfd_create("dsm-test", MFD_CLOEXEC);
	assert_true(s->memfd >= 0);
	assert_int_equal(ftruncate(s->memfd, (off_t)s->segment_bytes), 0);
	s->alias = mmap(NULL, s->segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->memfd, 0);
	assert_ptr_not_equal(s->alias, MAP_FAILED);
}

static int rank_make(unsigned id)
{
	struct rank *r = &ranks[id];
	struct transport_params p = { .settings = &r->settings,
				      .space = &r->space,
				      .rank = id,
				      .size = SIZE,
				      .handler = &handler,
				      .ctx = r };

	memset(r, 0, sizeof(*r));
	r->id = id;
	r->settings.timeout_ms = 5000;
	r->token = TOKEN;
	r->done = r->atomic_done = 1;
	space_make(&r->space);
	assert_int_equal(transport_verbs_create(&r->t, &p), 0);
	return r->t->ops->card(r->t, cards + id * TRANSPORT_CARD_MAX);
}

static void *rank_connect(void *arg)
{
	struct rank *r = arg;

	r->status = r->t->ops->connect(r->t, NULL, cards, TRANSPORT_CARD_MAX, r->token,
				       clock_ns() + SECOND_NS);
	snprintf(r->text, sizeof(r->text), "%s", error_text());
	return NULL;
}

static void connect_both(void)
{
	pthread_t other;

	assert_int_equal(pthread_create(&other, NULL, rank_connect, &ranks[1]), 0);
	rank_connect(&ranks[0]);
	pthread_join(other, NULL);
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	verbs_device_directory = "/"; /* something is there */
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(rank_make(i), 0);
	return 0;
}

static int setup_connected(void **state)
{
	setup(state);
	connect_both();
	assert_int_equal(ranks[0].status, 0);
	assert_int_equal(ranks[1].status, 0);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(ranks[i].t->ops->expose(ranks[i].t, i, BLOCK_BYTES), 0);
	return 0;
}

static void rank_end(struct rank *r)
{
	if (!r->t)
		return;
	r->t->ops->destroy(r->t);
	r->t = NULL;
	munmap(r->space.alias, r->space.segment_bytes);
	close(r->space.memfd);
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SIZE; i++)
		rank_end(&ranks[i]);
	assert_int_equal(fake_mrs, 0);
	fake_atomics = IBV_ATOMIC_HCA;
	fake_inline_max = 256;
	fake_reg_errno = 0;
	return 0;
}

static struct transport_verbs *verbs(unsigned id)
{
	return verbs_of(ranks[id].t);
}

static void poll_both(void)
{
	for (unsigned k = 0; k < 8; k++)
		for (unsigned i = 0; i < SIZE; i++)
			ranks[i].t->ops->poll(ranks[i].t, 64);
}

static int send_nth(unsigned from, uint64_t n, unsigned slots)
{
	struct msg_region m = { .kind = slots > 1 ? MSG_REGION_ADD : MSG_GETS,
				.slots = (uint8_t)slots,
				.src = (uint16_t)from };

	((struct msg *)&m)->word[0] = n;
	return ranks[from].t->ops->send(ranks[from].t, 1 - from, (struct msg *)&m);
}

/* A granule of the block that lives at rank id. */
static uint64_t granule_of(unsigned id, unsigned i)
{
	return id * GRANULES_PER_BLOCK + i;
}

static struct transport_fetch fetch_of(unsigned by, uint64_t granule, unsigned n, uint64_t add)
{
	return (struct transport_fetch){ .rank = 1 - by,
					 .granule = granule,
					 .n = n,
					 .add = add,
					 .done = on_done,
					 .ctx = &ranks[by] };
}

/*
 * Connecting
 */

static void connect__another_token_is_turned_away(void **state)
{
	(void)state;
	ranks[1].token = "another job altogether";
	connect_both();
	assert_true(ranks[0].status < 0 && ranks[1].status < 0);
	assert_int_equal(ranks[1].status, -EPROTO);
	assert_non_null(strstr(ranks[1].text, "not of this job"));
	assert_int_equal(ranks[0].status, -ETIMEDOUT);
	assert_non_null(strstr(ranks[0].text, "missing: 1 at 10.0.0.1"));
}

static void connect__a_rank_without_rdma_is_named(void **state)
{
	(void)state;
	memset(cards + TRANSPORT_CARD_MAX, 0, TRANSPORT_CARD_MAX);
	rank_connect(&ranks[0]);
	assert_int_equal(ranks[0].status, -EHOSTUNREACH);
	assert_non_null(strstr(ranks[0].text, "rank 1 offers no RDMA"));
}

static void connect__a_rank_that_left_is_named(void **state)
{
	(void)state;
	rank_end(&ranks[0]);
	rank_connect(&ranks[1]);
	assert_int_equal(ranks[1].status, -EHOSTDOWN);
	assert_non_null(strstr(ranks[1].text, "rank 0 does not listen at 10.0.0.1"));
}

/*
 * Reading
 */

static void fetch__registers_reads_grants_and_data(void **state)
{
	struct space *home = &ranks[1].space;
	struct transport_fetch f = fetch_of(0, granule_of(1, 5), 3, 5);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		*segment_grant(home, home->alias, granule_of(1, 5 + i)) = 40 + i;
		memset(segment_page(home->alias, granule_of(1, 5 + i)), 'a' + (int)i, 4096);
	}
	assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
	assert_int_equal(ranks[0].done, 1);
	poll_both();
	assert_int_equal(ranks[0].done, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ranks[0].grant[i], 40 + i);
		assert_int_equal(ranks[0].data[i * 4096 + 4095], 'a' + (int)i);
	}
	assert_int_equal(space_wire_peek(home, granule_of(1, 5), 0), 1);
	assert_int_equal(space_wire_peek(home, granule_of(1, 6), 0), 0);
	assert_int_equal(space_wire_take(home, granule_of(1, 7), 0), 1);
	assert_int_equal(space_wire_peek(home, granule_of(1, 7), 0), 0);
	assert_int_equal(ranks[1].got, 0);
}

/* A look at two pages: the second changes hands before one of its three requests. */
static void fetch__look_that_is_overtaken_finds_the_page_busy(void **state)
{
	uint64_t first = granule_of(1, 5), changed = 1ull << GRANT_COUNT_SHIFT;
	struct space *home = &ranks[1].space;
	uint64_t *word = segment_grant(home, home->alias, first + 1);

	(void)state;
	for (unsigned before = 0; before < 4; before++) {
		struct transport_fetch f = fetch_of(0, first, 2, 0);
		struct rdma_cm_id *id = verbs(0)->peers[1].id;

		f.look = true;
		*word = 0;
		if (!before) { /* the block's key is to be known */
			assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
			poll_both();
			assert_int_equal(ranks[0].grant[1], 0);
		}
		fake_hold(id);
		assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
		for (unsigned i = 0; i < before; i++)
			fake_step(id);
		*word = changed;
		fake_let_go(id);
		poll_both();
		assert_int_equal(ranks[0].done, 0);
		assert_int_equal(ranks[0].grant[0], 0);
		if (before == 0)
			assert_int_equal(ranks[0].grant[1], changed);
		else if (before == 3)
			assert_int_equal(ranks[0].grant[1], 0);
		else
			assert_int_equal(grant_state(ranks[0].grant[1]), GRANT_BUSY);
		assert_int_equal(space_wire_peek(home, first, 0), 0);
		assert_int_equal(space_wire_peek(home, first + 1, 0), 0);
	}
}

/* Chains of every shape and place, and takings in between: the home finds who registered since it
 * last took the readers of a page, and nobody else. */
static void wire_take__finds_who_registered_since(void **state)
{
	static const unsigned shift[] = { 0, 0, 0, 3, 6 };
	bool registered[GRANULES_PER_BLOCK] = { false };
	struct space *home = &ranks[1].space;

	(void)state;
	srandom(3);
	for (unsigned i = 0; i < 4000; i++) {
		unsigned s = shift[random() % 5], each = 1u << s, most = GRANULES_PER_BLOCK >> s;
		unsigned first = (unsigned)random() % most, n = 1 + (unsigned)random() % 64;
		struct transport_fetch f = fetch_of(0, granule_of(1, first << s), n, 0);

		f.shift = s;
		f.n = n = n < most - first ? n : most - first;
		for (unsigned k = 0; k < n; k++)
			if (!registered[(first + k) * each] && random() % 3)
				f.add |= 1ull << k;
		assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
		poll_both();
		for (unsigned k = 0; k < n; k++)
			registered[(first + k) * each] |= f.add >> k & 1;
		for (unsigned k = 0; k < GRANULES_PER_BLOCK; k++) {
			assert_int_equal(space_wire_peek(home, granule_of(1, k), 0), registered[k]);
			if (random() % 8)
				continue;
			assert_int_equal(space_wire_take(home, granule_of(1, k), 0), registered[k]);
			registered[k] = false;
		}
	}
	/* Withdrawn and exposed anew, nobody has. */
	for (unsigned r = 0; r < SIZE; r++)
		ranks[r].t->ops->withdraw(ranks[r].t, 1, 1);
	assert_int_equal(ranks[1].t->ops->expose(ranks[1].t, 1, BLOCK_BYTES), 0);
	for (unsigned k = 0; k < GRANULES_PER_BLOCK; k++)
		assert_int_equal(space_wire_peek(home, granule_of(1, k), 0), 0);
	assert_int_equal(verbs(0)->registered[WIRE_WORDS], 0);
}

static void fetch__key_is_asked_for_once(void **state)
{
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 0);
	unsigned before;

	(void)state;
	assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
	poll_both();
	assert_int_equal(ranks[0].done, 0);
	before = fake_posted;
	assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
	poll_both();
	assert_int_equal(fake_posted - before, 2);
	/* Withdrawn and exposed anew: the old key is forgotten. */
	for (unsigned i = 0; i < SIZE; i++)
		ranks[i].t->ops->withdraw(ranks[i].t, 1, 1);
	assert_int_equal(ranks[1].t->ops->expose(ranks[1].t, 1, BLOCK_BYTES), 0);
	before = fake_posted;
	assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
	poll_both();
	assert_int_equal(fake_posted - before, 3);
}

static void fetch__of_a_block_that_is_not_exposed_goes_by_message(void **state)
{
	struct transport_fetch f = fetch_of(1, granule_of(1, 0), 1, 1);

	(void)state;
	/* Block 1 is rank 1's own: at rank 0 it is not exposed. */
	assert_int_equal(ranks[1].t->ops->fetch(ranks[1].t, &f), 1);
	poll_both();
	assert_int_equal(ranks[1].done, -EAGAIN);
}

static int setup_without_atomics(void **state)
{
	fake_atomics = IBV_ATOMIC_NONE;
	fake_inline_max = 0;
	return setup_connected(state);
}

/* Nor does it take anything with a request. */
static void fetch__needs_no_remote_atomics(void **state)
{
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 1);

	(void)state;
	assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
	poll_both();
	assert_int_equal(ranks[0].done, 0);
	assert_int_equal(space_wire_peek(&ranks[1].space, granule_of(1, 0), 0), 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(send_nth(0, i, i % 3 ? 1 : 4), 0);
	for (unsigned i = 0; i < 100; i++)
		poll_both();
	assert_int_equal(ranks[1].got, 1000);
}

/*
 * Messages, grants, writes
 */

static void send__in_order_beyond_all_credits(void **state)
{
	uint64_t sent[SIZE] = { 0 };

	(void)state;
	srandom(5);
	for (unsigned k = 0; k < 3000; k++) {
		unsigned i = (unsigned)random() % SIZE;

		for (unsigned n = (unsigned)random() % 40; n; n--)
			assert_int_equal(send_nth(i, sent[i]++, random() % 9 ? 1 : 4), 0);
		i = (unsigned)random() % SIZE;
		ranks[i].t->ops->poll(ranks[i].t, 1 + (int)random() % 64);
	}
	for (unsigned k = 0; k < 20000; k++)
		poll_both();
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(ranks[i].got, sent[1 - i]);
	assert_int_equal(ranks[0].ndown + ranks[1].ndown, 0);
}

static void push__data_is_there_when_the_grant_is(void **state)
{
	struct transport *home = ranks[0].t;
	struct msg m = { .kind = MSG_GRANT_M, .slots = 1, .page = granule_of(0, 4) };

	(void)state;
	fake_hold(verbs(1)->peers[0].id);
	memset(segment_page(ranks[0].space.alias, m.page), 'x', 8192);
	assert_int_equal(home->ops->push(home, 1, m.page, 8192), 0);
	assert_int_equal(home->ops->send(home, 1, &m), 0);
	assert_int_equal(send_nth(0, 1, 1), 0);
	poll_both();
	/* The page is being read: neither the grant nor what follows is delivered. */
	assert_int_equal(ranks[1].got, 0);
	fake_let_go(verbs(1)->peers[0].id);
	poll_both();
	assert_int_equal(ranks[1].got, 2);
	assert_true(ranks[1].has_pushed);
	assert_int_equal(ranks[1].pushed[0], 'x');
	assert_int_equal(ranks[1].pushed[8191], 'x');
	/* A grant without data brings none. */
	assert_int_equal(home->ops->send(home, 1, &m), 0);
	poll_both();
	assert_int_equal(ranks[1].got, 3);
	assert_false(ranks[1].has_pushed);
}

/*
 * Pages that are written where the requester said: rank 1 asks rank 0 for a page of 8 KiB
 */

static uint64_t asked_page(void)
{
	return granule_of(0, 4);
}

static void expect(size_t len_bytes)
{
	ranks[1].t->ops->expect(ranks[1].t, 0, asked_page(), len_bytes);
}

static int send_about(unsigned from, enum msg_kind kind, uint64_t page)
{
	struct msg m = { .kind = (uint8_t)kind,
			 .slots = 1,
			 .src = (uint16_t)from,
			 .page = page,
			 .word = { ranks[1 - from].got } };

	return ranks[from].t->ops->send(ranks[from].t, 1 - from, &m);
}

/* Rank 0 has the request. */
static void ask(void)
{
	memset(segment_page(ranks[0].space.alias, asked_page()), 'x', 8192);
	expect(8192);
	assert_int_equal(send_about(1, MSG_GETS, asked_page()), 0);
	poll_both();
}

static int grant(size_t len_bytes)
{
	int rc = ranks[0].t->ops->push(ranks[0].t, 1, asked_page(), len_bytes);

	return rc ? rc : send_about(0, MSG_GRANT_M, asked_page());
}

static void assert_nothing_offered(void)
{
	assert_int_equal(verbs(1)->peers[0].asked.used, 0);
	assert_int_equal(verbs(0)->peers[1].offered.used, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		assert_int_equal(verbs(i)->pushed.units_used, 0);
		assert_int_equal(verbs(i)->staging.units_used, 0);
		assert_int_equal(verbs(i)->landing.units_used, 0);
	}
	assert_int_equal(ranks[0].ndown + ranks[1].ndown, 0);
}

/* The grant of ask() came, and its page. */
static void assert_granted(void)
{
	assert_int_equal(ranks[1].got, 1);
	assert_true(ranks[1].has_pushed);
	assert_int_equal(ranks[1].pushed[0], 'x');
	assert_int_equal(ranks[1].pushed[8191], 'x');
	assert_nothing_offered();
}

static void push__lands_where_it_was_asked_for(void **state)
{
	unsigned before;

	(void)state;
	ask();
	assert_int_equal(verbs(1)->peers[0].asked.used, 1);
	assert_int_equal(verbs(0)->peers[1].offered.used, 1);
	/* The requester has nothing to read: a write and a message of the home are all. */
	fake_hold(verbs(1)->peers[0].id);
	before = fake_posted;
	assert_int_equal(grant(8192), 0);
	poll_both();
	assert_int_equal(fake_posted - before, 2);
	assert_granted();
	fake_let_go(verbs(1)->peers[0].id);
	/* It knows enough to write the page back. */
	memset(segment_page(ranks[1].space.alias, asked_page()), 'z', 8192);
	assert_int_equal(ranks[1].t->ops->write(ranks[1].t, 0, asked_page(), 8192), 0);
	poll_both();
	assert_int_equal(segment_page(ranks[0].space.alias, asked_page())[8191], 'z');
	assert_nothing_offered();
}

/* A run was asked for, and a part of it is granted: there is room for more. */
static void push__of_less_than_was_asked_for(void **state)
{
	unsigned before;

	(void)state;
	expect(5 * 4096);
	assert_int_equal(verbs(1)->pushed.units_used, 8);
	ask();
	before = fake_posted;
	assert_int_equal(grant(3 * 4096), 0);
	poll_both();
	assert_int_equal(fake_posted - before, 2);
	assert_granted();
}

/* The home's page may be another's before the adapter has read it, and the block may be gone. */
static void push__of_the_page_as_it_was_when_it_was_granted(void **state)
{
	(void)state;
	ask();
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(grant(8192), 0);
	memset(segment_page(ranks[0].space.alias, asked_page()), 'y', 8192);
	fake_let_go(verbs(0)->peers[1].id);
	poll_both();
	assert_granted();
}

static void pull_instead(void)
{
	unsigned before = fake_posted;

	assert_int_equal(grant(8192), 0);
	/* The key of the block and the page are read. */
	poll_both();
	assert_int_equal(fake_posted - before, 3);
	assert_granted();
}

static void push__not_where_the_place_is_too_small(void **state)
{
	(void)state;
	expect(4096);
	ask(); /* what is there already stays */
	pull_instead();
}

static void push__not_to_whom_offers_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VERBS_OFFERS; i++)
		ranks[1].t->ops->expect(ranks[1].t, 0, granule_of(0, 100 + i), 4096);
	assert_int_equal(verbs_offer_free(&verbs(1)->peers[0].asked), -1);
	ask();
	assert_int_equal(verbs(0)->peers[1].offered.used, 0);
	for (unsigned i = 0; i < VERBS_OFFERS; i++) {
		struct verbs_offer of = { 0 };

		assert_true(
			verbs_offer_take(&verbs(1)->peers[0].asked, granule_of(0, 100 + i), &of));
		verbs_arena_put(&verbs(1)->pushed, (uint8_t *)(uintptr_t)of.addr, of.len_bytes);
	}
	pull_instead();
}

static void push__not_what_is_too_long(void **state)
{
	(void)state;
	ranks[1].t->ops->expect(ranks[1].t, 0, granule_of(0, 32), 2 * VERBS_PUSH_MAX);
	assert_nothing_offered();
	ranks[1].t->ops->expect(ranks[1].t, 0, granule_of(0, 32), VERBS_PUSH_MAX);
	assert_int_equal(verbs(1)->pushed.units_used, VERBS_PUSH_MAX >> GRANULE_SHIFT);
}

static void push__not_beyond_the_arena(void **state)
{
	uint8_t *piece[VERBS_PUSHED_BYTES / VERBS_PUSH_MAX];
	size_t n = sizeof(piece) / sizeof(piece[0]);

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_non_null(piece[i] = verbs_arena_get(&verbs(1)->pushed, VERBS_PUSH_MAX));
	ask();
	assert_int_equal(verbs(1)->peers[0].asked.used, 0);
	for (size_t i = 0; i < n; i++)
		verbs_arena_put(&verbs(1)->pushed, piece[i], VERBS_PUSH_MAX);
	pull_instead();
}

static void push__not_without_room_for_the_copy(void **state)
{
	uint8_t *piece[VERBS_ARENA_BYTES / VERBS_ARENA_LARGEST];
	size_t n = sizeof(piece) / sizeof(piece[0]);

	(void)state;
	ask();
	for (size_t i = 0; i < n; i++)
		assert_non_null(piece[i] =
					verbs_arena_get(&verbs(0)->staging, VERBS_ARENA_LARGEST));
	assert_int_equal(grant(8192), 0);
	for (size_t i = 0; i < n; i++)
		verbs_arena_put(&verbs(0)->staging, piece[i], VERBS_ARENA_LARGEST);
	poll_both();
	assert_granted();
}

static void push__not_without_room_in_the_queue(void **state)
{
	struct verbs_peer *peer = &verbs(0)->peers[1];
	unsigned before = peer->sends_free;

	(void)state;
	ask();
	peer->sends_free = 1;
	assert_int_equal(grant(8192), 0);
	peer->sends_free += before - 1;
	poll_both();
	assert_granted();
	assert_int_equal(peer->sends_free, before);
}

/* The grant waits its turn behind so many messages, without a copy that others could need the room
 * of. */
static void grant_behind(unsigned sent)
{
	assert_int_equal(grant(8192), 0);
	assert_int_equal(verbs(0)->staging.units_used, 0);
	poll_both();
	assert_int_equal(ranks[1].got, sent + 1);
	ranks[1].got = 1;
	assert_granted();
}

static void push__not_before_messages_that_wait(void **state)
{
	unsigned n = VERBS_WINDOW + 1;

	(void)state;
	ask();
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(send_nth(0, i, 1), 0);
	assert_int_equal(verbs(0)->peers[1].nqueued, 1);
	grant_behind(n);
}

static void push__not_without_a_credit(void **state)
{
	(void)state;
	ask();
	for (unsigned i = 0; i < VERBS_WINDOW; i++)
		assert_int_equal(send_nth(0, i, 1), 0);
	assert_int_equal(verbs(0)->peers[1].nqueued, 0);
	assert_int_equal(verbs(0)->peers[1].credit.have, 0);
	grant_behind(VERBS_WINDOW);
}

static void push__if_messages_go_by_copy(void **state)
{
	unsigned before;

	(void)state;
	ask();
	before = fake_posted;
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(grant(8192), 0);
	assert_int_equal(fake_posted - before, 2);
	/* Neither is where it was by now. */
	memset(segment_page(ranks[0].space.alias, asked_page()), 'y', 8192);
	fake_let_go(verbs(0)->peers[1].id);
	poll_both();
	assert_granted();
}

/* Whatever the answer is, the place is free; to ask again offers again. */
static void push__every_answer_ends_the_offer(void **state)
{
	static const enum msg_kind answer[] = { MSG_GRANT_S, MSG_GRANT_M, MSG_GRANT_ERROR };

	(void)state;
	for (unsigned i = 0; i < 3 * VERBS_OFFERS; i++) {
		ask();
		assert_int_equal(verbs(0)->peers[1].offered.used, 1);
		/* Messages that are no answer, and one for another page, do not. */
		assert_int_equal(send_about(0, MSG_INV, asked_page()), 0);
		assert_int_equal(send_about(0, MSG_GRANT_M, asked_page() + 2), 0);
		poll_both();
		assert_int_equal(verbs(1)->peers[0].asked.used, 1);
		assert_int_equal(send_about(0, answer[i % 3], asked_page()), 0);
		poll_both();
		assert_false(ranks[1].has_pushed);
		assert_nothing_offered();
	}
}

/* A request that is repeated offers what is offered. */
static void push__asked_for_twice(void **state)
{
	(void)state;
	ask();
	ask();
	assert_int_equal(verbs(1)->pushed.units_used, 2);
	assert_int_equal(verbs(0)->peers[1].offered.used, 1);
	assert_int_equal(grant(8192), 0);
	poll_both();
	assert_granted();
}

static void push__forgotten_with_its_block(void **state)
{
	(void)state;
	ask();
	ranks[0].t->ops->withdraw(ranks[0].t, 1, 1);
	assert_int_equal(verbs(0)->peers[1].offered.used, 1);
	ranks[0].t->ops->withdraw(ranks[0].t, 0, 1);
	assert_int_equal(verbs(0)->peers[1].offered.used, 0);
	/* The place is the requester's to keep until it has an answer. */
	ranks[1].t->ops->withdraw(ranks[1].t, 0, 1);
	assert_int_equal(verbs(1)->pushed.units_used, 2);
	assert_int_equal(ranks[0].t->ops->expose(ranks[0].t, 0, BLOCK_BYTES), 0);
	ask();
	assert_int_equal(grant(8192), 0);
	poll_both();
	assert_granted();
}

/* A home that writes where it likes: what it says it wrote is not taken for a page. */
static void refused(const struct verbs_offer *forged)
{
	const char *log;

	verbs_offer_put(&verbs(0)->peers[1].offered, 0, forged);
	capture_begin();
	assert_int_equal(grant(forged->len_bytes), 0);
	poll_both();
	log = capture_end();
	assert_non_null(strstr(log, "it says that it wrote a page where it was not asked to"));
	assert_int_equal(ranks[1].got, 0);
	assert_int_equal(ranks[1].ndown, 1);
}

static struct verbs_offer forged_offer(size_t len_bytes)
{
	return (struct verbs_offer){ .granule = asked_page(),
				     .addr = (uintptr_t)verbs(1)->pushed.base,
				     .rkey = verbs(1)->pushed_mr->rkey,
				     .len_bytes = (uint32_t)len_bytes };
}

static void push__of_a_page_that_nobody_asked_for(void **state)
{
	struct verbs_offer forged = forged_offer(8192);

	(void)state;
	refused(&forged);
}

static void push__of_more_than_was_asked_for(void **state)
{
	struct verbs_offer forged = forged_offer(16384);

	(void)state;
	ask();
	refused(&forged);
}

static void push__twice(void **state)
{
	struct verbs_offer forged = forged_offer(8192);

	(void)state;
	ask();
	assert_int_equal(grant(8192), 0);
	poll_both();
	assert_granted();
	ranks[1].got = 0;
	refused(&forged);
}

static void push__to_a_place_that_makes_no_sense(void **state)
{
	struct msg m = { .kind = MSG_GETS, .slots = 1, .src = 1, .page = asked_page() };
	struct verbs_offer forged = forged_offer(8192);
	const char *log;

	(void)state;
	verbs_offer_tell(&m, VERBS_OFFERS, &forged);
	assert_int_equal(ranks[1].t->ops->send(ranks[1].t, 0, &m), 0);
	capture_begin();
	poll_both();
	log = capture_end();
	assert_non_null(strstr(log, "it sent a message that makes no sense"));
	assert_int_equal(ranks[0].got, 0);
	assert_int_equal(ranks[0].ndown, 1);
}

/* The home's adapter may be writing still. */
static void push__place_is_not_used_again_when_its_home_dies(void **state)
{
	(void)state;
	ask();
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(grant(8192), 0);
	verbs_mark_broken(verbs(1), 0, "this test says so");
	poll_both();
	assert_int_equal(ranks[1].ndown, 1);
	assert_int_equal(verbs(1)->pushed.units_used, 2);
	expect(8192);
	assert_int_equal(verbs(1)->pushed.units_used, 2);
	fake_let_go(verbs(0)->peers[1].id);
	poll_both();
	assert_int_equal(verbs(0)->staging.units_used, 0);
}

/* One that came before the end is delivered; one that came with it takes nothing along. */
static void push__that_came_before_the_end(void **state)
{
	(void)state;
	ask();
	assert_int_equal(grant(8192), 0);
	verbs_mark_broken(verbs(1), 0, "this test says so");
	ranks[1].t->ops->poll(ranks[1].t, 64);
	assert_int_equal(ranks[1].got, 1);
	assert_true(ranks[1].has_pushed);
	assert_int_equal(ranks[1].ndown, 1);
	assert_int_equal(verbs(1)->pushed.units_used, 0);
}

static void write__more_than_the_arena_holds(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 0);
	uint8_t *own = ranks[0].space.alias, *home = ranks[1].space.alias;

	(void)state;
	assert_int_equal(t->ops->fetch(t, &f), 1); /* learns the key */
	poll_both();
	for (unsigned round = 0; round < 20; round++) {
		memset(segment_page(own, granule_of(1, 0)), (int)round + 1, BLOCK_BYTES);
		assert_int_equal(t->ops->write(t, 1, granule_of(1, 0), BLOCK_BYTES), 0);
		assert_int_equal(segment_page(home, granule_of(1, 511))[4095], round + 1);
	}
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(t->ops->write(t, 1, granule_of(1, i % 512), 4096), 0);
	poll_both();
	assert_int_equal(verbs(0)->staging.units_used, 0);
	assert_int_equal(verbs(0)->landing.units_used, 0);
	assert_int_equal(ranks[0].ndown, 0);
}

/*
 * Atomics by adapter
 */

static struct transport_atomic_op atomic_of(unsigned by, unsigned home, unsigned word)
{
	return (struct transport_atomic_op){
		.rank = home,
		.offset = (granule_of(home, 3) << GRANULE_SHIFT) + word * sizeof(uint64_t),
		.done = on_atomic_done,
		.ctx = &ranks[by],
	};
}

static uint64_t *atomic_word(const struct transport_atomic_op *a)
{
	return (uint64_t *)(ranks[a->rank].space.alias + a->offset);
}

static void adapter_atomic__on_a_peers_memory(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_atomic_op a = atomic_of(0, 1, 7);

	(void)state;
	*atomic_word(&a) = 40;
	a.operand = 2;
	/* Where the block lies has to be learnt first. */
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	poll_both();
	assert_int_equal(t->ops->adapter_atomic(t, &a), 1);
	assert_int_equal(ranks[0].atomic_done, 1);
	poll_both();
	assert_int_equal(ranks[0].atomic_done, 0);
	assert_int_equal(a.before, 40);
	a.op = ATOMIC_COMPARE_SWAP;
	for (unsigned i = 0; i < 2; i++) {
		a.expected = 42;
		a.operand = 50;
		assert_int_equal(t->ops->adapter_atomic(t, &a), 1);
		poll_both();
		assert_int_equal(a.before, i ? 50 : 42);
	}
	assert_int_equal(*atomic_word(&a), 50);
	assert_int_equal(ranks[1].got, 0);
	assert_int_equal(verbs(0)->landing.units_used, 0);
}

/* The acknowledgement of a recall follows it. */
static void adapter_atomic__is_done_before_a_later_message(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_atomic_op a = atomic_of(0, 1, 0);

	(void)state;
	a.operand = 1;
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	poll_both();
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(t->ops->adapter_atomic(t, &a), 1);
	assert_int_equal(send_nth(0, 0, 1), 0);
	assert_int_equal(((struct fake_id *)verbs(0)->peers[1].id)->qp->nheld, 2);
	assert_int_equal(((struct fake_id *)verbs(0)->peers[1].id)->qp->held[0].wr.opcode,
			 IBV_WR_ATOMIC_FETCH_AND_ADD);
	fake_let_go(verbs(0)->peers[1].id);
	poll_both();
	assert_int_equal(*atomic_word(&a), 1);
	assert_int_equal(ranks[1].got, 1);
	/* Without room in the queue it is not done later, behind such a message, but not at all. */
	verbs(0)->peers[1].sends_free = 0;
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	verbs(0)->peers[1].sends_free = verbs(0)->sends;
}

static void adapter_atomic__on_the_own_memory(void **state)
{
	struct transport *t = ranks[1].t;
	struct transport_atomic_op a = atomic_of(1, 1, 5);

	(void)state;
	assert_true(rankset_has(ranks[1].space.wire_atomics, 0));
	a.operand = 3;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(t->ops->adapter_atomic(t, &a), 0);
		assert_int_equal(a.before, 3 * i);
	}
	assert_int_equal(*atomic_word(&a), 300);
	assert_int_equal(verbs(1)->landing.units_used, 0);
	/* Of a block that is not exposed. */
	a.offset -= BLOCK_BYTES;
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EIO);
}

static void adapter_atomic__own_adapter_that_fails(void **state)
{
	struct transport *t = ranks[1].t;
	struct transport_atomic_op a = atomic_of(1, 1, 5);

	(void)state;
	((struct fake_id *)verbs_self(verbs(1))->id)->qp->fail = IBV_WC_RETRY_EXC_ERR;
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EIO);
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	assert_true(rankset_empty(ranks[1].space.wire_atomics));
	poll_both();
	assert_int_equal(ranks[0].ndown + ranks[1].ndown, 0);
	assert_int_equal(send_nth(0, 0, 1), 0);
	poll_both();
	assert_int_equal(ranks[1].got, 1);
}

/* One that finishes nothing is given up, and what it has is not touched any more. */
static void adapter_atomic__own_adapter_that_hangs(void **state)
{
	struct transport *t = ranks[1].t;
	struct transport_atomic_op a = atomic_of(1, 1, 5);

	(void)state;
	verbs(1)->timeout_ns = 1000000;
	fake_hold(verbs_self(verbs(1))->id);
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EIO);
	a.before = 77;
	fake_let_go(verbs_self(verbs(1))->id);
	poll_both();
	assert_int_equal(a.before, 77);
	assert_int_equal(verbs(1)->landing.units_used, 0);
}

static void adapter_atomic__ends_with_the_peer(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_atomic_op a = atomic_of(0, 1, 0);

	(void)state;
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	poll_both();
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(t->ops->adapter_atomic(t, &a), 1);
	verbs_mark_broken(verbs(0), 1, "this test says so");
	poll_both();
	assert_int_equal(ranks[0].atomic_done, -EHOSTDOWN);
	assert_int_equal(ranks[0].ndown, 1);
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EHOSTDOWN);
	fake_let_go(verbs(0)->peers[1].id);
	poll_both();
	assert_int_equal(verbs(0)->landing.units_used, 0);
}

static void adapter_atomic__not_without_the_device(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_atomic_op a = atomic_of(0, 1, 0);

	(void)state;
	assert_true(rankset_empty(ranks[0].space.wire_atomics));
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	poll_both();
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
	a.rank = 0;
	assert_int_equal(t->ops->adapter_atomic(t, &a), -EAGAIN);
}

static void sleep__what_comes_makes_the_descriptor_readable(void **state)
{
	struct transport *t = ranks[1].t;
	struct pollfd p = { .fd = t->fd, .events = POLLIN };

	(void)state;
	poll_both();
	t->ops->sleep(t, true);
	assert_false(t->ops->pending(t));
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(send_nth(0, 0, 1), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	t->ops->sleep(t, false);
	t->ready = true;
	assert_true(t->ops->pending(t));
	assert_int_equal(t->ops->poll(t, 64), 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	for (unsigned i = 1; i < 5; i++) {
		t->ops->sleep(t, true);
		assert_int_equal(send_nth(0, i, 1), 0);
		assert_int_equal(poll(&p, 1, 0), 1);
		t->ready = true;
		assert_int_equal(t->ops->poll(t, 64), 1);
		assert_false(t->watching);
		assert_int_equal(poll(&p, 1, 0), 0);
	}
}

/* As the agent goes to sleep. */
static void go_to_sleep(struct transport *t)
{
	t->ops->poll(t, 64);
	t->ops->sleep(t, true);
	assert_true(t->watching);
	assert_false(t->ops->pending(t));
}

static bool is_readable(const struct transport *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Nobody waits for the end of these. */
static void sleep__sends_and_writes_wake_nobody(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 0);

	(void)state;
	assert_int_equal(t->ops->fetch(t, &f), 1); /* learns the key */
	poll_both();
	go_to_sleep(t);
	assert_int_equal(send_nth(0, 0, 1), 0);
	assert_int_equal(t->ops->write(t, 1, granule_of(1, 0), 4096), 0);
	assert_true(t->watching);
	assert_false(t->ops->pending(t));
	assert_false(is_readable(t));
	/* Who polls takes out their ends all the same. */
	t->ops->poll(t, 64);
	assert_int_equal(verbs(0)->peers[1].sends_free, verbs(0)->sends);
	assert_int_equal(verbs(0)->staging.units_used, 0);
}

/* Who starts it while nobody polls is told that its end would be missed; a thread that polls for it
 * itself has nothing armed. */
static void sleep__the_end_of_a_fetch(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 0);

	(void)state;
	assert_int_equal(t->ops->fetch(t, &f), 1); /* learns the key */
	poll_both();
	go_to_sleep(t);
	t->ops->sleep(t, false);
	assert_int_equal(t->ops->fetch(t, &f), 1);
	assert_true(t->ops->pending(t));
	ranks[0].done = 1;
	t->ops->poll(t, 64);
	assert_int_equal(ranks[0].done, 0);
	go_to_sleep(t);
	assert_false(is_readable(t));
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(t->ops->fetch(t, &f), 1);
	assert_false(t->watching);
	t->ops->sleep(t, true);
	assert_true(t->watching);
	assert_false(is_readable(t));
	fake_let_go(verbs(0)->peers[1].id);
	assert_true(is_readable(t));
	ranks[0].done = 1;
	t->ready = true;
	t->ops->poll(t, 64);
	assert_int_equal(ranks[0].done, 0);
	assert_false(is_readable(t));
	/* The same of one that is started before. */
	t->ops->sleep(t, false);
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(t->ops->fetch(t, &f), 1);
	go_to_sleep(t);
	assert_false(is_readable(t));
	fake_let_go(verbs(0)->peers[1].id);
	assert_true(is_readable(t));
}

/* A thread that sleeps until its own operations end has a descriptor to itself. */
static void lend__ends_wake_the_thread_alone(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 0);
	struct pollfd p = { .events = POLLIN };

	(void)state;
	assert_int_equal(t->ops->lend(t), -1); /* nothing is under way */
	assert_int_equal(t->ops->fetch(t, &f), 1); /* learns the key */
	poll_both();
	for (unsigned i = 0; i < 3; i++) {
		go_to_sleep(t);
		ranks[0].done = 1;
		fake_hold(verbs(0)->peers[1].id);
		assert_int_equal(t->ops->fetch(t, &f), 1);
		p.fd = t->ops->lend(t);
		assert_true(p.fd >= 0);
		t->ops->sleep(t, true);
		assert_false(t->ops->pending(t));
		fake_let_go(verbs(0)->peers[1].id);
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_false(is_readable(t));
		t->end_ready = true;
		t->ops->poll(t, 64);
		assert_int_equal(ranks[0].done, 0);
		assert_int_equal(poll(&p, 1, 0), 0);
		assert_int_equal(t->ops->lend(t), -1);
		t->ops->take_back(t);
	}
	/* What a thread leaves under way is the agent's. */
	go_to_sleep(t);
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(t->ops->fetch(t, &f), 1);
	assert_true(t->ops->lend(t) >= 0);
	t->ops->sleep(t, true);
	assert_true(t->watching);
	t->ops->take_back(t);
	assert_false(t->watching);
	t->ops->sleep(t, true);
	fake_let_go(verbs(0)->peers[1].id);
	assert_true(is_readable(t));
}

/* A message that waits for room in the send queue goes when there is some. */
static void sleep__room_for_what_waits(void **state)
{
	struct transport *t = ranks[0].t;
	unsigned n = VERBS_WINDOW / 2;

	(void)state;
	poll_both();
	fake_hold(verbs(0)->peers[1].id);
	verbs(0)->peers[1].sends_free = n;
	go_to_sleep(t);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(send_nth(0, i, 1), 0);
	assert_true(t->watching);
	assert_int_equal(send_nth(0, n, 1), 0);
	assert_false(t->watching);
	t->ops->sleep(t, true);
	assert_false(is_readable(t));
	fake_let_go(verbs(0)->peers[1].id);
	assert_true(is_readable(t));
	poll_both();
	assert_int_equal(ranks[1].got, n + 1);
}

/* Whoever makes room for himself may take out what others wait for: it is not forgotten. */
static void sleep__what_somebody_else_took_out(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 0);

	(void)state;
	assert_int_equal(t->ops->fetch(t, &f), 1); /* learns the key */
	poll_both();
	assert_int_equal(t->ops->fetch(t, &f), 1);
	assert_int_equal(verbs_reap(verbs(0)), 1);
	assert_true(t->ops->pending(t));
	ranks[0].done = 1;
	t->ops->poll(t, 64);
	assert_int_equal(ranks[0].done, 0);
	assert_false(t->ops->pending(t));
}

/* Nobody waits for a message's end; but the adapter gives back the receives. */
static void sleep__a_send_that_fails_wakes(void **state)
{
	struct transport *t = ranks[0].t;

	(void)state;
	poll_both();
	go_to_sleep(t);
	fake_fail(verbs(0)->peers[1].id, IBV_WC_RETRY_EXC_ERR);
	assert_int_equal(send_nth(0, 0, 1), 0);
	assert_true(is_readable(t));
	poll_both();
	assert_int_equal(ranks[0].ndown, 1);
}

/*
 * Ends
 */

static void fail__what_is_under_way_ends_with_the_peer(void **state)
{
	struct transport *t = ranks[0].t;
	struct transport_fetch f[2] = { fetch_of(0, granule_of(1, 0), 1, 1),
					fetch_of(0, granule_of(1, 8), 2, 3) };

	(void)state;
	assert_int_equal(t->ops->fetch(t, &f[0]), 1);
	poll_both();
	assert_int_equal(ranks[0].done, 0);
	ranks[0].done = 1;
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(t->ops->fetch(t, &f[1]), 1);
	fake_fail(verbs(0)->peers[1].id, IBV_WC_RETRY_EXC_ERR);
	fake_let_go(verbs(0)->peers[1].id);
	for (unsigned i = 0; i < 2; i++) {
		ranks[1].t->ready = true;
		poll_both();
	}
	assert_int_equal(ranks[0].done, -EHOSTDOWN);
	assert_int_equal(ranks[0].ndown, 1);
	assert_int_equal(ranks[1].ndown, 1);
	assert_int_equal(t->ops->fetch(t, &f[0]), -EHOSTDOWN);
	assert_int_equal(send_nth(0, 0, 1), -EHOSTDOWN);
	assert_int_equal(t->ops->write(t, 1, granule_of(1, 0), 4096), -EHOSTDOWN);
	poll_both();
	assert_int_equal(ranks[0].ndown, 1);
	assert_int_equal(verbs(0)->landing.units_used, 0);
}

/* Its sentence has both addresses, the operation, the status and the likely cause; it is told once.
 */
static void assert_told(const char *log, const char *what, enum ibv_wc_status status)
{
	char text[128];

	assert_non_null(
		strstr(log, "closing the connection from 10.0.0.1 to rank 1 at 10.0.0.1: "));
	snprintf(text, sizeof(text), "%s failed (status %d, ", what, (int)status);
	assert_non_null(strstr(log, text));
	assert_non_null(strstr(log, verbs_error_cause(status)));
	assert_ptr_equal(strchr(log, '\n') + 1, log + strlen(log));
}

static void fail__by_each_status(void **state)
{
	struct transport_fetch f;

	teardown(state);
	for (unsigned s = IBV_WC_LOC_LEN_ERR; s <= IBV_WC_GENERAL_ERR; s++) {
		setup_connected(state);
		f = fetch_of(0, granule_of(1, 0), 2, 3);
		assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
		poll_both();
		assert_int_equal(ranks[0].done, 0);
		fake_fail(verbs(0)->peers[1].id, (enum ibv_wc_status)s);
		capture_begin();
		assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
		poll_both();
		assert_told(capture_end(), "a read of pages", (enum ibv_wc_status)s);
		assert_int_equal(ranks[0].done, -EHOSTDOWN);
		assert_int_equal(ranks[0].ndown, 1);
		teardown(state);
	}
	setup_connected(state);
}

/* Start one operation of a kind; -1: no more kinds. */
static int start_nth(unsigned kind, const char **what)
{
	struct transport *t = ranks[0].t;
	static struct transport_fetch f;
	struct msg granted = {
		.kind = MSG_GRANT_M, .slots = 1, .src = 1, .page = granule_of(1, 4)
	};

	f = fetch_of(0, granule_of(1, 0), 1, 1);
	switch (kind) {
	case 0:
		*what = "a read of a block's key";
		verbs(0)->rkeys[1] = 0;
		return t->ops->fetch(t, &f);
	case 1:
		*what = "a write of a page";
		return t->ops->write(t, 1, granule_of(1, 0), 4096);
	case 2:
		*what = "a message";
		return send_nth(0, 0, 1);
	case 3:
		*what = "a read of a granted page";
		assert_int_equal(ranks[1].t->ops->push(ranks[1].t, 0, granted.page, 4096), 0);
		return ranks[1].t->ops->send(ranks[1].t, 0, &granted);
	case 4:
		*what = "a sign of life";
		verbs(0)->beat_ns = 0;
		return 0;
	case 5:
		*what = "a granted page";
		ask();
		return grant(8192);
	default:
		return -1;
	}
}

static void fail__of_each_operation(void **state)
{
	struct transport_fetch f;
	const char *what;

	teardown(state);
	for (unsigned kind = 0;; kind++) {
		setup_connected(state);
		f = fetch_of(0, granule_of(1, 0), 1, 0);
		assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1); /* learns the key */
		poll_both();
		fake_fail(verbs(0)->peers[1].id, IBV_WC_REM_OP_ERR);
		capture_begin();
		if (start_nth(kind, &what) < 0)
			break;
		poll_both();
		assert_told(capture_end(), what, IBV_WC_REM_OP_ERR);
		assert_int_equal(ranks[0].ndown, 1);
		teardown(state);
	}
	capture_end();
}

/* Nothing else may be under way that could tell. */
static void fail__of_a_receive(void **state)
{
	(void)state;
	capture_begin();
	fake_fail_receive(verbs(0)->peers[1].id, IBV_WC_LOC_PROT_ERR);
	poll_both();
	assert_told(capture_end(), "a receive", IBV_WC_LOC_PROT_ERR);
	assert_int_equal(ranks[0].ndown, 1);
}

static void addresses__of_both_ends(void **state)
{
	const char *own = NULL, *peer = NULL;

	(void)state;
	assert_true(ranks[0].t->ops->addresses(ranks[0].t, 1, &own, &peer));
	assert_string_equal(own, "10.0.0.1");
	assert_string_equal(peer, "10.0.0.1");
}

static void remove__the_device_is_named(void **state)
{
	struct transport_fetch f = fetch_of(0, granule_of(1, 0), 1, 1);
	const char *log;

	(void)state;
	fake_hold(verbs(0)->peers[1].id);
	assert_int_equal(ranks[0].t->ops->fetch(ranks[0].t, &f), 1);
	fake_remove_device(verbs(0)->peers[1].id);
	ranks[0].t->ready = true;
	capture_begin();
	poll_both();
	log = capture_end();
	assert_non_null(strstr(log, "from 10.0.0.1 to rank 1 at 10.0.0.1: RDMA device fake0 was "
				    "removed"));
	assert_int_equal(ranks[0].done, -EHOSTDOWN);
	assert_int_equal(ranks[0].ndown, 1);
}

static void leave__last_messages_come_first(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(send_nth(0, i, 1), 0);
	rank_end(&ranks[0]);
	for (unsigned i = 0; i < 10; i++)
		ranks[1].t->ops->poll(ranks[1].t, 64);
	assert_int_equal(ranks[1].got, 40);
	assert_int_equal(ranks[1].ndown, 1);
}

static void beat__a_silent_peer_is_asked(void **state)
{
	(void)state;
	verbs(0)->beat_ns = 0;
	poll_both();
	assert_int_equal(ranks[0].ndown, 0);
	fake_fail(verbs(0)->peers[1].id, IBV_WC_RETRY_EXC_ERR);
	poll_both();
	assert_int_equal(ranks[0].ndown, 1);
}

/*
 * Memory
 */

static void expose__beyond_the_limit_is_refused_before_it_is_tried(void **state)
{
	struct transport_verbs *v = verbs(0);
	unsigned mrs = fake_mrs;

	(void)state;
	v->limit_bytes = v->locked_bytes + BLOCK_BYTES;
	fake_reg_errno = EIO;
	assert_int_equal(ranks[0].t->ops->expose(ranks[0].t, 1, BLOCK_BYTES), -ENOMEM);
	assert_non_null(strstr(error_text(), "a home block must be locked"));
	v->limit_bytes = UINT64_MAX;
	assert_int_equal(ranks[0].t->ops->expose(ranks[0].t, 1, BLOCK_BYTES), -EIO);
	assert_non_null(strstr(error_text(), "fake0"));
	assert_int_equal(fake_mrs, mrs);
	assert_int_equal(v->table[1], 0);
}

#define CONNECTED(f) cmocka_unit_test_setup_teardown(f, setup_connected, teardown)
#define ALONE(f)     cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALONE(connect__another_token_is_turned_away),
		ALONE(connect__a_rank_without_rdma_is_named),
		ALONE(connect__a_rank_that_left_is_named),
		CONNECTED(fetch__registers_reads_grants_and_data),
		CONNECTED(wire_take__finds_who_registered_since),
		cmocka_unit_test_setup_teardown(wire_take__finds_who_registered_since,
						setup_without_atomics, teardown),
		CONNECTED(fetch__look_that_is_overtaken_finds_the_page_busy),
		CONNECTED(fetch__key_is_asked_for_once),
		CONNECTED(fetch__of_a_block_that_is_not_exposed_goes_by_message),
		cmocka_unit_test_setup_teardown(fetch__needs_no_remote_atomics,
						setup_without_atomics, teardown),
		CONNECTED(send__in_order_beyond_all_credits),
		CONNECTED(push__data_is_there_when_the_grant_is),
		CONNECTED(push__lands_where_it_was_asked_for),
		CONNECTED(push__of_less_than_was_asked_for),
		CONNECTED(push__of_the_page_as_it_was_when_it_was_granted),
		CONNECTED(push__not_where_the_place_is_too_small),
		CONNECTED(push__not_to_whom_offers_nothing),
		CONNECTED(push__not_what_is_too_long),
		CONNECTED(push__not_beyond_the_arena),
		CONNECTED(push__not_without_room_for_the_copy),
		CONNECTED(push__not_without_room_in_the_queue),
		CONNECTED(push__not_before_messages_that_wait),
		CONNECTED(push__not_without_a_credit),
		cmocka_unit_test_setup_teardown(push__if_messages_go_by_copy, setup_without_atomics,
						teardown),
		CONNECTED(push__every_answer_ends_the_offer),
		CONNECTED(push__asked_for_twice),
		CONNECTED(push__forgotten_with_its_block),
		CONNECTED(push__of_a_page_that_nobody_asked_for),
		CONNECTED(push__of_more_than_was_asked_for),
		CONNECTED(push__twice),
		CONNECTED(push__to_a_place_that_makes_no_sense),
		CONNECTED(push__place_is_not_used_again_when_its_home_dies),
		CONNECTED(push__that_came_before_the_end),
		CONNECTED(write__more_than_the_arena_holds),
		CONNECTED(adapter_atomic__on_a_peers_memory),
		CONNECTED(adapter_atomic__is_done_before_a_later_message),
		CONNECTED(adapter_atomic__on_the_own_memory),
		CONNECTED(adapter_atomic__own_adapter_that_fails),
		CONNECTED(adapter_atomic__own_adapter_that_hangs),
		CONNECTED(adapter_atomic__ends_with_the_peer),
		cmocka_unit_test_setup_teardown(adapter_atomic__not_without_the_device,
						setup_without_atomics, teardown),
		CONNECTED(sleep__what_comes_makes_the_descriptor_readable),
		CONNECTED(sleep__sends_and_writes_wake_nobody),
		CONNECTED(sleep__the_end_of_a_fetch),
		CONNECTED(lend__ends_wake_the_thread_alone),
		CONNECTED(sleep__room_for_what_waits),
		CONNECTED(sleep__what_somebody_else_took_out),
		CONNECTED(sleep__a_send_that_fails_wakes),
		CONNECTED(fail__what_is_under_way_ends_with_the_peer),
		CONNECTED(fail__by_each_status),
		CONNECTED(fail__of_each_operation),
		CONNECTED(fail__of_a_receive),
		CONNECTED(addresses__of_both_ends),
		CONNECTED(remove__the_device_is_named),
		CONNECTED(leave__last_messages_come_first),
		CONNECTED(beat__a_silent_peer_is_asked),
		CONNECTED(expose__beyond_the_limit_is_refused_before_it_is_tried),
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
