/* Changes to the user's file that keep comments, order and spelling.  Every result has been read again and found to say
 * what it should; a text that can't be changed safely is refused instead. */
#ifndef TIGHTWAD_CONFIG_EDIT_H
#define TIGHTWAD_CONFIG_EDIT_H

#include <stddef.h>

#include "base/buf.h"
#include "config/config.h"

/* Puts the changed text into out (initialised by the caller, with a cap of at least TREE_BYTES_MAX).  0, or -1 and a
 * cause. */
int edit_add_drafter(const char *text, size_t len, const struct config_server *s, struct buf *out, char **cause);
/* name: the drafter's name, url or host:port. */
int edit_remove_drafter(const char *text, size_t len, const char *name, struct buf *out, char **cause);

/* Ends an edit of the file: writes out when rc is 0, and finishes it in any case.  0, or -1 and a cause. */
int edit_put_file(const char *path, int rc, struct buf *out, char **cause);

#endif
