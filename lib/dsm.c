/* SPDX-License-Identifier: MIT */
/*
 * dsm_init and dsm_fini: a process becomes a rank, and stops being one.
 *
 * A rank that cannot start says so in its card, and takes part in the exchange all the same: so
 * the others end at once with its reason, instead of at their deadline with none.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "contention_report.h"
#include "error.h"
#include "fault_inline.h"
#include "log.h"
#include "node.h"

#define STR_(x)       #x
#define STR(x)        STR_(x)
#define CARD_TEXT_MAX 384

/* What ranks tell one another before they connect. */
struct card {
	uint32_t magic;
	uint32_t wire_version;
	int32_t status; /* 0 or negative errno: why this rank cannot start */
	uint32_t host_page_bytes;
	uint64_t base;
	uint64_t space_bytes;
	uint32_t stats;
	uint32_t pid;
	char host[64];
	char text[CARD_TEXT_MAX]; /* status in words */
	uint8_t transport[TRANSPORT_CARD_MAX];
};
_Static_assert(sizeof(struct card) <= LAUNCH_CARD_MAX, "a card must fit the exchange");

/* One cluster a process: its address range is there but once. */
static int joined;

/* Default polling times: an idle processor takes up to tens of microseconds to wake (in a virtual
 * machine more than on bare metal), and polling costs nothing that anybody else wants. */
#define SPIN_NS         100000u
#define SPIN_CROWDED_NS 10000u

/* The least share of a cache that nobody asked for. */
#define CACHE_MIN_BYTES (16ull << 20)

static void choose_spin(struct dsm *d, unsigned ranks)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned ncpus = online > 0 ? (unsigned)online : 1, own = ncpus;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		own = (unsigned)CPU_COUNT(&cpus);
	/* An application thread and an agent each want a processor. */
	d->crowded = 2 * ranks > ncpus || own < 2;
	d->spin_ns = ranks > ncpus ? SPIN_CROWDED_NS : SPIN_NS;
	if (d->settings.spin_us >= 0)
		d->spin_ns = (uint64_t)d->settings.spin_us * 1000u;
}

/* Ranks that share a machine share its memory: all their caches together get half of it at most. */
static void share_cache(struct dsm *d, unsigned ranks)
{
	uint64_t fair = d->settings.cache_bytes * 2 / ranks;

	if (d->settings.cache_by_default && fair < d->settings.cache_bytes)
		d->settings.cache_bytes = fair > CACHE_MIN_BYTES ? fair : CACHE_MIN_BYTES;
	d->protocol.frames_max = d->settings.cache_bytes >> GRANULE_SHIFT;
}

static void sync_send(void *env, unsigned rank, const struct msg *m)
{
	node_send(env, rank, m);
}

static const struct sync_ops sync_ops = { .send = sync_send, .wake = sync_call_done };

static int create_blocks(struct dsm *d)
{
	uint64_t n = d->space.len_bytes / BLOCK_BYTES;

	d->blocks = calloc(n, sizeof(*d->blocks));
	if (!d->blocks)
		return error_set_sys(ENOMEM, "no memory for the table of %llu blocks",
				     (unsigned long long)n);
	for (uint64_t b = 0; b < n; b++)
		d->blocks[b].home = WIRE_NO_RANK;
	return 0;
}

/* The parts that need no other rank. Undone by destroy_parts(), whatever of them was made. */
static int create_parts(struct dsm *d)
{
	struct transport_params params = { .settings = &d->settings,
					   .space = &d->space,
					   .rank = d->rank,
					   .size = d->size,
					   .handler = &node_handler,
					   .ctx = d };
	int err = space_init(&d->space, d->settings.base, d->settings.space_bytes, d->size);

	if (err < 0)
		return err;
	d->has_space = true;
	err = create_blocks(d);
	if (err == 0)
		err = pager_uffd_create(&d->pager, &d->space, &d->settings);
	if (err == 0)
		err = protocol_init(&d->protocol, &node_protocol_ops, d, d->rank, d->size,
				    &d->space, d->blocks, &d->stats, d->settings.cache_bytes);
	if (err == 0)
		err = regions_init(d);
	if (err == 0)
		err = sync_create(&d->sync, d->rank, d->size, &sync_ops, d);
	if (err == 0)
		err = transport_create(&d->transport, &params);
	return err;
}

static void destroy_parts(struct dsm *d)
{
	fault_inline_stop(d);
	agent_stop(d);
	if (d->transport)
		d->transport->ops->destroy(d->transport);
	if (d->sync)
		sync_destroy(d->sync);
	if (d->regions.at)
		regions_fini(d);
	if (d->protocol.pages)
		protocol_fini(&d->protocol);
	if (d->pager)
		d->pager->ops->destroy(d->pager);
	free(d->blocks);
	if (d->has_space)
		space_fini(&d->space);
	free(d->parts);
	contention_stop(d);
}

static void fill_card(struct dsm *d, struct card *c, int status)
{
	c->magic = WIRE_MAGIC;
	c->wire_version = WIRE_VERSION;
	c->host_page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	c->base = d->settings.base;
	c->space_bytes = d->settings.space_bytes;
	c->stats = d->settings.stats;
	c->pid = (uint32_t)getpid();
	gethostname(c->host, sizeof(c->host) - 1);
	if (status == 0)
		status = d->transport->ops->card(d->transport, c->transport);
	c->status = status;
	if (status < 0)
		snprintf(c->text, sizeof(c->text), "%s", error_text());
}

static int disagree(unsigned rank, const struct card *c, const char *what, uint64_t theirs,
		    uint64_t ours, const char *remedy)
{
	return error_set(EPROTO, "rank %u on %.63s has %s %#llx, this rank has %#llx; %s", rank,
			 c->host, what, (unsigned long long)theirs, (unsigned long long)ours,
			 remedy);
}

static int check_card(unsigned rank, const struct card *c, const struct card *own)
{
	if (c->magic != own->magic || c->wire_version != own->wire_version)
		return disagree(rank, c, "wire version", c->wire_version, own->wire_version,
				"run the same libdsm everywhere");
	if (c->status < 0)
		return error_set(EHOSTDOWN, "rank %u on %.63s could not start: %.383s", rank,
				 c->host, c->text);
	if (c->host_page_bytes != own->host_page_bytes)
		return disagree(rank, c, "a host page size of", c->host_page_bytes,
				own->host_page_bytes, "run ranks on machines of one page size");
	if (c->base != own->base)
		return disagree(rank, c, "base address", c->base, own->base,
				"set DSM_BASE alike everywhere");
	if (c->space_bytes != own->space_bytes)
		return disagree(rank, c, "a global range of", c->space_bytes, own->space_bytes,
				"set DSM_SPACE alike everywhere");
	return 0;
}

/* How many ranks share this machine? */
static unsigned ranks_here(const struct dsm *d, const uint8_t *cards, const struct card *own)
{
	unsigned n = 0;

	for (unsigned r = 0; r < d->size; r++) {
		const struct card *c = (const struct card *)(cards + r * LAUNCH_CARD_MAX);

		n += strncmp(c->host, own->host, sizeof(own->host)) == 0;
	}
	return n;
}

/* Exchange cards, check them, and connect. @status: how create_parts() ended. */
static int meet(struct dsm *d, int status, uint64_t deadline_ns)
{
	uint8_t *cards = calloc(d->size, LAUNCH_CARD_MAX);
	struct card own = { 0 };
	unsigned here;
	int err;

	if (!cards)
		return error_set_sys(ENOMEM, "no memory for the cards of %u ranks", d->size);
	fill_card(d, &own, status);
	err = d->launch->ops->exchange(d->launch, &own, sizeof(own), cards, deadline_ns);
	if (own.status < 0) {
		err = error_set(-own.status, "%s", own.text);
		goto out;
	}
	for (unsigned r = 0; r < d->size && err == 0; r++)
		err = check_card(r, (struct card *)(cards + r * LAUNCH_CARD_MAX), &own);
	if (err < 0)
		goto out;
	d->sum_stats = (enum stats_kind)((struct card *)cards)->stats;
	here = ranks_here(d, cards, &own);
	choose_spin(d, here);
	share_cache(d, here);
	err = d->transport->ops->connect(d->transport, NULL,
					 cards + offsetof(struct card, transport), LAUNCH_CARD_MAX,
					 d->launch->token, deadline_ns);
out:
	free(cards);
	return err;
}

static int create_sum(struct dsm *d)
{
	if (!d->sum_stats || d->rank != 0)
		return 0;
	d->parts = calloc(d->size, sizeof(*d->parts));
	return d->parts
		       ? 0
		       : error_set_sys(ENOMEM, "no memory for the statistics of %u ranks", d->size);
}

static int start(struct dsm *d)
{
	uint64_t deadline = node_deadline(DSM_FOREVER, d->settings.timeout_ms);
	int err = launch_create(&d->launch, &d->settings);

	if (err < 0)
		return err;
	d->rank = d->launch->rank;
	d->size = d->launch->size;
	if (d->size > RANKS_MAX)
		return error_set(EINVAL, "%u ranks; libdsm runs up to %u", d->size, RANKS_MAX);
	log_set_rank(d->rank);
	err = meet(d, create_parts(d), deadline);
	if (err == 0)
		err = create_sum(d);
	if (err == 0 && d->sum_stats == STATS_PAGES)
		err = contention_start(d);
	if (err == 0)
		err = agent_start(d);
	if (err == 0 && d->settings.fault_handler == FAULT_INLINE)
		err = fault_inline_start(d);
	if (err == 0)
		log_info("rank %u of %u by %s, transport %s, %llu bytes at %p", d->rank, d->size,
			 d->launch->ops->name, d->transport->ops->name,
			 (unsigned long long)d->space.len_bytes, (void *)d->space.base);
	return err;
}

static void destroy(struct dsm *d)
{
	destroy_parts(d);
	if (d->launch)
		d->launch->ops->destroy(d->launch);
	node_fini(d);
	free(d);
	__atomic_store_n(&joined, 0, __ATOMIC_RELEASE);
}

int dsm_init(struct dsm **dsm, const struct dsm_config *config)
{
	struct dsm *d;
	int err;

	error_clear();
	if (__atomic_exchange_n(&joined, 1, __ATOMIC_ACQ_REL))
		return error_set(EALREADY, "this process is in a cluster already; call dsm_fini() "
					   "first");
	d = calloc(1, sizeof(*d));
	if (!d) {
		__atomic_store_n(&joined, 0, __ATOMIC_RELEASE);
		return error_set_sys(ENOMEM, "no memory for the handle");
	}
	node_init(d);
	agent_init(d);
	/* A message to the own rank cannot be refused. */
	err = pool_reserve(&d->local_pool) ? 0 : error_set_sys(ENOMEM, "no memory for messages");
	if (err == 0)
		err = config_load(&d->settings, config);
	if (err == 0) {
		log_set_level((enum log_level)d->settings.log);
		err = start(d);
	}
	if (err < 0) {
		destroy(d);
		return err;
	}
	*dsm = d;
	return 0;
}

/*
 * Leaving
 */

static void send_stats(struct dsm *d)
{
	const uint64_t *words = (const uint64_t *)&d->stats;
	unsigned total = sizeof(d->stats) / sizeof(uint64_t);

	for (unsigned i = 0; i < total; i += 6) {
		struct msg m = {
			.kind = MSG_STATS, .slots = 1, .src = (uint16_t)d->rank, .flags = i
		};

		for (unsigned k = 0; k < 6 && i + k < total; k++)
			m.word[k] = words[i + k];
		node_send(d, 0, &m);
	}
}

/* At rank 0, after the last barrier: everybody's numbers are sent, if not yet here. */
static void print_stats(struct dsm *d)
{
	struct waiter w = WAITER_INIT;
	struct stats sum = d->stats;
	int err = 0;

	node_lock(d);
	if (d->parts_complete < d->size - 1) {
		d->parts_waiter = &w;
		err = waiter_wait(d, &w, node_deadline(DSM_FOREVER, d->settings.timeout_ms));
		d->parts_waiter = NULL;
	}
	node_unlock(d);
	if (err < 0)
		log_warn("statistics of %u ranks only", d->parts_complete + 1);
	for (unsigned r = 1; r < d->size; r++)
		stats_sum(&sum, &d->parts[r]);
	stats_print(&sum, d->parts_complete + 1);
	if (d->contention)
		contention_print(d);
}

/* This rank goes without the others: they hear why before they see its end. */
static void say_left(struct dsm *d, unsigned blame)
{
	struct msg m = { .kind = MSG_LEFT, .slots = 1, .src = (uint16_t)d->rank };

	m.word[0] = node_cause(d, blame);
	node_lock(d);
	for (unsigned r = 0; r < d->size; r++)
		if (r != d->rank && !rankset_has(&d->down, r))
			node_send(d, r, &m);
	node_unlock(d);
}

int dsm_fini(struct dsm *dsm)
{
	char text[ERROR_TEXT_MAX];
	unsigned blame;
	int err;

	error_clear();
	node_lock(dsm);
	dsm->leaving = true;
	if (dsm->contention && dsm->rank != 0)
		contention_send(dsm);
	if (dsm->sum_stats && dsm->rank != 0)
		send_stats(dsm); /* last: when these are complete, all is */
	node_unlock(dsm);
	err = sync_leave(dsm, &blame);
	if (err == 0 && dsm->parts)
		print_stats(dsm);
	snprintf(text, sizeof(text), "%s", error_text());
	if (err < 0)
		say_left(dsm, blame);
	access_forget(dsm);
	destroy(dsm);
	return err < 0 ? error_set(-err, "%s", text) : 0;
}

unsigned dsm_rank(const struct dsm *dsm)
{
	return dsm->rank;
}

unsigned dsm_size(const struct dsm *dsm)
{
	return dsm->size;
}

int dsm_stats_get(struct dsm *dsm, struct dsm_stats *stats, size_t size)
{
	struct dsm_stats now;

	error_clear();
	if (size == 0)
		return error_set(EINVAL, "size 0: pass sizeof(struct dsm_stats)");
	node_lock(dsm);
	now = dsm->stats.pub;
	now.cached_pages = dsm->protocol.frames;
	node_unlock(dsm);
	memset(stats, 0, size);
	memcpy(stats, &now, size < sizeof(now) ? size : sizeof(now));
	return 0;
}

const char *dsm_errmsg(void)
{
	return error_text();
}

unsigned dsm_version(void)
{
	return DSM_VERSION_MAJOR * 10000 + DSM_VERSION_MINOR * 100 + DSM_VERSION_PATCH;
}

const char *dsm_version_string(void)
{
	return STR(DSM_VERSION_MAJOR) "." STR(DSM_VERSION_MINOR) "." STR(DSM_VERSION_PATCH);
}
