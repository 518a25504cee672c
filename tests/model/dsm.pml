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
 * Switches: N; EVICT, PUSH, ATOMICS, HOLDS, AHEAD: what ranks do beside loads and stores; LIVE: the
 * home looks at its senders in turn; MUT_*: the protocol without one of its rules,
 * and with it FLAG_UNCHECKED: let what follows from a wrong flag show.
 */
#ifndef N
#define N 2
#endif
#define HOME   0
#define NOBODY N

/* To the home; to a rank. What is a flag of the message in the library is part of the name here. */
mtype = { GETS, GETM, GETM_COPY, GETM_FREE, GETA, INVACK, WB, WB_KEEPS, WB_GONE, WB_GONE_KEEPS,
	  PUTM, PUTM_KEEPS, GRANTS, GRANTM, GRANTM_DATA, GRANTA, AGAIN, INV, FWDS, FWDM };

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
#define CARRY_FREE(r)	  (readers[r] == 0)

/* The flag goes with the bit, both ways, where nothing about it is on its way. */
#define AT_REST(r) (pend[r] == 0 && !unconfirmed[r] && wb[r] == 0 && def[r] == 0 && \
		    (len(to_rank[r]) == 0) && (len(to_home[r]) == 0))
#ifdef FLAG_UNCHECKED
#define check_flag(r) skip
#else
#define check_flag(r) assert(!AT_REST(r) || reg[r] == readers[r])
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
	stored(r);
}

inline remote_atomic(r)
{
	assert(NO_COPY(r));
	assert(COPY_CURRENT(HOME));
	stored(HOME);
}

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

inline arrived(r, s)
{
	pend[r] = 0;
	demanded[r] = 0;
	st[r] = s;
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
	:: s != A -> fresh[r] = 1
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

inline obey_inv(r)
{
	no_copy(r);
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
	:: (recall == INV -> st[r] == S : st[r] == M) && !MAY_OBEY(r, recall) ->
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
	:: m == GRANTA ->
		assert(pend[r] == P_GETA);
		reg[r] = 1;
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

proctype Agent(byte r)
{
	mtype m;

	do
	:: atomic { wb[r] != 0 && !written[r] ->
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
	:: atomic { wb[r] == 0 && (len(to_rank[r]) > 0) ->
		to_rank[r]?m;
		on_message(r, m);
		m = 0 }
	od
}

proctype Chain(byte r)
{
	do
	:: atomic { chain[r] == C_ADD ->
		assert(CARRY_FREE(r));
		readers[r]++;
		chain[r] = C_GRANT }
	:: atomic { chain[r] == C_GRANT ->
		saw_clean[r] = (grant == CLEAN);
		/* Data read behind any other grant is thrown away: not read here. */
		chain[r] = (grant == CLEAN -> C_DATA : C_DONE) }
	:: atomic { chain[r] == C_DATA -> buf[r] = cur[HOME]; chain[r] = C_DONE }
	:: atomic { chain[r] == C_DONE -> chain_finish(r) }
	od
}

#define IDLE(r) (pend[r] == 0 && wb[r] == 0)
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
	:: atomic { st[r] == A && STORE_SHOWS(HOME) -> remote_atomic(r) }
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
	:: r != HOME -> readers[r] = 1
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

inline grant_atomic(r)
{
	grant = ATOMIC;
	reader_add(r);
	give(r, GRANTA, A)
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

#define take(r) \
	if \
	:: readers[r] && r == src -> had_requester = 1 \
	:: readers[r] && r != src -> invalidate(r) \
	:: else \
	fi
#define clear(r) readers[r] = 0

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
#ifndef MUT_R2
		EACH_OTHER(clear)
#endif
	fi
}

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
#define OTHERS_READ(r) ((r) != 1 && readers[1])
#define ANY_READER     (readers[1])
#define ALL_QUIET      (len(to_home[1]) == 0)
#define OTHER_QUIET(r) true
#else
#define OTHERS_READ(r) (((r) != 1 && readers[1]) || ((r) != 2 && readers[2]))
#define ANY_READER     (readers[1] || readers[2])
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
		:: (len(own) == 0) && TURN(1) && (len(to_home[1]) > 0) && TAKES(1) ->
			to_home[1]?kind; src = 1; listened(1)
#if N == 3
		:: (len(own) == 0) && TURN(2) && (len(to_home[2]) > 0) && TAKES(2) ->
			to_home[2]?kind; src = 2; listened(2)
#endif
		:: AT_IDLE && (st[HOME] == I || st[HOME] == A) ->
			own_access;
			st[HOME] = I;
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
		:: kind == GETA && grant == ATOMIC -> queue?kind,src; grant_atomic(src); goto serve
		:: kind == GETM_FREE && !FREE_FOR(src) -> queue?kind,src; give(src, AGAIN, I); goto serve
		:: else
		fi
	}
#ifdef MUT_R1
	atomic { ask_readers(); ask_owner() }
	grant = BUSY;
#else
	grant = BUSY;
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
		:: kind == GETA -> had_requester = 0; grant_atomic(src); goto serve
		:: else -> grant_modified(src, kind); goto serve
		fi
	}
	atomic { had_requester = 0; grant_shared(src); goto serve }

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
#ifdef ATOMICS
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
