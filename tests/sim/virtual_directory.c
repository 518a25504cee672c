/* SPDX-License-Identifier: MIT */
/*
 * directory.c and readers.c once more, with a hook before each of their atomics: the home's words
 * are the one place where other ranks act on a rank's memory while it is in the middle of an event,
 * so their order is to be tested too (R1, R2). Takes the place of these two in the tests that use
 * it.
 */
#include <errno.h>
#include <urcu/list.h>

#include "log.h"
#include "protocol.h"
#include "readers.h"
#include "virtual_directory.h"

void (*virtual_directory_hook)(void);

static inline void hook(void)
{
	if (virtual_directory_hook)
		virtual_directory_hook();
}

#define __atomic_load_n(...)     (hook(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...)    (hook(), __atomic_store_n(__VA_ARGS__))
#define __atomic_fetch_add(...)  (hook(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_or(...)   (hook(), __atomic_fetch_or(__VA_ARGS__))
#define __atomic_exchange_n(...) (hook(), __atomic_exchange_n(__VA_ARGS__))

#include "../../lib/directory.c"
#include "../../lib/readers.c"
