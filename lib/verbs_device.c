/* SPDX-License-Identifier: MIT */
/*
 * See verbs_device.h.
 */
#define _GNU_SOURCE

#include "verbs_device.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <numa.h>
#include <rdma/rdma_cma.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

const char *verbs_device_directory = "/sys/class/infiniband";

int verbs_device_numa_here(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 || numa_available() < 0 ? -1 : numa_node_of_cpu(cpu);
}

static int numa_of(const char *device)
{
	char path[256];
	int node = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/device/numa_node", device);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &node) != 1)
		node = -1;
	if (f)
		fclose(f);
	return node;
}

/* Gb/s of one lane, of enum ibv_port_attr.active_speed, and lanes, of active_width. */
static unsigned speed_of(const struct ibv_port_attr *p)
{
	static const struct {
		unsigned code, gbps;
	} speeds[] = { { 1, 2 },   { 2, 5 },   { 4, 10 },  { 8, 10 },
		       { 16, 14 }, { 32, 25 }, { 64, 50 }, { 128, 100 } };
	unsigned lanes = p->active_width == 1   ? 1
			 : p->active_width == 2 ? 4
			 : p->active_width == 4 ? 8
			 : p->active_width == 8 ? 12
						: 2;

	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].code == p->active_speed)
			return speeds[i].gbps * lanes;
	return 0;
}

static bool describe(struct verbs_device *d, struct ibv_context *context, unsigned port)
{
	struct ibv_device_attr attr;
	struct ibv_port_attr p;

	if (ibv_query_device(context, &attr) || ibv_query_port(context, (uint8_t)port, &p))
		return false;
	snprintf(d->name, sizeof(d->name), "%s", ibv_get_device_name(context->device));
	d->port = port;
	d->active = p.state == IBV_PORT_ACTIVE;
	d->ethernet = p.link_layer == IBV_LINK_LAYER_ETHERNET;
	d->atomics = attr.atomic_cap != IBV_ATOMIC_NONE;
	d->ordered = context->device->transport_type != IBV_TRANSPORT_IWARP;
	d->rd_atomic_max = (unsigned)attr.max_qp_rd_atom;
	d->rd_init_max = (unsigned)attr.max_qp_init_rd_atom;
	d->sends_max = (unsigned)attr.max_qp_wr;
	d->completions_max = (unsigned)attr.max_cqe;
	d->mtu_bytes = 128u << p.active_mtu;
	d->speed = speed_of(&p);
	d->numa = numa_of(d->name);
	return true;
}

/* Does an RDMA device answer to this address? */
static bool candidate(struct verbs_device *d, struct rdma_event_channel *channel,
		      const struct ifaddrs *i)
{
	size_t len = i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						       : sizeof(struct sockaddr_in6);
	struct rdma_cm_id *id;
	bool found = false;

	memset(d, 0, sizeof(*d));
	memcpy(&d->addr, i->ifa_addr, len);
	snprintf(d->interface, sizeof(d->interface), "%s", i->ifa_name);
	if (i->ifa_addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&d->addr)->sin_addr, d->addr_text,
			  sizeof(d->addr_text));
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&d->addr)->sin6_addr, d->addr_text,
			  sizeof(d->addr_text));
	if (rdma_create_id(channel, &id, NULL, RDMA_PS_TCP))
		return false;
	if (!rdma_bind_addr(id, (struct sockaddr *)&d->addr) && id->verbs)
		found = describe(d, id->verbs, id->port_num);
	rdma_destroy_id(id);
	return found;
}

/* Loopback has no fabric behind it, and a link-local address means nothing on another host. */
static bool usable(const struct ifaddrs *i)
{
	if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
		return false;
	if (i->ifa_addr->sa_family == AF_INET)
		return true;
	return i->ifa_addr->sa_family == AF_INET6 &&
	       !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr);
}

/* Asked of the kernel first: the libraries keep memory for good when they look for devices. */
static bool any_device(const char *directory)
{
	DIR *dir = opendir(directory);
	const struct dirent *d;
	bool any = false;

	while (dir && !any && (d = readdir(dir)))
		any = d->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return any;
}

unsigned verbs_device_list(struct verbs_device *list, unsigned max)
{
	struct rdma_event_channel *channel;
	struct ifaddrs *all;
	unsigned n = 0;

	if (!any_device(verbs_device_directory))
		return 0;
	channel = rdma_create_event_channel();
	if (!channel)
		return 0;
	if (getifaddrs(&all) == 0) {
		for (const struct ifaddrs *i = all; i && n < max; i = i->ifa_next)
			if (usable(i) && candidate(&list[n], channel, i))
				n++;
		freeifaddrs(all);
	}
	rdma_destroy_event_channel(channel);
	return n;
}

static bool matches(const struct verbs_device *d, const char *wanted)
{
	char with_port[IBV_SYSFS_NAME_MAX + 16];

	snprintf(with_port, sizeof(with_port), "%s:%u", d->name, d->port);
	return !wanted[0] || !strcmp(wanted, d->name) || !strcmp(wanted, with_port) ||
	       !strcmp(wanted, d->interface) || !strcmp(wanted, d->addr_text);
}

/* What speaks for a device, most important first. */
enum { BY_LINK, BY_ATOMICS, BY_NUMA, BY_SPEED, BY_FAMILY, REASONS };

static void weigh(const struct verbs_device *d, int numa, unsigned w[REASONS])
{
	w[BY_LINK] = d->active;
	w[BY_ATOMICS] = d->atomics;
	w[BY_NUMA] = numa < 0 || d->numa < 0 || d->numa == numa;
	w[BY_SPEED] = d->speed;
	w[BY_FAMILY] = d->addr.ss_family == AF_INET;
}

/* The first reason for which a is better (1) or worse (-1) than b; 0: none. */
static int compare(const struct verbs_device *a, const struct verbs_device *b, int numa,
		   unsigned *reason)
{
	unsigned wa[REASONS], wb[REASONS];

	weigh(a, numa, wa);
	weigh(b, numa, wb);
	for (*reason = 0; *reason < REASONS; ++*reason)
		if (wa[*reason] != wb[*reason])
			return wa[*reason] > wb[*reason] ? 1 : -1;
	return 0;
}

static int none(const struct verbs_device *list, unsigned n, const char *wanted)
{
	char names[256] = "";
	size_t len = 0;

	if (!n)
		return error_set(ENODEV,
				 "no RDMA device of this machine has an IP address on its network "
				 "interface (rdma link; for a test: rdma link add rxe0 type rxe "
				 "netdev eth0)");
	for (unsigned i = 0; i < n && len + 1 < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s:%u (%s, %s)",
					i ? ", " : "", list[i].name, list[i].port,
					list[i].interface, list[i].addr_text);
	return error_set(ENODEV, "DSM_RDMA_DEVICE is \"%s\", and there is: %s", wanted, names);
}

int verbs_device_choose(const struct verbs_device *list, unsigned n, const char *wanted, int numa,
			char *why, size_t len)
{
	static const char *const reasons[] = { "its port is up",          "it does remote atomics",
					       "it is on this NUMA node", "it is the fastest",
					       "it has an IPv4 address",  "it comes first" };
	unsigned reason, told = REASONS, nmatch = 0;
	int best = -1;

	for (unsigned i = 0; i < n; i++) {
		if (!matches(&list[i], wanted))
			continue;
		nmatch++;
		if (best < 0) {
			best = (int)i;
		} else if (compare(&list[i], &list[best], numa, &reason) > 0) {
			best = (int)i;
			told = reason;
		} else if (told == REASONS) {
			told = reason;
		}
	}
	if (best < 0)
		return none(list, n, wanted);
	if (!list[best].active)
		return error_set(ENODEV,
				 "port %u of RDMA device %s (%s) is not up: check the cable, or ip "
				 "link set %s up",
				 list[best].port, list[best].name, list[best].interface,
				 list[best].interface);
	snprintf(why, len, "%s",
		 nmatch > 1  ? reasons[told]
		 : wanted[0] ? "DSM_RDMA_DEVICE asks for it"
			     : "it is the only one");
	return best;
}

const char *verbs_device_rejected(const struct verbs_device *d, const struct verbs_device *chosen,
				  const char *wanted, int numa)
{
	static const char *const reasons[] = {
		"its port is not up", "it does no remote atomics", "it is on another NUMA node",
		"it is slower",       "its address is IPv6",       "another comes first"
	};
	unsigned reason;

	if (!matches(d, wanted))
		return "DSM_RDMA_DEVICE asks for another";
	if (chosen && compare(d, chosen, numa, &reason) < 0)
		return reasons[reason];
	return d->active ? reasons[REASONS] : reasons[BY_LINK];
}
