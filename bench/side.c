/* SPDX-License-Identifier: MIT */
/*
 * Side channel. On one host: a memfd of rank 0, which the others open through /proc. It leaves
 * nothing behind, whatever ends the job. The descriptor's number travels in a region of libdsm; a
 * magic number that travels with it shows a rank that it has opened the right file.
 *
 * Where a rank has no such file, ranks are on several hosts: then what they share lies in a region
 * of libdsm, and words that one waits for go through a TCP connection of rank 0 and 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "side_link.h"

#define SPINS_BEFORE_YIELD 50 /* 1 to 2 us: a rank may share its core with its agent */

struct invitation {
	uint64_t magic;
	int64_t pid;
	int64_t fd;
	struct side_door door; /* of rank 0 */
	uint8_t far[SIDE_RANKS_MAX]; /* ranks that cannot open the file */
};

static struct side *map_side(struct bench *b, int fd)
{
	void *map = mmap(NULL, sizeof(struct side), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		bench_fail(b, "cannot map the side channel: %s", strerror(errno));
	return map;
}

static int invite(struct bench *b, struct invitation *in)
{
	int fd = memfd_create("dsm_bench", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, sizeof(struct side)))
		bench_fail(b, "cannot create the side channel: %s", strerror(errno));
	b->side = map_side(b, fd);
	b->side->magic = bench_now_ns() << 16 | (uint64_t)(getpid() & 0xffff);
	in->magic = b->side->magic;
	in->pid = getpid();
	in->fd = fd;
	return fd;
}

/* False: that file is not here. */
static bool join(struct bench *b, const struct invitation *in)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/fd/%lld", (long long)in->pid, (long long)in->fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	b->side = map_side(b, fd);
	close(fd);
	if (b->side->magic == in->magic)
		return true;
	side_close(b);
	return false;
}

static bool any_far(const struct invitation *in)
{
	for (unsigned r = 0; r < SIDE_RANKS_MAX; r++)
		if (in->far[r])
			return true;
	return false;
}

/* Several hosts: what is shared comes from libdsm, and rank 0 and 1 connect. */
static void open_far(struct bench *b, struct invitation *in)
{
	if (b->size > 2)
		bench_fail(b,
			   "%u ranks on several hosts; dsm_bench takes 2 there, more on one host",
			   b->size);
	if (b->side)
		side_close(b);
	b->far = true;
	b->side = (void *)bench_alloc(b, sizeof(struct side), 0, DSM_RELEASE_KEEP);
	if (!b->rank)
		side_link_listen(b, &in->door);
	bench_barrier(b);
	if (b->rank == 0)
		side_link_accept(b, &in->door);
	else if (b->rank == 1)
		side_link_dial(b, &in->door);
}

void side_open(struct bench *b)
{
	struct invitation *in;
	int fd = -1;

	if (b->size > SIDE_RANKS_MAX)
		bench_fail(b, "%u ranks; dsm_bench takes at most %u", b->size, SIDE_RANKS_MAX);
	in = (void *)bench_alloc(b, sizeof(*in), 0, DSM_RELEASE_KEEP);
	if (!b->rank)
		fd = invite(b, in);
	bench_barrier(b);
	if (b->rank)
		in->far[b->rank] = !join(b, in);
	bench_barrier(b);
	if (any_far(in))
		open_far(b, in);
	bench_free(b, in);
	if (fd >= 0)
		close(fd);
}

void side_close(struct bench *b)
{
	if (b->far) {
		side_link_close();
		bench_free(b, b->side);
	} else {
		munmap(b->side, sizeof(struct side));
	}
	b->side = NULL;
}

/* Who: several may wait for different values of one word, and only one of them is to be woken. */
static void futex_wait(uint32_t *word, uint32_t while_value, unsigned who)
{
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET, while_value, NULL, NULL, 1u << who % 32);
}

static void futex_wake(uint32_t *word, unsigned who)
{
	syscall(SYS_futex, word, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 1u << who % 32);
}

/* Wait until *word is value; pairs with the release of whoever stores it. */
static void sleep_until(uint32_t *word, uint32_t value, unsigned who)
{
	uint32_t now;

	while ((now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		futex_wait(word, now, who);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void spin_until(uint32_t *word, uint32_t value)
{
	for (unsigned spins = 1; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value; spins++) {
		cpu_relax();
		if (spins % SPINS_BEFORE_YIELD == 0)
			sched_yield();
	}
}

static void send_word(uint32_t *word, uint32_t value, bool spin)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	if (!spin)
		futex_wake(word, 0);
}

static void await_word(uint32_t *word, uint32_t value, bool spin, unsigned who)
{
	if (spin)
		spin_until(word, value);
	else
		sleep_until(word, value, who);
}

/* Between hosts turns and round trips share a connection, and the last turn of a block may come
 * before the first round trip of the next. */
#define TURN_OF 0x80000000u

/* The next word that is no turn; a turn before it is noted. */
static uint32_t far_recv(struct bench *b, bool spin)
{
	uint32_t word;

	while ((word = side_link_recv(b, spin)) & TURN_OF)
		b->turn = word == (TURN_OF | b->rank);
	return word;
}

void side_turn_wait(struct bench *b, bool spin)
{
	if (!b->far)
		await_word(&b->side->turn, b->rank, spin, b->rank);
	else if (!b->turn)
		b->turn = side_link_recv(b, spin) == (TURN_OF | b->rank);
}

void side_turn_pass(struct bench *b, unsigned to)
{
	if (!b->far) {
		__atomic_store_n(&b->side->turn, to, __ATOMIC_RELEASE);
		futex_wake(&b->side->turn, to);
		return;
	}
	b->turn = to == b->rank;
	if (!b->turn)
		side_link_send(b, TURN_OF | to);
}

void side_samples_give(struct bench *b, struct samples *s)
{
	struct side *side = b->side;

	if (b->rank == 1) {
		side->nsamples = s->n < SIDE_SAMPLES_MAX ? (uint32_t)s->n : SIDE_SAMPLES_MAX;
		if (side->nsamples)
			memcpy(side->samples, s->us, side->nsamples * sizeof(*s->us));
	}
	bench_barrier(b);
	for (uint32_t i = 0; !b->rank && i < side->nsamples; i++)
		samples_add(s, side->samples[i]);
	bench_barrier(b);
}

/* Confine this thread to the nth of the cores it may use, if there are so many; *old: those. */
static void pin(unsigned nth, cpu_set_t *old)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_ZERO(old);
	if (sched_getaffinity(0, sizeof(*old), old) || (unsigned)CPU_COUNT(old) <= nth)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, old) && !nth--)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void trip(struct bench *b, bool spin, struct samples *s)
{
	struct side *side = b->side;
	uint32_t round = ++b->rounds;
	uint64_t start_ns = bench_now_ns();

	if (b->far) {
		if (b->rank == 0)
			side_link_send(b, round);
		if (far_recv(b, spin) != round)
			bench_fail(b, "the side channel lost a message");
		if (b->rank == 0)
			samples_add(s, bench_us_since(start_ns));
		else
			side_link_send(b, round);
	} else if (b->rank == 0) {
		send_word(&side->ping, round, spin);
		await_word(&side->pong, round, spin, 0);
		samples_add(s, bench_us_since(start_ns));
	} else {
		await_word(&side->ping, round, spin, 0);
		send_word(&side->pong, round, spin);
	}
}

void side_round_trips(struct bench *b, bool spin, size_t n, struct samples *s)
{
	cpu_set_t cores;

	if (b->rank > 1)
		return;
	/* two that spin on one core, where a wake-up may have left them, measure the scheduler */
	if (spin)
		pin(b->rank, &cores);
	for (size_t i = 0; i < n; i++)
		trip(b, spin, s);
	if (spin)
		sched_setaffinity(0, sizeof(cores), &cores);
}
