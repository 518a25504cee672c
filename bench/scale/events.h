/* SPDX-License-Identifier: MIT */
/*
 * What is to happen, by virtual time; at one time, in the order in which it was said.
 */
#ifndef SCALE_EVENTS_H
#define SCALE_EVENTS_H

#include <stddef.h>
#include <stdint.h>

enum event_kind {
	EVENT_SEND, /* a packet */
	EVENT_HOP,
	EVENT_ARRIVAL,
	EVENT_PROCESSOR, /* a rank's: the next that waits for it */
	EVENT_CALL, /* a rank's program calls */
	EVENT_APPLICATION, /* it goes on */
};

struct event {
	uint64_t ps;
	uint64_t order;
	void *what;
	enum event_kind kind;
};

struct events {
	struct event *heap;
	size_t n, room;
	uint64_t order;
};

/* Aborts if there is no memory. */
void events_add(struct events *e, uint64_t ps, enum event_kind kind, void *what);
/* The next one; n is not 0. */
struct event events_take(struct events *e);
void events_fini(struct events *e);

#endif
