/* The folders of this user that programs share: what may be lost (the cache), and what lives as long as a program. */
#ifndef TIGHTWAD_BASE_FOLDERS_H
#define TIGHTWAD_BASE_FOLDERS_H

/* "$XDG_CACHE_HOME/tightwad/NAME", without that variable "~/.cache/tightwad/NAME"; NULL where there is no home.  Not
 * made.  Owned by the caller. */
char *folder_cache(const char *name);
/* dir with those above it, mode 0700.  0, or -1 with errno. */
int folder_make(const char *dir);

/* Sockets and notes of running programs: "$XDG_RUNTIME_DIR/tightwad", without that variable "/tmp/tightwad-UID".
 * Owned by the caller. */
char *folder_runtime(void);
/* Makes it, and refuses one that others could have made or may enter.  0, or -1 and a cause. */
int folder_runtime_make(char **cause);

#endif
