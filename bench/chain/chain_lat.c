/* SPDX-License-Identifier: MIT */
/*
 * chain_lat: the requests of libdsm's read miss by themselves, as perftest has single ones.
 *
 *	chain_lat [-p PORT]                                   exposes memory to one client
 *	chain_lat [-p PORT] [-n TIMES] [-c PAGES] [-e] HOST   reads it
 *
 * Reads PAGES (1) pages by the work requests that the library posts (lib/verbs_chain.c): up to 64
 * pages a chain, a write of readers words, a read of grants words, a read of pages; up to three
 * chains under way. No directory, cache or fault: what it takes is what the adapter takes. With -e
 * it sleeps between completions, else it polls, and yields where polls find nothing. Prints
 * perftest's first columns: bytes, iterations, shortest, longest and median time in microseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <rdma/rdma_cma.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../samples.h"
#include "verbs_chain.h"

#define PAGE_BYTES 4096u
#define PAGES_MAX  512u
#define CHAIN      64u /* pages of one */
#define DEPTH      3u /* chains under way */
/* Of what is exposed: readers words, grants words, pages. */
#define GRANTS       (CHAIN * sizeof(uint64_t))
#define PAGES        ((size_t)PAGE_BYTES * 2)
#define MEMORY_BYTES (PAGES + (size_t)PAGES_MAX * PAGE_BYTES)

struct options {
	const char *host;
	const char *port;
	unsigned iterations;
	unsigned pages;
	bool sleeps;
};

/* Where the server's memory is: the private data of its answer. */
struct place {
	uint64_t addr;
	uint32_t rkey;
	uint32_t pad;
};

/* What failed, and why if the system has said. */
static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("chain_lat: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (errno)
		fprintf(stderr, ": %s", strerror(errno));
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static unsigned number(const char *text, unsigned most, const char *what)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || !n || n > most)
		die("%s: give a number from 1 to %u, not %s", what, most, text);
	return (unsigned)n;
}

static struct options parse(int argc, char **argv)
{
	struct options o = { .port = "18600", .iterations = 1000, .pages = 1 };
	int c;

	while ((c = getopt(argc, argv, "p:n:c:e")) != -1) {
		switch (c) {
		case 'p':
			o.port = optarg;
			break;
		case 'n':
			o.iterations = number(optarg, 10000000, "-n TIMES");
			break;
		case 'c':
			o.pages = number(optarg, PAGES_MAX, "-c PAGES");
			break;
		case 'e':
			o.sleeps = true;
			break;
		default:
			die("usage: chain_lat [-p PORT] [-n TIMES] [-c PAGES] [-e] [HOST]");
		}
	}
	o.host = argv[optind];
	return o;
}

static void *memory(void)
{
	void *p = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("no memory");
	return p;
}

static struct ibv_mr *expose(struct rdma_cm_id *id, void *at, int access)
{
	struct ibv_mr *mr = ibv_reg_mr(id->pd, at, MEMORY_BYTES, access | IBV_ACCESS_LOCAL_WRITE);

	if (!mr)
		die("cannot register %zu bytes; see ulimit -l", MEMORY_BYTES);
	return mr;
}

/* An endpoint towards a host, or one that listens. */
static struct rdma_cm_id *endpoint(const struct options *o)
{
	struct rdma_addrinfo hints = { .ai_port_space = RDMA_PS_TCP }, *info;
	struct ibv_qp_init_attr attr = { .cap = { .max_send_wr = DEPTH * VERBS_CHAIN_MAX,
						  .max_recv_wr = 1,
						  .max_send_sge = 1,
						  .max_recv_sge = 1,
						  .max_inline_data = 2 * sizeof(uint64_t) } };
	struct rdma_cm_id *id;

	if (!o->host)
		hints.ai_flags = RAI_PASSIVE;
	if (rdma_getaddrinfo(o->host, o->port, &hints, &info))
		die("no address of %s, port %s", o->host ? o->host : "this host", o->port);
	if (rdma_create_ep(&id, info, NULL, &attr))
		die("no RDMA endpoint for %s, port %s", o->host ? o->host : "this host", o->port);
	rdma_freeaddrinfo(info);
	return id;
}

/* Every page begins with its number, and every grants word is its page's. */
static void fill(uint8_t *at)
{
	for (uint64_t i = 0; i < PAGES_MAX; i++)
		memcpy(at + PAGES + i * PAGE_BYTES, &i, sizeof(i));
	for (uint64_t i = 0; i < CHAIN; i++)
		memcpy(at + GRANTS + i * sizeof(i), &i, sizeof(i));
}

static void serve(const struct options *o)
{
	struct rdma_cm_id *listener = endpoint(o), *id = NULL;
	uint8_t *at = memory();
	struct rdma_cm_event *event;
	struct ibv_mr *mr;
	bool on = true;

	fill(at);
	if (rdma_listen(listener, 1) || rdma_get_request(listener, &id))
		die("nobody connects");
	mr = expose(id, at, IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);

	struct place place = { .addr = (uintptr_t)at, .rkey = mr->rkey };
	struct rdma_conn_param param = { .private_data = &place,
					 .private_data_len = sizeof(place),
					 .responder_resources = 16,
					 .initiator_depth = 16 };

	if (rdma_accept(id, &param))
		die("the connection failed");
	while (on) {
		if (rdma_get_cm_event(id->channel, &event))
			die("the connection is lost");
		on = event->event != RDMA_CM_EVENT_DISCONNECTED;
		rdma_ack_cm_event(event);
	}
	rdma_destroy_ep(id);
	rdma_destroy_ep(listener);
}

struct client {
	struct rdma_cm_id *id;
	struct ibv_mr *mr;
	struct place home;
	uint8_t *landing;
	bool sleeps;
	uint64_t word; /* of readers */
};

static void post(struct client *c, unsigned page, unsigned n)
{
	struct verbs_chain chain = {
		.readers = c->home.addr,
		.grants = c->home.addr + GRANTS,
		.pages = c->home.addr + PAGES + (uint64_t)page * PAGE_BYTES,
		.rkey = c->home.rkey,
		.n = n,
		.words = &c->word,
		.nwords = 1,
		.landing = c->landing + page / CHAIN * verbs_chain_bytes(CHAIN, 0),
		.lkey = c->mr->lkey,
		.last_id = page,
		.other_id = page,
	};
	struct ibv_send_wr wr[VERBS_CHAIN_MAX], *bad;
	struct ibv_sge sge[VERBS_CHAIN_MAX];

	c->word = ~c->word;
	(void)verbs_chain_build(&chain, wr, sge);
	if (ibv_post_send(c->id->qp, wr, &bad))
		die("the adapter refused a request");
}

static void sleep_on(struct client *c)
{
	struct ibv_cq *cq;
	void *context;

	if (ibv_get_cq_event(c->id->send_cq_channel, &cq, &context))
		die("no events");
	ibv_ack_cq_events(cq, 1);
}

/* Wait for one chain; returns its first page. */
static unsigned await(struct client *c)
{
	struct ibv_wc wc;
	int n;

	while ((n = ibv_poll_cq(c->id->send_cq, 1, &wc)) == 0) {
		if (!c->sleeps) {
			sched_yield();
			continue;
		}
		if (ibv_req_notify_cq(c->id->send_cq, 0))
			die("no events");
		/* What came before this is not told of. */
		n = ibv_poll_cq(c->id->send_cq, 1, &wc);
		if (n)
			break;
		sleep_on(c);
	}
	if (n < 0 || wc.status != IBV_WC_SUCCESS)
		die("a request failed: %s", n < 0 ? "no completion" : ibv_wc_status_str(wc.status));
	return (unsigned)wc.wr_id;
}

static void check(const struct client *c, unsigned page, unsigned n)
{
	const uint8_t *landing = c->landing + page / CHAIN * verbs_chain_bytes(CHAIN, 0);
	uint64_t number;

	for (unsigned i = 0; i < n; i++) {
		memcpy(&number, landing + (size_t)i * PAGE_BYTES, sizeof(number));
		if (number != page + i || verbs_chain_grant(landing, n, 0, i) != i)
			die("page %u came as %llu", page + i, (unsigned long long)number);
	}
}

static unsigned chain_pages(unsigned pages, unsigned page)
{
	return pages - page < CHAIN ? pages - page : CHAIN;
}

static double read_pages(struct client *c, unsigned pages)
{
	double start = now_us(), end;
	unsigned next = 0, done = 0;

	while (done < pages) {
		while (next < pages && next < done + DEPTH * CHAIN) {
			post(c, next, chain_pages(pages, next));
			next += chain_pages(pages, next);
		}
		done += chain_pages(pages, await(c));
	}
	end = now_us();
	for (unsigned page = 0; page < pages; page += CHAIN)
		check(c, page, chain_pages(pages, page));
	memset(c->landing, 0xff, MEMORY_BYTES);
	return end - start;
}

static void connect_to(struct client *c, const struct options *o)
{
	struct rdma_conn_param param = { .responder_resources = 16,
					 .initiator_depth = 16,
					 .retry_count = 7 };

	*c = (struct client){ .id = endpoint(o), .landing = memory(), .sleeps = o->sleeps };
	c->mr = expose(c->id, c->landing, 0);
	if (rdma_connect(c->id, &param))
		die("nobody listens at %s, port %s", o->host, o->port);
	memcpy(&c->home, c->id->event->param.conn.private_data, sizeof(c->home));
}

static void measure(const struct options *o)
{
	struct samples samples = SAMPLES_INIT;
	struct summary s;
	struct client c;

	connect_to(&c, o);
	for (unsigned i = 0; i < o->iterations / 10 + 1; i++)
		(void)read_pages(&c, o->pages); /* to warm up */
	for (unsigned i = 0; i < o->iterations; i++)
		samples_add(&samples, read_pages(&c, o->pages));
	samples_summarize(&samples, &s);
	printf("%7s %12s %12s %12s %14s\n", "#bytes", "#iterations", "t_min[usec]", "t_max[usec]",
	       "t_typical[usec]");
	printf("%7u %12zu %12.2f %12.2f %14.2f\n", o->pages * PAGE_BYTES, s.n, s.min_us, s.max_us,
	       s.median_us);
	samples_free(&samples);
	rdma_disconnect(c.id);
	rdma_destroy_ep(c.id);
}

int main(int argc, char **argv)
{
	struct options o;

	errno = 0;
	o = parse(argc, argv);
	if (o.host)
		measure(&o);
	else
		serve(&o);
	return EXIT_SUCCESS;
}
