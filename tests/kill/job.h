/* SPDX-License-Identifier: MIT */
/*
 * A job of ranks that a test starts by hand, and whose deaths it arranges.
 *
 * The driver knows each rank by its pid, signals by pid alone, and gives up on everything at a
 * deadline. A rank has two pipes to it: it tells that it is ready, and hears that it may go on.
 * Ranks die with their driver.
 */
#ifndef JOB_H
#define JOB_H

#include <stdbool.h>
#include <sys/types.h>

#define JOB_RANKS_MAX   8u
#define JOB_SOCKETS_MAX 32u

struct job_rank {
	pid_t pid;
	int pidfd;
	int ready_fd; /* the rank's bytes arrive here */
	int go_fd; /* the driver's bytes leave here */
	bool ended;
	int status; /* as waitpid() gave it, once ended */
};

struct job {
	unsigned size;
	struct job_rank rank[JOB_RANKS_MAX];
	unsigned nsockets;
	char socket[JOB_SOCKETS_MAX][64]; /* abstract names that the ranks had */
};

/* Seconds on the monotonic clock. */
double job_now_s(void);

/*
 * Start argv[0] as ranks 0 to size - 1. They find JOB_READY_FD and JOB_GO_FD in the environment.
 * Ends the driver if a process cannot be made.
 */
void job_start(struct job *j, unsigned size, char *const argv[]);

/* Wait until every rank that lives has told once more that it is ready; @except: but this one. */
bool job_ready(struct job *j, int except, double limit_s);
/* Wait until all threads of every living rank but @except sleep: in a call, or on a page. */
bool job_asleep(struct job *j, int except, double limit_s);
/* Let a rank go on. */
void job_go(struct job *j, unsigned rank);
/* Let all go on, for good. */
void job_go_all(struct job *j);
/* Send a signal to a rank that has not been waited for. */
void job_signal(struct job *j, unsigned rank, int sig);
/* Wait until SIGSTOP has stopped it. */
bool job_stopped(struct job *j, unsigned rank, double limit_s);
/* Wait until a rank has ended. */
bool job_ended(struct job *j, unsigned rank, double limit_s);
/* Wait for all; who is late is named, killed, and waited for: false. */
bool job_end(struct job *j, double limit_s);
/* Note the abstract sockets that the ranks have open now. */
void job_note_sockets(struct job *j);
/* Is anything of the job left on this machine? Says what. */
bool job_left_nothing(const struct job *j);
/* "exit status 3", "Killed". */
const char *job_status_text(int status);

#endif
