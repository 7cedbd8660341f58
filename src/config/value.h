/* One value of an option: from text, to text. */
#ifndef TIGHTWAD_CONFIG_VALUE_H
#define TIGHTWAD_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "config/options.h"

/* Parses text as o wants it and stores it at `at` (see option_value; what was there is freed).  -1 and a cause that
 * says what was expected; `at` is unchanged then. */
int value_parse(const struct option *o, const char *text, void *at, char **cause);

/* Whether text can be a value of o or a part of one: one line of UTF-8, not empty.  -1 and a cause. */
int value_check(const struct option *o, const char *text, char **cause);

/* Replaces ${NAME} by the environment's NAME ($${ stands for ${).  Owned by the caller; NULL and a cause when a name
 * is not set or not one. */
char *value_expand(const char *text, char **cause);

/* What value_parse would read again; NULL when it is not set.  Secrets: "(set)".  Owned by the caller. */
char *value_text(const struct option *o, const void *at);
json_t *value_json(const struct option *o, const void *at); /* numbers in the unit that is stored; new reference */
bool value_equal(const struct option *o, const void *a, const void *b);
void value_clear(const struct option *o, void *at); /* frees and empties */

/* text as a YAML scalar that is read as the same text: plain where that is safe, else in quotes.  Owned by the caller.
 */
char *value_yaml(const char *text);
char *value_yaml_quoted(const char *text); /* always in quotes */

/* text for a message: at most 60 bytes of it, in quotes, control characters replaced.  Owned by the caller. */
char *value_quote(const char *text);

#endif
