/* Setting one value in the user's file; comments, order and spelling stay.  As in edit.h: every result has been read
 * again and found to say what it should, and a text that can't be changed safely is refused. */
#ifndef TIGHTWAD_CONFIG_SET_H
#define TIGHTWAD_CONFIG_SET_H

#include <stddef.h>

#include "base/buf.h"

/* key: "SECTION.KEY", of a section that is no list ("proxy.max_draft_tokens"); value: as it would be written.  Puts the
 * changed text into out (initialised by the caller, with a cap of at least TREE_BYTES_MAX).  0, or -1 and a cause. */
int set_value(const char *text, size_t len, const char *key, const char *value, struct buf *out, char **cause);

/* Makes the entry of that name under `models` the default, and no other. */
int set_default_model(const char *text, size_t len, const char *model, struct buf *out, char **cause);

#endif
