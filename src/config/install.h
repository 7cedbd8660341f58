/* Putting a new configuration in its place. */
#ifndef TIGHTWAD_CONFIG_INSTALL_H
#define TIGHTWAD_CONFIG_INSTALL_H

/* The file that a new configuration goes to: the one given (-c), else the one in use, else
 * $XDG_CONFIG_HOME/tightwad/cluster.yaml (without that variable ~/.config/…).  Owned by the caller; NULL and a cause
 * that says what to give, where none of these is known. */
char *install_path(const char *given, char **cause);

/* Writes the text, which must be one that the loader takes (with this environment), in one step: a reader sees the old
 * file or the new one, and at every other end nothing has changed.  A file that is there is kept beside it as PATH.bak,
 * older ones as PATH.bak.1 to PATH.bak.3; folders that are missing are made (mode 0700).  *backup, the caller's: the
 * path of the old file, NULL where there was none or it says the same, byte for byte.  0, or -1 and a cause that
 * names the file. */
int install_config(const char *path, const char *text, char **backup, char **cause);

#endif
