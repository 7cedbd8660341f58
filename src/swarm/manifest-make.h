/* Makes the manifest of a model file: read once, hashed on all cores, never on the loop. */
#ifndef TIGHTWAD_SWARM_MANIFEST_MAKE_H
#define TIGHTWAD_SWARM_MANIFEST_MAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crew.h"
#include "swarm/manifest.h"

struct manifest_making;

struct manifest_make_opts {
    const char *path; /* of the model (copied) */
    bool again;       /* hash even where the stored manifest is up to date */
    bool store;       /* write it beside the model; where that can't be done it is kept in the cache folder alone */
    const char *const *drafters; /* n_drafters names to put into it (copied) */
    size_t n_drafters;
};

/* Made from what was stored when the file is as it was then: size, time of change (nanoseconds), device, inode, noted
 * below $XDG_CACHE_HOME/tightwad/manifests (manifest-note.h). *hashed: bytes hashed now, 0 when it was taken from
 * there.  m is the callee's (manifest_destroy); NULL and why in words.  Never called before manifest_make has returned.
 */
typedef void manifest_made_cb(void *arg, struct manifest *m, uint64_t hashed, const char *why);
struct manifest_making *manifest_make(struct crew *crew, const struct manifest_make_opts *o, manifest_made_cb *done,
                                      void *arg);
/* Bytes hashed and bytes in all so far (0 of 0 before the head is read). */
void manifest_making_progress(const struct manifest_making *m, uint64_t *done, uint64_t *total);
void manifest_making_cancel(struct manifest_making *m); /* done is not called; not inside it; NULL is fine */

/* The manifest of a model with that head, its pieces (NULL: there would be too many) still without hashes.  filename is
 * taken over. */
struct manifest *manifest_describe(const struct gguf *g, char *filename);

/* The stored manifest of the model at path if it is up to date, without reading the model; NULL: none.  Reads a small
 * file; owned by the caller. */
struct manifest *manifest_stored(const char *path);

/* Notes that the file at path is what m says, as of now (a pull has just verified and landed it).  Writes a small file
 * and waits for the disk: for the crew. */
void manifest_note(const struct manifest *m, const char *path);

#endif
