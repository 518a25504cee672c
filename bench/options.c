/* SPDX-License-Identifier: MIT */
/* Options: the command line of dsm_bench. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static char message_text[256];

/* A number with an optional K, M or G behind it; false if it is none, 0, or too large. */
static bool parse_size(const char *text, size_t *value, const char **end)
{
	unsigned long long n;
	unsigned shift = 0;
	char *rest;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &rest, 10);
	if (errno || !n)
		return false;
	switch (*rest) {
	case 'G':
		shift += 10; /* fall through */
	case 'M':
		shift += 10; /* fall through */
	case 'K':
		shift += 10;
		rest++;
	}
	if (n > SIZE_MAX >> shift >> 1)
		return false;
	*value = (size_t)n << shift;
	*end = rest;
	return true;
}

static int parse_iterations(struct options *o, const char *text)
{
	const char *end;

	if (parse_size(text, &o->iterations, &end) && !*end)
		return 0;
	snprintf(message_text, sizeof(message_text),
		 "--iterations=%s: give a number from 1 on, such as 1000 or 10K", text);
	return -EINVAL;
}

/* Sizes from 1 to most, with commas between them: how many, or 0 if there is anything else. */
static unsigned parse_list(const char *text, size_t *sizes, unsigned max, size_t most)
{
	unsigned n = 0;

	while (n < max && parse_size(text, &sizes[n], &text) && sizes[n] <= most) {
		n++;
		if (!*text)
			return n;
		if (*text++ != ',')
			break;
	}
	return 0;
}

static int parse_bytes(struct options *o, const char *text)
{
	o->nbytes = parse_list(text, o->bytes, OPTIONS_BYTES_MAX, SIZE_MAX);
	if (o->nbytes)
		return 0;
	snprintf(message_text, sizeof(message_text),
		 "--bytes=%s: give up to %d sizes from 1 on, such as 4K,1M", text,
		 OPTIONS_BYTES_MAX);
	return -EINVAL;
}

static int parse_sizes(struct options *o, const char *text)
{
	memset(o->sizes, 0, sizeof(o->sizes));
	if (parse_list(text, o->sizes, TRANSFER_SIZES_MAX, TRANSFER_BYTES))
		return 0;
	snprintf(message_text, sizeof(message_text),
		 "--sizes=%s: give up to %u sizes from 1 to %luM, such as 8,4K,1M", text,
		 TRANSFER_SIZES_MAX, TRANSFER_BYTES >> 20);
	return -EINVAL;
}

static int parse_format(struct options *o, const char *text)
{
	o->json = !strcmp(text, "json");
	o->csv = !strcmp(text, "csv");
	if (o->json || o->csv || !strcmp(text, "text"))
		return 0;
	snprintf(message_text, sizeof(message_text), "--format=%s: give text, json or csv", text);
	return -EINVAL;
}

static int parse_blocks(struct options *o, const char *text)
{
	const char *end;
	size_t n;

	if (parse_size(text, &n, &end) && !*end && n <= OPTIONS_BLOCKS_MAX) {
		o->blocks = (unsigned)n;
		return 0;
	}
	snprintf(message_text, sizeof(message_text), "--blocks=%s: give a number from 1 to %u",
		 text, OPTIONS_BLOCKS_MAX);
	return -EINVAL;
}

/* A field of csv: one word or more, without what would end the field. */
static int parse_field(const char **field, const char *name, const char *text)
{
	if (*text && !strpbrk(text, ",\"\n")) {
		*field = text;
		return 0;
	}
	snprintf(message_text, sizeof(message_text),
		 "--%s=%s: give a name without commas and quotation marks", name, text);
	return -EINVAL;
}

static int parse_one(struct options *o, int option, char **argv)
{
	switch (option) {
	case 'h':
		o->help = true;
		return 0;
	case 'l':
		o->list = true;
		return 0;
	case 'f':
		return parse_format(o, optarg);
	case 'i':
		return parse_iterations(o, optarg);
	case 'b':
		return parse_bytes(o, optarg);
	case 'z':
		return parse_sizes(o, optarg);
	case 'k':
		return parse_blocks(o, optarg);
	case 's':
		return parse_field(&o->system, "system", optarg);
	case 'r':
		return parse_field(&o->repeat, "repeat", optarg);
	case ':':
		snprintf(message_text, sizeof(message_text), "%s needs a value", argv[optind - 1]);
		return -EINVAL;
	default:
		snprintf(message_text, sizeof(message_text),
			 "%s is not an option; dsm_bench --help shows those there are",
			 argv[optind - 1]);
		return -EINVAL;
	}
}

int options_parse(struct options *o, int argc, char **argv, const char **message)
{
	static const struct option table[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "list", no_argument, NULL, 'l' },
		{ "format", required_argument, NULL, 'f' },
		{ "iterations", required_argument, NULL, 'i' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "sizes", required_argument, NULL, 'z' },
		{ "blocks", required_argument, NULL, 'k' },
		{ "system", required_argument, NULL, 's' },
		{ "repeat", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	memset(o, 0, sizeof(*o));
	o->system = "libdsm";
	o->repeat = "1";
	o->blocks = OPTIONS_BLOCKS;
	memcpy(o->sizes, transfer_sizes, sizeof(o->sizes));
	*message = message_text;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		int ret = parse_one(o, option, argv);

		if (ret)
			return ret;
	}
	o->names = argv + optind;
	o->nnames = (unsigned)(argc - optind);
	return 0;
}
