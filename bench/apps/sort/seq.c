/* SPDX-License-Identifier: MIT */
#include "sort.h"

void sort_seq(struct run *run)
{
	size_t n = sort_size(run->class);
	uint64_t *keys = must_calloc(n, sizeof(*keys)), *spare = must_calloc(n, sizeof(*spare));
	struct sort_check check = { .sorted = true };

	memset(spare, 1, n * sizeof(*spare)); /* touched, as in the other forms */
	sort_fill(keys, 0, n);
	seq_start(run);
	sort_keys(keys, spare, n);
	seq_stop(run);
	sort_check(&check, keys, n);
	sort_report(run, n, check);
	free(keys);
	free(spare);
}
