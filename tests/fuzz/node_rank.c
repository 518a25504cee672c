/* SPDX-License-Identifier: MIT */
/*
 * See node_rank.h.
 */
#define _GNU_SOURCE
#include "node_rank.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "contention_report.h"
#include "error.h"
#include "log.h"
#include "region_internal.h"

#define GRANULES  (NODE_BLOCKS * GRANULES_PER_BLOCK)
#define SENT_KEPT 8u
#define ASYNC_MAX 16u

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

struct dsm *node;
struct input *script;

static struct {
	struct transport transport;
	struct pager pager;
	bool watched[GRANULES];
	uint8_t access[GRANULES]; /* enum access */
	uint8_t mood;
	struct pager_fault fault;
	bool has_fault;
	struct transport_fetch *async[ASYNC_MAX];
	unsigned nasync;
	union node_message sent[SENT_KEPT]; /* the latest first */
	struct rankset down;
} env;

/* What all other ranks have in their memory. */
static uint8_t others[BLOCK_BYTES];

/*
 * The application mapping
 */

static void check_run(uint64_t granule, uint64_t n, const char *what)
{
	FUZZ_CHECK(n > 0 && granule < GRANULES && n <= GRANULES - granule,
		   "%s of %llu granules at %llu", what, (unsigned long long)n,
		   (unsigned long long)granule);
}

/* What the library does not survive if it fails: all of the run must be watched. */
static void set_access(uint64_t granule, uint64_t n, enum access access, const char *what)
{
	check_run(granule, n, what);
	for (uint64_t g = granule; g < granule + n; g++) {
		FUZZ_CHECK(env.watched[g], "%s of granule %llu, which is of no region", what,
			   (unsigned long long)g);
		if (access < env.access[g])
			env.access[g] = (uint8_t)access;
	}
}

static int pager_watch(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	check_run(granule, n, "watching");
	if (env.mood & MOOD_NO_WATCH)
		return error_set(ENOMEM, "the script has it that nothing can be watched");
	for (uint64_t g = granule; g < granule + n; g++) {
		FUZZ_CHECK(!env.watched[g], "granule %llu is watched twice", (unsigned long long)g);
		env.watched[g] = true;
	}
	return 0;
}

static int pager_unwatch(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	check_run(granule, n, "unwatching");
	for (uint64_t g = granule; g < granule + n; g++) {
		env.watched[g] = false;
		env.access[g] = ACCESS_NONE;
	}
	return 0;
}

static int pager_map(struct pager *p, uint64_t granule, uint64_t n, bool writable, const void *src,
		     bool frames)
{
	const volatile uint8_t *from = src;

	(void)p;
	(void)frames;
	check_run(granule, n, "mapping");
	for (uint64_t i = 0; from && i < n; i++)
		(void)(from[i << GRANULE_SHIFT] + from[((i + 1) << GRANULE_SHIFT) - 1]);
	for (uint64_t g = granule; g < granule + n; g++) {
		FUZZ_CHECK(!src || !env.access[g], "copy into granule %llu, which is mapped",
			   (unsigned long long)g);
		if (!env.watched[g])
			return -ENOENT;
	}
	if (env.mood & MOOD_NO_MAP) {
		set_access(granule, n, ACCESS_NONE, "failing");
		return -ENOMEM;
	}
	for (uint64_t g = granule; g < granule + n; g++)
		if (env.access[g] < ACCESS_READ + writable)
			env.access[g] = (uint8_t)(ACCESS_READ + writable);
	return 0;
}

static int pager_allow_write(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	check_run(granule, n, "allowing writes");
	if (env.mood & MOOD_NO_MAP)
		return -ENOMEM;
	for (uint64_t g = granule; g < granule + n; g++)
		if (env.access[g])
			env.access[g] = ACCESS_WRITE;
	return 0;
}

static int pager_forbid_write(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	set_access(granule, n, ACCESS_READ, "write-protection");
	return 0;
}

static int pager_zap(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	set_access(granule, n, ACCESS_NONE, "unmapping");
	return 0;
}

static int pager_drop(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	set_access(granule, n, ACCESS_NONE, "eviction");
	return 0;
}

static int pager_poison(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	check_run(granule, n, "poisoning");
	memset(&env.access[granule], ACCESS_NONE, n);
	return 0;
}

static int pager_wake(struct pager *p, uint64_t granule, uint64_t n)
{
	(void)p;
	check_run(granule, n, "waking");
	return 0;
}

static int pager_faults(struct pager *p, struct pager_fault *faults, int max)
{
	int n = env.has_fault && max;

	(void)p;
	if (n)
		*faults = env.fault;
	env.has_fault = false;
	return n;
}

static const struct pager_ops pager_ops = {
	.name = "fuzz",
	.watch = pager_watch,
	.unwatch = pager_unwatch,
	.map = pager_map,
	.allow_write = pager_allow_write,
	.forbid_write = pager_forbid_write,
	.zap = pager_zap,
	.drop = pager_drop,
	.poison = pager_poison,
	.wake = pager_wake,
	.faults = pager_faults,
};

/*
 * The other ranks
 */

static bool is_up(unsigned rank)
{
	return rank < node->size && !rankset_has(&env.down, rank);
}

static void check_memory(uint64_t granule, size_t len_bytes)
{
	FUZZ_CHECK(granule < GRANULES && len_bytes <= (GRANULES - granule) << GRANULE_SHIFT,
		   "%zu bytes at granule %llu", len_bytes, (unsigned long long)granule);
}

static const uint8_t *others_page(uint64_t granule)
{
	return others + (granule % GRANULES_PER_BLOCK << GRANULE_SHIFT);
}

static int fetch(struct transport *t, struct transport_fetch *f)
{
	(void)t;
	FUZZ_CHECK(f->n > 0 && f->n <= TRANSPORT_FETCH_MAX, "a chain of %u", f->n);
	check_memory(f->granule, (size_t)f->n << f->shift << GRANULE_SHIFT);
	if (!is_up(f->rank) || (env.mood & MOOD_NO_FETCH))
		return error_set(EHOSTDOWN, "rank %u is down", f->rank);
	for (unsigned i = 0; i < f->n; i++) {
		uint8_t word = input_byte(script);

		f->grant[i] = word == 0xff ? input_u64(script)
					   : grant_word((enum grant_state)(word & 7), word >> 3);
	}
	f->data = others_page(f->granule);
	if (!(env.mood & MOOD_ASYNC) || env.nasync == ASYNC_MAX || !f->done)
		return 0;
	env.async[env.nasync++] = f;
	return 1;
}

static const uint8_t *pushed(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	(void)t;
	FUZZ_CHECK(rank < node->size, "pushed by rank %u", rank);
	FUZZ_CHECK((granule % GRANULES_PER_BLOCK << GRANULE_SHIFT) + len_bytes <= BLOCK_BYTES,
		   "%zu bytes pushed at granule %llu", len_bytes, (unsigned long long)granule);
	return others_page(granule);
}

static int move(struct transport *t, unsigned rank, uint64_t granule, size_t len_bytes)
{
	(void)t;
	check_memory(granule, len_bytes);
	return is_up(rank) ? 0 : error_set(EHOSTDOWN, "rank %u is down", rank);
}

static int atomic(struct transport *t, unsigned rank, uint64_t offset, unsigned width,
		  enum transport_atomic op, uint64_t operand, uint64_t expected, uint64_t *result)
{
	(void)t;
	(void)op;
	(void)operand;
	(void)expected;
	check_memory(offset >> GRANULE_SHIFT, width);
	if (!is_up(rank))
		return error_set(EHOSTDOWN, "rank %u is down", rank);
	*result = input_byte(script);
	return 0;
}

static int node_send_out(struct transport *t, unsigned rank, const struct msg *m)
{
	(void)t;
	FUZZ_CHECK(rank != node->rank, "%s to the own rank", msg_name(m->kind));
	FUZZ_CHECK(msg_is_sane(m) && m->src == node->rank, "sends kind %u, %u slots, of rank %u",
		   m->kind, m->slots, m->src);
	if (!is_up(rank))
		return error_set(EHOSTDOWN, "rank %u is down", rank);
	memmove(&env.sent[1], &env.sent[0], sizeof(env.sent) - sizeof(env.sent[0]));
	memcpy(&env.sent[0], m, (size_t)m->slots * MSG_SLOT_BYTES);
	return 0;
}

const union node_message *node_rank_sent(enum msg_kind kind)
{
	for (unsigned i = 0; i < SENT_KEPT; i++)
		if (env.sent[i].msg.kind == kind)
			return &env.sent[i];
	return NULL;
}

uint64_t node_rank_addr(void)
{
	uint8_t tag = input_byte(script);

	if (tag < 0x80)
		return NODE_BASE + tag % (NODE_BLOCKS + 1) * BLOCK_BYTES;
	if (tag < 0xf0)
		return NODE_BASE + (tag & 0xfu) * GRANULE_BYTES * 64 + (tag & 0x10u);
	return input_u64(script);
}

/* A field of what was sent lately. */
static uint64_t sent_value(unsigned which)
{
	const struct msg *m = &env.sent[which % SENT_KEPT].msg;
	const struct msg_region *r = &env.sent[which % SENT_KEPT].region;

	switch (which / SENT_KEPT) {
	case 0:
		return m->slots == 1 ? m->page : r->addr;
	case 1:
		return m->slots == 1 ? m->word[0] : r->cookie;
	case 2:
		return m->slots == 1 ? m->word[1] : r->id;
	default:
		return m->slots == 1 ? m->word[4] : r->len_bytes;
	}
}

uint64_t node_rank_value(void)
{
	uint8_t tag = input_byte(script);

	if (tag < 0x80)
		return tag;
	if (tag < 0xa0) /* a page: block, and one of a few in it */
		return (uint64_t)(tag & 3) * GRANULES_PER_BLOCK + (tag >> 2 & 7);
	if (tag < 0xc0)
		return sent_value(tag & 0x1f);
	switch (tag) {
	case 0xc0:
		return input_u64(script);
	case 0xc1:
		return WIRE_NO_RANK;
	case 0xc2:
		return UINT64_MAX;
	case 0xc3:
		return 1ull << 31;
	default:
		return (uint64_t)(tag & 0x3f) << 8 | input_byte(script);
	}
}

static void fill_region(struct msg_region *r)
{
	uint8_t wrong = input_byte(script), name = input_byte(script);

	r->status = wrong & 1 ? (int32_t)node_rank_value() : 0;
	r->addr = node_rank_addr();
	r->len_bytes =
		wrong & 2 ? input_u64(script) : (input_byte(script) + 1) * GRANULE_BYTES * 16;
	r->cookie = wrong & 4 ? input_u64(script) : node_rank_value();
	r->id = (uint32_t)node_rank_value();
	r->home_policy = input_byte(script) % 5;
	r->home_rank = (uint16_t)(wrong & 8 ? node_rank_value() : 0);
	r->page_shift = wrong & 16 ? input_byte(script) : 0;
	r->release = wrong & 32 ? input_byte(script) : 0;
	r->blame = (uint16_t)(wrong & 64 ? node_rank_value() : WIRE_NO_RANK);
	r->given = wrong & 128 ? MSG_GIVEN_ATTR : 0;
	if (name >= 0xf0)
		memset(r->name, 'n', sizeof(r->name));
	else if (name)
		r->name[0] = (char)('a' + name % 3);
}

static void fill_plain(struct msg *m)
{
	uint8_t shape;

	m->page = node_rank_value();
	shape = input_byte(script);
	m->flags = shape & 0x80 ? (uint32_t)node_rank_value() : shape >> 3 & 0xf;
	for (unsigned i = 0; i < (shape & 7u) && i < 6; i++)
		m->word[i] = node_rank_value();
}

/* As a transport hands them on: from another rank that is up, of a known kind and its size. */
static void deliver(unsigned kind)
{
	unsigned src = input_byte(script) % node->size;
	struct msg plain = { .kind = (uint8_t)kind, .slots = 1, .src = (uint16_t)src };
	size_t bytes;
	struct msg *m;

	plain.slots = MSG_SLOTS_MAX;
	if (!msg_is_sane(&plain))
		plain.slots = 1;
	bytes = (size_t)plain.slots * MSG_SLOT_BYTES;
	m = calloc(1, bytes); /* exactly: a sanitizer sees what is read beyond */
	memcpy(m, &plain, 8);
	m->flags = 0;
	if (plain.slots == 1)
		fill_plain(m);
	else
		fill_region((struct msg_region *)m);
	if (msg_is_sane(m) && src != node->rank && is_up(src)) {
		if (fuzz_verbose())
			fprintf(stderr, "%s from %u, page %llx\n", msg_name(kind), src,
				(unsigned long long)m->page);
		node_handler.message(node, m);
	}
	free(m);
}

static void goes_down(unsigned rank)
{
	if (rank == node->rank || !is_up(rank))
		return;
	rankset_add(&env.down, rank);
	node_handler.down(node, rank);
}

static void complete(unsigned which)
{
	struct transport_fetch *f;
	int status;

	if (!env.nasync)
		return;
	which %= env.nasync;
	f = env.async[which];
	env.async[which] = env.async[--env.nasync];
	status = is_up(f->rank) ? 0 : -EHOSTDOWN;
	f->done(f, status);
}

/* What the agent does between messages. */
static void work(void)
{
	faults_serve(node, clock_ns());
	node_run_local(node);
	region_work(node);
	protocol_retry(&node->protocol);
	node_run_local(node);
}

bool node_rank_step(void)
{
	unsigned kind;

	if (!input_left(script) || !(*script->at & STEP_OTHERS))
		return false;
	kind = input_byte(script) & ~STEP_OTHERS;
	if (kind < MSG_KINDS)
		deliver(kind);
	else if (kind == 0x7f)
		goes_down(input_byte(script) % node->size);
	else if (kind == 0x7e)
		complete(input_byte(script));
	else
		work();
	node_run_local(node);
	node_rank_check();
	return true;
}

static int poll_others(struct transport *t, int budget)
{
	int n = 0;

	(void)t;
	while (n < budget && node_rank_step())
		n++;
	return n;
}

static bool pending(struct transport *t)
{
	(void)t;
	return input_left(script) && (*script->at & STEP_OTHERS);
}

static void sleep_mode(struct transport *t, bool asleep)
{
	(void)t;
	(void)asleep;
}

static const struct transport_ops transport_ops = {
	.name = "fuzz",
	.fetch = fetch,
	.pushed = pushed,
	.push = move,
	.write = move,
	.atomic = atomic,
	.send = node_send_out,
	.poll = poll_others,
	.pending = pending,
	.sleep = sleep_mode,
};

/*
 * The rank
 */

/* In the place of fallocate(), which takes long to give memory and gains nothing here. Only what
 * it takes away is done. */
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
int __real_fallocate(int fd, int mode, off_t offset, off_t len);

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
	return mode ? __real_fallocate(fd, mode, offset, len) : 0;
}

/* The same in every run, as everything that a branch may depend on. */
pid_t __wrap_gettid(void);

pid_t __wrap_gettid(void)
{
	return 1000;
}

static void sync_out(void *ctx, unsigned rank, const struct msg *m)
{
	node_send(ctx, rank, m);
}

static const struct sync_ops sync_ops = { .send = sync_out, .wake = sync_call_done };

/* As dsm_init() makes it. */
void node_rank_create(struct input *in, unsigned rank, unsigned size)
{
	struct dsm *d = calloc(1, sizeof(*d));

	memset(&env, 0, sizeof(env));
	script = in;
	node = d;
	d->rank = rank;
	d->size = size;
	d->settings = (struct settings){ .timeout_ms = 1,
					 .sync_timeout_ms = 1,
					 .page_bytes = GRANULE_BYTES,
					 .cache_bytes = 64 * GRANULE_BYTES,
					 .prefetch_pages = 16 };
	d->spin_ns = 100000;
	node_init(d);
	FUZZ_CHECK(!space_init(&d->space, NODE_BASE, NODE_BLOCKS * BLOCK_BYTES, size), "%s",
		   dsm_errmsg());
	d->has_space = true;
	d->blocks = calloc(NODE_BLOCKS, sizeof(*d->blocks));
	for (unsigned b = 0; b < NODE_BLOCKS; b++)
		d->blocks[b].home = WIRE_NO_RANK;
	env.pager = (struct pager){ .ops = &pager_ops, .fd = -1 };
	env.transport = (struct transport){ .ops = &transport_ops, .fd = -1 };
	d->pager = &env.pager;
	d->transport = &env.transport;
	FUZZ_CHECK(!protocol_init(&d->protocol, &node_protocol_ops, d, rank, size, &d->space,
				  d->blocks, &d->stats, d->settings.cache_bytes) &&
			   !regions_init(d) && !sync_create(&d->sync, rank, size, &sync_ops, d),
		   "%s", dsm_errmsg());
	d->parts = rank == 0 ? calloc(size, sizeof(*d->parts)) : NULL;
	FUZZ_CHECK(!contention_start(d), "%s", dsm_errmsg());
}

void node_rank_destroy(void)
{
	struct dsm *d = node;

	sync_destroy(d->sync);
	access_forget(d);
	regions_fini(d);
	protocol_fini(&d->protocol);
	free(d->blocks);
	space_fini(&d->space);
	free(d->parts);
	contention_stop(d);
	node_fini(d);
	free(d);
	node = NULL;
}

void node_rank_fault(uint64_t granule, bool write)
{
	if (granule >= GRANULES || !env.watched[granule])
		return;
	env.fault = (struct pager_fault){ .granule = granule,
					  .write = write,
					  .tid = (pid_t)(1 + (granule & 1)) };
	env.has_fault = true;
	work();
}

void node_rank_scribble(void)
{
	uint64_t granule = node_rank_value() % GRANULES, word = node_rank_value();

	if (input_byte(script) & 1)
		*segment_grant(&node->space, node->space.alias, granule) = word;
	else
		*segment_readers(&node->space, node->space.alias, granule) = word;
}

void node_rank_mood(uint8_t mood)
{
	env.mood = mood;
}

static void check_block(unsigned b)
{
	const struct block *block = &node->blocks[b];
	const struct region *r;

	FUZZ_CHECK(block->home < node->size || block->home == WIRE_NO_RANK,
		   "block %u lives at rank %u", b, block->home);
	if (!block->granules)
		return;
	r = node->regions.at[block->region];
	FUZZ_CHECK(r && b >= r->first_block && b < r->first_block + r->nblocks,
		   "block %u is of region %u, which is not there", b, block->region);
	FUZZ_CHECK(block->page_shift <= BLOCK_SHIFT - GRANULE_SHIFT, "page shift %u",
		   block->page_shift);
}

/* The mapping never allows more than the page's state. */
static void check_page(uint64_t g)
{
	static const uint8_t most[] = { [PAGE_INVALID] = ACCESS_NONE,
					[PAGE_SHARED] = ACCESS_READ,
					[PAGE_MODIFIED] = ACCESS_WRITE,
					[PAGE_ATOMIC] = ACCESS_NONE };
	const struct page *pg;

	if (!env.access[g] || !node->blocks[g / GRANULES_PER_BLOCK].granules)
		return;
	pg = &node->protocol.pages[protocol_page(&node->protocol, g)];
	FUZZ_CHECK(env.access[g] <= most[pg->state], "granule %llu is mapped %u in state %u",
		   (unsigned long long)g, env.access[g], pg->state);
}

void node_rank_check(void)
{
	struct region *r;
	unsigned working = 0;

	for (unsigned b = 0; b < NODE_BLOCKS; b++)
		check_block(b);
	for (uint64_t g = 0; g < GRANULES; g++)
		check_page(g);
	cds_list_for_each_entry (r, &node->regions.list, link)
		working += (unsigned)r->populating + r->draining;
	FUZZ_CHECK(working == node->regions.working, "%u regions to work at, counted as %u",
		   working, node->regions.working);
}
