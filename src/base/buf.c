#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What data points to while nothing is allocated (size 0); never written, so an empty buffer owns nothing. */
static char nothing[1];

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.data = nothing, .max = max};
}

void buf_finish(struct buf *b)
{
    if (b->size != 0)
        free(b->data);
    *b = (struct buf){0};
}

static bool reserve(struct buf *b, size_t more)
{
    if (more > b->max || b->len > b->max - more)
        return false;
    size_t need = b->len + more + 1;
    if (need > b->size) {
        size_t size = b->size < 64 ? 64 : b->size * 2;
        if (size < need)
            size = need;
        b->data = xrealloc(b->size == 0 ? NULL : b->data, size);
        b->data[b->len] = '\0';
        b->size = size;
    }
    return true;
}

bool buf_add(struct buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return false;
    if (len != 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

bool buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

bool buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    bool ok = buf_adds(b, s);
    free(s);
    return ok;
}

void buf_drop(struct buf *b, size_t n)
{
    if (b->size == 0)
        return;
    if (n > b->len)
        n = b->len;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->size != 0)
        b->data[0] = '\0';
}

char *buf_steal(struct buf *b)
{
    char *s = b->size == 0 ? xcalloc(1, 1) : b->data;
    buf_init(b, b->max);
    return s;
}
