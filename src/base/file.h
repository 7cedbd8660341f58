/* Reading and replacing a whole small file. */
#ifndef TIGHTWAD_BASE_FILE_H
#define TIGHTWAD_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

/* Fills b (initialised by this, with a cap of max bytes; finished by the caller whatever comes back).  -1 and a cause
 * without the path in it. */
int file_read(const char *path, size_t max, struct buf *b, char **cause);
/* The same of a plain file (behind a link, too), in a folder that others write to: what else has that name, a pipe that
 * nobody writes to say, is refused and not waited for. */
int file_read_plain(const char *path, size_t max, struct buf *b, char **cause);

/* Puts the text in the place of the file at once: a reader sees the old text or the new one, also after a power cut.
 * The file's mode (and owner, where that is allowed) is kept; a new one gets the mode given (0600 where it
 * may hold keys).  A symbolic link stays one.  -1 and a cause without the path in it; the file is unchanged then. */
int file_replace(const char *path, const char *text, size_t len, mode_t mode, char **cause);
/* The same in a folder that others write to: nothing is written through a link, and what has that name and is no plain
 * file is refused. */
int file_replace_plain(const char *path, const char *text, size_t len, mode_t mode, char **cause);

#endif
