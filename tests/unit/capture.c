/* SPDX-License-Identifier: MIT */
/*
 * Redirects stderr into a pipe and reads it back.
 */
#define _GNU_SOURCE
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int saved = -1;
static int pipe_read = -1;
static char text[65536 + 1];

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

void capture_begin(void)
{
	int ends[2];

	fflush(stderr);
	must(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "pipe2");
	saved = dup(STDERR_FILENO);
	must(saved >= 0, "dup");
	must(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO, "dup2");
	close(ends[1]);
	pipe_read = ends[0];
}

const char *capture_end(void)
{
	size_t len = 0;
	ssize_t n;

	fflush(stderr);
	must(dup2(saved, STDERR_FILENO) == STDERR_FILENO, "dup2");
	close(saved);
	while ((n = read(pipe_read, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(pipe_read);
	text[len] = '\0';
	return text;
}
