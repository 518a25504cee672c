/* SPDX-License-Identifier: MIT */
/*
 * See fault_inline.h.
 *
 * The kernel reports no fault but raises SIGBUS in the thread, and the handler runs the miss there:
 * a read miss that a one-sided chain can serve needs no other thread, no switch and no wake-up.
 * Where somebody else has to answer first, the thread polls as any waiting call does, then sleeps.
 *
 * A fault's SIGBUS comes at the access itself, never between two instructions of somebody else's.
 * So the handler may take a lock unless the code that touched shared memory can hold it:
 * - the node's lock: libdsm never touches the application mapping while it holds it (node.h), nor
 *   memory that a caller handed in, which may lie there;
 * - of malloc and stdio that cannot be said: a thread may print a shared string. Nothing under the
 *   node's lock calls them, and neither does the handler.
 * All signals are blocked in the handler, since a handler of the application's that ran on top of
 * it could touch shared memory while the node's lock is held. Only asleep they are as they were: no
 * lock is held then, and nothing of the sleep lies on the stack, so that such a handler may fault,
 * or leave by siglongjmp(). The page's word, on which the thread sleeps, is the pager's.
 *
 * Every way out of the handler leads back to the access, which succeeds, or faults once more and is
 * looked at anew; but for a page that cannot be had, whose SIGBUS is passed on as every other that
 * is not a fault of ours. (It is poisoned too, but not every kernel gives that SIGBUS a code of its
 * own: such a fault is tried, and fails, like any other.)
 */
#define _GNU_SOURCE
#include "fault_inline.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "node.h"

/* The node whose faults are served; a process has one at most. */
static struct dsm *served;
/* What SIGBUS did before. */
static struct sigaction previous;

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_UNKNOWN };

#if defined(__aarch64__)
/* One of the records that the kernel puts behind the registers: the exception's syndrome. */
#define SYNDROME_MAGIC 0x45535201u
#define SYNDROME_WRITE (1u << 6)
struct syndrome {
	uint32_t magic;
	uint32_t bytes;
	uint64_t esr;
};

static enum access access_of(const ucontext_t *uc)
{
	const uint8_t *at = (const uint8_t *)uc->uc_mcontext.__reserved;
	const uint8_t *end = at + sizeof(uc->uc_mcontext.__reserved);
	struct syndrome s;

	for (; at + sizeof(s) <= end; at += s.bytes) {
		memcpy(&s, at, sizeof(s));
		if (s.magic == SYNDROME_MAGIC)
			return s.esr & SYNDROME_WRITE ? ACCESS_WRITE : ACCESS_READ;
		if (!s.magic || !s.bytes)
			break;
	}
	return ACCESS_UNKNOWN;
}
#elif defined(__x86_64__)
#define ERROR_WRITE 2

static enum access access_of(const ucontext_t *uc)
{
	return uc->uc_mcontext.gregs[REG_ERR] & ERROR_WRITE ? ACCESS_WRITE : ACCESS_READ;
}
#else
static enum access access_of(const ucontext_t *uc)
{
	(void)uc;
	return ACCESS_UNKNOWN;
}
#endif

/* Lock held. Who can read a page does not fault but to write it; who cannot may want to, and says
 * so by a second fault. */
static bool is_write(struct dsm *d, uint64_t granule, const ucontext_t *uc)
{
	enum access access = access_of(uc);

	if (access == ACCESS_UNKNOWN)
		return cache_can_read(&d->protocol, protocol_page(&d->protocol, granule));
	return access == ACCESS_WRITE;
}

/* Sleep until the word changes, with the signals of the interrupted code. A signal that comes just
 * before the sleep is handled and does not end it: nothing here depends on one. */
static void sleep_on(struct pager_waits *w, uint32_t *word, uint32_t ticket, const ucontext_t *uc)
{
	sigset_t all, mask = uc->uc_sigmask;

	sigfillset(&all);
	__atomic_fetch_add(&w->asleep, 1, __ATOMIC_SEQ_CST);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == ticket)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, ticket, NULL, NULL, 0);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	__atomic_fetch_sub(&w->asleep, 1, __ATOMIC_SEQ_CST);
}

/* Lock held. An answer is on its way, or has been; and what this rank gets others will want back,
 * when no thread here polls any more. */
static void keep_agent_awake(struct dsm *d)
{
	d->poll_until_ns = clock_ns() + d->spin_ns;
	if (d->agent_asleep)
		agent_kick(d);
}

/*
 * Lock held, let go meanwhile; the word does not change unnoticed, since this thread counts as
 * waiting. Where threads have to share processors the agent polls for it: two that yield to one
 * another are worse than one that polls and one that is woken.
 */
static void wait_for_change(struct dsm *d, const struct pager_fault *f, uint32_t ticket,
			    const ucontext_t *uc)
{
	uint32_t *word = pager_wait_word(d->pager, f->granule);

	keep_agent_awake(d);
	if (d->spin_ns && d->size > 1 && !d->crowded)
		waiter_poll(d, word, ticket, clock_ns() + d->spin_ns);
	node_unlock(d);
	/* Asleep it is like a thread that the kernel lets wait: its clock stands still. */
	fault_leave(d, f->tid);
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == ticket)
		sleep_on(d->pager->waits, word, ticket, uc);
	fault_enter(d, f->tid);
	node_lock(d);
}

/* False: it is no fault of a region's, or the page cannot be had. */
static bool serve(struct dsm *d, void *addr, const ucontext_t *uc)
{
	struct pager_fault f = { .granule = space_granule(&d->space, addr),
				 .offset = (uint32_t)((uintptr_t)addr % GRANULE_BYTES),
				 .tid = (pid_t)node_tid() };
	struct pager_waits *w = d->pager->waits;
	uint32_t *word = pager_wait_word(d->pager, f.granule), ticket;
	bool ok;

	node_lock(d);
	if (!region_find(d, f.granule)) {
		node_unlock(d);
		return false;
	}
	f.write = is_write(d, f.granule, uc);
	__atomic_fetch_add(&w->waiting, 1, __ATOMIC_RELAXED);
	ticket = __atomic_load_n(word, __ATOMIC_RELAXED);
	fault_enter(d, f.tid);
	ok = fault_serve(d, &f, clock_ns());
	node_run_local(d);
	if (ok && __atomic_load_n(word, __ATOMIC_RELAXED) == ticket)
		wait_for_change(d, &f, ticket, uc);
	ok = fault_note_leaving(d, &f) && ok;
	__atomic_fetch_sub(&w->waiting, 1, __ATOMIC_RELAXED);
	node_unlock(d);
	fault_leave(d, f.tid);
	return ok;
}

/*
 * SIGBUS that is not ours
 */

/* Die of it, as if nobody had caught it: at the access, which comes again, or of one that somebody
 * sent, as soon as this handler returns. */
static void die_of(int sig, const siginfo_t *info)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigaction(sig, &dfl, NULL);
	if (info->si_code <= 0)
		syscall(SYS_tgkill, getpid(), gettid(), sig);
}

/* With the signals blocked that its own registration would have blocked. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	sigset_t mask;

	if (!(previous.sa_flags & SA_SIGINFO) && previous.sa_handler == SIG_IGN &&
	    info->si_code <= 0)
		return; /* one that was sent can be ignored, one that was raised cannot */
	if (!(previous.sa_flags & SA_SIGINFO) &&
	    (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN)) {
		die_of(sig, info);
		return;
	}
	sigorset(&mask, &uc->uc_sigmask, &previous.sa_mask);
	if (!(previous.sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(sig, info, context);
	else
		previous.sa_handler(sig);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	/* Acquire: pairs with the release in fault_inline_start(). */
	struct dsm *d = __atomic_load_n(&served, __ATOMIC_ACQUIRE);
	int saved_errno = errno;
	bool done;

	done = d && info->si_code == BUS_ADRERR && space_contains(&d->space, info->si_addr) &&
	       serve(d, info->si_addr, context);
	errno = saved_errno;
	if (!done)
		pass_on(sig, info, context);
}

int fault_inline_start(struct dsm *d)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigfillset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &previous) < 0)
		return error_set_sys(errno, "cannot ask what SIGBUS does");
	__atomic_store_n(&served, d, __ATOMIC_RELEASE);
	if (sigaction(SIGBUS, &sa, NULL) < 0) {
		__atomic_store_n(&served, NULL, __ATOMIC_RELEASE);
		return error_set_sys(errno, "cannot take SIGBUS for DSM_FAULT_HANDLER=inline");
	}
	return 0;
}

void fault_inline_stop(struct dsm *d)
{
	struct sigaction now;

	if (__atomic_load_n(&served, __ATOMIC_ACQUIRE) != d)
		return;
	if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
	    now.sa_sigaction == on_sigbus)
		sigaction(SIGBUS, &previous, NULL);
	else
		log_warn("another handler of SIGBUS was set after dsm_init(): it stays");
	__atomic_store_n(&served, NULL, __ATOMIC_RELEASE);
}
