/* SPDX-License-Identifier: MIT */
/*
 * One-sided communication without libdsm: what dsm_bench measures, on the system that this program
 * is linked with. Prints lines of the report: test,bytes,ranks,system,repeat,value,unit.
 *
 *	mpirun.mpich -n 2 build/bench/peers/mpich mpich 1 5 20
 *
 * The arguments: the system's name, the number of this run, blocks of measurements, seconds after
 * which no other test begins; then, if they are to be others than usual, sizes of transfers, in
 *bytes. All ranks on one host. Exit status 0; 1 if data is not what was written; 2 for a wrong
 *command line.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "measure.h"
#include "peer.h"

#define EXIT_USAGE 2

void measure_fail(const struct measure *m, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s[%u]: ", m->system, peer_rank());
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort(); /* the launcher ends the others */
}

static void print_line(const struct measure *m, const char *test, size_t bytes, double value,
		       const char *unit)
{
	if (peer_rank())
		return;
	printf("%s,%zu,%u,%s,%s,%.4f,%s\n", test, bytes, peer_size(), m->system, m->repeat, value,
	       unit);
	fflush(stdout);
}

void measure_report(const struct measure *m, const char *test, size_t bytes, struct samples *s)
{
	struct summary summary;

	samples_summarize(s, &summary);
	samples_clear(s);
	print_line(m, test, bytes, summary.median_us, "us");
	print_line(m, test, bytes, summary.p99_us, "us 99%");
}

void measure_report_rate(const struct measure *m, const char *test, size_t bytes, size_t moved,
			 struct samples *s)
{
	struct summary summary;

	samples_summarize(s, &summary);
	samples_clear(s);
	print_line(m, test, bytes, (double)moved / summary.median_us, "MB/s");
}

bool measure_goes_on(const struct measure *m)
{
	uint64_t *stop = peer_shared() + PEER_STOP;

	if (!peer_shared())
		return true;
	if (!peer_rank() && now_ns() >= m->end_ns)
		__atomic_store_n(stop, 1, __ATOMIC_RELEASE);
	peer_sync();
	return !__atomic_load_n(stop, __ATOMIC_ACQUIRE);
}

/* As dsm_bench's private memory: resident, in 4 KiB pages. */
static uint8_t *private_memory(void)
{
	void *p = mmap(NULL, TRANSFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(EXIT_FAILURE);
	}
	madvise(p, TRANSFER_BYTES, MADV_NOHUGEPAGE);
	memset(p, 1, TRANSFER_BYTES);
	return p;
}

/* A number from 1 to most, or 0. */
static size_t parse(const char *text, size_t most)
{
	char *end;
	size_t n = strtoul(text, &end, 10);

	return *text && !*end && n <= most ? n : 0;
}

/* False: not a command line of this program's. */
static bool parse_all(struct measure *m, int argc, char **argv)
{
	if (argc < 5 || argc > 5 + (int)TRANSFER_SIZES_MAX)
		return false;
	*m = (struct measure){ .system = argv[1], .repeat = argv[2] };
	m->blocks = (unsigned)parse(argv[3], 1000);
	m->end_ns = parse(argv[4], 1000) * 1000000000u;
	if (!m->blocks || !m->end_ns)
		return false;
	m->end_ns += now_ns();
	if (argc == 5)
		memcpy(m->sizes, transfer_sizes, sizeof(m->sizes));
	for (int i = 5; i < argc; i++)
		if (!(m->sizes[i - 5] = parse(argv[i], TRANSFER_BYTES)))
			return false;
	return true;
}

static void measure(struct measure *m)
{
	measure_sync(m);
	measure_transfers(m);
	if (!measure_goes_on(m) && !peer_rank())
		fprintf(stderr, "%s: no time for all of its tests\n", m->system);
}

int main(int argc, char **argv)
{
	struct measure m;

	if (!parse_all(&m, argc, argv)) {
		fprintf(stderr,
			"usage: mpirun -n 2 %s SYSTEM REPEAT BLOCKS SECONDS [BYTES...]\n"
			"BLOCKS of measurements and SECONDS are numbers from 1 to 1000\n",
			argv[0]);
		return EXIT_USAGE;
	}
	m.private = private_memory();
	peer_init(&argc, &argv, TRANSFER_BYTES * (TRANSFER_RANKS_MAX - 1));
	if (peer_size() < 2 || peer_size() > TRANSFER_RANKS_MAX)
		measure_fail(&m, "%u ranks; it takes 2 to %u", peer_size(), TRANSFER_RANKS_MAX);
	measure(&m);
	peer_fini();
	munmap(m.private, TRANSFER_BYTES);
	return EXIT_SUCCESS;
}
