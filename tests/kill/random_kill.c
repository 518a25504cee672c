/* SPDX-License-Identifier: MIT */
/*
 * Runs the examples as three or four ranks and kills one of them at a random moment. The others
 * must end in time: done, or with a sentence that names the dead rank and a status that is not
 * zero, or by SIGBUS; and nothing of the job may be left.
 *
 *	random_kill DIRECTORY ROUNDS [SEED [ROUND]]
 *
 * DIRECTORY has the examples. The seed is printed; with it and a round's number that round alone is
 * run again. Rounds run side by side, because most of them wait most of the time: each worker is a
 * process, so that it knows its job's processes from those of the others, and adopts orphans.
 */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

#define RANKS_LEAST 3u
#define DEATH_S     10.0
#define WORKERS     3u
#define TEXT_MAX    8192

/* Moments are spread over what each takes on a machine of two processors, most of them early. */
static const struct example {
	const char *name;
	double spread_ms;
} examples[] = {
	{ "02_counter", 800 }, { "03_producer_consumer", 300 }, { "04_heat", 500 },
	{ "05_pagerank", 45 }, { "06_wordcount", 35 },
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

/* How rounds ended; shared by the workers, each of which has its own. */
struct tally {
	unsigned rounds, failed;
	unsigned survivors, done, told, sigbus; /* told: failed with a sentence */
	unsigned too_late; /* all were done before the kill */
};

/* What the ranks said: their stderr. Read when all have ended. */
static char said[TEXT_MAX];
static int said_fd = -1;

static void listen_to(void)
{
	if (said_fd >= 0)
		close(said_fd);
	said_fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (said_fd < 0) {
		perror("/tmp");
		exit(1);
	}
}

static void hear(void)
{
	ssize_t n = pread(said_fd, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = '\0';
}

/* The ranks inherit a quiet stdout and the file as stderr. */
static void start(struct job *j, unsigned size, char *const argv[])
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	fcntl(out, F_SETFD, FD_CLOEXEC);
	fcntl(err, F_SETFD, FD_CLOEXEC);
	fflush(NULL);
	dup2(null, STDOUT_FILENO);
	dup2(said_fd, STDERR_FILENO);
	job_start(j, size, argv);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(null);
}

/* Is there "rank 2", "ranks 1, 2" or "missing: 2" in the text? */
static bool names_rank(const char *text, unsigned rank)
{
	static const char *const before[] = { "ank ", "anks ", "missing: " };

	for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		for (const char *at = text; (at = strstr(at, before[i]));) {
			at += strlen(before[i]);
			while (isdigit((unsigned char)*at)) {
				char *end;

				if (strtoul(at, &end, 10) == rank)
					return true;
				at = end + strspn(end, ", -");
			}
		}
	}
	return false;
}

/* Who fails names the dead rank; a warning of a lost connection is not enough. */
static bool somebody_blames(unsigned victim)
{
	char text[TEXT_MAX], *line, *rest = text;

	memcpy(text, said, sizeof(text));
	while ((line = strsep(&rest, "\n")))
		if (!strstr(line, "lost the connection") && names_rank(line, victim))
			return true;
	return false;
}

/* A survivor may be done, or say why it is not, or have touched what is lost. */
static bool well_ended(int status, struct tally *t)
{
	t->survivors++;
	if (WIFSIGNALED(status)) {
		t->sigbus += WTERMSIG(status) == SIGBUS;
		return WTERMSIG(status) == SIGBUS;
	}
	t->done += WEXITSTATUS(status) == 0;
	t->told += WEXITSTATUS(status) == 1 && said[0];
	return WEXITSTATUS(status) == 0 || (WEXITSTATUS(status) == 1 && said[0]);
}

static bool check(const struct job *j, unsigned victim, struct tally *t)
{
	unsigned done = t->done;
	bool ok = true;

	for (unsigned r = 0; r < j->size; r++) {
		if (r == victim || well_ended(j->rank[r].status, t))
			continue;
		printf("rank %u: %s\n", r, job_status_text(j->rank[r].status));
		ok = false;
	}
	if (t->done - done == j->size - 1) {
		t->too_late++;
		return ok;
	}
	if (!somebody_blames(victim)) {
		printf("no rank says that rank %u has died\n", victim);
		ok = false;
	}
	return ok;
}

/* From 0 to below 1. Steps through all 64-bit states; the mixing makes neighbours differ. */
static double uniform(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	return (double)((x ^ x >> 32) >> 11) * 0x1p-53;
}

static void round_of(const char *directory, unsigned seed, unsigned number, struct tally *t)
{
	uint64_t state = (uint64_t)seed << 32 | number;
	unsigned size = RANKS_LEAST + (unsigned)(uniform(&state) * 2);
	unsigned victim = (unsigned)(uniform(&state) * size);
	const struct example *example = &examples[(unsigned)(uniform(&state) * EXAMPLES)];
	double u = uniform(&state), delay_ms = u * u * example->spread_ms;
	char program[4096];
	char *argv[] = { program, NULL };
	struct job j;
	bool ok;

	snprintf(program, sizeof(program), "%s/%s", directory, example->name);
	listen_to();
	start(&j, size, argv);
	nanosleep(&(struct timespec){ .tv_nsec = (long)(delay_ms * 1e6) }, NULL);
	job_note_sockets(&j);
	job_signal(&j, victim, SIGKILL);
	job_ended(&j, victim, 10);
	ok = job_end(&j, DEATH_S);
	hear();
	ok = check(&j, victim, t) && ok;
	ok = job_left_nothing(&j) && ok;
	t->rounds++;
	t->failed += !ok;
	if (!ok)
		printf("FAILED   round %u of seed %u: %s, rank %u of %u after %.1f ms; they "
		       "said:\n%s\n",
		       number, seed, example->name, victim, size, delay_ms, said);
	else if (getenv("TEST_VERBOSE"))
		printf("ok       round %u: %s, rank %u of %u after %.1f ms: %s\n", number,
		       example->name, victim, size, delay_ms,
		       job_status_text(j.rank[victim ? 0 : 1].status));
	fflush(stdout);
}

/* Every WORKERS-th round, from the first on. */
static _Noreturn void work(const char *directory, unsigned first, unsigned rounds, unsigned seed,
			   pid_t driver, struct tally *t)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != driver)
		_exit(1);
	/* What a rank might leave running becomes a child here, which job_left_nothing() sees. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (unsigned i = first; i < rounds; i += WORKERS)
		round_of(directory, seed, i, t);
	_exit(0);
}

static void run_all(const char *directory, unsigned rounds, unsigned seed, struct tally *t)
{
	pid_t driver = getpid(), worker[WORKERS];

	fflush(NULL);
	for (unsigned w = 0; w < WORKERS; w++) {
		worker[w] = fork();
		if (worker[w] == 0)
			work(directory, w, rounds, seed, driver, &t[w]);
	}
	for (unsigned w = 0; w < WORKERS; w++)
		if (worker[w] < 0 || waitpid(worker[w], NULL, 0) != worker[w])
			perror("a worker");
}

/* One line; true: every round was run and is well. */
static bool sum_up(const struct tally *t, unsigned rounds, double took_s)
{
	struct tally sum = { 0 };

	for (unsigned w = 0; w < WORKERS; w++) {
		sum.rounds += t[w].rounds;
		sum.failed += t[w].failed;
		sum.survivors += t[w].survivors;
		sum.done += t[w].done;
		sum.told += t[w].told;
		sum.sigbus += t[w].sigbus;
		sum.too_late += t[w].too_late;
	}
	printf("%u rounds in %.1f s, %u failed; of %u survivors %u named the dead rank, %u got "
	       "SIGBUS, %u were done (in %u rounds all of them)\n",
	       sum.rounds, took_s, sum.failed, sum.survivors, sum.told, sum.sigbus, sum.done,
	       sum.too_late);
	return sum.rounds == rounds && !sum.failed;
}

int main(int argc, char **argv)
{
	unsigned rounds, seed;
	struct tally *tally;
	struct stat st;
	double start_s;

	if (argc < 3) {
		fprintf(stderr, "usage: random_kill DIRECTORY ROUNDS [SEED [ROUND]]\n");
		return 2;
	}
	if (stat(argv[1], &st)) {
		printf("skipped: there are no examples in %s\n", argv[1]);
		return 77;
	}
	tally = mmap(NULL, WORKERS * sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)time(NULL);
	printf("seed %u\n", seed);
	setenv("DSM_SPACE", "1G", 0);
	/* A rank that is dead before it has joined is waited for until here. */
	setenv("DSM_TIMEOUT_MS", "3000", 0);
	start_s = job_now_s();
	if (argc > 4) {
		rounds = 1;
		round_of(argv[1], seed, (unsigned)strtoul(argv[4], NULL, 10), tally);
	} else {
		run_all(argv[1], rounds, seed, tally);
	}
	return sum_up(tally, rounds, job_now_s() - start_s) ? 0 : 1;
}
