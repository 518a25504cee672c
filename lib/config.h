/* SPDX-License-Identifier: MIT */
/*
 * Settings: one table of name, default, meaning and parser feeds the environment (DSM_*), the
 * struct dsm_config that a program passes to dsm_init(), and dsm_info.
 */
#ifndef DSM_CONFIG_H
#define DSM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dsm/dsm.h"

enum launch_kind { LAUNCH_AUTO, LAUNCH_PMIX, LAUNCH_TCP, LAUNCH_ALONE };
enum transport_kind { TRANSPORT_AUTO, TRANSPORT_SHM, TRANSPORT_VERBS };
enum uffd_kind { UFFD_AUTO, UFFD_KERNEL, UFFD_USER };
enum maintenance_kind { MAINTENANCE_AUTO, MAINTENANCE_NONE, MAINTENANCE_USER, MAINTENANCE_KERNEL };
enum fault_kind { FAULT_AGENT, FAULT_CORE, FAULT_INLINE };
enum stats_kind { STATS_OFF, STATS_SUM, STATS_PAGES };

/* 64 characters and the terminating zero. */
#define CONFIG_TOKEN_MAX 65

/* Every setting with its final, checked value. */
struct settings {
	int64_t rank; /* -1: not given */
	int64_t size; /* -1: not given */
	char root[256]; /* "host:port"; empty: not given */
	char token[CONFIG_TOKEN_MAX]; /* empty: not given */
	enum launch_kind launch;
	enum transport_kind transport;
	char rdma_device[64]; /* empty: not given */
	enum uffd_kind uffd;
	enum fault_kind fault_handler;
	enum maintenance_kind maintenance;
	int log; /* enum log_level */
	uint64_t base;
	uint64_t space_bytes;
	uint64_t cache_bytes; /* the default is a share of memory, see config.c */
	bool cache_by_default; /* nobody asked for that much: ranks of a host may share it */
	uint64_t page_bytes;
	uint64_t timeout_ms;
	uint64_t sync_timeout_ms;
	int64_t spin_us; /* -1: auto */
	uint64_t prefetch_pages;
	enum stats_kind stats;
};

enum config_source { CONFIG_DEFAULT, CONFIG_PROGRAM, CONFIG_ENVIRONMENT };

/* One row of the table, as dsm_info shows it. */
struct config_row {
	const char *name; /* "DSM_CACHE_SIZE" */
	const char *fallback; /* default, as text; "" when the default is "not given" */
	const char *allowed; /* what the parser takes: "bytes, with K, M, G or T" */
	const char *meaning;
};

/*
 * Fill *s from defaults, then @config (may be NULL), then the environment. Warns once per process
 * for each unknown DSM_* name, with the nearest known one. -EINVAL with a sentence that says what
 * is allowed.
 */
int config_load(struct settings *s, const struct dsm_config *config);

/* The table; *count receives the number of rows. */
const struct config_row *config_rows(size_t *count);

/* Write row i's value in *s as text (as its parser would take it) into buf; returns buf. */
const char *config_value(const struct settings *s, size_t row, char *buf, size_t len);

/* Where row i's value came from in the latest config_load() of this process. */
enum config_source config_source_of(size_t row);

#endif
