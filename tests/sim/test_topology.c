/* SPDX-License-Identifier: MIT */
/*
 * The topology of bench/scale: what Newick text means, and what is refused, where, and why.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "error.h"
#include "topology.h"

/* 100 ns and 1 GB/s for ranks, 1 us and 10 GB/s between switches. */
static const struct topology_defaults defaults = { { 100000, 1000 }, { 1000000, 100 } };

static struct topology parsed(const char *text)
{
	struct topology t;

	if (topology_parse(&t, text, &defaults) < 0)
		fail_msg("%s: %s", text, error_text());
	return t;
}

static const struct topology_node *leaf(const struct topology *t, unsigned rank)
{
	return &t->node[t->leaf[rank]];
}

static void assert_edge(const struct topology_node *n, uint64_t latency_ps, double ps_per_byte)
{
	assert_int_equal(n->edge.latency_ps, latency_ps);
	assert_true(fabs(n->edge.ps_per_byte - ps_per_byte) < 1e-9 * ps_per_byte);
}

static void topology_parse__tree(void **state)
{
	struct topology t = parsed("(1,(2,3))");

	(void)state;
	assert_int_equal(t.nranks, 3);
	assert_int_equal(t.nnodes, 5);
	assert_int_equal(leaf(&t, 0)->number, 1);
	assert_int_equal(leaf(&t, 2)->number, 3);
	assert_int_equal(leaf(&t, 0)->parent, 0);
	assert_int_equal(leaf(&t, 1)->parent, leaf(&t, 2)->parent);
	assert_int_equal(t.node[leaf(&t, 1)->parent].parent, 0);
	assert_int_equal(leaf(&t, 1)->depth, 2);
	topology_fini(&t);
}

static void topology_parse__edges(void **state)
{
	struct topology t =
		parsed(" ( 0:0.5us@12.5GBps , (1:30ns,2:@100Gbps, 3 )rack_a:2ms@250MBps ) ; ");

	(void)state;
	assert_edge(leaf(&t, 0), 500000, 80);
	assert_edge(leaf(&t, 1), 30000, 1000);
	assert_edge(leaf(&t, 2), 100000, 80);
	assert_edge(leaf(&t, 3), 100000, 1000);
	assert_edge(&t.node[leaf(&t, 1)->parent], 2000000000, 4000);
	assert_string_equal(t.node[leaf(&t, 1)->parent].name, "rack_a");
	topology_fini(&t);
}

static void topology_parse__default_edges(void **state)
{
	struct topology t = parsed("(0,(1))");

	(void)state;
	assert_edge(leaf(&t, 0), 100000, 1000);
	assert_edge(&t.node[leaf(&t, 1)->parent], 1000000, 100);
	topology_fini(&t);
}

static void topology_parse__range(void **state)
{
	struct topology t = parsed("(8-11:1us,(0-7))");

	(void)state;
	assert_int_equal(t.nranks, 12);
	assert_edge(leaf(&t, 11), 1000000, 1000);
	assert_edge(leaf(&t, 7), 100000, 1000);
	assert_int_equal(leaf(&t, 8)->number, 8);
	assert_int_equal(leaf(&t, 8)->parent, 0);
	topology_fini(&t);
}

/* Ranks are in the order of their numbers, wherever they stand. */
static void topology_parse__order(void **state)
{
	struct topology t = parsed("((30,10),20)");

	(void)state;
	assert_int_equal(leaf(&t, 0)->number, 10);
	assert_int_equal(leaf(&t, 1)->number, 20);
	assert_int_equal(leaf(&t, 2)->number, 30);
	assert_int_equal(leaf(&t, 0)->parent, leaf(&t, 2)->parent);
	topology_fini(&t);
}

static void topology_parse__refusals(void **state)
{
	static const struct {
		const char *text;
		const char *sentence;
	} cases[] = {
		{ "", "topology, character 1: '(' is expected here, not the end" },
		{ "3", "topology, character 1: '(' is expected here, not '3'" },
		{ "()", "topology, character 2: a rank's number or '(' is expected here, not ')'" },
		{ "(0,)", "topology, character 4: a rank's number or '(' is expected here, not "
			  "')'" },
		{ "(0,1", "topology, character 5: ',' or ')' is expected here, not the end" },
		{ "(0 1)", "topology, character 4: ',' or ')' is expected here, not '1'" },
		{ "(0,1))", "topology, character 6: the end is expected here, not ')'" },
		{ "(0,1);x", "topology, character 7: the end is expected here, not 'x'" },
		{ "(0,1):1us", "topology, character 6: the root has no edge above it" },
		{ "(0:,1)", "topology, character 4: a latency in ns, us or ms (0.5us), or '@' is "
			    "expected here, not ','" },
		{ "(0:5,1)", "topology, character 5: a latency in ns, us or ms (0.5us), or '@' is "
			     "expected here, not ','" },
		{ "(0:5usec,1)", "topology, character 5: a latency in ns, us or ms (0.5us), or "
				 "'@' is expected here, not 'u'" },
		{ "(0:-5us,1)", "topology, character 4: a latency in ns, us or ms (0.5us), or '@' "
				"is expected here, not '-'" },
		{ "(0:1us@,1)", "topology, character 8: a bandwidth in MBps, GBps, Mbps or Gbps "
				"(12.5GBps) is expected here, not ','" },
		{ "(0:1us@10GB,1)", "topology, character 10: a bandwidth in MBps, GBps, Mbps or "
				    "Gbps (12.5GBps) is expected here, not 'G'" },
		{ "(0:1us@0GBps,1)", "topology, character 8: a bandwidth is at least 0.001 MBps" },
		{ "(0:99999999ms,1)", "topology, character 4: a latency is at most 1000 seconds" },
		{ "(0,(1,0))", "topology, character 7: rank 0 is there twice" },
		{ "(0-3,2)", "topology, character 6: rank 2 is there twice" },
		{ "(3-1)", "topology, character 2: a range of ranks goes upwards" },
		{ "(0-4096)", "topology, character 2: there are more ranks than 4096" },
		{ "(12345678)", "topology, character 2: a rank's number has at most six digits" },
		{ "(0)a_name_that_is_longer_than_it_may_be",
		  "topology, character 4: a switch's name has at most 23 characters" },
		{ "((((((((((((((((((((((((((((((((((0))))))))))))))))))))))))))))))))))",
		  "topology, character 33: switches are more than 32 deep" },
	};
	struct topology t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(topology_parse(&t, cases[i].text, &defaults), -EINVAL);
		assert_string_equal(error_text(), cases[i].sentence);
	}
}

static void topology_balanced__racks(void **state)
{
	struct topology t;

	(void)state;
	assert_int_equal(topology_balanced(&t, "8x16", &defaults), 0);
	assert_int_equal(t.nranks, 128);
	assert_int_equal(t.nnodes, 1 + 8 + 128);
	assert_int_equal(leaf(&t, 15)->parent, leaf(&t, 0)->parent);
	assert_int_not_equal(leaf(&t, 16)->parent, leaf(&t, 0)->parent);
	assert_string_equal(t.node[leaf(&t, 16)->parent].name, "rack1");
	assert_edge(&t.node[leaf(&t, 127)->parent], 1000000, 100);
	topology_fini(&t);

	assert_int_equal(topology_balanced(&t, "16x8x32", &defaults), 0);
	assert_int_equal(t.nranks, 4096);
	assert_int_equal(leaf(&t, 4095)->depth, 3);
	topology_fini(&t);
}

static void topology_balanced__refusals(void **state)
{
	struct topology t;

	(void)state;
	assert_int_equal(topology_balanced(&t, "8x", &defaults), -EINVAL);
	assert_string_equal(error_text(),
			    "racks, character 3: \"8x\" is not widths from 1 to 4096 with x "
			    "between them (8x16)");
	assert_int_equal(topology_balanced(&t, "8y16", &defaults), -EINVAL);
	assert_int_equal(topology_balanced(&t, "0x16", &defaults), -EINVAL);
	assert_int_equal(topology_balanced(&t, "", &defaults), -EINVAL);
	assert_int_equal(topology_balanced(&t, "64x65", &defaults), -EINVAL);
	assert_string_equal(error_text(),
			    "racks, character 4: \"64x65\" has more than 4096 ranks or 8 levels");
}

/* The way from one rank to another, as text: edges with ^ upwards and v downwards. */
static void assert_way(const struct topology *t, unsigned from, unsigned to, const char *expected)
{
	char way[128] = "";
	unsigned at = t->leaf[from], edge;
	bool up;

	while (at != t->leaf[to]) {
		at = topology_next(t, at, to, &edge, &up);
		snprintf(way + strlen(way), sizeof(way) - strlen(way), "%s%s ", t->node[edge].name,
			 up ? "^" : "v");
	}
	assert_string_equal(way, expected);
}

static void topology_next__ways(void **state)
{
	struct topology t = parsed("((0,1)a,((2,3)b,4)c)");

	(void)state;
	assert_way(&t, 0, 1, "leaf0^ leaf1v ");
	assert_way(&t, 0, 3, "leaf0^ a^ cv bv leaf3v ");
	assert_way(&t, 2, 4, "leaf2^ b^ leaf4v ");
	assert_way(&t, 4, 0, "leaf4^ c^ av leaf0v ");
	topology_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topology_parse__tree),
		cmocka_unit_test(topology_parse__edges),
		cmocka_unit_test(topology_parse__default_edges),
		cmocka_unit_test(topology_parse__range),
		cmocka_unit_test(topology_parse__order),
		cmocka_unit_test(topology_parse__refusals),
		cmocka_unit_test(topology_balanced__racks),
		cmocka_unit_test(topology_balanced__refusals),
		cmocka_unit_test(topology_next__ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
