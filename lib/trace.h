/* SPDX-License-Identifier: MIT */
/*
 * Trace points (USDT): free until a tracer attaches, absent where <sys/sdt.h> is.
 *
 *	bpftrace -e 'usdt:./libdsm.so:dsm:message { @[arg0] = count(); }'
 */
#ifndef DSM_TRACE_H
#define DSM_TRACE_H

#ifdef HAVE_SDT
#include <sys/sdt.h>
#define TRACE2(name, a, b)    DTRACE_PROBE2(dsm, name, a, b)
#define TRACE3(name, a, b, c) DTRACE_PROBE3(dsm, name, a, b, c)
#else
#define TRACE2(name, a, b)    ((void)(a), (void)(b))
#define TRACE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

/* A message is about to be handled: enum msg_kind, sender, page or key. */
#define trace_message(kind, src, page) TRACE3(message, kind, src, page)
/* A fault is about to be served: granule, 1 if it writes, thread id. */
#define trace_fault(granule, write, tid) TRACE3(fault, granule, write, tid)
/* Granules become accessible: the first, how many, 1 if writable. */
#define trace_map(granule, n, writable) TRACE3(map, granule, n, writable)
/* Granules become less accessible. */
#define trace_unmap(granule, n) TRACE2(unmap, granule, n)

#endif
