/* SPDX-License-Identifier: MIT */
/*
 * Trace points of the module: events/dsm_cache/ in tracefs.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dsm_cache

#if !defined(DSM_CACHE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DSM_CACHE_TRACE_H

#include <linux/tracepoint.h>

#include "uapi/dsm_cache.h"

/* clang-format off */

#define show_op(op)							\
	__print_symbolic(op,						\
		{ DSM_CACHE_CLEAN, "clean" },				\
		{ DSM_CACHE_CLEAN_INVALIDATE, "clean_invalidate" },	\
		{ DSM_CACHE_INVALIDATE, "invalidate" },			\
		{ DSM_CACHE_FOR_DEVICE, "for_device" },			\
		{ DSM_CACHE_FOR_CPU, "for_cpu" })

/* A call for a range, when it is done. */
TRACE_EVENT(dsm_cache_range,
	TP_PROTO(const struct dsm_cache_range *r, int err),
	TP_ARGS(r, err),
	TP_STRUCT__entry(
		__field(u32, op)
		__field(int, err)
		__field(u64, addr)
		__field(u64, len)
		__field(u64, pages)
		__field(u64, runs)
		__field(u64, lines)
		__field(u64, pin_ns)
		__field(u64, work_ns)
	),
	TP_fast_assign(
		__entry->op = r->op;
		__entry->err = err;
		__entry->addr = r->addr;
		__entry->len = r->len_bytes;
		__entry->pages = err ? 0 : r->pages;
		__entry->runs = err ? 0 : r->runs;
		__entry->lines = err ? 0 : r->lines;
		__entry->pin_ns = err ? 0 : r->pin_ns;
		__entry->work_ns = err ? 0 : r->work_ns;
	),
	TP_printk("op=%s addr=0x%llx len=%llu pages=%llu runs=%llu lines=%llu pin_ns=%llu work_ns=%llu err=%d",
		  show_op(__entry->op), __entry->addr, __entry->len, __entry->pages, __entry->runs,
		  __entry->lines, __entry->pin_ns, __entry->work_ns, __entry->err)
);

/* One physically contiguous run, of a call or of a mapping that goes away. */
TRACE_EVENT(dsm_cache_run,
	TP_PROTO(u32 op, unsigned long pfn, size_t off, size_t len, u64 lines, u64 ns),
	TP_ARGS(op, pfn, off, len, lines, ns),
	TP_STRUCT__entry(
		__field(u32, op)
		__field(unsigned long, pfn)
		__field(u64, off)
		__field(u64, len)
		__field(u64, lines)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->op = op;
		__entry->pfn = pfn;
		__entry->off = off;
		__entry->len = len;
		__entry->lines = lines;
		__entry->ns = ns;
	),
	TP_printk("op=%s pfn=0x%lx off=%llu len=%llu lines=%llu ns=%llu", show_op(__entry->op),
		  __entry->pfn, __entry->off, __entry->len, __entry->lines, __entry->ns)
);

DECLARE_EVENT_CLASS(dsm_cache_block,
	TP_PROTO(unsigned long pfn, unsigned int order),
	TP_ARGS(pfn, order),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned int, order)
	),
	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->order = order;
	),
	TP_printk("pfn=0x%lx order=%u", __entry->pfn, __entry->order)
);

DEFINE_EVENT(dsm_cache_block, dsm_cache_alloc,
	TP_PROTO(unsigned long pfn, unsigned int order), TP_ARGS(pfn, order));
DEFINE_EVENT(dsm_cache_block, dsm_cache_free,
	TP_PROTO(unsigned long pfn, unsigned int order), TP_ARGS(pfn, order));

/* clang-format on */

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
