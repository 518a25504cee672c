/* SPDX-License-Identifier: MIT */
/*
 * See worker.h.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

#define DECISIONS_MAX (1u << 20)
/* A schedule takes a millisecond; where it takes this long, it does not end. */
#define SCHEDULE_SECONDS 30u

struct shared {
	struct outcome outcome;
	size_t ndecisions;
	uint32_t decision[DECISIONS_MAX];
};

static struct shared *shared;
static struct decisions recorded;
static const struct job *job_now; /* in the child */

static void shared_init(void)
{
	if (shared)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED) {
		perror("sim: no memory to share with the runs");
		abort();
	}
	recorded.value = shared->decision;
	recorded.room = DECISIONS_MAX;
}

void cluster_failed(struct cluster *c, const char *text)
{
	snprintf(shared->outcome.text, sizeof(shared->outcome.text), "%s", text);
	shared->outcome.failed = true;
	if (job_now->show) {
		cluster_show(c);
		history_print(run_history(), stderr);
	}
	shared->ndecisions = recorded.n;
	fflush(NULL);
	_exit(1);
}

static uint64_t seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

static void run_all(const struct job *job)
{
	uint64_t end = job->seconds ? seconds_now() + job->seconds : UINT64_MAX;
	struct outcome *o = &shared->outcome;
	struct plan own;

	for (uint64_t i = 0; i < job->schedules && seconds_now() < end; i++) {
		struct run_options options = { .seed = job->first + i,
					       .replay = job->replay,
					       .record = job->record ? &recorded : NULL,
					       .checks = job->checks,
					       .trace = job->trace };

		o->seed = job->first + i;
		o->schedules = i + 1;
		if (!job->plan)
			plan_create(&own, o->seed);
		alarm(SCHEDULE_SECONDS);
		run_plan(job->plan ? job->plan : &own, &options, &o->sum);
	}
	alarm(0);
	shared->ndecisions = recorded.n;
}

static void child_ended(int status)
{
	struct outcome *o = &shared->outcome;

	if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || o->failed))
		return;
	o->failed = true;
	shared->ndecisions = 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(o->text, sizeof(o->text), "no end after %u s", SCHEDULE_SECONDS);
	else if (WIFSIGNALED(status))
		snprintf(o->text, sizeof(o->text), "crashed: %s", strsignal(WTERMSIG(status)));
	else
		snprintf(o->text, sizeof(o->text), "ended with status %d", WEXITSTATUS(status));
}

void worker_run(const struct job *job, struct outcome *outcome)
{
	int status;
	pid_t pid;

	shared_init();
	memset(&shared->outcome, 0, sizeof(shared->outcome));
	recorded.n = 0;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		job_now = job;
		run_all(job);
		fflush(NULL);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("sim: no process for the runs");
		abort();
	}
	child_ended(status);
	*outcome = shared->outcome;
}

const struct decisions *worker_decisions(void)
{
	recorded.n = shared->ndecisions < DECISIONS_MAX ? shared->ndecisions : DECISIONS_MAX;
	return &recorded;
}
