/* SPDX-License-Identifier: MIT */
/*
 * What libdsm.so exports: the functions of dsm.h. The build includes this file before every source
 * of the library and compiles with -fvisibility=hidden, so that all other names stay inside.
 */
#ifndef DSM_EXPORT_H
#define DSM_EXPORT_H

#pragma GCC visibility push(default)
#include "dsm/dsm.h"
#pragma GCC visibility pop

#endif
