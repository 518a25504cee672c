/* SPDX-License-Identifier: MIT */
/*
 * The oracle of the virtual cluster: accesses and what they must see, and what must be true between
 * events:
 *
 * - a page that one rank has Modified no other has in any state; the mapping never allows more than
 *   the state does;
 * - a copy, and the home's memory while the grant says Clean or Atomic, holds the last stores;
 * - the registered flag goes with the own bit in the home's readers word, both ways, but for what
 *   is on its way;
 * - a write hold's page is Modified.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "virtual_cluster.h"

static const char *const state_name[] = { "Invalid", "Shared", "Modified", "Atomic" };
static const char *const pending_name[] = { "-", "chain", "GetS", "GetM", "GetA" };
static const char *const grant_name[] = { "Clean", "Busy", "Exclusive", "Atomic", "Lost" };
static const char *const access_name[] = { "none", "read", "write", "poison" };

/*
 * Reports
 */

static uint64_t grant_of(struct cluster *c, uint64_t page)
{
	struct vrank *v = &c->rank[protocol_home(&c->rank[0].node.protocol, page)];

	return *segment_grant(&v->space, v->space.alias, page);
}

static uint64_t *readers_of(struct cluster *c, uint64_t page)
{
	struct vrank *v = &c->rank[protocol_home(&c->rank[0].node.protocol, page)];

	return segment_readers(&v->space, v->space.alias, page);
}

static void show_rank(struct cluster *c, unsigned r, uint64_t page)
{
	const struct page *pg = cluster_state(c, r, page);

	if (!pg->state && !pg->pending && !pg->registered && !pg->lost && !pg->frame && c->n > 8)
		return;
	fprintf(stderr, "  rank %u%s: %s, %s, mapped %s%s%s%s%s%s%s%s; holds %u/%u; words", r,
		c->rank[r].dead ? " (dead)" : "", state_name[pg->state], pending_name[pg->pending],
		access_name[c->rank[r].granules[page].access], pg->registered ? " registered" : "",
		pg->unconfirmed ? " unconfirmed" : "", pg->poisoned ? " poisoned" : "",
		pg->deferred ? " deferred" : "", pg->fresh ? " fresh" : "",
		pg->demanded ? " demanded" : "", pg->lost ? " lost" : "", pg->readers_holding,
		pg->writers_holding);
	for (unsigned w = 0; w < CLUSTER_WORDS; w++)
		fprintf(stderr, " %llu", (unsigned long long)*cluster_word(c, r, page, w));
	fputc('\n', stderr);
}

static void show_page(struct cluster *c, uint64_t page)
{
	uint64_t grant = grant_of(c, page);

	fprintf(stderr, "page %#llx, home %u, %u granules, grant %s(%u), readers",
		(unsigned long long)page, protocol_home(&c->rank[0].node.protocol, page),
		protocol_granules(&c->rank[0].node.protocol, page), grant_name[grant_state(grant)],
		grant_rank(grant));
	for (unsigned i = 0; i < c->rank[0].space.rank_words; i++)
		fprintf(stderr, " %llx", (unsigned long long)readers_of(c, page)[i]);
	fprintf(stderr, ", true words");
	for (unsigned w = 0; w < CLUSTER_WORDS; w++)
		fprintf(stderr, " %llu", (unsigned long long)*cluster_truth(c, page, w));
	fputc('\n', stderr);
	for (unsigned r = 0; r < c->n; r++)
		show_rank(c, r, page);
}

static void show_queues(struct cluster *c)
{
	struct item *i;

	for (unsigned q = 0; q < c->n * c->n; q++)
		cds_list_for_each_entry (i, &c->queue[q], link)
			fprintf(stderr, "under way from %u to %u: %s page %#llx flags %u\n",
				q / c->n, q % c->n,
				i->kind == ITEM_MSG    ? msg_name(i->msg.kind)
				: i->kind == ITEM_DOWN ? "down"
						       : "data",
				(unsigned long long)i->page, i->msg.flags);
}

void cluster_show(struct cluster *c)
{
	fprintf(stderr, "%u ranks, %s, after event %llu\n", c->n,
		c->mode == CLUSTER_SHM ? "shm" : "rdma", (unsigned long long)c->events);
	for (unsigned i = 0; i < c->npages; i++)
		show_page(c, c->page[i]);
	show_queues(c);
}

void cluster_fail(struct cluster *c, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cluster_failed(c, text);
}

/*
 * Accesses
 */

static uint64_t granule_of(struct cluster *c, uint64_t page, unsigned word)
{
	return page + (word & 1 ? protocol_granules(&c->rank[0].node.protocol, page) - 1 : 0);
}

struct granule *cluster_granule(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	return &c->rank[rank].granules[granule_of(c, page, word)];
}

uint64_t *cluster_word(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	uint8_t *granule = segment_page(c->rank[rank].space.alias, granule_of(c, page, word));

	return (uint64_t *)granule + word * (GRANULE_BYTES / sizeof(uint64_t) / CLUSTER_WORDS);
}

uint64_t *cluster_truth(struct cluster *c, uint64_t page, unsigned word)
{
	for (unsigned i = 0; i < c->npages; i++)
		if (c->page[i] == page)
			return &c->truth[i][word];
	cluster_fail(c, "page %#llx is not followed", (unsigned long long)page);
}

static void check_word(struct cluster *c, const char *what, unsigned rank, uint64_t page,
		       unsigned word)
{
	uint64_t is = *cluster_word(c, rank, page, word), should = *cluster_truth(c, page, word);

	if (is != should && c->checks & CHECK_VALUES)
		cluster_fail(c, "%s of rank %u, page %#llx, word %u: %llu, last stored: %llu", what,
			     rank, (unsigned long long)page, word, (unsigned long long)is,
			     (unsigned long long)should);
}

bool cluster_load_value(struct cluster *c, unsigned rank, uint64_t page, unsigned word,
			uint64_t *value)
{
	uint8_t access = cluster_granule(c, rank, page, word)->access;

	if (access != ACCESS_READ && access != ACCESS_WRITE)
		return false;
	check_word(c, "load", rank, page, word);
	*value = *cluster_word(c, rank, page, word);
	return true;
}

bool cluster_load(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	uint64_t value;

	return cluster_load_value(c, rank, page, word, &value);
}

/* Nobody else may be able to read what is written now. */
static void check_alone(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	for (unsigned r = 0; r < c->n; r++) {
		uint8_t access = cluster_granule(c, r, page, word)->access;

		if (c->checks & CHECK_STATES && r != rank && !c->rank[r].dead &&
		    access != ACCESS_NONE && access != ACCESS_POISONED)
			cluster_fail(c, "rank %u stores to page %#llx, which rank %u has mapped",
				     rank, (unsigned long long)page, r);
	}
}

bool cluster_store_value(struct cluster *c, unsigned rank, uint64_t page, unsigned word,
			 uint64_t value)
{
	if (cluster_granule(c, rank, page, word)->access != ACCESS_WRITE)
		return false;
	check_alone(c, rank, page, word);
	check_word(c, "store", rank, page, word);
	*cluster_word(c, rank, page, word) = *cluster_truth(c, page, word) = value;
	return true;
}

/* Far enough apart to be told from what was added to them. */
uint64_t cluster_new_value(struct cluster *c)
{
	return ++c->next_value << 16;
}

bool cluster_store(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	return cluster_store_value(c, rank, page, word, cluster_new_value(c));
}

/* The word that a remote atomic acts on: the own one or the home's. */
static uint64_t *atomic_word(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	struct protocol *p = cluster_rank(c, rank);
	unsigned at = cache_can_write(p, page) ? rank : protocol_home(p, page);

	if (!cache_can_atomic(p, page))
		cluster_fail(c, "rank %u cannot do atomics on page %#llx", rank,
			     (unsigned long long)page);
	check_alone(c, rank, page, word);
	check_word(c, "atomic", at, page, word);
	return cluster_word(c, at, page, word);
}

uint64_t cluster_add(struct cluster *c, unsigned rank, uint64_t page, unsigned word)
{
	uint64_t *at = atomic_word(c, rank, page, word), before = *at;

	*at = *cluster_truth(c, page, word) = before + 1;
	return before;
}

uint64_t cluster_swap(struct cluster *c, unsigned rank, uint64_t page, unsigned word,
		      uint64_t expected, uint64_t desired)
{
	uint64_t *at = atomic_word(c, rank, page, word), before = *at;

	if (before == expected)
		*at = *cluster_truth(c, page, word) = desired;
	return before;
}

/*
 * Between events
 */

static void check_mapping(struct cluster *c, unsigned r, uint64_t page)
{
	const struct page *pg = cluster_state(c, r, page);
	uint64_t end = page + protocol_granules(&c->rank[r].node.protocol, page);

	for (uint64_t g = page; g < end; g++) {
		uint8_t access = c->rank[r].granules[g].access;

		if ((access == ACCESS_WRITE && pg->state != PAGE_MODIFIED) ||
		    (access == ACCESS_READ && pg->state != PAGE_SHARED &&
		     pg->state != PAGE_MODIFIED) ||
		    (access == ACCESS_POISONED && pg->state != PAGE_INVALID))
			cluster_fail(c, "rank %u has granule %#llx mapped to %s, the page is %s", r,
				     (unsigned long long)g, access_name[access],
				     state_name[pg->state]);
		if (protocol_home(&c->rank[r].node.protocol, page) != r &&
		    c->rank[r].granules[g].frame != pg->frame)
			cluster_fail(c, "rank %u: frame flag of page %#llx is wrong", r,
				     (unsigned long long)page);
	}
}

static void check_states(struct cluster *c, uint64_t page)
{
	unsigned with[4] = { 0 }, by[2] = { 0 };

	for (unsigned r = 0; r < c->n; r++) {
		const struct page *pg = cluster_state(c, r, page);

		if (c->rank[r].dead)
			continue;
		with[pg->state]++;
		by[pg->adapter] += pg->state == PAGE_ATOMIC;
		check_mapping(c, r, page);
		for (unsigned w = 0; w < CLUSTER_WORDS; w++)
			if (pg->state == PAGE_SHARED || pg->state == PAGE_MODIFIED)
				check_word(c, "copy", r, page, w);
		if (pg->writers_holding && pg->state != PAGE_MODIFIED)
			cluster_fail(c, "rank %u holds page %#llx for writing and has it %s", r,
				     (unsigned long long)page, state_name[pg->state]);
		if (pg->state == PAGE_MODIFIED && pg->pending)
			cluster_fail(c, "rank %u waits for page %#llx, which it has", r,
				     (unsigned long long)page);
	}
	if (with[PAGE_MODIFIED] > 1 || (with[PAGE_MODIFIED] && with[PAGE_SHARED]) ||
	    (with[PAGE_MODIFIED] && with[PAGE_ATOMIC]) || (with[PAGE_ATOMIC] && with[PAGE_SHARED]))
		cluster_fail(c, "page %#llx: %u Modified, %u Shared, %u Atomic",
			     (unsigned long long)page, with[PAGE_MODIFIED], with[PAGE_SHARED],
			     with[PAGE_ATOMIC]);
	if (by[ATOMIC_BY_PROCESSORS] && by[ATOMIC_BY_ADAPTER])
		cluster_fail(c, "page %#llx: %u ranks do atomics by processor, %u by adapter",
			     (unsigned long long)page, by[ATOMIC_BY_PROCESSORS],
			     by[ATOMIC_BY_ADAPTER]);
}

/* A PutM may be about several pages. */
static bool is_about(const struct cluster *c, const struct msg *m, uint64_t page)
{
	uint64_t more = m->kind == MSG_PUTM ? m->word[0] : 0;

	return page >= m->page &&
	       page <= m->page + more * protocol_granules(&c->rank[0].node.protocol, m->page);
}

static bool on_the_way(struct cluster *c, unsigned from, unsigned to, unsigned kind, uint64_t page)
{
	struct item *i;

	cds_list_for_each_entry (i, &c->queue[from * c->n + to], link)
		if (i->kind == ITEM_MSG && i->msg.kind == kind && is_about(c, &i->msg, page))
			return true;
	return false;
}

static bool chain_will_add(struct cluster *c, unsigned rank, uint64_t page)
{
	struct chain *ch;

	cds_list_for_each_entry (ch, &c->chains, link) {
		uint64_t i = (page - ch->fetch->granule) >> ch->fetch->shift;

		if (ch->rank == rank && page >= ch->fetch->granule && i < ch->fetch->n &&
		    ch->fetch->add >> i & 1 && ch->step <= 3 * i)
			return true;
	}
	return false;
}

/* The flag without the bit: who is about to set one, or to clear the other? */
static bool flag_excused(struct cluster *c, unsigned r, unsigned home, uint64_t page)
{
	const struct page *pg = cluster_state(c, r, page);

	return pg->unconfirmed || pg->deferred == DEFER_INV || pg->pending == PEND_GETS ||
	       pg->pending == PEND_GETM || pg->pending == PEND_GETA || chain_will_add(c, r, page) ||
	       on_the_way(c, home, r, MSG_INV, page) ||
	       on_the_way(c, r, home, MSG_WRITE_BACK, page);
}

static uint64_t readers_counter(struct cluster *c, unsigned r, uint64_t page)
{
	const struct space *s = &c->rank[0].space;

	return readers_of(c, page)[space_reader_word(s, r)] >> space_reader_shift(s, r);
}

/* Is the rank in its group's counter: as the only one, or one of several? */
static bool is_counted(struct cluster *c, unsigned r, uint64_t page)
{
	uint64_t counter = readers_counter(c, r, page);
	unsigned place = r % c->rank[0].space.readers_group;

	return space_reader_count(counter) > 1 ||
	       (space_reader_count(counter) == 1 && space_reader_sum(counter) == place);
}

/* The flag without the rank in its group's counter; that more is in it is no fault. */
static void check_counters(struct cluster *c, uint64_t page)
{
	unsigned home = protocol_home(&c->rank[0].node.protocol, page);

	for (unsigned r = 0; r < c->n; r++) {
		const struct page *pg = cluster_state(c, r, page);

		/* The answer to a recall drops the flag, too. */
		if (!c->rank[r].dead && !pg->lost && pg->registered && !is_counted(c, r, page) &&
		    !flag_excused(c, r, home, page) && !on_the_way(c, home, r, MSG_FWD_GETM, page))
			cluster_fail(c, "page %#llx: rank %u is registered and not counted",
				     (unsigned long long)page, r);
	}
}

static void check_readers(struct cluster *c, uint64_t page)
{
	unsigned home = protocol_home(&c->rank[0].node.protocol, page);
	const uint64_t *word = readers_of(c, page);

	for (unsigned r = 0; r < c->rank[0].space.rank_words * 64; r++) {
		bool bit = word[r / 64] >> r % 64 & 1;
		const struct page *pg = r < c->n ? cluster_state(c, r, page) : NULL;

		if (bit && (r >= c->n || r == home))
			cluster_fail(c, "page %#llx: rank %u among the readers",
				     (unsigned long long)page, r);
		if (r >= c->n || c->rank[r].dead || pg->lost)
			continue;
		if (bit && !pg->registered && pg->pending != PEND_GETS && pg->pending != PEND_GETA)
			cluster_fail(c, "page %#llx: bit of rank %u, which is not registered",
				     (unsigned long long)page, r);
		if (pg->registered && !bit && !flag_excused(c, r, home, page))
			cluster_fail(c, "page %#llx: rank %u is registered and has no bit",
				     (unsigned long long)page, r);
	}
}

/* A page is lost with a rank that died, and with no other. */
static void check_lost(struct cluster *c, uint64_t page)
{
	uint64_t grant = grant_of(c, page);

	if (grant_state(grant) == GRANT_LOST &&
	    (grant_rank(grant) >= c->n || !c->rank[grant_rank(grant)].dead))
		cluster_fail(c, "page %#llx is lost with rank %u, which lives",
			     (unsigned long long)page, grant_rank(grant));
}

void cluster_check(struct cluster *c)
{
	if (!(c->checks & CHECK_STATES))
		return;
	for (unsigned i = 0; i < c->npages; i++) {
		uint64_t page = c->page[i];
		unsigned home = protocol_home(&c->rank[0].node.protocol, page);
		enum grant_state grant = grant_state(grant_of(c, page));

		check_states(c, page);
		if (c->rank[home].dead)
			continue;
		if (c->rank[0].space.readers_group)
			check_counters(c, page);
		else
			check_readers(c, page);
		check_lost(c, page);
		for (unsigned w = 0; w < CLUSTER_WORDS; w++)
			if (grant == GRANT_CLEAN || grant == GRANT_ATOMIC)
				check_word(c, "home's memory", home, page, w);
	}
}

void cluster_check_add(struct cluster *c, unsigned rank, uint64_t page)
{
	unsigned group = c->rank[0].space.readers_group;

	if (group && space_reader_count(readers_counter(c, rank, page)) > 3 * group + 1)
		cluster_fail(c, "page %#llx: rank %u's group has added itself %u times",
			     (unsigned long long)page, rank,
			     space_reader_count(readers_counter(c, rank, page)));
	if (!group && c->checks & CHECK_STATES && readers_of(c, page)[rank / 64] >> rank % 64 & 1)
		cluster_fail(c, "fetch-add of rank %u on the readers of page %#llx carries", rank,
			     (unsigned long long)page);
}

/* The directory's word must fit to what the ranks have. */
static void check_grant(struct cluster *c, uint64_t page)
{
	uint64_t grant = grant_of(c, page);
	unsigned home = protocol_home(&c->rank[0].node.protocol, page);

	if (c->rank[home].dead)
		return;
	if (grant_state(grant) == GRANT_BUSY)
		cluster_fail(c, "page %#llx stays Busy", (unsigned long long)page);
	for (unsigned r = 0; r < c->n; r++) {
		bool has = cluster_state(c, r, page)->state == PAGE_MODIFIED;
		bool owns = grant_is(grant, GRANT_EXCLUSIVE, r);

		if (!c->rank[r].dead && has != owns)
			cluster_fail(c, "page %#llx: rank %u has it %s, its home says %s(%u)",
				     (unsigned long long)page, r,
				     state_name[cluster_state(c, r, page)->state],
				     grant_name[grant_state(grant)], grant_rank(grant));
	}
}

static void check_pools(struct cluster *c, unsigned r)
{
	const struct protocol *p = &c->rank[r].node.protocol;

	if (p->txn_pool.in_use || p->request_pool.in_use || p->fetch_pool.in_use ||
	    p->retry_pool.in_use || p->local_pool.in_use)
		cluster_fail(c,
			     "rank %u keeps %zu transactions, %zu requests, %zu chains, %zu "
			     "retries, %zu own messages",
			     r, p->txn_pool.in_use, p->request_pool.in_use, p->fetch_pool.in_use,
			     p->retry_pool.in_use, p->local_pool.in_use);
}

void cluster_check_quiet(struct cluster *c)
{
	if (!(c->checks & CHECK_STATES))
		return;
	cluster_check(c);
	for (unsigned r = 0; r < c->n; r++) {
		uint64_t frames = 0;

		if (c->rank[r].dead)
			continue;
		for (uint64_t g = 0; g < c->nblocks * GRANULES_PER_BLOCK; g++) {
			const struct page *pg = cluster_state(c, r, g);

			if (pg->pending || pg->deferred)
				cluster_fail(c, "rank %u waits for page %#llx for ever", r,
					     (unsigned long long)g);
			if (pg->frame)
				frames += protocol_granules(&c->rank[r].node.protocol, g);
		}
		if (c->rank[r].node.protocol.due)
			cluster_fail(c, "rank %u keeps room for %llu frames that nobody sends", r,
				     (unsigned long long)c->rank[r].node.protocol.due);
		if (frames != c->rank[r].node.protocol.frames)
			cluster_fail(c, "rank %u counts %llu frames and has %llu", r,
				     (unsigned long long)c->rank[r].node.protocol.frames,
				     (unsigned long long)frames);
		check_pools(c, r);
	}
	for (unsigned i = 0; i < c->npages; i++)
		check_grant(c, c->page[i]);
}
