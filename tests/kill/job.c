/* SPDX-License-Identifier: MIT */
/*
 * See job.h.
 */
#include "job.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Between two looks at what has no event: a thread that goes to sleep, a process that stops. */
#define LOOK_NS 500000
/* For a process whose end has been told to be waited for. */
#define REAP_S 1.0
/* Looks in a row that must find a thread asleep: one that waits for a moment alone is awake. */
#define LOOKS_ASLEEP 6u

double job_now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void look_again_later(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A port that is free now, below those that are given to whoever asks for any, as clients do. */
static unsigned free_port(void)
{
	static unsigned n;

	for (;;) {
		struct sockaddr_in sa = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		unsigned at = 20000 + ((unsigned)getpid() * 61 + n++) % 12000;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

		if (fd < 0)
			die("a socket");
		sa.sin_port = htons((uint16_t)at);
		err = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
		close(fd);
		if (!err)
			return at;
	}
}

static void set_number(const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	setenv(name, text, 1);
}

static _Noreturn void become_rank(unsigned rank, pid_t driver, int ready_fd, int go_fd,
				  char *const argv[])
{
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != driver)
		_exit(1);
	setrlimit(RLIMIT_CORE, &none);
	fcntl(ready_fd, F_SETFD, 0);
	fcntl(go_fd, F_SETFD, 0);
	set_number("DSM_RANK", rank);
	set_number("JOB_READY_FD", (unsigned)ready_fd);
	set_number("JOB_GO_FD", (unsigned)go_fd);
	execv(argv[0], argv);
	perror(argv[0]);
	_exit(1);
}

static void start_rank(struct job *j, unsigned rank, char *const argv[])
{
	struct job_rank *r = &j->rank[rank];
	pid_t driver = getpid();
	int ready[2], go[2];

	if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		die("pipe2");
	*r = (struct job_rank){ .pid = fork(), .ready_fd = ready[0], .go_fd = go[1] };
	if (r->pid < 0)
		die("fork");
	if (r->pid == 0)
		become_rank(rank, driver, ready[1], go[0], argv);
	close(ready[1]);
	close(go[0]);
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->pidfd < 0)
		die("pidfd_open");
}

void job_start(struct job *j, unsigned size, char *const argv[])
{
	char root[32];

	memset(j, 0, sizeof(*j));
	j->size = size;
	snprintf(root, sizeof(root), "127.0.0.1:%u", free_port());
	setenv("DSM_ROOT", root, 1);
	set_number("DSM_SIZE", size);
	signal(SIGPIPE, SIG_IGN); /* a rank that is dead is told to go on all the same */
	fflush(NULL);
	for (unsigned r = 0; r < size; r++)
		start_rank(j, r, argv);
}

static int left_ms(double end_s)
{
	double left = end_s - job_now_s();

	return left > 0 ? (int)(left * 1e3) + 1 : 0;
}

static bool readable(int fd, double end_s)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, left_ms(end_s));
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

static void close_go(struct job_rank *r)
{
	if (r->go_fd >= 0)
		close(r->go_fd);
	r->go_fd = -1;
}

bool job_ended(struct job *j, unsigned rank, double limit_s)
{
	struct job_rank *r = &j->rank[rank];
	double end = job_now_s() + limit_s;

	if (r->ended)
		return true;
	if (!readable(r->pidfd, end))
		return false;
	/* The news may be a moment ahead of the last thread's end. */
	while (waitpid(r->pid, &r->status, WNOHANG) != r->pid) {
		if (job_now_s() > end + REAP_S)
			return false;
		look_again_later();
	}
	r->ended = true;
	close(r->pidfd);
	close(r->ready_fd);
	close_go(r);
	return true;
}

bool job_ready(struct job *j, int except, double limit_s)
{
	double end = job_now_s() + limit_s;
	char byte;

	for (unsigned r = 0; r < j->size; r++) {
		if ((int)r == except || j->rank[r].ended)
			continue;
		if (!readable(j->rank[r].ready_fd, end) ||
		    read(j->rank[r].ready_fd, &byte, 1) != 1) {
			fprintf(stderr, "rank %u did not become ready\n", r);
			return false;
		}
	}
	return true;
}

/* First line of a file of /proc; empty if it is gone. */
static void proc_line(char *line, int len, pid_t pid, const char *tid, const char *name)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", (int)pid, tid, name);
	line[0] = '\0';
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(line, len, f))
		line[0] = '\0';
	fclose(f);
}

/* In a call, or (-1: in none) on a page. One that reads waits for the driver. */
static bool thread_asleep(pid_t pid, const char *tid)
{
	char line[512];
	const char *state;

	proc_line(line, sizeof(line), pid, tid, "comm");
	if (strcmp(line, "dsm-agent\n") == 0)
		return true;
	proc_line(line, sizeof(line), pid, tid, "stat");
	state = strrchr(line, ')');
	if (!state || (state[2] != 'S' && state[2] != 'D'))
		return false;
	proc_line(line, sizeof(line), pid, tid, "syscall");
	return line[0] == '-' ||
	       (isdigit((unsigned char)line[0]) && strtol(line, NULL, 10) != SYS_read);
}

static bool process_asleep(pid_t pid)
{
	char path[64];
	struct dirent *e;
	bool asleep = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && asleep && (e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]))
			asleep = thread_asleep(pid, e->d_name);
	if (dir)
		closedir(dir);
	return dir && asleep;
}

bool job_asleep(struct job *j, int except, double limit_s)
{
	double end = job_now_s() + limit_s;
	unsigned looks = 0;

	while (looks < LOOKS_ASLEEP) {
		bool all = true;

		for (unsigned r = 0; r < j->size && all; r++)
			all = (int)r == except || j->rank[r].ended ||
			      process_asleep(j->rank[r].pid);
		looks = all ? looks + 1 : 0;
		if (job_now_s() > end) {
			fprintf(stderr, "the ranks did not come to wait\n");
			return false;
		}
		look_again_later();
	}
	return true;
}

void job_go(struct job *j, unsigned rank)
{
	if (!j->rank[rank].ended && write(j->rank[rank].go_fd, "g", 1) != 1 && errno != EPIPE)
		perror("go");
}

void job_go_all(struct job *j)
{
	for (unsigned r = 0; r < j->size; r++)
		close_go(&j->rank[r]);
}

void job_signal(struct job *j, unsigned rank, int sig)
{
	if (!j->rank[rank].ended)
		kill(j->rank[rank].pid, sig);
}

bool job_stopped(struct job *j, unsigned rank, double limit_s)
{
	double end = job_now_s() + limit_s;
	siginfo_t info = { 0 };

	while (waitid(P_PID, (id_t)j->rank[rank].pid, &info, WSTOPPED | WNOWAIT | WNOHANG) == 0) {
		if (info.si_pid)
			return true;
		if (job_now_s() > end)
			return false;
		look_again_later();
	}
	return false;
}

bool job_end(struct job *j, double limit_s)
{
	double end = job_now_s() + limit_s;
	bool in_time = true;

	for (unsigned r = 0; r < j->size; r++) {
		double left = end - job_now_s();

		if (job_ended(j, r, left > 0 ? left : 0))
			continue;
		fprintf(stderr, "rank %u (process %d) has not ended in time\n", r,
			(int)j->rank[r].pid);
		if (getenv("JOB_INSPECT")) { /* leave it to a debugger for a while */
			fprintf(stderr, "JOB_INSPECT: waiting for it\n");
			job_ended(j, r, 3600);
		}
		in_time = false;
		job_signal(j, r, SIGKILL);
		job_ended(j, r, 10);
	}
	return in_time;
}

/*
 * What may be left
 */

/* The abstract name of the unix socket with this inode, from /proc/net/unix. */
static bool socket_name(unsigned long inode, char *name, size_t len)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[256], at[128];
	unsigned long found;
	bool is = false;

	while (f && !is && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %127s", &found, at) == 2 &&
		    found == inode && at[0] == '@') {
			snprintf(name, len, "%.60s", at);
			is = true;
		}
	}
	if (f)
		fclose(f);
	return is;
}

static void note_sockets_of(struct job *j, pid_t pid)
{
	char path[300], target[64];
	struct dirent *e;
	unsigned long inode;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)) && j->nsockets < JOB_SOCKETS_MAX) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) == 1 &&
		    socket_name(inode, j->socket[j->nsockets], sizeof(j->socket[0])))
			j->nsockets++;
	}
	if (dir)
		closedir(dir);
}

void job_note_sockets(struct job *j)
{
	for (unsigned r = 0; r < j->size; r++)
		if (!j->rank[r].ended)
			note_sockets_of(j, j->rank[r].pid);
}

static bool no_sockets(const struct job *j)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[256];
	bool none = true;

	while (f && fgets(line, sizeof(line), f)) {
		for (unsigned i = 0; i < j->nsockets; i++) {
			if (!strstr(line, j->socket[i]))
				continue;
			fprintf(stderr, "left: socket %s", line);
			none = false;
		}
	}
	if (f)
		fclose(f);
	return none;
}

static bool no_files(void)
{
	DIR *dir = opendir("/dev/shm");
	struct dirent *e;
	bool none = true;

	while (dir && (e = readdir(dir))) {
		if (!strstr(e->d_name, "dsm"))
			continue;
		fprintf(stderr, "left: /dev/shm/%s\n", e->d_name);
		none = false;
	}
	if (dir)
		closedir(dir);
	return none;
}

/* Segments are memfds: they go with the last process that has them. */
static bool no_processes(void)
{
	siginfo_t info;

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD) {
		fprintf(stderr, "left: a process\n");
		return false;
	}
	return true;
}

bool job_left_nothing(const struct job *j)
{
	bool sockets = no_sockets(j), files = no_files(), processes = no_processes();

	return sockets && files && processes;
}

const char *job_status_text(int status)
{
	static char text[64];

	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
	else
		snprintf(text, sizeof(text), "%s", strsignal(WTERMSIG(status)));
	return text;
}
