/* SPDX-License-Identifier: MIT */
/*
 * The parts of the RDMA transport that need no adapter: credits, chains, what errors mean, the
 * limit on locked memory, arenas, offers, and the choice of a device.
 */
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

#include "error.h"
#include "verbs_arena.h"
#include "verbs_chain.h"
#include "verbs_credit.h"
#include "verbs_device.h"
#include "verbs_error.h"
#include "verbs_memlock.h"
#include "verbs_offer.h"

/*
 * Credits: two ends, in random order, never out of receives and never stuck
 */

#define WINDOW 8u
#define WIRE   64u

struct fifo {
	unsigned at[WIRE]; /* credits << 1 | is a message */
	unsigned first, n;
};

struct end {
	struct verbs_credit credit;
	struct fifo wire; /* on its way to the other end */
	struct fifo inbox; /* here, in a receive each, and not looked at */
	unsigned posted; /* receives */
	unsigned held; /* messages that it has not taken */
	uint64_t sent, taken;
};

static void fifo_put(struct fifo *f, unsigned what)
{
	assert_true(f->n < WIRE);
	f->at[(f->first + f->n++) % WIRE] = what;
}

static unsigned fifo_get(struct fifo *f)
{
	unsigned what = f->at[f->first];

	f->first = (f->first + 1) % WIRE;
	f->n--;
	return what;
}

static void put(struct end *from, bool message)
{
	fifo_put(&from->wire, verbs_credit_tell(&from->credit) << 1 | message);
}

/* One thing arrives: it uses a receive, of which there must be one. */
static void arrive(struct end *from, struct end *to)
{
	if (!from->wire.n)
		return;
	assert_true(to->posted > 0);
	to->posted--;
	fifo_put(&to->inbox, fifo_get(&from->wire));
}

/* It is looked at. */
static void look(struct end *e)
{
	unsigned what;

	if (!e->inbox.n)
		return;
	what = fifo_get(&e->inbox);
	assert_true(verbs_credit_add(&e->credit, what >> 1));
	if (what & 1)
		e->held++;
	else
		e->posted++;
}

static void take(struct end *e)
{
	if (!e->held)
		return;
	e->held--;
	e->posted++;
	e->taken++;
	verbs_credit_posted(&e->credit);
}

static void tell(struct end *e)
{
	if (verbs_credit_due(&e->credit))
		put(e, false);
}

static void send_one(struct end *e)
{
	if (!verbs_credit_take(&e->credit))
		return;
	put(e, true);
	e->sent++;
}

static void end_step(struct end *e, struct end *other, unsigned what)
{
	if (what == 0)
		send_one(e);
	else if (what == 1)
		take(e);
	else if (what == 2)
		tell(e);
	else if (what == 3)
		look(e);
	else
		arrive(e, other);
}

static void credit__never_out_of_receives_nor_stuck(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct end e[2] = { 0 };
		uint64_t before;

		srandom(seed);
		for (int i = 0; i < 2; i++) {
			verbs_credit_init(&e[i].credit, WINDOW);
			e[i].posted = WINDOW + VERBS_CREDIT_SPARE;
		}
		for (unsigned k = 0; k < 20000; k++) {
			unsigned i = (unsigned)random() % 2;

			unsigned what = (unsigned)random() % 5;

			/* In some seeds one end has nothing to say, in some it is slow to look. */
			if ((what == 0 && seed % 3 == i) ||
			    (what == 3 && seed % 2 == i && random() % 64))
				continue;
			end_step(&e[i], &e[1 - i], what);
		}
		/* Whatever has happened: when all is served, both can send a window again. */
		for (unsigned k = 0; k < 4 * WIRE; k++)
			for (int i = 0; i < 2; i++) {
				arrive(&e[i], &e[1 - i]);
				look(&e[1 - i]);
				take(&e[i]);
				tell(&e[i]);
			}
		for (int i = 0; i < 2; i++) {
			assert_int_equal(e[i].sent, e[1 - i].taken);
			assert_true(e[i].credit.have > WINDOW / 2);
			before = e[i].sent;
			send_one(&e[i]);
			assert_int_equal(e[i].sent, before + 1);
		}
	}
}

static void credit__refuses_more_than_there_are(void **state)
{
	struct verbs_credit c;

	(void)state;
	verbs_credit_init(&c, WINDOW);
	assert_false(verbs_credit_add(&c, 1));
	for (unsigned i = 0; i < WINDOW; i++)
		assert_true(verbs_credit_take(&c));
	assert_false(verbs_credit_take(&c));
	assert_false(verbs_credit_add(&c, WINDOW + 1));
	assert_true(verbs_credit_add(&c, WINDOW));
}

static void imm__keeps_credits_and_length(void **state)
{
	(void)state;
	assert_int_equal(verbs_imm_credits(verbs_imm(68, 10)), 68);
	assert_int_equal(verbs_imm_data(verbs_imm(68, 10)), 10);
	assert_int_equal(verbs_imm_data(verbs_imm(0xffff, 0)), 0);
}

/*
 * Chains
 */

static struct ibv_send_wr wr[VERBS_CHAIN_MAX];
static struct ibv_sge sge[VERBS_CHAIN_MAX];

static const uint64_t words[8];

static struct verbs_chain chain(unsigned n, unsigned shift, unsigned nwords)
{
	return (struct verbs_chain){ .readers = 0x10000,
				     .grants = 0x20000,
				     .pages = 0x30000,
				     .rkey = 77,
				     .n = n,
				     .shift = shift,
				     .words = words,
				     .nwords = nwords,
				     .landing = (uint8_t *)0x1000000,
				     .lkey = 88,
				     .last_id = 5,
				     .other_id = 4 };
}

static void chain__words_then_grants_then_data(void **state)
{
	struct verbs_chain c = chain(3, 0, 2);
	unsigned n = verbs_chain_build(&c, wr, sge);

	(void)state;
	assert_int_equal(n, 3);
	assert_int_equal(wr[0].opcode, IBV_WR_RDMA_WRITE);
	assert_int_equal(wr[0].wr.rdma.remote_addr, 0x10000);
	assert_int_equal(wr[0].wr.rdma.rkey, 77);
	assert_int_equal(wr[0].send_flags, IBV_SEND_INLINE);
	assert_ptr_equal((void *)(uintptr_t)sge[0].addr, words);
	assert_int_equal(sge[0].length, 16);
	assert_int_equal(wr[1].opcode, IBV_WR_RDMA_READ);
	assert_int_equal(wr[1].wr.rdma.remote_addr, 0x20000);
	assert_int_equal(sge[1].length, 24);
	assert_int_equal(wr[2].opcode, IBV_WR_RDMA_READ);
	assert_int_equal(wr[2].wr.rdma.remote_addr, 0x30000);
	assert_int_equal(sge[2].addr, 0x1000000);
	assert_int_equal(sge[2].length, 3 * 4096);
}

static void chain__look_reads_the_grants_once_more(void **state)
{
	struct verbs_chain c = chain(3, 1, 0);
	uint8_t *landing = calloc(1, verbs_chain_bytes(3, 1));
	unsigned n;

	(void)state;
	assert_non_null(landing);
	c.look = true;
	c.landing = landing;
	n = verbs_chain_build(&c, wr, sge);
	assert_int_equal(n, 3);
	assert_int_equal(wr[0].wr.rdma.remote_addr, 0x20000);
	assert_int_equal(wr[1].wr.rdma.remote_addr, 0x30000);
	assert_int_equal(wr[2].wr.rdma.remote_addr, 0x20000);
	assert_int_equal(wr[2].send_flags, IBV_SEND_SIGNALED);
	for (unsigned i = 0; i < n; i += 2)
		for (unsigned k = 0; k < 5; k++)
			((uint64_t *)(uintptr_t)sge[i].addr)[k] = 100 * i + k;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(verbs_chain_grant(landing, 3, 1, i), 2 * i);
		assert_int_equal(verbs_chain_grant_after(landing, 3, 1, i), 200 + 2 * i);
	}
	free(landing);
}

static void chain__only_the_last_is_signalled_and_none_fenced(void **state)
{
	struct verbs_chain c = chain(TRANSPORT_FETCH_MAX, 0, 1);
	unsigned n = verbs_chain_build(&c, wr, sge);

	(void)state;
	assert_int_equal(n, VERBS_CHAIN_MAX);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(wr[i].send_flags & ~(unsigned)IBV_SEND_INLINE,
				 i + 1 < n ? 0 : IBV_SEND_SIGNALED);
		assert_int_equal(wr[i].wr_id, i + 1 < n ? 4 : 5);
		assert_ptr_equal(wr[i].next, i + 1 < n ? &wr[i + 1] : NULL);
		assert_ptr_equal(wr[i].sg_list, &sge[i]);
		assert_int_equal(wr[i].num_sge, 1);
		assert_int_equal(sge[i].lkey, i ? 88 : 0);
	}
}

static void chain__parts_of_the_landing_do_not_overlap(void **state)
{
	static const unsigned shapes[][2] = { { 1, 0 }, { 64, 0 }, { 8, 3 }, { 1, 9 }, { 2, 8 } };

	(void)state;
	for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
		struct verbs_chain c = chain(shapes[k][0], shapes[k][1], 0);
		size_t bytes = verbs_chain_bytes(c.n, c.shift);
		unsigned n;

		c.look = true;
		n = verbs_chain_build(&c, wr, sge);
		for (unsigned i = 0; i < n; i++) {
			uint64_t end = sge[i].addr + sge[i].length;

			assert_true(sge[i].addr >= 0x1000000 && end <= 0x1000000 + bytes);
			for (unsigned j = 0; j < i; j++)
				assert_true(sge[j].addr >= end ||
					    sge[j].addr + sge[j].length <= sge[i].addr);
		}
	}
}

static void chain_grant__finds_the_word_of_each_page(void **state)
{
	struct verbs_chain c = chain(4, 2, 0);
	uint8_t *landing = calloc(1, verbs_chain_bytes(4, 2));
	uint64_t *grants = (uint64_t *)(void *)(landing + 4 * 4 * 4096);

	(void)state;
	assert_non_null(landing);
	assert_int_equal(verbs_chain_build(&c, wr, sge), 2);
	for (unsigned i = 0; i < 13; i++)
		grants[i] = 100 + i;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(verbs_chain_grant(landing, 4, 2, i), 100 + 4 * i);
	free(landing);
}

/*
 * Errors
 */

static void error_text__names_operation_status_and_cause(void **state)
{
	struct ibv_wc wc = { .status = IBV_WC_RETRY_EXC_ERR, .vendor_err = 0x81 };
	char text[384];

	(void)state;
	verbs_error_text(text, sizeof(text), &wc, "a message");
	assert_non_null(strstr(text, "a message failed (status 12"));
	assert_non_null(strstr(text, "0x81"));
	assert_non_null(strstr(text, "did not acknowledge"));
}

static void error_cause__every_status_has_one(void **state)
{
	(void)state;
	for (unsigned s = IBV_WC_LOC_LEN_ERR; s <= IBV_WC_GENERAL_ERR; s++)
		assert_true(strlen(verbs_error_cause((enum ibv_wc_status)s)) > 20);
	assert_string_not_equal(verbs_error_cause(IBV_WC_RETRY_EXC_ERR),
				verbs_error_cause(IBV_WC_RNR_RETRY_EXC_ERR));
	assert_string_not_equal(verbs_error_cause(IBV_WC_REM_ACCESS_ERR),
				verbs_error_cause(IBV_WC_LOC_PROT_ERR));
}

/*
 * Locked memory
 */

static void memlock_check__numbers_and_remedy(void **state)
{
	(void)state;
	assert_int_equal(verbs_memlock_check(UINT64_MAX, 1ull << 40, 1ull << 40, "x"), 0);
	assert_int_equal(verbs_memlock_check(8 << 20, 4 << 20, 4 << 20, "x"), 0);
	assert_int_equal(verbs_memlock_check(8 << 20, 4 << 20, (4 << 20) + 1, "a block"), -ENOMEM);
	assert_non_null(strstr(error_text(), "a block"));
	assert_non_null(strstr(error_text(), "4097 KiB"));
	assert_non_null(strstr(error_text(), "4096 KiB that are"));
	assert_non_null(strstr(error_text(), "limit is 8192 KiB"));
	assert_non_null(strstr(error_text(), "ulimit -l unlimited"));
	/* More is locked than the limit allows now: it was lowered. */
	assert_int_equal(verbs_memlock_check(1 << 20, 2 << 20, 1, "x"), -ENOMEM);
}

/*
 * Arenas
 */

static void arena__gives_all_of_it_and_takes_it_back(void **state)
{
	struct verbs_arena *a = malloc(sizeof(*a));
	uint8_t *base = aligned_alloc(4096, VERBS_ARENA_BYTES);
	uint8_t *p[VERBS_ARENA_UNITS];

	(void)state;
	assert_true(a && base);
	verbs_arena_init(a, base, VERBS_ARENA_BYTES);
	for (unsigned round = 0; round < 2; round++) {
		memset(base, 0, VERBS_ARENA_BYTES);
		for (unsigned i = 0; i < VERBS_ARENA_UNITS; i++) {
			p[i] = verbs_arena_get(a, 1 + i % 4096);
			assert_true(p[i] >= base && p[i] < base + VERBS_ARENA_BYTES);
			assert_int_equal(*p[i], 0);
			*p[i] = 1;
		}
		assert_null(verbs_arena_get(a, 1));
		for (unsigned i = 0; i < VERBS_ARENA_UNITS; i++)
			verbs_arena_put(a, p[(i * 7919) % VERBS_ARENA_UNITS],
					1 + (i * 7919) % VERBS_ARENA_UNITS % 4096);
		/* All buddies have met again. */
		for (unsigned i = 0; i < VERBS_ARENA_BYTES / VERBS_ARENA_LARGEST; i++)
			p[i] = verbs_arena_get(a, VERBS_ARENA_LARGEST);
		assert_null(verbs_arena_get(a, 1));
		for (unsigned i = 0; i < VERBS_ARENA_BYTES / VERBS_ARENA_LARGEST; i++) {
			assert_non_null(p[i]);
			verbs_arena_put(a, p[i], VERBS_ARENA_LARGEST);
		}
		assert_int_equal(a->units_used, 0);
	}
	assert_null(verbs_arena_get(a, VERBS_ARENA_LARGEST + 1));
	free(base);
	free(a);
}

static void arena__random_blocks_do_not_overlap(void **state)
{
	struct verbs_arena *a = malloc(sizeof(*a));
	uint8_t *base = aligned_alloc(4096, VERBS_ARENA_BYTES);
	struct {
		uint8_t *p;
		size_t len;
	} b[64] = { 0 };

	(void)state;
	assert_true(a && base);
	srandom(7);
	verbs_arena_init(a, base, VERBS_ARENA_BYTES);
	for (unsigned k = 0; k < 20000; k++) {
		unsigned i = (unsigned)random() % 64;

		if (b[i].p) {
			assert_int_equal(b[i].p[0], i);
			assert_int_equal(b[i].p[b[i].len - 1], i);
			verbs_arena_put(a, b[i].p, b[i].len);
			b[i].p = NULL;
			continue;
		}
		b[i].len = 1 + (size_t)random() % (64u << (random() % 16));
		b[i].p = verbs_arena_get(a, b[i].len);
		if (b[i].p)
			b[i].p[0] = b[i].p[b[i].len - 1] = (uint8_t)i;
	}
	free(base);
	free(a);
}

/* Of any size: all of it is given out, nothing beside it, and what came back meets again. */
static void arena__of_any_size(void **state)
{
	static const size_t units[] = { 1, 2, 3, 7, 256, 1000, 1024, 1025, 1536 };
	struct verbs_arena *a = malloc(sizeof(*a));
	uint8_t *base = aligned_alloc(4096, VERBS_ARENA_BYTES), *p;

	(void)state;
	assert_true(a && base);
	for (size_t k = 0; k < sizeof(units) / sizeof(units[0]); k++) {
		verbs_arena_init(a, base, units[k] << 12);
		for (unsigned round = 0; round < 2; round++) {
			memset(base, 0, units[k] << 12);
			for (size_t i = 0; i < units[k]; i++) {
				p = verbs_arena_get(a, 4096);
				assert_true(p && p < base + (units[k] << 12));
				assert_int_equal(*p, 0);
				*p = 1;
			}
			assert_null(verbs_arena_get(a, 1));
			for (size_t i = 0; i < units[k]; i++)
				verbs_arena_put(a, base + (i << 12), 4096);
			assert_int_equal(a->units_used, 0);
		}
		if (units[k] >= 1024)
			assert_ptr_equal(verbs_arena_get(a, VERBS_ARENA_LARGEST), base);
	}
	free(base);
	free(a);
}

/*
 * Offers
 */

static struct verbs_offer offer_of(uint64_t granule)
{
	return (struct verbs_offer){ .granule = granule,
				     .addr = 0x123456789000 + (granule << 12),
				     .rkey = 0x87654321,
				     .len_bytes = 8192 };
}

static void offer__travels_in_a_request(void **state)
{
	struct msg m = { .kind = MSG_GETM, .page = 77 };
	struct verbs_offer of = offer_of(77), got = { 0 };
	unsigned number = 0;

	(void)state;
	assert_int_equal(verbs_offer_read(&m, &number, &got), 0);
	for (unsigned order = 0; order <= 9; order++) {
		of.len_bytes = 4096u << order;
		verbs_offer_tell(&m, 63 - order, &of);
		assert_int_equal(verbs_offer_read(&m, &number, &got), 1);
		assert_int_equal(number, 63 - order);
		assert_memory_equal(&got, &of, sizeof(of));
	}
	/* Nothing of what the protocol says is touched. */
	assert_int_equal(m.word[0] | m.word[1] | m.word[2] | m.word[3], 0);
	/* A number that no table has; a page that no block has. */
	verbs_offer_tell(&m, VERBS_OFFERS, &of);
	assert_int_equal(verbs_offer_read(&m, &number, &got), -EPROTO);
	for (unsigned bit = 44; bit < 64; bit++) {
		verbs_offer_tell(&m, 0, &of);
		m.word[5] |= 1ull << bit;
		assert_int_equal(verbs_offer_read(&m, &number, &got), -EPROTO);
	}
}

static void offers__are_found_by_page_until_they_are_taken(void **state)
{
	struct verbs_offers *o = calloc(1, sizeof(*o));
	struct verbs_offer of;

	(void)state;
	assert_non_null(o);
	assert_int_equal(verbs_offer_find(o, 0), -1);
	for (unsigned i = 0; i < VERBS_OFFERS; i++) {
		of = offer_of(1000 + 7 * i);
		assert_int_equal(verbs_offer_free(o), i);
		verbs_offer_put(o, i, &of);
	}
	assert_int_equal(verbs_offer_free(o), -1);
	for (unsigned i = 0; i < VERBS_OFFERS; i += 2) {
		assert_int_equal(verbs_offer_find(o, 1000 + 7 * i), i);
		assert_true(verbs_offer_take(o, 1000 + 7 * i, &of));
		assert_int_equal(of.granule, 1000 + 7 * i);
		assert_false(verbs_offer_take(o, 1000 + 7 * i, &of));
		assert_int_equal(verbs_offer_find(o, 1000 + 7 * i + 7), i + 1);
	}
	assert_int_equal(verbs_offer_free(o), 0);
	/* Those of blocks 2 alone, which is from 1024 on: numbers 5 and more. */
	verbs_offer_forget(o, 2, 1);
	assert_int_equal(o->used, 1 << 1 | 1 << 3);
	verbs_offer_forget(o, 0, 2);
	assert_int_equal(o->used, 0);
	free(o);
}

static void data_bytes__of_pages_that_exist(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= GRANULES_PER_BLOCK; n++) {
		assert_int_equal(verbs_data_bytes(n), n * 4096);
		assert_int_equal(verbs_data_bytes(n | VERBS_DATA_PUSHED), n * 4096);
	}
	for (unsigned n = GRANULES_PER_BLOCK + 1; n < VERBS_DATA_PUSHED; n++)
		assert_int_equal(verbs_data_bytes(n), 0);
}

/*
 * Devices
 */

static struct verbs_device device(const char *name, const char *interface, const char *addr)
{
	struct verbs_device d = { .port = 1, .active = true, .atomics = true, .speed = 100 };

	snprintf(d.name, sizeof(d.name), "%s", name);
	snprintf(d.interface, sizeof(d.interface), "%s", interface);
	snprintf(d.addr_text, sizeof(d.addr_text), "%s", addr);
	d.addr.ss_family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	return d;
}

static void device_choose__by_what_matters_most(void **state)
{
	struct verbs_device d[3] = { device("a", "eth0", "10.0.0.1"),
				     device("b", "eth1", "10.0.0.2"),
				     device("c", "eth2", "10.0.0.3") };
	char why[64];

	(void)state;
	assert_int_equal(verbs_device_choose(d, 3, "", 0, why, sizeof(why)), 0);
	assert_string_equal(why, "it comes first");
	d[2].speed = 200;
	assert_int_equal(verbs_device_choose(d, 3, "", 0, why, sizeof(why)), 2);
	assert_string_equal(why, "it is the fastest");
	assert_string_equal(verbs_device_rejected(&d[0], &d[2], "", 0), "it is slower");
	d[0].numa = d[2].numa = 1;
	assert_int_equal(verbs_device_choose(d, 3, "", 0, why, sizeof(why)), 1);
	assert_string_equal(why, "it is on this NUMA node");
	d[1].atomics = false;
	assert_int_equal(verbs_device_choose(d, 3, "", 0, why, sizeof(why)), 2);
	assert_string_equal(verbs_device_rejected(&d[1], &d[2], "", 0),
			    "it does no remote atomics");
	d[2].active = false;
	assert_int_equal(verbs_device_choose(d, 3, "", 0, why, sizeof(why)), 0);
	assert_string_equal(verbs_device_rejected(&d[2], &d[0], "", 0), "its port is not up");
}

static void device_choose__obeys_the_setting(void **state)
{
	struct verbs_device d[3] = { device("a", "eth0", "10.0.0.1"),
				     device("b", "eth1", "10.0.0.2"),
				     device("b", "eth1", "fd00::2") };
	char why[64];

	(void)state;
	d[0].speed = 400;
	assert_int_equal(verbs_device_choose(d, 3, "b", -1, why, sizeof(why)), 1);
	assert_int_equal(verbs_device_choose(d, 3, "b:1", -1, why, sizeof(why)), 1);
	assert_int_equal(verbs_device_choose(d, 3, "eth1", -1, why, sizeof(why)), 1);
	assert_int_equal(verbs_device_choose(d, 3, "fd00::2", -1, why, sizeof(why)), 2);
	assert_string_equal(why, "DSM_RDMA_DEVICE asks for it");
	assert_int_equal(verbs_device_choose(d, 3, "b:2", -1, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(error_text(), "b:2"));
	assert_non_null(strstr(error_text(), "a:1 (eth0, 10.0.0.1)"));
	assert_string_equal(verbs_device_rejected(&d[0], &d[1], "b", -1),
			    "DSM_RDMA_DEVICE asks for another");
}

static void device_choose__none_and_down(void **state)
{
	struct verbs_device d = device("a", "eth0", "10.0.0.1");
	char why[64];

	(void)state;
	assert_int_equal(verbs_device_choose(NULL, 0, "", 0, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(error_text(), "no RDMA device"));
	d.active = false;
	assert_int_equal(verbs_device_choose(&d, 1, "", 0, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(error_text(), "not up"));
	d.active = true;
	assert_int_equal(verbs_device_choose(&d, 1, "", 0, why, sizeof(why)), 0);
	assert_string_equal(why, "it is the only one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credit__never_out_of_receives_nor_stuck),
		cmocka_unit_test(credit__refuses_more_than_there_are),
		cmocka_unit_test(imm__keeps_credits_and_length),
		cmocka_unit_test(chain__words_then_grants_then_data),
		cmocka_unit_test(chain__look_reads_the_grants_once_more),
		cmocka_unit_test(chain__only_the_last_is_signalled_and_none_fenced),
		cmocka_unit_test(chain__parts_of_the_landing_do_not_overlap),
		cmocka_unit_test(chain_grant__finds_the_word_of_each_page),
		cmocka_unit_test(error_text__names_operation_status_and_cause),
		cmocka_unit_test(error_cause__every_status_has_one),
		cmocka_unit_test(memlock_check__numbers_and_remedy),
		cmocka_unit_test(arena__gives_all_of_it_and_takes_it_back),
		cmocka_unit_test(arena__random_blocks_do_not_overlap),
		cmocka_unit_test(arena__of_any_size),
		cmocka_unit_test(offer__travels_in_a_request),
		cmocka_unit_test(offers__are_found_by_page_until_they_are_taken),
		cmocka_unit_test(data_bytes__of_pages_that_exist),
		cmocka_unit_test(device_choose__by_what_matters_most),
		cmocka_unit_test(device_choose__obeys_the_setting),
		cmocka_unit_test(device_choose__none_and_down),
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
