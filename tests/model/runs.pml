/* SPDX-License-Identifier: MIT */
/*
 * Write-backs of runs of pages: those that go home together do so by one write and one PutM, which
 * says how many they are. docs/protocol.md claims that it means what one for each of them would.
 *
 * A rank evicts and pushes runs of pages whose home uses them too, so that a run's pages may each be
 * recalled, asked for or left alone when its message comes. What dsm.pml checks in steps is one step
 * here: a read chain, and the home's work on a message. Not so the run's way home: its pages land one
 * by one, in any order, then the message is sent.
 *
 * Data is one bit a place, "is it the last store's?", as in dsm.pml.
 *
 * Switches: PAGES; LIVE: for the formulas; MUT_RUN_*: the home takes the FIRST page alone, takes what
 * has CROSSED a recall from it alone, or makes a reader of it alone (KEEPS); the rank fills a GAP with
 * pages that are not Modified, tells before it WRITEs, or FORBIDs stores to the first page alone.
 */
#ifndef PAGES
#define PAGES 2
#endif

mtype = { GETS, GETM, GETM_COPY, INVACK, WB, WB_KEEPS, WB_GONE, WB_GONE_KEEPS, PUTM, PUTM_KEEPS,
	  GRANTS, GRANTM, GRANTM_DATA, INV, FWDS, FWDM };

/* A right to a page; the grant. */
#define I 0
#define S 1
#define M 2

#define CLEAN	0
#define BUSY	1
#define BY_HOME 2 /* Exclusive */
#define BY_RANK 3

#define HOME 0
#define RANK 1

/* The rank, for each page */
byte st[PAGES];
bit pend[PAGES], reg[PAGES], unconfirmed[PAGES];
bit cur[PAGES];		/* its copy; slot: what the home has pushed */
bit slot[PAGES];

/* A write-back under way: pages that have not landed, and the message behind them. */
bit to_land[PAGES];
byte landing;		/* how many */
mtype behind;		/* 0: none */
byte first, more;

/* The home, for each page */
byte home_st[PAGES];
bit home_pend[PAGES];
bit home_cur[PAGES];	/* its memory */
byte grant[PAGES];
bit reader[PAGES], acked[PAGES] = 1, recalled[PAGES], have_data[PAGES], had_requester[PAGES];

chan to_home = [4 * PAGES] of { mtype, byte, byte }; /* kind, page, pages behind it */
chan to_rank = [2 * PAGES] of { mtype, byte };
chan queue[PAGES] = [2] of { mtype, byte };	     /* kind, who */

#define WAITING(p) (recalled[p] || !acked[p])

inline tell_home(m, p, n)
{
	assert(nfull(to_home));
	to_home!m,p,n
}

inline tell_rank(m, p)
{
	assert(nfull(to_rank));
	to_rank!m,p
}

/*
 * The rank
 */

inline rank_arrived(p, s)
{
	st[p] = s;
	pend[p] = 0;
	assert(home_st[p] != M && (s == S || home_st[p] == I));
	assert(cur[p])
}

/* Begin to send pages home: from now on nothing is written to them. */
inline send_home(p, n, m)
{
	first = p;
	more = n - 1;
	behind = m;
	landing = n;
	i = 0;
	do
	:: i < n -> to_land[p + i] = 1; i++
	:: else -> break
	od;
	i = 0
}

inline become(p, s)
{
	st[p] = s;
	reg[p] = (s == S);
	unconfirmed[p] = (s == S && behind == PUTM_KEEPS)
}

inline not_here(p, keep)
{
	if
	:: unconfirmed[p] && keep -> tell_home(WB_GONE_KEEPS, p, 0)
	:: else -> tell_home(WB_GONE, p, 0)
	fi;
	if
	:: unconfirmed[p] && !keep -> reg[p] = 0
	:: else
	fi;
	unconfirmed[p] = 0;
	if
	:: !keep && st[p] == S -> st[p] = I; cur[p] = 0
	:: else
	fi
}

inline on_rank(m, p)
{
	if
	:: m == INV ->
		assert(st[p] != M);
		st[p] = I;
		cur[p] = 0;
		reg[p] = 0;
		unconfirmed[p] = 0;
		tell_home(INVACK, p, 0)
	:: m == FWDS && st[p] == M -> send_home(p, 1, WB_KEEPS); become(p, S)
	:: m == FWDM && st[p] == M -> send_home(p, 1, WB); become(p, I)
	:: m == FWDS && st[p] != M -> not_here(p, true)
	:: m == FWDM && st[p] != M -> not_here(p, false)
	:: m == GRANTS -> reg[p] = 1; cur[p] = slot[p]; slot[p] = 0; rank_arrived(p, S)
	:: m == GRANTM || m == GRANTM_DATA ->
		assert(m == GRANTM_DATA || st[p] == S); /* R10 */
		reg[p] = 0;
		unconfirmed[p] = 0;
		if
		:: m == GRANTM_DATA -> cur[p] = slot[p]; slot[p] = 0
		:: else
		fi;
		rank_arrived(p, M)
	fi
}

/* Register, read the grant, read the page. */
inline chain(p)
{
	assert(reg[p] || !reader[p]);
	reader[p] = 1;
	reg[p] = 1;
	if
	:: grant[p] == CLEAN -> cur[p] = home_cur[p]; rank_arrived(p, S)
	:: else -> pend[p] = 1; tell_home(GETS, p, 0)
	fi
}

/* Nothing is under way; a page that goes is Modified, and nothing about it is pending. */
#define IDLE (behind == 0 && landing == 0)
#ifdef LIVE
#define MAY_USE(to) (len(to) == 0) /* who is told something listens first */
#else
#define MAY_USE(to) true
#endif
#define MAY_GO(p) (st[p] == M && !pend[p])
#ifdef MUT_RUN_GAP
#define MAY_GO_TOO(p) (!pend[p])
#else
#define MAY_GO_TOO(p) MAY_GO(p)
#endif

inline send_run(p, m, s)
{
	n = 1;
	do
	:: p + n < PAGES && MAY_GO_TOO(p + n) -> n++
	:: break
	od;
	send_home(p, n, m);
	i = 0;
	do
#ifdef MUT_RUN_FORBID
	:: i < n -> if
		    :: i == 0 -> become(p, s)
		    :: else
		    fi;
		i++
#else
	:: i < n -> become(p + i, s); i++
#endif
	:: i >= n -> break
	od;
	i = 0;
	n = 0
}

#define MAY_STORE(p) (st[p] == M && MAY_USE(to_rank) && (home_cur[p] || slot[p]))

inline store(p)
{
	assert(home_st[p] == I);
	assert(cur[p]);
	home_cur[p] = 0;
	slot[p] = 0
}

#ifdef MUT_RUN_WRITE
#define MAY_TELL true /* the message precedes what lands */
#else
#define MAY_TELL (landing == 0)
#endif

proctype Rank()
{
	byte i, n, p;
	mtype m;

	do
	:: atomic { landing > 0 ->
		if
		:: to_land[0] -> p = 0
		:: to_land[1] -> p = 1
#if PAGES == 3
		:: to_land[2] -> p = 2
#endif
		fi;
		to_land[p] = 0;
		landing--;
		home_cur[p] = cur[p];
		if
		:: st[p] == I -> cur[p] = 0
		:: else
		fi;
		p = 0 }
	:: atomic { behind != 0 && MAY_TELL ->
		tell_home(behind, first, more);
#ifdef MUT_RUN_FORBID
		do
		:: (behind == PUTM || behind == PUTM_KEEPS) && more > 0 ->
			become(first + more, (behind == PUTM -> I : S));
			more--
		:: else -> break
		od;
#endif
		behind = 0;
		first = 0;
		more = 0 }
	:: atomic { IDLE && len(to_rank) > 0 ->
		to_rank?m,p;
		on_rank(m, p);
		m = 0;
		p = 0 }
	:: atomic { IDLE && MAY_USE(to_rank) ->
		if
		:: p = 0
		:: p = 1
#if PAGES == 3
		:: p = 2
#endif
		fi;
		if
		:: !pend[p] && st[p] == I -> chain(p)
		:: !pend[p] && st[p] != M ->
			pend[p] = 1;
			tell_home((st[p] == S -> GETM_COPY : GETM), p, 0)
		:: !pend[p] && st[p] == S -> st[p] = I; cur[p] = 0
		:: MAY_GO(p) -> send_run(p, PUTM, I)
		:: MAY_GO(p) -> send_run(p, PUTM_KEEPS, S)
		:: else
		fi;
		p = 0 }
	:: atomic { MAY_STORE(0) -> store(0) }
	:: atomic { MAY_STORE(1) -> store(1) }
#if PAGES == 3
	:: atomic { MAY_STORE(2) -> store(2) }
#endif
	od
}

/*
 * The home
 */

inline home_arrived(p, s)
{
	home_st[p] = s;
	home_pend[p] = 0;
	assert(st[p] != M && (s == S || st[p] == I));
	assert(home_cur[p])
}

inline answer(p)
{
	queue[p]?kind,who;
	if
	:: kind == GETS && who == HOME -> grant[p] = CLEAN; home_arrived(p, S)
	:: kind == GETS && who == RANK ->
		grant[p] = CLEAN;
		reader[p] = 1;
		slot[p] = home_cur[p];
		tell_rank(GRANTS, p)
	:: kind != GETS && who == HOME -> grant[p] = BY_HOME; home_arrived(p, M)
	:: kind == GETM_COPY && who == RANK && had_requester[p] ->
		grant[p] = BY_RANK;
		tell_rank(GRANTM, p)
	:: else ->
		grant[p] = BY_RANK;
		slot[p] = home_cur[p];
		tell_rank(GRANTM_DATA, p)
	fi;
	had_requester[p] = 0
}

inline ask_readers(p)
{
	if
	:: reader[p] && who == RANK -> had_requester[p] = 1
	:: reader[p] && who == HOME -> acked[p] = 0; tell_rank(INV, p)
	:: else
	fi;
	reader[p] = 0;
	if
	:: home_st[p] == S && who == RANK -> home_st[p] = I
	:: else
	fi
}

inline ask_owner(p)
{
	if
	:: grant[p] == BY_RANK ->
		assert(who == HOME);
		recalled[p] = 1;
		tell_rank((kind == GETS -> FWDS : FWDM), p)
	:: grant[p] == BY_HOME -> home_st[p] = (kind == GETS -> S : I)
	:: else
	fi
}

inline serve(p)
{
	do
	:: WAITING(p) || len(queue[p]) == 0 -> break
	:: else ->
		queue[p]?<kind,who>;
		if
		:: kind == GETS && grant[p] == CLEAN
		:: kind == GETS && grant[p] != CLEAN -> ask_owner(p); grant[p] = BUSY
		:: else -> ask_readers(p); ask_owner(p); grant[p] = BUSY
		fi;
		if
		:: !WAITING(p) -> answer(p)
		:: else
		fi
	od
}

inline response(p)
{
	if
	:: !WAITING(p) -> answer(p); serve(p)
	:: else
	fi
}

/* MUT: the home looks at the first page alone, in one way or another. */
#ifdef MUT_RUN_CROSSED
#define CROSSED(p) recalled[page]
#else
#define CROSSED(p) recalled[p]
#endif
#ifdef MUT_RUN_KEEPS
#define KEEPS(p, m) (m == PUTM_KEEPS && p == page)
#else
#define KEEPS(p, m) (m == PUTM_KEEPS)
#endif
#ifdef MUT_RUN_FIRST
#define LAST page
#else
#define LAST (page + behind_it)
#endif

/* What a PutM means for one page. */
inline put(p, m)
{
	if
	:: CROSSED(p) -> have_data[p] = 1 /* R6: the answer to the recall follows */
	:: else ->
		assert(!WAITING(p) && grant[p] == BY_RANK);
		if
		:: KEEPS(p, m) -> reader[p] = 1 /* R9 */
		:: else
		fi;
		grant[p] = CLEAN
	fi
}

inline on_putm(m)
{
	at = page;
	do
	:: at <= LAST -> put(at, m); at++
	:: else -> break
	od;
	at = 0
}

/* A flag goes with its bit where nothing about it is on its way. */
#define AT_REST(p) (behind == 0 && landing == 0 && len(to_home) == 0 && len(to_rank) == 0 && !pend[p])
#ifdef FLAG_UNCHECKED
#define check_flag(p) skip
#else
#define check_flag(p) assert(!AT_REST(p) || reg[p] == reader[p])
#endif

proctype Home()
{
	mtype m, kind;
	byte page, behind_it, who, at;

	do
	:: atomic { len(to_home) > 0 ->
		to_home?m,page,behind_it;
		if
		:: m == GETS || m == GETM || m == GETM_COPY ->
			queue[page]!m,RANK;
			serve(page)
		:: m == INVACK -> acked[page] = 1; response(page)
		:: m == PUTM || m == PUTM_KEEPS -> on_putm(m)
		:: else ->
			assert(recalled[page]);
			assert(have_data[page] || (m != WB_GONE && m != WB_GONE_KEEPS)); /* R6 */
			if
			:: m == WB_KEEPS || m == WB_GONE_KEEPS -> reader[page] = 1 /* R9 */
			:: else
			fi;
			recalled[page] = 0;
			have_data[page] = 0;
			response(page)
		fi;
		check_flag(page);
		m = 0;
		kind = 0;
		page = 0;
		behind_it = 0;
		who = 0 }
	:: atomic { MAY_USE(to_home) ->
		if
		:: page = 0
		:: page = 1
#if PAGES == 3
		:: page = 2
#endif
		fi;
		if
		:: !home_pend[page] && home_st[page] == I ->
			if
			:: grant[page] == CLEAN -> home_arrived(page, S)
			:: else -> home_pend[page] = 1; queue[page]!GETS,HOME; serve(page)
			fi
		:: !home_pend[page] && home_st[page] != M ->
			if
			:: grant[page] == CLEAN && !reader[page] -> grant[page] = BY_HOME; home_arrived(page, M)
			:: else -> home_pend[page] = 1; queue[page]!GETM,HOME; serve(page)
			fi
		:: home_st[page] == M && (cur[page] || slot[page]) ->
			assert(st[page] == I);
			cur[page] = 0;
			slot[page] = 0
		:: else
		fi;
		kind = 0;
		page = 0;
		who = 0 }
	od
}

init
{
	atomic {
		home_cur[0] = 1;
		home_cur[1] = 1;
#if PAGES == 3
		home_cur[2] = 1;
#endif
		run Rank();
		run Home()
	}
}

#ifdef LIVE
ltl answered { [] (pend[1] -> <> !pend[1]) }
ltl answered_home { [] (home_pend[1] -> <> !home_pend[1]) }
#endif
