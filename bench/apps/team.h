/* SPDX-License-Identifier: MIT */
/*
 * What the libdsm forms share: a libdsm call that fails ends the rank with libdsm's own sentence;
 * shared memory that lives until the application ends; the timed part; sums over all ranks.
 */
#ifndef TEAM_H
#define TEAM_H

#include <dsm/dsm.h>

#include "app.h"

#define PAGE_BYTES     ((size_t)4096)
#define PAGE_BYTES_MAX ((size_t)256 << 10) /* longer ones gain nothing */
#define BLOCK_BYTES    ((size_t)2 << 20) /* homes are given by blocks */

#define TEAM_SHARED_MAX 16

struct team {
	struct dsm *dsm;
	unsigned rank, size;
	bool plain; /* loads and stores alone: what follows that is for speed does nothing */
	void *shared[TEAM_SHARED_MAX];
	unsigned nshared;
	uint64_t *slots; /* two a rank, of team_gather() */
	uint64_t last[2];
	unsigned turn;
	struct dsm_stats before; /* counters at the start of the timed part */
	struct dsm_stats *counted; /* by rank: what the timed part added; shared */
};

/* TRY(dsm_barrier(t->dsm)); */
#define TRY(call)                                                                                  \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			die("%s:%d: %s: %s", __FILE__, __LINE__, #call, dsm_errmsg());             \
	} while (0)

static inline size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/*
 * Memory that all ranks have at the same address, zeroed. Collective. With DSM_HOME_BLOCKED rank r
 * is the home of the r-th of `size` equal parts, where these are whole blocks.
 */
void *team_share(struct team *t, size_t bytes, enum dsm_home_policy home);

/*
 * The same, a part for each rank that begins on a block and so lives in that rank's memory.
 * @unit: bytes that go from rank to rank as one piece: with pages as long as that a piece is one
 *        fetch, and one invalidation
 * @pitch: receives the bytes from one part to the next
 */
char *team_share_parts(struct team *t, size_t bytes_each, size_t unit, size_t *pitch);

/* A vector in parts: rank r has element i if i / each is r. Not contiguous from part to part. */
struct vector {
	double *at;
	size_t n, each;
	size_t pitch; /* elements from one part to the next */
};

/* @unit: bytes, as of team_share_parts(); 0: all of a part */
void team_share_vector(struct team *t, struct vector *v, size_t n, size_t unit);

/* Where element i is, counted in elements from v->at. */
static inline size_t vector_place(const struct vector *v, size_t i)
{
	return i / v->each * v->pitch + i % v->each;
}

static inline size_t vector_begin(const struct vector *v, unsigned rank)
{
	return rank * v->each < v->n ? rank * v->each : v->n;
}

static inline size_t vector_len(const struct vector *v, unsigned rank)
{
	return vector_begin(v, rank + 1) - vector_begin(v, rank);
}

static inline double *vector_part(const struct vector *v, unsigned rank)
{
	return v->at + rank * v->pitch;
}

/*
 * Bring memory here in one go, where loads would fetch page by page. It stays until its owner
 * writes it.
 */
void team_fetch(const struct team *t, const void *at, size_t bytes);
/* Ask for what team_fetch() will want, and go on. */
void team_fetch_soon(const struct team *t, const void *at, size_t bytes);

/*
 * Copy memory of others, which will have written it again before the next look, to private memory.
 */
void team_read(const struct team *t, void *to, const void *from, size_t bytes);

/* Fetch the other ranks' parts of a vector. */
void team_fetch_vector(const struct team *t, const struct vector *v);

/*
 * Around the writing of memory that others have read: takes all their copies away at once, and has
 * the page ready for the next reader's one-sided read. Stores alone would do the same page by page.
 */
void team_write_begin(const struct team *t, const void *at, size_t bytes);
/* Ask for what team_write_begin() will want, and go on: worth it where there is work till then. */
void team_write_soon(const struct team *t, const void *at, size_t bytes);
void team_write_end(const struct team *t, const void *at, size_t bytes);

/* Everybody's number, by rank: to everybody. A barrier too. */
void team_gather(struct team *t, double mine, double *all);

/* Sum over all ranks, the same bits in each. A barrier too. */
double team_sum(struct team *t, double mine);

/* Start and end the timed part: barriers. */
void dsm_start(struct run *run, struct team *t);
void dsm_stop(struct run *run, struct team *t);

#endif /* TEAM_H */
