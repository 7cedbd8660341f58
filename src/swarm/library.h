/* The models that lie on this machine, as far as their pieces are known. */
#ifndef TIGHTWAD_SWARM_LIBRARY_H
#define TIGHTWAD_SWARM_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#include "base/crew.h"
#include "swarm/manifest.h"

struct library_item {
    char *path;
    struct manifest *manifest;
    uint64_t bytes; /* of m's pieces that it holds */
};

struct library_found {
    struct library_item *item; /* those that hold most first */
    size_t n;
};

struct library_search;

/* Which local models hold pieces of m (kept)?  Looked for in the folders and in the usual places (models_here_each).
 * Those whose manifests are stored are looked up; those without one that could be another version of it (the same
 * architecture, and pieces of the same sizes for a good part of it) are hashed first, a few at most, which any network
 * is slower than.  Files that are on their way (.part) are not looked at.  found is the callee's
 * (library_found_finish); never called before library_find has returned. */
typedef void library_cb(void *arg, struct library_found *found);
struct library_search *library_find(struct crew *crew, struct manifest *m, const char *const *folders, size_t n_folders,
                                    library_cb *done, void *arg);
void library_cancel(struct library_search *l); /* not inside the callback; NULL is fine */
void library_found_finish(struct library_found *f);

#endif
