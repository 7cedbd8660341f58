/* A growable byte buffer with a cap.  data is always NUL-terminated (the NUL is not counted). */
#ifndef TIGHTWAD_BASE_BUF_H
#define TIGHTWAD_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;  /* owned; never NULL after buf_init */
    size_t len;  /* bytes used */
    size_t size; /* bytes allocated */
    size_t max;  /* most bytes that len may reach */
};

void buf_init(struct buf *b, size_t max);
void buf_finish(struct buf *b); /* frees; may be used again after buf_init */

/* These return false and change nothing when max would be passed. */
bool buf_add(struct buf *b, const void *data, size_t len);
bool buf_adds(struct buf *b, const char *s);
bool buf_addc(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void buf_drop(struct buf *b, size_t n); /* removes the first n bytes (at most len) */
void buf_clear(struct buf *b);
char *buf_steal(struct buf *b); /* the text, owned by the caller; the buffer is empty again and owns nothing */

#endif
