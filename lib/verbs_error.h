/* SPDX-License-Identifier: MIT */
/*
 * What a failed completion means, in words.
 */
#ifndef DSM_VERBS_ERROR_H
#define DSM_VERBS_ERROR_H

#include <infiniband/verbs.h>
#include <stddef.h>

/* The likely cause of a completion's status, and what to look at: the end of a sentence. */
const char *verbs_error_cause(enum ibv_wc_status status);

/* The end of a sentence into buf: which operation failed, how, and why. Returns buf. */
const char *verbs_error_text(char *buf, size_t len, const struct ibv_wc *wc, const char *what);

#endif
