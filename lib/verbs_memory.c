/* SPDX-License-Identifier: MIT */
/*
 * What the RDMA transport needs once for all connections: registered memory for messages, landing
 * and staging, and the completion queues.
 *
 * All registered memory is counted here against the limit on locked memory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "log.h"
#include "verbs_internal.h"
#include "verbs_memlock.h"

static size_t page_up(size_t n)
{
	return (n + GRANULE_BYTES - 1) & ~(GRANULE_BYTES - 1);
}

int verbs_register(struct transport_verbs *v, void *at, size_t len_bytes, int access,
		   const char *what, struct ibv_mr **mr)
{
	int rc = verbs_memlock_check(v->limit_bytes, v->locked_bytes, len_bytes, what);

	if (rc)
		return rc;
	*mr = ibv_reg_mr(v->pd, at, len_bytes, access);
	if (!*mr)
		return error_set_sys(errno,
				     "RDMA device %s cannot register %zu KiB of memory for %s, "
				     "beside %" PRIu64 " KiB (ulimit -l?)",
				     v->device.name, len_bytes >> 10, what, v->locked_bytes >> 10);
	v->locked_bytes += len_bytes;
	maintenance_reach(at, len_bytes, true);
	return 0;
}

void verbs_unregister(struct transport_verbs *v, struct ibv_mr **mr)
{
	if (!*mr)
		return;
	v->locked_bytes -= (*mr)->length;
	maintenance_reach((*mr)->addr, (*mr)->length, false);
	if (ibv_dereg_mr(*mr))
		log_error("RDMA device %s does not let go of registered memory", v->device.name);
	*mr = NULL;
}

static uint8_t *map(size_t len_bytes)
{
	void *p = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, len_bytes, MADV_DONTFORK);
	(void)madvise(p, len_bytes, MADV_DONTDUMP);
	return p;
}

/* The table, scratch words and receive slots. */
static int create_fixed(struct transport_verbs *v)
{
	uint64_t nblocks = v->p.space->len_bytes / BLOCK_BYTES;
	size_t table_bytes = page_up(nblocks * sizeof(uint64_t));
	size_t scratch_bytes = page_up(v->p.size * 8 * sizeof(uint64_t));
	size_t slots_bytes = VERBS_RECEIVES * MSG_SLOTS_MAX * MSG_SLOT_BYTES;
	uint8_t *slots;
	int rc;

	v->fixed_bytes = table_bytes + scratch_bytes + page_up(v->npeers * slots_bytes);
	v->fixed = map(v->fixed_bytes);
	if (!v->fixed)
		return error_set(ENOMEM, "no memory for messages of %u peers", v->npeers);
	v->table = (uint64_t *)(void *)v->fixed;
	v->scratch = (uint64_t *)(void *)(v->fixed + table_bytes);
	slots = v->fixed + table_bytes + scratch_bytes;
	for (unsigned r = 0; r < v->p.size; r++) {
		v->peers[r].slots = slots;
		if (v->peers[r].address[0])
			slots += slots_bytes;
	}
	rc = verbs_register(v, v->fixed, v->fixed_bytes,
			    IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ, "room for messages",
			    &v->fixed_mr);
	/* Registered, it is there, and was cleared by a processor. */
	if (!rc)
		maintenance_device_writes(&v->maintenance, MAINTENANCE_MESSAGE, v->fixed,
					  v->fixed_bytes);
	return rc;
}

static int create_buffers(struct transport_verbs *v)
{
	int rc;

	v->buffers = map(2 * VERBS_ARENA_BYTES);
	if (!v->buffers)
		return error_set(ENOMEM, "no memory for pages on their way");
	verbs_arena_init(&v->landing, v->buffers, VERBS_ARENA_BYTES);
	verbs_arena_init(&v->staging, v->buffers + VERBS_ARENA_BYTES, VERBS_ARENA_BYTES);
	rc = verbs_register(v, v->buffers, 2 * VERBS_ARENA_BYTES, IBV_ACCESS_LOCAL_WRITE,
			    "room for pages on their way", &v->buffers_mr);
	if (!rc)
		maintenance_device_writes(&v->maintenance, MAINTENANCE_LANDING, v->landing.base,
					  VERBS_ARENA_BYTES);
	return rc;
}

/* Apart, since others write there: what is read and written from here is out of their reach. */
static int create_pushed(struct transport_verbs *v)
{
	uint8_t *at = map(VERBS_PUSHED_BYTES);
	int rc;

	if (!at)
		return error_set(ENOMEM, "no memory for granted pages");
	verbs_arena_init(&v->pushed, at, VERBS_PUSHED_BYTES);
	rc = verbs_register(v, at, VERBS_PUSHED_BYTES,
			    IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
			    "room for granted pages", &v->pushed_mr);
	if (!rc)
		maintenance_device_writes(&v->maintenance, MAINTENANCE_LANDING, at,
					  VERBS_PUSHED_BYTES);
	return rc;
}

static int create_queue(struct transport_verbs *v, struct verbs_queue *q, unsigned entries)
{
	int flags;

	q->channel = ibv_create_comp_channel(v->context);
	if (!q->channel)
		return error_set_sys(errno, "RDMA device %s has no completion channel",
				     v->device.name);
	flags = fcntl(q->channel->fd, F_GETFL);
	if (flags < 0 || fcntl(q->channel->fd, F_SETFL, flags | O_NONBLOCK))
		return error_set_sys(errno, "cannot make a completion channel non-blocking");
	q->cq = ibv_create_cq(v->context, (int)entries, NULL, q->channel, 0);
	if (!q->cq)
		return error_set_sys(errno, "RDMA device %s has no completion queue of %u entries",
				     v->device.name, entries);
	return 0;
}

static void destroy_queue(struct verbs_queue *q)
{
	if (q->cq)
		ibv_destroy_cq(q->cq);
	if (q->channel)
		ibv_destroy_comp_channel(q->channel);
}

/* Two queues for all peers: every work request may complete before any is looked at. */
static int create_queues(struct transport_verbs *v)
{
	unsigned self = 2 * VERBS_SELF_SENDS, max = v->device.completions_max, most;
	int rc;

	most = max > self ? (max - self) / v->npeers : 0;
	v->sends = VERBS_SENDS < v->device.sends_max ? VERBS_SENDS : v->device.sends_max;
	if (v->sends > most)
		v->sends = most;
	if (v->sends < VERBS_SENDS_MIN || most < VERBS_RECEIVES)
		return error_set(ENOSPC,
				 "RDMA device %s has completion queues of %u entries, too few for "
				 "%u peers",
				 v->device.name, v->device.completions_max, v->npeers);
	rc = create_queue(v, &v->arrived, v->npeers * VERBS_RECEIVES + self);
	if (!rc)
		rc = create_queue(v, &v->ended, v->npeers * v->sends + self);
	return rc;
}

int verbs_memory_create(struct transport_verbs *v)
{
	int rc = maintenance_init(&v->maintenance, v->p.settings->maintenance, v->device.name);

	if (rc)
		return rc;
	log_info("cache maintenance for RDMA device %s: %s (%s)", v->device.name,
		 maintenance_name(&v->maintenance), v->maintenance.why);
	v->limit_bytes = verbs_memlock_limit();
	v->pd = ibv_alloc_pd(v->context);
	if (!v->pd)
		return error_set_sys(errno, "RDMA device %s gives no protection domain",
				     v->device.name);
	rc = create_queues(v);
	if (!rc)
		rc = create_fixed(v);
	if (!rc)
		rc = create_buffers(v);
	if (!rc)
		rc = create_pushed(v);
	if (!rc)
		rc = verbs_window_create(v);
	return rc;
}

void verbs_memory_destroy(struct transport_verbs *v)
{
	if (v->pd)
		verbs_window_destroy(v);
	verbs_unregister(v, &v->pushed_mr);
	verbs_unregister(v, &v->buffers_mr);
	verbs_unregister(v, &v->fixed_mr);
	if (v->pushed.base)
		munmap(v->pushed.base, VERBS_PUSHED_BYTES);
	if (v->buffers)
		munmap(v->buffers, 2 * VERBS_ARENA_BYTES);
	if (v->fixed)
		munmap(v->fixed, v->fixed_bytes);
	destroy_queue(&v->ended);
	destroy_queue(&v->arrived);
	if (v->pd)
		ibv_dealloc_pd(v->pd);
	maintenance_fini(&v->maintenance);
}
