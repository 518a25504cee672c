/* SPDX-License-Identifier: MIT */
/*
 * Writes the first inputs of each target: fuzz_seeds DIRECTORY, which is tests/fuzz/corpus. Run it
 * again when a target reads its input differently.
 */
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "wire.h"

static const char *directory;

static void put(const char *target, const char *name, const void *data, size_t len)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, target);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/%s", directory, target, name);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f)) {
		perror(path);
		exit(1);
	}
}

#define PUT(target, name, ...)                                                                     \
	do {                                                                                       \
		static const uint8_t bytes[] = { __VA_ARGS__ };                                    \
		put(target, name, bytes, sizeof(bytes));                                           \
	} while (0)

/*
 * Configuration: for each setting in the table's order, some texts.
 */

static const char *const values[][6] = {
	{ "0", "3", "65535", "-1", NULL },
	{ "1", "4", "0", "0x10", NULL },
	{ "localhost:7000", "[fe80::1]:7000", "::1:7000", "host:0x1f", "[]:1", NULL },
	{ "12345678", "a secret", "short", NULL },
	{ "auto", "pmix", "TCP", "alone", "mpi", NULL },
	{ "auto", "shm", "tcp", NULL },
	{ "auto", "kernel", "user", NULL },
	{ "error", "debug", "loud", NULL },
	{ "0x7e8000000000", "2M", "0x7fffffe00000", "1", NULL },
	{ "64G", "16T", "17T", "3M", "18446744073709551616", NULL },
	{ "1M", "16777216T", "64M", "1k", NULL },
	{ "4K", "2M", "8192", "12K", "4M", NULL },
	{ "1", "2147483647", "2147483648", NULL },
	{ "1", "100", "x", NULL },
	{ "auto", "0", "1000000", "1000001", NULL },
	{ "0", "65536", "65537", NULL },
	{ "0", "yes", "maybe", NULL },
};
#define SETTINGS (sizeof(values) / sizeof(values[0]))

static void seed_config(void)
{
	uint8_t buf[4096];
	char name[32];
	size_t n;

	for (size_t v = 0; v < 6; v++) {
		n = 0;
		for (size_t i = 0; i < SETTINGS; i++) {
			const char *text = values[i][0];

			for (size_t k = 0; k <= v && values[i][k]; k++)
				text = values[i][k];
			buf[n++] = (uint8_t)i;
			buf[n++] = (uint8_t)strlen(text);
			memcpy(buf + n, text, strlen(text));
			n += strlen(text);
			if (v == 0)
				continue;
			/* One alone, so that its refusal is the first. */
			snprintf(name, sizeof(name), "setting-%02zu-%zu", i, v);
			put("config", name, buf + n - strlen(text) - 2, strlen(text) + 2);
		}
		snprintf(name, sizeof(name), "all-%zu", v);
		if (v == 0)
			put("config", name, buf, n);
	}
	/* Names that nobody knows: one cut short by a character, one with more. */
	PUT("config", "unknown-names", 0xff, 2, 1, 0, 0xff, 4, 0, 2, 'X', 'Y', 0xff, 9, 3, 0);
	/* Given by the program: space, base, a root. */
	PUT("config", "given", 0xfe, 12, 0, 0, 0, 0x40, 0, 0, 0, 0, 0xfe, 11, 0, 0, 0x20, 0, 0x80,
	    0x7e, 0, 0, 0xfe, 2, 3, 'a', ':', '1');
}

/*
 * Launch: root or joiner; token or none, three ranks; then steps, see step() there.
 */
static void seed_launch(void)
{
	PUT("launch", "root-all-come", 0, 1, 5, 0, 1, 3, 0, 5, 1, 2, 3, 0, 6, 0, 6, 1);
	PUT("launch", "root-two-ranks", 0, 3, 5, 0, 1, 2, 0, 6, 0);
	PUT("launch", "root-without-token", 0, 0, 5, 0, 1, 3, 1, 5, 1, 2, 3, 1);
	PUT("launch", "root-junk", 0, 1, 0, 3, 0, 9, 'G', 'E', 'T', ' ', '/', '\r', '\n', 0, 0);
	PUT("launch", "root-wrong-token", 0, 1, 5, 0, 1, 3, 2, 9, 'n', 'o', 't', ' ', 'i', 't', 0,
	    0, 0, 5, 1, 2, 3, 0);
	PUT("launch", "root-version", 0, 1, 5, 0, 1, 3, 4, 2, 0, 0, 0, 0, 0, 0, 0);
	PUT("launch", "root-card-bytes", 0, 1, 5, 0, 1, 3, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	PUT("launch", "root-cut-hello", 0, 1, 5, 0, 1, 3, 16, 90, 4, 0);
	PUT("launch", "root-duplicate", 0, 1, 5, 0, 1, 3, 0, 5, 1, 1, 3, 0, 5, 2, 2, 3, 0);
	PUT("launch", "root-comes-and-goes", 0, 1, 5, 0, 1, 3, 0, 4, 0, 5, 0, 1, 3, 0, 5, 1, 2, 3,
	    0);
	PUT("launch", "root-rank-out-of-range", 0, 1, 5, 0, 9, 3, 0, 5, 1, 1, 200, 0);
	PUT("launch", "join", 1, 1, 0, 2, 0, 1, 0, 2, 0, 2, 0);
	PUT("launch", "join-cards-at-once", 1, 1, 0, 2, 0, 2, 0);
	PUT("launch", "join-refused", 1, 1, 0, 2, 0, 3, 0);
	PUT("launch", "join-refused-status", 1, 1, 0, 2, 0, 3, 1, 0xf5, 0xff, 0xff, 0xff, 0, 0, 0,
	    0);
	PUT("launch", "join-joined-again", 1, 1, 0, 2, 0, 1, 0, 2, 0, 1, 0);
	PUT("launch", "join-other-token", 1, 1, 0, 2, 0, 1, 0, 2, 0, 2, 16, 'x', 12);
	PUT("launch", "join-endless-token", 1, 1, 0, 2, 0, 1, 0, 2, 0, 2, 16, 'x', 72);
	PUT("launch", "join-huge-stride", 1, 1, 0, 2, 0, 2, 64, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	PUT("launch", "join-huge-length", 1, 1, 0, 2, 0, 2, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	PUT("launch", "join-no-listener", 1, 1, 0xf0, 0xf1, 0xf2, 0, 2, 0, 2, 0);
	PUT("launch", "join-junk", 1, 1, 0, 3, 0, 24, 'S', 'S', 'H', '-', '2', '.', '0');
}

/*
 * Ring: steps, see step() there.
 */
static void seed_ring(void)
{
	PUT("ring", "messages", 0, MSG_INV, 0, MSG_REGION_ADD, 0, MSG_LEAVE, 9, 10);
	PUT("ring", "every-word", 0, MSG_INV, 2, 0, 0, 2, 4, 1, 0, 0, 0, 0, 0, 0, 9, 1, 9, 1);
	PUT("ring", "bad-slots", 2, 0, 0, 1, 3, 1, 0, 0, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9,
	    1);
	PUT("ring", "bad-source", 2, 0, 0, 1, 1, 7, 0, 0, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9,
	    1);
	PUT("ring", "head-beyond", 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 8, 255, 8,
	    255, 8, 255, 8, 255, 8, 255, 9, 1);
	PUT("ring", "no-room-then-room", 8, 255, 8, 255, 8, 255, 8, 255, 5, 200, 9, 1, 5, 255, 9,
	    1);
	PUT("ring", "sleep", 10, 1, 0, MSG_INV, 9, 1, 6, 1, 1, 8, 2, 10, 0);
	PUT("ring", "speaks", 11, 1, 9, 1);
	PUT("ring", "shuts-down", 0, MSG_INV, 11, 0x81, 9, 1);
	PUT("ring", "all-bits", 3, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 9, 60);
}

/*
 * Attach: who, changes of cards, then steps, see step() there. 7: dial and say hello: rank, what is
 * wrong, which descriptors are odd.
 */
static void seed_attach(void)
{
	PUT("attach", "two-ranks", 0, 0, 0, 7, 1, 0, 0);
	PUT("attach", "three-ranks", 4, 0, 0, 0, 7, 1, 0, 0, 7, 2, 0, 0);
	PUT("attach", "dials", 1, 0, 0, 1, 5, 0, 2, 0, 0, 0, 0);
	PUT("attach", "dials-and-accepts", 5, 0, 0, 0, 1, 7, 2, 0, 0, 2, 0, 0, 0, 0);
	PUT("attach", "wrong-token", 0, 0, 0, 7, 1, 1, 3, 'n', 'o', 0, 0, 0);
	PUT("attach", "version", 0, 0, 0, 7, 1, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0);
	PUT("attach", "base", 0, 0, 0, 7, 1, 8, 9, 0, 0, 0, 0, 0, 0, 0, 0);
	PUT("attach", "refuses", 1, 0, 0, 1, 2, 0, 0, 96, 1, 3, 'w', 'h', 'y', 0);
	PUT("attach", "cut-hello", 0, 0, 0, 7, 1, 128, 20, 0);
	PUT("attach", "no-descriptors", 0, 0, 0, 7, 1, 0, 1, 0);
	PUT("attach", "five-descriptors", 0, 0, 0, 7, 1, 0, 1, 5);
	for (uint8_t which = 0; which < 3; which++) {
		for (uint8_t how = 1; how < 12; how++) {
			uint8_t bytes[] = { 0, 0, 0, 7, 1, 0, (uint8_t)(2u << which), how };
			char name[32];

			snprintf(name, sizeof(name), "descriptor-%u-%u", which, how);
			put("attach", name, bytes, sizeof(bytes));
		}
	}
	PUT("attach", "duplicate", 4, 0, 0, 0, 7, 1, 0, 0, 7, 1, 0, 0);
	PUT("attach", "silent", 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 200, 6, 200);
	PUT("attach", "junk", 0, 0, 0, 0, 3, 0, 4, 'j', 'u', 'n', 'k');
	PUT("attach", "card-version", 0, 0, 1, 4, 0, 9);
	PUT("attach", "card-magic", 0, 0, 1, 0, 0, 9);
}

/*
 * Messages: who (1 is size 3, rank 0; 5 rank 1); then steps, see node_rank_step() and own_step().
 * OTHERS(kind), from: for a region message what is wrong, name, address (block), length, cookie,
 * id, policy; for others the page, the shape (words | flags << 3), the words.
 */
#define OTHERS(kind) (0x80 | (kind))
#define WORK         0x80 | 0x7d
#define DIES         0x80 | 0x7f
#define COMPLETE     0x80 | 0x7e
/* Region 1 of two blocks at block 0, homes by policy, heard from rank 0. */
#define ADD(policy)   OTHERS(MSG_REGION_ADD), 0, 0, 0, 0, 63, 0, 1, policy, WORK, WORK
#define PAGE(b, i)    (0x80 | (b) | (i) << 2)
#define SENT(what, i) (0xa0 | (what) << 3 | (i))

static void seed_message(void)
{
	/* Rank 0 allocates: the others say RegionAdded; then it acquires, releases, frees. */
	PUT("message", "alloc-acquire-free", 1, 0, 0, 0, 32, WORK, WORK, OTHERS(MSG_REGION_ADDED),
	    1, 0, 0, 0, 0, 0, 1, 0, OTHERS(MSG_REGION_ADDED), 2, 0, 0, 0, 0, 0, 1, 0, 4, PAGE(0, 1),
	    2, 5, 0, 2, 0, WORK, OTHERS(MSG_REGION_DROPPED), 1, 0, 0, 0, 0, 0, 1, 0,
	    OTHERS(MSG_REGION_DROPPED), 2, 0, 0, 0, 0, 0, 1, 0, WORK, OTHERS(MSG_REGION_DROPPED), 1,
	    0, 0, 0, 0, 0, 1, 0, OTHERS(MSG_REGION_DROPPED), 2, 0, 0, 0, 0, 0, 1, 0);
	/* Rank 1: the others' region; a read miss that is Clean; an Inv; a read that has to ask. */
	PUT("message", "read-miss", 5, ADD(1), 3, PAGE(0, 1), 0, 0, 5, 0, OTHERS(MSG_INV), 0,
	    PAGE(0, 1), 0, 3, PAGE(0, 1), 0, 1, OTHERS(MSG_GRANT_S), 0, PAGE(0, 1), 0, 5, 0);
	/* Rank 1 writes a page of rank 0's, is recalled, writes again, evicts. */
	PUT("message", "write-and-recall", 5, ADD(1), 4, PAGE(0, 1), 0, OTHERS(MSG_GRANT_M), 0,
	    PAGE(0, 1), 8, 5, 0, OTHERS(MSG_FWD_GETS), 0, PAGE(0, 1), 0, 4, PAGE(0, 1), 0,
	    OTHERS(MSG_GRANT_M), 0, PAGE(0, 1), 0, OTHERS(MSG_FWD_GETM), 0, PAGE(0, 1), 0, 5, 0);
	/* Rank 1 is home of block 1: requests of the others, their answers. */
	PUT("message", "home", 5, ADD(1), OTHERS(MSG_GETS), 0, PAGE(1, 1), 0, OTHERS(MSG_GETM), 2,
	    PAGE(1, 1), 0, OTHERS(MSG_INV_ACK), 0, PAGE(1, 1), 0, OTHERS(MSG_GETA), 0, PAGE(1, 1),
	    0, OTHERS(MSG_WRITE_BACK), 2, PAGE(1, 1), 0, OTHERS(MSG_PUTM), 0, PAGE(1, 1), 8);
	PUT("message", "home-crossing", 5, ADD(1), OTHERS(MSG_GETM), 0, PAGE(1, 1), 0,
	    OTHERS(MSG_GETS), 2, PAGE(1, 1), 0, OTHERS(MSG_PUTM), 0, PAGE(1, 1), 0,
	    OTHERS(MSG_WRITE_BACK), 0, PAGE(1, 1), 16);
	PUT("message", "owner-dies", 5, ADD(1), OTHERS(MSG_GETM), 0, PAGE(1, 1), 0,
	    OTHERS(MSG_GETS), 2, PAGE(1, 1), 0, DIES, 0, OTHERS(MSG_GETS), 2, PAGE(1, 1), 0);
	PUT("message", "first-touch", 5, ADD(3), 10, PAGE(0, 1), OTHERS(MSG_BLOCK_HOME), 0,
	    PAGE(0, 0), 1, 0, OTHERS(MSG_BLOCK_TOUCH), 2, PAGE(1, 0), 1, 1, OTHERS(MSG_GETS), 2,
	    PAGE(1, 0), 0);
	PUT("message", "atomics", 5, ADD(1), 8, PAGE(0, 1), 0, OTHERS(MSG_GRANT_A), 0, PAGE(0, 1),
	    0, 7, OTHERS(MSG_INV), 0, PAGE(0, 1), 0, 9, PAGE(1, 1), 0);
	PUT("message", "stream-and-evict", 5, ADD(1), 10, PAGE(0, 0), 0, 10, PAGE(0, 1), 0, 0, 0, 0,
	    3, PAGE(0, 2), 39, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, PAGE(2, 2), 39, 0, 0, 0, 0, 5, 0);
	PUT("message", "chains-later", 5, ADD(1), 13, 1, 6, PAGE(0, 1), 3, 0, 0, 0, 0,
	    OTHERS(MSG_INV), 0, PAGE(0, 1), 0, COMPLETE, 0, COMPLETE, 0);
	PUT("message", "grant-error", 5, ADD(1), 4, PAGE(0, 1), 0, OTHERS(MSG_GRANT_ERROR), 0,
	    PAGE(0, 1), 2, 12, 0, 4, PAGE(0, 2), 0, OTHERS(MSG_GRANT_ERROR), 0, PAGE(0, 2), 2, 0xc3,
	    0xc2);
	PUT("message", "directory-overwritten", 5, ADD(1), 12, PAGE(1, 1), 0xc0, 2, 0, 0xff, 0xff,
	    0, 0, 0, 0, 1, OTHERS(MSG_GETS), 0, PAGE(1, 1), 0, 12, PAGE(1, 2), 0xc2, 0,
	    OTHERS(MSG_GETM), 0, PAGE(1, 2), 0);
	/* Locks 1 to 4: taken, asked for, handed over, cancelled, refused. */
	PUT("message", "locks", 5, 15, 0, 0, OTHERS(MSG_LOCK_GRANT), 0, SENT(0, 0), 2, SENT(1, 0),
	    1, 17, 0, 0, 15, 1, 0, OTHERS(MSG_LOCK_REPLY), 0, SENT(0, 0), 4, SENT(1, 0), 16, 0, 0,
	    16, 2, 0, OTHERS(MSG_LOCK_REPLY), 2, SENT(0, 0), 4, SENT(1, 0), 112, 0, 0, 17, 2, 0,
	    OTHERS(MSG_LOCK_GET), 0, 1, 1, 7, OTHERS(MSG_LOCK_GET), 2, 2, 1, 8,
	    OTHERS(MSG_LOCK_GET), 2, 3, 1, 9, OTHERS(MSG_LOCK_FORWARD), 0, SENT(0, 0), 5, 0, 0, 2,
	    9, 1);
	PUT("message", "semaphores", 5, 20, 0, 0, OTHERS(MSG_SEM_REPLY), 0, SENT(0, 0), 2,
	    SENT(1, 0), 0, 20, 1, 0, OTHERS(MSG_SEM_REPLY), 2, SENT(0, 0), 2, SENT(1, 0), 110,
	    OTHERS(MSG_SEM_WAIT), 0, 1, 1, 5, OTHERS(MSG_SEM_WAIT), 0, 2, 1, 5,
	    OTHERS(MSG_SEM_WAIT), 0, 3, 1, 5, OTHERS(MSG_SEM_POST), 2, 1, 1, 6,
	    OTHERS(MSG_SEM_POST), 2, 2, 1, 6, OTHERS(MSG_SEM_SET), 2, 3, 2, 6, 0xc2,
	    OTHERS(MSG_SEM_CANCEL), 0, 3, 1, 5, 18, 2, 0, 9, 19, 2, 0);
	PUT("message", "conditions", 5, 15, 0, 0, OTHERS(MSG_LOCK_GRANT), 0, SENT(0, 0), 2,
	    SENT(1, 0), 1, 22, 1, 0, OTHERS(MSG_COND_QUEUED), 2, SENT(0, 0), 1, SENT(1, 0),
	    OTHERS(MSG_COND_REPLY), 2, SENT(0, 0), 2, SENT(1, 0), 0, OTHERS(MSG_COND_WAIT), 0, 1, 1,
	    5, OTHERS(MSG_COND_WAIT), 0, 2, 1, 5, OTHERS(MSG_COND_SIGNAL), 2, 1, 8, 23, 1, 0, 24, 2,
	    0);
	PUT("message", "barrier", 5, 25, 0, 0, OTHERS(MSG_BARRIER), 0, 0, 1, 0, OTHERS(MSG_BARRIER),
	    2, 0, 1, 1, 25, 0, 0, DIES, 2, OTHERS(MSG_LEAVE), 0, 0, 10, 0, 2);
	PUT("message", "statistics", 1, OTHERS(MSG_STATS), 1, 0, 0x87, 0xc2, 1, 2, 3, 4, 5, 6,
	    OTHERS(MSG_STATS), 1, 0, 0x80, 0xc2);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
		return 2;
	}
	directory = argv[1];
	seed_config();
	seed_launch();
	seed_ring();
	seed_attach();
	seed_message();
	return 0;
}
