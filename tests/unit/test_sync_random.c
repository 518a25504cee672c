/* SPDX-License-Identifier: MIT */
/*
 * Random programs: every rank has threads that lock, try, wait with a time limit, post, signal and
 * meet at barriers, with every interleaving of messages and with deaths. The model below is what a
 * program could see; each check is made when it could first fail.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync_net.h"

#define THREADS 3u /* of a rank; the first one goes to barriers, too */
#define KEYS    3u

#define NO_SEED (~0ull)

/* Of the random program that runs; printed when it fails. SYNC_TEST_SEED runs
 * one alone, SYNC_TEST_RUNS so many. */
static uint64_t current_seed = NO_SEED;

enum op {
	OP_IDLE,
	OP_LOCK,
	OP_TRY,
	OP_SEM_WAIT,
	OP_SEM_TRY,
	OP_SEM_POST,
	OP_COND,
	OP_SIGNAL,
	OP_BARRIER
};

struct thread {
	struct sync_wait w;
	unsigned rank;
	enum op op;
	unsigned key; /* index of the object */
	int holds; /* index of the lock held, or -1 */
	bool cancelled;
	bool saw_taken; /* a try: the lock was taken or claimed at some time since it began */
	uint64_t arrived; /* at the lock's home, 0: never */
	uint64_t signals; /* model.signals when the wait on a condition began */
};

struct model {
	struct net *net;
	struct thread *thread;
	unsigned nthreads;
	bool deaths, cancels;
	unsigned ndead;
	uint64_t lock[KEYS], sem[KEYS], cond[KEYS];
	struct thread *owner[KEYS];
	bool owner_died[KEYS];
	uint64_t arrivals[KEYS], granted[KEYS];
	int64_t units[KEYS];
	uint64_t signals[KEYS]; /* and broadcasts, to cond[k] */
	int64_t sleeping[KEYS]; /* waits on cond[k] that nobody signalled */
	bool abandoned[KEYS]; /* a wait for lock[k]: it stands in the queue for a while */
	uint64_t grants, timeouts, busy, downs;
};

static bool claims_lock(const struct thread *t, unsigned k)
{
	return t->op == OP_LOCK && t->key == k;
}

/* A try that is under way now has an excuse. */
static void model_taken(struct model *m, unsigned k)
{
	for (unsigned i = 0; i < m->nthreads; i++)
		if (m->thread[i].op == OP_TRY && m->thread[i].key == k)
			m->thread[i].saw_taken = true;
}

static bool model_is_taken(struct model *m, unsigned k)
{
	bool taken = m->owner[k];

	for (unsigned i = 0; i < m->nthreads; i++)
		taken |= claims_lock(&m->thread[i], k);
	return taken;
}

static void model_own(struct model *m, struct thread *t)
{
	struct thread *o = m->owner[t->key];

	/* A thread in a condition's wait has let go once it is known to be queued. */
	assert_false(m->owner_died[t->key]);
	if (o)
		assert_true(o->op == OP_COND && o->w.kind != WAIT_COND_ENTERING);
	if (t->arrived) {
		assert_true(t->arrived > m->granted[t->key]);
		m->granted[t->key] = t->arrived;
	}
	m->owner[t->key] = t;
	t->holds = (int)t->key;
	model_taken(m, t->key);
	m->grants++;
}

static void model_barrier_passed(struct model *m, struct thread *t)
{
	uint64_t epoch = m->net->s[t->rank]->barrier.epoch;

	for (unsigned r = 0; r < m->net->n; r++) {
		const struct barrier *b = &m->net->s[r]->barrier;

		/* A barrier that failed forgets whether this rank had come. */
		if (b->blame == WIRE_NO_RANK)
			assert_true(b->epoch + b->active >= epoch);
	}
}

static void model_failed(struct model *m, struct thread *t, int result)
{
	switch (result) {
	case -EHOSTDOWN:
		assert_true(t->w.blame < m->net->n);
		assert_false(m->net->alive[t->w.blame]);
		m->downs++;
		break;
	case -ETIMEDOUT:
		assert_true(t->cancelled);
		m->timeouts++;
		break;
	case -EBUSY:
		assert_int_equal(t->op, OP_TRY);
		if (!m->deaths && !m->abandoned[t->key])
			assert_true(t->saw_taken);
		m->busy++;
		break;
	default:
		assert_int_equal(result, -EAGAIN);
		assert_int_equal(t->op, OP_SEM_TRY);
	}
}

/* A thread's call has come to its end. */
static void model_ended(struct model *m, struct thread *t, int result)
{
	enum op op = t->op;

	assert_true(m->net->alive[t->rank]);
	assert_int_not_equal(op, OP_IDLE);
	if (op == OP_COND && m->owner[t->key] == t)
		m->owner[t->key] = NULL;
	if (result)
		model_failed(m, t, result);
	else if (op == OP_LOCK || op == OP_TRY)
		model_own(m, t);
	else if (op == OP_SEM_WAIT || op == OP_SEM_TRY)
		m->units[t->key]--;
	else if (op == OP_SEM_POST)
		m->units[t->key]++;
	else if (op == OP_BARRIER)
		model_barrier_passed(m, t);
	else if (op == OP_COND && !m->cancels && !m->deaths)
		assert_true(m->signals[t->key] > t->signals); /* not by one of before */
	t->op = OP_IDLE;
}

static void model_wake(struct net *net, struct sync_wait *w)
{
	struct thread *t = caa_container_of(w, struct thread, w);

	model_ended(net->ctx, t, w->result);
}

/* Note the order in which requests arrive at the lock's home. */
static void model_deliver(struct net *net, unsigned to, const struct msg *msg)
{
	struct model *m = net->ctx;

	(void)to;
	if (msg->kind != MSG_LOCK_GET)
		return;
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (t->rank == msg->src && t->w.id == msg->word[0] &&
		    (t->op == OP_LOCK || t->op == OP_TRY))
			t->arrived = ++m->arrivals[t->key];
	}
}

static void thread_begin(struct thread *t, enum op op, unsigned key)
{
	t->op = op;
	t->key = key;
	t->cancelled = false;
	t->saw_taken = false;
	t->arrived = 0;
	t->w.kind = WAIT_NONE;
	t->w.id = 0;
}

static void thread_lock(struct model *m, struct thread *t, unsigned k, bool try_only)
{
	bool taken = model_is_taken(m, k);
	int rc;

	thread_begin(t, try_only ? OP_TRY : OP_LOCK, k);
	t->saw_taken = taken;
	if (!try_only)
		model_taken(m, k);
	rc = sync_lock(m->net->s[t->rank], m->lock[k], &t->w, try_only);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_sem(struct model *m, struct thread *t, enum op op, unsigned k)
{
	struct sync *s = m->net->s[t->rank];
	int rc;

	thread_begin(t, op, k);
	if (op == OP_SEM_POST)
		rc = sync_sem_post(s, m->sem[k], &t->w);
	else
		rc = sync_sem_wait(s, m->sem[k], &t->w, op == OP_SEM_TRY);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_barrier(struct model *m, struct thread *t)
{
	int rc;

	thread_begin(t, OP_BARRIER, 0);
	rc = sync_barrier(m->net->s[t->rank], &t->w, false);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_idle(struct model *m, struct thread *t)
{
	unsigned k = draw(m->net, KEYS);

	switch (draw(m->net, 12)) {
	case 0:
		thread_sem(m, t, OP_SEM_WAIT, k);
		break;
	case 1:
		thread_sem(m, t, OP_SEM_TRY, k);
		break;
	case 2:
	case 3:
		thread_sem(m, t, OP_SEM_POST, k);
		break;
	case 4:
	case 5:
		if ((t - m->thread) % THREADS == 0)
			thread_barrier(m, t);
		break;
	case 6:
	case 7:
		thread_lock(m, t, k, true);
		break;
	default:
		thread_lock(m, t, k, false);
	}
}

static void thread_cond_wait(struct model *m, struct thread *t, unsigned k)
{
	int rc;

	thread_begin(t, OP_COND, k);
	t->holds = -1;
	m->sleeping[k]++;
	t->signals = m->signals[k];
	rc = sync_cond_wait(m->net->s[t->rank], m->cond[k], m->lock[k], &t->w);
	if (rc != 1)
		model_ended(m, t, rc);
}

/* The lock is held until the signal is done, so no other thread begins to wait meanwhile. */
static void thread_signal(struct model *m, struct thread *t, unsigned k, bool all)
{
	int rc;

	thread_begin(t, OP_SIGNAL, k);
	m->signals[k]++;
	m->sleeping[k] = all ? 0 : m->sleeping[k] - 1;
	rc = sync_cond_signal(m->net->s[t->rank], m->cond[k], all, &t->w);
	if (rc != 1)
		model_ended(m, t, rc);
}

static void thread_holds(struct model *m, struct thread *t, bool more)
{
	struct sync *s = m->net->s[t->rank];
	unsigned k = (unsigned)t->holds, what = draw(m->net, 8);

	if (more && what == 0) {
		thread_cond_wait(m, t, k);
		return;
	}
	if (m->sleeping[k] > 0 && what < 4) {
		thread_signal(m, t, k, what == 1);
		return;
	}
	t->holds = -1;
	m->owner[k] = NULL;
	assert_int_equal(sync_unlock(s, m->lock[k]), 0);
}

static void thread_cancel(struct model *m, struct thread *t)
{
	bool posted = t->op == OP_SEM_POST && t->cancelled;

	t->cancelled = true;
	if (sync_cancel(m->net->s[t->rank], &t->w) == 1)
		return;
	if (posted)
		m->units[t->key]++;
	if (t->op == OP_LOCK && t->w.id)
		m->abandoned[t->key] = true;
	model_ended(m, t, t->w.result);
	memset(&t->w, 0xee, sizeof(t->w));
}

static void model_step_thread(struct model *m)
{
	struct thread *t = &m->thread[draw(m->net, m->nthreads)];

	if (!m->net->alive[t->rank])
		return;
	if (t->op != OP_IDLE) {
		if (m->cancels && !draw(m->net, t->cancelled ? 60 : 12))
			thread_cancel(m, t);
	} else if (t->holds >= 0) {
		thread_holds(m, t, true);
	} else {
		thread_idle(m, t);
	}
	net_self(m->net, t->rank);
}

static void model_kill(struct model *m)
{
	unsigned rank = draw(m->net, m->net->n);

	if (!m->net->alive[rank] || m->ndead + 1 >= m->net->n)
		return;
	m->ndead++;
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (t->rank == rank && t->holds >= 0)
			m->owner_died[t->holds] = true;
		if (t->rank == rank && m->owner[t->key] == t)
			m->owner[t->key] = NULL;
		if (t->rank == rank)
			t->op = OP_IDLE;
	}
	net_kill(m->net, rank, true);
}

/* No more calls but unlocks: everything that depends on these alone ends. */
static void model_drain(struct model *m)
{
	bool some;

	do {
		some = false;
		net_run(m->net);
		for (unsigned i = 0; i < m->nthreads; i++) {
			struct thread *t = &m->thread[i];

			if (!m->net->alive[t->rank] || t->holds < 0)
				continue;
			thread_holds(m, t, false);
			some = true;
		}
	} while (some);
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (m->net->alive[t->rank])
			assert_true(t->op == OP_IDLE || t->op == OP_SEM_WAIT || t->op == OP_COND ||
				    t->op == OP_BARRIER);
	}
}

/* A signal that found a sleeper woke one, no more and no less; a broadcast all that slept then. */
static void model_check_sleepers(struct model *m)
{
	for (unsigned k = 0; k < KEYS; k++) {
		int64_t n = 0;

		for (unsigned i = 0; i < m->nthreads; i++)
			n += m->thread[i].op == OP_COND && m->thread[i].key == k;
		assert_int_equal(n, m->sleeping[k]);
	}
}

/* What still waits for a post, a signal or a barrier: it can give up. */
static void model_give_up(struct model *m)
{
	for (unsigned i = 0; i < m->nthreads; i++) {
		struct thread *t = &m->thread[i];

		if (!m->net->alive[t->rank] || t->op == OP_IDLE)
			continue;
		if (!t->cancelled)
			thread_cancel(m, t);
		net_run(m->net);
		assert_int_equal(t->op, OP_IDLE);
	}
	for (unsigned i = 0; i < m->nthreads; i++)
		assert_true(!m->net->alive[m->thread[i].rank] || m->thread[i].holds < 0);
}

static void model_check_units(struct model *m, unsigned k)
{
	struct sync *home = m->net->s[sync_home(m->net->s[0], m->sem[k])];
	struct queue *q = (struct queue *)object_find(home, m->sem[k], OBJECT_SEM);

	assert_int_equal(q ? q->value : 0, m->units[k]);
}

static void model_check_token(struct model *m, unsigned k)
{
	unsigned tokens = 0, used = 0;

	for (unsigned r = 0; r < m->net->n; r++) {
		struct lock *l = (struct lock *)object_find(m->net->s[r], m->lock[k], OBJECT_LOCK);

		if (!l)
			continue;
		used++;
		tokens += l->token;
		assert_false(l->held);
		assert_int_equal(l->asked, 0);
		assert_int_equal(l->next_rank, WIRE_NO_RANK);
	}
	assert_int_equal(tokens, used > 0);
}

static void model_check_rest(struct model *m)
{
	for (unsigned r = 0; r < m->net->n; r++) {
		struct sync *s = m->net->s[r];

		if (!m->net->alive[r])
			continue;
		assert_int_equal(s->entries.in_use, 0);
		assert_int_equal(s->objects.in_use, s->table.nobjects);
		for (unsigned i = 0; i < WAIT_BUCKETS; i++)
			assert_true(cds_list_empty(&s->waits[i]));
		for (unsigned k = 0; k < KEYS; k++)
			assert_null(object_find(s, m->cond[k], OBJECT_COND));
	}
	for (unsigned k = 0; k < KEYS && !m->ndead; k++) {
		model_check_units(m, k);
		model_check_token(m, k);
	}
}

static void model_init(struct model *m, uint64_t seed, bool cancels, bool deaths)
{
	unsigned n = 1 + (unsigned)(seed % 7);

	memset(m, 0, sizeof(*m));
	m->net = net_create(n, seed * 2654435761u + 12345);
	m->net->ctx = m;
	m->net->on_wake = model_wake;
	m->net->on_deliver = model_deliver;
	m->cancels = cancels;
	m->deaths = deaths;
	m->nthreads = n * THREADS;
	m->thread = calloc(m->nthreads, sizeof(*m->thread));
	assert_non_null(m->thread);
	for (unsigned i = 0; i < m->nthreads; i++) {
		m->thread[i].rank = i / THREADS;
		m->thread[i].holds = -1;
	}
	/* Three names, of the same value for all kinds now and then. */
	for (unsigned k = 0; k < KEYS; k++) {
		m->lock[k] = draw(m->net, 1000) * KEYS + k;
		m->sem[k] = draw(m->net, 2) ? m->lock[k] : draw(m->net, 1000) * KEYS + k;
		m->cond[k] = draw(m->net, 2) ? m->lock[k] : draw(m->net, 1000) * KEYS + k;
	}
}

static void model_run(struct model *m, unsigned steps)
{
	/* From a slow network to a fast one. */
	unsigned pace = 1 + draw(m->net, 8);

	for (unsigned i = 0; i < steps; i++) {
		if (draw(m->net, 10) < pace)
			net_step(m->net);
		else
			model_step_thread(m);
		if (m->deaths && !draw(m->net, steps / 2))
			model_kill(m);
	}
	model_drain(m);
	if (!m->cancels && !m->deaths)
		model_check_sleepers(m);
	model_give_up(m);
	model_check_rest(m);
}

static void random_programs(bool cancels, bool deaths)
{
	unsigned runs = RUNNING_ON_VALGRIND ? 60 : 1500;
	const char *only = getenv("SYNC_TEST_SEED"), *more = getenv("SYNC_TEST_RUNS");
	uint64_t grants = 0, timeouts = 0, busy = 0, downs = 0;
	struct model m;

	if (more)
		runs = (unsigned)strtoul(more, NULL, 0);
	for (unsigned i = 0; i < runs; i++) {
		uint64_t seed = only ? strtoull(only, NULL, 0) : i;

		current_seed = seed;
		model_init(&m, seed, cancels, deaths);
		model_run(&m, 2000);
		grants += m.grants;
		timeouts += m.timeouts;
		busy += m.busy;
		downs += m.downs;
		free(m.thread);
		net_destroy(m.net);
		if (only)
			break;
	}
	current_seed = NO_SEED;
	print_message("%llu grants, %llu timed out, %llu busy, %llu host down\n",
		      (unsigned long long)grants, (unsigned long long)timeouts,
		      (unsigned long long)busy, (unsigned long long)downs);
	assert_true(only || (grants && busy && timeouts && !downs == !deaths));
}

static void sync__random(void **state)
{
	(void)state;
	random_programs(false, false);
}

static void sync__random_cancels(void **state)
{
	(void)state;
	random_programs(true, false);
}

static void sync__random_deaths(void **state)
{
	(void)state;
	random_programs(false, true);
}

static void sync__random_cancels_and_deaths(void **state)
{
	(void)state;
	random_programs(true, true);
}

/* What a failed assertion leaves unsaid. */
static int print_seed(void **state)
{
	(void)state;
	if (current_seed != NO_SEED)
		print_message("SYNC_TEST_SEED=%llu\n", (unsigned long long)current_seed);
	current_seed = NO_SEED;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sync__random, print_seed),
		cmocka_unit_test_teardown(sync__random_cancels, print_seed),
		cmocka_unit_test_teardown(sync__random_deaths, print_seed),
		cmocka_unit_test_teardown(sync__random_cancels_and_deaths, print_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
