/* SPDX-License-Identifier: MIT */
/*
 * A plugin for QEMU 10 (TCG, aarch64): a cache for a machine that has none.
 *
 * QEMU shows every device every store at once. This plugin keeps for each line of memory what a
 * cache that never evicts anything of its own accord would hold, and counts what then goes wrong
 * between the processor and a device that reads and writes memory past that cache:
 *
 *	dirty reads   lines that a device read while the cache held something newer
 *	stale loads   lines that the processor read, or wrote in part, while memory was newer
 *	lost writes   lines dropped, or written back over newer memory, with the only copy in them
 *	hazards       lines that a device wrote while they were dirty: they may be evicted over it
 *
 * Each line counts once until its state changes. No count is a time.
 *
 * The processor is what loads and stores through user addresses, so also system calls on the
 * caller's behalf. What the kernel does through addresses of its own is left out, but for clearing
 * pages (dc zva), and in memory that devices reach: there it is soft-RoCE, the device. dc
 * instructions count wherever they are.
 *
 * A device reads pages and their grants in one go and uses a page only if the grants word allows
 *it, so a read of a home page counts only then. Reads of grants do not count: who reads a word
 *while it changes may get the old one.
 *
 * More is told by hints, which are no-ops on real machines, with physical addresses:
 *
 *	hint #0x70   a device may read [x0, x0 + x1), and does
 *	hint #0x71   a device may write [x0, x0 + x1), and does
 *	hint #0x72   report the counts since the last report as number x0
 *	hint #0x73   forget every line, page and count
 *	hint #0x74   the page of user address x0 is at physical address x1
 *	hint #0x75   devices reach the page at x0 & ~3 from now on: not (x0 & 3 is 0), as memory
 *(1), as a home page (2) whose grants word is at x1 and whose home reaches the ranks of the set x2
 *by device, as grants (3)
 *
 * One processor only: -smp 1. Argument: out=FILE.
 *
 * QEMU's header is in no package, so what is used of it is declared here.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * QEMU's interface, version 4
 */

#define EXPORT __attribute__((visibility("default")))

enum { REGS_NONE, REGS_READ };
enum { MEM_READ = 1, MEM_WRITE, MEM_BOTH };

struct info {
	const char *target_name;
	struct {
		int min, cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus, max_vcpus;
	} system;
};

struct byte_array { /* GByteArray */
	uint8_t *data;
	unsigned len;
};

struct array { /* GArray */
	char *data;
	unsigned len;
};

struct register_descriptor {
	void *handle;
	const char *name;
	const char *feature;
};

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, void *tb));
void qemu_plugin_register_vcpu_init_cb(uint64_t id, void (*cb)(uint64_t id, unsigned vcpu));
size_t qemu_plugin_tb_n_insns(const void *tb);
void *qemu_plugin_tb_get_insn(const void *tb, size_t i);
size_t qemu_plugin_insn_data(const void *insn, void *to, size_t len);
void qemu_plugin_register_vcpu_insn_exec_cb(void *insn, void (*cb)(unsigned vcpu, void *arg),
					    int regs, void *arg);
void qemu_plugin_register_vcpu_mem_cb(void *insn,
				      void (*cb)(unsigned vcpu, uint32_t info, uint64_t vaddr,
						 void *arg),
				      int regs, int rw, void *arg);
bool qemu_plugin_mem_is_store(uint32_t info);
unsigned qemu_plugin_mem_size_shift(uint32_t info);
bool qemu_plugin_read_memory_vaddr(uint64_t addr, struct byte_array *data, size_t len);
void *qemu_plugin_get_hwaddr(uint32_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const void *hwaddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const void *hwaddr);
struct array *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(void *handle, struct byte_array *buf);
struct byte_array *g_byte_array_new(void);
struct byte_array *g_byte_array_set_size(struct byte_array *array, unsigned len);

EXPORT int qemu_plugin_version = 4;
EXPORT int qemu_plugin_install(uint64_t id, const struct info *info, int argc, char **argv);

/*
 * Lines
 */

#define LINE_SHIFT 6
#define PAGE_SHIFT 12
#define RAM_BEGIN  UINT64_C(0x40000000) /* of -M virt */
#define RAM_BYTES  (UINT64_C(2) << 30)
#define LINEAR_MAP UINT64_C(0xffff000000000000) /* where the kernel, by nokaslr, maps RAM_BEGIN */

/* TOLD: what is wrong with the line by its state has been counted. */
enum { VALID = 1, DIRTY = 2, STALE = 4, STALE_TOLD = 8, READ_TOLD = 16, WRITE_TOLD = 32 };

static uint8_t *lines;
static struct {
	uint64_t dirty_reads, stale_loads, lost_writes, hazards;
} count;
static FILE *out;

static uint8_t *line_at(uint64_t pa)
{
	return pa - RAM_BEGIN < RAM_BYTES ? &lines[(pa - RAM_BEGIN) >> LINE_SHIFT] : NULL;
}

static void cpu_loads(uint8_t *line)
{
	if ((*line & (STALE | STALE_TOLD)) == STALE) {
		count.stale_loads++;
		*line |= STALE_TOLD;
	}
	*line |= VALID;
}

/* What else lies in the line is read to fill it. */
static void cpu_stores(uint8_t *line)
{
	cpu_loads(line);
	*line |= DIRTY;
	*line &= (uint8_t) ~(READ_TOLD | WRITE_TOLD);
}

/* The whole line, so nothing is read to fill it. */
static void cpu_fills(uint8_t *line)
{
	*line = VALID | DIRTY;
}

static void cleaned(uint8_t *line)
{
	if ((*line & (DIRTY | STALE)) == (DIRTY | STALE))
		count.lost_writes++;
	if (*line & DIRTY)
		*line = VALID;
}

static void flushed(uint8_t *line)
{
	cleaned(line);
	*line = 0;
}

static void dropped(uint8_t *line)
{
	if (*line & DIRTY)
		count.lost_writes++;
	*line = 0;
}

static void device_reads(uint8_t *line)
{
	if ((*line & (DIRTY | READ_TOLD)) != DIRTY)
		return;
	count.dirty_reads++;
	*line |= READ_TOLD;
}

static void device_writes(uint8_t *line)
{
	if ((*line & (DIRTY | WRITE_TOLD)) == DIRTY) {
		count.hazards++;
		*line |= WRITE_TOLD;
	}
	if (*line & VALID)
		*line = (uint8_t)((*line | STALE) & ~STALE_TOLD);
}

static void each_line(uint64_t pa, uint64_t len, void (*fn)(uint8_t *line))
{
	for (uint64_t at = pa >> LINE_SHIFT << LINE_SHIFT; at < pa + len; at += 1 << LINE_SHIFT) {
		uint8_t *line = line_at(at);

		if (line)
			fn(line);
	}
}

static void report(uint64_t number)
{
	fprintf(out, "%llu dirty_reads %llu stale_loads %llu lost_writes %llu hazards %llu\n",
		(unsigned long long)number, (unsigned long long)count.dirty_reads,
		(unsigned long long)count.stale_loads, (unsigned long long)count.lost_writes,
		(unsigned long long)count.hazards);
	fflush(out);
	memset(&count, 0, sizeof(count));
}

/*
 * Registers and addresses
 */

static void *x_handle[31];
static struct byte_array *bytes;

static uint64_t register_read(void *handle)
{
	uint64_t value = 0;

	g_byte_array_set_size(bytes, 0);
	if (qemu_plugin_read_register(handle, bytes) < 8) {
		fprintf(stderr, "cache_model: a register cannot be read\n");
		abort();
	}
	memcpy(&value, bytes->data, 8);
	return value;
}

static uint64_t x(unsigned i)
{
	return i < 31 ? register_read(x_handle[i]) : 0;
}

static bool is_kernel(uint64_t va)
{
	return va >> 55 & 1;
}

/*
 * Pages of user addresses, as the last access found them: by address space and page. A dc
 * instruction gives no physical address, and the program has touched its page before. The address
 * space is what the kernel put into TTBR0_EL1.
 */
#define SEEN_BITS 20
#define SEEN_WAYS 8
static struct seen {
	uint64_t space, page, pa;
} seen[1 << SEEN_BITS];
static uint64_t space;

/* The page's place, or the one to take for it: of a few, so that pages that share a place stay. */
static struct seen *seen_at(uint64_t page)
{
	uint64_t hash = (space * 31 ^ page) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SEEN_BITS);
	static unsigned victim;

	for (unsigned i = 0; i < SEEN_WAYS; i++) {
		struct seen *s = &seen[hash ^ i];

		if ((s->space == space && s->page == page) || !s->pa)
			return s;
	}
	return &seen[hash ^ victim++ % SEEN_WAYS];
}

static void saw(uint64_t va, uint64_t pa)
{
	uint64_t page = va >> PAGE_SHIFT;
	struct seen *s = seen_at(page);

	*s = (struct seen){ space, page, pa >> PAGE_SHIFT << PAGE_SHIFT };
}

/* 0: not known. */
static uint64_t physical(uint64_t va)
{
	uint64_t page = va >> PAGE_SHIFT;
	const struct seen *s;

	if (is_kernel(va))
		return va - LINEAR_MAP < RAM_BYTES ? va - LINEAR_MAP + RAM_BEGIN : 0;
	s = seen_at(page);
	if (s->space != space || s->page != page)
		return 0;
	return s->pa | (va & ((1 << PAGE_SHIFT) - 1));
}

/*
 * What devices reach: pages, by number in memory
 */

enum reached { REACHED_NOT, REACHED_MEMORY, REACHED_HOME, REACHED_GRANTS };

static uint8_t reach[RAM_BYTES >> PAGE_SHIFT];
static struct {
	uint64_t grant; /* physical address of the word */
	uint64_t ranks; /* that come through a device */
} home[RAM_BYTES >> PAGE_SHIFT];

static void reach_page(uint64_t pa, uint64_t grant, uint64_t ranks)
{
	uint64_t i = (pa - RAM_BEGIN) >> PAGE_SHIFT;

	if (pa - RAM_BEGIN >= RAM_BYTES)
		return;
	reach[i] = (uint8_t)(pa & 3);
	home[i].grant = grant;
	home[i].ranks = ranks;
}

/* Does whoever reads a home page now use it? If it is Clean, or was granted to one who reads it by
 * device, or if a device does an atomic on it; see lib/wire.h. */
static bool grant_allows(uint64_t grant, uint64_t ranks)
{
	uint64_t word;

	g_byte_array_set_size(bytes, 0);
	if (!qemu_plugin_read_memory_vaddr(grant - RAM_BEGIN + LINEAR_MAP, bytes, sizeof(word))) {
		fprintf(stderr, "cache_model: a grants word cannot be read\n");
		abort();
	}
	memcpy(&word, bytes->data, sizeof(word));
	switch (word & 7) {
	case 0: /* Clean */
		return true;
	case 2: /* Exclusive */
		return ranks >> (word >> 16 & 63) & 1;
	case 3: /* Atomic */
		return word >> 16 & 1;
	}
	return false;
}

/* The kernel loads or stores by its own address of all memory. */
static void device_at(uint64_t pa, uint64_t len, bool writes)
{
	uint64_t i = (pa - RAM_BEGIN) >> PAGE_SHIFT;

	if (reach[i] == REACHED_NOT)
		return;
	if (writes)
		each_line(pa, len, device_writes);
	else if (reach[i] == REACHED_MEMORY ||
		 (reach[i] == REACHED_HOME && grant_allows(home[i].grant, home[i].ranks)))
		each_line(pa, len, device_reads);
}

/*
 * What runs
 */

/* Within a page. */
static void user_access(uint32_t info, uint64_t vaddr, uint64_t len)
{
	void *hwaddr = qemu_plugin_get_hwaddr(info, vaddr);
	uint64_t pa;

	if (!hwaddr || qemu_plugin_hwaddr_is_io(hwaddr))
		return;
	pa = qemu_plugin_hwaddr_phys_addr(hwaddr);
	saw(vaddr, pa);
	each_line(pa, len, qemu_plugin_mem_is_store(info) ? cpu_stores : cpu_loads);
}

static void on_memory(unsigned vcpu, uint32_t info, uint64_t vaddr, void *arg)
{
	uint64_t len = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
	uint64_t left = (1 << PAGE_SHIFT) - (vaddr & ((1 << PAGE_SHIFT) - 1));

	(void)vcpu;
	(void)arg;
	if (is_kernel(vaddr)) {
		if (vaddr - LINEAR_MAP < RAM_BYTES)
			device_at(vaddr - LINEAR_MAP + RAM_BEGIN, len,
				  qemu_plugin_mem_is_store(info));
		return;
	}
	/* What follows in the program's addresses is elsewhere in memory. */
	user_access(info, vaddr, len < left ? len : left);
	if (len > left)
		user_access(info, vaddr + left, len - left);
}

enum what {
	DC_CLEAN,
	DC_FLUSH,
	DC_DROP,
	DC_ZERO,
	SPACE,
	HINT_READS,
	HINT_WRITES,
	HINT_REPORT,
	HINT_FORGET,
	HINT_MAPPED,
	HINT_REACHED
};

/* What an instruction and its register come to, for the callback: register and kind in one word. */
static void *packed(enum what what, unsigned rt)
{
	return (void *)(uintptr_t)(what << 8 | rt);
}

static void maintained(enum what what, uint64_t va)
{
	static void (*const fns[])(uint8_t * line) = { cleaned, flushed, dropped };
	uint64_t pa = physical(va);

	if (!pa)
		return;
	if (what == DC_ZERO)
		each_line(pa >> LINE_SHIFT << LINE_SHIFT, 1 << LINE_SHIFT, cpu_fills);
	else
		each_line(pa, 1, fns[what]);
}

static void on_instruction(unsigned vcpu, void *arg)
{
	enum what what = (enum what)((uintptr_t)arg >> 8);

	(void)vcpu;
	switch (what) {
	case DC_CLEAN:
	case DC_FLUSH:
	case DC_DROP:
	case DC_ZERO:
		maintained(what, x((uintptr_t)arg & 0xff));
		break;
	case SPACE:
		space = x((uintptr_t)arg & 0xff);
		break;
	case HINT_READS:
		each_line(x(0), x(1), device_reads);
		break;
	case HINT_WRITES:
		each_line(x(0), x(1), device_writes);
		break;
	case HINT_MAPPED:
		saw(x(0), x(1));
		break;
	case HINT_REACHED:
		reach_page(x(0), x(1), x(2));
		break;
	case HINT_REPORT:
		report(x(0));
		break;
	case HINT_FORGET:
		memset(lines, 0, RAM_BYTES >> LINE_SHIFT);
		memset(seen, 0, sizeof(seen));
		memset(reach, 0, sizeof(reach));
		memset(&count, 0, sizeof(count));
		break;
	}
}

static const struct {
	uint32_t mask, code;
	enum what what;
} instructions[] = {
	{ 0xffffffe0, 0xd50b7a20, DC_CLEAN }, /* dc cvac */
	{ 0xffffffe0, 0xd50b7c20, DC_CLEAN }, /* dc cvap */
	{ 0xffffffe0, 0xd50b7e20, DC_FLUSH }, /* dc civac */
	{ 0xffffffe0, 0xd5087620, DC_DROP }, /* dc ivac */
	{ 0xffffffe0, 0xd50b7420, DC_ZERO }, /* dc zva; of one line, as on cortex-a76 */
	{ 0xffffffe0, 0xd5182000, SPACE }, /* msr ttbr0_el1 */
	{ 0xffffffff, 0xd5032e1f, HINT_READS }, /* hint #0x70 */
	{ 0xffffffff, 0xd5032e3f, HINT_WRITES },  { 0xffffffff, 0xd5032e5f, HINT_REPORT },
	{ 0xffffffff, 0xd5032e7f, HINT_FORGET },  { 0xffffffff, 0xd5032e9f, HINT_MAPPED },
	{ 0xffffffff, 0xd5032ebf, HINT_REACHED },
};

static void on_translation(uint64_t id, void *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		void *insn = qemu_plugin_tb_get_insn(tb, i);
		uint32_t code = 0;

		qemu_plugin_insn_data(insn, &code, sizeof(code));
		qemu_plugin_register_vcpu_mem_cb(insn, on_memory, REGS_NONE, MEM_BOTH, NULL);
		for (size_t j = 0; j < sizeof(instructions) / sizeof(instructions[0]); j++) {
			if ((code & instructions[j].mask) == instructions[j].code)
				qemu_plugin_register_vcpu_insn_exec_cb(
					insn, on_instruction, REGS_READ,
					packed(instructions[j].what, code & 0x1f));
		}
	}
}

static void on_processor(uint64_t id, unsigned vcpu)
{
	const struct array *all = qemu_plugin_get_registers();
	const struct register_descriptor *r = (const void *)all->data;
	unsigned n;
	char end;

	(void)id;
	if (vcpu) {
		fprintf(stderr, "cache_model: one processor only\n");
		exit(1);
	}
	for (unsigned i = 0; i < all->len; i++) {
		if (sscanf(r[i].name, "x%u%c", &n, &end) == 1 && n < 31)
			x_handle[n] = r[i].handle;
	}
	bytes = g_byte_array_new();
}

int qemu_plugin_install(uint64_t id, const struct info *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4) || strcmp(info->target_name, "aarch64")) {
		fprintf(stderr, "cache_model: for aarch64; its argument is out=FILE\n");
		return -1;
	}
	out = fopen(argv[0] + 4, "we");
	lines = calloc(RAM_BYTES >> LINE_SHIFT, 1);
	if (!out || !lines) {
		perror("cache_model");
		return -1;
	}
	qemu_plugin_register_vcpu_init_cb(id, on_processor);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
