// SPDX-License-Identifier: MIT
/*
 * /dev/dsm_cache: cache maintenance to the point of coherency for programs. See uapi/dsm_cache.h
 * for what it offers, README.md for how it is used.
 */
#include <linux/dma-map-ops.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/uaccess.h>

#include "dsm_cache.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define ALL_OPS                                                                                    \
	(1 << DSM_CACHE_CLEAN | 1 << DSM_CACHE_CLEAN_INVALIDATE | 1 << DSM_CACHE_INVALIDATE |      \
	 1 << DSM_CACHE_FOR_DEVICE | 1 << DSM_CACHE_FOR_CPU)

static int info_call(void __user *arg)
{
	const struct dsm_cache_info info = {
		.version = DSM_CACHE_VERSION,
		.page_bytes = PAGE_SIZE,
		.line_bytes = lines_bytes(),
		.pages_max = DSM_CACHE_PAGES_MAX,
		.ops = ALL_OPS,
		.discards = range_discards(),
	};

	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int range_call(void __user *arg)
{
	struct dsm_cache_range r;
	int err;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	err = range_maintain(&r);
	if (err)
		return err;
	return copy_to_user(arg, &r, sizeof(r)) ? -EFAULT : 0;
}

/* With a reference; NULL: there is none of that name, or an error. */
static struct device *find_device(const char *bus, const char *name)
{
#ifdef CONFIG_PCI
	if (!strcmp(bus, "pci"))
		return bus_find_device_by_name(&pci_bus_type, NULL, name);
#endif
	if (!strcmp(bus, "platform"))
		return bus_find_device_by_name(&platform_bus_type, NULL, name);
	return ERR_PTR(-EINVAL);
}

static int device_call(void __user *arg)
{
	struct dsm_cache_device d;
	struct device *dev;

	if (copy_from_user(&d, arg, sizeof(d)))
		return -EFAULT;
	if (d.reserved || strnlen(d.bus, sizeof(d.bus)) == sizeof(d.bus) ||
	    strnlen(d.name, sizeof(d.name)) == sizeof(d.name))
		return -EINVAL;
	dev = find_device(d.bus, d.name);
	if (IS_ERR_OR_NULL(dev))
		return dev ? PTR_ERR(dev) : -ENODEV;
	d.coherent = dev_is_dma_coherent(dev);
	put_device(dev);
	return copy_to_user(arg, &d, sizeof(d)) ? -EFAULT : 0;
}

static long dsm_cache_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	switch (command) {
	case DSM_CACHE_INFO:
		return info_call((void __user *)arg);
	case DSM_CACHE_RANGE:
		return range_call((void __user *)arg);
	case DSM_CACHE_DEVICE:
		return device_call((void __user *)arg);
	}
	return -ENOTTY;
}

static int dsm_cache_open(struct inode *inode, struct file *file)
{
	file->private_data = buffer_create();
	if (!file->private_data)
		return -ENOMEM;
	account_add(ACCOUNT_FILES, 1);
	return 0;
}

static int dsm_cache_release(struct inode *inode, struct file *file)
{
	buffer_destroy(file->private_data);
	account_add(ACCOUNT_FILES, -1);
	return 0;
}

static int dsm_cache_mmap(struct file *file, struct vm_area_struct *vma)
{
	return buffer_mmap(file->private_data, vma);
}

static const struct file_operations dsm_cache_fops = {
	.owner = THIS_MODULE,
	.open = dsm_cache_open,
	.release = dsm_cache_release,
	.mmap = dsm_cache_mmap,
	.unlocked_ioctl = dsm_cache_ioctl,
	.compat_ioctl = compat_ptr_ioctl, /* the structures are the same for 32 bit */
	.llseek = noop_llseek,
};

static struct miscdevice dsm_cache_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "dsm_cache",
	.fops = &dsm_cache_fops,
	.mode = 0660, /* of root, until udev gives it to a group */
};

static int __init dsm_cache_init(void)
{
	int err;

	err = lines_init();
	if (err)
		return err;
	account_init();
	err = misc_register(&dsm_cache_device);
	if (err)
		goto err_account;
	pr_info("dsm_cache: version %d, lines of %u bytes, DMA interface %s\n", DSM_CACHE_VERSION,
		lines_bytes(), lines_dma_is_coherent() ? "coherent: it does nothing" : "live");
	return 0;

err_account:
	account_fini();
	lines_fini();
	return err;
}

static void __exit dsm_cache_exit(void)
{
	misc_deregister(&dsm_cache_device);
	account_fini();
	lines_fini();
}

module_init(dsm_cache_init);
module_exit(dsm_cache_exit);

MODULE_DESCRIPTION("Cache maintenance to the point of coherency for programs");
MODULE_AUTHOR("libdsm");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION("1");
