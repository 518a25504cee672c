/* SPDX-License-Identifier: MIT */
/*
 * Pool: objects of one size, taken and given back in constant time.
 *
 * Grows by chunks straight from mmap, never through malloc: the agent may need an object while an
 * application thread that it serves holds malloc's lock. Not thread-safe: the node's lock.
 */
#ifndef DSM_POOL_H
#define DSM_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct pool_chunk;

struct pool {
	size_t object_bytes;
	void *free_list;
	struct pool_chunk *chunks;
	size_t in_use;
};

/* No memory is taken yet. */
void pool_init(struct pool *p, size_t object_bytes);
/* Every object goes, used or not. */
void pool_fini(struct pool *p);
/* Have some objects at hand, for where a NULL could not be answered. False: no memory. */
bool pool_reserve(struct pool *p);
/* A zeroed object, or NULL if the system has no memory. */
void *pool_get(struct pool *p);
void pool_put(struct pool *p, void *object);

#endif
