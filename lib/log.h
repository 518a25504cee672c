/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr: "libdsm[host:rank] warn: text".
 *
 * Each line is formatted on the stack and leaves by one write(2): the agent may log while an
 * application thread holds stdio's or malloc's locks. Any thread.
 */
#ifndef DSM_LOG_H
#define DSM_LOG_H

#include <stdarg.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped before they are formatted. Default: LOG_WARN. */
void log_set_level(enum log_level level);
/* The prefix; before this call it is the process id alone. */
void log_set_rank(unsigned rank);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

extern enum log_level log_level_now;
#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if ((level) <= log_level_now)                                                      \
			log_write((level), __VA_ARGS__);                                           \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
