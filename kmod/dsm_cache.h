/* SPDX-License-Identifier: MIT */
/*
 * Between the parts of the module:
 *
 *	main.c     the device and its calls
 *	range.c    a range of the caller's pages: pinned, merged into runs, maintained
 *	lines.c    one run of memory: the processor's instructions, the kernel's DMA interface
 *	buffer.c   memory of the module's own, mapped by the caller
 *	account.c  what is in use, and was done, in debugfs
 */
#ifndef DSM_CACHE_INTERNAL_H
#define DSM_CACHE_INTERNAL_H

#include <linux/fs.h>
#include <linux/types.h>

#include "uapi/dsm_cache.h"

/* lines.c */

int lines_init(void);
void lines_fini(void);

/* The least line of all processors. */
u32 lines_bytes(void);

/* Number of lines that [off, off + len_bytes) touches, off into something line-aligned. */
u64 lines_count(u64 off, u64 len_bytes);

/*
 * Maintain len_bytes from byte @off of physically contiguous pages on. Returns 0, or -EIO when the
 * DMA interface cannot map them. May sleep.
 */
int lines_maintain(enum dsm_cache_op op, struct page *page, size_t off, size_t len_bytes);

/* Is the module's own DMA device coherent, so that the DMA interface does nothing? */
bool lines_dma_is_coherent(void);

/* range.c */

/* May this caller drop dirty lines, and does the processor have an instruction for it? */
bool range_discards(void);

/* Carries out @r and fills in its results; nothing but results is written. */
int range_maintain(struct dsm_cache_range *r);

/* buffer.c */

struct buffer;

struct buffer *buffer_create(void);
void buffer_destroy(struct buffer *b);
int buffer_mmap(struct buffer *b, struct vm_area_struct *vma);

/* account.c */

/* Each is a line of debugfs's dsm_cache/account. In use: 0 when nobody uses the module. */
enum account {
	ACCOUNT_FILES, /* open files */
	ACCOUNT_MAPPINGS, /* of the module's memory */
	ACCOUNT_BLOCKS, /* allocations */
	ACCOUNT_PAGES, /* in them */
	ACCOUNT_PINNED, /* pages of ranges under way */
	/* Ever: */
	ACCOUNT_RANGES, /* maintained */
	ACCOUNT_LINES, /* in them */
	ACCOUNT_REFUSED, /* ranges that ended with an error */
	ACCOUNT_CLOSES, /* mappings that went away, and were cleaned */
	ACCOUNT_FALLBACKS, /* allocations that had to be of a smaller order */
	ACCOUNTS,
};

void account_init(void);
void account_fini(void);
void account_add(enum account a, long n);
long account_get(enum account a);

#endif
