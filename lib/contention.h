/* SPDX-License-Identifier: MIT */
/*
 * Contention: which pages ranks take from one another, and by which bytes (DSM_STATS=pages).
 *
 * Each rank keeps, in memory of a fixed size, the pages that it had to give up most often, and
 * where in them its threads' faults were. What a rank gives up is what another asked for; so the
 * ranks' notes on one page, laid side by side, tell who fought over it and whether for the same
 * bytes. Pure: no clock, no system call. The node's lock.
 */
#ifndef DSM_CONTENTION_H
#define DSM_CONTENTION_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dsm/dsm.h"

#define CONTENTION_SETS    128u
#define CONTENTION_WAYS    8u
#define CONTENTION_PLACES  8u
#define CONTENTION_RECENT  256u
#define CONTENTION_REGIONS 64u

/* How a rank lost what it had of a page. */
enum contention_loss {
	LOSS_TAKEN, /* Modified, for another rank to write */
	LOSS_DOWNGRADED, /* Modified, for another rank to read: a copy stays */
	LOSS_INVALIDATED, /* a copy, since another rank writes */
	LOSS_ATOMIC, /* the right to remote atomics, since a rank loads or stores */
	LOSSES
};

/* Faults of one rank at one place of a page. */
struct contention_place {
	uint32_t offset; /* bytes from the page's start, a multiple of the place's width */
	uint32_t reads;
	uint32_t writes;
};

/* One rank's notes on one page; sent to rank 0 as it is. */
struct contention_page {
	uint64_t page; /* granule of its start */
	uint32_t region; /* id; 0: of the region that is there now */
	uint16_t home;
	uint16_t rank; /* whose notes */
	uint8_t page_shift; /* granules */
	uint8_t place_shift; /* bytes; 0: offsets are exact */
	uint8_t nplaces;
	uint8_t pad;
	uint32_t over; /* times that may have been another page's, see contention.c */
	uint32_t lost[LOSSES];
	uint32_t reads; /* faults, those in places and others */
	uint32_t writes;
	struct contention_place place[CONTENTION_PLACES];
};
static_assert(sizeof(struct contention_page) == 144, "three messages of six words");

struct contention_fault {
	uint64_t page;
	uint32_t offset;
	uint8_t write;
	uint8_t valid;
};

/* A region by its id, also after it was freed. */
struct contention_region {
	uint32_t id; /* 0: none */
	uint64_t first; /* granule */
	char name[DSM_NAME_MAX + 1];
};

struct contention {
	struct contention_page page[CONTENTION_SETS][CONTENTION_WAYS];
	struct contention_fault recent[CONTENTION_RECENT];
	struct contention_region region[CONTENTION_REGIONS]; /* a ring */
	unsigned nregions;
};

/* A thread faults at a byte of a page. */
void contention_fault(struct contention *c, uint64_t page, uint32_t offset, bool write);
/* This rank gives up what it has of a page. */
void contention_lost(struct contention *c, uint64_t page, unsigned page_shift, unsigned home,
		     enum contention_loss how);

/* This rank gives up its right to remote atomics by itself, since it loads or stores. That counts
 * of pages that other ranks take as well. */
void contention_left_atomics(struct contention *c, uint64_t page);

/* Remember a region's name and place. Its id is not 0. */
void contention_note_region(struct contention *c, uint32_t id, uint64_t first, const char *name);
/* A region goes: notes on its pages are from now on those of a region that was. */
void contention_forget(struct contention *c, uint64_t first, uint64_t granules, uint32_t id);
/* NULL: not known (any more). */
const struct contention_region *contention_region(const struct contention *c, uint32_t id);

/* How often the rank gave the page up, at least. */
uint64_t contention_times(const struct contention_page *e);

enum contention_kind {
	CONTENTION_CALLS, /* no two ranks had it by faults: dsm_acquire(), prefetching */
	CONTENTION_ATOMICS, /* remote atomics, and loads or stores */
	CONTENTION_FALSE, /* what one rank writes no other touches */
	CONTENTION_WRITERS, /* several ranks write the same bytes */
	CONTENTION_READERS, /* one rank writes what others read */
	CONTENTION_BOTH, /* some bytes are shared, others not */
	CONTENTION_KINDS
};

/* Why did the page move? From the notes of n ranks on it. */
enum contention_kind contention_judge(const struct contention_page *notes, unsigned n);

#endif
