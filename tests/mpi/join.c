/* SPDX-License-Identifier: MIT */
/*
 * Join a cluster, say how that went, and leave: for the scripts that give ranks what does not go
 * together.
 *
 *	join [occupy]
 *
 * occupy: map a page at DSM_BASE first, so that this rank cannot have the range. Exit 0: joined and
 * left; 1: the sentence is on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "dsm/dsm.h"

#define BASE_DEFAULT 0x7e8000000000ul

static int occupy(void)
{
	void *at = (void *)(BASE_DEFAULT + 4096);
	void *p =
		mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == at)
		return 0;
	perror("mmap at the global range");
	return 2;
}

static int failed(const char *call, int err)
{
	fprintf(stderr, "%s: %d: %s\n", call, err, dsm_errmsg());
	return 1;
}

int main(int argc, char **argv)
{
	struct dsm *d;
	int err;

	(void)argv;
	if (argc > 1 && occupy())
		return 2;
	err = dsm_init(&d, NULL);
	if (err < 0)
		return failed("dsm_init", err);
	printf("rank %u of %u\n", dsm_rank(d), dsm_size(d));
	err = dsm_fini(d);
	return err < 0 ? failed("dsm_fini", err) : 0;
}
