/* SPDX-License-Identifier: MIT */
/*
 * Messages of every kind with every content, in every order, to a rank that goes about its work:
 * regions, pages, locks, semaphores, condition variables, barriers.
 *
 * The first byte chooses rank and size. A step whose first byte has the top bit is another rank's
 * (node_rank.c), and such steps are also what this rank hears while it waits in a call; the others
 * are this rank's own calls, whose arguments are right: what is wrong with them is for the tests.
 */
#include "node_rank.h"

#include <errno.h>

#define HELD_MAX 8u

/* What is acquired and not released. */
static struct {
	void *addr;
	size_t len;
} held[HELD_MAX];
static unsigned nheld;

static void *place(size_t *len)
{
	uint64_t granule = node_rank_value() % (NODE_BLOCKS * GRANULES_PER_BLOCK);

	*len = (input_byte(script) % 40 + 1) * GRANULE_BYTES;
	return (void *)(NODE_BASE + (granule << GRANULE_SHIFT));
}

static void call_alloc(void)
{
	static const char *const names[] = { NULL, "a", "b", "c" };
	uint8_t what = input_byte(script), more = input_byte(script);
	struct dsm_attr attr = { .name = names[what & 3],
				 .home = (enum dsm_home_policy)(what >> 2 & 3),
				 .home_rank = more % node->size,
				 .page_size = GRANULE_BYTES << (more >> 4 & 7),
				 .release = (enum dsm_release_policy)(what >> 4 & 1) };
	size_t len = input_byte(script) * GRANULE_BYTES * 16;
	void *p = dsm_alloc(node, len, &attr);
	struct dsm_region_info info;

	fuzz_expect_reason(p ? 0 : -1, "dsm_alloc");
	if (p)
		FUZZ_CHECK(dsm_region_get(node, p, &info) == 0 && info.addr == p && info.len >= len,
			   "%p is no region of %zu bytes", p, len);
}

static void call_acquire(enum dsm_mode mode)
{
	size_t len;
	void *addr = place(&len);
	int rc;

	if (nheld == HELD_MAX)
		return;
	rc = dsm_acquire(node, addr, len, mode);
	fuzz_expect_reason(rc, "dsm_acquire");
	if (rc < 0)
		return;
	held[nheld].addr = addr;
	held[nheld++].len = len;
}

static void call_release(void)
{
	unsigned i = nheld ? input_byte(script) % nheld : 0;

	if (!nheld)
		return;
	FUZZ_CHECK(dsm_release(node, held[i].addr, held[i].len) == 0, "%s", dsm_errmsg());
	held[i] = held[--nheld];
}

static void call_atomic(bool add)
{
	size_t len;
	void *addr = place(&len);
	uint64_t old;
	int rc;

	if (add)
		rc = dsm_fetch_add64(node, addr, 1, &old);
	else
		rc = dsm_compare_swap32(node, addr, 0, 1, NULL);
	fuzz_expect_reason(rc, "remote atomic");
}

static void call_sync(unsigned which)
{
	const void *name = (const void *)(uintptr_t)(1 + input_byte(script) % 4);
	const void *lock = (const void *)(uintptr_t)(1 + input_byte(script) % 4);
	int rc = 0;

	switch (which) {
	case 0:
		rc = dsm_lock(node, name);
		break;
	case 1:
		rc = dsm_lock_try(node, name);
		break;
	case 2:
		rc = dsm_unlock(node, name);
		break;
	case 3:
		rc = dsm_sem_init(node, name, input_byte(script));
		break;
	case 4:
		rc = dsm_sem_post(node, name);
		break;
	case 5:
		rc = dsm_sem_wait(node, name);
		break;
	case 6:
		rc = dsm_sem_try(node, name);
		break;
	case 7:
		rc = dsm_cond_wait(node, name, lock);
		break;
	case 8:
		rc = dsm_cond_signal(node, name);
		break;
	case 9:
		rc = dsm_cond_broadcast(node, name);
		break;
	case 10:
		rc = dsm_barrier(node);
		break;
	}
	fuzz_expect_reason(rc, "synchronisation");
}

static void own_step(void)
{
	uint8_t what = input_byte(script) % 32;
	size_t len;
	void *addr;

	switch (what) {
	case 0:
	case 1:
		call_alloc();
		break;
	case 2:
		fuzz_expect_reason(dsm_free(node, (void *)(uintptr_t)node_rank_addr()), "dsm_free");
		break;
	case 3:
		call_acquire(DSM_READ);
		break;
	case 4:
		call_acquire(DSM_WRITE);
		break;
	case 5:
		call_release();
		break;
	case 6:
		addr = place(&len);
		fuzz_expect_reason(dsm_prefetch(node, addr, len, DSM_READ), "dsm_prefetch");
		break;
	case 7:
		addr = place(&len);
		fuzz_expect_reason(dsm_home(node, addr), "dsm_home");
		break;
	case 8:
		call_atomic(true);
		break;
	case 9:
		call_atomic(false);
		break;
	case 10:
		node_rank_fault(node_rank_value(), false);
		break;
	case 11:
		node_rank_fault(node_rank_value(), true);
		break;
	case 12:
		node_rank_scribble();
		break;
	case 13:
		node_rank_mood(input_byte(script));
		break;
	case 14:
		fuzz_clock_forward((uint64_t)input_byte(script) * 100000u);
		break;
	default:
		call_sync(what - 15);
		break;
	}
	node_rank_check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned sizes[] = { 2, 3, 3, 70 };
	struct input in = { data, data + len };
	uint8_t who = input_byte(&in);
	unsigned size = sizes[who & 3];

	fuzz_clock_start();
	nheld = 0;
	node_rank_create(&in, (who >> 2) % size, size);
	while (input_left(&in))
		if (!node_rank_step())
			own_step();
	node_rank_destroy();
	fuzz_clock_stop();
	return 0;
}
