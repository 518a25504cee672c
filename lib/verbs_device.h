/* SPDX-License-Identifier: MIT */
/*
 * Which RDMA device, port and address a rank uses.
 *
 * librdmacm reaches a port by an IP address of the network interface that belongs to it (RoCE, IP
 * over InfiniBand), and takes the GID that goes with the address. So a candidate is an address of
 * this machine that lies on an RDMA device.
 */
#ifndef DSM_VERBS_DEVICE_H
#define DSM_VERBS_DEVICE_H

#include <infiniband/verbs.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define VERBS_DEVICES_MAX 64u

struct verbs_device {
	char name[IBV_SYSFS_NAME_MAX]; /* "mlx5_0" */
	unsigned port;
	char interface[IF_NAMESIZE];
	struct sockaddr_storage addr; /* port 0 */
	char addr_text[64];
	bool active; /* the port is up */
	bool ethernet; /* RoCE, not InfiniBand */
	bool atomics; /* it does remote atomics */
	bool ordered; /* its reads see the writes of the same connection before them: not iWARP */
	unsigned rd_atomic_max; /* reads and atomics under way, as it executes and as it starts them
				 */
	unsigned rd_init_max;
	unsigned sends_max; /* work requests a queue pair */
	unsigned completions_max; /* entries of a completion queue */
	unsigned mtu_bytes;
	unsigned speed; /* of the port, in Gb/s, about */
	int numa; /* -1: unknown */
};

/* Where the kernel shows devices; a test has another place. */
extern const char *verbs_device_directory;

/* Fill list[] with what this machine has; returns the number. */
unsigned verbs_device_list(struct verbs_device *list, unsigned max);

/*
 * The best of them: of those that match @wanted (device, device:port, interface or address; empty:
 * any), by: its port is up; it does atomics; it is on the NUMA node @numa; its speed; IPv4; order.
 * Returns its index and writes why into @why; or -ENODEV, with a sentence in error_text().
 */
int verbs_device_choose(const struct verbs_device *list, unsigned n, const char *wanted, int numa,
			char *why, size_t len);

/* Why this one is not the chosen one; for dsm_info and the log. */
const char *verbs_device_rejected(const struct verbs_device *d, const struct verbs_device *chosen,
				  const char *wanted, int numa);

/* NUMA node of the processor that this thread runs on; -1: unknown. */
int verbs_device_numa_here(void);

#endif
