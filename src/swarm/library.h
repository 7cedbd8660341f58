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

/* Which local models hold pieces of m?  Those whose manifests are stored are looked up; those without one that could
 * (the same architecture, or no stored manifest and a tensor list that shares names and sizes with it) are hashed
 * first, which any network is slower than.  Never m's own .part.  found is the callee's (library_found_finish). */
typedef void library_cb(void *arg, struct library_found *found);
struct library_search *library_find(struct event_base *base, struct crew *crew, const struct manifest *m,
                                    const char *const *folders, size_t n_folders, library_cb *done, void *arg);
void library_cancel(struct library_search *l); /* not inside the callback; NULL is fine */
void library_found_finish(struct library_found *f);

#endif
