/* SPDX-License-Identifier: MIT */
/*
 * See verbs_error.h. Of the statuses, a user can cause or cure few: those say how. The others mean
 * that libdsm, a driver or an adapter is wrong, and say so.
 */
#include "verbs_error.h"

#include <stdio.h>

const char *verbs_error_cause(enum ibv_wc_status status)
{
	switch (status) {
	case IBV_WC_RETRY_EXC_ERR:
		return "it did not acknowledge: its machine is down or cut off, its process is "
		       "being "
		       "killed, or the network loses packets (on RoCE look at PFC and ECN, and "
		       "that "
		       "the MTU is the same everywhere)";
	case IBV_WC_RNR_RETRY_EXC_ERR:
		return "it had no receive posted for a message, which its credits forbid: this is "
		       "a "
		       "bug of libdsm";
	case IBV_WC_WR_FLUSH_ERR:
		return "the connection had ended before: its process has left or died";
	case IBV_WC_REM_ACCESS_ERR:
		return "it does not let this memory be reached: the block was withdrawn or never "
		       "exposed there";
	case IBV_WC_REM_INV_REQ_ERR:
		return "its adapter takes no such request: see that it can do remote atomics "
		       "(dsm_info) and runs the same libdsm";
	case IBV_WC_REM_OP_ERR:
		return "its adapter could not carry the request out: look at its kernel log";
	case IBV_WC_REM_ABORT_ERR:
		return "its adapter has aborted the request: look at its kernel log";
	case IBV_WC_LOC_PROT_ERR:
		return "this rank's own memory was not registered for it: this is a bug of libdsm";
	case IBV_WC_LOC_LEN_ERR:
	case IBV_WC_LOC_QP_OP_ERR:
	case IBV_WC_LOC_ACCESS_ERR:
	case IBV_WC_MW_BIND_ERR:
	case IBV_WC_BAD_RESP_ERR:
		return "the request was not well formed: this is a bug of libdsm or of a driver";
	case IBV_WC_RESP_TIMEOUT_ERR:
		return "it acknowledged and did not answer: its adapter or the network is broken";
	case IBV_WC_FATAL_ERR:
	case IBV_WC_GENERAL_ERR:
		return "this machine's adapter has failed: look at the kernel log";
	default:
		return "the adapter gives no cause that is known here";
	}
}

const char *verbs_error_text(char *buf, size_t len, const struct ibv_wc *wc, const char *what)
{
	snprintf(buf, len, "%s failed (status %d, vendor code %#x): %s", what, (int)wc->status,
		 wc->vendor_err, verbs_error_cause(wc->status));
	return buf;
}
