/* SPDX-License-Identifier: MIT */
/* The tests: collective functions that fill bench->report. One file per family. */
#ifndef BENCH_TESTS_H
#define BENCH_TESTS_H

struct bench;

/* test_miss.c */
void test_read_miss(struct bench *b);
void test_read_miss_busy_home(struct bench *b);
/* test_write.c */
void test_write_upgrade(struct bench *b);
void test_ping_pong(struct bench *b);
/* test_acquire.c */
void test_acquire_read(struct bench *b);
/* test_release.c */
void test_write_back(struct bench *b);
/* test_sync.c */
void test_relock(struct bench *b);
void test_lock_handover(struct bench *b);
void test_lock_contended(struct bench *b);
void test_barrier(struct bench *b);
void test_fetch_add(struct bench *b);
/* test_scan.c */
void test_scan(struct bench *b);
void test_write_scan(struct bench *b);
void test_hit(struct bench *b);
/* test_transfer.c */
void test_get(struct bench *b);
void test_put(struct bench *b);
/* test_memory.c */
void test_memory(struct bench *b);

#endif
