/* SPDX-License-Identifier: MIT */
/*
 * See follow.h. While a thread waits for its fault, its processor has nothing to do: an agent that
 * sleeps there is woken without another processor, finds the caches warm, and hands back likewise.
 *
 * Where a thread is costs a few system calls to learn, so it is looked up seldom, and the agent
 * stays with one thread until others alone have had faults for a while.
 */
#define _GNU_SOURCE
#include "follow.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define LOOK_NS       10000000u
#define STRANGERS_MAX 8u
/* Of a line of /proc/self/task/TID/stat, counted from the state, which follows the name. */
#define CPU_FIELD 36u

/* The processor that a thread of this process ran on last; -1: it is gone. */
static int cpu_of(pid_t tid)
{
	char text[512], *at;
	ssize_t n;
	int fd;

	snprintf(text, sizeof(text), "/proc/self/task/%d/stat", (int)tid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strrchr(text, ')'); /* "tid (name) S ..."; the name may hold anything */
	at = at ? strchr(at, ' ') : NULL;
	for (unsigned i = 0; at && i < CPU_FIELD; i++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at + 1) : -1;
}

void follow_thread(struct follow *f, pid_t tid, uint64_t now_ns)
{
	cpu_set_t set;
	int cpu;

	if (tid == f->tid) {
		f->strangers = 0;
		if (now_ns < f->look_ns)
			return;
	} else if (f->tid && ++f->strangers < STRANGERS_MAX) {
		return;
	}
	f->tid = tid;
	f->strangers = 0;
	f->look_ns = now_ns + LOOK_NS;
	cpu = cpu_of(tid);
	if (cpu < 0 || cpu >= CPU_SETSIZE || cpu + 1 == f->cpu)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* It fails where the agent may not be: then it stays. */
	if (sched_setaffinity(0, sizeof(set), &set) == 0)
		log_debug("the agent follows thread %d to processor %d", (int)tid, cpu);
	f->cpu = cpu + 1;
}
