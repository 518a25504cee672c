/* SPDX-License-Identifier: MIT */
/*
 * The bugs that the simulator's test build can put into the protocol, one at a time. Each is a
 * DSM_BUG(name) in lib/.
 */
#ifndef SIM_BUGS_H
#define SIM_BUGS_H

#define BUGS(X)                                                                                    \
	X(R1, "readers are taken before Busy is visible")                                          \
	X(R2, "readers stay set when they are taken")                                              \
	X(R3, "a silent eviction forgets `registered`")                                            \
	X(R4, "an Inv does not poison the chain in flight")                                        \
	X(R5, "GrantS sets no reader's bit")                                                       \
	X(R6, "the PutM that crosses a recall is forgotten")                                       \
	X(R7, "the home's own copy is not among the readers")                                      \
	X(R7_LOOK, "the home takes its page without a second look at the readers")                 \
	X(R8, "a request goes before those that wait")                                             \
	X(R9, "a downgraded owner gets no reader's bit")                                           \
	X(R10, "an upgrade gets no data though its bit was not among the readers")                 \
	X(R11, "a page that ceases to be Clean shows the same count when it is so again")          \
	X(OPEN, "a page that is held for writing stays open for looks")                            \
	X(ACKS, "a writer is granted the page before the InvAcks came")                            \
	X(BIT, "the bit of the rank next door is set")                                             \
	X(FLAG, "`registered` is kept when an Inv is answered")                                    \
	X(UNCONFIRMED, "a recall that crosses the PutM of a push leaves it registered")            \
	X(WRITE_BACK, "the page is written home behind the message that says so")                  \
	X(FORBID, "writes are forbidden after the page went home")                                 \
	X(DEFERRED, "a recall that waited for a hold is never obeyed")                             \
	X(HOLD, "a recall does not wait for a hold")                                               \
	X(HOLD_WRITE, "a thread writes what another of its rank holds to read")                    \
	X(EXCLUSIVE, "readers are not taken where the page is Exclusive")                          \
	X(ATOMIC, "remote atomics are granted beside Shared copies")                               \
	X(ADAPTER, "remote atomics by adapter are granted beside those by processors")             \
	X(DEATH, "the home goes on waiting for a dead rank's InvAck")                              \
	X(LOCK, "a lock that is held is handed over")                                              \
	X(BARRIER, "a barrier leaves out its last round")                                          \
	X(GROUP_OWNER, "the owner gets an Inv that is for its group")                              \
	X(GROUP_COPY, "an upgrade gets no data since its group was among the readers")

#define BUG_ENUM(name, text) BUG_##name,
enum bug { BUG_NONE, BUGS(BUG_ENUM) BUG_KINDS };

/* The one that is switched on. */
extern enum bug bug_now;

#define DSM_BUG(name) (bug_now == BUG_##name)

#endif
