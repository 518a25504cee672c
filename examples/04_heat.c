/* SPDX-License-Identifier: MIT */
/*
 * Idea: a stencil. The heat of a plate whose upper edge is held at 100 degrees spreads; each cell
 * becomes the mean of its four neighbours. Each rank computes a slab of rows that lives in its own
 * memory, so of all its loads only the two rows next to its slab come from other ranks. They are
 * acquired, which brings a row here in one go; between the steps there is nothing but a barrier.
 *
 * Command: mpirun -n 4 build/examples/04_heat [STEPS]
 *
 * Expected output (the speed is yours):
 *	1024 x 1024 cells, 300 steps on 4 ranks: 1049 million cells a second
 *	heat below the middle of the edge: 87.04 74.42 51.40 19.17 0.90
 *	all cells as alone
 */
#include "example.h"
#include "heat.h"

/* The slab of a rank: whole blocks, because a block has one home. */
struct plate {
	unsigned steps;
	unsigned rows_per_rank; /* a row is 8 KiB: two pages, shared with no other row */
	size_t slab_bytes;
	char *cells[2]; /* this step's and the last one's */
};

static double *row(const struct plate *plate, unsigned which, unsigned i)
{
	return (double *)(plate->cells[which] + i / plate->rows_per_rank * plate->slab_bytes +
			  i % plate->rows_per_rank * ROW_BYTES);
}

/* Compute rows first to last - 1 of all steps. */
static void simulate(struct dsm *dsm, const struct plate *plate, unsigned first, unsigned last)
{
	unsigned from = first ? first : 1, to = last < N ? last : N - 1; /* the edges stay */

	for (unsigned step = 0; step < plate->steps; step++) {
		unsigned old = step % 2;
		double *above = from < to && first ? row(plate, old, first - 1) : NULL;
		double *below = from < to && last < N ? row(plate, old, last) : NULL;

		if (above)
			TRY(dsm_acquire(dsm, above, ROW_BYTES, DSM_READ));
		if (below)
			TRY(dsm_acquire(dsm, below, ROW_BYTES, DSM_READ));
		for (unsigned i = from; i < to; i++)
			relax(row(plate, !old, i), row(plate, old, i - 1), row(plate, old, i),
			      row(plate, old, i + 1));
		if (above)
			TRY(dsm_release(dsm, above, ROW_BYTES));
		if (below)
			TRY(dsm_release(dsm, below, ROW_BYTES));
		TRY(dsm_barrier(dsm)); /* the neighbours have their new rows too */
	}
}

static bool report(const struct plate *plate, unsigned size, double seconds)
{
	double *rows[N];

	for (unsigned i = 0; i < N; i++)
		rows[i] = row(plate, plate->steps % 2, i);
	printf("%u x %u cells, %u steps on %u ranks: %.0f million cells a second\n", N, N,
	       plate->steps, size, 1e-6 * N * N * plate->steps / seconds);
	printf("heat below the middle of the edge:");
	for (unsigned depth = 2; depth <= 32; depth *= 2)
		printf(" %.2f", rows[depth][N / 2]);
	printf("\n");
	if (!heat_check(rows, plate->steps))
		return false;
	printf("all cells as alone\n");
	return true;
}

int main(int argc, char **argv)
{
	struct plate plate;
	struct dsm *dsm;
	unsigned rank, size, first, last;
	double start;
	bool good = true;

	TRY(dsm_init(&dsm, NULL));
	rank = dsm_rank(dsm);
	size = dsm_size(dsm);
	plate.steps = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : STEPS;
	plate.rows_per_rank = (N + size - 1) / size;
	plate.slab_bytes = round_up(plate.rows_per_rank * ROW_BYTES, BLOCK_SIZE);
	first = rank * plate.rows_per_rank < N ? rank * plate.rows_per_rank : N;
	last = first + plate.rows_per_rank < N ? first + plate.rows_per_rank : N;

	for (unsigned i = 0; i < 2; i++) {
		struct dsm_attr attr = { .name = i ? "odd steps" : "even steps",
					 .home = DSM_HOME_BLOCKED };

		TRY_PTR(plate.cells[i] = dsm_alloc(dsm, size * plate.slab_bytes, &attr));
		/* A hint: map the own slab at once, instead of page by page in the first steps. */
		TRY(dsm_prefetch(dsm, plate.cells[i] + rank * plate.slab_bytes, plate.slab_bytes,
				 DSM_WRITE));
	}
	for (unsigned i = 0; i < 2 && rank == 0; i++)
		heat_edge(row(&plate, i, 0));
	TRY(dsm_barrier(dsm));

	start = now_s();
	simulate(dsm, &plate, first, last);
	if (rank == 0)
		good = report(&plate, size, now_s() - start);
	TRY(dsm_fini(dsm));
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
