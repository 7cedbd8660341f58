#include "config/splice.h"

#include <stdlib.h>
#include <string.h>

#include "config/value.h"

void splice_init(struct splice *s, const char *text, size_t len)
{
    *s = (struct splice){.text = text, .len = len, .eol = memmem(text, len, "\r\n", 2) ? "\r\n" : "\n"};
    buf_init(&s->out, TREE_BYTES_MAX);
}

void splice_finish(struct splice *s)
{
    buf_finish(&s->out);
}

/* The tree counts characters; a byte-order mark counts as one. */
size_t splice_byte(const struct splice *s, size_t chars)
{
    size_t at = 0;
    for (; at < s->len; at++) {
        if (((unsigned char)s->text[at] & 0xc0) != 0x80 && chars-- == 0)
            break;
    }
    return at;
}

size_t splice_line_start(const struct splice *s, size_t at)
{
    while (at > 0 && s->text[at - 1] != '\n')
        at--;
    return at;
}

/* The first byte of the next line. */
size_t splice_line_end(const struct splice *s, size_t at)
{
    while (at < s->len && s->text[at] != '\n')
        at++;
    return at < s->len ? at + 1 : at;
}

/* Where the line after the last one of t begins. */
size_t splice_after(const struct splice *s, const struct tree *t)
{
    while (t->kind != TREE_SCALAR && !t->flow && t->n > 0)
        t = t->items[t->n - 1];
    size_t at = splice_byte(s, t->end), from = splice_byte(s, t->start);
    while (at > from && strchr(" \t\r\n", s->text[at - 1]))
        at--;
    return splice_line_end(s, at > from ? at - 1 : at);
}

void splice_keep(struct splice *s, size_t at)
{
    if (at > s->done)
        buf_add(&s->out, s->text + s->done, at - s->done);
    s->done = at;
}

void splice_skip(struct splice *s, size_t at)
{
    s->done = at;
}

void splice_put(struct splice *s, const char *text)
{
    buf_adds(&s->out, text);
}

/* Begins a line, also after a last line that has no end. */
static void new_line(struct splice *s)
{
    if (s->out.len > 0 && s->out.data[s->out.len - 1] != '\n')
        buf_adds(&s->out, s->eol);
}

void splice_put_line(struct splice *s, size_t indent, const char *prefix, const char *key, const char *value)
{
    new_line(s);
    buf_printf(&s->out, "%*s%s%s:", (int)indent, "", prefix, key);
    char *v = value ? value_yaml(value) : NULL;
    if (v)
        buf_printf(&s->out, " %s", v);
    buf_adds(&s->out, s->eol);
    free(v);
}
