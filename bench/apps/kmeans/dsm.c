/* SPDX-License-Identifier: MIT */
/*
 * The points are in shared memory, each rank's part at it. Each rank writes its sums there too, two
 * sets of them in turn, and reads everybody's.
 */
#include "kmeans.h"
#include "team.h"

struct clusters {
	size_t n, begin;
	const struct kmeans_point *points; /* own */
	struct kmeans_point centres[KMEANS_CENTRES];
	char *sums[2];
	size_t pitch;
};

static struct kmeans_sums *sums_of(const struct clusters *c, unsigned turn, unsigned rank)
{
	return (struct kmeans_sums *)(c->sums[turn] + rank * c->pitch);
}

static void iterate(const struct team *t, struct clusters *c, unsigned turn,
		    struct kmeans_sums *total)
{
	struct kmeans_sums *mine = sums_of(c, turn, t->rank);
	size_t end = part_begin(c->n, t->rank + 1, t->size);

	team_write_begin(t, mine, sizeof(*mine));
	kmeans_assign(c->points, end - c->begin, c->centres, mine);
	team_write_end(t, mine, sizeof(*mine));
	TRY(dsm_barrier(t->dsm));
	/* Nobody reads the other set any more. */
	team_write_soon(t, sums_of(c, !turn, t->rank), sizeof(*mine));
	memset(total, 0, sizeof(*total));
	for (unsigned r = 0; r < t->size; r++)
		kmeans_add(total, sums_of(c, turn, r));
	kmeans_move(c->centres, total);
}

void kmeans_dsm(struct run *run, struct team *t)
{
	struct clusters c = { .n = kmeans_size(run->class) };
	double distance = INFINITY;
	struct kmeans_sums total;
	struct kmeans_point *points;
	bool ok = true;

	points = team_share(t, c.n * sizeof(*points), DSM_HOME_BLOCKED);
	c.begin = part_begin(c.n, t->rank, t->size);
	c.points = points + c.begin;
	for (unsigned i = 0; i < 2; i++)
		c.sums[i] = team_share_parts(t, sizeof(total), sizeof(total), &c.pitch);
	kmeans_fill(points + c.begin, c.begin, part_begin(c.n, t->rank + 1, t->size));
	kmeans_begin(c.centres);
	dsm_start(run, t);
	for (unsigned i = 0; i < KMEANS_ITERATIONS; i++) {
		iterate(t, &c, i % 2, &total);
		ok &= kmeans_better(&total, c.n, &distance);
	}
	dsm_stop(run, t);
	kmeans_report(run, c.n, distance, ok);
}
