/* Changing a YAML text by the places that the parser remembers: what is not touched stays byte for byte. */
#ifndef TIGHTWAD_CONFIG_SPLICE_H
#define TIGHTWAD_CONFIG_SPLICE_H

#include <stddef.h>

#include "base/buf.h"
#include "config/tree.h"

struct splice {
    const char *text; /* borrowed */
    size_t len;
    const char *eol; /* as the text has it */
    struct buf out;
    size_t done; /* bytes of text that are in out, or left out on purpose */
};

/* text must outlive s. */
void splice_init(struct splice *s, const char *text, size_t len);
void splice_finish(struct splice *s);

/* The byte at which a character of the tree stands. */
size_t splice_byte(const struct splice *s, size_t chars);
/* The first byte of the line that at is in, and of the next one. */
size_t splice_line_start(const struct splice *s, size_t at);
size_t splice_line_end(const struct splice *s, size_t at);
/* The first byte of the line after the last one that t has something in. */
size_t splice_after(const struct splice *s, const struct tree *t);

/* Copies the text up to the byte at, or leaves it out. */
void splice_keep(struct splice *s, size_t at);
void splice_skip(struct splice *s, size_t at);
void splice_put(struct splice *s, const char *text);
/* A line "INDENT PREFIX KEY: VALUE"; value NULL: none.  It begins a line even where the last one had no end. */
void splice_put_line(struct splice *s, size_t indent, const char *prefix, const char *key, const char *value);

#endif
