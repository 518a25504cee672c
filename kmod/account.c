// SPDX-License-Identifier: MIT
/*
 * What is in use, and was done: /sys/kernel/debug/dsm_cache/account, a name and a number a line.
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "dsm_cache.h"

static const char *const names[ACCOUNTS] = {
	[ACCOUNT_FILES] = "files",        [ACCOUNT_MAPPINGS] = "mappings",
	[ACCOUNT_BLOCKS] = "blocks",      [ACCOUNT_PAGES] = "pages",
	[ACCOUNT_PINNED] = "pinned",      [ACCOUNT_RANGES] = "ranges_ever",
	[ACCOUNT_LINES] = "lines_ever",   [ACCOUNT_REFUSED] = "refused_ever",
	[ACCOUNT_CLOSES] = "closes_ever", [ACCOUNT_FALLBACKS] = "fallbacks_ever",
};

static atomic_long_t accounts[ACCOUNTS];
static struct dentry *dir;

void account_add(enum account a, long n)
{
	atomic_long_add(n, &accounts[a]);
}

long account_get(enum account a)
{
	return atomic_long_read(&accounts[a]);
}

static int account_show(struct seq_file *s, void *unused)
{
	int i;

	for (i = 0; i < ACCOUNTS; i++)
		seq_printf(s, "%s %ld\n", names[i], account_get(i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(account);

/* Without debugfs there is no file, and nothing else is different. */
void account_init(void)
{
	dir = debugfs_create_dir("dsm_cache", NULL);
	debugfs_create_file("account", 0444, dir, NULL, &account_fops);
}

void account_fini(void)
{
	debugfs_remove_recursive(dir);
}
