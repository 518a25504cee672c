/* SPDX-License-Identifier: MIT */
/*
 * See rank.h.
 */
#include "rank.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fd_of(const char *name)
{
	const char *text = getenv(name);

	return text ? atoi(text) : -1;
}

_Noreturn void rank_failed(const char *file, int line, const char *what, long long value)
{
	const char *number = getenv("DSM_RANK");

	fprintf(stderr, "rank %s: %s:%d: %s (%lld); libdsm says: %s\n", number ? number : "?", file,
		line, what, value, dsm_errmsg());
	_exit(1);
}

void rank_ready(void)
{
	CHECK(write(fd_of("JOB_READY_FD"), "r", 1) == 1);
}

void rank_await_go(void)
{
	char byte;

	CHECK(read(fd_of("JOB_GO_FD"), &byte, 1) == 1);
}

void rank_await_all(void)
{
	char byte;

	rank_ready();
	/* Past words that nobody waited for; then the driver closes. */
	while (read(fd_of("JOB_GO_FD"), &byte, 1) == 1)
		;
}

_Noreturn void rank_die(const struct rank *r)
{
	rank_ready();
	rank_await_go();
	if (strcmp(r->way, "segv") == 0)
		*(volatile char *)(uintptr_t)r->size = 0;
	if (strcmp(r->way, "abort") == 0)
		abort();
	if (strcmp(r->way, "exit") == 0)
		exit(0);
	for (;;)
		pause(); /* the driver kills it */
}

void rank_until_down(const struct rank *r)
{
	CHECK_BLAMES(dsm_barrier(r->d), EHOSTDOWN, r->victim);
}

bool rank_said(unsigned number)
{
	char text[32];
	size_t len = (size_t)snprintf(text, sizeof(text), "rank %u", number);
	const char *at = dsm_errmsg();

	while ((at = strstr(at, text))) {
		at += len;
		if (*at < '0' || *at > '9')
			return true;
	}
	return false;
}

/*
 * SIGBUS, caught in the thread that got it. Set once, before dsm_init(): with
 * DSM_FAULT_HANDLER=inline libdsm takes the signal and passes on what is not a fault.
 */

static _Thread_local sigjmp_buf back;
static _Thread_local const volatile void *volatile touched; /* NULL: nothing that may be lost */

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!touched) {
		signal(sig, SIG_DFL); /* and once more */
		return;
	}
	/* The kernel may tell the page's address alone. */
	if (((uintptr_t)info->si_addr ^ (uintptr_t)touched) >= PAGE_BYTES)
		_exit(3);
	siglongjmp(back, 1);
}

static void __attribute__((constructor)) catch_sigbus(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &sa, NULL);
}

bool rank_load(const volatile uint8_t *addr, uint8_t *value)
{
	bool had = sigsetjmp(back, 1) == 0;

	if (had) {
		touched = addr;
		*value = *addr;
	}
	touched = NULL;
	return had;
}

bool rank_store(volatile uint8_t *addr, uint8_t value)
{
	bool had = sigsetjmp(back, 1) == 0;

	if (had) {
		touched = addr;
		*addr = value;
	}
	touched = NULL;
	return had;
}
