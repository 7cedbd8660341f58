/* A model file that is being put together: MODEL.gguf.part, its piece map beside it, and what local files already hold.
 * All disk work is done by the crew; each call's end is told on the loop, in the order of the calls for one piece. */
#ifndef TIGHTWAD_SWARM_STORE_H
#define TIGHTWAD_SWARM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crew.h"
#include "swarm/share.h"

struct store;

enum store_result {
    STORE_OK,
    STORE_CORRUPT, /* store_check: the piece is not what its hash says; its bytes are forgotten */
    STORE_FULL,    /* no space (or quota): nothing is lost, the call may be repeated when there is room */
    STORE_FAILED,  /* anything else, in words */
};

/* why: in words with file and what to do, "" when ok. */
typedef void store_cb(void *arg, enum store_result result, const char *why);

struct store_opts {
    const char *dir;         /* the model folder; made where it is missing */
    const struct bits *want; /* NULL: all pieces; else the file never lands, it stays a .part with holes */
};

/* Opens DIR/FILENAME.part (or makes it, as long as the model, sparse) and its map DIR/FILENAME.part.map, which is only
 * ever a hint: every piece that it names is hashed again before it counts.  A .part of another manifest is not
 * touched: its pieces of the same hash are taken over into DIR/FILENAME.part.new, and store_settle then replaces it.  A
 * complete file of that name with the same content is success at once (store_complete); one with another content is an
 * error that says so.  Two processes never work on one .part: the second gets an error that names the first (a lock
 * that the kernel drops with its holder).  done is called once, never before this returns; on anything but STORE_OK
 * destroy the store. */
struct store *store_open(struct event_base *base, struct crew *crew, struct manifest *m, const struct store_opts *o,
                         store_cb *done, void *arg);
/* The pull is wanted: a .part of another manifest goes, and what is filled gets its name and its map.  Until then, and
 * where it fails, that one is as it was, and all of this goes with the store.  Without it nothing lands.  Not while
 * anything else is under way.  Where there is no such .part it does nothing. */
void store_settle(struct store *s, store_cb *done, void *arg);
/* Before it is destroyed, while nothing is written: a .part that has no piece, or any (all), is removed with its map.
 */
void store_discard(struct store *s, bool all);
/* Waits for what the disk is doing, a block or so; a landing under way goes on by itself.  The .part and its map stay
 * otherwise (see store_settle).  Each store_write and store_check that has not been told of is told STORE_FAILED,
 * inside this or later; of all other calls nothing is heard.  NULL is fine; not inside a callback. */
void store_destroy(struct store *s);

struct share *store_share(struct store *s);    /* what is had so far; the store's, until store_destroy */
bool store_complete(const struct store *s);    /* it lies under its own name */
const char *store_path(const struct store *s); /* of the complete file, whether it is there or not */

/* A source of pieces on this machine: another model file whose manifest is known.  Pieces of the same hash are copied
 * (by reflink where the file system can, else by copy_file_range) and checked like all others.  done is called when all
 * that it has is here. *found: bytes that it will give, at once. */
void store_take_local(struct store *s, const struct manifest *from, const char *path, uint64_t *found, store_cb *done,
                      void *arg);

/* Bytes of a piece, from `at` of that piece on; data is taken over (freed).  Hashing follows as far as the piece is
 * there without a gap, so store_check mostly has nothing left to read.  done of this and of store_check is called once
 * in any case: with STORE_FAILED after store_destroy, when its caller may have gone. */
void store_write(struct store *s, size_t piece, uint64_t at, void *data, size_t len, store_cb *done, void *arg);
/* All bytes of the piece are written: is it right?  STORE_OK: it is had, noted in the map, and share_set_have was
 * called. */
void store_check(struct store *s, size_t piece, store_cb *done, void *arg);
/* What was written of a piece that is not complete is of no use (its sender lied). */
void store_forget(struct store *s, size_t piece);

/* All pieces are had: on the disk (fdatasync), renamed to its own name, the map and the .part gone, the manifest beside
 * it, noted as up to date. */
void store_land(struct store *s, store_cb *done, void *arg);

/* Bytes that are wanted and still missing, and bytes free on that file system as seen within the last second or so (-1:
 * unknown): for the message before a transfer, and to see when there is room again. */
void store_room(struct store *s, uint64_t *missing, int64_t *room);
/* While it is opened: bytes of what was there already that are hashed, and are to be. */
void store_progress(const struct store *s, uint64_t *done, uint64_t *total);

#endif
