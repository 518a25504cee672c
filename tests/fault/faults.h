/* SPDX-License-Identifier: MIT */
/*
 * Faults: lets the Nth call of a libc function fail, once. The program is linked with --wrap for
 * each of them, so that calls of the library, from all its threads, come here first.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

/* How far into a run a fault may strike. What must not fail once pages are mapped (taking access
 * away) ends the process by design: to go on would be silent corruption. */
enum fault_until { UNTIL_INIT, UNTIL_ALLOC, UNTIL_END };

struct fault_kind {
	const char *call; /* "mmap" */
	int error; /* errno that it fails with; of getaddrinfo: its code */
	enum fault_until until;
};

/* What can be let fail; ends with a call of NULL. */
extern const struct fault_kind fault_kinds[];

/* From now on the nth call (1: the next) of this kind fails. */
void fault_arm(const struct fault_kind *kind, unsigned nth);
/* No more. True: it has struck. */
bool fault_disarm(void);

#endif
