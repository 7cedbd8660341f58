/* Lists of texts: arguments, and variables as NAME=VALUE. */
#ifndef TIGHTWAD_CONFIG_WORDS_H
#define TIGHTWAD_CONFIG_WORDS_H

#include <stdbool.h>

#include <jansson.h>

#include "config/config.h"

void words_add(struct config_words *w, const char *text);
void words_clear(struct config_words *w); /* frees and empties */
bool words_equal(const struct config_words *a, const struct config_words *b);

/* Whether what is called so (a variable, an option) is likely a secret. */
bool words_is_secret(const char *name);

/* As YAML on one line, in brackets, or in braces for variables; NULL for an empty list.  Values of variables whose name
 * says that they are secret are shown as (set).  Owned by the caller. */
char *words_text(const struct config_words *w, bool vars);

/* An array, or for variables an object, with the same values left out; null for an empty list.  New reference. */
json_t *words_json(const struct config_words *w, bool vars);

#endif
