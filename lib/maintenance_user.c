/* SPDX-License-Identifier: MIT */
/*
 * Cache maintenance by instructions that a program may use.
 *
 * arm64: Linux lets EL0 run dc cvac and dc civac and read CTR_EL0. dc ivac, which drops dirty
 * lines, it does not: civac stands in for it, which comes to the same where nothing is dirty.
 *
 * x86: clwb where there is one, else clflushopt, else clflush; the last is slow, as each waits for
 * the one before it.
 *
 * A barrier before the first instruction is not needed (each is ordered behind older stores to its
 * own line); the one behind the last makes the caller's next store, such as a doorbell, wait.
 */
#define _GNU_SOURCE
#include "maintenance_internal.h"

#include <pthread.h>

#if defined(__aarch64__)

/* Read once: where processors differ, Linux traps each read, to answer for the least of them. */
static size_t line_bytes(void)
{
	static atomic_size_t known;
	size_t line = atomic_load_explicit(&known, memory_order_relaxed);
	uint64_t ctr;

	if (line)
		return line;
	__asm__("mrs %0, ctr_el0" : "=r"(ctr));
	line = (size_t)4 << (ctr >> 16 & 0xf);
	atomic_store_explicit(&known, line, memory_order_relaxed);
	return line;
}

#define FOR_EACH_LINE(insn, addr, len_bytes)                                                       \
	do {                                                                                       \
		size_t line_ = line_bytes();                                                       \
		for (uintptr_t at_ = (addr) & ~(line_ - 1); at_ < (addr) + (len_bytes);            \
		     at_ += line_)                                                                 \
			__asm__ volatile(insn " %0" ::"r"(at_) : "memory");                        \
		__asm__ volatile("dsb sy" ::: "memory");                                           \
	} while (0)

static void user_clean(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	(void)m;
	FOR_EACH_LINE("dc cvac,", addr, len_bytes);
}

static void user_flush(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	(void)m;
	FOR_EACH_LINE("dc civac,", addr, len_bytes);
}

static const struct maintenance_ops user = {
	.name = "user",
	.clean = user_clean,
	.flush = user_flush,
	.invalidate = user_flush,
};

const struct maintenance_ops *maintenance_user(void)
{
	return &user;
}

#elif defined(__x86_64__)

#include <cpuid.h>

#define CPUID_1_EDX_CLFLUSH (1u << 19)

enum insn { INSN_CLFLUSH, INSN_CLFLUSHOPT, INSN_CLWB };

static struct {
	bool there;
	size_t line_bytes;
	enum insn clean, flush;
} cpu;

static void ask_cpu(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(d & CPUID_1_EDX_CLFLUSH))
		return;
	cpu.there = true;
	cpu.line_bytes = (b >> 8 & 0xff) * 8;
	cpu.clean = cpu.flush = INSN_CLFLUSH;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return;
	if (b & bit_CLFLUSHOPT)
		cpu.clean = cpu.flush = INSN_CLFLUSHOPT;
	if (b & bit_CLWB)
		cpu.clean = INSN_CLWB;
}

static void each_line(enum insn insn, uintptr_t addr, size_t len_bytes)
{
	uintptr_t end = addr + len_bytes;

	for (addr &= ~(cpu.line_bytes - 1); addr < end; addr += cpu.line_bytes) {
		volatile char *line = (volatile char *)addr;

		if (insn == INSN_CLWB)
			__asm__ volatile("clwb %0" : "+m"(*line));
		else if (insn == INSN_CLFLUSHOPT)
			__asm__ volatile("clflushopt %0" : "+m"(*line));
		else
			__asm__ volatile("clflush %0" : "+m"(*line));
	}
	__asm__ volatile("mfence" ::: "memory");
}

static void user_clean(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	(void)m;
	each_line(cpu.clean, addr, len_bytes);
}

static void user_flush(struct maintenance *m, uintptr_t addr, size_t len_bytes)
{
	(void)m;
	each_line(cpu.flush, addr, len_bytes);
}

static const struct maintenance_ops user = {
	.name = "user",
	.clean = user_clean,
	.flush = user_flush,
	.invalidate = user_flush,
};

const struct maintenance_ops *maintenance_user(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, ask_cpu);
	return cpu.there ? &user : NULL;
}

#else

const struct maintenance_ops *maintenance_user(void)
{
	return NULL;
}

#endif
