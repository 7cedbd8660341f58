/* A set of pieces. */
#ifndef TIGHTWAD_SWARM_BITS_H
#define TIGHTWAD_SWARM_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bits {
    uint8_t *byte; /* owned; piece i is bit 7 - i % 8 of byte i / 8 (as BitTorrent's BEP 3 has it); spare bits are 0 */
    size_t n;      /* pieces */
    size_t count;  /* of them in the set */
};

void bits_init(struct bits *b, size_t n); /* empty */
void bits_finish(struct bits *b);
void bits_copy(struct bits *to, const struct bits *from); /* to: zeroed or in use */
bool bits_has(const struct bits *b, size_t i);            /* false for i >= n */
bool bits_set(struct bits *b, size_t i, bool on);         /* whether that changed anything */
void bits_fill(struct bits *b);                           /* all of them */
bool bits_full(const struct bits *b);

/* Base64 (RFC 4648, with padding) of the bytes.  Owned by the caller. */
char *bits_to_text(const struct bits *b);
/* Into b, which has its n: 0; or -1 and a cause, and b is as it was: not base64, another length, or spare bits set. */
int bits_from_text(struct bits *b, const char *text, char **cause);

#endif
