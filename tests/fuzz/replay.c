/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target on files, without a fuzzer: replay_TARGET FILE|DIRECTORY...
 *
 * Each input in a child, so that one that ends the process is named, and with a time limit. Exit
 * status 1 if one failed, or if there was none.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_BYTES_MAX (1u << 20)
#define LIMIT_S         10

static unsigned ninputs, nfailed;

static void run_child(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_BYTES_MAX);
	size_t len;

	if (!f || !data) {
		perror(path);
		_exit(1);
	}
	len = fread(data, 1, INPUT_BYTES_MAX, f);
	fclose(f);
	/* Exactly as long as the input, so that a sanitizer sees a read beyond it. */
	data = realloc(data, len ? len : 1);
	alarm(LIMIT_S);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	exit(0);
}

static void run_file(const char *path)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		run_child(path);
	ninputs++;
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
		return;
	nfailed++;
	if (WIFSIGNALED(status))
		printf("FAILED   %s: %s\n", path,
		       WTERMSIG(status) == SIGALRM ? "no end" : strsignal(WTERMSIG(status)));
	else
		printf("FAILED   %s: exit status %d\n", path, WEXITSTATUS(status));
}

static void run_directory(const char *path)
{
	struct dirent **list = NULL;
	char name[4096];
	int n = scandir(path, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
			run_file(name);
		}
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	struct stat st;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			run_directory(argv[i]);
		else
			run_file(argv[i]);
	}
	printf("%u inputs, %u failed\n", ninputs, nfailed);
	return ninputs == 0 || nfailed > 0;
}
