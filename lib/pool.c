/* SPDX-License-Identifier: MIT */
/*
 * See pool.h. A chunk is a mapping of CHUNK_BYTES with a header; its objects are threaded into one
 * free list, last in, first out, so that a hot object is a cached one.
 */
#include <string.h>
#include <sys/mman.h>

#include "pool.h"

#define CHUNK_BYTES (64u * 1024)
#define ALIGN_BYTES 16u

struct pool_chunk {
	struct pool_chunk *next;
	size_t bytes;
};

static size_t align_up(size_t n)
{
	return (n + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
}

void pool_init(struct pool *p, size_t object_bytes)
{
	*p = (struct pool){ .object_bytes = align_up(object_bytes) };
}

void pool_fini(struct pool *p)
{
	while (p->chunks) {
		struct pool_chunk *c = p->chunks;

		p->chunks = c->next;
		munmap(c, c->bytes);
	}
	p->free_list = NULL;
	p->in_use = 0;
}

static int pool_grow(struct pool *p)
{
	size_t head = align_up(sizeof(struct pool_chunk));
	size_t bytes = CHUNK_BYTES;
	struct pool_chunk *c;
	char *at;

	if (head + p->object_bytes > bytes)
		bytes = head + p->object_bytes;
	c = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return -1;
	c->next = p->chunks;
	c->bytes = bytes;
	p->chunks = c;
	for (at = (char *)c + head; at + p->object_bytes <= (char *)c + bytes;
	     at += p->object_bytes) {
		*(void **)at = p->free_list;
		p->free_list = at;
	}
	return 0;
}

bool pool_reserve(struct pool *p)
{
	return p->free_list || pool_grow(p) == 0;
}

void *pool_get(struct pool *p)
{
	void *object;

	if (!p->free_list && pool_grow(p) < 0)
		return NULL;
	object = p->free_list;
	p->free_list = *(void **)object;
	p->in_use++;
	return memset(object, 0, p->object_bytes);
}

void pool_put(struct pool *p, void *object)
{
	*(void **)object = p->free_list;
	p->free_list = object;
	p->in_use--;
}
