// SPDX-License-Identifier: MIT
/*
 * Cache maintenance of one run of physically contiguous memory.
 *
 * clean, clean+invalidate and invalidate are instructions over the kernel's linear map; the kernel
 * has the same loops, but exports none of them to modules that drops dirty lines as well.
 * for-device and for-cpu are the kernel's DMA interface, on a device of the module's own that is
 * not coherent: what a driver would do. Where the whole architecture is coherent (amd64) the DMA
 * interface does nothing, and amd64 has no instruction that drops dirty lines.
 *
 * The functions named dsm_cache_* are not inlined, so that ftrace and bpftrace see each run.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/platform_device.h>
#include <asm/cacheflush.h>

#include "dsm_cache.h"
#include "trace.h"

static struct platform_device *dma_device;
static u32 line_bytes;

#if defined(CONFIG_ARM64)

#include <asm/alternative.h>
#include <asm/barrier.h>
#include <asm/cpufeature.h>
#include <asm/sysreg.h>

static u32 read_line_bytes(void)
{
	/* The sanitised register has the least of all processors. */
	return 4 << (read_sanitised_ftr_reg(SYS_CTR_EL0) >> 16 & 0xf);
}

/* Some Cortex-A53 and their like lose a clean that races with another; there civac stands in. */
static inline void clean_line(unsigned long line)
{
	asm volatile(ALTERNATIVE("dc cvac, %0", "dc civac, %0", ARM64_WORKAROUND_CLEAN_CACHE)
		     :
		     : "r"(line)
		     : "memory");
}

static inline void flush_line(unsigned long line)
{
	asm volatile("dc civac, %0" : : "r"(line) : "memory");
}

static inline void drop_line(unsigned long line)
{
	asm volatile("dc ivac, %0" : : "r"(line) : "memory");
}

static inline void lines_done(void)
{
	dsb(sy);
}

#elif defined(CONFIG_X86_64)

static u32 read_line_bytes(void)
{
	return boot_cpu_data.x86_clflush_size;
}

static inline void clean_line(unsigned long line)
{
	clwb((void *)line); /* clflushopt or clflush where there is no clwb */
}

static inline void flush_line(unsigned long line)
{
	clflushopt((void *)line); /* or clflush */
}

static inline void drop_line(unsigned long line)
{
	flush_line(line);
}

static inline void lines_done(void)
{
	mb();
}

#else
#error "dsm_cache knows arm64 and amd64"
#endif

static unsigned long line_of(unsigned long addr)
{
	return addr & ~(unsigned long)(line_bytes - 1);
}

static noinline void dsm_cache_clean(unsigned long start, unsigned long end)
{
	const unsigned long step = line_bytes;
	unsigned long line;

	for (line = line_of(start); line < end; line += step)
		clean_line(line);
	lines_done();
}

static noinline void dsm_cache_clean_invalidate(unsigned long start, unsigned long end)
{
	const unsigned long step = line_bytes;
	unsigned long line;

	for (line = line_of(start); line < end; line += step)
		flush_line(line);
	lines_done();
}

/* What else lies in the first and the last line is not the caller's to drop. */
static noinline void dsm_cache_invalidate(unsigned long start, unsigned long end)
{
	const unsigned long step = line_bytes;
	unsigned long line = line_of(start), last = line_of(end);

	if (last != end)
		flush_line(last);
	if (line != start) {
		flush_line(line);
		line += step;
	}
	for (; line < last; line += step)
		drop_line(line);
	lines_done();
}

/*
 * The mapping is of whole pages, so that no bounce buffer comes in (small pieces get one), and by
 * itself does nothing; then the piece is synchronised.
 */
static noinline int dsm_cache_dma(enum dsm_cache_op op, struct page *page, size_t off,
				  size_t len_bytes)
{
	struct device *dev = &dma_device->dev;
	size_t map_bytes = PAGE_ALIGN(off + len_bytes);
	dma_addr_t dma;

	dma = dma_map_page_attrs(dev, page, 0, map_bytes, DMA_BIDIRECTIONAL,
				 DMA_ATTR_SKIP_CPU_SYNC);
	if (dma_mapping_error(dev, dma))
		return -EIO;
	if (op == DSM_CACHE_FOR_DEVICE)
		dma_sync_single_range_for_device(dev, dma, off, len_bytes, DMA_BIDIRECTIONAL);
	else
		dma_sync_single_range_for_cpu(dev, dma, off, len_bytes, DMA_FROM_DEVICE);
	dma_unmap_page_attrs(dev, dma, map_bytes, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	return 0;
}

int lines_maintain(enum dsm_cache_op op, struct page *page, size_t off, size_t len_bytes)
{
	unsigned long start = (unsigned long)page_address(page) + off;
	u64 began_ns = ktime_get_ns();
	int err = 0;

	switch (op) {
	case DSM_CACHE_CLEAN:
		dsm_cache_clean(start, start + len_bytes);
		break;
	case DSM_CACHE_CLEAN_INVALIDATE:
		dsm_cache_clean_invalidate(start, start + len_bytes);
		break;
	case DSM_CACHE_INVALIDATE:
		dsm_cache_invalidate(start, start + len_bytes);
		break;
	case DSM_CACHE_FOR_DEVICE:
	case DSM_CACHE_FOR_CPU:
		err = dsm_cache_dma(op, page, off, len_bytes);
		break;
	}
	trace_dsm_cache_run(op, page_to_pfn(page), off, len_bytes, lines_count(off, len_bytes),
			    ktime_get_ns() - began_ns);
	return err;
}

u32 lines_bytes(void)
{
	return line_bytes;
}

u64 lines_count(u64 off, u64 len_bytes)
{
	return (ALIGN(off + len_bytes, line_bytes) - ALIGN_DOWN(off, line_bytes)) / line_bytes;
}

bool lines_dma_is_coherent(void)
{
	return dev_is_dma_coherent(&dma_device->dev);
}

int lines_init(void)
{
	int err;

	line_bytes = read_line_bytes();
	dma_device = platform_device_register_simple("dsm_cache", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(dma_device))
		return PTR_ERR(dma_device);
	err = dma_coerce_mask_and_coherent(&dma_device->dev, DMA_BIT_MASK(64));
	if (err)
		platform_device_unregister(dma_device);
	return err;
}

void lines_fini(void)
{
	platform_device_unregister(dma_device);
}
