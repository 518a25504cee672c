/* SPDX-License-Identifier: MIT */
/*
 * See fault.h.
 *
 * Has a thread had its access? Its processor time tells: it stands still from the fault until the
 * thread runs again, and the first thing that it then does is the access. So a recall of a page
 * that was granted to a faulting thread waits until the thread has run for SETTLE_NS, or has gone
 * to sleep over something else, and progress is certain however the machine schedules; GIVE_UP_NS
 * bounds it for a thread that is stopped. (Mirage's time window, Fleisch and Popek 1989, with the
 * thread's clock for the wall's.)
 *
 * The clock costs a system call. Before the grant it is read only if the page is contended: the
 * recall that then comes soon is obeyed without delay. Of other pages it is read when the recall
 * comes, if the thread has not faulted elsewhere since, and then again a moment later.
 *
 * A thread that serves its own fault runs meanwhile: its clock counts from when it goes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "contention.h"
#include "fault.h"
#include "log.h"
#include "node.h"
#include "trace.h"

/* Longer than the kernel takes to return from a fault. */
#define SETTLE_NS  2000u
#define GIVE_UP_NS 20000000u
#define CHECK_NS   1000000000u
/* A stream that has come to fetch so many pages ahead is no accident. */
#define STREAM_SURE 8u
/* A stream of stores into what others have: how often it tries again to fetch ahead. */
#define SHY_MIN 8u
#define SHY_MAX 256u

static struct fault_record *record_of(struct dsm *d, uint64_t page)
{
	return &d->faults.record[(page * 0x9e3779b97f4a7c15ull) >> 54 & (FAULT_RECORDS - 1)];
}

/* Processor time of a thread of this process, ns; 0 if it is gone. The clock's id is the one that
 * pthread_getcpuclockid() makes, which wants a pthread_t that we do not have. */
static uint64_t thread_cpu_ns(pid_t tid)
{
	clockid_t clock = (clockid_t)((~(unsigned)tid << 3) | 6);
	struct timespec ts;

	if (clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Is a thread of this process neither running nor waiting for a processor? */
static bool thread_sleeps(pid_t tid)
{
	char text[256], *state;
	ssize_t n = -1;
	int fd;

	snprintf(text, sizeof(text), "/proc/self/task/%d/stat", (int)tid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return fd < 0 && errno == ENOENT;
	text[n] = '\0';
	state = strrchr(text, ')'); /* "tid (name) S ..."; the name may hold anything */
	return state && n - (state - text) > 2 && state[2] != 'R';
}

static struct fault_stream *stream_of(struct dsm *d, pid_t tid)
{
	return &d->faults.stream[(unsigned)tid % FAULT_STREAMS];
}

static bool faulted_elsewhere(struct dsm *d, const struct fault_record *r)
{
	const struct fault_stream *s = stream_of(d, r->tid);

	return s->tid == r->tid && s->last != r->page;
}

/* By threads of their own alone; two that share a slot may be taken to be out too soon, which costs
 * a fault. */
static pid_t *inside_of(struct dsm *d, pid_t tid)
{
	return &d->faults.inside[(unsigned)tid % FAULT_INSIDE];
}

static bool is_inside(struct dsm *d, pid_t tid)
{
	/* Acquire: pairs with the release in fault_leave(). */
	return __atomic_load_n(inside_of(d, tid), __ATOMIC_ACQUIRE) == tid;
}

void fault_enter(struct dsm *d, pid_t tid)
{
	__atomic_store_n(inside_of(d, tid), tid, __ATOMIC_RELAXED);
}

void fault_leave(struct dsm *d, pid_t tid)
{
	__atomic_compare_exchange_n(inside_of(d, tid), &tid, 0, false, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

bool fault_note_leaving(struct dsm *d, const struct pager_fault *f)
{
	uint64_t page = protocol_page(&d->protocol, f->granule);
	struct fault_record *r = record_of(d, page);

	if (r->page != page || r->tid != f->tid)
		return true; /* displaced: the access tells */
	if (cache_contended(&d->protocol, page))
		r->cpu_ns = thread_cpu_ns(f->tid);
	return !r->failed;
}

/* When the recall of a page of this record is obeyed at the latest. */
static uint64_t give_up_ns(struct fault_record *r, uint64_t now_ns)
{
	if (r->give_up_ns == 0)
		r->give_up_ns = (r->cpu_ns ? now_ns : r->start_ns) + GIVE_UP_NS;
	return r->give_up_ns;
}

bool fault_settled(struct dsm *d, uint64_t page)
{
	struct fault_record *r = record_of(d, page);
	uint64_t cpu, now;

	if (r->tid == 0 || r->page != page || faulted_elsewhere(d, r))
		return true;
	now = clock_ns();
	if (now >= give_up_ns(r, now))
		return true;
	if (is_inside(d, r->tid))
		return false;
	cpu = thread_cpu_ns(r->tid);
	if (cpu == 0)
		return true;
	if (r->cpu_ns && cpu >= r->cpu_ns + SETTLE_NS)
		return true;
	/* A thread that was woken by its grant runs, or waits for a processor. */
	if (cpu != r->cpu_ns && thread_sleeps(r->tid))
		return true;
	if (r->cpu_ns == 0)
		r->cpu_ns = cpu;
	return false;
}

bool fault_waits(struct dsm *d, uint64_t page)
{
	struct fault_record *r = record_of(d, page);

	return r->live && r->page == page;
}

void fault_served(struct dsm *d, uint64_t page)
{
	struct fault_record *r = record_of(d, page);

	if (!fault_waits(d, page))
		return;
	r->live = false;
	d->faults.nlive--;
	stats_record(r->write ? &d->stats.pub.write_miss_ns : &d->stats.pub.read_miss_ns,
		     clock_ns() - r->start_ns);
}

void fault_failed(struct dsm *d, uint64_t page)
{
	if (fault_waits(d, page))
		record_of(d, page)->failed = true;
}

/* Pages to fetch behind this one: none until the thread goes on in order, then ever more. */
static unsigned stream_ahead(struct dsm *d, const struct pager_fault *f, uint64_t page,
			     const struct region *region)
{
	struct fault_stream *s = stream_of(d, f->tid);
	uint64_t each = 1ull << region->page_shift, most = d->settings.prefetch_pages, end;

	if (s->tid == f->tid && page > s->last && page <= s->last + (s->ahead + 1) * each)
		s->ahead = s->ahead ? s->ahead * 4 : 3;
	else
		s->ahead = 0;
	if (protocol_home(&d->protocol, page) != d->rank)
		most = node_ahead_max(d, most, each);
	if (s->ahead > most)
		s->ahead = most;
	s->tid = f->tid;
	s->last = page;
	end = region->first_block * GRANULES_PER_BLOCK + region->granules;
	if (page + (s->ahead + 1) * each > end)
		return (unsigned)((end - page) / each - 1);
	return (unsigned)s->ahead;
}

/*
 * Pages behind a store are had only if nobody else has them. Where somebody has, all that was asked
 * for is refused, and would be again at every store to come: a request and a refusal for each page
 * of the window. So after a refusal some stores ask for their own page alone, then twice as many.
 */
static unsigned store_ahead(struct dsm *d, pid_t tid, unsigned ahead)
{
	struct fault_stream *s = stream_of(d, tid);

	if (!ahead) {
		s->shy = s->skip = 0;
		s->refused = d->protocol.refused;
		return 0;
	}
	if (s->refused != d->protocol.refused && !s->skip) {
		s->shy = s->shy ? 2 * s->shy : SHY_MIN;
		if (s->shy > SHY_MAX)
			s->shy = SHY_MAX;
		s->skip = s->shy;
	}
	s->refused = d->protocol.refused;
	if (!s->skip)
		return ahead;
	s->skip--;
	return 0;
}

/* Before the grant, so that the recall which is likely to follow finds it read. */
static bool reads_clock(struct dsm *d, uint64_t page)
{
	return !d->pager->waits && cache_contended(&d->protocol, page);
}

static void record(struct dsm *d, const struct pager_fault *f, uint64_t page, uint64_t now_ns)
{
	struct fault_record *r = record_of(d, page);
	uint64_t start = now_ns;

	if (!r->live)
		d->faults.nlive++;
	else if (r->tid == f->tid && r->page == page)
		start = r->start_ns; /* it has been let look again */
	*r = (struct fault_record){ .page = page,
				    .start_ns = start,
				    .cpu_ns = reads_clock(d, page) ? thread_cpu_ns(f->tid) : 0,
				    .tid = f->tid,
				    .write = f->write,
				    .live = true };
}

static void park(struct dsm *d, const struct pager_fault *f)
{
	struct faults *q = &d->faults;

	if (q->nparked == FAULT_PARKED_MAX)
		d->pager->ops->wake(d->pager, f->granule, 1); /* it faults again */
	else
		q->parked[q->nparked++] = *f;
}

bool fault_serve(struct dsm *d, const struct pager_fault *f, uint64_t now_ns)
{
	struct region *region = region_find(d, f->granule);
	unsigned ahead;
	uint64_t page;
	int err;

	trace_fault(f->granule, f->write, f->tid);
	if (!region) { /* freed meanwhile: the access meets the bare reservation */
		d->pager->ops->wake(d->pager, f->granule, 1);
		return true;
	}
	err = region_ask_home(d, f->granule / GRANULES_PER_BLOCK, true);
	if (err < 0)
		d->pager->ops->poison(d->pager, f->granule, 1);
	else if (err == 1)
		park(d, f);
	if (err != 0)
		return err > 0;
	page = protocol_page(&d->protocol, f->granule);
	if (d->contention)
		contention_fault(d->contention, page,
				 (uint32_t)((f->granule - page) << GRANULE_SHIFT) + f->offset,
				 f->write);
	ahead = stream_ahead(d, f, page, region);
	record(d, f, page, now_ns);
	if (f->write && !hold_may_write(&d->protocol, page, (uint64_t)f->tid))
		return true;
	if (f->write)
		cache_write(&d->protocol, page, store_ahead(d, f->tid, ahead), true);
	else
		cache_read(&d->protocol, page, ahead, true);
	/* A thread that reads on and on will want those too that others have for writing. */
	if (!f->write && ahead > STREAM_SURE)
		node_want(d, page, page + ((uint64_t)(ahead + 1) << region->page_shift), false);
	if (f->write ? cache_can_write(&d->protocol, page) : cache_can_read(&d->protocol, page))
		fault_served(d, page);
	return true;
}

int faults_serve(struct dsm *d, uint64_t now_ns)
{
	struct pager_fault f[PAGER_FAULTS_MAX];
	int n = d->pager->ops->faults(d->pager, f, PAGER_FAULTS_MAX);

	for (int i = 0; i < n; i++)
		fault_serve(d, &f[i], now_ns);
	if (n > 0 && d->settings.fault_handler == FAULT_CORE)
		follow_thread(&d->follow, f[n - 1].tid, now_ns);
	return n < 0 ? 0 : n;
}

void faults_rank_down(struct dsm *d)
{
	unsigned n = d->faults.nparked;

	/* Ask again, all: the answer may have died with its rank. */
	d->faults.nparked = 0;
	for (unsigned i = 0; i < n; i++) {
		struct pager_fault f = d->faults.parked[i];

		fault_serve(d, &f, clock_ns());
	}
}

void faults_unpark(struct dsm *d, uint64_t block)
{
	struct faults *q = &d->faults;
	unsigned n = q->nparked;

	q->nparked = 0;
	for (unsigned i = 0; i < n; i++) {
		struct pager_fault f = q->parked[i];

		if (f.granule / GRANULES_PER_BLOCK == block)
			fault_serve(d, &f, clock_ns());
		else
			q->parked[q->nparked++] = f;
	}
}

void faults_check(struct dsm *d, uint64_t now_ns)
{
	struct faults *q = &d->faults;

	if (now_ns < q->next_check_ns)
		return;
	q->next_check_ns = now_ns + CHECK_NS;
	for (unsigned i = 0; i < FAULT_RECORDS; i++) {
		struct fault_record *r = &q->record[i];

		/* It may have come after the caller looked at the clock. */
		if (!r->live || r->warned ||
		    now_ns < r->start_ns + d->settings.timeout_ms * 1000000u)
			continue;
		r->warned = true;
		log_warn("thread %d has waited %llu ms to %s %p (home: rank %u); it waits on",
			 (int)r->tid, (unsigned long long)((now_ns - r->start_ns) / 1000000u),
			 r->write ? "write" : "read", node_addr(d, r->page),
			 protocol_home(&d->protocol, r->page));
	}
}
