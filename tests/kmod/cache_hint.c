/* SPDX-License-Identifier: MIT */
/*
 * cache_hint forget | report NUMBER: tell the cache model (cache_model.c).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	register uint64_t x0 __asm__("x0");

	if (argc == 2 && !strcmp(argv[1], "forget")) {
		__asm__ volatile("hint #0x73" ::: "memory");
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "report")) {
		fprintf(stderr, "usage: cache_hint forget | report NUMBER\n");
		return 2;
	}
	x0 = strtoull(argv[2], NULL, 0);
	__asm__ volatile("hint #0x72" ::"r"(x0) : "memory");
	return 0;
}
