/* SPDX-License-Identifier: MIT */
/*
 * Is the DMA of an RDMA device coherent with the processors' caches?
 *
 * On x86 it always is. Elsewhere the device's bus says so, and only the kernel knows for certain:
 * the module passes it on. Without the module there is the device tree, where the nearest ancestor
 * of the device that is described says "dma-coherent" or does not; and ACPI, which programs cannot
 * ask. What is not known is maintained: that is slow at worst.
 */
#define _GNU_SOURCE
#include "maintenance_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dsm_cache.h"

/* The directory of the device itself; false if it is there in software alone, or not at all. */
static bool device_path(const char *device, const char *sysfs, char path[PATH_MAX])
{
	char link[PATH_MAX];

	snprintf(link, sizeof(link), "%s/class/infiniband/%s/device", sysfs, device);
	return realpath(link, path);
}

/* "/sys/devices/a/b" -> "/sys/devices/a"; false at the top. */
static bool parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return false;
	*slash = '\0';
	return true;
}

/* What is behind the last slash of path, if that fits. */
static bool base_name(const char *path, char *name, size_t len)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	if (strlen(base) >= len)
		return false;
	strcpy(name, base);
	return true;
}

/* The name of the bus of the device at @path; false if it has none. */
static bool bus_of(const char *path, char *bus, size_t len)
{
	char link[PATH_MAX + 16], target[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "%s/subsystem", path);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return base_name(target, bus, len);
}

/* Ask the module, about the nearest ancestor on a bus that it knows. */
static enum coherence by_module(int fd, const char *path)
{
	struct dsm_cache_device ask;
	char at[PATH_MAX];

	if (fd < 0)
		return COHERENCE_UNKNOWN;
	snprintf(at, sizeof(at), "%s", path);
	do {
		memset(&ask, 0, sizeof(ask));
		if (bus_of(at, ask.bus, sizeof(ask.bus)) &&
		    base_name(at, ask.name, sizeof(ask.name)) && !ioctl(fd, DSM_CACHE_DEVICE, &ask))
			return ask.coherent ? COHERENCE_YES : COHERENCE_NO;
	} while (parent(at));
	return COHERENCE_UNKNOWN;
}

static bool exists(const char *path, const char *name)
{
	char file[PATH_MAX + 32];

	snprintf(file, sizeof(file), "%s/%s", path, name);
	return !access(file, F_OK);
}

static enum coherence by_device_tree(const char *path)
{
	char at[PATH_MAX];

	snprintf(at, sizeof(at), "%s", path);
	do {
		if (exists(at, "of_node/dma-coherent"))
			return COHERENCE_YES;
		if (exists(at, "of_node"))
			return COHERENCE_NO;
	} while (parent(at));
	return COHERENCE_UNKNOWN;
}

enum coherence maintenance_coherence_shown(const char *device, int fd, const char *sysfs, char *why,
					   size_t len)
{
	static const char *const says[] = {
		[COHERENCE_YES] = "is coherent",
		[COHERENCE_NO] = "is not coherent",
	};
	enum coherence coherence;
	char path[PATH_MAX];

	if (!device_path(device, sysfs, path)) {
		snprintf(why, len, "%s is made of software, which copies through the caches",
			 device);
		return COHERENCE_YES;
	}
	coherence = by_module(fd, path);
	if (coherence != COHERENCE_UNKNOWN) {
		snprintf(why, len, "the DMA of %s %s, says the kernel", device, says[coherence]);
		return coherence;
	}
	coherence = by_device_tree(path);
	if (coherence != COHERENCE_UNKNOWN) {
		snprintf(why, len, "the DMA of %s %s, says the device tree", device,
			 says[coherence]);
		return coherence;
	}
	snprintf(why, len,
		 "it is not known whether the DMA of %s is coherent (the module dsm_cache "
		 "would know)",
		 device);
	return COHERENCE_UNKNOWN;
}

enum coherence maintenance_coherence(const char *device, int fd, const char *sysfs, char *why,
				     size_t len)
{
	if (!device) {
		snprintf(why, len, "no device reads or writes memory");
		return COHERENCE_YES;
	}
#if defined(__x86_64__)
	(void)fd;
	(void)sysfs;
	snprintf(why, len, "DMA is coherent on x86");
	return COHERENCE_YES;
#else
	return maintenance_coherence_shown(device, fd, sysfs, why, len);
#endif
}
