/* SPDX-License-Identifier: MIT */
/*
 * Topology: a tree whose leaves are ranks, with a latency and a bandwidth for each edge.
 *
 * Written in Newick form, as biologists write trees: (0,(1,2)) is a switch with rank 0 and another
 * switch, which has ranks 1 and 2.
 *
 *	tree  = node [";"]
 *	node  = ( leaf | "(" node { "," node } ")" [ name ] ) [ ":" edge ]
 *	leaf  = number | number "-" number		so many leaves, each with that edge
 *	edge  = latency | "@" bandwidth | latency "@" bandwidth
 *
 * A latency is a number and ns, us or ms; a bandwidth a number and MBps, GBps (bytes), Mbps or Gbps
 * (bits) in each direction. What is not given is the default of a rank's edge or of a switch's. An
 * edge is written behind the node at its lower end, so the root has none. Numbers of leaves are
 * names: the lowest is rank 0, and so on. White space may stand between words.
 *
 *	(0:0.2us@12.5GBps,(1,2)rack1:1us@25GBps)
 */
#ifndef SCALE_TOPOLOGY_H
#define SCALE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#define TOPOLOGY_RANKS_MAX  4096u
#define TOPOLOGY_NODES_MAX  (2u * TOPOLOGY_RANKS_MAX)
#define TOPOLOGY_DEPTH_MAX  32u
#define TOPOLOGY_NAME_BYTES 24u
#define TOPOLOGY_LEVELS_MAX 8u

/* Times are picoseconds: of 12.5 GB/s a byte takes 80. */
struct edge {
	uint64_t latency_ps;
	double ps_per_byte;
};

/* A rank's adapter or a switch, with its edge to the switch above it. */
struct topology_node {
	unsigned parent; /* of the root: itself */
	unsigned depth;
	unsigned first,
		end; /* positions of the leaves below it, in the order in which they stand */
	unsigned number; /* a leaf's */
	bool leaf;
	struct edge edge;
	char name[TOPOLOGY_NAME_BYTES];
};

struct topology {
	struct topology_node *node; /* the root is the first */
	unsigned nnodes;
	unsigned nranks;
	unsigned *leaf; /* node of a rank */
};

/* Edges that the text says nothing about. */
struct topology_defaults {
	struct edge leaf;
	struct edge inner;
};

/* -EINVAL: error_text() says where and what is wrong. */
int topology_parse(struct topology *t, const char *text, const struct topology_defaults *d);
/*
 * A balanced tree: "8x16" is 8 switches of 16 ranks each below one switch, "4x8x32" has a level
 * more.
 */
int topology_balanced(struct topology *t, const char *text, const struct topology_defaults *d);
void topology_fini(struct topology *t);

/* The next node on the way to a rank; *edge is the node whose edge is taken, *up whether upwards.
 */
unsigned topology_next(const struct topology *t, unsigned at, unsigned rank, unsigned *edge,
		       bool *up);

#endif
