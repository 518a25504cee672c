/* SPDX-License-Identifier: MIT */
/*
 * Settings, driven by one table.
 *
 * A row of the table says where its value lies in struct dsm_config (what the program gave) and in
 * struct settings (the result), how text becomes a value and which values are allowed. Defaults are
 * texts of the same syntax, so that all three sources take one path. Only the default of the cache
 * size is worked out, from the machine's memory.
 *
 * An empty text counts as not given: "DSM_LOG= ./program" unsets. Not for two threads at once:
 * dsm_init() lets in one.
 */
#define _GNU_SOURCE
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_kind.h"
#include "error.h"
#include "log.h"
#include "machine.h"
#include "names.h"
#include "rankset.h"

#define KIB         (UINT64_C(1) << 10)
#define MIB         (UINT64_C(1) << 20)
#define TIB         (UINT64_C(1) << 40)
#define BLOCK       (2 * MIB)
#define ADDRESS_END (UINT64_C(1) << 47) /* of user space with four levels of page tables */

#define CACHE_BYTES_LEAST  (64 * MIB) /* of a default, however small the machine */
#define TOKEN_CHARS_MIN    8
#define TIMEOUT_MS_MAX     INT32_MAX
#define SPIN_US_MAX        1000000
#define PREFETCH_PAGES_MAX 65536

#define VALUE_SHOWN_CHARS 64 /* of a value in an error's sentence */
#define UNKNOWN_NAMES_MAX 64 /* that are warned of in a process */

static_assert(RANKS_MAX == 512, "what the table says of DSM_RANK and DSM_SIZE; and struct page "
				"has 9 bits for a rank");
static_assert(sizeof(enum launch_kind) == sizeof(int), "choices are stored as int");

/*
 * The table
 */

static const char *const launches[] = { "auto", "pmix", "tcp", "alone", NULL };
static const char *const transports[] = { "auto", "shm", "verbs", NULL };
static const char *const uffds[] = { "auto", "kernel", "user", NULL };
static const char *const maintenances[] = { "auto", "none", "user", "kernel", NULL };
static const char *const fault_handlers[] = { "agent", "core", "inline", NULL };
static const char *const stats_beyond[] = { "pages", NULL };
static const char *const levels[] = { "error", "warn", "info", "debug", NULL };

#define AT(given, result)                                                                          \
	.given_at = offsetof(struct dsm_config, given),                                            \
	.result_at = offsetof(struct settings, result)

static const struct setting table[] = {
	{ .row = { "DSM_RANK", "", "a number from 0 to 511",
		   "own rank, when not started by a launcher" },
	  .kind = &kind_integer,
	  AT(rank, rank),
	  .max = RANKS_MAX - 1 },
	{ .row = { "DSM_SIZE", "", "a number from 1 to 512",
		   "number of ranks, when not started by a launcher" },
	  .kind = &kind_integer,
	  AT(size, size),
	  .min = 1,
	  .max = RANKS_MAX },
	{ .row = { "DSM_ROOT", "", "host:port or [IPv6 address]:port, port 1 to 65535",
		   "where rank 0 listens for the others, when not started by a launcher" },
	  .kind = &kind_endpoint,
	  AT(root, root),
	  .max = sizeof(((struct settings *)0)->root) - 1 },
	{ .row = { "DSM_TOKEN", "", "8 to 64 printable characters without spaces",
		   "secret of the job, that every rank must know; made by the launch if not "
		   "given" },
	  .kind = &kind_token,
	  AT(token, token),
	  .min = TOKEN_CHARS_MIN,
	  .max = CONFIG_TOKEN_MAX - 1 },
	{ .row = { "DSM_LAUNCH", "auto", "auto, pmix, tcp or alone",
		   "how ranks find one another: PMIx (mpirun, srun), TCP (DSM_ROOT), or a single "
		   "rank" },
	  .kind = &kind_choice,
	  AT(launch, launch),
	  .choices = launches },
	{ .row = { "DSM_TRANSPORT", "auto", "auto, shm or verbs",
		   "how ranks reach one another's memory: shared memory on one host and RDMA "
		   "between "
		   "hosts (auto), or one of them everywhere" },
	  .kind = &kind_choice,
	  AT(transport, transport),
	  .choices = transports },
	{ .row = { "DSM_RDMA_DEVICE", "", "a device, device:port, network interface or IP address",
		   "which RDMA device to use; else the best that has an address" },
	  .kind = &kind_word,
	  AT(rdma_device, rdma_device),
	  .min = 1,
	  .max = sizeof(((struct settings *)0)->rdma_device) - 1 },
	{ .row = { "DSM_USERFAULTFD", "auto", "auto, kernel or user",
		   "which userfaultfd: also for accesses in the kernel (read(2)), or in user mode "
		   "alone" },
	  .kind = &kind_choice,
	  AT(userfaultfd, uffd),
	  .choices = uffds },
	{ .row = { "DSM_FAULT_HANDLER", "agent", "agent, core or inline",
		   "who serves a page fault: the service thread, which polls and then sleeps; the "
		   "same, asleep on the processor where the fault was; or the thread itself, from "
		   "a "
		   "handler of SIGBUS" },
	  .kind = &kind_choice,
	  AT(fault_handler, fault_handler),
	  .choices = fault_handlers },
	{ .row = { "DSM_LOG", "warn", "error, warn, info or debug", "least urgent lines to log" },
	  .kind = &kind_choice,
	  AT(log, log),
	  .choices = levels },
	{ .row = { "DSM_BASE", "0x7e8000000000",
		   "an address, a multiple of 2 MiB above 0 and below 2^47",
		   "where the global address range begins, the same in every rank" },
	  .kind = &kind_address,
	  AT(base, base),
	  .given_number = true,
	  .min = BLOCK,
	  .max = ADDRESS_END - BLOCK,
	  .multiple_of = BLOCK },
	{ .row = { "DSM_SPACE", "64G", "bytes, with K, M, G or T: a multiple of 2M, up to 16T",
		   "length of the global address range: what all regions share" },
	  .kind = &kind_bytes,
	  AT(space, space_bytes),
	  .given_number = true,
	  .min = BLOCK,
	  .max = 16 * TIB,
	  .multiple_of = BLOCK },
	{ .row = { "DSM_CACHE_SIZE", "a quarter of memory",
		   "bytes, with K, M, G or T: at least 1M, up to 16T",
		   "most bytes of other ranks' pages kept here" },
	  .kind = &kind_bytes,
	  AT(cache_size, cache_bytes),
	  .given_number = true,
	  .min = MIB,
	  .max = 16 * TIB },
	{ .row = { "DSM_CACHE_MAINTENANCE", "auto", "auto, none, user or kernel",
		   "who writes back and drops cache lines where DMA is not coherent: nobody, the "
		   "library, or the module dsm_cache" },
	  .kind = &kind_choice,
	  AT(cache_maintenance, maintenance),
	  .choices = maintenances },
	{ .row = { "DSM_PAGE_SIZE", "4K", "bytes, with K or M: a power of two from 4K to 2M",
		   "unit of coherence of regions that do not choose their own" },
	  .kind = &kind_bytes,
	  AT(page_size, page_bytes),
	  .given_number = true,
	  .min = 4 * KIB,
	  .max = BLOCK,
	  .power_of_two = true },
	{ .row = { "DSM_TIMEOUT_MS", "30000", "milliseconds, from 1 to 2147483647",
		   "deadline of waits for other ranks' service" },
	  .kind = &kind_integer,
	  AT(timeout_ms, timeout_ms),
	  .given_number = true,
	  .min = 1,
	  .max = TIMEOUT_MS_MAX },
	{ .row = { "DSM_SYNC_TIMEOUT_MS", "3600000", "milliseconds, from 1 to 2147483647",
		   "deadline of waits for the application: locks, barriers, dsm_fini()" },
	  .kind = &kind_integer,
	  AT(sync_timeout_ms, sync_timeout_ms),
	  .given_number = true,
	  .min = 1,
	  .max = TIMEOUT_MS_MAX },
	{ .row = { "DSM_SPIN_US", "auto", "microseconds, from 0 to 1000000, or auto",
		   "how long to poll before sleeping" },
	  .kind = &kind_integer,
	  AT(spin_us, spin_us),
	  .max = SPIN_US_MAX,
	  .may_be_auto = true },
	{ .row = { "DSM_PREFETCH", "64", "pages, from 0 to 65536",
		   "most pages fetched ahead of a sequential stream; 0: none" },
	  .kind = &kind_integer,
	  AT(prefetch, prefetch_pages),
	  .max = PREFETCH_PAGES_MAX },
	{ .row = { "DSM_STATS", "0", "0, 1 or pages",
		   "1: print statistics at dsm_fini(), summed over ranks; pages: and which pages "
		   "ranks took from one another" },
	  .kind = &kind_switch,
	  AT(stats, stats),
	  .choices = stats_beyond },
};

#define SETTINGS (sizeof(table) / sizeof(table[0]))

static enum config_source sources[SETTINGS];

/*
 * Where values come from
 */

static bool is_secret(const struct setting *t)
{
	return t->kind == &kind_token;
}

static void *result_of(struct settings *s, const struct setting *t)
{
	return (char *)s + t->result_at;
}

static int refuse(const struct setting *t, const char *value, const char *where)
{
	if (is_secret(t))
		return error_set(EINVAL, "%s in %s is not valid; it must be %s", t->row.name, where,
				 t->row.allowed);
	return error_set(EINVAL, "%s is \"%.*s\" in %s; it must be %s", t->row.name,
			 VALUE_SHOWN_CHARS, value, where, t->row.allowed);
}

/* What a field of settings holds when nothing is given and there is no default. */
static void clear(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	s->rank = -1;
	s->size = -1;
}

static void take_default(struct settings *s, const struct setting *t)
{
	/* The cache's is a sentence, not a value: see cache_default(). */
	if (t->row.fallback[0] && t->result_at != offsetof(struct settings, cache_bytes))
		(void)t->kind->parse(t, t->row.fallback, result_of(s, t));
}

static int take_number(struct settings *s, const struct setting *t, uint64_t n)
{
	char text[32];

	if (!number_allowed(t, n)) {
		t->kind->print(t, &n, text, sizeof(text));
		return refuse(t, text, "the program's configuration");
	}
	memcpy(result_of(s, t), &n, sizeof(n));
	return 0;
}

static int take_text(struct settings *s, const struct setting *t, const char *text,
		     const char *where)
{
	return t->kind->parse(t, text, result_of(s, t)) ? 0 : refuse(t, text, where);
}

/* 1: the program gave it. */
static int take_given(struct settings *s, const struct setting *t, const struct dsm_config *config)
{
	const void *field = (const char *)config + t->given_at;
	const char *text;
	uint64_t n;
	int err;

	if (t->given_number) {
		memcpy(&n, field, sizeof(n));
		if (!n)
			return 0;
		err = take_number(s, t, n);
	} else {
		memcpy(&text, field, sizeof(text));
		if (!text || !text[0])
			return 0;
		err = take_text(s, t, text, "the program's configuration");
	}
	return err ? err : 1;
}

/* A value that the environment overrides is not looked at: the user can mend what the program got
 * wrong. */
static int take(struct settings *s, const struct setting *t, const struct dsm_config *config,
		enum config_source *source)
{
	const char *text = getenv(t->row.name);
	int err;

	if (text && text[0]) {
		*source = CONFIG_ENVIRONMENT;
		return take_text(s, t, text, "the environment");
	}
	if (config) {
		err = take_given(s, t, config);
		if (err) {
			*source = CONFIG_PROGRAM;
			return err < 0 ? err : 0;
		}
	}
	*source = CONFIG_DEFAULT;
	take_default(s, t);
	return 0;
}

/*
 * What rests on more than one value
 */

/* A quarter of what this process may have, never more than there is to cache. Whoever knows how
 * many ranks share the machine may make it less (cache_by_default). */
static uint64_t cache_default(uint64_t space_bytes)
{
	uint64_t memory = machine_memory_bytes();
	uint64_t limit = machine_cgroup_bytes();
	uint64_t cache = (limit < memory ? limit : memory) / 4;

	if (cache < CACHE_BYTES_LEAST)
		cache = CACHE_BYTES_LEAST;
	if (cache > space_bytes)
		cache = space_bytes;
	return cache & ~(MIB - 1);
}

static int check(const struct settings *s)
{
	uint64_t base_max = ADDRESS_END - s->space_bytes;

	if (s->base > base_max)
		return error_set(
			EINVAL,
			"DSM_BASE is 0x%" PRIx64 " and DSM_SPACE 0x%" PRIx64
			" bytes, which ends beyond user addresses; with this space the base"
			" can be 0x%" PRIx64 " at most",
			s->base, s->space_bytes, base_max);
	if (s->rank >= 0 && s->size >= 0 && s->rank >= s->size)
		return error_set(EINVAL,
				 "DSM_RANK is %" PRId64 " and DSM_SIZE is %" PRId64
				 "; ranks go from 0 to DSM_SIZE - 1",
				 s->rank, s->size);
	return 0;
}

/*
 * Names in the environment that mean nothing
 */

static const char *known_name(size_t i)
{
	return i < SETTINGS ? table[i].row.name : NULL;
}

/* Remembers names by hash, so that a process that joins clusters again and again is told once. */
static bool first_time(const char *name, size_t len)
{
	static uint64_t seen[UNKNOWN_NAMES_MAX];
	static size_t nseen;
	uint64_t hash = names_hash(name, len);

	for (size_t i = 0; i < nseen; i++) {
		if (seen[i] == hash)
			return false;
	}
	if (nseen == UNKNOWN_NAMES_MAX)
		return false;
	seen[nseen++] = hash;
	return true;
}

static bool is_known(const char *name, size_t len)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		if (strlen(table[i].row.name) == len && !memcmp(table[i].row.name, name, len))
			return true;
	}
	return false;
}

static void warn_unknown(void)
{
	const char *nearest;
	size_t len;

	for (char **e = environ; e && *e; e++) {
		len = strcspn(*e, "=");
		if (strncmp(*e, "DSM_", 4) || is_known(*e, len) || !first_time(*e, len))
			continue;
		nearest = names_nearest(*e, len, known_name);
		if (nearest)
			log_write(LOG_WARN,
				  "%.*s in the environment is not a setting of libdsm; "
				  "is %s meant?",
				  (int)len, *e, nearest);
		else
			log_write(LOG_WARN,
				  "%.*s in the environment is not a setting of libdsm; "
				  "dsm_info lists them all",
				  (int)len, *e);
	}
}

/*
 * What config.h offers
 */

int config_load(struct settings *s, const struct dsm_config *config)
{
	enum config_source from[SETTINGS];
	struct settings result;
	int err;

	clear(&result);
	for (size_t i = 0; i < SETTINGS; i++) {
		err = take(&result, &table[i], config, &from[i]);
		if (err)
			return err;
		if (table[i].result_at == offsetof(struct settings, cache_bytes) &&
		    from[i] == CONFIG_DEFAULT) {
			result.cache_bytes = cache_default(result.space_bytes);
			result.cache_by_default = true;
		}
	}
	err = check(&result);
	if (err)
		return err;
	/* By the level that was just read, which nobody has set yet. */
	if (result.log >= LOG_WARN)
		warn_unknown();
	memcpy(sources, from, sizeof(sources));
	*s = result;
	return 0;
}

static struct config_row rows[SETTINGS];

static void rows_fill(void)
{
	for (size_t i = 0; i < SETTINGS; i++)
		rows[i] = table[i].row;
}

const struct config_row *config_rows(size_t *count)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, rows_fill);
	*count = SETTINGS;
	return rows;
}

const char *config_value(const struct settings *s, size_t row, char *buf, size_t len)
{
	const struct setting *t = &table[row];

	t->kind->print(t, (const char *)s + t->result_at, buf, len);
	return buf;
}

enum config_source config_source_of(size_t row)
{
	return sources[row];
}
