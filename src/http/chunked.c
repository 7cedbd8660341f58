#include "http/chunked.h"

#include <stdbool.h>
#include <string.h>

enum {
    SKIP_MAX = 8192, /* bytes of extensions and trailers that are put up with */
    DIGITS_MAX = 15, /* of a size: fits uint64_t */
};

enum state {
    SIZE,         /* reading digits */
    EXTENSION,    /* after the size, up to CR */
    SIZE_LF,      /* LF of the size line */
    DATA,         /* inside a chunk */
    DATA_CR,      /* CR after a chunk */
    DATA_LF,      /* LF after a chunk */
    TRAILER,      /* at the start of a trailer line */
    TRAILER_TEXT, /* inside one */
    TRAILER_LF,   /* its LF */
    END_LF,       /* LF of the last line */
    END,
    BAD,
};

void chunked_init(struct chunked *c)
{
    memset(c, 0, sizeof(*c));
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum state expect(char c, char want, enum state next)
{
    return c == want ? next : BAD;
}

static enum state skip(struct chunked *c, char byte, enum state stay, enum state lf)
{
    if (byte == '\r')
        return lf;
    if (byte == '\n' || byte == '\0' || ++c->skipped > SKIP_MAX)
        return BAD;
    return stay;
}

static enum state size_byte(struct chunked *c, char byte)
{
    int digit = hex(byte);

    if (digit >= 0) {
        if (++c->digits > DIGITS_MAX)
            return BAD;
        c->left = c->left * 16 + (unsigned)digit;
        return SIZE;
    }
    if (c->digits == 0)
        return BAD;
    if (byte == '\r')
        return SIZE_LF;
    return byte == ';' || byte == ' ' || byte == '\t' ? EXTENSION : BAD;
}

/* Every state but DATA takes one byte. */
static enum state step(struct chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE:
        return size_byte(c, byte);
    case EXTENSION:
        return skip(c, byte, EXTENSION, SIZE_LF);
    case SIZE_LF:
        c->digits = 0;
        return expect(byte, '\n', c->left > 0 ? DATA : TRAILER);
    case DATA_CR:
        return expect(byte, '\r', DATA_LF);
    case DATA_LF:
        return expect(byte, '\n', SIZE);
    case TRAILER:
        return byte == '\r' ? END_LF : skip(c, byte, TRAILER_TEXT, BAD);
    case TRAILER_TEXT:
        return skip(c, byte, TRAILER_TEXT, TRAILER_LF);
    case TRAILER_LF:
        return expect(byte, '\n', TRAILER);
    case END_LF:
        return expect(byte, '\n', END);
    case DATA:
    case END:
    case BAD:
        break;
    }
    return BAD;
}

enum chunked_result chunked_next(struct chunked *c, const char **in, size_t *len, const char **data, size_t *n)
{
    while (c->state != END && c->state != BAD) {
        if (*len == 0)
            return CHUNKED_MORE;
        if (c->state == DATA) {
            *data = *in;
            *n = c->left < *len ? (size_t)c->left : *len;
            *in += *n;
            *len -= *n;
            c->left -= *n;
            if (c->left == 0)
                c->state = DATA_CR;
            return CHUNKED_DATA;
        }
        c->state = step(c, **in);
        ++*in;
        --*len;
    }
    return c->state == END ? CHUNKED_END : CHUNKED_BAD;
}
