/* The chunked transfer coding (RFC 9112, 7.1), decoded strictly: sizes are plain hexadecimal digits, lines end in CRLF.
 * Extensions and trailers are skipped. */
#ifndef TIGHTWAD_HTTP_CHUNKED_H
#define TIGHTWAD_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

enum chunked_result {
    CHUNKED_DATA, /* *data, *n: some bytes of the body */
    CHUNKED_MORE, /* the input is used up */
    CHUNKED_END,  /* the body is complete; what is left of the input belongs to what follows */
    CHUNKED_BAD,  /* not the chunked coding */
};

struct chunked {
    int state;
    uint64_t left;   /* bytes of the chunk still to come */
    unsigned digits; /* of the size read so far */
    size_t skipped;  /* bytes of extensions and trailers */
};

/* To be called before a body begins. */
void chunked_init(struct chunked *c);

/* Takes bytes from *in (moving it and *len on) until there is something to say.  *data points into the input. */
enum chunked_result chunked_next(struct chunked *c, const char **in, size_t *len, const char **data, size_t *n);

#endif
