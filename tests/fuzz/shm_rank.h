/* SPDX-License-Identifier: MIT */
/*
 * A rank's shared-memory transport for fuzzing, and what the script makes of its peers.
 */
#ifndef FUZZ_SHM_RANK_H
#define FUZZ_SHM_RANK_H

#include "fuzz.h"
#include "shm_hello.h"
#include "shm_internal.h"

#define FUZZ_TOKEN "a-token-of-the-job"
/* A script has at most so many other ranks. */
#define SHM_RANKS 3u

/* What the transport told; cleared by shm_rank_create(). */
extern unsigned shm_messages, shm_downs;

/* A transport that is not connected yet, over a range that all inputs share. */
struct transport_shm *shm_rank_create(unsigned rank, unsigned size);

/* The memory of a rank that keeps to the rules; shared by all inputs, not to be closed. */
int shm_rank_segment(void);
int shm_rank_box(unsigned rank, unsigned size, struct shm_box **box);

/* What a rank that keeps to the rules says. */
void shm_rank_hello(struct shm_hello *h, unsigned rank, unsigned size);

/* A connection to the transport's listening socket; -1. */
int shm_rank_dial(const struct transport_shm *s);
/* Send so many bytes with so many descriptors, as far as that goes. */
void shm_rank_say(int fd, const void *buf, size_t len, const int *fds, unsigned nfds);

#endif
