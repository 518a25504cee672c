/* SPDX-License-Identifier: MIT */
/*
 * The module's tests: a program of its own, static, that runs as root in a guest where the module
 * can be loaded.
 *
 * Each test runs in a child process, and nothing of it may be left in the module's account when the
 * child is gone. A failed CHECK ends the child.
 */
#ifndef TESTS_KMOD_GUEST_H
#define TESTS_KMOD_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "dsm_cache.h"

#define MODULE "dsm_cache"

#if defined(__aarch64__)
#define ARM64 true
#else
#define ARM64 false
#endif

struct test {
	const char *name;
	void (*run)(void);
};

/* Each file's tests; a row without a name ends them. */
extern const struct test tests_range[];
extern const struct test tests_error[];
extern const struct test tests_fuzz[];
extern const struct test tests_buffer[];
extern const struct test tests_system[];
extern const struct test tests_library[];

_Noreturn void check_failed(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_failed(__FILE__, __LINE__, "%s", #condition);                        \
	} while (0)

#define CHECK_EQ(is, expected)                                                                     \
	do {                                                                                       \
		long long is_ = (long long)(is), expected_ = (long long)(expected);                \
		if (is_ != expected_)                                                              \
			check_failed(__FILE__, __LINE__, "%s is %lld, expected %s: %lld", #is,     \
				     is_, #expected, expected_);                                   \
	} while (0)

/* The device, opened anew. */
int device_open(void);

/* An ioctl: 0 or -errno. */
int call(int fd, unsigned long command, void *arg);

/* Maintain a range; *r receives the results. 0 or -errno. */
int maintain(int fd, enum dsm_cache_op op, const volatile void *addr, size_t len,
	     struct dsm_cache_range *r);

size_t page_bytes(void);

/* Anonymous memory of n pages, touched; and pages of the device. */
uint8_t *pages_anonymous(size_t n);
uint8_t *pages_device(int fd, size_t n);

/* A line of the account in debugfs. */
long account(const char *name);

/* A parameter of the module: 0 or -errno. */
int parameter_set(const char *name, const char *value);

/* Write or read a small file: 0 or -errno; the text. */
int file_write(const char *path, const char *text);
char *file_read(const char *path, char *buf, size_t len);

/* The name of a PCI device that a driver has taken; returns buf. */
char *pci_device(char *buf, size_t len);

/* Status of a function in a child process: its exit status, or 256 + signal. */
int in_child(void (*fn)(void *arg), void *arg);

#endif
