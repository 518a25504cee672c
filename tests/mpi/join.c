/* SPDX-License-Identifier: MIT */
/*
 * Join a cluster, say how that went, and leave: for the scripts that give ranks what does not go
 * together.
 *
 *	join [occupy | large]
 *
 * occupy: map a page at DSM_BASE first, so that this rank cannot have the range. large: as if the
 * pages of this machine had 16 KiB. Exit 0: joined and left; 1: the sentence is on stderr.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dsm/dsm.h"

#define BASE_DEFAULT 0x7e8000000000ul

static bool large;

/* The library's calls come here, before libc's, which has this name for its own too. */
long __sysconf(int name);

/* The thread sanitizer calls it before it can be called itself. */
__attribute__((visibility("default"), no_sanitize("thread"))) long sysconf(int name)
{
	return name == _SC_PAGESIZE && large ? 16384 : __sysconf(name);
}

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

	if (argc > 1 && !strcmp(argv[1], "occupy") && occupy())
		return 2;
	large = argc > 1 && !strcmp(argv[1], "large");
	err = dsm_init(&d, NULL);
	if (err < 0)
		return failed("dsm_init", err);
	printf("rank %u of %u\n", dsm_rank(d), dsm_size(d));
	err = dsm_fini(d);
	return err < 0 ? failed("dsm_fini", err) : 0;
}
