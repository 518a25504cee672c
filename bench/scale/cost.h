/* SPDX-License-Identifier: MIT */
/*
 * Cost model: what a fault, a mapping, a message and an adapter take. One table (cost.c) has each
 * parameter with its unit, its default, and how it is measured; a file overrides what it names:
 *
 *	fault_ns 2350		# anything behind a '#' is a remark
 */
#ifndef SCALE_COST_H
#define SCALE_COST_H

#include <stdint.h>
#include <stdio.h>

#include "topology.h"

struct cost {
	/* the processor */
	double fault_ns;
	double agent_ns;
	double map_new_ns;
	double map_refill_ns;
	double map_own_ns;
	double protect_ns;
	double zap_ns;
	double handler_ns;
	double call_ns;
	double post_ns;
	/* the adapter */
	double nic_ns;
	double nic_message_ns;
	double nic_atomic_ns;
	double header_bytes;
	/* edges of which the topology says nothing */
	double leaf_ns;
	double leaf_ns_per_byte;
	double inner_ns;
	double inner_ns_per_byte;
};

void cost_defaults(struct cost *c);
/* -EINVAL: error_text() has the line. Or what fopen() says. */
int cost_read(struct cost *c, const char *path);
/* As a file that cost_read() takes, with the command that measures each. */
void cost_print(const struct cost *c, FILE *out);
struct topology_defaults cost_edges(const struct cost *c);

static inline uint64_t cost_ps(double ns)
{
	return (uint64_t)(ns * 1000 + 0.5);
}

#endif
