/* SPDX-License-Identifier: MIT */
/*
 * Kinds of values that a setting may have: text to value and back.
 *
 * What print() writes parse() takes, and gives the same value. Nothing is guessed: a text that is
 * not wholly a value of its kind is refused, and so is a number that does not fit.
 */
#define _GNU_SOURCE
#include "config_kind.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool number_allowed(const struct setting *t, uint64_t n)
{
	return n >= t->min && n <= t->max && !(t->multiple_of && n % t->multiple_of) &&
	       !(t->power_of_two && (n & (n - 1)));
}

static bool number_store(const struct setting *t, uint64_t n, void *out)
{
	if (!number_allowed(t, n))
		return false;
	memcpy(out, &n, sizeof(n));
	return true;
}

/* Digits, decimal or 0x; *end is what follows. strtoull() alone would take "-1" and " 1". */
static bool digits_parse(const char *text, uint64_t *n, char **end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	if (!isdigit((unsigned char)text[0]) || (hex && !isxdigit((unsigned char)text[2])))
		return false;
	errno = 0;
	*n = strtoull(text, end, hex ? 16 : 10);
	return errno == 0;
}

static bool integer_parse(const struct setting *t, const char *text, void *out)
{
	const int64_t none = -1;
	uint64_t n;
	char *end;

	if (t->may_be_auto && !strcasecmp(text, "auto")) {
		memcpy(out, &none, sizeof(none));
		return true;
	}
	return digits_parse(text, &n, &end) && !*end && number_store(t, n, out);
}

static void integer_print(const struct setting *t, const void *value, char *buf, size_t len)
{
	int64_t n;

	memcpy(&n, value, sizeof(n));
	if (n < 0)
		snprintf(buf, len, "%s", t->may_be_auto ? "auto" : "");
	else
		snprintf(buf, len, "%" PRId64, n);
}

static const char suffixes[] = "KMGT";

static bool bytes_parse(const struct setting *t, const char *text, void *out)
{
	const char *suffix;
	unsigned shift = 0;
	uint64_t n;
	char *end;

	if (!digits_parse(text, &n, &end))
		return false;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return false;
		shift = 10 * (unsigned)(suffix - suffixes + 1);
	}
	if (n > UINT64_MAX >> shift)
		return false;
	return number_store(t, n << shift, out);
}

static void bytes_print(const struct setting *t, const void *value, char *buf, size_t len)
{
	unsigned i = 0;
	uint64_t n;

	(void)t;
	memcpy(&n, value, sizeof(n));
	while (n && n % 1024 == 0 && i < strlen(suffixes)) {
		n /= 1024;
		i++;
	}
	if (i)
		snprintf(buf, len, "%" PRIu64 "%c", n, suffixes[i - 1]);
	else
		snprintf(buf, len, "%" PRIu64, n);
}

static void address_print(const struct setting *t, const void *value, char *buf, size_t len)
{
	uint64_t n;

	(void)t;
	memcpy(&n, value, sizeof(n));
	snprintf(buf, len, "0x%" PRIx64, n);
}

static bool choice_parse(const struct setting *t, const char *text, void *out)
{
	for (int i = 0; t->choices[i]; i++) {
		if (!strcasecmp(text, t->choices[i])) {
			memcpy(out, &i, sizeof(i));
			return true;
		}
	}
	return false;
}

static void choice_print(const struct setting *t, const void *value, char *buf, size_t len)
{
	int i;

	memcpy(&i, value, sizeof(i));
	snprintf(buf, len, "%s", t->choices[i]);
}

static bool switch_parse(const struct setting *t, const char *text, void *out)
{
	static const char *const words[] = { "0", "1", "no", "yes", "off", "on", "false", "true" };
	int value;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(text, words[i])) {
			value = i % 2;
			memcpy(out, &value, sizeof(value));
			return true;
		}
	}
	if (!choice_parse(t, text, &value))
		return false;
	value += 2;
	memcpy(out, &value, sizeof(value));
	return true;
}

static void switch_print(const struct setting *t, const void *value, char *buf, size_t len)
{
	int i;

	memcpy(&i, value, sizeof(i));
	if (i < 2)
		snprintf(buf, len, "%d", i);
	else
		snprintf(buf, len, "%s", t->choices[i - 2]);
}

/* "host:port" or "[v6 address]:port"; whether the host exists is the launch's to find out. */
static bool endpoint_parse(const struct setting *t, const char *text, void *out)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	char *end;

	if (!colon || colon == text || strlen(text) > t->max)
		return false;
	if (text[0] == '[' ? colon[-1] != ']' || colon - text < 3
			   : memchr(text, ':', (size_t)(colon - text)) != NULL)
		return false;
	for (const char *c = text; c < colon; c++) {
		if (!isgraph((unsigned char)*c) || *c == '/')
			return false;
	}
	if (!digits_parse(colon + 1, &port, &end) || *end || port < 1 || port > 65535)
		return false;
	strcpy(out, text);
	return true;
}

static bool token_parse(const struct setting *t, const char *text, void *out)
{
	size_t len = strlen(text);

	if (len < t->min || len > t->max)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isgraph((unsigned char)text[i]))
			return false;
	}
	memcpy(out, text, len + 1);
	return true;
}

static void text_print(const struct setting *t, const void *value, char *buf, size_t len)
{
	(void)t;
	snprintf(buf, len, "%s", (const char *)value);
}

const struct kind kind_integer = { integer_parse, integer_print };
const struct kind kind_bytes = { bytes_parse, bytes_print };
const struct kind kind_address = { bytes_parse, address_print };
const struct kind kind_choice = { choice_parse, choice_print };
const struct kind kind_switch = { switch_parse, switch_print };
const struct kind kind_endpoint = { endpoint_parse, text_print };
const struct kind kind_token = { token_parse, text_print };
const struct kind kind_word = { token_parse, text_print };
