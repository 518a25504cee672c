/* SPDX-License-Identifier: MIT */
/*
 * What a failed check of the virtual cluster (tests/sim) does in a unit test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "virtual_cluster.h"

void cluster_failed(struct cluster *c, const char *text)
{
	cluster_show(c);
	fail_msg("seed %llu: %s", (unsigned long long)c->seed, text);
	__builtin_unreachable();
}
