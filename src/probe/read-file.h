/* Small files of /proc and /sys, below a root that tests can replace. */
#ifndef TIGHTWAD_PROBE_READ_FILE_H
#define TIGHTWAD_PROBE_READ_FILE_H

#include <stdint.h>

enum { READ_FILE_MAX = 65536 }; /* bytes; what follows is left out */

/* The text of root + path, NULL when it can't be read.  root "": the system's.  Owned by the caller. */
char *read_file(const char *root, const char *path);

/* The first number >= 0 in it; -1: none, or not readable. */
int64_t read_file_number(const char *root, const char *path);

/* The value of "KEY:   123 kB" or "KEY 123" in text; -1: not there. */
int64_t read_file_value(const char *text, const char *key);

#endif
