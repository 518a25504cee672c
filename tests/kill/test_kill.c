/* SPDX-License-Identifier: MIT */
/*
 * Kills a rank in the middle of things, and looks that the others end as the header says: with
 * -EHOSTDOWN or SIGBUS, in time, leaving nothing behind.
 *
 *	test_kill				all scenarios
 *	test_kill SCENARIO			one of them
 *	test_kill SCENARIO VICTIM WAY [SEED]	one run of it: "test_kill home 2 segv"
 *
 * The driver starts itself as the ranks. Exit status 0, 1, or 77: no userfaultfd here.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "job.h"
#include "scenario.h"

#define RANKS 3u
/* For what takes milliseconds: on a machine that is busy with other things. */
#define LIMIT_S 10.0
/* From a death, or the end of a stop, to the end of all: longer than no deadline of the library. */
#define DEATH_S 8.0
#define LONG_MS "60000"
/* Random moments are spread over this much, most of them early: there most happens. */
#define SPREAD_US 40000.0
#define ROUNDS    12u

static const struct scenario *const lists[] = { sync_scenarios, page_scenarios, call_scenarios };

#define for_each_scenario(s)                                                                       \
	for (size_t list_ = 0; list_ < sizeof(lists) / sizeof(lists[0]); list_++)                  \
		for (const struct scenario *s = lists[list_]; s->name; s++)

/*
 * A rank
 */

static int run_rank(const struct scenario *s, unsigned victim, const char *way)
{
	struct rank r = { .victim = victim, .way = way, .size = RANKS };

	r.home = victim == 0 ? 1 : 0;
	r.other = RANKS - r.home - victim;
	r.rank = (unsigned)atoi(getenv("DSM_RANK"));
	if (s->main)
		return s->main(&r);
	CHECK_IS(dsm_init(&r.d, NULL), 0);
	if (r.rank == victim)
		s->victim(&r);
	else
		s->survivor(&r);
	if (!s->leaves && s->moment <= STOP)
		rank_await_all();
	CHECK_IS(dsm_fini(r.d), s->moment == STOP ? 0 : -EHOSTDOWN);
	CHECK(s->moment == STOP || rank_said(victim));
	return 0;
}

/*
 * The driver
 */

static void wait_us(unsigned us)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)us * 1000 }, NULL);
}

static void go_all(struct job *j, int except)
{
	for (unsigned r = 0; r < j->size; r++)
		if ((int)r != except)
			job_go(j, r);
}

static bool strike(struct job *j, unsigned victim, const char *way)
{
	if (strcmp(way, "kill") == 0)
		job_signal(j, victim, SIGKILL);
	else
		job_go(j, victim);
	if (job_ended(j, victim, LIMIT_S))
		return true;
	fprintf(stderr, "the victim does not die\n");
	return false;
}

static bool stop(struct job *j, unsigned victim)
{
	job_signal(j, victim, SIGSTOP);
	return job_stopped(j, victim, LIMIT_S);
}

/* Bring the job to the victim's end. */
static bool drive(struct job *j, const struct scenario *s, unsigned victim, const char *way,
		  unsigned delay_us)
{
	int v = (int)victim;
	bool ok;

	if (s->moment == KILL_STARTING) {
		wait_us(delay_us);
		return strike(j, victim, way);
	}
	if (!job_ready(j, -1, LIMIT_S))
		return false;
	job_note_sockets(j);
	switch (s->moment) {
	case KILL_READY:
		ok = strike(j, victim, way);
		break;
	case KILL_WAITING:
		ok = job_asleep(j, v, LIMIT_S) && strike(j, victim, way);
		break;
	case KILL_FROZEN:
		ok = stop(j, victim);
		go_all(j, v);
		ok = ok && job_asleep(j, v, LIMIT_S) && strike(j, victim, "kill");
		break;
	case STOP:
		ok = stop(j, victim);
		go_all(j, v);
		ok = ok && job_ready(j, v, LIMIT_S);
		job_signal(j, victim, SIGCONT);
		break;
	default:
		go_all(j, -1);
		wait_us(delay_us);
		return strike(j, victim, "kill");
	}
	go_all(j, -1);
	return ok;
}

static bool expected_end(const struct scenario *s, unsigned victim, unsigned rank, int status)
{
	if (rank == victim && s->moment != STOP)
		return true;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* All are through with what they had to look at? Then they may leave. */
static bool see_off(struct job *j, const struct scenario *s)
{
	bool ok = s->leaves || s->moment > STOP || job_ready(j, -1, DEATH_S);

	job_go_all(j);
	return ok;
}

static bool run_once(const struct scenario *s, unsigned victim, const char *way, unsigned seed)
{
	unsigned drawn = seed;
	double u = (double)rand_r(&drawn) / RAND_MAX;
	unsigned delay_us = (unsigned)(SPREAD_US * u * u * u);
	char number[16], timeout[16];
	char *argv[] = { (char *)"/proc/self/exe",
			 (char *)"--rank",
			 (char *)s->name,
			 number,
			 (char *)way,
			 NULL };
	bool ok, in_time;
	struct job j;

	snprintf(number, sizeof(number), "%u", victim);
	snprintf(timeout, sizeof(timeout), "%u", s->timeout_ms);
	setenv("DSM_TIMEOUT_MS", s->timeout_ms ? timeout : LONG_MS, 1);
	setenv("DSM_SYNC_TIMEOUT_MS", LONG_MS, 1);
	job_start(&j, RANKS, argv);
	ok = drive(&j, s, victim, way, delay_us) && see_off(&j, s);
	in_time = job_end(&j, ok ? DEATH_S : 0.5);
	ok = ok && in_time;
	for (unsigned r = 0; r < RANKS; r++) {
		if (expected_end(s, victim, r, j.rank[r].status))
			continue;
		fprintf(stderr, "rank %u: %s\n", r, job_status_text(j.rank[r].status));
		ok = false;
	}
	return job_left_nothing(&j) && ok;
}

static bool run_told(const struct scenario *s, unsigned victim, const char *way, unsigned seed)
{
	double start = job_now_s();
	bool ok = run_once(s, victim, way, seed);

	printf("%-8s %s %u %s %u (%.2f s)\n", ok ? "ok" : "FAILED", s->name, victim, way, seed,
	       job_now_s() - start);
	fflush(stdout);
	return ok;
}

/* Every victim that differs (rank 0 is the others' root), every way to die at least once. */
static bool run_scenario(const struct scenario *s, unsigned seed)
{
	static const char *const ways[] = { "kill", "segv", "abort", "exit" };
	bool ok = true;

	if (s->moment == KILL_STARTING || s->moment == KILL_LEAVING) {
		for (unsigned i = 0; i < ROUNDS; i++)
			ok &= run_told(s, i % RANKS, "kill", seed + i);
		return ok;
	}
	for (unsigned victim = 0; victim < RANKS; victim++)
		ok &= run_told(s, victim, "kill", seed);
	if (s->moment != KILL_READY && s->moment != KILL_WAITING)
		return ok;
	for (unsigned i = 1; i < sizeof(ways) / sizeof(ways[0]); i++)
		ok &= run_told(s, i % RANKS, ways[i], seed);
	return ok;
}

/* Under mpirun, which watches the ranks itself: under_mpirun.sh. */
static int run_under_mpirun(unsigned victim, int sig)
{
	struct rank r = { .victim = victim };

	CHECK_IS(dsm_init(&r.d, NULL), 0);
	printf("pid %d\n", (int)getpid());
	fflush(stdout);
	CHECK_IS(dsm_barrier(r.d), 0);
	if (dsm_rank(r.d) == victim)
		kill(getpid(), sig);
	CHECK_IS(dsm_barrier(r.d), -EHOSTDOWN);
	CHECK_IS(dsm_fini(r.d), -EHOSTDOWN);
	return 0;
}

/* A cluster of one in a child: can there be ranks here at all? */
static void skip_without_userfaultfd(void)
{
	struct dsm *d;
	int err, status = 0;
	pid_t pid;

	unsetenv("DSM_RANK");
	unsetenv("DSM_SIZE");
	unsetenv("DSM_ROOT");
	pid = fork();
	if (pid == 0) {
		err = dsm_init(&d, &(struct dsm_config){ .launch = "alone" });
		if (err == 0)
			dsm_fini(d);
		else
			printf("skipped: %s\n", dsm_errmsg());
		fflush(stdout);
		_exit(err == -EPERM || err == -ENOSYS || err == -EOPNOTSUPP ? 77 : 0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		exit(77);
}

static const struct scenario *find(const char *name)
{
	for_each_scenario(s) if (strcmp(s->name, name) == 0) return s;
	fprintf(stderr, "no scenario is named \"%s\"\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	unsigned seed = (unsigned)time(NULL);
	bool ok = true;

	if (argc == 5 && strcmp(argv[1], "--rank") == 0)
		return run_rank(find(argv[2]), (unsigned)atoi(argv[3]), argv[4]);
	if (argc == 4 && strcmp(argv[1], "--mpirun") == 0)
		return run_under_mpirun((unsigned)atoi(argv[2]),
					strcmp(argv[3], "SEGV") == 0 ? SIGSEGV : SIGKILL);
	skip_without_userfaultfd();
	setenv("DSM_LOG", "error", 0);
	setenv("DSM_SPACE", "256M", 1);
	if (argc > 3) {
		ok = run_told(find(argv[1]), (unsigned)atoi(argv[2]) % RANKS, argv[3],
			      argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : seed);
	} else if (argc > 1) {
		ok = run_scenario(find(argv[1]), seed);
	} else {
		for_each_scenario(s) ok &= run_scenario(s, seed);
	}
	return ok ? 0 : 1;
}
