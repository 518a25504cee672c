/* SPDX-License-Identifier: MIT */
/*
 * Locked memory: what an adapter reaches stays in place, and the system limits how much may.
 */
#ifndef DSM_VERBS_MEMLOCK_H
#define DSM_VERBS_MEMLOCK_H

#include <stdint.h>

/* Bytes that this process may lock, after raising its soft limit to the hard one; UINT64_MAX if
 * there is no limit for it. */
uint64_t verbs_memlock_limit(void);

/* May @need bytes be locked beside those that are? -ENOMEM with the numbers and the remedy.
 * @what: for whom, in the sentence. */
int verbs_memlock_check(uint64_t limit, uint64_t locked, uint64_t need, const char *what);

#endif
