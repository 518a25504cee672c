/* SPDX-License-Identifier: MIT */
/*
 * Launch by TCP: ranks are threads of this process; strangers are bare sockets.
 *
 * Each test looks that no descriptor is left open.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "error.h"
#include "launch_tcp.h"
#include "log.h"
#include "stats.h"
#include "wire.h"

#define SIZE_MAX_HERE 8
#define LONG_MS       20000
#define SHORT_MS      400

/* One rank of a job, run by a thread. */
struct rank {
	pthread_t thread;
	struct settings settings;
	uint64_t timeout_ms;
	uint8_t card[LAUNCH_CARD_MAX];
	size_t len;
	uint8_t cards[SIZE_MAX_HERE * LAUNCH_CARD_MAX];
	char token[CONFIG_TOKEN_MAX];
	char text[ERROR_TEXT_MAX];
	int err;
};

static struct rank ranks[SIZE_MAX_HERE];
static char root[64];
static uint16_t port;
static int fds_before;

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int listen_here(uint16_t at)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(at),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/*
 * A port that was free a moment ago, and is given to nobody who asks for any: it lies below those
 * (ip_local_port_range). Else whoever connects to it before rank 0 listens may be given it as its
 * own, and then rank 0 finds it in use.
 */
static uint16_t free_port(void)
{
	static unsigned n;

	for (;;) {
		struct sockaddr_in sa = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		uint16_t at = (uint16_t)(20000 + ((unsigned)getpid() * 61 + n++) % 12000);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

		assert_true(fd >= 0);
		sa.sin_port = htons(at);
		err = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
		close(fd);
		if (!err)
			return at;
	}
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	memset(ranks, 0, sizeof(ranks));
	port = free_port();
	snprintf(root, sizeof(root), "127.0.0.1:%u", port);
	fds_before = count_fds();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return count_fds() == fds_before ? 0 : -1;
}

static void prepare(struct rank *r, int64_t rank, int64_t size, uint64_t timeout_ms)
{
	r->settings.rank = rank;
	r->settings.size = size;
	snprintf(r->settings.root, sizeof(r->settings.root), "%s", root);
	r->timeout_ms = timeout_ms;
	r->len = 1 + 100 * (size_t)rank;
	memset(r->card, 'a' + (int)rank, r->len);
}

static void *run(void *arg)
{
	struct rank *r = arg;
	struct launch *l;

	r->err = launch_tcp_create(&l, &r->settings);
	if (!r->err) {
		r->err = l->ops->exchange(l, r->card, r->len, r->cards,
					  clock_ns() + r->timeout_ms * 1000000);
		memcpy(r->token, l->token, sizeof(r->token));
		l->ops->destroy(l);
	}
	snprintf(r->text, sizeof(r->text), "%s", error_text());
	return NULL;
}

static void start(struct rank *r)
{
	assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
}

static void finish(struct rank *r)
{
	assert_int_equal(pthread_join(r->thread, NULL), 0);
}

static void start_range(unsigned first, unsigned end, int64_t size, uint64_t timeout_ms)
{
	for (unsigned i = first; i < end; i++) {
		prepare(&ranks[i], i, size, timeout_ms);
		start(&ranks[i]);
	}
}

static void finish_range(unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		finish(&ranks[i]);
}

static void assert_text(const struct rank *r, const char *part)
{
	if (!strstr(r->text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, r->text);
}

/* Every one of the ranks has every card, zero-padded, and the same token. */
static void assert_all_right(unsigned size)
{
	static const uint8_t zero[LAUNCH_CARD_MAX];

	for (unsigned i = 0; i < size; i++) {
		if (ranks[i].err)
			fail_msg("rank %u: %s", i, ranks[i].text);
		assert_string_equal(ranks[i].token, ranks[0].token);
		assert_true(strlen(ranks[i].token) >= 8);
		for (unsigned r = 0; r < size; r++) {
			const uint8_t *card = ranks[i].cards + r * LAUNCH_CARD_MAX;

			assert_memory_equal(card, ranks[r].card, ranks[r].len);
			assert_memory_equal(card + ranks[r].len, zero,
					    LAUNCH_CARD_MAX - ranks[r].len);
		}
	}
}

/* Connect to rank 0, which may not listen yet. */
static int stranger(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = LONG_MS / 1000 };
	uint64_t end_ns = clock_ns() + LONG_MS * 1000000ull;

	while (clock_ns() < end_ns) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
			return fd;
		}
		close(fd);
		poll(NULL, 0, 1);
	}
	fail_msg("nobody listens at %s", root);
	return -1;
}

static struct tcp_hello hello(uint32_t rank, uint32_t size)
{
	return (struct tcp_hello){
		.magic = TCP_HELLO_MAGIC, .version = WIRE_VERSION, .rank = rank, .size = size
	};
}

static void send_bytes(int fd, const void *buf, size_t len)
{
	assert_int_equal(send(fd, buf, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void recv_bytes(int fd, void *buf, size_t len)
{
	/* recv() of nothing waits for something. */
	if (len)
		assert_int_equal(recv(fd, buf, len, MSG_WAITALL), (ssize_t)len);
}

/* What rank 0 answers, its sentence in text. */
static struct tcp_answer hear(int fd, char *text)
{
	struct tcp_answer answer;

	recv_bytes(fd, &answer, sizeof(answer));
	assert_int_equal(answer.magic, TCP_ANSWER_MAGIC);
	assert_int_equal(answer.version, WIRE_VERSION);
	assert_true(answer.len_bytes <= TCP_REASON_MAX);
	recv_bytes(fd, text, answer.len_bytes);
	text[answer.len_bytes] = '\0';
	return answer;
}

/* A stranger says hello. */
static struct tcp_answer ask(int fd, const struct tcp_hello *h, char *text)
{
	send_bytes(fd, h, sizeof(*h));
	return hear(fd, text);
}

/* Rank 0 has hung up on this stranger, without a word. */
static void assert_dropped(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static void create__settings(void **state)
{
	static const struct {
		int64_t rank, size;
		const char *root, *text;
	} bad[] = {
		{ 0, -1, "h:1", "DSM_SIZE is not set" }, { -1, 2, "h:1", "DSM_RANK is not set" },
		{ 2, 2, "h:1", "must be 0 to 1" },       { 0, 0, "h:1", "must be 1 to 512" },
		{ 0, 513, "h:1", "must be 1 to 512" },   { 0, 2, "", "DSM_ROOT is not set" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct settings s = { .rank = bad[i].rank, .size = bad[i].size };
		struct launch *l = NULL;

		snprintf(s.root, sizeof(s.root), "%s", bad[i].root);
		assert_int_equal(launch_tcp_create(&l, &s), -EINVAL);
		assert_non_null(strstr(error_text(), bad[i].text));
		assert_null(l);
	}
}

static void create__root(void **state)
{
	static const char *const bad[] = { "host",       "host:",   ":7000",    "host:0",
					   "host:65536", "host:7x", "host:-1",  "[::1]",
					   "[::1:7000",  "[]:7000", "::1:7000", "host:000070000" };
	static const char *const good[] = { "host:1", "127.0.0.1:65535", "[::1]:7000", "a.b-c:80" };
	struct settings s = { .rank = 0, .size = 2 };
	struct launch *l = NULL;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(s.root, sizeof(s.root), "%s", bad[i]);
		assert_int_equal(launch_tcp_create(&l, &s), -EINVAL);
		assert_non_null(strstr(error_text(), bad[i]));
		assert_null(l);
	}
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		snprintf(s.root, sizeof(s.root), "%s", good[i]);
		assert_int_equal(launch_tcp_create(&l, &s), 0);
		l->ops->destroy(l);
	}
}

static void exchange__one_rank_needs_no_root(void **state)
{
	(void)state;
	prepare(&ranks[0], 0, 1, LONG_MS);
	ranks[0].settings.root[0] = '\0';
	run(&ranks[0]);
	assert_all_right(1);
}

static void exchange__cards_reach_all(void **state)
{
	(void)state;
	start_range(0, SIZE_MAX_HERE, SIZE_MAX_HERE, LONG_MS);
	finish_range(0, SIZE_MAX_HERE);
	assert_all_right(SIZE_MAX_HERE);
	assert_int_equal(strlen(ranks[0].token), 32);
}

static void exchange__empty_and_longest_card(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		prepare(&ranks[i], i, 3, LONG_MS);
	ranks[0].len = 0;
	ranks[1].len = LAUNCH_CARD_MAX;
	memset(ranks[1].card, 0xff, LAUNCH_CARD_MAX);
	ranks[2].len = 0;
	for (unsigned i = 0; i < 3; i++)
		start(&ranks[i]);
	finish_range(0, 3);
	assert_all_right(3);
}

static void exchange__rank_0_comes_last(void **state)
{
	(void)state;
	start_range(1, 3, 3, LONG_MS);
	/* Time for some attempts that fail. */
	poll(NULL, 0, 60);
	start_range(0, 1, 3, LONG_MS);
	finish_range(0, 3);
	assert_all_right(3);
}

/* A machine without /etc/hosts and without a name server has no localhost. */
static bool has_localhost(void)
{
	struct addrinfo *list;

	if (getaddrinfo("localhost", NULL, NULL, &list))
		return false;
	freeaddrinfo(list);
	return true;
}

static void exchange__by_name(void **state)
{
	(void)state;
	if (!has_localhost()) {
		print_message("skipped: the name \"localhost\" has no address here\n");
		skip();
	}
	snprintf(root, sizeof(root), "localhost:%u", port);
	start_range(0, 3, 3, LONG_MS);
	finish_range(0, 3);
	assert_all_right(3);
}

static void exchange__by_ipv6(void **state)
{
	const struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool usable = fd >= 0 && !bind(fd, (const struct sockaddr *)&sa, sizeof(sa));

	(void)state;
	if (fd >= 0)
		close(fd);
	if (!usable) {
		print_message("no IPv6 loopback here\n");
		skip();
	}
	snprintf(root, sizeof(root), "[::1]:%u", port);
	start_range(0, 3, 3, LONG_MS);
	finish_range(0, 3);
	assert_all_right(3);
}

/* Rank 0 behind an address that is not this host's own: it listens on all. */
static void exchange__root_is_not_local(void **state)
{
	(void)state;
	start_range(1, 3, 3, LONG_MS);
	snprintf(root, sizeof(root), "192.0.2.1:%u", port);
	start_range(0, 1, 3, LONG_MS);
	finish_range(0, 3);
	assert_all_right(3);
}

static void exchange__given_token(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		prepare(&ranks[i], i, 3, LONG_MS);
		strcpy(ranks[i].settings.token, "a secret of ours");
		start(&ranks[i]);
	}
	finish_range(0, 3);
	assert_all_right(3);
	assert_string_equal(ranks[2].token, "a secret of ours");
}

static void exchange__missing_ranks(void **state)
{
	(void)state;
	start_range(0, 2, 5, SHORT_MS);
	finish_range(0, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ranks[i].err, -ETIMEDOUT);
		assert_text(&ranks[i], "3 of 5 ranks");
		assert_text(&ranks[i], "ranks 2-4");
	}
}

static void exchange__missing_rank_0(void **state)
{
	uint64_t begin_ns = clock_ns();

	(void)state;
	start_range(1, 2, 2, SHORT_MS);
	finish_range(1, 2);
	assert_int_equal(ranks[1].err, -ETIMEDOUT);
	assert_text(&ranks[1], "Rank 0 is missing");
	assert_text(&ranks[1], root);
	assert_text(&ranks[1], strerror(ECONNREFUSED));
	assert_true(clock_ns() - begin_ns >= SHORT_MS * 1000000ull);
}

static void exchange__deadline_is_past(void **state)
{
	(void)state;
	start_range(0, 2, 3, 0);
	finish_range(0, 2);
	assert_int_equal(ranks[0].err, -ETIMEDOUT);
	assert_int_equal(ranks[1].err, -ETIMEDOUT);
}

static void exchange__port_in_use(void **state)
{
	int fd = listen_here(port);

	(void)state;
	start_range(0, 1, 2, LONG_MS);
	finish_range(0, 1);
	assert_int_equal(ranks[0].err, -EADDRINUSE);
	assert_text(&ranks[0], root);
	close(fd);
}

static void exchange__strangers(void **state)
{
	struct tcp_hello h = hello(1, 3);
	int silent[100], junk, half, malformed;

	(void)state;
	start_range(0, 1, 3, LONG_MS);
	junk = stranger();
	send_bytes(junk, "GET / HTTP/1.1\r\n", 16);
	assert_dropped(junk);
	malformed = stranger();
	h.card_bytes = LAUNCH_CARD_MAX + 1;
	send_bytes(malformed, &h, sizeof(h));
	assert_dropped(malformed);
	half = stranger();
	send_bytes(half, &h, sizeof(h) / 2);
	for (unsigned i = 0; i < 100; i++)
		silent[i] = stranger();
	start_range(1, 3, 3, LONG_MS);
	finish_range(0, 3);
	assert_all_right(3);
	for (unsigned i = 0; i < 100; i++)
		close(silent[i]);
	close(half);
	close(malformed);
	close(junk);
}

static void exchange__other_version(void **state)
{
	struct tcp_hello h = hello(1, 2);
	char text[TCP_REASON_MAX + 1];
	struct tcp_answer answer;
	int fd;

	(void)state;
	start_range(0, 1, 2, LONG_MS);
	fd = stranger();
	h.version++;
	answer = ask(fd, &h, text);
	assert_int_equal(answer.kind, TCP_REFUSED);
	assert_int_equal(answer.status, -EPROTO);
	assert_non_null(strstr(text, "version"));
	start_range(1, 2, 2, LONG_MS);
	finish_range(0, 2);
	assert_all_right(2);
	close(fd);
}

/* Rank 0 does not wait for a rank that has ended, and tells the others, too. */
static void exchange__other_size(void **state)
{
	struct tcp_hello h = hello(1, 4);
	char text[TCP_REASON_MAX + 1];
	int fd;

	(void)state;
	start_range(0, 1, 4, LONG_MS);
	fd = stranger();
	assert_int_equal(ask(fd, &h, text).kind, TCP_JOINED);
	prepare(&ranks[2], 2, 3, LONG_MS);
	start(&ranks[2]);
	finish(&ranks[2]);
	assert_int_equal(ranks[2].err, -EPROTO);
	assert_text(&ranks[2], "DSM_SIZE=3");
	assert_text(&ranks[2], "DSM_SIZE=4");
	finish(&ranks[0]);
	assert_int_equal(ranks[0].err, -EPROTO);
	assert_text(&ranks[0], "Rank 2 at 127.0.0.1:");
	assert_text(&ranks[0], "has ended");
	assert_text(&ranks[0], "DSM_SIZE=3");
	assert_int_equal(hear(fd, text).kind, TCP_REFUSED);
	assert_string_equal(text, ranks[0].text);
	close(fd);
}

/* The same where the job has a token, and the rank too. */
static void exchange__other_size_with_token(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		prepare(&ranks[i], i, 2 + i, LONG_MS);
		strcpy(ranks[i].settings.token, "a secret of ours");
		start(&ranks[i]);
	}
	finish_range(0, 2);
	assert_int_equal(ranks[0].err, -EPROTO);
	assert_text(&ranks[0], "DSM_SIZE=3");
}

/* Nobody ends a job whose token he has not. */
static void exchange__strangers_end_nothing(void **state)
{
	char text[TCP_REASON_MAX + 1];
	struct tcp_hello bad[3] = { hello(1, 3), hello(1, 2), hello(1, 2) };

	(void)state;
	strcpy(bad[1].token, "another secret");
	bad[2].version++;
	prepare(&ranks[0], 0, 2, LONG_MS);
	strcpy(ranks[0].settings.token, "a secret of ours");
	start(&ranks[0]);
	for (unsigned i = 0; i < 3; i++) {
		int fd = stranger();

		assert_int_equal(ask(fd, &bad[i], text).kind, TCP_REFUSED);
		close(fd);
	}
	prepare(&ranks[1], 1, 2, LONG_MS);
	strcpy(ranks[1].settings.token, "a secret of ours");
	start(&ranks[1]);
	finish_range(0, 2);
	assert_all_right(2);
}

/* A rank of another version, in a job that has no token, ends it when it has hung up. */
static void exchange__other_version_ends(void **state)
{
	struct tcp_hello h = hello(1, 2);
	char text[TCP_REASON_MAX + 1];
	int fd;

	(void)state;
	start_range(0, 1, 2, LONG_MS);
	fd = stranger();
	h.version++;
	assert_int_equal(ask(fd, &h, text).kind, TCP_REFUSED);
	close(fd);
	finish_range(0, 1);
	assert_int_equal(ranks[0].err, -EPROTO);
	assert_text(&ranks[0], "A rank at 127.0.0.1:");
	assert_text(&ranks[0], "version");
}

static void exchange__duplicate_rank(void **state)
{
	struct tcp_hello h = hello(1, 3);
	char text[TCP_REASON_MAX + 1];
	int fd;

	(void)state;
	start_range(0, 1, 3, LONG_MS);
	fd = stranger();
	assert_int_equal(ask(fd, &h, text).kind, TCP_JOINED);
	start_range(1, 2, 3, LONG_MS);
	finish_range(1, 2);
	assert_int_equal(ranks[1].err, -EPROTO);
	assert_text(&ranks[1], "Rank 1 is here already");
	/* The first one dies: there is room for another. */
	close(fd);
	start_range(1, 3, 3, LONG_MS);
	finish_range(0, 3);
	assert_all_right(3);
}

static void exchange__rank_out_of_range(void **state)
{
	const struct tcp_hello bad[] = { hello(0, 2), hello(2, 2), hello(UINT32_MAX, 2) };
	char text[TCP_REASON_MAX + 1];

	(void)state;
	start_range(0, 1, 2, LONG_MS);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fd = stranger();

		assert_int_equal(ask(fd, &bad[i], text).kind, TCP_REFUSED);
		close(fd);
	}
	start_range(1, 2, 2, LONG_MS);
	finish_range(0, 2);
	assert_all_right(2);
}

/* Of a job with a token, each kind of rank without it. */
static void exchange__token_mismatch(void **state)
{
	static const char *const tokens[] = { "the right one", "the wrong one", "",
					      "the right one" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		prepare(&ranks[i], i, 4, SHORT_MS);
		strcpy(ranks[i].settings.token, tokens[i]);
		start(&ranks[i]);
	}
	finish_range(0, 4);
	assert_int_equal(ranks[0].err, -ETIMEDOUT);
	assert_text(&ranks[0], "ranks 1, 2");
	assert_text(&ranks[0], "DSM_TOKEN");
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(ranks[i].err, -EPROTO);
		assert_text(&ranks[i], "DSM_TOKEN");
	}
	assert_int_equal(ranks[3].err, -ETIMEDOUT);
	for (unsigned i = 0; i < 4; i++)
		assert_null(strstr(ranks[i].text, "the right one"));
}

static void exchange__token_unknown_to_rank_0(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		prepare(&ranks[i], i, 2, LONG_MS);
	strcpy(ranks[1].settings.token, "only rank 1's");
	start(&ranks[0]);
	start(&ranks[1]);
	finish_range(0, 2);
	assert_int_equal(ranks[1].err, -EPROTO);
	assert_text(&ranks[1], "rank 0 has none");
	assert_int_equal(ranks[0].err, -EPROTO);
	assert_text(&ranks[0], "Rank 1 at 127.0.0.1:");
	assert_text(&ranks[0], "DSM_TOKEN");
}

/* A rank dies between its hello and the cards; nobody takes its place. */
static void exchange__rank_comes_and_goes(void **state)
{
	struct tcp_hello h = hello(1, 3);
	char text[TCP_REASON_MAX + 1];
	int fd;

	(void)state;
	start_range(0, 1, 3, SHORT_MS);
	fd = stranger();
	assert_int_equal(ask(fd, &h, text).kind, TCP_JOINED);
	close(fd);
	finish_range(0, 1);
	assert_int_equal(ranks[0].err, -ETIMEDOUT);
	assert_text(&ranks[0], "missing ranks 1, 2");
	assert_text(&ranks[0], "Rank 1 at 127.0.0.1:");
}

/* Stand in for rank 0: take rank 1's hello and answer with these bytes, then hang up. */
static void answer_as_rank_0(const void *bytes, size_t len)
{
	struct tcp_hello h;
	int listener = listen_here(port);
	int fd;

	start_range(1, 2, 2, LONG_MS);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	recv_bytes(fd, &h, sizeof(h));
	assert_int_equal(h.magic, TCP_HELLO_MAGIC);
	assert_int_equal(h.rank, 1);
	send_bytes(fd, bytes, len);
	shutdown(fd, SHUT_WR);
	finish_range(1, 2);
	close(fd);
	close(listener);
}

static void exchange__rank_0_dies(void **state)
{
	const struct tcp_answer joined = { .magic = TCP_ANSWER_MAGIC,
					   .version = WIRE_VERSION,
					   .kind = TCP_JOINED };

	(void)state;
	answer_as_rank_0(&joined, sizeof(joined));
	assert_int_equal(ranks[1].err, -EHOSTDOWN);
	assert_text(&ranks[1], "Rank 0");
}

static void exchange__rank_0_of_other_version(void **state)
{
	const struct tcp_answer joined = { .magic = TCP_ANSWER_MAGIC,
					   .version = WIRE_VERSION + 1,
					   .kind = TCP_JOINED };

	(void)state;
	answer_as_rank_0(&joined, sizeof(joined));
	assert_int_equal(ranks[1].err, -EPROTO);
	assert_text(&ranks[1], "version");
}

static void exchange__not_rank_0(void **state)
{
	(void)state;
	answer_as_rank_0("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 46);
	assert_int_equal(ranks[1].err, -EPROTO);
	assert_text(&ranks[1], "not rank 0");
}

/* Cards that contradict their own lengths are not taken. */
static void exchange__rank_0_has_another_token(void **state)
{
	struct {
		struct tcp_answer answer;
		struct tcp_cards cards;
	} m = { .answer = { .magic = TCP_ANSWER_MAGIC,
			    .version = WIRE_VERSION,
			    .kind = TCP_CARDS,
			    .len_bytes = sizeof(m.cards) },
		.cards = { .token = "of a stranger", .size = 2 } };

	(void)state;
	strcpy(ranks[1].settings.token, "a secret of ours");
	answer_as_rank_0(&m, sizeof(m));
	assert_int_equal(ranks[1].err, -EPROTO);
	assert_text(&ranks[1], "DSM_TOKEN");
}

/* One JOINED after the other would go on beyond every deadline. */
static void exchange__joined_again(void **state)
{
	const struct tcp_answer joined = { .magic = TCP_ANSWER_MAGIC,
					   .version = WIRE_VERSION,
					   .kind = TCP_JOINED };
	const struct tcp_answer answers[] = { joined, joined };

	(void)state;
	answer_as_rank_0(answers, sizeof(answers));
	assert_int_equal(ranks[1].err, -EPROTO);
	assert_text(&ranks[1], "not rank 0");
}

static void exchange__malformed_cards(void **state)
{
	struct {
		struct tcp_answer answer;
		struct tcp_cards cards;
	} m = { .answer = { .magic = TCP_ANSWER_MAGIC, .version = WIRE_VERSION, .kind = TCP_CARDS },
		.cards = { .token = "12345678", .size = 2 } };
	const struct {
		uint32_t size, stride, len_bytes;
	} bad[] = { { 3, 0, sizeof(m.cards) },
		    { 2, LAUNCH_CARD_MAX + 1, sizeof(m.cards) + 2 * (LAUNCH_CARD_MAX + 1) },
		    { 2, 8, sizeof(m.cards) + 8 },
		    { 2, 0, sizeof(m.cards) - 1 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		m.cards.size = bad[i].size;
		m.cards.stride = bad[i].stride;
		m.answer.len_bytes = bad[i].len_bytes;
		answer_as_rank_0(&m, sizeof(m));
		assert_int_equal(ranks[1].err, -EPROTO);
	}
	m.cards.size = 2;
	m.answer.len_bytes = sizeof(m.cards);
	m.cards.stride = 0;
	memset(m.cards.token, 'x', sizeof(m.cards.token));
	answer_as_rank_0(&m, sizeof(m));
	assert_int_equal(ranks[1].err, -EPROTO);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(create__settings),
		TEST(create__root),
		TEST(exchange__one_rank_needs_no_root),
		TEST(exchange__cards_reach_all),
		TEST(exchange__empty_and_longest_card),
		TEST(exchange__rank_0_comes_last),
		TEST(exchange__by_name),
		TEST(exchange__by_ipv6),
		TEST(exchange__root_is_not_local),
		TEST(exchange__given_token),
		TEST(exchange__missing_ranks),
		TEST(exchange__missing_rank_0),
		TEST(exchange__deadline_is_past),
		TEST(exchange__port_in_use),
		TEST(exchange__strangers),
		TEST(exchange__other_version),
		TEST(exchange__other_size),
		TEST(exchange__other_size_with_token),
		TEST(exchange__strangers_end_nothing),
		TEST(exchange__other_version_ends),
		TEST(exchange__duplicate_rank),
		TEST(exchange__rank_out_of_range),
		TEST(exchange__token_mismatch),
		TEST(exchange__token_unknown_to_rank_0),
		TEST(exchange__rank_comes_and_goes),
		TEST(exchange__rank_0_dies),
		TEST(exchange__rank_0_of_other_version),
		TEST(exchange__not_rank_0),
		TEST(exchange__rank_0_has_another_token),
		TEST(exchange__joined_again),
		TEST(exchange__malformed_cards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
