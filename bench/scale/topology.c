/* SPDX-License-Identifier: MIT */
/*
 * See topology.h. A parser by descent, with the depth bounded; positions in its sentences count
 * characters from 1.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "topology.h"

struct parser {
	struct topology *t;
	const struct topology_defaults *defaults;
	const char *text;
	const char *at;
	unsigned nleaves;
	unsigned *where; /* position of a leaf's number in the text, by node */
};

static int malformed(const struct parser *p, const char *expected)
{
	char found[32];

	if (*p->at)
		snprintf(found, sizeof(found), "not '%c'", *p->at);
	else
		snprintf(found, sizeof(found), "not the end");
	return error_set(EINVAL, "topology, character %zu: %s is expected here, %s",
			 (size_t)(p->at - p->text) + 1, expected, found);
}

static int refused(const struct parser *p, const char *at, const char *why)
{
	return error_set(EINVAL, "topology, character %zu: %s", (size_t)(at - p->text) + 1, why);
}

static char peek(struct parser *p)
{
	while (isspace((unsigned char)*p->at))
		p->at++;
	return *p->at;
}

static bool take(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->at++;
	return true;
}

static int node_add(struct parser *p, unsigned parent, unsigned *node)
{
	struct topology *t = p->t;

	if (t->nnodes == TOPOLOGY_NODES_MAX)
		return refused(p, p->at, "there are more nodes than 8192");
	t->node[t->nnodes] = (struct topology_node){ .parent = parent, .first = p->nleaves };
	if (t->nnodes)
		t->node[t->nnodes].depth = t->node[parent].depth + 1;
	*node = t->nnodes++;
	return 0;
}

/*
 * Edges
 */

struct unit {
	const char *name;
	double factor;
};

static const struct unit latency_units[] = { { "ns", 1e3 }, { "us", 1e6 }, { "ms", 1e9 }, { 0 } };
/* Bytes a picosecond. */
static const struct unit bandwidth_units[] = {
	{ "MBps", 1e-6 }, { "GBps", 1e-3 }, { "Mbps", 1e-6 / 8 }, { "Gbps", 1e-3 / 8 }, { 0 },
};

static int quantity(struct parser *p, const struct unit *units, const char *expected, double *value)
{
	const char *begin;
	char *end;
	double number;

	if (!isdigit((unsigned char)peek(p)) && *p->at != '.')
		return malformed(p, expected);
	begin = p->at;
	number = strtod(begin, &end);
	for (; units->name; units++) {
		size_t len = strlen(units->name);

		if (strncmp(end, units->name, len) || isalnum((unsigned char)end[len]))
			continue;
		p->at = end + len;
		*value = number * units->factor;
		return 0;
	}
	p->at = end;
	return malformed(p, expected);
}

static int parse_edge(struct parser *p, struct edge *edge)
{
	const char *begin;
	double value;
	int err;

	if (peek(p) != '@') {
		begin = p->at;
		err = quantity(p, latency_units, "a latency in ns, us or ms (0.5us), or '@'",
			       &value);
		if (err < 0)
			return err;
		if (value > 1e15)
			return refused(p, begin, "a latency is at most 1000 seconds");
		edge->latency_ps = (uint64_t)(value + 0.5);
	}
	if (!take(p, '@'))
		return 0;
	peek(p);
	begin = p->at;
	err = quantity(p, bandwidth_units, "a bandwidth in MBps, GBps, Mbps or Gbps (12.5GBps)",
		       &value);
	if (err < 0)
		return err;
	if (value < 1e-9)
		return refused(p, begin, "a bandwidth is at least 0.001 MBps");
	edge->ps_per_byte = 1 / value;
	return 0;
}

/*
 * Nodes
 */

static int parse_number(struct parser *p, unsigned *number)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)peek(p)))
		return malformed(p, "a rank's number or '('");
	value = strtoul(p->at, &end, 10);
	if (value >= 1000000)
		return refused(p, p->at, "a rank's number has at most six digits");
	p->at = end;
	*number = (unsigned)value;
	return 0;
}

static int leaf_add(struct parser *p, unsigned parent, unsigned number, const char *where,
		    struct edge edge)
{
	unsigned node = 0;
	int err;

	if (p->nleaves == TOPOLOGY_RANKS_MAX)
		return refused(p, where, "there are more ranks than 4096");
	err = node_add(p, parent, &node);
	if (err < 0)
		return err;
	p->t->node[node].leaf = true;
	p->t->node[node].number = number;
	p->t->node[node].edge = edge;
	p->t->node[node].end = ++p->nleaves;
	p->where[node] = (unsigned)(where - p->text);
	snprintf(p->t->node[node].name, TOPOLOGY_NAME_BYTES, "leaf%u", number);
	return 0;
}

static int parse_leaf(struct parser *p, unsigned parent)
{
	struct edge edge = p->defaults->leaf;
	const char *begin;
	unsigned first, last;
	int err;

	peek(p);
	begin = p->at;
	err = parse_number(p, &first);
	last = first;
	if (err == 0 && take(p, '-'))
		err = parse_number(p, &last);
	if (err < 0)
		return err;
	if (last < first)
		return refused(p, begin, "a range of ranks goes upwards");
	if (take(p, ':')) {
		err = parse_edge(p, &edge);
		if (err < 0)
			return err;
	}
	for (unsigned number = first; number <= last; number++) {
		err = leaf_add(p, parent, number, begin, edge);
		if (err < 0)
			return err;
	}
	return 0;
}

static int parse_name(struct parser *p, unsigned node)
{
	char *name = p->t->node[node].name;
	const char *begin = p->at;
	size_t len = 0;

	snprintf(name, TOPOLOGY_NAME_BYTES, "switch%u", node);
	if (!isalpha((unsigned char)peek(p)))
		return 0;
	begin = p->at;
	while (isalnum((unsigned char)begin[len]) || begin[len] == '_')
		len++;
	if (len >= TOPOLOGY_NAME_BYTES)
		return refused(p, begin, "a switch's name has at most 23 characters");
	memcpy(name, begin, len);
	name[len] = '\0';
	p->at += len;
	return 0;
}

static int parse_node(struct parser *p, unsigned parent, unsigned depth)
{
	const char *begin;
	unsigned node = 0;
	int err;

	if (peek(p) != '(')
		return parse_leaf(p, parent);
	begin = p->at;
	if (depth == TOPOLOGY_DEPTH_MAX)
		return refused(p, begin, "switches are more than 32 deep");
	err = node_add(p, parent, &node);
	if (err < 0)
		return err;
	do {
		p->at++; /* '(' or ',' */
		err = parse_node(p, node, depth + 1);
		if (err < 0)
			return err;
	} while (peek(p) == ',');
	if (!take(p, ')'))
		return malformed(p, "',' or ')'");
	p->t->node[node].end = p->nleaves;
	err = parse_name(p, node);
	if (err < 0)
		return err;
	p->t->node[node].edge = p->defaults->inner;
	if (peek(p) != ':')
		return 0;
	if (node == 0)
		return refused(p, p->at, "the root has no edge above it");
	p->at++;
	return parse_edge(p, &p->t->node[node].edge);
}

/* Ranks, in the order of the leaves' numbers. */

static const struct topology_node *sorted; /* for qsort() */

static int by_number(const void *a, const void *b)
{
	unsigned x = sorted[*(const unsigned *)a].number, y = sorted[*(const unsigned *)b].number;

	return x < y ? -1 : x > y;
}

static int assign_ranks(struct parser *p)
{
	struct topology *t = p->t;

	for (unsigned i = 0; i < t->nnodes; i++)
		if (t->node[i].leaf)
			t->leaf[t->nranks++] = i;
	sorted = t->node;
	qsort(t->leaf, t->nranks, sizeof(*t->leaf), by_number);
	for (unsigned r = 1; r < t->nranks; r++) {
		unsigned before = p->where[t->leaf[r - 1]], here = p->where[t->leaf[r]];

		if (t->node[t->leaf[r]].number != t->node[t->leaf[r - 1]].number)
			continue;
		return error_set(EINVAL, "topology, character %u: rank %u is there twice",
				 (here > before ? here : before) + 1, t->node[t->leaf[r]].number);
	}
	return 0;
}

static int parse_all(struct parser *p)
{
	int err;

	if (peek(p) != '(')
		return malformed(p, "'('");
	err = parse_node(p, 0, 0);
	if (err < 0)
		return err;
	take(p, ';');
	if (peek(p))
		return malformed(p, "the end");
	return assign_ranks(p);
}

int topology_parse(struct topology *t, const char *text, const struct topology_defaults *d)
{
	struct parser p = { .t = t, .defaults = d, .text = text, .at = text };
	int err = -ENOMEM;

	*t = (struct topology){ 0 };
	t->node = calloc(TOPOLOGY_NODES_MAX, sizeof(*t->node));
	t->leaf = calloc(TOPOLOGY_RANKS_MAX, sizeof(*t->leaf));
	p.where = calloc(TOPOLOGY_NODES_MAX, sizeof(*p.where));
	if (t->node && t->leaf && p.where)
		err = parse_all(&p);
	else
		error_set(ENOMEM, "no memory for a topology of %u nodes", TOPOLOGY_NODES_MAX);
	free(p.where);
	if (err < 0)
		topology_fini(t);
	return err;
}

void topology_fini(struct topology *t)
{
	free(t->node);
	free(t->leaf);
	*t = (struct topology){ 0 };
}

/*
 * Balanced trees: written as Newick, and read again
 */

struct balanced {
	unsigned width[TOPOLOGY_LEVELS_MAX];
	unsigned nlevels;
	unsigned next;
	unsigned nswitches;
	FILE *out;
};

static int parse_widths(struct balanced *b, const char *text)
{
	const char *at = text;
	unsigned long ranks = 1;
	char *end;

	for (;; at = end + 1) {
		unsigned long width = isdigit((unsigned char)*at) ? strtoul(at, &end, 10) : 0;

		if (!width || width > TOPOLOGY_RANKS_MAX || (*end && *end != 'x'))
			return error_set(EINVAL,
					 "racks, character %zu: \"%s\" is not widths from 1 to %u "
					 "with x between them (8x16)",
					 (size_t)(at - text) + 1, text, TOPOLOGY_RANKS_MAX);
		ranks *= width;
		if (ranks > TOPOLOGY_RANKS_MAX || b->nlevels == TOPOLOGY_LEVELS_MAX)
			return error_set(EINVAL,
					 "racks, character %zu: \"%s\" has more than %u "
					 "ranks or %u levels",
					 (size_t)(at - text) + 1, text, TOPOLOGY_RANKS_MAX,
					 TOPOLOGY_LEVELS_MAX);
		b->width[b->nlevels++] = (unsigned)width;
		if (!*end)
			return 0;
	}
}

static void write_level(struct balanced *b, unsigned level)
{
	unsigned width = b->width[level];

	fputc('(', b->out);
	if (level + 1 == b->nlevels) {
		fprintf(b->out, "%u-%u", b->next, b->next + width - 1);
		b->next += width;
	}
	for (unsigned i = 0; level + 1 < b->nlevels && i < width; i++) {
		if (i)
			fputc(',', b->out);
		write_level(b, level + 1);
	}
	fputc(')', b->out);
	if (level)
		fprintf(b->out, "%s%u", level + 1 == b->nlevels ? "rack" : "row", b->nswitches++);
}

int topology_balanced(struct topology *t, const char *text, const struct topology_defaults *d)
{
	struct balanced b = { 0 };
	char *newick = NULL;
	size_t len;
	int err = parse_widths(&b, text);

	if (err < 0)
		return err;
	b.out = open_memstream(&newick, &len);
	if (!b.out)
		return error_set(ENOMEM, "no memory for a topology of %s", text);
	write_level(&b, 0);
	fclose(b.out);
	err = topology_parse(t, newick, d);
	free(newick);
	return err;
}

/*
 * Ways
 */

unsigned topology_next(const struct topology *t, unsigned at, unsigned rank, unsigned *edge,
		       bool *up)
{
	const struct topology_node *n = &t->node[at];
	unsigned child = t->leaf[rank], position = t->node[child].first;

	*up = position < n->first || position >= n->end;
	if (*up) {
		*edge = at;
		return n->parent;
	}
	while (t->node[child].parent != at)
		child = t->node[child].parent;
	*edge = child;
	return child;
}
