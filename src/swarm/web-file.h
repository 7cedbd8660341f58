/* The disk's side of a download without a manifest: MODEL.gguf.part grows from its start, is hashed as it does, and its
 * map says how far it has come.  All of it is the crew's, one call at a time. */
#ifndef TIGHTWAD_SWARM_WEB_FILE_H
#define TIGHTWAD_SWARM_WEB_FILE_H

#include <stdatomic.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "swarm/manifest.h"
#include "swarm/store.h"

struct web_file {
    char *dir, *name, *path, *part; /* of the folder; in it; of the complete file, of the .part */
    char *part_name, *map_name;
    char *url;                /* without its query */
    char *validator;          /* of the reply that it comes from (ETag or Last-Modified); NULL: can't be resumed */
    uint64_t total;           /* bytes, 0: not known yet */
    char id[MANIFEST_ID + 1]; /* that it must have; "": any */
    uint64_t size;            /* likewise, 0: any */
    _Atomic uint64_t written; /* bytes, from the start */
    uint64_t synced;          /* of them certainly on the disk */
    int dir_fd, fd, map_fd;
    long map_at;               /* where the numbers stand in the map */
    struct manifest *manifest; /* once the head is here */
    uint64_t look_at;          /* so much must be here before the head is looked at again */
    size_t piece;              /* that is hashed now */
    _Atomic uint64_t hashed;
    EVP_MD_CTX *hash; /* of the piece's bytes so far */
    atomic_bool stop; /* long work gives up */
};

void web_file_init(struct web_file *f, const char *dir, const char *name, const char *url);
void web_file_finish(struct web_file *f); /* what has come stays on the disk */

/* What is there of an earlier run counts in written; validator and total are its. */
enum store_result web_file_open(struct web_file *f, char **why);
/* Another reply begins: nothing of what has come counts.  validator may be NULL, total 0. */
enum store_result web_file_begin(struct web_file *f, const char *validator, uint64_t total, char **why);
/* STORE_FULL: none of it counts, and it may be given again. */
enum store_result web_file_write(struct web_file *f, const void *data, size_t len, char **why);
/* All is here: hashed, onto the disk, to its own name.  The manifest is f's.  Another id than it must have (or another
 * size, as it begins) is STORE_FAILED, and nothing is kept. */
enum store_result web_file_land(struct web_file *f, char **why);

#endif
