/* SPDX-License-Identifier: MIT */
/*
 * The agent: the one service thread of a rank. Serves faults and messages, then sleeps until
 * userfaultfd, the transport or another thread wakes it.
 *
 * Before it sleeps it polls for a while: an idle processor takes long to wake. polls_on() has the
 * rule. Where there are fewer processors than threads it yields between two looks. A yield that
 * takes long has let somebody run who computes, and while it lasts nobody serves: a sleeping agent,
 * which the next message wakes, would have been better. So after such a yield it sleeps without
 * polling: for as long as the yield took, then for twice as long each time, until yields are short
 * again.
 *
 * Where it is to sit on the processor of the thread that faults (DSM_FAULT_HANDLER=core), it polls
 * only while that thread waits, which it would else keep from running.
 *
 * It never touches the application mapping, and takes no lock but the node's.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "node.h"

/* Messages handled in a row before faults get their turn. */
#define POLL_BUDGET 64
/* The longest sleep: faults that wait for too long are reported (faults_check). */
#define SLEEP_MAX_NS 1000000000u
/* The shortest slice that the kernel gives. */
#define SLICE_NS 100000u
/* A yield that takes longer than this has let somebody run who computes. */
#define YIELD_NS 50000u
/* For how long the agent then does not poll, at most. */
#define BACKOFF_MAX_NS 1000000000u
/* How often recalls of fresh pages are tried again. */
#define RETRY_NS 5000u
/* How often a region that is being freed is looked at for answers that are still to come. */
#define DRAIN_NS 50000u

enum served { NOTHING, WORK, FAULTS };

int agent_poll(struct dsm *d)
{
	int n = d->transport->ops->poll(d->transport, POLL_BUDGET);

	node_run_local(d);
	return n;
}

/* One round of service; *again_ns: how soon the next is due even if nothing comes. */
static enum served serve(struct dsm *d, uint64_t now_ns, bool look_for_faults, uint64_t *again_ns)
{
	int faults = 0, n;

	if (look_for_faults)
		faults = faults_serve(d, now_ns); /* first: somebody stands still */
	node_run_local(d);
	n = agent_poll(d);
	*again_ns = SLEEP_MAX_NS;
	if (region_work(d))
		*again_ns = 0;
	else if (d->regions.working)
		*again_ns = DRAIN_NS;
	if (protocol_retry(&d->protocol) && *again_ns > RETRY_NS)
		*again_ns = RETRY_NS;
	node_run_local(d);
	faults_check(d, now_ns);
	return faults > 0 ? FAULTS : n > 0 || *again_ns == 0 ? WORK : NOTHING;
}

/* What has something, of what the agent sleeps on. */
#define WOKEN_BY_KICK      1u
#define WOKEN_BY_FAULT     2u
#define WOKEN_BY_TRANSPORT 4u

static unsigned sleep_for(struct dsm *d, uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000u),
			       .tv_nsec = (long)(ns % 1000000000u) };
	struct epoll_event events[4];
	unsigned woken = 0;
	uint64_t count;
	int n;

	n = epoll_pwait2(d->epoll_fd, events, 4, &ts, NULL);
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == d->pager->fd)
			woken |= WOKEN_BY_FAULT;
		else if (events[i].data.fd == d->transport->fd)
			woken |= WOKEN_BY_TRANSPORT;
		else if (read(d->wake_fd, &count, sizeof(count)) > 0)
			woken |= WOKEN_BY_KICK;
	}
	return woken;
}

/* Lock held. Others' arrival at a barrier wakes the agent only where this rank has arrived too:
 * while its threads compute, an agent that is woken for nothing takes the processor from them. */
static void doze(struct dsm *d)
{
	d->transport->drowsy = !sync_in_barrier(d->sync);
	d->transport->ops->sleep(d->transport, true);
}

void agent_heed(struct dsm *d)
{
	doze(d);
	/* What came between the last look and now has woken nobody. */
	if (d->transport->ops->pending(d->transport))
		agent_kick(d);
}

/* Lock held on entry and return. Returns what has woken it. */
static unsigned agent_sleep(struct dsm *d, uint64_t ns)
{
	unsigned woken = WOKEN_BY_FAULT; /* if it does not sleep at all: who knows */

	d->agent_asleep = true;
	if (d->pollers == 0)
		doze(d);
	/* A message that came before sleep(true) has woken nobody. */
	if (!d->transport->ops->pending(d->transport) || d->pollers) {
		node_unlock(d);
		woken = sleep_for(d, ns);
		node_lock(d);
	}
	d->agent_asleep = false;
	d->transport->ops->sleep(d->transport, false);
	d->transport->ready |= woken & WOKEN_BY_TRANSPORT;
	return woken;
}

/* Let others run if they want to; returns the time. */
static uint64_t linger(struct dsm *d, uint64_t now_ns)
{
	uint64_t end;

	if (!d->crowded) {
		spin_hint();
		return clock_ns();
	}
	sched_yield();
	end = clock_ns();
	if (end - now_ns < YIELD_NS) {
		d->backoff_ns = 0;
		return end;
	}
	d->backoff_ns = d->backoff_ns ? 2 * d->backoff_ns : end - now_ns;
	if (d->backoff_ns > BACKOFF_MAX_NS)
		d->backoff_ns = BACKOFF_MAX_NS;
	__atomic_store_n(&d->no_poll_until_ns, end + d->backoff_ns, __ATOMIC_RELAXED);
	return end;
}

bool agent_may_poll(const struct dsm *d, uint64_t now_ns)
{
	return now_ns >= __atomic_load_n(&d->no_poll_until_ns, __ATOMIC_RELAXED);
}

static __thread bool is_agent;

void agent_kick(struct dsm *d)
{
	uint64_t one = 1;

	if (!is_agent && d->agent_started && write(d->wake_fd, &one, sizeof(one)) < 0 &&
	    errno != EAGAIN)
		log_error("cannot wake the agent: %s", strerror(errno));
}

/* struct sched_attr in its first version, which Debian's libc does not declare. */
struct slice_attr {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns;
	uint64_t deadline_ns;
	uint64_t period_ns;
};

/*
 * Ask for short slices: a fair task that asks for less at a time may preempt one that runs when it
 * wakes (Linux 6.12), so faults and recalls are served at once also where an application thread has
 * the processor. Its share stays the same. A kernel that does not know it does no harm.
 */
static void ask_for_short_slices(void)
{
	struct slice_attr attr = { .size = sizeof(attr), .runtime_ns = SLICE_NS };

	attr.nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		log_debug("no short slices for the agent: %s", strerror(errno));
}

/*
 * When the agent polls: as long as something that only it serves is likely to come soon, and nobody
 * has better use for its processor.
 *
 * Likely is what is like the last work: for the spin time after it has served something, or was
 * kicked, or a thread that serves its own faults has had to wait for an answer.
 *
 * Better use has, where processors are scarce,
 * - who computes: a yield that takes long tells of him (agent_may_poll);
 * - a thread that polls in a call. It takes messages too, and the two would hand the processor to
 *   and fro: whoever yields last has the message, which costs the thread two switches and is work
 *   for the agent, so that it never ends. Nothing is lost: when that thread leaves off, the agent
 *   is woken by what comes. Not so while others want pages of this rank, which will go on when the
 *   thread computes again: to wake the agent for each costs them and this rank more. Nor when the
 *   agent has something to do by the clock.
 */
static bool polls_on(const struct dsm *d, uint64_t now_ns, uint64_t again_ns)
{
	if (again_ns == 0)
		return true;
	if (now_ns >= d->poll_until_ns || !agent_may_poll(d, now_ns))
		return false;
	return !d->crowded || !d->pollers || again_ns != SLEEP_MAX_NS ||
	       now_ns < d->wanted_until_ns;
}

/* There is work for it now. */
static void work_came(struct dsm *d, uint64_t now_ns)
{
	if (d->settings.fault_handler != FAULT_CORE || d->faults.nlive)
		d->poll_until_ns = now_ns + d->spin_ns;
	else
		d->poll_until_ns = now_ns;
}

static void *agent_main(void *arg)
{
	struct dsm *d = arg;
	uint64_t again_ns, now = clock_ns();
	unsigned woken = WOKEN_BY_FAULT;
	enum served served;

	is_agent = true;
	prctl(PR_SET_NAME, "dsm-agent");
	ask_for_short_slices();
	node_lock(d);
	while (!d->stop) {
		served = serve(d, now, woken & WOKEN_BY_FAULT, &again_ns);
		woken = WOKEN_BY_FAULT; /* while it polls, who knows */
		if (served != NOTHING)
			work_came(d, now);
		if (d->pages_wanted)
			d->wanted_until_ns = now + d->spin_ns;
		d->pages_wanted = false;
		/*
		 * Mapping a page wakes its thread. Where that takes the agent's processor, it has
		 * run on and may have faulted again when the agent gets here: look at once.
		 */
		if (served == FAULTS) {
			node_unlock(d);
			now = clock_ns();
			node_lock(d);
			continue;
		}
		if (!polls_on(d, now, again_ns)) {
			woken = agent_sleep(d, again_ns);
			now = clock_ns();
			if (woken & WOKEN_BY_KICK)
				work_came(d, now);
			continue;
		}
		node_unlock(d);
		now = linger(d, served == WORK ? clock_ns() : now);
		node_lock(d);
	}
	node_unlock(d);
	return NULL;
}

static int watch_fd(struct dsm *d, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		return error_set_sys(errno, "cannot watch file descriptor %d", fd);
	return 0;
}

static int start_thread(struct dsm *d)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&d->agent, NULL, agent_main, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return error_set_sys(err, "cannot start the service thread");
	d->agent_started = true;
	return 0;
}

static int open_fds(struct dsm *d)
{
	int err;

	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll_fd < 0)
		return error_set_sys(errno, "cannot create an epoll instance");
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0)
		return error_set_sys(errno, "cannot create an eventfd");
	d->ends_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->ends_fd < 0)
		return error_set_sys(errno, "cannot create an eventfd");
	err = watch_fd(d, d->wake_fd);
	if (err == 0)
		err = watch_fd(d, d->pager->fd);
	if (err == 0)
		err = watch_fd(d, d->transport->fd);
	return err;
}

void agent_init(struct dsm *d)
{
	d->epoll_fd = d->wake_fd = d->ends_fd = -1;
}

int agent_start(struct dsm *d)
{
	int err = open_fds(d);

	return err == 0 ? start_thread(d) : err;
}

void agent_stop(struct dsm *d)
{
	if (d->agent_started) {
		node_lock(d);
		d->stop = true;
		node_unlock(d);
		agent_kick(d);
		pthread_join(d->agent, NULL);
		d->agent_started = false;
	}
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	if (d->ends_fd >= 0)
		close(d->ends_fd);
	if (d->epoll_fd >= 0)
		close(d->epoll_fd);
	agent_init(d);
}
