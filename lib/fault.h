/* SPDX-License-Identifier: MIT */
/*
 * Faults: how they are served, and what is remembered of threads that have them: since when they
 * wait, whether they have had their access, and whether they walk through memory in order.
 */
#ifndef DSM_FAULT_H
#define DSM_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pager.h"

struct dsm;

/* Both tables are caches: a record that is displaced costs speed or a statistic, nothing else. */
#define FAULT_RECORDS 1024u
#define FAULT_STREAMS 64u
#define FAULT_INSIDE  256u
/* Faults that wait for their block's home; at most one a thread, more are let go to fault again. */
#define FAULT_PARKED_MAX 64u

struct fault_record {
	uint64_t page;
	uint64_t start_ns; /* when the fault was seen */
	uint64_t cpu_ns; /* the thread's processor time: see fault.c; 0: not read */
	uint64_t give_up_ns; /* until when a recall waits for the thread; 0: none waits yet */
	pid_t tid; /* 0: no record */
	bool write;
	bool live; /* the thread waits */
	bool failed; /* the page could not be had */
	bool warned;
};

struct fault_stream {
	pid_t tid;
	uint64_t last; /* granule of the latest fault */
	uint64_t ahead; /* pages fetched behind it */
	uint64_t refused; /* what protocol.refused was at its latest store */
	unsigned shy; /* stores that it fetched nothing behind after the latest refusal */
	unsigned skip; /* stores that it will fetch nothing behind */
};

struct faults {
	struct fault_record record[FAULT_RECORDS];
	struct fault_stream stream[FAULT_STREAMS];
	pid_t inside[FAULT_INSIDE]; /* by thread: it is serving a fault of its own */
	struct pager_fault parked[FAULT_PARKED_MAX];
	unsigned nparked;
	unsigned nlive; /* records of threads that wait */
	uint64_t next_check_ns;
};

/* Serve up to PAGER_FAULTS_MAX faults; returns their number. Lock held, as below. */
int faults_serve(struct dsm *d, uint64_t now_ns);
/* Serve one. False: the page cannot be had, and never will. */
bool fault_serve(struct dsm *d, const struct pager_fault *f, uint64_t now_ns);
/* A thread begins to serve its own fault; it is about to be done with it (false: the page could not
 * be had); it goes back to the access (no lock held). Until then it has not had its access. */
void fault_enter(struct dsm *d, pid_t tid);
bool fault_note_leaving(struct dsm *d, const struct pager_fault *f);
void fault_leave(struct dsm *d, pid_t tid);
/* The page came (or cannot be had): note how long its thread waited. */
void fault_served(struct dsm *d, uint64_t page);
/* It cannot be had: its thread gets SIGBUS. */
void fault_failed(struct dsm *d, uint64_t page);
/* Does a faulting thread wait for this page, as far as the records know? */
bool fault_waits(struct dsm *d, uint64_t page);
/* Has the page's thread had its access since it was granted? */
bool fault_settled(struct dsm *d, uint64_t page);
/* Faults parked for this block go on. */
void faults_unpark(struct dsm *d, uint64_t block);
/* A rank died: faults that may have been parked for its answer go on. */
void faults_rank_down(struct dsm *d);
/* Warn about threads that wait for longer than the deadline, naming who has the page. */
void faults_check(struct dsm *d, uint64_t now_ns);

#endif
