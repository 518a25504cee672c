/* SPDX-License-Identifier: MIT */
/*
 * dsm_info: cache maintenance: what there is for it, and what each RDMA device would get and why.
 */
#define _GNU_SOURCE
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dsm_cache.h"
#include "error.h"
#include "info.h"
#include "maintenance_internal.h"

static void tell_module(void)
{
	int fd = maintenance_kernel_open(DSM_CACHE_PATH);

	if (fd < 0) {
		info_line("module dsm_cache", "no: %s", error_text());
		return;
	}
	close(fd);
	info_line("module dsm_cache", "yes, version %u", DSM_CACHE_VERSION);
}

static void tell_device(const struct settings *s, const char *device)
{
	struct maintenance m;

	if (maintenance_init(&m, s->maintenance, device)) {
		info_line(device, "fails");
		info_problem("%s", error_text());
		return;
	}
	info_line(device, "%s: %s", maintenance_name(&m), m.why);
	maintenance_fini(&m);
}

void info_maintenance(const struct settings *s, const char *root)
{
	char pattern[4096];
	glob_t devices;

	info_heading("Cache maintenance");
	info_line("instructions", "%s", maintenance_user() ? "yes" : "none for programs here");
	tell_module();
	snprintf(pattern, sizeof(pattern), "%s/*", root);
	if (glob(pattern, 0, NULL, &devices)) {
		info_line("live", "none: without an RDMA device the caches are all there is");
		return;
	}
	for (size_t i = 0; i < devices.gl_pathc; i++)
		tell_device(s, strrchr(devices.gl_pathv[i], '/') + 1);
	globfree(&devices);
}
