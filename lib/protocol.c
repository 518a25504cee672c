/* SPDX-License-Identifier: MIT */
/*
 * What the two sides of the protocol share: set-up, messages to the own rank, and the check that
 * every message from outside passes before a side sees it.
 *
 * A message to the own rank is queued and delivered when the current event is done, never inside
 * it: so a home treats itself as it treats any other rank, and no handler is entered twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "error.h"
#include "log.h"
#include "cache_internal.h"
#include "protocol.h"

struct local_msg {
	struct cds_list_head link;
	struct msg msg;
};

static void *lazy_array(uint64_t n, size_t each)
{
	void *a = mmap(NULL, n * each, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return a == MAP_FAILED ? NULL : a;
}

static uint64_t total_granules(const struct protocol *p)
{
	return p->space->len_bytes >> GRANULE_SHIFT;
}

int protocol_init(struct protocol *p, const struct protocol_ops *ops, void *env, unsigned rank,
		  unsigned size, const struct space *space, struct block *blocks,
		  struct stats *stats, uint64_t cache_bytes)
{
	*p = (struct protocol){ .ops = ops,
				.env = env,
				.rank = rank,
				.size = size,
				.space = space,
				.blocks = blocks,
				.stats = stats,
				.frames_max = cache_bytes >> GRANULE_SHIFT };
	CDS_INIT_LIST_HEAD(&p->local);
	pool_init(&p->local_pool, sizeof(struct local_msg));
	cache_init(p);
	directory_init(p);
	p->pages = lazy_array(total_granules(p), sizeof(*p->pages));
	if (!p->pages)
		return error_set_sys(ENOMEM, "no address space for the page table of %zu bytes",
				     (size_t)(total_granules(p) * sizeof(*p->pages)));
	p->evict_queue = lazy_array(total_granules(p), sizeof(*p->evict_queue));
	if (!p->evict_queue || !pool_reserve(&p->local_pool)) {
		if (p->evict_queue)
			munmap(p->evict_queue, total_granules(p) * sizeof(*p->evict_queue));
		munmap(p->pages, total_granules(p) * sizeof(*p->pages));
		p->pages = NULL; /* nothing for protocol_fini() */
		return error_set_sys(ENOMEM, "no address space for the eviction queue of %zu bytes",
				     (size_t)(total_granules(p) * sizeof(*p->evict_queue)));
	}
	return 0;
}

void protocol_fini(struct protocol *p)
{
	munmap(p->pages, total_granules(p) * sizeof(*p->pages));
	munmap(p->evict_queue, total_granules(p) * sizeof(*p->evict_queue));
	pool_fini(&p->local_pool);
	pool_fini(&p->fetch_pool);
	pool_fini(&p->retry_pool);
	pool_fini(&p->txn_pool);
	pool_fini(&p->request_pool);
}

void protocol_send(struct protocol *p, unsigned rank, const struct msg *m)
{
	struct local_msg *l;

	if (rank != p->rank) {
		directory_before_send(p, rank);
		p->ops->send(p->env, rank, m);
		return;
	}
	l = pool_get(&p->local_pool);
	if (!l) {
		/* The pool keeps what it ever had, so this can only be the first few messages. */
		log_error("out of memory for a message to the own rank; aborting");
		abort();
	}
	l->msg = *m;
	cds_list_add_tail(&l->link, &p->local);
}

void protocol_tell(struct protocol *p, unsigned rank, enum msg_kind kind, uint64_t page,
		   uint32_t flags)
{
	struct msg m = { .kind = (uint8_t)kind,
			 .slots = 1,
			 .src = (uint16_t)p->rank,
			 .flags = flags,
			 .page = page };

	protocol_send(p, rank, &m);
}

static bool is_for_home(unsigned kind)
{
	return kind >= MSG_GETS && kind <= MSG_LOOKS;
}

static void dispatch(struct protocol *p, const struct msg *m)
{
	if (is_for_home(m->kind))
		directory_message(p, m);
	else
		cache_message(p, m);
}

void protocol_run_local(struct protocol *p)
{
	if (p->running_local)
		return;
	p->running_local = true;
	while (!cds_list_empty(&p->local)) {
		struct local_msg *l = cds_list_first_entry(&p->local, struct local_msg, link);
		struct msg m = l->msg;

		cds_list_del(&l->link);
		pool_put(&p->local_pool, l);
		dispatch(p, &m);
	}
	p->running_local = false;
	directory_event_end(p);
}

static uint64_t pages_behind(const struct msg *m)
{
	switch (m->kind) {
	case MSG_PUTM:
	case MSG_GETM:
	case MSG_GRANT_M:
		return m->word[0];
	case MSG_GRANT_ERROR:
		return m->word[2];
	default:
		return 0;
	}
}

/* Pages that a message is about, from its first on, must be of one block, and of a region: what
 * lies behind a region's end in its last block has neither memory nor a mapping. */
static bool fits_region(const struct protocol *p, const struct msg *m)
{
	uint64_t more = pages_behind(m);

	return more < GRANULES_PER_BLOCK &&
	       m->page % GRANULES_PER_BLOCK + more * protocol_granules(p, m->page) <
		       protocol_block(p, m->page)->granules;
}

/* Does the message make sense here? Between ranks that free a region some may come late. */
static bool acceptable(const struct protocol *p, const struct msg *m)
{
	if (m->kind < MSG_GETS || m->kind > MSG_GRANT_ERROR)
		return false;
	if (m->src >= p->size || m->src == p->rank)
		return false;
	if (m->kind == MSG_GRANT_ERROR &&
	    (m->word[0] == 0 || m->word[0] > 4095 || m->word[1] >= p->size))
		return false;
	if (m->page >= total_granules(p) || protocol_page(p, m->page) != m->page ||
	    !fits_region(p, m))
		return false;
	return protocol_home(p, m->page) == (is_for_home(m->kind) ? p->rank : m->src);
}

/* An Inv to this rank's group about a page of which this rank knows nothing (yet, or any more):
 * its home waits all the same. */
static bool inv_to_group(const struct protocol *p, const struct msg *m)
{
	return m->kind == MSG_INV && p->space->readers_group && m->src < p->size &&
	       m->src != p->rank;
}

void protocol_message(struct protocol *p, const struct msg *m)
{
	if (acceptable(p, m))
		dispatch(p, m);
	else if (inv_to_group(p, m))
		protocol_tell(p, m->src, MSG_INV_ACK, m->page, 0);
	else
		log_debug("ignored %s from rank %u for page %#llx", msg_name(m->kind), m->src,
			  (unsigned long long)m->page);
	protocol_run_local(p);
}

void protocol_rank_down(struct protocol *p, unsigned rank)
{
	if (rankset_has(&p->down, rank))
		return;
	rankset_add(&p->down, rank);
	directory_rank_down(p, rank);
	cache_rank_down(p, rank);
	protocol_run_local(p);
}

bool protocol_busy(const struct protocol *p, uint64_t first_block, uint64_t nblocks)
{
	uint64_t end = (first_block + nblocks) * GRANULES_PER_BLOCK;

	for (uint64_t g = first_block * GRANULES_PER_BLOCK; g < end; g++)
		if (p->pages[g].pending != PEND_NONE)
			return true;
	return false;
}

void protocol_forget(struct protocol *p, uint64_t first_block, uint64_t nblocks)
{
	uint64_t g = first_block * GRANULES_PER_BLOCK;

	directory_forget(p, first_block, nblocks);
	for (uint64_t end = g + nblocks * GRANULES_PER_BLOCK; g < end; g++) {
		struct page *page = &p->pages[g];

		cache_set(p, g, PEND_NONE, false);
		/* What is in a queue stays in it and is skipped there. */
		*page = (struct page){ .queued = page->queued, .retrying = page->retrying };
	}
}
