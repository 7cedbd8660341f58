/* Reading a whole small file. */
#ifndef TIGHTWAD_CONFIG_FILE_H
#define TIGHTWAD_CONFIG_FILE_H

#include "base/buf.h"

/* Fills b (initialised by this, with a cap of max bytes; finished by the caller whatever comes back).  -1 and a cause
 * without the path in it. */
int file_read(const char *path, size_t max, struct buf *b, char **cause);

#endif
