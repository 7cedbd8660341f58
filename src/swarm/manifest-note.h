/* Which manifest belongs to a file that has not changed since: files in $XDG_CACHE_HOME/tightwad/manifests, one for
 * each model, named by its device and inode, so that a model may be renamed and is known all the same.  The first line
 * of such a note says what the model was like, the rest is the manifest.  All of this blocks. */
#ifndef TIGHTWAD_SWARM_MANIFEST_NOTE_H
#define TIGHTWAD_SWARM_MANIFEST_NOTE_H

#include <sys/stat.h>

#include "swarm/manifest.h"

enum { MANIFEST_NOTES_MAX = 1024 }; /* the oldest go */

/* The manifest of the file that st is of; NULL: there is none, or the file has changed.  Its filename is the noted one.
 * Owned by the caller. */
struct manifest *manifest_note_read(const struct stat *st);
/* Where there is no home for notes, or no room, nothing is noted. */
void manifest_note_write(const struct manifest *m, const struct stat *st);

#endif
