#include "ui/field.h"

#include <string.h>

#include <ncurses.h>

enum { CTRL_U = 0x15 };

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t before(const struct field *f, size_t at)
{
    while (at > 0 && continues(f->text[--at]))
        ;
    return at;
}

static size_t after(const struct field *f, size_t at)
{
    if (at < f->len)
        at++;
    while (at < f->len && continues(f->text[at]))
        at++;
    return at;
}

/* Removes the bytes from..to; the cursor stands at from. */
static void cut(struct field *f, size_t from, size_t to)
{
    memmove(f->text + from, f->text + to, f->len - to + 1);
    f->len -= to - from;
    f->at = from;
}

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xf0) | c);
    return n;
}

void field_set(struct field *f, const char *text)
{
    *f = (struct field){0};
    for (; *text != '\0' && f->len + 1 < FIELD_MAX; text++) {
        if ((unsigned char)*text >= ' ' && *text != 0x7f)
            f->text[f->len++] = *text;
    }
    if (continues(*text)) /* the cap fell into a character */
        f->len = before(f, f->len);
    f->text[f->len] = '\0';
    f->at = f->len;
}

bool field_type(struct field *f, uint32_t c)
{
    char bytes[4];
    if (c < ' ' || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
        return false;
    size_t n = encode(c, bytes);
    if (f->len + n >= FIELD_MAX)
        return false;
    memmove(f->text + f->at + n, f->text + f->at, f->len - f->at + 1);
    memcpy(f->text + f->at, bytes, n);
    f->len += n;
    f->at += n;
    return true;
}

bool field_key(struct field *f, int key)
{
    switch (key) {
    case KEY_LEFT:
        f->at = before(f, f->at);
        return true;
    case KEY_RIGHT:
        f->at = after(f, f->at);
        return true;
    case KEY_HOME:
        f->at = 0;
        return true;
    case KEY_END:
        f->at = f->len;
        return true;
    case KEY_BACKSPACE:
        cut(f, before(f, f->at), f->at);
        return true;
    case KEY_DC: {
        size_t at = f->at;
        cut(f, at, after(f, at));
        return true;
    }
    case CTRL_U:
        cut(f, 0, f->at);
        return true;
    default:
        return false;
    }
}
