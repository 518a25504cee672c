// SPDX-License-Identifier: MIT
/*
 * Memory of the module's own, which a caller maps: in physically contiguous blocks, so that the
 * cost of maintenance can be measured against their size.
 *
 * A buffer belongs to one open file. All who map that file see the same memory (after fork(), or
 * when the descriptor was passed on); whoever opens the device anew gets a buffer of its own, since
 * what one user wrote is no other's to read. The buffer ends with the file, which every mapping
 * holds.
 *
 * A page comes with the first access to it, in a block of 2^max_contiguous_alloc_order pages that
 * is aligned in the file and stays until the buffer ends. A smaller block is taken where a block of
 * that size would overlap an older one, reach beyond the limit, or cannot be had.
 *
 * When a mapping goes away, or a piece of one, the blocks' lines in its range are cleaned: close()
 * is called for each piece by itself. b->lock guards b->pages against other faults; close() needs
 * it too, as other mappings of the file may fault. Lock order: mmap_lock, b->lock.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/xarray.h>

#include "dsm_cache.h"
#include "trace.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define ORDER_LIMIT (MAX_ORDER - 1)
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define ORDER_LIMIT MAX_ORDER
#else
#define ORDER_LIMIT MAX_PAGE_ORDER
#endif

/* On the first page of a block. */
#define BLOCK XA_MARK_0

struct buffer {
	struct mutex lock;
	struct xarray pages; /* by page of the file */
};

static int order_set(const char *text, const struct kernel_param *param)
{
	return param_set_uint_minmax(text, param, 0, ORDER_LIMIT);
}

static const struct kernel_param_ops order_ops = {
	.set = order_set,
	.get = param_get_uint,
};

static unsigned int max_contiguous_alloc_order;
module_param_cb(max_contiguous_alloc_order, &order_ops, &max_contiguous_alloc_order, 0644);
MODULE_PARM_DESC(max_contiguous_alloc_order, "blocks of mapped memory have 2^this pages");

static unsigned long max_pages;
module_param(max_pages, ulong, 0644);
MODULE_PARM_DESC(max_pages, "most pages of mapped memory, of all users (0: a quarter of memory)");

static unsigned long pages_limit(void)
{
	unsigned long limit = READ_ONCE(max_pages);

	return limit ? limit : totalram_pages() / 4;
}

/* Room for n pages, taken at once; several buffers may grow at a time. */
static bool pages_charge(long n)
{
	account_add(ACCOUNT_PAGES, n);
	if (account_get(ACCOUNT_PAGES) <= pages_limit())
		return true;
	account_add(ACCOUNT_PAGES, -n);
	return false;
}

struct buffer *buffer_create(void)
{
	struct buffer *b = kzalloc(sizeof(*b), GFP_KERNEL_ACCOUNT);

	if (!b)
		return NULL;
	mutex_init(&b->lock);
	xa_init_flags(&b->pages, XA_FLAGS_ACCOUNT);
	return b;
}

static noinline struct page *dsm_cache_alloc(unsigned int order)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN;
	struct page *page;

	if (!pages_charge(1L << order))
		return NULL;
	/* Large ones are worth no more than some effort, as smaller ones will do. */
	page = alloc_pages(order ? gfp | __GFP_NORETRY : gfp, order);
	if (!page) {
		account_add(ACCOUNT_PAGES, -(1L << order));
		return NULL;
	}
	account_add(ACCOUNT_BLOCKS, 1);
	trace_dsm_cache_alloc(page_to_pfn(page), order);
	return page;
}

static noinline void dsm_cache_free(struct page *page, unsigned int order)
{
	trace_dsm_cache_free(page_to_pfn(page), order);
	/* Whoever pinned it meanwhile keeps it. */
	put_page(page);
	account_add(ACCOUNT_BLOCKS, -1);
	account_add(ACCOUNT_PAGES, -(1L << order));
}

void buffer_destroy(struct buffer *b)
{
	struct page *page;
	unsigned long i;

	xa_for_each_marked(&b->pages, i, page, BLOCK) dsm_cache_free(page, compound_order(page));
	xa_destroy(&b->pages);
	mutex_destroy(&b->lock);
	kfree(b);
}

/* Is nothing there yet in the block of 2^order pages around @pgoff? */
static bool block_fits(struct buffer *b, unsigned long pgoff, unsigned int order)
{
	unsigned long first = round_down(pgoff, 1UL << order);
	unsigned long i = first;

	return !xa_find(&b->pages, &i, first + (1UL << order) - 1, XA_PRESENT);
}

static int block_store(struct buffer *b, unsigned long first, struct page *page, unsigned int order)
{
	unsigned long i;
	int err;

	for (i = 0; i < 1UL << order; i++) {
		err = xa_err(xa_store(&b->pages, first + i, page + i, GFP_KERNEL_ACCOUNT));
		if (err)
			goto err_erase;
	}
	xa_set_mark(&b->pages, first, BLOCK);
	return 0;

err_erase:
	while (i--)
		xa_erase(&b->pages, first + i);
	return err;
}

/* A block around @pgoff, as large as is wanted and can be had; the page of it at @pgoff. */
static struct page *block_create(struct buffer *b, unsigned long pgoff)
{
	unsigned int wanted = READ_ONCE(max_contiguous_alloc_order), order = wanted;
	struct page *page = NULL;
	unsigned long first;

	for (;; order--) {
		if (block_fits(b, pgoff, order))
			page = dsm_cache_alloc(order);
		if (page || !order)
			break;
	}
	if (!page)
		return NULL;
	if (order < wanted)
		account_add(ACCOUNT_FALLBACKS, 1);
	first = round_down(pgoff, 1UL << order);
	if (block_store(b, first, page, order)) {
		dsm_cache_free(page, order);
		return NULL;
	}
	return page + (pgoff - first);
}

static vm_fault_t buffer_fault(struct vm_fault *vmf)
{
	struct buffer *b = vmf->vma->vm_private_data;
	struct page *page;

	mutex_lock(&b->lock);
	page = xa_load(&b->pages, vmf->pgoff);
	if (!page)
		page = block_create(b, vmf->pgoff);
	if (page)
		get_page(page);
	mutex_unlock(&b->lock);
	if (!page)
		return VM_FAULT_SIGBUS;
	vmf->page = page;
	return 0;
}

/* A second mapping of the same memory: by fork(), or because one was split. */
static void buffer_open(struct vm_area_struct *vma)
{
	account_add(ACCOUNT_MAPPINGS, 1);
}

/* Block by block, though blocks may happen to follow one another: so that one call is one block. */
static noinline void dsm_cache_clean_mapping(struct buffer *b, unsigned long pgoff,
					     unsigned long end)
{
	struct page *page, *head;
	unsigned long n;

	mutex_lock(&b->lock);
	while (pgoff < end) {
		page = xa_find(&b->pages, &pgoff, end - 1, XA_PRESENT);
		if (!page)
			break;
		head = compound_head(page);
		n = min(end - pgoff, compound_nr(head) - (unsigned long)(page - head));
		lines_maintain(DSM_CACHE_CLEAN, page, 0, n << PAGE_SHIFT);
		pgoff += n;
		cond_resched();
	}
	mutex_unlock(&b->lock);
}

static void buffer_close(struct vm_area_struct *vma)
{
	struct buffer *b = vma->vm_private_data;

	dsm_cache_clean_mapping(b, vma->vm_pgoff, vma->vm_pgoff + vma_pages(vma));
	account_add(ACCOUNT_CLOSES, 1);
	account_add(ACCOUNT_MAPPINGS, -1);
}

static const struct vm_operations_struct buffer_vm_ops = {
	.open = buffer_open,
	.close = buffer_close,
	.fault = buffer_fault,
};

static void set_flags(struct vm_area_struct *vma, vm_flags_t flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	vma->vm_flags |= flags;
#else
	vm_flags_set(vma, flags);
#endif
}

int buffer_mmap(struct buffer *b, struct vm_area_struct *vma)
{
	/* A private mapping would copy what is written to memory that is none of the module's. */
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_pgoff + vma_pages(vma) > pages_limit())
		return -ENOMEM;
	set_flags(vma, VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = b;
	vma->vm_ops = &buffer_vm_ops;
	buffer_open(vma);
	return 0;
}
