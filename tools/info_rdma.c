/* SPDX-License-Identifier: MIT */
/*
 * dsm_info: RDMA devices, as the kernel shows them, and why each is or is not used.
 */
#define _GNU_SOURCE
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "info.h"

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* "4: ACTIVE" -> "ACTIVE" */
static const char *state_name(const char *state)
{
	const char *name = strstr(state, ": ");

	return name ? name + 2 : state;
}

static void tell_port(const char *port)
{
	char state[64], layer[64], rate[64], name[32];

	info_read(state, sizeof(state), "%s/state", port);
	info_read(layer, sizeof(layer), "%s/link_layer", port);
	info_read(rate, sizeof(rate), "%s/rate", port);
	snprintf(name, sizeof(name), "  port %s", base_name(port));
	info_line(name, "%s, %s%s%s", state[0] ? state_name(state) : "state unknown",
		  layer[0] ? layer : "link layer unknown", rate[0] ? ", " : "", rate);
	if (state[0] && strcmp(state_name(state), "ACTIVE"))
		info_line("", "the link is not up; check the cable, or 'ip link set ... up'");
}

static void tell_device(const char *device)
{
	char pattern[4096], type[64];
	glob_t ports;

	info_read(type, sizeof(type), "%s/node_type", device);
	info_line(base_name(device), "%s; not used: this build has no verbs transport",
		  type[0] ? state_name(type) : "type unknown");
	snprintf(pattern, sizeof(pattern), "%s/ports/*", device);
	if (glob(pattern, 0, NULL, &ports)) {
		info_line("  ports", "none");
		return;
	}
	for (size_t i = 0; i < ports.gl_pathc; i++)
		tell_port(ports.gl_pathv[i]);
	globfree(&ports);
}

void info_rdma(const char *root)
{
	char pattern[4096];
	glob_t devices;

	info_heading("RDMA devices");
	snprintf(pattern, sizeof(pattern), "%s/*", root);
	if (glob(pattern, 0, NULL, &devices)) {
		info_line("devices", "none in %s; ranks of one machine need none", root);
		return;
	}
	for (size_t i = 0; i < devices.gl_pathc; i++)
		tell_device(devices.gl_pathv[i]);
	globfree(&devices);
}
