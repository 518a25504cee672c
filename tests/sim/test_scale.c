/* SPDX-License-Identifier: MIT */
/*
 * bench/scale in small: how long a message and a read miss take is computed by hand; how many
 * messages each kernel makes, exactly; that the same seed gives the same results; and that what
 * must not be is noticed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "error.h"
#include "kernel_run.h"

/* Round numbers, to compute with: an edge is 300 ns and 10 bytes a ns; headers are nothing. */
static const struct cost simple = {
	.fault_ns = 1000,
	.agent_ns = 70,
	.map_new_ns = 500,
	.map_refill_ns = 50,
	.map_own_ns = 5,
	.protect_ns = 20,
	.zap_ns = 30,
	.handler_ns = 40,
	.call_ns = 0,
	.post_ns = 100,
	.nic_ns = 200,
	.nic_message_ns = 10,
	.nic_atomic_ns = 0,
	.header_bytes = 0,
	.leaf_ns = 300,
	.leaf_ns_per_byte = 0.1,
	.inner_ns = 700,
	.inner_ns_per_byte = 0.1,
};

static struct topology tree(const char *newick, const struct cost *c)
{
	struct topology_defaults d = cost_edges(c);
	struct topology t;

	if (topology_parse(&t, newick, &d) < 0)
		fail_msg("%s", error_text());
	return t;
}

/*
 * Time
 */

/* A program of a few steps for each rank. */
#define STEPS_MAX 4u

struct script {
	struct op op[3][STEPS_MAX];
};

static void play(void *ctx, unsigned rank, uint64_t step, struct op *op)
{
	const struct script *s = ctx;

	if (step < STEPS_MAX && s->op[rank][step].kind)
		*op = s->op[rank][step];
}

static struct machine *machine_of(const struct topology *t, const struct cost *c, struct script *s)
{
	struct machine *m;

	if (machine_create(
		    &m, t, c,
		    &(struct machine_layout){ .n = t->nranks, .nregions = 1, .npages = 16 }) < 0)
		fail_msg("%s", error_text());
	m->program = play;
	m->program_ctx = s;
	return m;
}

static void run_to_end(struct machine *m)
{
	if (machine_run(m) < 0)
		fail_msg("%s", error_text());
	assert_true(machine_ended(m));
}

static uint64_t mean_ns(const struct machine *m, enum op_kind kind)
{
	return m->counts.took[kind].sum_ns / m->counts.took[kind].count;
}

/*
 * Half a fault 500, the agent 70, post 100, adapter 200, two edges 600 and the 60 bytes' end 6,
 * adapter 200; adapter 200, two edges 600 and 4112 bytes 411.2, adapter 200; map 500, half a fault
 * 500.
 */
static void read_miss__time(void **state)
{
	struct topology t = tree("(0,1)", &simple);
	struct script s = { 0 };
	struct machine *m = machine_of(&t, &simple, &s);

	(void)state;
	s.op[1][0] = (struct op){ OP_LOAD, machine_page(m, 0, 0, 3) };
	s.op[1][1] = s.op[1][0];
	run_to_end(m);
	assert_int_equal(m->counts.took[OP_LOAD].count, 1);
	assert_int_equal(m->counts.hits, 1);
	assert_int_equal(mean_ns(m, OP_LOAD), 4087);
	assert_int_equal(m->counts.bytes, 60 + 4112);
	assert_int_equal(m->counts.messages_all, 0);
	machine_destroy(m);
	topology_fini(&t);
}

/* Between racks: an edge more on each side, up and down, there and back. */
static void read_miss__farther(void **state)
{
	struct topology t = tree("((0),(1))", &simple);
	struct script s = { 0 };
	struct machine *m = machine_of(&t, &simple, &s);

	(void)state;
	s.op[1][0] = (struct op){ OP_LOAD, machine_page(m, 0, 0, 3) };
	run_to_end(m);
	assert_int_equal(mean_ns(m, OP_LOAD), 4087 + 4 * 700);
	machine_destroy(m);
	topology_fini(&t);
}

/* Two readers at once: the second page leaves its home when the first has left, and the second
 * chain waits for the adapter as long as a message takes it. */
static void read_miss__contended(void **state)
{
	struct topology t = tree("(0,1,2)", &simple);
	struct script s = { 0 };
	struct machine *m = machine_of(&t, &simple, &s);
	const struct dsm_hist *took = &m->counts.took[OP_LOAD];

	(void)state;
	for (unsigned r = 1; r < 3; r++)
		s.op[r][0] = (struct op){ OP_LOAD, machine_page(m, 0, 0, r) };
	run_to_end(m);
	/* On the edge into rank 0 the second is behind the first, 6 ns; then 4 more at the
	 * adapter, which takes one in 10; its page then waits until 411.2 are over, not 10. */
	assert_int_equal(took->sum_ns - took->max_ns, 4087);
	assert_int_equal(took->max_ns, 4087 + 411);
	machine_destroy(m);
	topology_fini(&t);
}

/* One barrier of two: post 100, adapters and edges 400 + 600, 64 bytes 6.4, handler 40. */
static void barrier__time(void **state)
{
	struct topology t = tree("(0,1)", &simple);
	struct script s = { .op = { { { OP_BARRIER, 0 } }, { { OP_BARRIER, 0 } } } };
	struct machine *m = machine_of(&t, &simple, &s);

	(void)state;
	run_to_end(m);
	assert_int_equal(mean_ns(m, OP_BARRIER), 1146);
	assert_int_equal(m->counts.messages[MSG_BARRIER], 2);
	machine_destroy(m);
	topology_fini(&t);
}

/*
 * A page that rank 1 has, wanted by rank 2: GetM, FwdGetM, WriteBack with the page, GrantM with
 * the page.
 */
static void store__messages(void **state)
{
	struct topology t = tree("(0,1,2)", &simple);
	struct script s = { 0 };
	struct machine *m = machine_of(&t, &simple, &s);
	uint64_t page = machine_page(m, 0, 0, 0);

	(void)state;
	s.op[1][0] = (struct op){ OP_STORE, page };
	for (unsigned r = 0; r < 3; r++)
		s.op[r][1] = (struct op){ OP_PAUSE, 0 };
	s.op[0][0] = s.op[2][0] = (struct op){ OP_COMPUTE, 1 };
	s.op[2][2] = (struct op){ OP_STORE, page };
	assert_int_equal(machine_run(m), 0);
	assert_false(machine_ended(m));
	machine_count_anew(m);
	run_to_end(m);
	assert_int_equal(m->counts.messages_all, 4);
	assert_int_equal(m->counts.messages[MSG_GETM], 1);
	assert_int_equal(m->counts.messages[MSG_FWD_GETM], 1);
	assert_int_equal(m->counts.messages[MSG_WRITE_BACK], 1);
	assert_int_equal(m->counts.messages[MSG_GRANT_M], 1);
	assert_int_equal(m->counts.bytes, 4 * 64 + 2 * 4096);
	machine_destroy(m);
	topology_fini(&t);
}

/* Rank 1 never lets the lock go. */
static void machine_run__stuck(void **state)
{
	struct topology t = tree("(0,1)", &simple);
	struct script s = { .op = { { { OP_COMPUTE, 100000 }, { OP_LOCK, 7 } },
				    { { OP_LOCK, 7 } } } };
	struct machine *m = machine_of(&t, &simple, &s);

	(void)state;
	assert_int_equal(machine_run(m), -EDEADLK);
	assert_non_null(strstr(error_text(), "rank 0 waits in step 2"));
	machine_destroy(m);
	topology_fini(&t);
}

/*
 * Counts
 */

static struct run run_in_groups(const char *kernel, unsigned n, uint64_t seed, unsigned group)
{
	const struct kernel *k = kernel_find(kernel, strlen(kernel));
	struct topology_defaults d = cost_edges(&simple);
	struct topology t;
	struct run run;

	assert_non_null(k);
	assert_int_equal(topology_balanced(&t, "4x16", &d), 0);
	if (run_kernel(&run, k, n,
		       &(struct run_params){ .topology = &t,
					     .cost = &simple,
					     .npages = 16,
					     .iterations = 2,
					     .seed = seed,
					     .group = group }) < 0)
		fail_msg("%s on %u ranks: %s", kernel, n, error_text());
	for (unsigned i = 0; i < run.nlaws; i++)
		if (!run.law[i].held)
			fail_msg("%s on %u ranks: %s", kernel, n, run.law[i].text);
	run.busiest.name = NULL; /* of the topology that goes */
	topology_fini(&t);
	return run;
}

static struct run run_of(const char *kernel, unsigned n, uint64_t seed)
{
	return run_in_groups(kernel, n, seed, 0);
}

struct expected {
	const char *kernel;
	unsigned n;
	uint64_t loads, messages;
};

/* Two iterations of each. */
static const struct expected expected[] = {
	/* 16 pages each, and nobody is asked */
	{ "read", 2, 32, 0 },
	{ "read", 7, 112, 0 },
	{ "read", 64, 1024, 0 },
	/* a rank: 2 pages read, 2 Inv and 2 InvAck, log2(n) of the barrier */
	{ "stencil", 2, 8, 2 * 2 * (4 + 1) },
	{ "stencil", 3, 12, 2 * 3 * (4 + 2) },
	{ "stencil", 64, 256, 2 * 64 * (4 + 6) },
	/* 8 pages read, 8 Inv and 8 InvAck, two barriers */
	{ "gather", 2, 32, 2 * 2 * (16 + 2) },
	{ "gather", 5, 80, 2 * 5 * (16 + 6) },
	{ "gather", 64, 1024, 2 * 64 * (16 + 12) },
	/* a page of every other rank, as many Inv and InvAck, two barriers */
	{ "transpose", 2, 4, 2 * 2 * (2 + 2) },
	{ "transpose", 8, 112, 2 * 8 * (14 + 6) },
	{ "transpose", 64, 8064, 2 * 64 * (126 + 12) },
	/* 4 pages to n - 1 readers */
	{ "broadcast", 2, 8, 2 * (8 * 1 + 2 * 2 * 1) },
	{ "broadcast", 9, 64, 2 * (8 * 8 + 2 * 9 * 4) },
	{ "broadcast", 64, 504, 2 * (8 * 63 + 2 * 64 * 6) },
	{ "lock", 2, 0, 2 },
	{ "lock", 3, 0, 6 },
	{ "lock", 64, 0, 250 },
	{ "barrier", 2, 0, 2 * 2 },
	{ "barrier", 5, 0, 2 * 5 * 3 },
	{ "barrier", 64, 0, 2 * 64 * 6 },
};

static void run_kernel__counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		const struct expected *e = &expected[i];
		struct run run = run_of(e->kernel, e->n, 1);

		if (run.counts.took[OP_LOAD].count != e->loads || run.counts.chains != e->loads ||
		    run.counts.messages_all != e->messages)
			fail_msg("%s on %u ranks: %llu loads, %llu chains, %llu messages",
				 e->kernel, e->n,
				 (unsigned long long)run.counts.took[OP_LOAD].count,
				 (unsigned long long)run.counts.chains,
				 (unsigned long long)run.counts.messages_all);
	}
}

/* Every kernel is in the table above, or has no exact number: at most four messages a store. */
static void run_kernel__all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < nkernels; i++) {
		struct run run = run_of(kernels[i].name, 33, 4);

		assert_true(run.nlaws > 0);
		assert_true(run.operations > 0);
		assert_true(run.counts.messages_all <= 12 * run.operations);
	}
}

/*
 * Eight ranks to a counter. A group's only reader is known, so a ring's messages are as without
 * groups. In the transpose of 64 ranks with 16 pages each, four ranks of one group read each page,
 * and all eight are asked: all but the home, in the two pages whose readers are of its own group.
 */
static void run_kernel__groups(void **state)
{
	struct run run = run_in_groups("stencil", 64, 1, 8);
	uint64_t inv = 2 * 64 * (14 * 8 + 2 * 7);

	(void)state;
	assert_int_equal(run.counts.messages_all, 2 * 64 * (4 + 6));
	run = run_in_groups("transpose", 64, 1, 8);
	assert_int_equal(run.counts.messages[MSG_INV], inv);
	assert_int_equal(run.counts.messages_all, 2 * inv + 2 * 2 * 64 * 6);
	assert_int_equal(run.counts.chains, 8064);
	run = run_in_groups("read", 64, 1, 8);
	assert_int_equal(run.counts.messages_all, 0);
	run = run_in_groups("broadcast", 64, 1, 8);
	assert_int_equal(run.counts.messages_all, 2 * (8 * 63 + 2 * 64 * 6));
	for (unsigned i = 0; i < nkernels; i++)
		run_in_groups(kernels[i].name, 64, 1, 7);
}

/* A page's directory: a grant and a bit a rank up to 512 ranks, and from there on the same. */
static void space_set_ranks__constant(void **state)
{
	static const unsigned ranks[][3] = { { 2, 1, 0 },      { 64, 1, 0 },    { 65, 2, 0 },
					     { 512, 8, 0 },    { 513, 8, 33 },  { 1024, 8, 64 },
					     { 4095, 8, 256 }, { 4096, 8, 256 } };

	(void)state;
	for (size_t i = 0; i < sizeof(ranks) / sizeof(*ranks); i++) {
		struct space s = { 0 };

		space_set_ranks(&s, ranks[i][0]);
		assert_int_equal(s.rank_words, ranks[i][1]);
		assert_int_equal(s.readers_group, ranks[i][2]);
		assert_true(space_reader_word(&s, ranks[i][0] - 1) < s.rank_words);
		assert_true(s.readers_group <= READERS_GROUP_MAX);
	}
}

/* As many additions as there can be, of the highest places, leave the next counter as it is. */
static void space_reader_unit__carries(void **state)
{
	struct space s = { 0 };
	uint64_t word = 0;

	(void)state;
	space_set_ranks(&s, 4096);
	for (unsigned i = 0; i < READERS_COUNT_MAX; i++)
		word += space_reader_unit(&s, 255);
	assert_int_equal(space_reader_count(word), READERS_COUNT_MAX);
	assert_int_equal(space_reader_sum(word), READERS_COUNT_MAX * 255);
	assert_int_equal(word >> 32, 0);
	assert_int_equal(space_reader_word(&s, 256), 0);
	assert_int_equal(space_reader_word(&s, 512), 1);
	word = space_reader_unit(&s, 258) >> space_reader_shift(&s, 258);
	assert_int_equal(space_reader_count(word), 1);
	assert_int_equal(space_reader_sum(word), 2);
}

static void run_kernel__hot_home(void **state)
{
	struct run run = run_of("broadcast", 64, 1);

	(void)state;
	assert_true(run.has_hot);
	assert_int_equal(run.hot.rank, 0);
	assert_string_equal(run.hot.region, "state");
	assert_int_equal(run.hot.chains, 2 * 4 * 63);
	run = run_of("gather", 64, 1);
	assert_false(run.has_hot);
}

static char *csv_of(const char *kernel, uint64_t seed)
{
	struct run run = run_of(kernel, 24, seed);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	run_csv(&run, out);
	fclose(out);
	return text;
}

static void run_kernel__deterministic(void **state)
{
	(void)state;
	for (unsigned i = 0; i < nkernels; i++) {
		char *a = csv_of(kernels[i].name, 3), *b = csv_of(kernels[i].name, 3);

		assert_string_equal(a, b);
		free(a);
		free(b);
	}
}

/* Another seed: another table is updated. The seed itself is a column, so other columns count. */
static void run_kernel__seed(void **state)
{
	struct run a = run_of("updates", 24, 3), b = run_of("updates", 24, 4);

	(void)state;
	assert_int_not_equal(a.time_ps, b.time_ps);
}

static void run_kernel__refusals(void **state)
{
	struct topology t = tree("(0,1)", &simple);
	struct run_params params = { .topology = &t, .cost = &simple, .npages = 16 };
	struct run run;

	(void)state;
	assert_int_equal(run_kernel(&run, &kernels[0], 1, &params), -EINVAL);
	assert_int_equal(run_kernel(&run, &kernels[0], 3, &params), -EINVAL);
	assert_string_equal(error_text(), "3 ranks: the topology has 2, and a kernel takes 2");
	params.npages = 2;
	assert_int_equal(run_kernel(&run, &kernels[0], 2, &params), -EINVAL);
	topology_fini(&t);
}

/*
 * Parameters
 */

static int read_text(struct cost *c, const char *text, char *path)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	cost_defaults(c);
	return cost_read(c, path);
}

static void cost_read__overrides(void **state)
{
	char path[] = "/tmp/scale.XXXXXX";
	struct cost c, before;

	(void)state;
	cost_defaults(&before);
	assert_int_equal(read_text(&c, "# measured\n\nfault_ns 1234.5 # here\n nic_ns 7\n", path),
			 0);
	unlink(path);
	assert_true(c.fault_ns == 1234.5 && c.nic_ns == 7);
	assert_true(c.map_new_ns == before.map_new_ns);
}

static void cost_read__refusals(void **state)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{ "fault_ns 1\nfalt_ns 2\n", "line 2: there is no parameter falt_ns" },
		{ "fault_ns\n", "line 1: \"fault_ns\" is not a name and a number" },
		{ "fault_ns -3\n", "line 1: \"fault_ns -3\" is not a name and a number" },
		{ "fault_ns 3 us\n", "line 1: \"fault_ns 3 us\" is not a name and a number" },
	};
	struct cost c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char path[] = "/tmp/scale.XXXXXX";

		assert_int_equal(read_text(&c, cases[i].text, path), -EINVAL);
		unlink(path);
		if (!strstr(error_text(), cases[i].sentence))
			fail_msg("%s", error_text());
	}
	assert_int_equal(cost_read(&c, "/nowhere/at/all"), -ENOENT);
}

/* What is printed can be read, and says the same. */
static void cost_print__round_trip(void **state)
{
	char path[] = "/tmp/scale.XXXXXX";
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct cost c;

	(void)state;
	assert_non_null(out);
	cost_print(&simple, out);
	fclose(out);
	assert_int_equal(read_text(&c, text, path), 0);
	unlink(path);
	free(text);
	assert_memory_equal(&c, &simple, sizeof(c));
}

/*
 * Events
 */

static void events_take__order(void **state)
{
	struct events e = { 0 };
	uint64_t random = 5, before = 0, order = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++)
		events_add(&e, random_next(&random) % 1000, EVENT_HOP, NULL);
	for (unsigned i = 0; i < 20000; i++) {
		struct event next = events_take(&e);

		assert_true(next.ps > before || (next.ps == before && (!i || next.order > order)));
		before = next.ps;
		order = next.order;
	}
	assert_int_equal(e.n, 0);
	events_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_take__order),
		cmocka_unit_test(cost_read__overrides),
		cmocka_unit_test(cost_read__refusals),
		cmocka_unit_test(cost_print__round_trip),
		cmocka_unit_test(read_miss__time),
		cmocka_unit_test(read_miss__farther),
		cmocka_unit_test(read_miss__contended),
		cmocka_unit_test(barrier__time),
		cmocka_unit_test(store__messages),
		cmocka_unit_test(machine_run__stuck),
		cmocka_unit_test(run_kernel__counts),
		cmocka_unit_test(run_kernel__all),
		cmocka_unit_test(run_kernel__hot_home),
		cmocka_unit_test(run_kernel__deterministic),
		cmocka_unit_test(run_kernel__groups),
		cmocka_unit_test(space_set_ranks__constant),
		cmocka_unit_test(space_reader_unit__carries),
		cmocka_unit_test(run_kernel__seed),
		cmocka_unit_test(run_kernel__refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
