/* SPDX-License-Identifier: MIT */
/*
 * The graph of 05_pagerank in private memory: who needs whom. Reads it, and ranks it alone to
 * compare with.
 *
 * A file whose first line starts with "Package:" is read as dpkg's status file: the installed
 * packages, each with links to what it depends on; of alternatives the first that is installed, of
 * a virtual package one that provides it. Any other file is a list of links, two names a line;
 * empty lines and lines that start with # do not count.
 */
#ifndef EXAMPLE_GRAPH_H
#define EXAMPLE_GRAPH_H

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdbool.h>
#include <string.h>

#include "example.h"

struct link {
	uint32_t from, to;
	bool or_else; /* an alternative to the link before it */
};

struct node {
	char *name;
	uint32_t id;
	uint32_t provider; /* itself, who provides it, or NOBODY: it is not installed */
};

#define NOBODY UINT32_MAX

struct graph {
	struct node **node;
	struct link *link;
	uint32_t nnodes, nlinks;
	uint32_t node_room, link_room;
	struct node *package; /* whose lines these are; NULL: it is not installed */
	uint32_t before; /* the provider of its name before these lines */
	void *names; /* tsearch()'s tree of nodes */
};

/* Make room for one more; exits when there is no memory. */
static inline void *graph_grow(void *array, uint32_t used, uint32_t *room, size_t each)
{
	if (used < *room)
		return array;
	*room = *room ? 2 * *room : 1024;
	array = realloc(array, *room * each);
	if (!array) {
		fprintf(stderr, "no memory for a graph of %" PRIu32 " nodes or links\n", *room);
		exit(EXIT_FAILURE);
	}
	return array;
}

static inline int graph_compare(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

/* The node of this name, which is made if there is none. */
static inline struct node *graph_node(struct graph *graph, char *name)
{
	struct node probe = { .name = name }, **found = tfind(&probe, &graph->names, graph_compare);
	struct node *node;

	if (found)
		return *found;
	graph->node = graph_grow(graph->node, graph->nnodes, &graph->node_room, sizeof(node));
	node = calloc(1, sizeof(*node));
	if (!node || !(node->name = strdup(name)) || !tsearch(node, &graph->names, graph_compare)) {
		fprintf(stderr, "no memory for the name %s\n", name);
		exit(EXIT_FAILURE);
	}
	node->id = graph->nnodes;
	node->provider = NOBODY;
	return graph->node[graph->nnodes++] = node;
}

static inline void graph_link(struct graph *graph, uint32_t from, uint32_t to, bool or_else)
{
	graph->link =
		graph_grow(graph->link, graph->nlinks, &graph->link_room, sizeof(struct link));
	graph->link[graph->nlinks++] = (struct link){ from, to, or_else };
}

/* "libc6 (>= 2.36), awk | mawk:any": links from package, or names that it provides. */
static inline void graph_packages(struct graph *graph, struct node *package, char *list,
				  bool provides)
{
	char *and, * or, *next_and, *next_or;

	for (and = strtok_r(list, ",", &next_and); and; and = strtok_r(NULL, ",", &next_and)) {
		bool or_else = false;

		for (or = strtok_r(and, "|", &next_or); or ; or = strtok_r(NULL, "|", &next_or)) {
			struct node *other;

			or += strspn(or, " \t");
			or [strcspn(or, " \t\n(:")] = 0;
			other = graph_node(graph, or);
			if (!provides)
				graph_link(graph, package->id, other->id, or_else);
			else if (other->provider == NOBODY)
				other->provider = package->id;
			or_else = true;
		}
	}
}

/* One line of a status file. Without a Status line a package counts as installed. */
static inline void graph_status_line(struct graph *graph, char *line)
{
	struct node *package = graph->package;
	char *value = strchr(line, ':');

	if (!value || line[0] == ' ')
		return;
	*value++ = 0;
	if (!strcmp(line, "Package")) {
		value += strspn(value, " \t");
		value[strcspn(value, " \t\n")] = 0;
		package = graph->package = graph_node(graph, value);
		graph->before = package->provider;
		package->provider = package->id;
	} else if (!package) {
		return;
	} else if (!strcmp(line, "Status") && !strstr(value, " installed")) {
		package->provider = graph->before; /* another architecture's may be installed */
		graph->package = NULL;
	} else if (!strcmp(line, "Depends") || !strcmp(line, "Pre-Depends")) {
		graph_packages(graph, package, value, false);
	} else if (!strcmp(line, "Provides")) {
		graph_packages(graph, package, value, true);
	}
}

/* One line of a list of links; false if it is not one. */
static inline bool graph_link_line(struct graph *graph, char *line)
{
	char *rest, *from = strtok_r(line, " \t\r\n", &rest);
	char *to = from ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
	struct node *a, *b;

	if (!from || from[0] == '#')
		return true;
	if (!to || strtok_r(NULL, " \t\r\n", &rest))
		return false;
	a = graph_node(graph, from);
	b = graph_node(graph, to);
	a->provider = a->id;
	b->provider = b->id;
	graph_link(graph, a->id, b->id, false);
	return true;
}

/* Drop what is not installed, take one of alternatives, and number the rest from 0. */
static inline void graph_resolve(struct graph *graph)
{
	uint32_t nlinks = 0, nnodes = 0;
	bool satisfied = false;

	for (uint32_t i = 0; i < graph->nlinks; i++) {
		struct link link = graph->link[i];

		satisfied = satisfied && link.or_else;
		link.to = graph->node[link.to]->provider;
		if (satisfied || link.to == NOBODY || graph->node[link.from]->provider != link.from)
			continue;
		satisfied = true;
		if (link.from != link.to)
			graph->link[nlinks++] = link;
	}
	for (uint32_t i = 0; i < graph->nnodes; i++) {
		struct node *node = graph->node[i];

		/* Links still hold the old numbers, which are the order of graph->node. */
		node->id = node->provider == i ? nnodes++ : NOBODY;
	}
	for (uint32_t i = 0; i < nlinks; i++) {
		graph->link[i].from = graph->node[graph->link[i].from]->id;
		graph->link[i].to = graph->node[graph->link[i].to]->id;
	}
	for (uint32_t i = 0; i < graph->nnodes; i++)
		if (graph->node[i]->id != NOBODY)
			graph->node[graph->node[i]->id] = graph->node[i];
	graph->nlinks = nlinks;
	graph->nnodes = nnodes;
}

/* Read the program's one argument, or else what this machine has installed; says on stderr what is
 * wrong with it if it returns false. */
static inline bool graph_read(struct graph *graph, int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/var/lib/dpkg/status";
	bool status = false, good = true;
	FILE *file = argc > 2 ? NULL : fopen(path, "r");
	uint64_t nlines = 0, done = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	long total = 0;

	*graph = (struct graph){ 0 };
	if (argc > 2) {
		fprintf(stderr, "usage: %s [FILE]\n", argv[0]);
		return false;
	}
	if (file && !fseek(file, 0, SEEK_END)) {
		total = ftell(file);
		rewind(file);
	}
	errno = file ? 0 : errno;
	while (file && good && (len = getline(&line, &room, file)) > 0) {
		status |= ++nlines == 1 && !strncmp(line, "Package:", 8);
		done += (uint64_t)len;
		if (status)
			graph_status_line(graph, line);
		else
			good = graph_link_line(graph, line);
		if (nlines % 1024 == 0)
			progress("reading", done, (uint64_t)total);
	}
	if (!good)
		fprintf(stderr, "%s: line %" PRIu64 ": not two names\n", path, nlines);
	else if (!file || ferror(file))
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	good = good && file && !ferror(file);
	graph_resolve(graph);
	if (good && !graph->nnodes)
		fprintf(stderr, "%s: there is neither an installed package nor a link in it\n",
			path);
	free(line);
	if (file)
		fclose(file);
	return good && graph->nnodes;
}

/*
 * The links by the node they lead to: those to v come from the nodes from[first[v]] to
 * from[first[v + 1] - 1]; nout[v] is how many lead away from it. All zero before, and first has
 * room for nnodes + 2.
 */
static inline void graph_sort(const struct graph *graph, uint32_t *first, uint32_t *from,
			      uint32_t *nout)
{
	/* Count, add up, fill in; first[v + 1] moves from the first of v's links past the last. */
	for (uint32_t i = 0; i < graph->nlinks; i++) {
		nout[graph->link[i].from]++;
		first[graph->link[i].to + 2]++;
	}
	for (uint32_t v = 2; v < graph->nnodes + 2; v++)
		first[v] += first[v - 1];
	for (uint32_t i = 0; i < graph->nlinks; i++)
		from[first[graph->link[i].to + 1]++] = graph->link[i].from;
}

/* PageRank without libdsm: that many iterations from an equal start. NULL: no memory. */
static inline double *graph_rank(const struct graph *graph, double damping, unsigned iterations)
{
	double *now = calloc(graph->nnodes, sizeof(*now)),
	       *old = calloc(graph->nnodes, sizeof(*old));
	uint32_t *nout = calloc(graph->nnodes, sizeof(*nout));

	for (uint32_t i = 0; nout && i < graph->nlinks; i++)
		nout[graph->link[i].from]++;
	for (unsigned n = 0; now && old && nout && n < iterations; n++) {
		double idle = 0, *swap = old;

		old = now;
		now = swap;
		for (uint32_t v = 0; v < graph->nnodes; v++)
			idle += nout[v] ? 0 : old[v];
		for (uint32_t v = 0; v < graph->nnodes; v++)
			now[v] = (n ? 1 - damping + damping * idle : 1) / graph->nnodes;
		for (uint32_t i = 0; i < graph->nlinks; i++) {
			const struct link *link = &graph->link[i];

			now[link->to] += damping * old[link->from] / nout[link->from];
		}
		progress("checking", n, iterations);
	}
	if (!old || !nout) {
		free(now);
		now = NULL;
	}
	free(old);
	free(nout);
	return now;
}

/* Compare a result with the one computed alone; says so, or on stderr what differs. */
static inline bool graph_check(const struct graph *graph, const double *result, double damping,
			       unsigned iterations)
{
	double *alone = graph_rank(graph, damping, iterations);
	bool same = alone != NULL;

	for (uint32_t v = 0; same && v < graph->nnodes; v++) {
		same = fabs(alone[v] - result[v]) < 1e-9; /* sums run in another order */
		if (!same)
			fprintf(stderr, "%s: %.12f, alone it is %.12f\n", graph->node[v]->name,
				result[v], alone[v]);
	}
	if (!alone)
		fprintf(stderr, "no memory to rank %" PRIu32 " nodes alone\n", graph->nnodes);
	printf("%s", same ? "same as alone\n" : "");
	fflush(stdout); /* before the statistics, which go to stderr */
	free(alone);
	return same;
}

/* Print how it was computed, and the ten nodes of the largest values; of equal ones the first in
 * the file. */
static inline bool graph_print(const struct graph *graph, const double *result, unsigned iterations,
			       unsigned ranks)
{
	bool *shown = calloc(graph->nnodes, sizeof(*shown)), good = shown;

	printf("%" PRIu32 " nodes, %" PRIu32 " links, %u iterations on %u ranks\n", graph->nnodes,
	       graph->nlinks, iterations, ranks);
	for (uint32_t n = 1; good && n <= 10 && n <= graph->nnodes; n++) {
		uint32_t best = NOBODY;

		for (uint32_t v = 0; v < graph->nnodes; v++)
			if (!shown[v] && (best == NOBODY || result[v] > result[best] + 1e-12))
				best = v;
		shown[best] = true;
		printf("%2" PRIu32 ". %-30s %6.2f %%\n", n, graph->node[best]->name,
		       100 * result[best]);
	}
	free(shown);
	return good;
}

#endif /* EXAMPLE_GRAPH_H */
