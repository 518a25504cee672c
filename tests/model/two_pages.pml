/* SPDX-License-Identifier: MIT */
/*
 * Holds across pages: when can ranks that hold pages and ask for others wait for each other?
 *
 * Two pages with different homes; each rank acquires both for writing, one after the other as
 * dsm_acquire does, and releases both. The protocol of one page, which dsm.pml checks, is taken here as
 * what it amounts to: a page has one owner, requests queue at its home, a held page is not given up.
 *
 * In ascending order nobody waits for ever. OUT_OF_ORDER: rank 1 acquires the pages the other way
 * round in two calls, and a deadlock is possible: it is the application's, and the deadline of the
 * acquire ends it. MUT_AHEAD: pages asked for ahead were held as they come, instead of when their
 * turn is: then even ranges in ascending order deadlock.
 */
#define N      2
#define NOBODY N

byte owner[2] = NOBODY;
bit held[2];
bit wants[4];		/* rank * 2 + page: a request is in the home's queue */
chan queue0 = [N] of { byte };
chan queue1 = [N] of { byte };
bit inside;

inline request(r, page)
{
	if
	:: owner[page] == r || wants[r * 2 + page]
	:: else ->
		wants[r * 2 + page] = 1;
		if
		:: page == 0 -> queue0!r
		:: else -> queue1!r
		fi
	fi
}

/* The homes: the next in the queue gets the page as soon as it is not held. */
inline serve(page, queue, r)
{
	queue?r;
	owner[page] = r;
	wants[r * 2 + page] = 0;
#ifdef MUT_AHEAD
	held[page] = 1;
#endif
	r = 0
}

proctype Home(byte page)
{
	byte r;

	do
	:: atomic { page == 0 && !held[0] && len(queue0) > 0 -> serve(0, queue0, r) }
	:: atomic { page == 1 && !held[1] && len(queue1) > 0 -> serve(1, queue1, r) }
	od
}

inline acquire(r, page)
{
	/* A page that came and was recalled before it was held is asked for anew. */
	do
	:: atomic { owner[page] == r -> held[page] = 1; break }
	:: atomic { owner[page] != r && !wants[r * 2 + page] -> request(r, page) }
	od
}

proctype Rank(byte r)
{
	byte first;

#ifdef OUT_OF_ORDER
	first = r;
#endif
	do
	:: true ->
		/* A window is asked for at once, in any order of arrival. */
		if
		:: atomic { true -> request(r, 1 - first); request(r, first) }
		:: true
		fi;
		acquire(r, first);
		acquire(r, 1 - first);
		assert(!inside);
		inside = 1;
		inside = 0;
		atomic { held[0] = 0; held[1] = 0 }
	od
}

init
{
	atomic {
		run Rank(0);
		run Rank(1);
		run Home(0);
		run Home(1)
	}
}
