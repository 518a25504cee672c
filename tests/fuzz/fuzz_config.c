/* SPDX-License-Identifier: MIT */
/*
 * The configuration: every DSM_* setting from the environment and from struct dsm_config, names
 * that nobody knows, addresses of DSM_ROOT.
 *
 * A step is: what it sets (a setting in the environment; one in the struct; a name of its own), the
 * text or number. Then it is loaded; what is taken must print as a text that is taken again and
 * means the same.
 */
#include <errno.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"
#include "launch.h"
#include "names.h"

#define STEPS_MAX 32u
#define TEXT_MAX  300u

static char texts[STEPS_MAX][TEXT_MAX + 64];
static char *variables[STEPS_MAX + 1];

/* "NAME=text" with text from the input; a zero byte ends it. */
static char *variable(char *out, const char *name, struct input *in)
{
	size_t n = (size_t)snprintf(out, 64, "%s=", name);

	out[n + input_bytes(in, out + n, TEXT_MAX - 1)] = '\0';
	return out;
}

/* A name of the input's own, which may be nearly one that is known. */
static char *unknown(char *out, struct input *in)
{
	size_t rows, n;
	const struct config_row *row = config_rows(&rows);
	const char *near = row[input_byte(in) % rows].name;

	n = (size_t)snprintf(out, 64, "%s", near);
	n -= input_byte(in) % 8 % n;
	n += input_bytes(in, out + n, TEXT_MAX - 8);
	snprintf(out + n, 8, "=1");
	return out;
}

/* Fields of struct dsm_config, in turn. */
static void given(struct dsm_config *c, char *text, struct input *in)
{
	const char **field[] = { &c->rank,    &c->size,      &c->root,        &c->token,
				 &c->launch,  &c->transport, &c->userfaultfd, &c->log,
				 &c->spin_us, &c->prefetch,  &c->stats };
	uint64_t *number[] = { &c->base,      &c->space,      &c->cache_size,
			       &c->page_size, &c->timeout_ms, &c->sync_timeout_ms };
	unsigned nfields = sizeof(field) / sizeof(field[0]);
	unsigned nnumbers = sizeof(number) / sizeof(number[0]);
	unsigned which = input_byte(in) % (nfields + nnumbers);

	if (which >= nfields) {
		*number[which - nfields] = input_u64(in);
		return;
	}
	text[input_bytes(in, text, TEXT_MAX)] = '\0';
	*field[which] = text;
}

static const char *known_name(size_t i)
{
	size_t rows;
	const struct config_row *row = config_rows(&rows);

	return i < rows ? row[i].name : NULL;
}

/* What was taken, printed and given back, is the same. */
static void check_again(const struct settings *s)
{
	struct settings again;
	size_t rows, n = 0;
	const struct config_row *row = config_rows(&rows);
	static char lines[64][TEXT_MAX + 64];
	static char *all[64];
	char value[TEXT_MAX];

	FUZZ_CHECK(rows < 64, "%zu settings", rows);
	for (size_t i = 0; i < rows; i++) {
		config_value(s, i, value, sizeof(value));
		snprintf(lines[n], sizeof(lines[n]), "%s=%s", row[i].name, value);
		all[n] = lines[n];
		n++;
	}
	all[n] = NULL;
	environ = all;
	fuzz_log_clear();
	FUZZ_CHECK(config_load(&again, NULL) == 0, "%s", dsm_errmsg());
	FUZZ_CHECK(fuzz_log_lines() == 0, "%s", fuzz_log_last());
	again.cache_by_default = s->cache_by_default;
	FUZZ_CHECK(memcmp(&again, s, sizeof(again)) == 0, "settings differ when given again");
}

/* The launch must take or refuse what the parser took, in words. */
static void check_launch(const struct settings *s)
{
	struct launch *launch = NULL;
	int rc = launch_tcp_create(&launch, s);

	fuzz_expect_reason(rc, "launch_tcp_create");
	if (rc == 0)
		launch->ops->destroy(launch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, data + len };
	struct dsm_config config = { 0 };
	struct settings s;
	size_t rows, n = 0;
	const struct config_row *row = config_rows(&rows);
	int rc;

	memset(&s, 0, sizeof(s));
	for (unsigned step = 0; input_left(&in) && step < STEPS_MAX; step++) {
		unsigned what = input_byte(&in);

		if (what < 2 * rows)
			variables[n++] = variable(texts[step], row[what % rows].name, &in);
		else if (what % 2)
			variables[n++] = unknown(texts[step], &in);
		else
			given(&config, texts[step], &in);
	}
	variables[n] = NULL;
	environ = variables;
	for (size_t i = 0; i < n; i++)
		(void)names_nearest(variables[i], strcspn(variables[i], "="), known_name);
	rc = config_load(&s, &config);
	FUZZ_CHECK(rc == 0 || rc == -EINVAL, "%d", rc);
	fuzz_expect_reason(rc, "config_load");
	if (rc == 0) {
		check_launch(&s);
		check_again(&s);
	}
	return 0;
}
