/* SPDX-License-Identifier: MIT */
/*
 * Launch by PMIx: mpirun and srun --mpi=pmix start the ranks and run a server on each host; libpmix
 * reaches it, no MPI library is needed. A program that uses MPI as well shares this process's PMIx
 * client with it: PMIx_Init() and PMIx_Finalize() count.
 *
 * Each rank puts one value, its card behind a header; a fence carries all values to all hosts; each
 * rank gets them. All PMIx operations that wait for others are non-blocking ones, awaited in
 * batch_wait() until the deadline. The state of that is static, since a callback may come after the
 * deadline, when nobody waits any more: the cookie's generation tells it so.
 *
 * The client, once up, stays until the process exits: Open MPI's MPI_Init() fails in a process that
 * has left PMIx, and a program may call it after dsm_fini(). A process that exits inside a cluster
 * leaves PMIx open, by which the launcher sees that it failed.
 *
 * The fence is one of all ranks, as MPI_Init()'s: every rank must call dsm_init() and MPI_Init() in
 * the same order.
 *
 * Lock order: batch.lock is innermost; PMIx is never called with it held.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pmix.h>

#include "error.h"
#include "launch.h"
#include "log.h"
#include "stats.h"
#include "wire.h"

#define PMIX_CARD_MAGIC 0x504d5344u /* "DSMP" */

/* How long to ask for cards after the deadline, only to name the ranks whose cards are missing. */
#define NAMING_NS 500000000ull

/* The value that a rank puts. The first 8 bytes are the same in every version. */
struct pmix_card {
	uint32_t magic;
	uint32_t version; /* WIRE_VERSION */
	uint32_t card_bytes;
	uint32_t pad;
	char token[CONFIG_TOKEN_MAX]; /* rank 0: the job's; others: as given, or empty */
	char pad_token[7];
	uint8_t card[LAUNCH_CARD_MAX]; /* card_bytes of it are put */
};
static_assert(offsetof(struct pmix_card, card) == 88, "card layout");

struct launch_pmix {
	struct launch l;
	pmix_proc_t proc;
	char key[32];
};

/* A number of PMIx operations that were started together and are awaited together. */
static struct batch {
	pthread_mutex_t lock;
	pthread_cond_t progress;
	uint64_t generation; /* of the cookies; another one's callbacks are late */
	unsigned pending;
	pmix_status_t status; /* the first failure */
	struct rankset arrived; /* ranks whose value is in values[] */
	struct pmix_card *values;
	size_t *value_bytes;
} batch = { .lock = PTHREAD_MUTEX_INITIALIZER, .progress = PTHREAD_COND_INITIALIZER };

static unsigned launches; /* created and not destroyed */
static pid_t client_pid;

static void *batch_cookie(uint64_t generation, unsigned rank)
{
	return (void *)(uintptr_t)(generation << 16 | rank);
}

/* Start a batch of n operations; returns its generation. */
static uint64_t batch_begin(unsigned n, struct pmix_card *values, size_t *value_bytes)
{
	uint64_t generation;

	pthread_mutex_lock(&batch.lock);
	generation = ++batch.generation;
	batch.pending = n;
	batch.status = PMIX_SUCCESS;
	batch.values = values;
	batch.value_bytes = value_bytes;
	rankset_clear(&batch.arrived);
	pthread_mutex_unlock(&batch.lock);
	return generation;
}

/* With batch.lock held. */
static pmix_status_t batch_store(unsigned rank, const pmix_value_t *value)
{
	const pmix_byte_object_t *bo = &value->data.bo;

	if (value->type != PMIX_BYTE_OBJECT || !bo->bytes || bo->size > sizeof(*batch.values))
		return PMIX_ERR_TYPE_MISMATCH;
	memcpy(&batch.values[rank], bo->bytes, bo->size);
	batch.value_bytes[rank] = bo->size;
	rankset_add(&batch.arrived, rank);
	return PMIX_SUCCESS;
}

/* One operation ended. Any thread, also PMIx's own. */
static void batch_end_one(void *cookie, pmix_status_t status, const pmix_value_t *value)
{
	uint64_t generation = (uintptr_t)cookie >> 16;
	unsigned rank = (uintptr_t)cookie & 0xffff;

	pthread_mutex_lock(&batch.lock);
	if (generation == batch.generation && batch.pending) {
		if (status == PMIX_SUCCESS && value)
			status = batch_store(rank, value);
		if (batch.status == PMIX_SUCCESS)
			batch.status = status;
		batch.pending--;
		pthread_cond_signal(&batch.progress);
	}
	pthread_mutex_unlock(&batch.lock);
}

static void fence_done(pmix_status_t status, void *cookie)
{
	batch_end_one(cookie, status, NULL);
}

static void get_done(pmix_status_t status, pmix_value_t *value, void *cookie)
{
	batch_end_one(cookie, status, value);
}

/* clock_ns() + left_ns on the clock that pthread_cond_clockwait() is given. */
static struct timespec monotonic_after(uint64_t left_ns)
{
	struct timespec ts;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = (uint64_t)ts.tv_nsec + left_ns;
	ts.tv_sec += (time_t)(ns / 1000000000);
	ts.tv_nsec = (long)(ns % 1000000000);
	return ts;
}

/* Wait until all have ended, and say which ranks' values came. The batch is over then. */
static pmix_status_t batch_wait(uint64_t deadline_ns, struct rankset *arrived)
{
	pmix_status_t status;
	uint64_t now_ns;

	pthread_mutex_lock(&batch.lock);
	while (batch.pending && (now_ns = clock_ns()) < deadline_ns) {
		struct timespec ts = monotonic_after(deadline_ns - now_ns);

		pthread_cond_clockwait(&batch.progress, &batch.lock, CLOCK_MONOTONIC, &ts);
	}
	status = batch.pending ? PMIX_ERR_TIMEOUT : batch.status;
	*arrived = batch.arrived;
	batch.generation++;
	batch.pending = 0;
	batch.values = NULL;
	pthread_mutex_unlock(&batch.lock);
	return status;
}

/* Whole seconds for PMIX_TIMEOUT, so that the server forgets what is no longer awaited here. */
static int timeout_s(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_ns();

	return deadline_ns > now_ns ? (int)((deadline_ns - now_ns) / 1000000000) + 1 : 1;
}

static int pmix_failed(const char *what, pmix_status_t status)
{
	int err = status == PMIX_ERR_NOMEM ? ENOMEM : EHOSTDOWN;

	return error_set(err,
			 "%s failed: %s (PMIx %d). A rank may have died, or the launcher's server "
			 "on this host",
			 what, PMIx_Error_string(status), status);
}

static pmix_status_t fence(uint64_t deadline_ns)
{
	uint64_t generation = batch_begin(1, NULL, NULL);
	void *cookie = batch_cookie(generation, 0);
	int seconds = timeout_s(deadline_ns);
	bool collect = true;
	struct rankset none;
	pmix_status_t status;
	pmix_info_t info[2];

	PMIX_INFO_LOAD(&info[0], PMIX_COLLECT_DATA, &collect, PMIX_BOOL);
	PMIX_INFO_LOAD(&info[1], PMIX_TIMEOUT, &seconds, PMIX_INT);
	status = PMIx_Fence_nb(NULL, 0, info, 2, fence_done, cookie);
	if (status != PMIX_SUCCESS)
		batch_end_one(cookie, status == PMIX_OPERATION_SUCCEEDED ? PMIX_SUCCESS : status,
			      NULL);
	return batch_wait(deadline_ns, &none);
}

/* Get every rank's value; *arrived: whose came. */
static pmix_status_t get_all(struct launch_pmix *p, struct pmix_card *values, size_t *value_bytes,
			     uint64_t deadline_ns, struct rankset *arrived)
{
	uint64_t generation = batch_begin(p->l.size, values, value_bytes);
	int seconds = timeout_s(deadline_ns);
	pmix_status_t status;
	pmix_proc_t proc = p->proc;
	pmix_info_t info;

	PMIX_INFO_LOAD(&info, PMIX_TIMEOUT, &seconds, PMIX_INT);
	for (unsigned r = 0; r < p->l.size; r++) {
		proc.rank = r;
		status =
			PMIx_Get_nb(&proc, p->key, &info, 1, get_done, batch_cookie(generation, r));
		if (status != PMIX_SUCCESS)
			batch_end_one(batch_cookie(generation, r), status, NULL);
	}
	return batch_wait(deadline_ns, arrived);
}

static int timed_out(struct launch_pmix *p, const struct rankset *arrived)
{
	struct rankset missing = { 0 };
	char names[200];

	for (unsigned r = 0; r < p->l.size; r++)
		if (!rankset_has(arrived, r))
			rankset_add(&missing, r);
	if (rankset_empty(&missing))
		return error_set(ETIMEDOUT,
				 "Some of %u ranks were too late for the launch: raise "
				 "DSM_TIMEOUT_MS",
				 p->l.size);
	return error_set(ETIMEDOUT,
			 "%u of %u ranks did not call dsm_init() in time: missing %s. "
			 "Every process of the job must call it; else raise "
			 "DSM_TIMEOUT_MS",
			 rankset_count(&missing), p->l.size,
			 launch_ranks_text(&missing, names, sizeof(names)));
}

static int put_card(struct launch_pmix *p, const void *card, size_t len)
{
	struct pmix_card own = { .magic = PMIX_CARD_MAGIC,
				 .version = WIRE_VERSION,
				 .card_bytes = (uint32_t)len };
	pmix_value_t value = { .type = PMIX_BYTE_OBJECT };
	pmix_status_t status;

	memcpy(own.token, p->l.token, sizeof(own.token));
	memcpy(own.card, card, len);
	value.data.bo.bytes = (char *)&own;
	value.data.bo.size = offsetof(struct pmix_card, card) + len;
	status = PMIx_Put(PMIX_GLOBAL, p->key, &value);
	if (status != PMIX_SUCCESS)
		return pmix_failed("PMIx_Put", status);
	status = PMIx_Commit();
	if (status != PMIX_SUCCESS)
		return pmix_failed("PMIx_Commit", status);
	return 0;
}

static int check_card(struct launch_pmix *p, const struct pmix_card *v, size_t bytes, unsigned rank)
{
	size_t head_bytes = offsetof(struct pmix_card, card);

	if (bytes < head_bytes || v->magic != PMIX_CARD_MAGIC)
		return error_set(EPROTO,
				 "Rank %u's card is malformed: run the same libdsm in all "
				 "ranks",
				 rank);
	if (v->version != WIRE_VERSION)
		return error_set(EPROTO,
				 "Rank %u speaks version %u, rank %u version %u: run the same "
				 "libdsm in all ranks",
				 rank, v->version, p->l.rank, WIRE_VERSION);
	if (v->card_bytes > LAUNCH_CARD_MAX || bytes != head_bytes + v->card_bytes ||
	    v->token[CONFIG_TOKEN_MAX - 1])
		return error_set(EPROTO,
				 "Rank %u's card is malformed: run the same libdsm in all "
				 "ranks",
				 rank);
	return 0;
}

/* Every rank looks at every card, so that all of them fail in the same way. */
static int check_all(struct launch_pmix *p, const struct pmix_card *values, const size_t *bytes)
{
	for (unsigned r = 0; r < p->l.size; r++) {
		int err = check_card(p, &values[r], bytes[r], r);

		if (err)
			return err;
		if (values[r].token[0] && !launch_token_equal(values[r].token, values[0].token))
			return error_set(EPROTO,
					 "Rank %u's DSM_TOKEN is not rank 0's: give all ranks the "
					 "same, or none",
					 r);
	}
	return 0;
}

static int collect(struct launch_pmix *p, struct pmix_card *values, size_t *value_bytes,
		   uint64_t deadline_ns)
{
	struct rankset arrived;
	pmix_status_t status = fence(deadline_ns);

	if (status == PMIX_ERR_TIMEOUT) {
		get_all(p, values, value_bytes, clock_ns() + NAMING_NS, &arrived);
		return timed_out(p, &arrived);
	}
	if (status != PMIX_SUCCESS)
		return pmix_failed("PMIx_Fence", status);
	status = get_all(p, values, value_bytes, deadline_ns, &arrived);
	if (status == PMIX_ERR_TIMEOUT)
		return timed_out(p, &arrived);
	if (status != PMIX_SUCCESS)
		return pmix_failed("PMIx_Get", status);
	return check_all(p, values, value_bytes);
}

static int pmix_exchange(struct launch *l, const void *card, size_t len, uint8_t *cards,
			 uint64_t deadline_ns)
{
	struct launch_pmix *p = (struct launch_pmix *)l;
	struct pmix_card *values = calloc(l->size, sizeof(*values));
	size_t *value_bytes = calloc(l->size, sizeof(*value_bytes));
	int err;

	if (!values || !value_bytes) {
		err = error_set_sys(ENOMEM, "Cannot gather the cards of %u ranks", l->size);
		goto out;
	}
	err = launch_card_check(len);
	if (!err && l->rank == 0 && !l->token[0])
		err = launch_token_draw(l->token);
	if (!err)
		err = put_card(p, card, len);
	if (!err)
		err = collect(p, values, value_bytes, deadline_ns);
	if (err)
		goto out;
	memcpy(l->token, values[0].token, sizeof(l->token));
	for (unsigned r = 0; r < l->size; r++)
		memcpy(cards + (size_t)r * LAUNCH_CARD_MAX, values[r].card, LAUNCH_CARD_MAX);
out:
	free(value_bytes);
	free(values);
	return err;
}

static void pmix_destroy(struct launch *l)
{
	pmix_status_t status = PMIx_Finalize(NULL, 0);

	if (status != PMIX_SUCCESS)
		log_warn("PMIx_Finalize failed: %s", PMIx_Error_string(status));
	__atomic_fetch_sub(&launches, 1, __ATOMIC_RELAXED);
	free(l);
}

static const struct launch_ops pmix_ops = {
	.name = "pmix",
	.exchange = pmix_exchange,
	.destroy = pmix_destroy,
};

/* PMIx's thread must not take the application's signals. */
static pmix_status_t init_with_signals_blocked(pmix_proc_t *proc)
{
	sigset_t all, before;
	pmix_status_t status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = PMIx_Init(proc, NULL, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return status;
}

/* A forked child shares the connection to the server: it must not say good-bye for its parent. */
static void finalize_at_exit(void)
{
	if (!__atomic_load_n(&launches, __ATOMIC_RELAXED) && client_pid == getpid())
		PMIx_Finalize(NULL, 0);
}

/* Hold one more reference to the client than the launches do. */
static void keep_client(void)
{
	static bool kept;
	pmix_proc_t proc;

	if (__atomic_exchange_n(&kept, true, __ATOMIC_RELAXED))
		return;
	client_pid = getpid();
	if (PMIx_Init(&proc, NULL, 0) != PMIX_SUCCESS)
		return;
	if (atexit(finalize_at_exit))
		PMIx_Finalize(NULL, 0);
}

static int job_size(const pmix_proc_t *own, unsigned *size)
{
	pmix_proc_t job = *own;
	pmix_value_t *value = NULL;
	pmix_status_t status;
	uint32_t n;

	job.rank = PMIX_RANK_WILDCARD;
	status = PMIx_Get(&job, PMIX_JOB_SIZE, NULL, 0, &value);
	if (status != PMIX_SUCCESS)
		return pmix_failed("PMIx_Get of the number of ranks", status);
	n = value->type == PMIX_UINT32 ? value->data.uint32 : 0;
	PMIX_VALUE_RELEASE(value);
	if (n < 1 || n > RANKS_MAX || own->rank >= n)
		return error_set(EINVAL,
				 "The launcher gave this process rank %u of %u; libdsm "
				 "takes jobs of 1 to %u ranks",
				 own->rank, n, RANKS_MAX);
	*size = n;
	return 0;
}

/* Ask the environment first: PMIx_Init() without a server is slow, and prints. */
static int connect_server(pmix_proc_t *proc)
{
	pmix_status_t status;

	if (!getenv("PMIX_NAMESPACE") || !getenv("PMIX_RANK"))
		return error_set(ENOENT, "no PMIx server started this process");
	status = init_with_signals_blocked(proc);
	if (status == PMIX_SUCCESS) {
		keep_client();
		return 0;
	}
	log_warn("The PMIx server that the environment names cannot be reached: %s",
		 PMIx_Error_string(status));
	return error_set(ENOENT, "the PMIx server cannot be reached: %s",
			 PMIx_Error_string(status));
}

int launch_pmix_create(struct launch **launch, const struct settings *s)
{
	static unsigned created;
	struct launch_pmix *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return error_set_sys(ENOMEM, "Cannot create the launch");
	err = connect_server(&p->proc);
	if (err)
		goto err_free;
	p->l.ops = &pmix_ops;
	p->l.rank = p->proc.rank;
	err = job_size(&p->proc, &p->l.size);
	if (err)
		goto err_finalize;
	snprintf(p->l.token, sizeof(p->l.token), "%s", s->token);
	/* A value cannot be taken back: a process that joins a second time needs another key. */
	snprintf(p->key, sizeof(p->key), "libdsm.%u",
		 __atomic_fetch_add(&created, 1, __ATOMIC_RELAXED));
	__atomic_fetch_add(&launches, 1, __ATOMIC_RELAXED);
	*launch = &p->l;
	return 0;

err_finalize:
	PMIx_Finalize(NULL, 0);
err_free:
	free(p);
	return err;
}
