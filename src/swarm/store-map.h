/* MODEL.gguf.part.map: which pieces of a .part have been verified, and the manifest that they are pieces of.  Text:
 *
 *     tightwad part 1
 *     id 0123…                   (of the manifest)
 *     pieces 640
 *     1101…                      (one digit a piece)
 *     { … }                      (the manifest)
 *
 * Written whole beside it, put on the disk and renamed; from then on one byte is changed as a piece is verified.  What
 * it says is only ever a hint. */
#ifndef TIGHTWAD_SWARM_STORE_MAP_H
#define TIGHTWAD_SWARM_STORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "swarm/bits.h"
#include "swarm/manifest.h"

/* The file `name` in a folder, open to be changed. */
struct store_map {
    int fd;     /* -1: none */
    off_t bits; /* where its digits begin */
};

/* Replaces it by one that has these pieces.  0, or -1 and errno; then what was there before is still there. */
int store_map_write(struct store_map *map, int dir, const char *name, const struct manifest *m, const struct bits *had);
/* The same in two steps, where another .part takes the place of the old one in between: the new map is on the disk as
 * NAME.new, and then gets its name.  0, or -1 and errno; after a failure of the first step there is no NAME.new. */
int store_map_write_new(struct store_map *map, int dir, const char *name, const struct manifest *m,
                        const struct bits *had);
int store_map_take_new(int dir, const char *name);
void store_map_drop_new(int dir, const char *name);
/* A NAME.new that a process has left, and that is of the .part that is there: the map now if it is whole, else gone. */
void store_map_find_new(int dir, const char *name);
int store_map_note(const struct store_map *map, size_t piece, bool had); /* 0, or -1 and errno */
void store_map_close(struct store_map *map);

/* What is left there.  Of the manifest `mine` (NULL: of none, whatever there is is another one) *had gets the pieces
 * (initialised for it) and *other is NULL; of another one *had gets that one's pieces and *other is it (the caller's).
 * False, both untouched: there is none, or none that could be read. */
bool store_map_read(int dir, const char *name, const struct manifest *mine, struct bits *had, struct manifest **other);

#endif
