/* SPDX-License-Identifier: MIT */
/*
 * dsm_info: RDMA devices, as the kernel shows them, and why each is or is not used.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "info.h"
#ifdef HAVE_VERBS
#include <ifaddrs.h>
#include <netinet/in.h>
#include <unistd.h>

#include "verbs_device.h"
#endif

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
	info_line(base_name(device), "%s", type[0] ? state_name(type) : "type unknown");
	snprintf(pattern, sizeof(pattern), "%s/ports/*", device);
	if (glob(pattern, 0, NULL, &ports)) {
		info_line("  ports", "none");
		return;
	}
	for (size_t i = 0; i < ports.gl_pathc; i++)
		tell_port(ports.gl_pathv[i]);
	globfree(&ports);
}

#ifdef HAVE_VERBS
#define MANAGER "/dev/infiniband/rdma_cm"

/* What an interface has: of its addresses, those that others can use, and those that they cannot.
 */
struct interface {
	bool there, up, loopback;
	unsigned naddr, nlocal;
};

static struct interface interface_of(const char *name)
{
	struct interface f = { 0 };
	struct ifaddrs *all;

	if (getifaddrs(&all))
		return f;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, name))
			continue;
		f.there = true;
		f.up = i->ifa_flags & IFF_UP;
		f.loopback = i->ifa_flags & IFF_LOOPBACK;
		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			f.naddr++;
		else if (i->ifa_addr->sa_family == AF_INET6 &&
			 IN6_IS_ADDR_LINKLOCAL(
				 &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr))
			f.nlocal++;
		else if (i->ifa_addr->sa_family == AF_INET6)
			f.naddr++;
	}
	freeifaddrs(all);
	return f;
}

/* Why no address leads to a port, and what to do about it. */
static void lack_of(const char *port, char *why, size_t len)
{
	char name[IF_NAMESIZE];
	struct interface f;

	if (access(MANAGER, R_OK | W_OK)) {
		snprintf(why, len, "%s: %s (%s)", MANAGER, strerror(errno),
			 errno == ENOENT ? "modprobe rdma_ucm" : "who may use it?");
		return;
	}
	info_read(name, sizeof(name), "%s/gid_attrs/ndevs/0", port);
	f = interface_of(name);
	if (!name[0])
		snprintf(why, len,
			 "no network interface belongs to it (on InfiniBand: modprobe ib_ipoib)");
	else if (!f.there)
		snprintf(why, len, "its network interface %s is in another network namespace",
			 name);
	else if (f.loopback)
		snprintf(why, len, "its network interface %s leads to no other host", name);
	else if (!f.up)
		snprintf(why, len, "its network interface %s is down (ip link set %s up)", name,
			 name);
	else if (!f.naddr)
		snprintf(why, len, "its network interface %s has %s (ip address add ... dev %s)",
			 name,
			 f.nlocal ? "link-local addresses alone, which mean nothing on another host"
				  : "no IP address",
			 name);
	else
		snprintf(why, len, "the kernel's connection manager finds it by no address of %s",
			 name);
}

/* Ports that no address leads to: they are in no list. */
static void tell_unreachable(const char *device, const struct verbs_device *list, unsigned n)
{
	char pattern[4096], why[256], name[IBV_SYSFS_NAME_MAX + 16];
	glob_t ports;

	snprintf(pattern, sizeof(pattern), "%s/ports/*", device);
	if (glob(pattern, 0, NULL, &ports))
		return;
	for (size_t i = 0; i < ports.gl_pathc; i++) {
		const char *port = ports.gl_pathv[i];
		bool listed = false;

		snprintf(name, sizeof(name), "%.60s:%.10s", base_name(device), base_name(port));
		for (unsigned k = 0; k < n; k++)
			listed = listed || (!strcmp(list[k].name, base_name(device)) &&
					    list[k].port == (unsigned)atoi(base_name(port)));
		if (listed)
			continue;
		lack_of(port, why, sizeof(why));
		info_line(name, "not chosen: %s", why);
	}
	globfree(&ports);
}

/* Each address by which a port can be reached, and what is made of it. */
static void tell_choice(const struct settings *s, const glob_t *devices)
{
	struct verbs_device list[VERBS_DEVICES_MAX];
	unsigned n = verbs_device_list(list, VERBS_DEVICES_MAX);
	int numa = verbs_device_numa_here(), best;
	char why[64], name[IBV_SYSFS_NAME_MAX + 16];

	best = verbs_device_choose(list, n, s->rdma_device, numa, why, sizeof(why));
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%.60s:%u", list[i].name, list[i].port);
		info_line(name, "%s (%s), %s, MTU %u, remote atomics: %s; %s%s", list[i].addr_text,
			  list[i].interface, list[i].ethernet ? "RoCE" : "InfiniBand",
			  list[i].mtu_bytes, list[i].atomics ? "yes" : "no",
			  (int)i == best ? "chosen since " : "not chosen: ",
			  (int)i == best
				  ? why
				  : verbs_device_rejected(&list[i], best < 0 ? NULL : &list[best],
							  s->rdma_device, numa));
	}
	for (size_t i = 0; i < devices->gl_pathc; i++)
		tell_unreachable(devices->gl_pathv[i], list, n);
	if (best >= 0)
		return;
	if (s->transport == TRANSPORT_VERBS || s->rdma_device[0])
		info_problem("%s", error_text());
	else
		info_note("no RDMA: %s", error_text());
}
#else
static void tell_choice(const struct settings *s, const glob_t *devices)
{
	(void)devices;
	if (s->transport == TRANSPORT_VERBS)
		info_problem("DSM_TRANSPORT is verbs, but this libdsm was built without it; "
			     "install libibverbs-dev and librdmacm-dev and build libdsm again");
	info_note("not used: this libdsm was built without libibverbs and librdmacm");
}
#endif

void info_rdma(const char *root, const struct settings *s)
{
	char pattern[4096];
	glob_t devices;

	info_heading("RDMA devices");
	snprintf(pattern, sizeof(pattern), "%s/*", root);
	if (glob(pattern, 0, NULL, &devices)) {
		info_line("devices", "none in %s; ranks of one machine need none", root);
		if (s->transport == TRANSPORT_VERBS)
			info_problem(
				"DSM_TRANSPORT is verbs, and there is no RDMA device; load its "
				"driver, or for a test: rdma link add rxe0 type rxe netdev "
				"eth0");
		return;
	}
	for (size_t i = 0; i < devices.gl_pathc; i++)
		tell_device(devices.gl_pathv[i]);
	tell_choice(s, &devices);
	globfree(&devices);
}
