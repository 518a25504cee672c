/* SPDX-License-Identifier: MIT */
/*
 * See verbs_window.h.
 */
#define _GNU_SOURCE
#include "verbs_window.h"

#include <inttypes.h>
#include <sys/mman.h>

#include "log.h"

static uint64_t block_count(const struct transport_verbs *v)
{
	return v->p.space->len_bytes / BLOCK_BYTES;
}

/* Memory that is there when it is touched, as zeros, and neither in children nor in core dumps. */
static void *sparse(size_t len_bytes)
{
	void *p = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, len_bytes, MADV_DONTFORK);
	(void)madvise(p, len_bytes, MADV_DONTDUMP);
	(void)madvise(p, len_bytes, MADV_NOHUGEPAGE);
	return p;
}

static size_t taken_bytes(const struct space *s)
{
	return s->len_bytes / BLOCK_BYTES * verbs_readers_bytes(s);
}

int verbs_window_create(struct transport_verbs *v)
{
	struct space *s = v->p.space;
	uint64_t n = block_count(v);

	/* Each rank has bits of its own in a window. */
	if (s->readers_group)
		return error_set(ENOTSUP, "RDMA reaches at most %u ranks, not %u",
				 s->rank_words * 64, v->p.size);
	v->window_bytes = verbs_window_pages(s, 0) + BLOCK_BYTES;
	v->windows = sparse(n * v->window_bytes);
	v->mr = sparse(n * sizeof(*v->mr));
	v->rkeys = sparse(n * sizeof(*v->rkeys));
	v->registered = sparse(n * WIRE_WORDS * sizeof(*v->registered));
	s->taken = sparse(taken_bytes(s));
	if (!v->windows || !v->mr || !v->rkeys || !v->registered || !s->taken)
		return error_set(ENOMEM,
				 "no %" PRIu64 " MiB of addresses for what RDMA reaches; set "
				 "DSM_SPACE to less, or raise the limit on address space (ulimit "
				 "-v)",
				 n * v->window_bytes >> 20);
	s->maintenance = &v->maintenance;
	s->wire_ranks = &v->connected;
	s->wire_atomics = &v->adapters;
	s->wire = v->windows;
	s->wire_stride = v->window_bytes;
	return 0;
}

static void unmap(void *p, size_t len_bytes)
{
	if (p)
		munmap(p, len_bytes);
}

void verbs_window_destroy(struct transport_verbs *v)
{
	struct space *s = v->p.space;
	uint64_t n = block_count(v);

	for (uint64_t b = 0; v->mr && b < n; b++)
		verbs_unregister(v, &v->mr[b]);
	unmap(v->windows, n * v->window_bytes);
	unmap(v->mr, n * sizeof(*v->mr));
	unmap(v->rkeys, n * sizeof(*v->rkeys));
	unmap(v->registered, n * WIRE_WORDS * sizeof(*v->registered));
	unmap(s->taken, taken_bytes(s));
	s->wire = NULL;
	s->wire_atomics = NULL;
	s->taken = NULL;
}

static uint8_t *window_of(struct transport_verbs *v, uint64_t block)
{
	return v->windows + block * v->window_bytes;
}

/* Bring a part of the segment to a place in a window. */
static int map_part(struct transport_verbs *v, uint8_t *to, const void *part, size_t len_bytes)
{
	struct space *s = v->p.space;
	off_t offset = (const uint8_t *)part - s->alias;

	if (mmap(to, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s->memfd, offset) ==
	    MAP_FAILED)
		return error_set_sys(errno,
				     "cannot map what RDMA reaches of a block; vm.max_map_count "
				     "limits the number of mappings");
	(void)madvise(to, len_bytes, MADV_DONTFORK);
	(void)madvise(to, len_bytes, MADV_DONTDUMP);
	return 0;
}

/* Empty again, as it was before anything was exposed. */
static void clear_window(struct transport_verbs *v, uint64_t block)
{
	uint8_t *window = window_of(v, block);

	if (mmap(window, v->window_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		log_error("cannot clear the window of block %" PRIu64, block);
	(void)madvise(window, v->window_bytes, MADV_DONTFORK);
	(void)madvise(window, v->window_bytes, MADV_DONTDUMP);
}

/* Release: who reads the key may use it. */
static void set_key(struct transport_verbs *v, uint64_t block, uint64_t key)
{
	__atomic_store_n(&v->table[block], key, __ATOMIC_RELEASE);
	maintenance_device_reads(&v->maintenance, MAINTENANCE_KEYS, &v->table[block], sizeof(key));
}

int verbs_expose(struct transport *t, uint64_t block, uint64_t len_bytes)
{
	int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
	struct transport_verbs *v = verbs_of(t);
	struct space *s = v->p.space;
	uint64_t granule = block * GRANULES_PER_BLOCK;
	uint8_t *window = window_of(v, block);
	int rc;

	if (v->device.atomics)
		access |= IBV_ACCESS_REMOTE_ATOMIC;
	rc = map_part(v, window + verbs_window_grants(s, granule),
		      segment_grant(s, s->alias, granule), GRANULES_PER_BLOCK * sizeof(uint64_t));
	if (!rc)
		rc = map_part(v, window + verbs_window_pages(s, granule),
			      segment_page(s->alias, granule), len_bytes);
	if (!rc)
		rc = verbs_register(v, window, verbs_window_pages(s, granule) + len_bytes, access,
				    "a home block", &v->mr[block]);
	if (rc) {
		clear_window(v, block);
		return rc;
	}
	maintenance_reach_home(
		(const uint64_t *)(const void *)(window + verbs_window_grants(s, granule)),
		window + verbs_window_pages(s, granule), len_bytes, v->connected.word[0]);
	maintenance_device_writes(&v->maintenance, MAINTENANCE_HOME, window,
				  verbs_window_pages(s, granule) + len_bytes);
	set_key(v, block, VERBS_RKEY_VALID | v->mr[block]->rkey);
	return 0;
}

void verbs_withdraw(struct transport *t, uint64_t first_block, uint64_t nblocks)
{
	struct transport_verbs *v = verbs_of(t);
	struct space *s = v->p.space;
	size_t each = verbs_readers_bytes(s);

	for (unsigned r = 0; r < v->p.size; r++)
		verbs_offer_forget(&v->peers[r].offered, first_block, nblocks);
	for (uint64_t b = first_block; b < first_block + nblocks; b++) {
		v->rkeys[b] = 0;
		memset(v->registered + b * WIRE_WORDS, 0, WIRE_WORDS * sizeof(*v->registered));
		if (!v->mr[b])
			continue;
		set_key(v, b, 0);
		verbs_unregister(v, &v->mr[b]);
		clear_window(v, b);
		memset((uint8_t *)s->taken + b * each, 0, each);
	}
}
