/* SPDX-License-Identifier: MIT */
/*
 * Names: which known name a mistyped one is nearest to.
 */
#ifndef DSM_NAMES_H
#define DSM_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* Longer names are not compared. */
#define NAMES_LEN_MAX 64

/*
 * The least number of characters to insert, delete, replace or swap with their neighbour that makes
 * a into b; case does not count. Longer than NAMES_LEN_MAX: UINT_MAX.
 */
unsigned names_distance(const char *a, size_t a_len, const char *b, size_t b_len);

/*
 * Of the names known(0), known(1), ... up to the first NULL, the one that name (of len characters)
 * was probably meant to be; NULL if none is near.
 */
const char *names_nearest(const char *name, size_t len, const char *(*known)(size_t i));

/* A number for a name; equal for equal names. */
uint64_t names_hash(const char *name, size_t len);

#endif
