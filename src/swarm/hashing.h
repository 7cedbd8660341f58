/* SHA-256 of ranges of a file, on all threads of a crew: the work behind manifest_make and `tightwad manifest verify`.
 */
#ifndef TIGHTWAD_SWARM_HASHING_H
#define TIGHTWAD_SWARM_HASHING_H

#include <stddef.h>
#include <stdint.h>

#include "base/crew.h"
#include "swarm/manifest.h"

struct hashing;

/* why: NULL, or what went wrong (the file can't be read, or ends too early).  Called once, never before hashing_start
 * has returned; the hashing is gone then. */
typedef void hashing_done_cb(void *arg, const char *why);

/* Fills the sha256 of n >= 1 pieces from their offset and size.  piece is borrowed until done or hashing_cancel; fd
 * may be closed at once.  NULL where no descriptor is left. */
struct hashing *hashing_start(struct crew *crew, int fd, struct manifest_piece *piece, size_t n, hashing_done_cb *done,
                              void *arg);
uint64_t hashing_bytes(const struct hashing *h); /* hashed so far */
void hashing_cancel(struct hashing *h);          /* done is not called; not inside it; NULL is fine */

#endif
