/* SPDX-License-Identifier: MIT */
/*
 * libdsm's back ends on the module and on this processor.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "maintenance_internal.h"

static void chosen(struct maintenance *m, enum maintenance_kind kind, const char *name)
{
	if (maintenance_init(m, kind, "rxe0"))
		check_failed(__FILE__, __LINE__, "%s", error_text());
	if (strcmp(maintenance_name(m), name))
		check_failed(__FILE__, __LINE__, "%s is live, not %s: %s", maintenance_name(m),
			     name, m->why);
}

static void all_calls(struct maintenance *m, uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len);

	CHECK(copy);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 3);
	memcpy(copy, p, len);
	maintenance_device_reads(m, MAINTENANCE_HOME, p + 3, len - 8);
	maintenance_device_writes(m, MAINTENANCE_LANDING, p, len);
	maintenance_device_wrote(m, MAINTENANCE_LANDING, p, len);
	CHECK(!memcmp(p, copy, len));
	free(copy);
}

/* A call is one range, in the module's own account. */
static void kernel(void)
{
	size_t len = 20 * page_bytes();
	uint8_t *p = pages_anonymous(20);
	struct maintenance m;
	long ranges;

	chosen(&m, MAINTENANCE_KERNEL, "kernel");
	ranges = account("ranges_ever");
	all_calls(&m, p, len);
	CHECK_EQ(account("ranges_ever"), ranges + 3);
	maintenance_fini(&m);
}

/* More than the module takes at once goes in pieces. */
static void kernel_large(void)
{
	size_t len = ((size_t)DSM_CACHE_PAGES_MAX + 10) * 4096;
	struct maintenance m;
	long ranges, refused;
	uint8_t *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	chosen(&m, MAINTENANCE_KERNEL, "kernel");
	ranges = account("ranges_ever");
	refused = account("refused_ever");
	maintenance_device_reads(&m, MAINTENANCE_HOME, p + 5, len - 5);
	CHECK_EQ(account("ranges_ever"), ranges + 2);
	CHECK_EQ(account("refused_ever"), refused);
	maintenance_fini(&m);
}

/* The module refuses to drop lines of what cannot be written; the instructions do it. */
static void kernel_refuses(void)
{
	uint8_t *p = pages_anonymous(2);
	struct maintenance m;
	long refused;

	chosen(&m, MAINTENANCE_KERNEL, "kernel");
	mprotect(p, 2 * page_bytes(), PROT_READ);
	refused = account("refused_ever");
	maintenance_device_wrote(&m, MAINTENANCE_LANDING, p, 2 * page_bytes());
	CHECK_EQ(account("refused_ever"), refused + 1);
	CHECK_EQ(p[page_bytes()], (uint8_t)(page_bytes() * 5 + 1));
	maintenance_fini(&m);
}

static void user(void)
{
	struct maintenance m;

	chosen(&m, MAINTENANCE_USER, "user");
	all_calls(&m, pages_anonymous(4), 4 * page_bytes());
	maintenance_fini(&m);
}

/* Whom the kernel is asked about: a link like those of /sys/class/infiniband to a real device. */
static const char *sysfs_with(const char *device)
{
	static const char *const below[] = { "class", "class/infiniband", "class/infiniband/mlx0" };
	static char dir[sizeof("/tmp/sysfs.XXXXXX")];
	char path[128], target[128];

	strcpy(dir, "/tmp/sysfs.XXXXXX");
	CHECK(mkdtemp(dir));
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, below[i]);
		CHECK_EQ(mkdir(path, 0700), 0);
	}
	snprintf(path, sizeof(path), "%s/class/infiniband/mlx0/device", dir);
	snprintf(target, sizeof(target), "/sys/bus/%s", device);
	CHECK_EQ(symlink(target, path), 0);
	return dir;
}

static enum coherence shown(const char *device, char why[160])
{
	int fd = maintenance_kernel_open(DSM_CACHE_PATH);
	enum coherence coherence;

	CHECK(fd >= 0);
	coherence = maintenance_coherence_shown("mlx0", fd, sysfs_with(device), why, 160);
	close(fd);
	return coherence;
}

static void devices(void)
{
	char why[160], name[64], device[96];

	snprintf(device, sizeof(device), "pci/devices/%s", pci_device(name, sizeof(name)));
	CHECK_EQ(shown(device, why), COHERENCE_YES);
	CHECK(strstr(why, "the DMA of mlx0 is coherent, says the kernel"));
	CHECK_EQ(shown("platform/devices/" MODULE, why), ARM64 ? COHERENCE_NO : COHERENCE_YES);
}

static void automatic(void)
{
	struct maintenance m;

	/* No device of that name here, so it is none that DMA could be asked of. */
	chosen(&m, MAINTENANCE_AUTO, "none");
	maintenance_fini(&m);
	/* The module says that it is needed, and programs have the faster way. */
	CHECK_EQ(maintenance_choose(&m, MAINTENANCE_AUTO, "mlx0", DSM_CACHE_PATH,
				    sysfs_with("platform/devices/" MODULE)),
		 0);
	CHECK(!strcmp(maintenance_name(&m), ARM64 ? "user" : "none"));
	CHECK(!ARM64 || strstr(m.why, "the DMA of mlx0 is not coherent, says the kernel"));
	CHECK_EQ(account("files"), 0);
	maintenance_fini(&m);
}

const struct test tests_library[] = {
	{ "library: kernel", kernel },
	{ "library: kernel, large", kernel_large },
	{ "library: kernel refuses", kernel_refuses },
	{ "library: user", user },
	{ "library: devices", devices },
	{ "library: auto", automatic },
	{ NULL, NULL },
};
