/* SPDX-License-Identifier: MIT */
/*
 * The shared-memory transport: set-up and its refusals, one-sided operations, messages, wake-ups,
 * the end of a peer. Most tests hold several ranks in this process, each with a space of its own;
 * where a rank must die or race in earnest it is a forked process.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "error.h"
#include "log.h"
#include "shm_connect.h"
#include "shm_internal.h"
#include "shm_ring.h"
#include "stats.h"
#include "transport.h"
#include "valgrind_here.h"

#define WORLD_MAX   66
#define SPACE_BYTES (4ul << 20)
#define SPACE_BASE  0x7e8000000000ul
#define TOKEN       "correct horse battery"
#define SECOND_NS   1000000000ull
#define PATIENCE_NS (20 * SECOND_NS)
#define PATIENCE_MS 20000

struct rank {
	unsigned id;
	unsigned size;
	struct space space;
	struct transport *t;
	struct transport_handler handler;
	const char *token;
	uint64_t patience_ns;
	uint8_t *cards;
	/* what connect() gave */
	int status;
	char text[ERROR_TEXT_MAX];
	/* what has come */
	uint64_t got[WORLD_MAX];
	uint64_t ngot;
	unsigned down[WORLD_MAX];
	unsigned ndown;
	unsigned echo; /* answer so many messages from within the upcall */
};

struct world {
	unsigned size;
	_Alignas(8) uint8_t cards[WORLD_MAX * TRANSPORT_CARD_MAX];
	struct rank ranks[WORLD_MAX];
};

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

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:dsm") != NULL;
	fclose(maps);
	return n;
}

/* A message's number goes in page, its check in the last word; every ninth has four slots. */
static void message_init(union shm_message *m, unsigned src, uint64_t i)
{
	memset(m, 0, sizeof(*m));
	m->msg.kind = i % 9 == 8 ? MSG_REGION_ADD : MSG_GETS;
	m->msg.slots = i % 9 == 8 ? MSG_SLOTS_MAX : 1;
	m->msg.src = (uint16_t)src;
	m->msg.page = i;
	m->slot[m->msg.slots - 1][SHM_SLOT_WORDS - 1] = ~i;
}

static int send_nth(struct rank *rank, unsigned to, uint64_t i)
{
	union shm_message m;

	message_init(&m, rank->id, i);
	return rank->t->ops->send(rank->t, to, &m.msg);
}

static void on_message(void *ctx, const struct msg *m)
{
	const union shm_message *message = (const union shm_message *)(const void *)m;
	struct rank *rank = ctx;

	assert_true(m->src < rank->size && m->src != rank->id);
	assert_int_equal(rank->down[m->src], 0);
	assert_int_equal(m->page, rank->got[m->src]);
	assert_int_equal(message->slot[m->slots - 1][SHM_SLOT_WORDS - 1], ~m->page);
	rank->got[m->src]++;
	rank->ngot++;
	if (rank->echo) {
		rank->echo--;
		assert_int_equal(send_nth(rank, m->src, m->page), 0);
	}
}

static void on_down(void *ctx, unsigned peer)
{
	struct rank *rank = ctx;

	assert_true(peer < rank->size);
	rank->down[peer]++;
	rank->ndown++;
}

/* A segment without the reservation, which this process could have only once. */
static void space_make(struct space *space, unsigned size)
{
	*space = (struct space){ .base = (uint8_t *)SPACE_BASE, .len_bytes = SPACE_BYTES };
	space->rank_words = (size + 63) / 64;
	space->segment_bytes = space_segment_bytes(SPACE_BYTES, space->rank_words);
	space->memfd = memfd_create("dsm-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(space->memfd >= 0);
	assert_int_equal(ftruncate(space->memfd, (off_t)space->segment_bytes), 0);
	assert_int_equal(fcntl(space->memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	space->alias = mmap(NULL, space->segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			    space->memfd, 0);
	assert_true(space->alias != MAP_FAILED);
}

static void space_unmake(struct space *space)
{
	munmap(space->alias, space->segment_bytes);
	close(space->memfd);
}

static void rank_make(struct rank *rank, unsigned id, unsigned size, uint8_t *cards)
{
	struct transport_params params;

	memset(rank, 0, sizeof(*rank));
	rank->id = id;
	rank->size = size;
	rank->token = TOKEN;
	rank->patience_ns = PATIENCE_NS;
	rank->cards = cards;
	rank->handler = (struct transport_handler){ on_message, on_down };
	space_make(&rank->space, size);
	params = (struct transport_params){
		.space = &rank->space,
		.rank = id,
		.size = size,
		.handler = &rank->handler,
		.ctx = rank,
	};
	assert_int_equal(transport_shm_create(&rank->t, &params), 0);
	assert_int_equal(rank->t->ops->card(rank->t, cards + id * TRANSPORT_CARD_MAX), 0);
}

static void *rank_connect(void *arg)
{
	struct rank *rank = arg;

	error_clear();
	rank->status = rank->t->ops->connect(rank->t, NULL, rank->cards, TRANSPORT_CARD_MAX,
					     rank->token, clock_ns() + rank->patience_ns);
	snprintf(rank->text, sizeof(rank->text), "%s", error_text());
	return NULL;
}

static void rank_end(struct rank *rank)
{
	if (rank->t)
		rank->t->ops->destroy(rank->t);
	rank->t = NULL;
}

static struct world *world_make(unsigned size)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->size = size;
	for (unsigned r = 0; r < size; r++)
		rank_make(&w->ranks[r], r, size, w->cards);
	return w;
}

/* All ranks at once, each in a thread. */
static void world_connect(struct world *w)
{
	pthread_t threads[WORLD_MAX];

	for (unsigned r = 0; r < w->size; r++)
		assert_int_equal(pthread_create(&threads[r], NULL, rank_connect, &w->ranks[r]), 0);
	for (unsigned r = 0; r < w->size; r++)
		pthread_join(threads[r], NULL);
}

static struct world *world_connected(unsigned size)
{
	struct world *w = world_make(size);

	world_connect(w);
	for (unsigned r = 0; r < size; r++) {
		assert_string_equal(w->ranks[r].text, "");
		assert_int_equal(w->ranks[r].status, 0);
	}
	return w;
}

static void world_end(struct world *w)
{
	for (unsigned r = 0; r < w->size; r++) {
		rank_end(&w->ranks[r]);
		space_unmake(&w->ranks[r].space);
	}
	free(w);
}

static int poll_once(struct rank *rank)
{
	return rank->t->ops->poll(rank->t, 64);
}

static bool readable(struct rank *rank, int timeout_ms)
{
	struct pollfd p = { .fd = rank->t->fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Sleep until there is something, the way an agent does. */
static void doze(struct rank *rank)
{
	rank->t->ops->sleep(rank->t, true);
	if (!rank->t->ops->pending(rank->t))
		assert_true(readable(rank, PATIENCE_MS));
	rank->t->ops->sleep(rank->t, false);
}

/* Sleep and poll until so many messages have come, or so many peers are down. */
static void await(struct rank *rank, uint64_t ngot, unsigned ndown)
{
	uint64_t deadline_ns = clock_ns() + PATIENCE_NS;

	while (rank->ngot < ngot || rank->ndown < ndown) {
		assert_true(clock_ns() < deadline_ns);
		doze(rank);
		poll_once(rank);
	}
}

/* The fd must not stay readable when everything has been handled. */
static void assert_quiet(struct rank *rank)
{
	for (int i = 0; i < 3; i++) {
		rank->t->ops->sleep(rank->t, true);
		while (poll_once(rank) > 0)
			;
	}
	assert_false(rank->t->ops->pending(rank->t));
	assert_false(readable(rank, 0));
	rank->t->ops->sleep(rank->t, false);
}

/*
 * One-sided operations
 */

static void fetch__registers_and_reads(void **state)
{
	struct world *w = world_connected(3);
	struct rank *home = &w->ranks[1], *reader = &w->ranks[2];
	struct transport_fetch f = { .rank = 1, .granule = 8, .shift = 1, .n = 3, .add = 5 };
	struct space *s = &home->space;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		memset(segment_page(s->alias, 8 + i), (int)(i + 1), GRANULE_BYTES);
	for (unsigned i = 0; i < 3; i++)
		*segment_grant(s, s->alias, 8 + 2 * i) = grant_word(GRANT_EXCLUSIVE, i);
	*segment_readers(s, s->alias, 8) = 1;
	assert_int_equal(reader->t->ops->fetch(reader->t, &f), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(f.grant[i], grant_word(GRANT_EXCLUSIVE, i));
	for (unsigned i = 0; i < 6; i++)
		assert_memory_equal(f.data + i * GRANULE_BYTES, segment_page(s->alias, 8 + i),
				    GRANULE_BYTES);
	assert_int_equal(*segment_readers(s, s->alias, 8), 1 | 4);
	assert_int_equal(*segment_readers(s, s->alias, 9), 0);
	assert_int_equal(*segment_readers(s, s->alias, 10), 0);
	assert_int_equal(*segment_readers(s, s->alias, 12), 4);
	world_end(w);
}

static void fetch__own_rank(void **state)
{
	struct world *w = world_connected(2);
	struct rank *rank = &w->ranks[1];
	struct transport_fetch f = { .rank = 1, .granule = 3, .n = 1, .add = 1 };

	(void)state;
	assert_int_equal(rank->t->ops->fetch(rank->t, &f), 0);
	assert_ptr_equal(f.data, segment_page(rank->space.alias, 3));
	assert_int_equal(*segment_readers(&rank->space, rank->space.alias, 3), 2);
	world_end(w);
}

static void write__lands_at_the_same_offset(void **state)
{
	struct world *w = world_connected(2);
	struct rank *from = &w->ranks[0], *to = &w->ranks[1];

	(void)state;
	memset(segment_page(from->space.alias, 5), 0x5a, 2 * GRANULE_BYTES);
	assert_int_equal(from->t->ops->write(from->t, 1, 5, 2 * GRANULE_BYTES), 0);
	assert_memory_equal(segment_page(to->space.alias, 5), segment_page(from->space.alias, 5),
			    2 * GRANULE_BYTES);
	assert_int_equal(*segment_page(to->space.alias, 7), 0);
	/* What a home pushes, its peer finds in the home's memory. */
	assert_int_equal(to->t->ops->push(to->t, 0, 5, GRANULE_BYTES), 0);
	assert_memory_equal(from->t->ops->pushed(from->t, 1, 5, GRANULE_BYTES),
			    segment_page(to->space.alias, 5), GRANULE_BYTES);
	world_end(w);
}

static void atomic__widths_and_operations(void **state)
{
	struct world *w = world_connected(2);
	struct transport *t = w->ranks[0].t;
	uint64_t old;

	(void)state;
	for (unsigned rank = 0; rank < 2; rank++) {
		uint64_t *word = (uint64_t *)(void *)(w->ranks[rank].space.alias + 64);

		*word = 0xfffffffffull;
		assert_int_equal(t->ops->atomic(t, rank, 64, 8, ATOMIC_FETCH_ADD, 2, 0, &old), 0);
		assert_int_equal(old, 0xfffffffffull);
		assert_int_equal(*word, 0x1000000001ull);
		/* Four bytes wrap around and leave the others alone. */
		assert_int_equal(
			t->ops->atomic(t, rank, 64, 4, ATOMIC_FETCH_ADD, UINT32_MAX, 0, &old), 0);
		assert_int_equal(old, 1);
		assert_int_equal(*word, 0x1000000000ull);
		assert_int_equal(t->ops->atomic(t, rank, 64, 8, ATOMIC_COMPARE_SWAP, 7, 8, &old),
				 0);
		assert_int_equal(old, 0x1000000000ull);
		assert_int_equal(*word, 0x1000000000ull);
		assert_int_equal(t->ops->atomic(t, rank, 64, 8, ATOMIC_COMPARE_SWAP, 7, old, &old),
				 0);
		assert_int_equal(*word, 7);
		assert_int_equal(t->ops->atomic(t, rank, 64, 4, ATOMIC_COMPARE_SWAP, 9, 7, &old),
				 0);
		assert_int_equal(old, 7);
		assert_int_equal(*word, 9);
		assert_int_equal(t->ops->atomic(t, rank, 66, 4, ATOMIC_FETCH_ADD, 1, 0, &old),
				 -EINVAL);
		assert_int_equal(t->ops->atomic(t, rank, 64, 2, ATOMIC_FETCH_ADD, 1, 0, &old),
				 -EINVAL);
		assert_int_equal(*word, 9);
	}
	world_end(w);
}

/*
 * Messages
 */

static void send__all_to_all_in_order(void **state)
{
	struct world *w = world_connected(3);

	(void)state;
	for (uint64_t i = 0; i < 3000; i++) {
		for (unsigned from = 0; from < 3; from++)
			for (unsigned to = 0; to < 3; to++)
				if (from != to)
					assert_int_equal(send_nth(&w->ranks[from], to, i), 0);
		if (i % 100 == 0)
			for (unsigned r = 0; r < 3; r++)
				poll_once(&w->ranks[r]);
	}
	for (unsigned n = 1; n;) {
		n = 0;
		for (unsigned r = 0; r < 3; r++)
			n += w->ranks[r].t->ops->pending(w->ranks[r].t) +
			     (unsigned)poll_once(&w->ranks[r]);
	}
	for (unsigned r = 0; r < 3; r++) {
		assert_int_equal(w->ranks[r].ngot, 6000);
		assert_quiet(&w->ranks[r]);
	}
	world_end(w);
}

static void send__to_many_ranks(void **state)
{
	struct rlimit limit;
	struct world *w;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 2 * WORLD_MAX * WORLD_MAX + 1024) {
		print_message("the limit on open files, %llu, is too low\n",
			      (unsigned long long)limit.rlim_max);
		skip();
	}
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	w = world_connected(WORLD_MAX);
	for (unsigned from = 0; from < WORLD_MAX; from++)
		for (unsigned to = 0; to < WORLD_MAX; to++)
			if (from != to)
				assert_int_equal(send_nth(&w->ranks[from], to, 0), 0);
	for (unsigned r = 0; r < WORLD_MAX; r++) {
		await(&w->ranks[r], WORLD_MAX - 1, 0);
		assert_quiet(&w->ranks[r]);
	}
	world_end(w);
}

static void send__slow_receiver(void **state)
{
	struct world *w = world_connected(2);
	struct rank *from = &w->ranks[0], *to = &w->ranks[1];
	uint64_t deadline_ns = clock_ns() + PATIENCE_NS;

	(void)state;
	for (uint64_t i = 0; i < 100000; i++)
		assert_int_equal(send_nth(from, 1, i), 0);
	/* Both sleep whenever they can: each must be woken by the other. */
	while (to->ngot < 100000) {
		assert_true(clock_ns() < deadline_ns);
		doze(to);
		poll_once(to);
		if (from->t->ops->pending(from->t))
			poll_once(from);
	}
	assert_quiet(to);
	assert_quiet(from);
	world_end(w);
}

static void send__from_the_upcall_with_full_rings(void **state)
{
	struct world *w = world_connected(2);
	struct rank *a = &w->ranks[0], *b = &w->ranks[1];

	(void)state;
	b->echo = 5000;
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(send_nth(a, 1, i), 0);
	/* b answers each message while a takes none, then a takes them. */
	for (int i = 0; i < 1000; i++) {
		poll_once(b);
		if (i % 50 == 0)
			poll_once(a);
		else if (a->t->ops->pending(a->t) && b->ngot < 5000)
			a->t->ops->poll(a->t, 1);
	}
	for (int i = 0; i < 1000; i++) {
		poll_once(a);
		poll_once(b);
	}
	assert_int_equal(b->ngot, 5000);
	assert_int_equal(a->ngot, 5000);
	world_end(w);
}

static void send__malformed(void **state)
{
	struct world *w = world_connected(2);
	struct transport *t = w->ranks[0].t;
	struct msg m = { .kind = MSG_GETS, .slots = 1, .src = 0 };

	(void)state;
	m.kind = MSG_KINDS;
	assert_int_equal(t->ops->send(t, 1, &m), -EINVAL);
	m.kind = MSG_NONE;
	assert_int_equal(t->ops->send(t, 1, &m), -EINVAL);
	m.kind = MSG_GETS;
	m.slots = 2;
	assert_int_equal(t->ops->send(t, 1, &m), -EINVAL);
	m.slots = 1;
	m.src = 1;
	assert_int_equal(t->ops->send(t, 1, &m), -EINVAL);
	m.src = 0;
	assert_int_equal(t->ops->send(t, 0, &m), -EHOSTDOWN);
	assert_int_equal(t->ops->send(t, 1, &m), 0);
	world_end(w);
}

static void poll__keeps_to_its_budget(void **state)
{
	struct world *w = world_connected(3);
	struct rank *to = &w->ranks[2];

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(send_nth(&w->ranks[0], 2, i), 0);
		assert_int_equal(send_nth(&w->ranks[1], 2, i), 0);
	}
	to->t->ops->sleep(to->t, true);
	for (uint64_t n = 10; n <= 200; n += 10) {
		/* What the budget leaves is not forgotten, and each sender gets its turn. */
		assert_true(to->t->ops->pending(to->t));
		assert_int_equal(to->t->ops->poll(to->t, 10), 10);
		assert_int_equal(to->ngot, n);
		assert_true(to->got[0] + 10 >= to->got[1] && to->got[1] + 10 >= to->got[0]);
		if (n < 200)
			assert_true(readable(to, 0));
	}
	assert_quiet(to);
	world_end(w);
}

/*
 * Sleep
 */

static void *doze_and_take(void *arg)
{
	struct rank *rank = arg;

	await(rank, 1, 0);
	return NULL;
}

static void sleep__is_woken(void **state)
{
	struct world *w = world_connected(2);
	pthread_t thread;

	(void)state;
	assert_quiet(&w->ranks[1]);
	assert_int_equal(pthread_create(&thread, NULL, doze_and_take, &w->ranks[1]), 0);
	usleep(20000); /* let it fall asleep, most probably */
	assert_int_equal(send_nth(&w->ranks[0], 1, 0), 0);
	pthread_join(thread, NULL);
	assert_int_equal(w->ranks[1].ngot, 1);
	assert_quiet(&w->ranks[1]);
	world_end(w);
}

static void sleep__stays_in_force_when_others_poll(void **state)
{
	struct world *w = world_connected(2);
	struct rank *to = &w->ranks[1];

	(void)state;
	to->t->ops->sleep(to->t, true);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(send_nth(&w->ranks[0], 1, i), 0);
		assert_true(readable(to, 0));
		assert_int_equal(poll_once(to), 1);
		assert_false(readable(to, 0));
	}
	/* Awake, arrivals cost the sender no system call. */
	to->t->ops->sleep(to->t, false);
	assert_int_equal(poll_once(to), 0);
	assert_int_equal(send_nth(&w->ranks[0], 1, 5), 0);
	assert_false(readable(to, 0));
	assert_true(to->t->ops->pending(to->t));
	world_end(w);
}

static int send_barrier(struct rank *rank, unsigned to, uint64_t i)
{
	union shm_message m;

	message_init(&m, rank->id, i);
	m.msg.kind = MSG_BARRIER;
	return rank->t->ops->send(rank->t, to, &m.msg);
}

static void sleep__drowsy_is_not_woken_by_what_can_wait(void **state)
{
	struct world *w = world_connected(2);
	struct rank *to = &w->ranks[1];

	(void)state;
	to->t->drowsy = true;
	assert_quiet(to);
	to->t->ops->sleep(to->t, true);
	assert_int_equal(send_barrier(&w->ranks[0], 1, 0), 0);
	assert_false(readable(to, 0));
	assert_true(to->t->ops->pending(to->t));
	/* Another message is no less urgent for coming behind it. */
	assert_int_equal(send_nth(&w->ranks[0], 1, 1), 0);
	assert_true(readable(to, 0));
	assert_int_equal(poll_once(to), 2);
	/* Drowsy no more: what has come is pending, what comes makes it readable. */
	assert_int_equal(send_barrier(&w->ranks[0], 1, 2), 0);
	assert_false(readable(to, 0));
	to->t->drowsy = false;
	to->t->ops->sleep(to->t, true);
	assert_true(to->t->ops->pending(to->t));
	assert_int_equal(send_barrier(&w->ranks[0], 1, 3), 0);
	assert_true(readable(to, 0));
	assert_int_equal(poll_once(to), 2);
	assert_quiet(to);
	world_end(w);
}

/*
 * Ranks in processes of their own
 */

struct shared {
	pthread_barrier_t barrier;
	uint8_t cards[4 * TRANSPORT_CARD_MAX];
};

static struct shared *shared_make(unsigned size)
{
	pthread_barrierattr_t attr;
	struct shared *sh;

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(sh != MAP_FAILED);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	assert_int_equal(pthread_barrier_init(&sh->barrier, &attr, size), 0);
	return sh;
}

static void shared_join(struct shared *sh, struct rank *rank, unsigned id, unsigned size)
{
	rank_make(rank, id, size, sh->cards);
	pthread_barrier_wait(&sh->barrier);
	rank_connect(rank);
	assert_string_equal(rank->text, "");
	assert_int_equal(rank->status, 0);
}

/* In a forked child a failed assertion must end the child, and nothing may outlive the test. */
static void child_begin(void)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	alarm(60);
}

/* Fork rank @id, which runs body() and then exits, or stays until it is killed. */
static pid_t spawn(struct shared *sh, unsigned id, unsigned size, void (*body)(struct rank *))
{
	static struct rank rank;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	child_begin();
	shared_join(sh, &rank, id, size);
	body(&rank);
	rank_end(&rank);
	space_unmake(&rank.space);
	_exit(0);
}

static void assert_exited(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define ROUNDS (RUNNING_ON_VALGRIND ? 500u : 20000u)

static void answer_rounds(struct rank *rank)
{
	rank->echo = ROUNDS;
	await(rank, ROUNDS, 0);
}

static void sleep__no_wake_up_is_lost(void **state)
{
	struct shared *sh = shared_make(2);
	struct rank *rank = calloc(1, sizeof(*rank));
	pid_t pid = spawn(sh, 1, 2, answer_rounds);

	(void)state;
	shared_join(sh, rank, 0, 2);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		assert_int_equal(send_nth(rank, 1, i), 0);
		await(rank, i + 1, 0);
	}
	assert_exited(pid);
	await(rank, ROUNDS, 1);
	assert_int_equal(rank->down[1], 1);
	rank_end(rank);
	space_unmake(&rank->space);
	free(rank);
	munmap(sh, sizeof(*sh));
}

#define LAST_WORDS 500

static void speak_and_wait(struct rank *rank)
{
	for (uint64_t i = 0; i < LAST_WORDS; i++)
		assert_int_equal(send_nth(rank, 0, i), 0);
	*segment_page(rank->space.alias, 1) = 0x77;
	/* The other side says when it has seen enough; it never does. */
	await(rank, UINT64_MAX, 0);
}

static void assert_is_down(struct rank *rank, unsigned peer)
{
	struct transport_fetch f = { .rank = peer, .n = 1, .add = 1 };
	struct transport *t = rank->t;
	uint64_t old;

	assert_int_equal(send_nth(rank, peer, 0), -EHOSTDOWN);
	assert_non_null(strstr(error_text(), "down"));
	assert_int_equal(t->ops->fetch(t, &f), -EHOSTDOWN);
	assert_int_equal(t->ops->write(t, peer, 0, 64), -EHOSTDOWN);
	assert_int_equal(t->ops->push(t, peer, 0, 64), -EHOSTDOWN);
	assert_int_equal(t->ops->atomic(t, peer, 0, 8, ATOMIC_FETCH_ADD, 1, 0, &old), -EHOSTDOWN);
}

/* A child of the peer that outlives it, and has a copy of its sockets. */
static void speak_with_child(struct rank *rank)
{
	pid_t child = fork();

	if (child == 0) {
		alarm(30); /* should nobody be left to end it */
		pause();
		_exit(0);
	}
	memcpy(segment_page(rank->space.alias, 2), &child, sizeof(child));
	speak_and_wait(rank);
}

static void down_after_kill(void (*body)(struct rank *))
{
	struct shared *sh = shared_make(2);
	struct rank *rank = calloc(1, sizeof(*rank));
	pid_t pid = spawn(sh, 1, 2, body), child;
	const uint8_t *view;
	int status;

	shared_join(sh, rank, 0, 2);
	/* The first message shows that it runs; all are in the ring when its memory says so. */
	await(rank, 1, 0);
	view = rank->t->ops->pushed(rank->t, 1, 1, GRANULE_BYTES);
	while (__atomic_load_n(view, __ATOMIC_ACQUIRE) != 0x77)
		sched_yield();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(rank->ndown, 0);
	await(rank, 0, 1);
	assert_int_equal(rank->ngot, LAST_WORDS);
	assert_quiet(rank);
	assert_int_equal(rank->down[1], 1);
	assert_is_down(rank, 1);
	/* Pointers into its memory are good until destroy(). */
	assert_int_equal(*rank->t->ops->pushed(rank->t, 1, 1, GRANULE_BYTES), 0x77);
	memcpy(&child, rank->t->ops->pushed(rank->t, 1, 2, GRANULE_BYTES), sizeof(child));
	if (child)
		assert_int_equal(kill(child, SIGKILL), 0);
	rank_end(rank);
	space_unmake(&rank->space);
	free(rank);
	munmap(sh, sizeof(*sh));
}

static void down__after_kill_and_last_messages(void **state)
{
	(void)state;
	down_after_kill(speak_and_wait);
}

static void down__after_kill_with_a_child_alive(void **state)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	(void)state;
	if (fd < 0 && errno == ENOSYS) {
		print_message("skipped: no pidfd_open(2) here (valgrind does not know it)\n");
		skip();
	}
	close(fd);
	down_after_kill(speak_with_child);
}

static void down__after_destroy(void **state)
{
	struct world *w = world_connected(3);

	(void)state;
	assert_int_equal(send_nth(&w->ranks[1], 0, 0), 0);
	assert_int_equal(send_nth(&w->ranks[1], 2, 0), 0);
	rank_end(&w->ranks[1]);
	for (unsigned r = 0; r < 3; r += 2) {
		await(&w->ranks[r], 1, 1);
		assert_int_equal(w->ranks[r].down[1], 1);
		assert_quiet(&w->ranks[r]);
		assert_is_down(&w->ranks[r], 1);
	}
	/* The others go on. */
	assert_int_equal(send_nth(&w->ranks[0], 2, 0), 0);
	await(&w->ranks[2], 2, 1);
	world_end(w);
}

static void down__is_noticed_without_sleeping(void **state)
{
	struct world *w = world_connected(2);
	int n = 0;

	(void)state;
	while (poll_once(&w->ranks[0]))
		;
	rank_end(&w->ranks[1]);
	while (!w->ranks[0].ndown && n++ < 10000)
		poll_once(&w->ranks[0]);
	assert_int_equal(w->ranks[0].ndown, 1);
	world_end(w);
}

/*
 * A rank that breaks the rules: rank 1 is made of the parts below the transport.
 */

struct rogue {
	struct shm_self self;
	struct shm_box *box;
	struct shm_link links[2];
	struct space space;
};

static void rogue_make(struct rogue *g, struct rank *rank, uint8_t *cards)
{
	pthread_t thread;

	*g = (struct rogue){ .links = { SHM_LINK_NONE, SHM_LINK_NONE } };
	rank_make(rank, 0, 2, cards);
	space_make(&g->space, 2);
	g->self = (struct shm_self){ .rank = 1, .size = 2, .space = &g->space, .event_fd = -1 };
	strcpy(g->self.token, TOKEN);
	assert_int_equal(shm_box_create(&g->box, &g->self.box_fd, 1, 2), 0);
	strcpy(g->box->token, TOKEN);
	g->self.event_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(g->self.event_fd >= 0);
	assert_int_equal(shm_listen(&g->self), 0);
	memcpy(cards + TRANSPORT_CARD_MAX, &g->self.card, sizeof(g->self.card));
	assert_int_equal(pthread_create(&thread, NULL, rank_connect, rank), 0);
	assert_int_equal(shm_connect(&g->self, NULL, cards, TRANSPORT_CARD_MAX,
				     clock_ns() + PATIENCE_NS, g->links),
			 0);
	pthread_join(thread, NULL);
	assert_int_equal(rank->status, 0);
}

static void rogue_end(struct rogue *g, struct rank *rank)
{
	shm_link_fini(&g->links[0], &g->self);
	munmap(g->box, shm_box_bytes(2));
	close(g->self.box_fd);
	close(g->self.event_fd);
	close(g->self.listen_fd);
	space_unmake(&g->space);
	rank_end(rank);
	space_unmake(&rank->space);
}

/* Send one good message and then @bad: the good one is delivered, then the rank is down. */
static void rogue_send(const struct msg *bad)
{
	_Alignas(8) uint8_t cards[2 * TRANSPORT_CARD_MAX] = { 0 };
	union shm_message good;
	struct rank *rank = calloc(1, sizeof(*rank));
	struct shm_tx tx;
	struct rogue g;

	rogue_make(&g, rank, cards);
	shm_tx_init(&tx, &g.links[0].box->ring[1]);
	message_init(&good, 1, 0);
	assert_int_equal(shm_tx_send(&tx, &good.msg), 0);
	memcpy(tx.ring->slot[1], bad, sizeof(*bad));
	shm_box_notify(g.links[0].box, 1, false);
	/* Bits of ranks that are not there do no harm. */
	g.links[0].box->pending[0] |= 0xf1;
	await(rank, 1, 1);
	assert_int_equal(rank->ngot, 1);
	assert_int_equal(rank->down[1], 1);
	assert_quiet(rank);
	assert_is_down(rank, 1);
	rogue_end(&g, rank);
	free(rank);
}

static void poll__message_without_sense(void **state)
{
	(void)state;
	rogue_send(&(struct msg){ .kind = MSG_KINDS, .slots = 1, .src = 1 });
	rogue_send(&(struct msg){ .kind = MSG_NONE, .slots = 1, .src = 1 });
	rogue_send(&(struct msg){ .kind = MSG_GETS, .slots = 3, .src = 1 });
	rogue_send(&(struct msg){ .kind = MSG_GETS, .slots = 1, .src = 0 });
	/* Whoever it is for would read beyond it. */
	rogue_send(&(struct msg){ .kind = MSG_REGION_ADD, .slots = 1, .src = 1 });
	rogue_send(&(struct msg){ .kind = MSG_GETS, .slots = MSG_SLOTS_MAX, .src = 1 });
}

static void poll__control_socket_is_not_silent(void **state)
{
	_Alignas(8) uint8_t cards[2 * TRANSPORT_CARD_MAX] = { 0 };
	struct rank *rank = calloc(1, sizeof(*rank));
	struct rogue g;

	(void)state;
	rogue_make(&g, rank, cards);
	assert_int_equal(send(g.links[0].control_fd, "x", 1, 0), 1);
	await(rank, 0, 1);
	assert_quiet(rank);
	assert_is_down(rank, 1);
	rogue_end(&g, rank);
	free(rank);
}

static void send__head_out_of_order(void **state)
{
	_Alignas(8) uint8_t cards[2 * TRANSPORT_CARD_MAX] = { 0 };
	struct rank *rank = calloc(1, sizeof(*rank));
	struct rogue g;
	int rc = 0;

	(void)state;
	rogue_make(&g, rank, cards);
	g.box->ring[0].head = UINT64_MAX / 2;
	for (unsigned i = 0; i <= SHM_RING_SLOTS && !rc; i++)
		rc = send_nth(rank, 1, i);
	assert_int_equal(rc, -EHOSTDOWN);
	/* Told by the next poll(), which is asked for. */
	assert_true(rank->t->ops->pending(rank->t));
	assert_int_equal(rank->ndown, 0);
	poll_once(rank);
	assert_int_equal(rank->down[1], 1);
	assert_quiet(rank);
	rogue_end(&g, rank);
	free(rank);
}

/*
 * Set-up
 */

static void connect__alone(void **state)
{
	struct world *w = world_connected(1);
	struct rank *rank = &w->ranks[0];
	struct transport_fetch f = { .rank = 0, .granule = 1, .n = 1, .add = 1 };
	uint64_t old = 1;

	(void)state;
	assert_int_equal(poll_once(rank), 0);
	assert_int_equal(rank->t->ops->fetch(rank->t, &f), 0);
	assert_int_equal(rank->t->ops->atomic(rank->t, 0, 0, 8, ATOMIC_FETCH_ADD, 1, 0, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(rank->t->ops->write(rank->t, 0, 0, GRANULE_BYTES), 0);
	assert_quiet(rank);
	world_end(w);
}

static void connect__token_mismatch(void **state)
{
	struct world *w = world_make(2);

	(void)state;
	w->ranks[1].token = "incorrect horse";
	world_connect(w);
	for (unsigned r = 0; r < 2; r++) {
		assert_int_equal(w->ranks[r].status, -EPROTO);
		assert_non_null(strstr(w->ranks[r].text, "DSM_TOKEN"));
		assert_null(strstr(w->ranks[r].text, "horse"));
	}
	world_end(w);
}

static void connect__layout_mismatch(void **state)
{
	struct world *w;

	(void)state;
	for (int i = 0; i < 3; i++) {
		w = world_make(2);
		if (i == 0)
			w->ranks[1].space.base += BLOCK_BYTES;
		else if (i == 1)
			w->ranks[1].space.len_bytes -= BLOCK_BYTES;
		else
			w->ranks[1].space.rank_words++;
		world_connect(w);
		for (unsigned r = 0; r < 2; r++) {
			assert_int_equal(w->ranks[r].status, -EPROTO);
			assert_non_null(strstr(w->ranks[r].text, "rank"));
		}
		/* The side that was refused says what the other saw. */
		assert_non_null(strstr(w->ranks[1].text, "rank 0 refused rank 1: "));
		assert_non_null(strstr(w->ranks[1].text, w->ranks[0].text));
		world_end(w);
	}
}

static void connect__segment_not_sealed(void **state)
{
	struct world *w = world_make(2);
	struct space *s = &w->ranks[1].space;

	(void)state;
	close(s->memfd);
	s->memfd = memfd_create("dsm-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(s->memfd, (off_t)s->segment_bytes), 0);
	world_connect(w);
	assert_int_equal(w->ranks[0].status, -EPROTO);
	assert_non_null(strstr(w->ranks[0].text, "sealed"));
	world_end(w);
}

/* Writing to a pipe that nobody reads would end this process. */
static void connect__waking_by_what_is_no_eventfd(void **state)
{
	struct world *w;
	int ends[2];

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct transport_shm *s;

		w = world_make(2);
		s = shm_of(w->ranks[1].t);
		if (i == 0) {
			assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
			close(ends[0]);
		} else if (i == 1) {
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
					 0);
			close(ends[0]);
		} else {
			ends[1] = memfd_create("dsm-test", MFD_CLOEXEC);
		}
		assert_int_equal(dup3(ends[1], s->self.event_fd, O_CLOEXEC), s->self.event_fd);
		close(ends[1]);
		world_connect(w);
		assert_int_equal(w->ranks[0].status, -EPROTO);
		assert_non_null(strstr(w->ranks[0].text, "eventfd"));
		world_end(w);
	}
}

static void connect__other_place(void **state)
{
	struct world *w;
	struct shm_card *card;

	(void)state;
	for (int i = 0; i < 4; i++) {
		w = world_make(2);
		card = (struct shm_card *)(void *)(w->cards + TRANSPORT_CARD_MAX);
		strcpy(card->host, "elsewhere");
		if (i == 0)
			card->boot_id[0] ^= 1;
		else if (i == 1)
			card->netns_ino ^= 1;
		else if (i == 2)
			card->version++;
		else
			card->magic = 0;
		rank_connect(&w->ranks[0]);
		assert_int_equal(w->ranks[0].status, i < 2 ? -EHOSTUNREACH : -EPROTO);
		assert_non_null(strstr(w->ranks[0].text, i < 3 ? "elsewhere" : "rank 1"));
		if (i < 2)
			assert_non_null(strstr(w->ranks[0].text,
					       "transport shm needs all ranks on one host"));
		world_end(w);
	}
}

static void connect__rank_does_not_come(void **state)
{
	struct world *w = world_make(3);

	(void)state;
	w->size = 2;
	w->ranks[0].patience_ns = w->ranks[1].patience_ns = SECOND_NS / 10;
	world_connect(w);
	for (unsigned r = 0; r < 2; r++) {
		assert_int_equal(w->ranks[r].status, -ETIMEDOUT);
		assert_non_null(strstr(w->ranks[r].text, "1 of 3 ranks"));
		assert_non_null(strstr(w->ranks[r].text, "missing: 2"));
	}
	w->size = 3;
	world_end(w);
}

static void connect__rank_has_ended(void **state)
{
	struct world *w = world_make(2);

	(void)state;
	rank_end(&w->ranks[0]);
	rank_connect(&w->ranks[1]);
	assert_int_equal(w->ranks[1].status, -EHOSTDOWN);
	assert_non_null(strstr(w->ranks[1].text, "rank 0"));
	world_end(w);
}

static int knock(const struct world *w, unsigned rank)
{
	const struct shm_card *card =
		(const struct shm_card *)(const void *)(w->cards + rank * TRANSPORT_CARD_MAX);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(sa.sun_path + 1, card->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					     strlen(card->socket))),
			 0);
	return fd;
}

static void connect__strangers(void **state)
{
	struct world *w = world_make(3);
	uint8_t junk[4096];
	int fds[90];
	char c;

	(void)state;
	log_set_level(LOG_ERROR);
	memset(junk, 0xa5, sizeof(junk));
	/* Silent ones, more than are kept waiting, some that leave, some that send junk. */
	for (unsigned i = 0; i < 90; i++) {
		fds[i] = knock(w, i % 2);
		if (i % 5 == 0)
			assert_true(send(fds[i], junk, i % 10 ? sizeof(junk) : 3, 0) > 0);
		if (i % 7 == 0)
			shutdown(fds[i], SHUT_RDWR);
	}
	world_connect(w);
	for (unsigned r = 0; r < 3; r++) {
		assert_string_equal(w->ranks[r].text, "");
		assert_int_equal(w->ranks[r].status, 0);
	}
	/* None has got a word. */
	for (unsigned i = 0; i < 90; i++) {
		assert_true(recv(fds[i], &c, 1, MSG_DONTWAIT) <= 0);
		close(fds[i]);
	}
	assert_int_equal(send_nth(&w->ranks[0], 1, 0), 0);
	await(&w->ranks[1], 1, 0);
	log_set_level(LOG_WARN);
	world_end(w);
}

/* A process that is none of the ranks, with everything but the token. */
static void impostor(const uint8_t *cards)
{
	struct shm_link links[2] = { SHM_LINK_NONE, SHM_LINK_NONE };
	struct shm_self self = { .rank = 1, .size = 2, .token = "guess" };
	struct space space;
	struct shm_box *box;
	uint8_t mine[2 * TRANSPORT_CARD_MAX];
	int rc;

	child_begin();
	space_make(&space, 2);
	self.space = &space;
	assert_int_equal(shm_box_create(&box, &self.box_fd, 1, 2), 0);
	self.event_fd = self.box_fd;
	assert_int_equal(shm_listen(&self), 0);
	memcpy(mine, cards, sizeof(mine));
	rc = shm_connect(&self, NULL, mine, TRANSPORT_CARD_MAX, clock_ns() + PATIENCE_NS, links);
	_exit(rc == -EHOSTDOWN ? 0 : 1);
}

static void connect__token_guessed_by_a_stranger(void **state)
{
	struct world *w = world_make(2);
	pthread_t thread;
	pid_t pid;

	(void)state;
	log_set_level(LOG_ERROR);
	pid = fork();
	if (!pid)
		impostor(w->cards);
	assert_int_equal(pthread_create(&thread, NULL, rank_connect, &w->ranks[0]), 0);
	assert_exited(pid);
	rank_connect(&w->ranks[1]);
	pthread_join(thread, NULL);
	for (unsigned r = 0; r < 2; r++)
		assert_int_equal(w->ranks[r].status, 0);
	log_set_level(LOG_WARN);
	world_end(w);
}

static void create__too_many_ranks(void **state)
{
	struct transport_params params = { .rank = 0, .size = RANKS_MAX + 1 };
	struct transport *t;

	(void)state;
	assert_int_equal(transport_shm_create(&t, &params), -EINVAL);
	assert_non_null(strstr(error_text(), "513"));
}

/* As count_fds(), without opening one. */
static int probe_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Exit status where the limit on descriptors cannot be lowered, as under valgrind. */
#define CANNOT_LIMIT 77

/* With one descriptor less at each attempt, until none can be opened. */
static void run_out_of_descriptors(void)
{
	struct transport_params params = { .size = 2 };
	struct rlimit limit;
	struct transport *t;
	struct space space;
	int before, rc, nfailed = 0;

	child_begin();
	space_make(&space, 2);
	params.space = &space;
	before = probe_fds();
	for (int few = before + 64; few > 0; few--) {
		limit.rlim_cur = limit.rlim_max = (rlim_t)few;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			_exit(CANNOT_LIMIT);
		error_clear();
		rc = transport_shm_create(&t, &params);
		if (rc == 0) {
			assert_int_equal(nfailed, 0);
			t->ops->destroy(t);
		} else {
			assert_int_equal(rc, -EMFILE);
			assert_string_not_equal(error_text(), "");
			nfailed++;
		}
		assert_int_equal(probe_fds(), before);
	}
	/* Each of those that it opens has been the one that failed. */
	assert_in_range(nfailed, 4, before + 63);
	_exit(0);
}

static void create__no_descriptors_left(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid)
		run_out_of_descriptors();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT_LIMIT)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Every test must leave the process as it was. */
static int fds_before;

static int setup(void **state)
{
	(void)state;
	fds_before = count_fds();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(count_mappings(), 0);
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fetch__registers_and_reads),
		T(fetch__own_rank),
		T(write__lands_at_the_same_offset),
		T(atomic__widths_and_operations),
		T(send__all_to_all_in_order),
		T(send__to_many_ranks),
		T(send__slow_receiver),
		T(send__from_the_upcall_with_full_rings),
		T(send__malformed),
		T(send__head_out_of_order),
		T(poll__keeps_to_its_budget),
		T(poll__message_without_sense),
		T(poll__control_socket_is_not_silent),
		T(sleep__is_woken),
		T(sleep__stays_in_force_when_others_poll),
		T(sleep__drowsy_is_not_woken_by_what_can_wait),
		T(sleep__no_wake_up_is_lost),
		T(down__after_kill_and_last_messages),
		T(down__after_kill_with_a_child_alive),
		T(down__after_destroy),
		T(down__is_noticed_without_sleeping),
		T(connect__alone),
		T(connect__token_mismatch),
		T(connect__layout_mismatch),
		T(connect__segment_not_sealed),
		T(connect__waking_by_what_is_no_eventfd),
		T(connect__other_place),
		T(connect__rank_does_not_come),
		T(connect__rank_has_ended),
		T(connect__strangers),
		T(connect__token_guessed_by_a_stranger),
		T(create__too_many_ranks),
		T(create__no_descriptors_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
