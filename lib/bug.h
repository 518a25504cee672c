/* SPDX-License-Identifier: MIT */
/*
 * Seeded bugs: where a test build of the simulator (tests/sim/bugs.h lists them) can break the
 * protocol, to see that it notices. In the library DSM_BUG() is 0, and nothing is left of it.
 */
#ifndef DSM_BUG_H
#define DSM_BUG_H

#ifdef DSM_BUGS
#include "bugs.h"
#else
#define DSM_BUG(name) 0
#endif

#endif
