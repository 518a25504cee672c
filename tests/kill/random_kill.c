/* SPDX-License-Identifier: MIT */
/*
 * Runs the examples as three or four ranks and kills one of them at a random moment. The others
 * must end in time: done, or with a sentence and a status that is not zero, or by SIGBUS.
 *
 *	random_kill DIRECTORY ROUNDS [SEED [ROUND]]
 *
 * DIRECTORY has the examples. The seed is printed; with it and a round's number that round alone is
 * run again.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

#define RANKS_LEAST 3u
#define DEATH_S     10.0
/* Longer than the start, and than most of the examples take. */
#define SPREAD_MS 500.0
#define TEXT_MAX  8192

static const char *const examples[] = { "02_counter", "04_heat", "05_pagerank", "06_wordcount" };

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

/* A survivor may be done, or say why it is not, or have touched what is lost. */
static bool well_ended(int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGBUS;
	return WEXITSTATUS(status) == 0 || (WEXITSTATUS(status) == 1 && said[0]);
}

static bool check(const struct job *j, unsigned victim)
{
	bool ok = true, failed = false;

	for (unsigned r = 0; r < j->size; r++) {
		int status = j->rank[r].status;

		if (r == victim || well_ended(status)) {
			failed |= r != victim && WIFEXITED(status) && WEXITSTATUS(status) == 1;
			continue;
		}
		printf("rank %u: %s\n", r, job_status_text(status));
		ok = false;
	}
	/* Who fails names the death; a warning of a lost connection is not enough. */
	if (failed && !strstr(said, "died") && !strstr(said, "ended or gave up") &&
	    !strstr(said, "missing") && !strstr(said, "went away")) {
		printf("no rank says that another has died\n");
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

static bool round_of(const char *directory, unsigned seed, unsigned number)
{
	uint64_t state = (uint64_t)seed << 32 | number;
	unsigned size = RANKS_LEAST + (unsigned)(uniform(&state) * 2);
	unsigned victim = (unsigned)(uniform(&state) * size);
	const char *example = examples[(unsigned)(uniform(&state) * 4)];
	double u = uniform(&state), delay_ms = u * u * SPREAD_MS;
	char program[4096];
	char *argv[] = { program, NULL };
	struct job j;
	bool ok;

	snprintf(program, sizeof(program), "%s/%s", directory, example);
	listen_to();
	start(&j, size, argv);
	nanosleep(&(struct timespec){ .tv_nsec = (long)(delay_ms * 1e6) }, NULL);
	job_note_sockets(&j);
	job_signal(&j, victim, SIGKILL);
	job_ended(&j, victim, 10);
	ok = job_end(&j, DEATH_S);
	hear();
	ok = check(&j, victim) && ok;
	ok = job_left_nothing(&j) && ok;
	if (!ok)
		printf("FAILED   round %u of seed %u: %s, rank %u of %u after %.1f ms; they "
		       "said:\n%s\n",
		       number, seed, example, victim, size, delay_ms, said);
	else if (getenv("TEST_VERBOSE"))
		printf("ok       round %u: %s, rank %u of %u after %.1f ms: %s\n", number, example,
		       victim, size, delay_ms, job_status_text(j.rank[victim ? 0 : 1].status));
	return ok;
}

int main(int argc, char **argv)
{
	unsigned rounds, seed;
	struct stat st;
	bool ok = true;

	if (argc < 3) {
		fprintf(stderr, "usage: random_kill DIRECTORY ROUNDS [SEED [ROUND]]\n");
		return 2;
	}
	if (stat(argv[1], &st)) {
		printf("skipped: there are no examples in %s\n", argv[1]);
		return 77;
	}
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)time(NULL);
	printf("seed %u\n", seed);
	setenv("DSM_SPACE", "1G", 0);
	/* A rank that is dead before it has joined is waited for until here. */
	setenv("DSM_TIMEOUT_MS", "3000", 0);
	if (argc > 4)
		return round_of(argv[1], seed, (unsigned)strtoul(argv[4], NULL, 10)) ? 0 : 1;
	for (unsigned i = 0; i < rounds; i++)
		ok &= round_of(argv[1], seed, i);
	return ok ? 0 : 1;
}
