/* SPDX-License-Identifier: MIT */
/*
 * See verbs_memlock.h. Asked before memory is registered: the kernel would say no more than ENOMEM.
 */
#include "verbs_memlock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

#include "error.h"

#define CAPABILITY_IPC_LOCK 14

/* Does the limit bind this process? */
static bool is_exempt(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	uint64_t effective = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1)
			break;
	if (f)
		fclose(f);
	return effective >> CAPABILITY_IPC_LOCK & 1;
}

uint64_t verbs_memlock_limit(void)
{
	struct rlimit limit;

	if (is_exempt() || getrlimit(RLIMIT_MEMLOCK, &limit))
		return UINT64_MAX;
	if (limit.rlim_cur != limit.rlim_max) {
		struct rlimit most = { limit.rlim_max, limit.rlim_max };

		if (!setrlimit(RLIMIT_MEMLOCK, &most))
			limit = most;
	}
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

int verbs_memlock_check(uint64_t limit, uint64_t locked, uint64_t need, const char *what)
{
	if (limit == UINT64_MAX || (locked <= limit && need <= limit - locked))
		return 0;
	return error_set(
		ENOMEM,
		"%s must be locked in memory for RDMA: %" PRIu64 " KiB beside %" PRIu64
		" KiB that are, and the limit is %" PRIu64 " KiB; raise it: ulimit -l "
		"unlimited, memlock in /etc/security/limits.conf, LimitMEMLOCK=infinity of "
		"a service such as slurmd",
		what, (need + 1023) >> 10, locked >> 10, limit >> 10);
}
