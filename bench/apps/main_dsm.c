/* SPDX-License-Identifier: MIT */
/*
 * dsm_apps: the applications by one thread in private memory (--form=seq), or by ranks over libdsm:
 * by loads and stores alone (--form=plain), or with what makes them faster (--form=dsm, the
 *default).
 *
 *	build/bench/apps/dsm_apps --form=seq heat
 *	mpirun -n 2 --bind-to none build/bench/apps/dsm_apps --class=W heat
 */
#include "team.h"

#define DESCRIBE(name, unit, what) { #name, unit, what },
static const struct app apps[] = { APPS(DESCRIBE) };

#define SEQ(name, unit, what) name##_seq,
static void (*const seq[])(struct run *) = { APPS(SEQ) };

#define DSM(name, unit, what) name##_dsm,
static void (*const dsm[])(struct run *, struct team *) = { APPS(DSM) };

#define NAPPS (sizeof(apps) / sizeof(apps[0]))

static void run_dsm(struct team *t, unsigned i, const struct options *o)
{
	struct run run = { &apps[i], o->form, o->class, .rank = t->rank, .size = t->size };

	t->nshared = t->turn = 0;
	memset(t->last, 0, sizeof(t->last));
	t->slots = team_share(t, 2 * t->size * sizeof(*t->slots), DSM_HOME_BLOCKED);
	t->counted = team_share(t, t->size * sizeof(*t->counted), DSM_HOME_BLOCKED);
	dsm[i](&run, t);
	/* Nobody uses it any more, and then nobody has it any more before its names come again. */
	TRY(dsm_barrier(t->dsm));
	while (t->nshared)
		TRY(dsm_free(t->dsm, t->shared[--t->nshared]));
	TRY(dsm_barrier(t->dsm));
}

int main(int argc, char **argv)
{
	struct options o = { apps, NAPPS, .form = "dsm" };
	struct team t = { 0 };

	options_read(&o, argc, argv, "seq|dsm|plain");
	if (strcmp(o.form, "seq")) {
		t.plain = !strcmp(o.form, "plain");
		TRY(dsm_init(&t.dsm, NULL));
		t.rank = dsm_rank(t.dsm);
		t.size = dsm_size(t.dsm);
	}
	for (unsigned i = 0; i < NAPPS; i++) {
		struct run run = { &apps[i], "seq", o.class, .size = 1 };

		if (o.chosen[i] && t.dsm)
			run_dsm(&t, i, &o);
		else if (o.chosen[i])
			seq[i](&run);
	}
	if (t.dsm)
		TRY(dsm_fini(t.dsm));
	free(o.chosen);
	return run_status();
}
