/* SPDX-License-Identifier: MIT */
/*
 * Names of messages, as the log, the statistics and the protocol document write them.
 *
 * Every kind has one: msg_name() would say "?" for a kind that wire.h gained and this table did
 * not, which tests/unit/test_wire.c looks for.
 */
#include "wire.h"

static const char *const names[MSG_KINDS] = {
	[MSG_NONE] = "None",
	[MSG_GETS] = "GetS",
	[MSG_GETM] = "GetM",
	[MSG_GETA] = "GetA",
	[MSG_INV_ACK] = "InvAck",
	[MSG_PUTM] = "PutM",
	[MSG_WRITE_BACK] = "WriteBack",
	[MSG_LOOKS] = "Looks",
	[MSG_INV] = "Inv",
	[MSG_FWD_GETS] = "FwdGetS",
	[MSG_FWD_GETM] = "FwdGetM",
	[MSG_GRANT_S] = "GrantS",
	[MSG_GRANT_M] = "GrantM",
	[MSG_GRANT_A] = "GrantA",
	[MSG_GRANT_ERROR] = "GrantError",
	[MSG_REGION_ALLOC] = "RegionAlloc",
	[MSG_REGION_ADD] = "RegionAdd",
	[MSG_REGION_ADDED] = "RegionAdded",
	[MSG_REGION_ALLOCATED] = "RegionAllocated",
	[MSG_REGION_FREE] = "RegionFree",
	[MSG_REGION_DROP] = "RegionDrop",
	[MSG_REGION_DROPPED] = "RegionDropped",
	[MSG_REGION_FREED] = "RegionFreed",
	[MSG_BLOCK_TOUCH] = "BlockTouch",
	[MSG_BLOCK_HOME] = "BlockHome",
	[MSG_LOCK_GET] = "LockGet",
	[MSG_LOCK_FORWARD] = "LockForward",
	[MSG_LOCK_GRANT] = "LockGrant",
	[MSG_LOCK_PASSED] = "LockPassed",
	[MSG_LOCK_REFUSE] = "LockRefuse",
	[MSG_LOCK_CANCEL] = "LockCancel",
	[MSG_LOCK_REPLY] = "LockReply",
	[MSG_SEM_WAIT] = "SemWait",
	[MSG_SEM_POST] = "SemPost",
	[MSG_SEM_SET] = "SemSet",
	[MSG_SEM_CANCEL] = "SemCancel",
	[MSG_SEM_REPLY] = "SemReply",
	[MSG_COND_WAIT] = "CondWait",
	[MSG_COND_QUEUED] = "CondQueued",
	[MSG_COND_SIGNAL] = "CondSignal",
	[MSG_COND_CANCEL] = "CondCancel",
	[MSG_COND_REPLY] = "CondReply",
	[MSG_BARRIER] = "Barrier",
	[MSG_ATOMIC] = "Atomic",
	[MSG_ATOMIC_DONE] = "AtomicDone",
	[MSG_STATS] = "Stats",
	[MSG_LEAVE] = "Leave",
	[MSG_LEFT] = "Left",
	[MSG_CONTENTION] = "Contention",
};

static bool is_region(unsigned kind)
{
	return kind >= MSG_REGION_ALLOC && kind <= MSG_REGION_FREED;
}

bool msg_is_sane(const struct msg *m)
{
	return m->kind > MSG_NONE && m->kind < MSG_KINDS &&
	       m->slots == (is_region(m->kind) ? MSG_SLOTS_MAX : 1);
}

const char *msg_name(unsigned kind)
{
	return kind < MSG_KINDS && names[kind] ? names[kind] : "?";
}
