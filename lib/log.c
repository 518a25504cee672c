/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr.
 *
 * A line is formatted on the stack and written at once, so that lines of several threads and ranks
 * do not mix; one that is too long is cut. No locks, no allocation, no stdio; errno is kept.
 */
#define _GNU_SOURCE
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define LINE_MAX_BYTES (ERROR_TEXT_MAX + 256)
#define HOST_MAX       64
#define NO_RANK        (-1)

enum log_level log_level_now = LOG_WARN;

static char host[HOST_MAX];
static int rank_now = NO_RANK;

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level_now, level, __ATOMIC_RELAXED);
}

/* The host's name is taken once: a second call must not change it under a thread that logs. */
void log_set_rank(unsigned rank)
{
	char *dot;

	if (!host[0]) {
		if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
			strcpy(host, "?");
		dot = strchr(host, '.');
		if (dot)
			*dot = '\0';
	}
	/* Pairs with the acquire in prefix(): who sees a rank sees the host. */
	__atomic_store_n(&rank_now, (int)rank, __ATOMIC_RELEASE);
}

static int prefix(char *line, size_t len, enum log_level level)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	int rank = __atomic_load_n(&rank_now, __ATOMIC_ACQUIRE);

	if (rank == NO_RANK)
		return snprintf(line, len, "libdsm[%d] %s: ", (int)getpid(), names[level]);
	return snprintf(line, len, "libdsm[%s:%d] %s: ", host, rank, names[level]);
}

/* A line that stderr does not take, for whatever reason, is lost: there is nowhere to say so. */
static void write_all(const char *line, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(STDERR_FILENO, line, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		len -= (size_t)n;
	}
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved_errno = errno;
	va_list args;
	size_t len;
	int n;

	len = (size_t)prefix(line, sizeof(line), level);
	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	len += (size_t)n;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	line[len++] = '\n';
	write_all(line, len);
	errno = saved_errno;
}
