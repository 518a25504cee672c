/* SPDX-License-Identifier: MIT */
/*
 * Idea: a pointer means the same in every rank. Each rank writes one link of a list into its own
 * memory, pointing to the next rank's link; rank 0 then follows the list through all of them.
 *
 * Command: mpirun -n 4 build/examples/01_hello
 *
 * Expected output:
 *	4 ranks wrote a list together:
 *	  hello from rank 0 (this page lives at rank 0)
 *	  hello from rank 1 (this page lives at rank 1)
 *	  hello from rank 2 (this page lives at rank 2)
 *	  hello from rank 3 (this page lives at rank 3)
 */
#include <string.h>

#include "example.h"

struct hello {
	struct hello *next;
	char text[56];
};

/* Print the list; returns how many links were not what their rank should have written. */
static int read_list(struct dsm *dsm, const struct hello *hello)
{
	unsigned rank = 0, wrong = 0;
	char expected[sizeof(hello->text)];

	printf("%u ranks wrote a list together:\n", dsm_size(dsm));
	for (; hello; hello = hello->next, rank++) {
		int home = dsm_home(dsm, hello);

		TRY(home);
		printf("  %s (this page lives at rank %d)\n", hello->text, home);
		snprintf(expected, sizeof(expected), "hello from rank %u", rank);
		wrong += strcmp(hello->text, expected) || home != (int)rank;
	}
	if (wrong || rank != dsm_size(dsm)) {
		fprintf(stderr, "01_hello: %u of %u links differ from what was written\n",
			wrong + dsm_size(dsm) - rank, dsm_size(dsm));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int main(void)
{
	/* By default the ranks get equal parts in order: here, one block each. */
	struct dsm_attr attr = { .name = "hello", .home = DSM_HOME_BLOCKED };
	struct hello *hello;
	struct dsm *dsm;
	char *blocks;
	unsigned rank;
	int status = EXIT_SUCCESS;

	TRY(dsm_init(&dsm, NULL));
	rank = dsm_rank(dsm);

	/* Memory is taken by the page: a block a rank costs address space and 4 KiB. */
	TRY_PTR(blocks = dsm_alloc(dsm, dsm_size(dsm) * BLOCK_SIZE, &attr));

	hello = (struct hello *)(blocks + rank * BLOCK_SIZE);
	snprintf(hello->text, sizeof(hello->text), "hello from rank %u", rank);
	if (rank + 1 < dsm_size(dsm))
		hello->next = (struct hello *)(blocks + (rank + 1) * BLOCK_SIZE);

	TRY(dsm_barrier(dsm)); /* every link is written */
	if (rank == 0)
		status = read_list(dsm, hello);

	TRY(dsm_free(dsm, blocks)); /* the last of the ranks frees it */
	TRY(dsm_fini(dsm));
	return status;
}
