/* SPDX-License-Identifier: MIT */
/*
 * RUNNING_ON_VALGRIND: what repeats itself many thousand times does so less often there.
 */
#ifndef TESTS_VALGRIND_HERE_H
#define TESTS_VALGRIND_HERE_H

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#endif
