/* SPDX-License-Identifier: MIT */
/*
 * See launch.h: the choice between the three ways, and what they have in common.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "error.h"
#include "launch.h"
#include "log.h"

#define TOKEN_RANDOM_BYTES 16

int launch_token_draw(char *token)
{
	uint8_t random[TOKEN_RANDOM_BYTES];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set_sys(errno, "Cannot draw %zu random bytes for the job token",
				     sizeof(random));
	memset(token, 0, CONFIG_TOKEN_MAX);
	for (unsigned i = 0; i < sizeof(random); i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	return 0;
}

bool launch_token_equal(const char *a, const char *b)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < CONFIG_TOKEN_MAX; i++)
		differ |= (unsigned char)(a[i] ^ b[i]);
	return !differ;
}

int launch_card_check(size_t len)
{
	if (len > LAUNCH_CARD_MAX)
		return error_set(EINVAL, "A rank's card has %zu bytes, the launch carries %d", len,
				 LAUNCH_CARD_MAX);
	return 0;
}

/* The first rank after @from that is not in the set. */
static unsigned run_end(const struct rankset *ranks, unsigned from)
{
	unsigned end = from;

	while (end < RANKS_MAX && rankset_has(ranks, end))
		end++;
	return end;
}

const char *launch_ranks_text(const struct rankset *ranks, char *buf, size_t len)
{
	size_t used = (size_t)snprintf(buf, len, rankset_count(ranks) == 1 ? "rank " : "ranks ");
	const char *comma = "";
	unsigned first, end;

	for (first = rankset_next(ranks, 0); first < RANKS_MAX && used < len;
	     first = end < RANKS_MAX ? rankset_next(ranks, end) : RANKS_MAX) {
		end = run_end(ranks, first);
		used += (size_t)snprintf(buf + used, len - used, "%s%u", comma, first);
		if (end - first > 1 && used < len)
			used += (size_t)snprintf(buf + used, len - used, "%s%u",
						 end - first == 2 ? ", " : "-", end - 1);
		comma = ", ";
	}
	if (used >= len && len > 4)
		strcpy(buf + len - 4, "...");
	return buf;
}

/*
 * A launcher that speaks another language than PMIx starts n processes, each of which finds itself
 * alone: nearly always a mistake, and one that shows in wrong results only.
 */
static void warn_of_other_launcher(void)
{
	static const char *const names[] = { "PMI_SIZE", "OMPI_COMM_WORLD_SIZE",
					     "SLURM_STEP_NUM_TASKS" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = getenv(names[i]);

		if (value && strtoul(value, NULL, 10) > 1) {
			log_warn("A launcher started %s=%s processes without a PMIx server that "
				 "libdsm can reach: each is a cluster of its own. Use Open MPI's "
				 "mpirun, srun --mpi=pmix, or set DSM_RANK, DSM_SIZE and DSM_ROOT",
				 names[i], value);
			return;
		}
	}
}

static int create_pmix(struct launch **launch, const struct settings *s)
{
#ifdef HAVE_PMIX
	return launch_pmix_create(launch, s);
#else
	(void)launch;
	(void)s;
	return error_set(ENOENT, "this libdsm was built without PMIx");
#endif
}

static int create_auto(struct launch **launch, const struct settings *s)
{
	int err;

	if (s->rank >= 0 || s->size >= 0 || s->root[0])
		return launch_tcp_create(launch, s);
	err = create_pmix(launch, s);
	if (err != -ENOENT)
		return err;
	error_clear();
	warn_of_other_launcher();
	return launch_alone_create(launch, s);
}

/* Of settings.launch = pmix: here a missing server is a setting that cannot be met. */
static int create_pmix_only(struct launch **launch, const struct settings *s)
{
	char reason[ERROR_TEXT_MAX / 2];
	int err = create_pmix(launch, s);

	if (err != -ENOENT)
		return err;
	snprintf(reason, sizeof(reason), "%s", error_text());
	return error_set(EINVAL,
			 "DSM_LAUNCH is pmix, but %s: start the program by mpirun or srun "
			 "--mpi=pmix, or set DSM_LAUNCH to tcp or alone",
			 reason);
}

int launch_create(struct launch **launch, const struct settings *s)
{
	struct launch *l = NULL;
	int err = -EINVAL;

	switch (s->launch) {
	case LAUNCH_AUTO:
		err = create_auto(&l, s);
		break;
	case LAUNCH_PMIX:
		err = create_pmix_only(&l, s);
		break;
	case LAUNCH_TCP:
		err = launch_tcp_create(&l, s);
		break;
	case LAUNCH_ALONE:
		err = launch_alone_create(&l, s);
		break;
	}
	if (err)
		return err;
	log_info("Launched by %s: rank %u of %u", l->ops->name, l->rank, l->size);
	*launch = l;
	return 0;
}
