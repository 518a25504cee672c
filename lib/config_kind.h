/* SPDX-License-Identifier: MIT */
/*
 * Rows of the table of settings, and the kinds of values that they may have.
 */
#ifndef DSM_CONFIG_KIND_H
#define DSM_CONFIG_KIND_H

#include "config.h"

struct setting;

struct kind {
	/* Text to value in *out; false: not valid. */
	bool (*parse)(const struct setting *t, const char *text, void *out);
	void (*print)(const struct setting *t, const void *value, char *buf, size_t len);
};

struct setting {
	struct config_row row;
	const struct kind *kind;
	size_t result_at; /* in struct settings */
	size_t given_at; /* in struct dsm_config */
	bool given_number; /* there it is a uint64_t, 0: not given; else text, NULL: not given */
	uint64_t min, max;
	uint64_t multiple_of; /* 0: of anything */
	bool power_of_two;
	bool may_be_auto;
	const char *const *choices; /* ends with NULL; in the order of the enum */
};

/* Numbers lie in settings as 64 bits; -1 is "auto" (may_be_auto) or "not given". */
extern const struct kind kind_integer;
extern const struct kind kind_bytes; /* 64K, 2M, 16G, 1T; printed so */
extern const struct kind kind_address; /* the same, printed as hexadecimal number */
extern const struct kind kind_choice; /* an enum */
extern const struct kind kind_switch; /* an enum: off, on, and choices beyond */
extern const struct kind kind_endpoint; /* host:port; at most max bytes */
extern const struct kind kind_token; /* min to max printable characters */
extern const struct kind kind_word; /* the same, and no secret */

/* Is n within the row's limits? */
bool number_allowed(const struct setting *t, uint64_t n);

#endif
