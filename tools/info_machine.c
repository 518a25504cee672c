/* SPDX-License-Identifier: MIT */
/*
 * dsm_info: memory, processors, userfaultfd and the global address range.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <numa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "error.h"
#include "info.h"
#include "machine.h"
#include "pager.h"
#include "space.h"

/* Of a directory of readers for clusters of up to 64 ranks. */
#define RANKS_ASSUMED 64

static void tell_memory(const struct settings *s)
{
	uint64_t memory = machine_memory_bytes();
	uint64_t available = machine_available_bytes();
	uint64_t limit = machine_cgroup_bytes();
	char a[32], b[32];

	info_line("memory", "%s, %s available", info_bytes(a, sizeof(a), memory),
		  info_bytes(b, sizeof(b), available));
	if (limit < memory)
		info_line("cgroup limit", "%s", info_bytes(a, sizeof(a), limit));
	else
		info_line("cgroup limit", "none");
	if (available && available < s->cache_bytes)
		info_note("DSM_CACHE_SIZE is %s, but only %s of memory is available now; free some "
			  "or set it lower",
			  info_bytes(a, sizeof(a), s->cache_bytes),
			  info_bytes(b, sizeof(b), available));
}

static void tell_memlock(void)
{
	char soft[32] = "unknown", hard[32] = "unknown";
	struct rlimit limit;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit)) {
		info_bytes(soft, sizeof(soft),
			   limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur);
		info_bytes(hard, sizeof(hard),
			   limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max);
	}
	info_line("memlock limit",
		  "%s (hard: %s); shared memory locks none, RDMA all that lives here", soft, hard);
}

/* "always [madvise] never" -> "madvise" */
static const char *chosen(char *text)
{
	char *open = strchr(text, '[');
	char *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return text[0] ? text : "not in this kernel";
	*close = '\0';
	return open + 1;
}

static void tell_huge_pages(void)
{
	char anonymous[128], shared[128], name[64], total[32], idle[32];
	const char *dir = "/sys/kernel/mm/hugepages";
	glob_t found;

	info_read(anonymous, sizeof(anonymous), "/sys/kernel/mm/transparent_hugepage/enabled");
	info_read(shared, sizeof(shared), "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
	info_line("transparent huge", "%s; for shared memory: %s", chosen(anonymous),
		  chosen(shared));
	if (glob("/sys/kernel/mm/hugepages/hugepages-*kB", 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		snprintf(name, sizeof(name), "%s", strrchr(found.gl_pathv[i], '/') + 1);
		info_read(total, sizeof(total), "%s/%s/nr_hugepages", dir, name);
		info_read(idle, sizeof(idle), "%s/%s/free_hugepages", dir, name);
		info_line(i ? "" : "huge page pools", "%s: %s, %s of them free", name, total, idle);
	}
	globfree(&found);
}

static void tell_numa(void)
{
	char a[32], b[32], name[32];
	long long size, idle;

	if (numa_available() < 0) {
		info_line("NUMA", "not in this kernel; all memory counts as one node");
		return;
	}
	info_line("NUMA nodes", "%d", numa_num_configured_nodes());
	for (int node = 0; node <= numa_max_node(); node++) {
		size = numa_node_size64(node, &idle);
		if (size < 0)
			continue;
		snprintf(name, sizeof(name), "  node %d", node);
		info_line(name, "%s, %s free", info_bytes(a, sizeof(a), (uint64_t)size),
			  info_bytes(b, sizeof(b), (uint64_t)idle));
	}
}

void info_machine(const struct settings *s)
{
	long page_bytes = sysconf(_SC_PAGESIZE);
	struct utsname system;

	info_heading("Machine");
	if (!uname(&system))
		info_line("kernel", "%s %s, %s", system.sysname, system.release, system.machine);
	info_line("processors", "%ld usable", sysconf(_SC_NPROCESSORS_ONLN));
	info_line("page size", "%ld bytes", page_bytes);
	if ((unsigned long)page_bytes != GRANULE_BYTES)
		info_problem("pages of this kernel have %ld bytes, and libdsm needs %lu; boot a "
			     "kernel with pages of that size",
			     page_bytes, GRANULE_BYTES);
	tell_memory(s);
	tell_memlock();
	tell_huge_pages();
	tell_numa();
}

/*
 * userfaultfd
 */

static const char *outcome(int err)
{
	return err ? strerror(err) : "works";
}

/* None of the ways that may be taken is open: how to open one, by what stands in the way. */
static void refuse(const struct pager_probe *probe, const struct settings *s)
{
	if (probe->syscall_errno == ENOSYS && probe->device_errno == ENOENT)
		info_problem("this kernel has no userfaultfd (or a container hides it); use one "
			     "with CONFIG_USERFAULTFD=y, Linux 6.6 or newer");
	else if (s->uffd == UFFD_KERNEL && !probe->user_errno)
		info_problem("DSM_USERFAULTFD is kernel, but only user mode is allowed here; unset "
			     "it, or (as root) run 'sysctl vm.unprivileged_userfaultfd=1' or "
			     "'chmod a+rw /dev/userfaultfd'");
	else if (s->uffd == UFFD_USER)
		info_problem("DSM_USERFAULTFD is user, but userfaultfd(UFFD_USER_MODE_ONLY) fails: "
			     "%s; in a container, allow the system call in its seccomp profile",
			     strerror(probe->user_errno));
	else
		info_problem(
			"userfaultfd is not allowed here: %s; (as root) run "
			"'chmod a+rw /dev/userfaultfd' or "
			"'sysctl vm.unprivileged_userfaultfd=1'; in a container, allow the "
			"system call in its seccomp profile or pass --device "
			"/dev/userfaultfd",
			strerror(probe->user_errno ? probe->user_errno : probe->syscall_errno));
}

static void check_features(const struct pager_probe *probe)
{
	char names[512];

	pager_uffd_feature_names(probe->features, names, sizeof(names));
	info_line("features", "%s", names);
	if (probe->missing) {
		pager_uffd_feature_names(probe->missing, names, sizeof(names));
		info_line("missing", "%s", names);
		info_problem("this kernel's userfaultfd lacks %s; Linux 6.6 has all that libdsm "
			     "needs",
			     names);
	} else {
		info_line("missing", "nothing that libdsm needs");
	}
	info_line("map protected", "%s", probe->map_protected ? "works" : "fails");
	if (!probe->map_protected)
		info_problem("this kernel's UFFDIO_CONTINUE cannot map a page write-protected; "
			     "Linux 6.6 has all that libdsm needs");
}

void info_userfaultfd(const struct settings *s)
{
	struct pager_probe probe;
	bool full, user;

	pager_uffd_probe(&probe);
	full = (!probe.device_errno || !probe.syscall_errno) && s->uffd != UFFD_USER;
	user = !probe.user_errno && s->uffd != UFFD_KERNEL;
	info_heading("userfaultfd");
	info_line("/dev/userfaultfd", "%s", outcome(probe.device_errno));
	info_line("system call", "%s", outcome(probe.syscall_errno));
	info_line("user mode only", "%s", outcome(probe.user_errno));
	if (!full && !user) {
		refuse(&probe, s);
		return;
	}
	info_line("mode", "%s", full ? "kernel: system calls may use shared memory too" : "user");
	if (!full)
		info_note("userfaultfd takes accesses in user mode alone: read(2), write(2) and "
			  "their like fail with EFAULT on pages that are not here, unless "
			  "dsm_acquire() brought them%s",
			  s->uffd == UFFD_USER
				  ? ""
				  : "; (as root) 'sysctl vm.unprivileged_userfaultfd=1' or "
				    "'chmod a+rw /dev/userfaultfd' mends it");
	check_features(&probe);
}

/*
 * The global address range
 */

void info_range(const struct settings *s)
{
	unsigned ranks = s->size > 0 ? (unsigned)s->size : RANKS_ASSUMED;
	struct space space;
	char bytes[32];

	info_heading("Global address range");
	info_line("range", "0x%" PRIx64 " to 0x%" PRIx64 ", %s", s->base, s->base + s->space_bytes,
		  info_bytes(bytes, sizeof(bytes), s->space_bytes));
	if (space_init(&space, s->base, s->space_bytes, ranks)) {
		info_line("reservation", "fails");
		info_problem("%s", error_text());
		return;
	}
	space_fini(&space);
	info_line("reservation", "works");
}
