/* SPDX-License-Identifier: MIT */
#include "team.h"

static void *share(struct team *t, size_t bytes, const struct dsm_attr *wanted)
{
	struct dsm_attr attr = *wanted;
	char name[DSM_NAME_MAX + 1];
	void *memory;

	if (t->nshared == TEAM_SHARED_MAX)
		die("more than %d shared regions; raise TEAM_SHARED_MAX", TEAM_SHARED_MAX);
	snprintf(name, sizeof(name), "apps.%u", t->nshared);
	attr.name = name;
	attr.release = DSM_RELEASE_WRITE_THROUGH;
	memory = dsm_alloc(t->dsm, bytes, &attr);
	if (!memory)
		die("%zu bytes of shared memory: %s", bytes, dsm_errmsg());
	t->shared[t->nshared++] = memory;
	return memory;
}

void *team_share(struct team *t, size_t bytes, enum dsm_home_policy home)
{
	return share(t, bytes, &(struct dsm_attr){ .home = home });
}

char *team_share_parts(struct team *t, size_t bytes_each, size_t unit, size_t *pitch)
{
	struct dsm_attr attr = { .home = DSM_HOME_BLOCKED, .page_size = PAGE_BYTES };

	while (attr.page_size < unit && attr.page_size < PAGE_BYTES_MAX)
		attr.page_size *= 2;
	*pitch = round_up(bytes_each, BLOCK_BYTES);
	return share(t, t->size * *pitch, &attr);
}

void team_share_vector(struct team *t, struct vector *v, size_t n, size_t unit)
{
	size_t bytes_each, pitch;

	v->n = n;
	v->each = (n + t->size - 1) / t->size;
	bytes_each = v->each * sizeof(double);
	v->at = (double *)team_share_parts(t, bytes_each, unit ? unit : bytes_each, &pitch);
	v->pitch = pitch / sizeof(double);
}

void team_fetch(const struct team *t, const void *at, size_t bytes)
{
	if (!bytes || t->plain)
		return;
	TRY(dsm_acquire(t->dsm, at, bytes, DSM_READ));
	TRY(dsm_release(t->dsm, at, bytes));
}

void team_fetch_soon(const struct team *t, const void *at, size_t bytes)
{
	if (bytes && !t->plain)
		TRY(dsm_prefetch(t->dsm, at, bytes, DSM_READ));
}

void team_read(const struct team *t, void *to, const void *from, size_t bytes)
{
	if (t->plain)
		memcpy(to, from, bytes);
	else if (bytes)
		TRY(dsm_read(t->dsm, to, from, bytes));
}

void team_fetch_vector(const struct team *t, const struct vector *v)
{
	/* Each begins with its neighbour, so that they do not all ask the same rank at a time. */
	for (unsigned i = 1; i < t->size; i++) {
		unsigned r = (t->rank + i) % t->size;

		team_fetch(t, vector_part(v, r), vector_len(v, r) * sizeof(double));
	}
}

void team_write_begin(const struct team *t, const void *at, size_t bytes)
{
	if (bytes && !t->plain)
		TRY(dsm_acquire(t->dsm, at, bytes, DSM_WRITE));
}

void team_write_soon(const struct team *t, const void *at, size_t bytes)
{
	if (bytes && !t->plain)
		TRY(dsm_prefetch(t->dsm, at, bytes, DSM_WRITE));
}

void team_write_end(const struct team *t, const void *at, size_t bytes)
{
	if (bytes && !t->plain)
		TRY(dsm_release(t->dsm, at, bytes));
}

static uint64_t bits_of(double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static double of_bits(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/*
 * By remote atomics alone, so that the page of the slots never moves. Two turns' slots: who is late
 * still reads the last turn's while the others write this one's, and nobody is two turns behind.
 */
void team_gather(struct team *t, double mine, double *all)
{
	unsigned turn = t->turn++ % 2;
	uint64_t *slots = t->slots + turn * t->size, bits;

	/* It holds what this rank put there two turns ago: nobody else writes it. */
	TRY(dsm_compare_swap64(t->dsm, &slots[t->rank], t->last[turn], bits_of(mine), NULL));
	t->last[turn] = bits_of(mine);
	TRY(dsm_barrier(t->dsm));
	for (unsigned r = 0; r < t->size; r++) {
		TRY(dsm_fetch_add64(t->dsm, &slots[r], 0, &bits));
		all[r] = of_bits(bits);
	}
}

double team_sum(struct team *t, double mine)
{
	double all[t->size], sum = 0;

	team_gather(t, mine, all);
	for (unsigned r = 0; r < t->size; r++)
		sum += all[r];
	return sum;
}

void dsm_start(struct run *run, struct team *t)
{
	TRY(dsm_barrier(t->dsm));
	TRY(dsm_stats_get(t->dsm, &t->before, sizeof(t->before)));
	TRY(dsm_barrier(t->dsm));
	run->start = now_s();
}

static uint64_t counted(const struct team *t, size_t offset)
{
	uint64_t sum = 0, value;

	for (unsigned r = 0; r < t->size; r++) {
		memcpy(&value, (const char *)&t->counted[r] + offset, sizeof(value));
		sum += value;
	}
	return sum;
}

#define COUNTED(t, field) counted(t, offsetof(struct dsm_stats, field))

void dsm_stop(struct run *run, struct team *t)
{
	struct dsm_stats now, *mine = &t->counted[t->rank];

	TRY(dsm_barrier(t->dsm));
	run->seconds = now_s() - run->start;
	TRY(dsm_stats_get(t->dsm, &now, sizeof(now)));
	mine->read_misses = now.read_misses - t->before.read_misses;
	mine->write_misses = now.write_misses - t->before.write_misses;
	mine->write_upgrades = now.write_upgrades - t->before.write_upgrades;
	mine->home_faults = now.home_faults - t->before.home_faults;
	mine->invalidations = now.invalidations - t->before.invalidations;
	mine->fetched_bytes = now.fetched_bytes - t->before.fetched_bytes;
	mine->messages_sent = now.messages_sent - t->before.messages_sent;
	TRY(dsm_barrier(t->dsm));
	snprintf(run->counters, sizeof(run->counters),
		 " read_misses=%" PRIu64 " write_misses=%" PRIu64 " write_upgrades=%" PRIu64
		 " home_faults=%" PRIu64 " invalidations=%" PRIu64 " fetched_bytes=%" PRIu64
		 " messages=%" PRIu64,
		 COUNTED(t, read_misses), COUNTED(t, write_misses), COUNTED(t, write_upgrades),
		 COUNTED(t, home_faults), COUNTED(t, invalidations), COUNTED(t, fetched_bytes),
		 COUNTED(t, messages_sent));
}
