/* SPDX-License-Identifier: MIT */
/*
 * The coherence protocol of docs/protocol.md for one page, as lib/cache.c and lib/directory.c run it.
 *
 * N ranks; rank 0 is the home and uses the page as the others do. Processes: Home is the home's
 * directory with its cache side, which one lock makes one; Agent is another rank's cache side, Chain
 * its one-sided reads, App and HomeApp what applications do. An atomic block is what nobody can look
 * into: the home's work is cut wherever a one-sided operation can tell the difference.
 *
 * Data: a copy is either the result of the last store or it is stale, so it is one bit: is it current?
 * A store makes all other places stale. That is exact, since the protocol never looks at data.
 * cur[HOME] is the home's memory, which is the home's copy too.
 *
 * What must hold is asserted where it could cease to hold: when a rank gets a right, at stores, at
 * each fetch-add, and when the home has finished with an event. No process has an end label: as some
 * rank can always ask for something, a state in which nobody can move is a deadlock.
 *
 * Switches: N; EVICT, PUSH, ATOMICS, HOLDS, AHEAD: what ranks do beside loads and stores; TOGGLE: rank
 * 1 registers by turning a bit over; LEAVE: the home lets its copies go; FRESH_ATOMIC, with HOLDS; GROUP: ranks 1 and 2 share a counter; ADAPTER: rank 1 does its
 * atomics by adapter; LIVE: the home looks at its senders in turn; MUT_*: the protocol without one of
 * its rules, and with it FLAG_UNCHECKED, CARRY_UNCHECKED: let what follows from a wrong flag, or from
 * a bit that is added to twice, show.
 */
#ifndef N
#define N 2
#endif
#define HOME   0
#define NOBODY N

/* To the home; to a rank. What is a flag of the message in the library is part of the name here. */
mtype = { GETS, GETM, GETM_COPY, GETM_FREE, GETA, INVACK, WB, WB_KEEPS, WB_GONE, WB_GONE_KEEPS,
	  PUTM, PUTM_KEEPS, GRANTS, GRANTM, GRANTM_DATA, GRANTA, AGAIN, INV, FWDS, FWDM,
	  GRANTA_ADAPTER, DO_ATOMIC, DO_ATOMIC_ADAPTER };

/* A rank's right to the page; what it waits for; the grant; the chain's next step. */
#define I 0
#define S 1
#define M 2
#define A 3

#define P_CHAIN 1
#define P_GETS	2
#define P_GETM	3
#define P_GETA	4

#define CLEAN  0
#define BUSY   1
#define EXCL   2
#define ATOMIC 3

#define C_ADD	1
#define C_GRANT 2
#define C_DATA	3
#define C_DONE	4

#define POSTED	  1
#define UNDER_WAY 2

byte st[N], pend[N];
mtype def[N];		/* the recall that is deferred, 0: none */
bit reg[N], poisoned[N], demanded[N], unconfirmed[N];
bit rhold[N], whold[N], fresh[N];
mtype wb[N];		/* a write-back begun: the message to send behind it, 0: none */
bit written[N];		/* its data is at home */

byte chain[N];
bit saw_clean[N];

bit cur[N];		/* the copies; [HOME]: the home's memory */
bit buf[N];		/* what the chain read */
bit slot[N];		/* what the home pushed behind a grant */

byte grant, owner = NOBODY;
byte readers[N];	/* counters, so that a second fetch-add shows; [HOME] unused */
#ifdef TOGGLE
bit toggled;		/* the bit that rank 1 turns over is not as the home has noted it */
bit looked;		/* it was so when the home looked */
#endif
#ifdef GROUP
byte added[N];		/* how often a rank added itself since the readers were taken */
#endif
#ifdef ADAPTER
bit by_adapter;		/* the grant, if ATOMIC, says by whom */
bit adapter[N];		/* and the rank's right */
byte at_work_p, at_work_a; /* atomics of processors, of an adapter, that have read and are to write */
bit doing[N];		/* it is this rank's, which keeps its lock */
byte posted;		/* one of rank 1's: its adapter has it; is at it */
bit asked[N];		/* one is asked for by message */
#ifdef MUT_ADAPTER_WAIT
bit not_awaited;	/* one of the home's adapter on its own memory */
#endif
#endif
byte acks;		/* mask of the ranks whose InvAck is awaited */
byte recalled = NOBODY;
bit have_data, had_requester;
bit busy;		/* the home's lock is taken */
#ifdef LIVE
byte last;		/* the rank that the home has listened to last */
bit own_last;		/* and has had an access of its own since */
#endif

chan to_home[N] = [4] of { mtype };
chan to_rank[N] = [3] of { mtype };
chan own = [4] of { mtype };		/* the home to itself */
chan queue = [N] of { mtype, byte };	/* requests, the first is being served */

#if N == 2
#define EACH_OTHER(what) what(1)
#elif N == 3
#define EACH_OTHER(what) what(1); what(2)
#endif

#define WAITING (recalled != NOBODY || acks != 0)

/*
 * Properties
 */

#if N == 2
#define NO_OTHER_IS(r, s) (st[1 - (r)] != s)
#else
#define NO_OTHER_IS(r, s) (st[((r) + 1) % 3] != s && st[((r) + 2) % 3] != s)
#endif

#define ONE_WRITER(r)	  (NO_OTHER_IS(r, S) && NO_OTHER_IS(r, M) && NO_OTHER_IS(r, A))
#define NO_WRITER(r)	  (NO_OTHER_IS(r, M) && NO_OTHER_IS(r, A))
#define NO_COPY(r)	  (NO_OTHER_IS(r, S) && NO_OTHER_IS(r, M))
#define COPY_CURRENT(r)	  (cur[r])
#define HAS_COPY(r)	  (st[r] == S)

/*
 * Readers. TOGGLE: what a grant by message sets is another bit than the one that rank 1 turns over; and
 * as only differences count, the difference is all that is kept of it and of what the home has noted.
 * GROUP: a counter holds how many and the sum of their places. With two ranks that says as much as how
 * many times each, but the protocol uses only: are there several, and if not, who is it?
 */
#ifdef TOGGLE
#define IS_READER(r)	(readers[r] || ((r) == 1 && toggled))
#define IS_TAKEN(r)	(readers[r] || ((r) == 1 && looked))
#define CARRY_FREE(r)	((r) == 1 -> !toggled : readers[r] == 0)
#elif defined(GROUP)
#ifndef ADDS_MAX
#define ADDS_MAX	3
#endif
#define COUNT		(readers[1] + readers[2])
#define COUNT_MAX	(2 * ADDS_MAX + 2)
#define UNSURE		(COUNT > 1)
#define IS_READER(r)	(UNSURE || readers[r])
#define IS_TAKEN(r)	IS_READER(r)
#define CARRY_FREE(r)	(added[r] < ADDS_MAX && COUNT < COUNT_MAX)
#else
#define IS_READER(r)	(readers[r])
#define IS_TAKEN(r)	(readers[r])
#define CARRY_FREE(r)	(readers[r] == 0)
#endif

#ifdef CARRY_UNCHECKED
#define check_carry(r) skip
#else
#define check_carry(r) assert(CARRY_FREE(r))
#endif

/* The flag goes with the bit, both ways, where nothing about it is on its way. A group may have its
 * Inv for a rank that never read. */
#define AT_REST(r) (pend[r] == 0 && !unconfirmed[r] && wb[r] == 0 && def[r] == 0 && \
		    (len(to_rank[r]) == 0) && (len(to_home[r]) == 0))
#ifdef FLAG_UNCHECKED
#define check_flag(r) skip
#else
#ifdef GROUP
#define FLAG_IS_RIGHT(r) (!reg[r] || IS_READER(r))
#else
#define FLAG_IS_RIGHT(r) (reg[r] == IS_READER(r))
#endif
#define check_flag(r) assert(!AT_REST(r) || FLAG_IS_RIGHT(r))
#endif

/* No copy comes or goes, and nothing is stored, while an atomic is at work. */
#ifdef ADAPTER
#define NO_ATOMIC (!at_work_p && !at_work_a)
#else
#define NO_ATOMIC true
#endif

/* The data at one place is the last now. Enabled where that changes anything, lest it be a cycle. */
#define forget(i) cur[i] = 0; buf[i] = 0; slot[i] = 0

inline stored(place)
{
	EACH_OTHER(forget);
	cur[HOME] = 0;
	cur[place] = 1;
}

/* Is there a bit that a store would clear? */
#if N == 2
#define STORE_SHOWS(place) (cur[1 - (place)] || buf[1] || slot[1])
#else
#define STORE_SHOWS(place) (cur[((place) + 1) % 3] || cur[((place) + 2) % 3] || buf[1] || buf[2] || \
			    slot[1] || slot[2])
#endif

inline store(r)
{
	assert(ONE_WRITER(r));
	assert(COPY_CURRENT(r));
	assert(NO_ATOMIC);
	stored(r);
}

inline remote_atomic(r)
{
	assert(NO_COPY(r));
	assert(COPY_CURRENT(HOME));
	stored(HOME);
}

#ifdef ADAPTER
/*
 * An atomic reads, and later writes. Processors see to it that theirs do not mix, and so does an
 * adapter; neither knows of the other's.
 */
#define assert_no_copy(r) assert(st[r] != S && st[r] != M)

inline atomic_reads(kind_at_work, other_at_work)
{
	assert(!other_at_work);
	assert_no_copy(HOME);
	EACH_OTHER(assert_no_copy);
	assert(COPY_CURRENT(HOME));
	kind_at_work++
}

inline atomic_writes(kind_at_work)
{
	kind_at_work--;
	stored(HOME)
}
#endif

/*
 * The cache side
 */

inline tell_home(r, m)
{
	if
	:: r == HOME -> assert(nfull(own)); own!m
	:: else -> assert(nfull(to_home[r])); to_home[r]!m
	fi
}

inline no_copy(r)
{
	st[r] = I;
	if
	:: r != HOME -> cur[r] = 0
	:: else
	fi
}

/* From now on the mapping lets no write through; the Agent writes the page home and sends m. */
inline give_back(r, m)
{
	if
	:: r == HOME -> own!m
	:: else -> wb[r] = m
	fi
}

/* FRESH_ATOMIC: the right to remote atomics stays until who asked for it has looked, too. */
#ifdef FRESH_ATOMIC
#define FRESH_TOO(s)	 true
#define HAS_FOR_INV(r)	 (st[r] == S || st[r] == A)
#else
#define FRESH_TOO(s)	 (s != A)
#define HAS_FOR_INV(r)	 (st[r] == S)
#endif

inline arrived(r, s)
{
	pend[r] = 0;
	demanded[r] = 0;
	st[r] = s;
	assert(s == A || NO_ATOMIC);
	if
	:: s == S ->
		assert(NO_WRITER(r));
		assert(COPY_CURRENT(r))
	:: s == M ->
		assert(ONE_WRITER(r));
		assert(COPY_CURRENT(r))
	:: s == A ->
		assert(NO_COPY(r));
		assert(COPY_CURRENT(HOME))
	fi;
#ifdef HOLDS
	/* Held or fresh from the start: later would be no other state of the page. */
	if
	:: FRESH_TOO(s) -> fresh[r] = 1
	:: s != A -> rhold[r] = 1
	:: s == M -> whold[r] = 1
	:: s == M -> whold[r] = 1; rhold[r] = 1
	:: true
	fi
#endif
}

#ifdef HOLDS
#ifdef MUT_HOLD
#define MAY_OBEY(r, recall) (!fresh[r] && !whold[r] && (recall == FWDS || !rhold[r]))
#else
#define MAY_OBEY(r, recall) (pend[r] != 0 || \
			     (!fresh[r] && !whold[r] && (recall == FWDS || !rhold[r])))
#endif
#else
#define MAY_OBEY(r, recall) true
#endif

/* By whom are a page's atomics? To be known as long as the rank has the right. */
#ifdef MUT_ADAPTER_TOLD
#define right_comes(r, by) adapter[r] = ((r) == 1)
#elif defined(ADAPTER)
#define right_comes(r, by) adapter[r] = (by)
#else
#define right_comes(r, by) skip
#endif
#ifdef ADAPTER
#define right_goes(r) adapter[r] = 0
#else
#define right_goes(r) skip
#endif

inline obey_inv(r)
{
	no_copy(r);
	right_goes(r);
	reg[r] = 0;
	unconfirmed[r] = 0;
#ifndef MUT_R4
	if
	:: pend[r] == P_CHAIN -> poisoned[r] = 1
	:: else
	fi;
#endif
	tell_home(r, INVACK)
}

/* A recall that crossed the own PutM (R6). */
inline not_here(r, keep)
{
#ifndef MUT_R6
	if
#ifndef MUT_UNCONFIRMED
	:: unconfirmed[r] && keep -> unconfirmed[r] = 0; tell_home(r, WB_GONE_KEEPS)
	:: unconfirmed[r] && !keep -> unconfirmed[r] = 0; reg[r] = 0; tell_home(r, WB_GONE)
#endif
	:: else -> tell_home(r, WB_GONE)
	fi;
#if defined(GROUP) && !defined(MUT_GROUP_FLAG)
	/* Its group's counter was taken, perhaps with what a chain has added, and it gets no Inv. */
	if
	:: !keep -> reg[r] = 0
	:: else
	fi;
#endif
	if
	:: !keep && st[r] == S -> no_copy(r)
	:: else
	fi;
	if
	:: !keep && pend[r] == P_CHAIN && !reg[r] -> poisoned[r] = 1
	:: else
	fi
#else
	skip
#endif
}

inline obey(r, recall)
{
	if
	:: recall == INV -> obey_inv(r)
	:: recall == FWDS && st[r] != M -> not_here(r, true)
	:: recall == FWDM && st[r] != M -> not_here(r, false)
	:: recall == FWDS && st[r] == M -> st[r] = S; reg[r] = (r != HOME); give_back(r, WB_KEEPS)
	:: recall == FWDM && st[r] == M -> st[r] = I; reg[r] = 0; give_back(r, WB)
	fi
}

inline on_recall(r, recall)
{
	if
	:: (recall == INV -> HAS_FOR_INV(r) : st[r] == M) && !MAY_OBEY(r, recall) ->
		assert(def[r] == 0);
		def[r] = recall
	:: else -> obey(r, recall)
	fi
}

inline obey_deferred(r)
{
	if
	:: def[r] != 0 && MAY_OBEY(r, def[r]) -> obey(r, def[r]); def[r] = 0
	:: else
	fi
}

inline ask(r, what, m)
{
	pend[r] = what;
	demanded[r] = 1;
	tell_home(r, m);
	obey_deferred(r)
}

inline ask_getm(r)
{
	st[r] = (st[r] == S -> S : I);
	right_goes(r);
	ask(r, P_GETM, (st[r] == S -> GETM_COPY : GETM))
}

inline ask_geta(r)
{
	no_copy(r);
	ask(r, P_GETA, GETA)
}

inline chain_start(r)
{
	st[r] = I;
	right_goes(r);
	pend[r] = P_CHAIN;
	poisoned[r] = 0;
	chain[r] = (reg[r] -> C_GRANT : C_ADD);
	reg[r] = 1
}

inline chain_finish(r)
{
	chain[r] = 0;
	if
	:: poisoned[r] && demanded[r] ->
#ifdef MUT_RETRY
		chain_start(r)
#else
		poisoned[r] = 0;
		ask(r, P_GETS, GETS)
#endif
	:: poisoned[r] && !demanded[r] -> poisoned[r] = 0; pend[r] = 0
	:: !poisoned[r] && saw_clean[r] -> cur[r] = buf[r]; arrived(r, S)
	:: !poisoned[r] && !saw_clean[r] && demanded[r] -> pend[r] = P_GETS; tell_home(r, GETS)
	:: !poisoned[r] && !saw_clean[r] && !demanded[r] -> pend[r] = 0
	fi;
	saw_clean[r] = 0;
	buf[r] = 0
}

/* What was pushed counts only if the home's memory would do: over shm it is read from there. */
inline take_pushed(r)
{
	cur[r] = slot[r] && cur[HOME];
	slot[r] = 0
}

inline on_message(r, m)
{
	if
	:: m == GRANTS ->
		assert(pend[r] == P_GETS);
#ifndef MUT_R5_FLAG
		reg[r] = 1;
#endif
		take_pushed(r);
		arrived(r, S)
	:: m == GRANTM ->
		assert(pend[r] == P_GETM);
		assert(HAS_COPY(r)); /* R10 */
		reg[r] = 0;
		unconfirmed[r] = 0;
		arrived(r, M)
	:: m == GRANTM_DATA ->
		assert(pend[r] == P_GETM);
		reg[r] = 0;
		unconfirmed[r] = 0;
		take_pushed(r);
		arrived(r, M)
	:: m == GRANTA || m == GRANTA_ADAPTER ->
		assert(pend[r] == P_GETA);
		reg[r] = 1;
		right_comes(r, m == GRANTA_ADAPTER);
		arrived(r, A)
	:: m == AGAIN ->
		assert(pend[r] == P_GETM);
		pend[r] = 0;
		if
		:: demanded[r] -> ask_getm(r)
		:: else
		fi
	:: m == INV || m == FWDS || m == FWDM -> on_recall(r, m)
	fi
}

#ifdef ADAPTER
#define LOCK_FREE(r) (!doing[r])
#else
#define LOCK_FREE(r) true
#endif

proctype Agent(byte r)
{
	mtype m;

	do
	:: atomic { wb[r] != 0 && !written[r] ->
		assert(NO_ATOMIC);
		cur[HOME] = cur[r];
		written[r] = 1;
		if
		:: st[r] == I -> cur[r] = 0
		:: else
		fi }
	:: atomic { wb[r] != 0 && written[r] ->
		tell_home(r, wb[r]);
		wb[r] = 0;
		written[r] = 0 }
	:: atomic { wb[r] == 0 && LOCK_FREE(r) && (len(to_rank[r]) > 0) ->
		to_rank[r]?m;
		on_message(r, m);
		m = 0 }
	od
}

inline register(r)
{
	check_carry(r);
#ifdef TOGGLE
	if
	:: r == 1 -> toggled = !toggled
	:: else -> readers[r]++
	fi
#else
	readers[r]++
#endif
#ifdef GROUP
	;
	added[r]++
#endif
}

/* One-sided operations. */
proctype Chain(byte r)
{
	do
	:: atomic { chain[r] == C_ADD -> register(r); chain[r] = C_GRANT }
	:: atomic { chain[r] == C_GRANT ->
		saw_clean[r] = (grant == CLEAN);
		/* Data read behind any other grant is thrown away: not read here. */
		chain[r] = (grant == CLEAN -> C_DATA : C_DONE) }
	:: atomic { chain[r] == C_DATA -> buf[r] = cur[HOME]; chain[r] = C_DONE }
	:: atomic { chain[r] == C_DONE && LOCK_FREE(r) -> chain_finish(r) }
#ifdef ADAPTER
	:: atomic { r == 1 && posted == POSTED ->
		atomic_reads(at_work_a, at_work_p);
		posted = UNDER_WAY }
	:: atomic { r == 1 && posted == UNDER_WAY -> atomic_writes(at_work_a); posted = 0 }
#ifdef MUT_ADAPTER_WAIT
	:: atomic { r == 1 && not_awaited -> atomic_writes(at_work_a); not_awaited = 0 }
#endif
#endif
	od
}

#define IDLE(r) (pend[r] == 0 && wb[r] == 0 && LOCK_FREE(r))
#define HELD(r) (rhold[r] || whold[r] || fresh[r])

inline let_go(r)
{
	if
	:: fresh[r] -> fresh[r] = 0
	:: rhold[r] -> rhold[r] = 0
	:: whold[r] -> whold[r] = 0
	fi;
	obey_deferred(r)
}

inline push(r)
{
	st[r] = S;
	reg[r] = (r != HOME);
	unconfirmed[r] = (r != HOME);
	give_back(r, PUTM_KEEPS)
}

inline evict_modified(r)
{
	st[r] = I;
#ifdef MUT_PUTM
	no_copy(r)
#else
	give_back(r, PUTM)
#endif
}

inline evict_shared(r)
{
	no_copy(r);
#ifdef MUT_R3
	reg[r] = 0
#endif
}

#ifdef ADAPTER
/* By processor: rank 2 reaches the home's memory, or asks the home. By adapter: rank 1's has a way to it,
 * but not for 4 bytes; rank 2 asks. */
#ifdef LIVE
#define LOCK_TURN(r) (len(to_rank[r]) == 0) /* others get the lock, too */
#else
#define LOCK_TURN(r) true
#endif
#define MAY_ASK(r)  (st[r] == A && !asked[r] && LOCK_FREE(r))
#define MAY_POST(r) ((r) == 1 && st[r] == A && adapter[r] && posted == 0)
#define MAY_DO(r)   ((r) == 2 && st[r] == A && !adapter[r] && LOCK_FREE(r) && LOCK_TURN(r))
#endif

proctype App(byte r)
{
	do
	:: atomic { IDLE(r) && (st[r] == I || st[r] == A) -> demanded[r] = 1; chain_start(r) }
	:: atomic { IDLE(r) && st[r] != M -> ask_getm(r) }
	:: atomic { st[r] == M && STORE_SHOWS(r) -> store(r) }
#ifdef EVICT
	:: atomic { IDLE(r) && def[r] == 0 && !HELD(r) && st[r] == S -> evict_shared(r) }
	:: atomic { IDLE(r) && def[r] == 0 && !HELD(r) && st[r] == M -> evict_modified(r) }
#endif
#ifdef PUSH
	:: atomic { IDLE(r) && def[r] == 0 && !whold[r] && st[r] == M -> push(r) }
#endif
#ifdef ATOMICS
	:: atomic { IDLE(r) && (st[r] == I || st[r] == S) && !rhold[r] -> ask_geta(r) }
#ifdef ADAPTER
	:: atomic { MAY_DO(r) -> doing[r] = 1; atomic_reads(at_work_p, at_work_a) }
	:: atomic { doing[r] -> atomic_writes(at_work_p); doing[r] = 0 }
	:: atomic { MAY_POST(r) -> posted = POSTED }
	:: atomic { MAY_ASK(r) ->
		asked[r] = 1;
		tell_home(r, (adapter[r] -> DO_ATOMIC_ADAPTER : DO_ATOMIC)) }
#else
	:: atomic { st[r] == A && STORE_SHOWS(HOME) -> remote_atomic(r) }
#endif
#endif
#ifdef AHEAD
	:: atomic { IDLE(r) && st[r] == I -> chain_start(r) }
	:: atomic { IDLE(r) && st[r] == I -> pend[r] = P_GETM; tell_home(r, GETM_FREE) }
	:: atomic { pend[r] != 0 && !demanded[r] -> demanded[r] = 1 }
#endif
#ifdef HOLDS
	/* Not while it waits: the thread that waits may be the one that holds. */
	:: atomic { IDLE(r) && HELD(r) -> let_go(r) }
#endif
#ifdef FRESH_ATOMIC
	/* A chain began with an Inv of that right deferred: whoever asks again obeys it. */
	:: atomic { def[r] != 0 && pend[r] != 0 && wb[r] == 0 && LOCK_FREE(r) -> obey_deferred(r) }
#endif
	od
}

/*
 * The home
 */

/* Grants and refusals. The home's own take effect at once (R7). */
inline give(r, m, s)
{
	if
	:: r != HOME -> assert(nfull(to_rank[r])); to_rank[r]!m
#ifdef MUT_R7
	:: r == HOME -> own!m
#else
	:: r == HOME -> arrived(HOME, s)
#endif
	:: else
	fi
}

inline reader_add(r)
{
	if
#ifdef GROUP
	:: r != HOME && !IS_READER(r) -> readers[r]++
#else
	:: r != HOME -> readers[r] = 1
#endif
	:: else
	fi
}

inline data_push(r)
{
	if
	:: r != HOME -> slot[r] = cur[HOME]
	:: else
	fi
}

inline grant_shared(r)
{
#ifndef MUT_R5
	reader_add(r);
#endif
	data_push(r);
	give(r, GRANTS, S)
}

inline grant_modified(r, request)
{
	grant = EXCL;
	owner = r;
	if
#if defined(MUT_R10_BIT)
	:: request == GETM_COPY -> give(r, GRANTM, M)
#elif defined(MUT_R10)
	:: had_requester -> give(r, GRANTM, M)
#else
	:: request == GETM_COPY && had_requester -> give(r, GRANTM, M)
#endif
	:: else -> data_push(r); give(r, GRANTM_DATA, M)
	fi;
	had_requester = 0
}

/* Does this rank do its atomics by adapter? Then all do on a page that it has the right to. */
#define BY_ADAPTER(r) ((r) == 1)

inline grant_atomic(r, by)
{
	grant = ATOMIC;
	reader_add(r);
#ifdef ADAPTER
	by_adapter = by;
	if
	:: r == HOME -> right_comes(HOME, by)
	:: else
	fi;
	give(r, (by -> GRANTA_ADAPTER : GRANTA), A)
#else
	give(r, GRANTA, A)
#endif
}

#define BIT(r) (1 << (r))

inline invalidate(r)
{
	acks = acks | BIT(r);
	if
	:: r == HOME -> own!INV
	:: else -> assert(nfull(to_rank[r])); to_rank[r]!INV
	fi
}

#ifdef GROUP
/* Who may be no reader has perhaps lost its copy (R10), and must get no Inv if it is the owner. */
#ifdef MUT_GROUP_COPY
#define IS_REQUESTER(r) (r == src)
#else
#define IS_REQUESTER(r) (r == src && !UNSURE)
#endif
#ifdef MUT_GROUP_OWNER
#define IS_SPARED(r) false
#else
#define IS_SPARED(r) (UNSURE && r == owner)
#endif
#ifdef MUT_GROUP_ALL
#define IS_TOLD(r) (IS_TAKEN(r) && (!UNSURE || r == 1))
#else
#define IS_TOLD(r) IS_TAKEN(r)
#endif
#define clear(r) readers[r] = 0; added[r] = 0
#else
#define IS_REQUESTER(r) (r == src)
#define IS_SPARED(r)	false
#define IS_TOLD(r)	IS_TAKEN(r)
#define clear(r)	readers[r] = 0
#endif

#define take(r) \
	if \
	:: IS_TAKEN(r) && IS_REQUESTER(r) -> had_requester = 1 \
	:: IS_TOLD(r) && r != src && !IS_SPARED(r) -> invalidate(r) \
	:: else \
	fi

/* TOGGLE: the home notes how the bit was when it looked; not how it is now. */
#ifdef MUT_TOGGLE_LOOK
#define note_toggled() toggled = 0; looked = 0
#elif defined(TOGGLE)
#define note_toggled() toggled = (toggled != looked); looked = 0
#else
#define note_toggled() skip
#endif

inline take_own()
{
	if
	:: (st[HOME] == S || st[HOME] == A) && src == HOME -> had_requester = 1
	:: (st[HOME] == S || st[HOME] == A) && src != HOME -> invalidate(HOME)
	:: else
	fi
}

inline recall(r, m)
{
	recalled = r;
	if
	:: r == HOME -> own!m
	:: else -> assert(nfull(to_rank[r])); to_rank[r]!m
	fi
}

/* A GetS leaves the readers of an Exclusive page alone. */
#ifdef MUT_EXCL_READERS
#define KEEPS_READERS (owner != NOBODY)
#elif defined(MUT_ATOMIC)
#define KEEPS_READERS (kind == GETS)
#else
#define KEEPS_READERS (kind == GETS && owner != NOBODY)
#endif

inline ask_readers()
{
	if
	:: KEEPS_READERS
	:: else -> EACH_OTHER(take); take_own();
		note_toggled();
#ifndef MUT_R2
		EACH_OTHER(clear)
#endif
	fi
}

/* A look at the bit that rank 1 turns over, which is no exchange. */
#ifdef TOGGLE
inline look()
{
	if
	:: KEEPS_READERS
	:: else -> looked = toggled
	fi
}
#endif

inline ask_owner()
{
	if
	:: owner == NOBODY
	:: owner != NOBODY && kind == GETS -> recall(owner, FWDS)
	:: owner != NOBODY && kind != GETS -> recall(owner, FWDM)
	fi;
	owner = NOBODY
}

#if N == 2
#define OTHERS_READ(r) ((r) != 1 && IS_READER(1))
#define ANY_READER     (IS_READER(1))
#define ALL_QUIET      (len(to_home[1]) == 0)
#define OTHER_QUIET(r) true
#else
#ifdef GROUP
#define OTHERS_READ(r) (COUNT > 0) /* who it is is not looked at */
#else
#define OTHERS_READ(r) (((r) != 1 && IS_READER(1)) || ((r) != 2 && IS_READER(2)))
#endif
#define ANY_READER     (IS_READER(1) || IS_READER(2))
#define ALL_QUIET      ((len(to_home[1]) == 0) && (len(to_home[2]) == 0))
#define OTHER_QUIET(r) (len(to_home[3 - (r)]) == 0)
#endif

#define FREE_FOR(r) (grant == CLEAN && st[HOME] == I && !OTHERS_READ(r))

#ifdef LIVE
#define TURN(r)	    (last != (r) || OTHER_QUIET(r))
#define OWN_TURN    (!own_last || ALL_QUIET)
#define listened(r) last = r; own_last = 0
#define own_access  own_last = 1
#else
#define TURN(r)	    true
#define OWN_TURN    true
#define listened(r) skip
#define own_access  skip
#endif

/* R8: responses are taken past requests that wait. */
#ifdef MUT_R8
#define TAKES(r) (!WAITING || !(to_home[r]?[GETS] || to_home[r]?[GETM] || to_home[r]?[GETM_COPY] || \
				to_home[r]?[GETM_FREE] || to_home[r]?[GETA]))
#else
#define TAKES(r) true
#endif

#define IS_REQUEST(m) (m == GETS || m == GETM || m == GETM_COPY || m == GETM_FREE || m == GETA)
#define IS_WB(m)      (m == WB || m == WB_KEEPS || m == WB_GONE || m == WB_GONE_KEEPS)
#define IS_GONE(m)    (m == WB_GONE || m == WB_GONE_KEEPS)
#define IS_PUTM(m)    (m == PUTM || m == PUTM_KEEPS)
#define AT_IDLE	      ((len(own) == 0) && OWN_TURN && pend[HOME] == 0)

/*
 * Whoever does a page's atomics by processor is asked before anybody does them by adapter; who asks
 * later joins those who do them by adapter. What rank 1 has posted is done before what it says behind
 * it is heard.
 */
#ifdef ADAPTER
#ifdef MUT_ADAPTER
#define MAY_JOIN(r) true
#else
#define MAY_JOIN(r) (by_adapter || !BY_ADAPTER(r))
#endif
#ifdef MUT_ADAPTER_JOIN
#define JOINT(r) BY_ADAPTER(r)
#else
#define JOINT(r) (by_adapter || BY_ADAPTER(r))
#endif
#ifdef MUT_ADAPTER_BEHIND
#define HEARD(r) true
#else
#define HEARD(r) ((r) != 1 || posted == 0 || to_home[r]?[DO_ATOMIC_ADAPTER])
#endif
#define IS_ATOMIC(m) (m == DO_ATOMIC || m == DO_ATOMIC_ADAPTER)
#else
#define MAY_JOIN(r) true
#define JOINT(r)    false
#define HEARD(r)    true
#endif

inline on_write_back()
{
	assert(recalled == src);
	if
#ifndef MUT_R9
	:: kind == WB_KEEPS || kind == WB_GONE_KEEPS -> reader_add(src)
#endif
	:: else
	fi;
	assert(have_data || !IS_GONE(kind)); /* R6 */
	recalled = NOBODY;
	have_data = 0
}

inline on_putm()
{
	if
#ifdef MUT_R6_PUTM
	:: recalled == src -> recalled = NOBODY
#else
	:: recalled == src -> have_data = 1 /* R6: its answer to the recall follows */
#endif
	:: else ->
		assert(!WAITING && grant == EXCL && owner == src);
		if
#ifndef MUT_R9_PUTM
		:: kind == PUTM_KEEPS -> reader_add(src) /* R9 */
#endif
		:: else
		fi;
		grant = CLEAN;
		owner = NOBODY
	fi
}

inline on_own()
{
	if
#ifdef MUT_R7
	:: kind == GRANTS -> arrived(HOME, S)
	:: kind == GRANTM || kind == GRANTM_DATA -> arrived(HOME, M)
	:: kind == GRANTA -> arrived(HOME, A)
#endif
	:: kind == INV || kind == FWDS || kind == FWDM -> on_recall(HOME, kind)
	fi
}

#ifdef MUT_R8_ORDER
/* A third request goes before the second. */
inline overtake()
{
	if
	:: len(queue) == 3 ->
		queue?kind,src;
		queue!kind,src;
		queue?kind2,src2;
		queue?kind,src;
		queue!kind,src;
		queue!kind2,src2;
		kind2 = 0;
		src2 = 0
	:: else
	fi
}
#endif

proctype Home()
{
	mtype kind;
	byte src;
#ifdef MUT_R8_ORDER
	mtype kind2;
	byte src2;
#endif

idle:
	atomic {
		if
		:: own?kind -> src = HOME
		:: (len(own) == 0) && TURN(1) && (len(to_home[1]) > 0) && TAKES(1) && HEARD(1) ->
			to_home[1]?kind; src = 1; listened(1)
#if N == 3
		:: (len(own) == 0) && TURN(2) && (len(to_home[2]) > 0) && TAKES(2) ->
			to_home[2]?kind; src = 2; listened(2)
#endif
		:: AT_IDLE && (st[HOME] == I || st[HOME] == A) ->
			own_access;
			st[HOME] = I;
			right_goes(HOME);
			if
			:: grant == CLEAN -> arrived(HOME, S)
			:: else -> ask(HOME, P_GETS, GETS)
			fi;
			goto idle
		:: AT_IDLE && st[HOME] != M ->
			own_access;
			busy = 1;
			goto own_write
#ifdef ATOMICS
		:: AT_IDLE && (st[HOME] == I || st[HOME] == S) && !rhold[HOME] ->
			own_access;
			ask_geta(HOME);
			goto idle
#endif
#ifdef LEAVE
		/* It lets own pages go that others ask for, many at a time. */
		:: AT_IDLE && def[HOME] == 0 && !HELD(HOME) && st[HOME] == S -> st[HOME] = I; goto idle
		:: AT_IDLE && def[HOME] == 0 && !HELD(HOME) && st[HOME] == M ->
			st[HOME] = I;
#ifndef MUT_LEAVE
			assert(!WAITING && grant == EXCL && owner == HOME);
			grant = CLEAN;
			owner = NOBODY;
#endif
			goto idle
#endif
#ifdef ADAPTER
		:: (len(own) == 0) && OWN_TURN && st[HOME] == A ->
			own_access;
			src = HOME;
			kind = (adapter[HOME] -> DO_ATOMIC_ADAPTER : DO_ATOMIC);
			busy = 1;
			goto act
#endif
		fi;
		busy = 1;
dispatch:
		if
		:: IS_REQUEST(kind) ->
			queue!kind,src;
#ifdef MUT_R8_ORDER
			overtake();
#endif
			if
			:: WAITING -> goto done
			:: else -> goto serve
			fi
		:: kind == INVACK ->
			assert(acks & BIT(src));
			acks = acks & ~BIT(src);
			goto response
		:: IS_WB(kind) -> on_write_back(); goto response
		:: IS_PUTM(kind) -> on_putm();
#ifdef MUT_R6_PUTM
			if
			:: !WAITING && (len(queue) > 0) -> goto response
			:: else
			fi;
#endif
			goto done
#ifdef ADAPTER
		:: IS_ATOMIC(kind) -> asked[src] = 0; goto act
#endif
		:: else -> assert(src == HOME); on_own(); goto done
		fi
	}

response:
	atomic {
		if
		:: WAITING -> goto done
		:: else -> goto answer
		fi
	}

	/* Serve requests until one has to wait. */
serve:
	atomic {
		if
		:: WAITING || (len(queue) == 0) -> goto done
		:: else
		fi;
		queue?<kind,src>;
		assert(owner != src);
		if
		:: kind == GETS && grant == CLEAN -> queue?kind,src; grant_shared(src); goto serve
		:: kind == GETA && grant == ATOMIC && MAY_JOIN(src) ->
			queue?kind,src;
			grant_atomic(src, JOINT(src));
			goto serve
		:: kind == GETM_FREE && !FREE_FOR(src) -> queue?kind,src; give(src, AGAIN, I); goto serve
		:: else
		fi
	}
#ifdef MUT_R1
#ifdef TOGGLE
	look();
#endif
	atomic { ask_readers(); ask_owner() }
	grant = BUSY;
#else
	grant = BUSY;
#ifdef TOGGLE
	look();
#endif
	/* In one step with what is sent: a message is as good as unsent until it is received. */
	atomic { ask_readers(); ask_owner() }
#ifdef MUT_R2
	if
	:: KEEPS_READERS
	:: else -> EACH_OTHER(clear)
	fi;
#endif
#endif
	if
	:: WAITING -> goto done
	:: else
	fi;

	/* Nobody is waited for any more: answer the first request. */
answer:
	atomic {
		queue?kind,src;
		if
		:: kind == GETS -> grant = CLEAN
		:: kind == GETA ->
			had_requester = 0;
			grant_atomic(src, BY_ADAPTER(src));
			goto serve
		:: else -> grant_modified(src, kind); goto serve
		fi
	}
	atomic { had_requester = 0; grant_shared(src); goto serve }

#ifdef ADAPTER
	/* An atomic at the home, which waits for its adapter: its lock is not let go meanwhile. */
act:
	atomic {
		if
		:: kind == DO_ATOMIC -> atomic_reads(at_work_p, at_work_a)
		:: kind == DO_ATOMIC_ADAPTER -> atomic_reads(at_work_a, at_work_p)
		fi
	}
#ifdef MUT_ADAPTER_WAIT
	atomic {
		if
		:: kind == DO_ATOMIC_ADAPTER && !not_awaited -> not_awaited = 1; goto done
		:: else
		fi
	}
#endif
	atomic {
		if
		:: kind == DO_ATOMIC -> atomic_writes(at_work_p)
		:: kind == DO_ATOMIC_ADAPTER -> atomic_writes(at_work_a)
		fi;
		goto done
	}
#endif

	/* The home's own store miss, in its own memory (R7). */
own_write:
	if
	:: grant != CLEAN || ANY_READER -> goto own_ask
	:: else
	fi;
	atomic { grant = EXCL; owner = HOME }
	atomic {
		if
#ifndef MUT_R7_CHECK
		:: ANY_READER -> grant = CLEAN; owner = NOBODY
#endif
		:: else -> arrived(HOME, M); goto done
		fi
	}
own_ask:
	atomic { ask_getm(HOME) }

done:
	atomic {
		kind = 0;
		src = 0;
		if
		:: own?kind -> goto dispatch
		:: (len(own) == 0)
		fi;
		EACH_OTHER(check_flag);
		busy = 0;
		goto idle
	}
}

#define HOME_FREE (!busy && (len(own) == 0))

proctype HomeApp()
{
	do
	:: atomic { st[HOME] == M && STORE_SHOWS(HOME) -> store(HOME) }
#ifdef PUSH
	:: atomic { HOME_FREE && pend[HOME] == 0 && def[HOME] == 0 && !whold[HOME] && st[HOME] == M ->
		push(HOME) }
#endif
#if defined(ATOMICS) && !defined(ADAPTER)
	:: atomic { st[HOME] == A && STORE_SHOWS(HOME) -> remote_atomic(HOME) }
#endif
#ifdef HOLDS
	:: atomic { HOME_FREE && pend[HOME] == 0 && HELD(HOME) -> let_go(HOME) }
#endif
	od
}

#define start(r) run App(r); run Agent(r); run Chain(r)

init
{
	atomic {
		cur[HOME] = 1;
		EACH_OTHER(start);
		run Home();
		run HomeApp()
	}
}

#ifdef LIVE
#define ASKED(r) (pend[r] > P_CHAIN)
#define READS(r) (pend[r] == P_CHAIN)
#define THERE(r) (pend[r] == 0)
/* Every request is answered; and so is every read miss, which need not be a request. */
ltl answered { [] (ASKED(1) -> <> THERE(1)) }
ltl answered_home { [] (ASKED(0) -> <> THERE(0)) }
ltl readable { [] (READS(1) -> <> THERE(1)) }
#endif
