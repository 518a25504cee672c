/* SPDX-License-Identifier: MIT */
/*
 * Runs the tests: guest_test MODULE.ko. Loads the module first, and unloads it last.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_LIMIT_S 120

static unsigned passed, failed;

_Noreturn void check_failed(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	printf("    %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

int device_open(void)
{
	int fd = open(DSM_CACHE_PATH, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

int call(int fd, unsigned long command, void *arg)
{
	return ioctl(fd, command, arg) ? -errno : 0;
}

int maintain(int fd, enum dsm_cache_op op, const volatile void *addr, size_t len,
	     struct dsm_cache_range *r)
{
	memset(r, 0, sizeof(*r));
	r->op = op;
	r->addr = (uintptr_t)addr;
	r->len_bytes = len;
	return call(fd, DSM_CACHE_RANGE, r);
}

size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

uint8_t *pages_anonymous(size_t n)
{
	uint8_t *p = mmap(NULL, n * page_bytes(), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < n * page_bytes(); i++)
		p[i] = (uint8_t)(i * 5 + i / page_bytes());
	return p;
}

uint8_t *pages_device(int fd, size_t n)
{
	uint8_t *p = mmap(NULL, n * page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

char *file_read(const char *path, char *buf, size_t len)
{
	size_t have = 0;
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		check_failed(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	while (n > 0 && have < len - 1) {
		n = read(fd, buf + have, len - 1 - have);
		have += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	buf[have] = '\0';
	return buf;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

long account(const char *name)
{
	char text[1024], pattern[64], *line;

	file_read("/sys/kernel/debug/dsm_cache/account", text, sizeof(text));
	snprintf(pattern, sizeof(pattern), "%s ", name);
	line = strstr(text, pattern);
	CHECK(line);
	return atol(line + strlen(pattern));
}

int parameter_set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/" MODULE "/parameters/%s", name);
	return file_write(path, value);
}

char *pci_device(char *buf, size_t len)
{
	glob_t devices;
	const char *name;

	CHECK_EQ(glob("/sys/bus/pci/drivers/virtio-pci/0000:*", 0, NULL, &devices), 0);
	name = strrchr(devices.gl_pathv[0], '/') + 1;
	CHECK(strlen(name) < len);
	strcpy(buf, name);
	globfree(&devices);
	return buf;
}

int in_child(void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void check_nothing_left(void *unused)
{
	static const char *const in_use[] = { "files", "mappings", "blocks", "pages", "pinned" };

	(void)unused;
	for (size_t i = 0; i < sizeof(in_use) / sizeof(in_use[0]); i++) {
		if (account(in_use[i]))
			check_failed(__FILE__, __LINE__, "%ld %s are left", account(in_use[i]),
				     in_use[i]);
	}
}

static void run_one(void *test)
{
	alarm(TEST_LIMIT_S);
	((const struct test *)test)->run();
}

static void reset_parameters(void)
{
	parameter_set("max_contiguous_alloc_order", "0");
	parameter_set("max_pages", "0");
	parameter_set("trust_group", "0");
}

static void verdict(bool good, const char *what)
{
	printf("%s %s\n", good ? "ok    " : "FAILED", what);
	if (good)
		passed++;
	else
		failed++;
}

static void run(const struct test *tests)
{
	for (; tests->name; tests++) {
		int status = in_child(run_one, (void *)tests);

		reset_parameters();
		if (!status)
			status = in_child(check_nothing_left, NULL);
		verdict(!status, tests->name);
		if (status > 1)
			printf("    status %d\n", status);
	}
}

/* 0 or -errno. */
static int load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters, 0))
		err = -errno;
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: guest_test MODULE.ko\n");
		return 2;
	}
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	verdict(load(argv[1], "max_contiguous_alloc_order=64") == -EINVAL,
		"not loaded with an order that there is not");
	err = load(argv[1], "");
	if (err) {
		printf("%s cannot be loaded: %s\n", argv[1], strerror(-err));
		return 1;
	}
	run(tests_range);
	run(tests_error);
	run(tests_fuzz);
	run(tests_buffer);
	run(tests_system);
	run(tests_library);
	verdict(!syscall(SYS_delete_module, MODULE, O_NONBLOCK), "unloaded");
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
