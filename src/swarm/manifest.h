/* What a model file is made of: its pieces with their hashes, and what kind of model it is (doc/manifest.md).  Pure but
 * for manifest_load… and manifest_save; how one is made from a file: manifest-make.h. */
#ifndef TIGHTWAD_SWARM_MANIFEST_H
#define TIGHTWAD_SWARM_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/gguf.h"

enum {
    MANIFEST_HASH = 32,             /* bytes of a SHA-256 */
    MANIFEST_ID = 64,               /* hex digits of an id */
    MANIFEST_PIECES_MAX = 65536,    /* 4 TiB in pieces of 64 MiB */
    MANIFEST_PIECE_SIZE = 64 << 20, /* bytes: the largest piece */
    MANIFEST_TEXT_MAX = 16 << 20,   /* bytes of the JSON */
    MANIFEST_NAME_MAX = 200,        /* bytes of a file name */
    MANIFEST_DRAFTERS_MAX = 16,
};

#define MANIFEST_SUFFIX ".tightwad.manifest"

struct manifest_piece {
    uint64_t offset, size; /* bytes; size > 0; piece i + 1 begins where piece i ends */
    uint8_t sha256[MANIFEST_HASH];
};

struct manifest {
    unsigned kept;                /* manifest_keep */
    char id[MANIFEST_ID + 1];     /* lower-case hex */
    char *filename;               /* a plain name: no slash, no control characters, not hidden, ends in .gguf */
    uint64_t total_size;          /* bytes */
    uint64_t piece_size;          /* bytes: no piece is larger */
    struct manifest_piece *piece; /* n_pieces of them, in order, covering the file without gap or overlap */
    size_t n_pieces;
    /* From the file's own metadata; NULL, -1: it does not say. */
    char *model, *architecture, *quantisation, *license, *vocab; /* vocab: fingerprint, 64 hex digits */
    int64_t parameters, context_length;
    char **drafters; /* names of models that can draft for this one, as whoever made the manifest says */
    size_t n_drafters;
};

/* Checks everything: sizes, order, counts, hashes, the name, and that the id is the one of its content (a manifest
 * without "id" gets it computed).  Pieces may be cut anywhere.  Keys that are not known are left out, and no part of
 * the id.  About 10 ms a MiB of text: that of a large model is parsed by the crew.  NULL and a cause that names what is
 * wrong and where ("pieces[3].offset: …"). */
struct manifest *manifest_parse(const char *text, size_t len, char **cause);
/* As it is written to a file: the keys in a readable order, id included, ends in a newline.  Owned by the caller. */
char *manifest_text(const struct manifest *m);
/* Computes m->id: SHA-256 of the canonical form, that is the JSON object of all keys but id, filename and
 * compatible_drafters (so that who has the same bytes has the same id), keys sorted, no white space. */
void manifest_seal(struct manifest *m);

struct manifest *manifest_keep(struct manifest *m); /* one more user, who calls manifest_destroy as well */
void manifest_destroy(struct manifest *m);          /* NULL is fine */

struct manifest *manifest_load(const char *path, char **cause);
/* The one beside a model (manifest_path), a plain file, whoever else writes to that folder. */
struct manifest *manifest_load_beside(const char *model, char **cause);
/* Beside it and renamed: there is never half a one, and nothing is written through a link.  0, or -1 and a cause. */
int manifest_save(const struct manifest *m, const char *path, char **cause);
/* "MODEL.gguf.tightwad.manifest" beside the model.  Owned by the caller. */
char *manifest_path(const char *model);

/* The pieces of a file, without hashes: the header (all before the tensors' data) by itself, then the tensors in the
 * order of their offsets.  A piece ends where a layer ends ("blk.N."), so that what comes after a changed layer is cut
 * as it was; within a layer tensors are taken together up to piece_size, and a larger tensor is cut by itself.  Padding
 * belongs to the tensor before it.  Layers so many that they would make too many pieces are not looked at.  *n pieces,
 * owned by the caller; NULL: there would be more than MANIFEST_PIECES_MAX, or the file is empty. */
struct manifest_piece *manifest_cut(const struct gguf *g, uint64_t piece_size, size_t *n);
/* The pieces that hold any byte of [offset, offset + size): first and one past the last. */
void manifest_span(const struct manifest *m, uint64_t offset, uint64_t size, size_t *first, size_t *end);

/* An id as the user writes it: 64 hex digits, or "sha256:" before them, any case.  False: it is none. */
bool manifest_id_read(const char *text, char id[MANIFEST_ID + 1]);
/* Whether a name that came from elsewhere may be used for a file: see struct manifest.filename. */
bool manifest_name_ok(const char *name);

#endif
