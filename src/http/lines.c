#include "http/lines.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

struct lines {
    enum lines_kind kind;
    lines_cb *fn;
    void *arg;
    struct buf line;  /* the line so far */
    struct buf event; /* SSE: the data of the event so far, each line followed by a newline */
    char name[32];    /* SSE: of the event so far, "" none */
    bool first;       /* no line was seen yet: a byte order mark may stand here */
    bool after_cr;    /* the last byte was CR: a following LF belongs to it */
    bool failed;
    bool feeding, destroyed; /* destroyed from inside its callback: freed when that has returned */
};

struct lines *lines_create(enum lines_kind kind, size_t max_line, lines_cb *fn, void *arg)
{
    struct lines *l = xcalloc(1, sizeof(*l));

    l->kind = kind;
    l->fn = fn;
    l->arg = arg;
    l->first = true;
    buf_init(&l->line, max_line);
    buf_init(&l->event, max_line < SIZE_MAX ? max_line + 1 : max_line);
    return l;
}

void lines_destroy(struct lines *l)
{
    if (!l)
        return;
    if (l->feeding) {
        l->destroyed = true;
        return;
    }
    buf_finish(&l->line);
    buf_finish(&l->event);
    free(l);
}

/* The value of a line FIELD: VALUE, or NULL when the line has another field. */
static const char *field(const struct lines *l, const char *name, size_t *len)
{
    size_t n = strlen(name);
    const char *s = l->line.data + n;

    if (l->line.len < n || memcmp(l->line.data, name, n) != 0 || (l->line.len > n && *s != ':'))
        return NULL;
    *len = l->line.len - n;
    for (const char *skip = ": "; *skip != '\0' && *len > 0 && *s == *skip; skip++) {
        s++;
        (*len)--;
    }
    return s;
}

static bool event_line(struct lines *l)
{
    size_t len;
    const char *value;

    if (l->line.len == 0) {
        /* A blank line ends the event; one without data is none. */
        if (l->event.len > 0) {
            l->event.data[--l->event.len] = '\0';
            l->fn(l->arg, l->event.data, l->event.len);
        }
        buf_clear(&l->event);
        l->name[0] = '\0';
        return true;
    }
    if ((value = field(l, "data", &len)) != NULL)
        return buf_add(&l->event, value, len) && buf_addc(&l->event, '\n');
    if ((value = field(l, "event", &len)) != NULL)
        snprintf(l->name, sizeof(l->name), "%.*s", (int)len, value);
    return true;
}

const char *lines_event(const struct lines *l)
{
    return l->name;
}

static bool end_line(struct lines *l)
{
    bool ok = true;

    if (l->first && l->line.len >= 3 && memcmp(l->line.data, "\xef\xbb\xbf", 3) == 0)
        buf_drop(&l->line, 3);
    l->first = false;
    if (l->kind == LINES_SSE)
        ok = event_line(l);
    else if (l->line.len > 0)
        l->fn(l->arg, l->line.data, l->line.len);
    buf_clear(&l->line);
    return ok;
}

static bool feed(struct lines *l, const char *data, size_t len)
{
    size_t i = 0;

    while (i < len && !l->destroyed) {
        size_t n = 0;

        if (l->after_cr && data[i] == '\n') {
            l->after_cr = false;
            i++;
            continue;
        }
        l->after_cr = false;
        while (i + n < len && data[i + n] != '\n' && data[i + n] != '\r')
            n++;
        if (!buf_add(&l->line, data + i, n))
            return false;
        i += n;
        if (i == len)
            break;
        l->after_cr = data[i++] == '\r';
        if (!end_line(l))
            return false;
    }
    return true;
}

bool lines_feed(struct lines *l, const char *data, size_t len)
{
    if (l->failed)
        return false;
    l->feeding = true;
    l->failed = !feed(l, data, len);
    l->feeding = false;
    if (l->destroyed) {
        lines_destroy(l);
        return false;
    }
    return !l->failed;
}

void lines_end(struct lines *l)
{
    /* An event without its blank line is incomplete and dropped, as the specification of event streams has it. */
    if (l->failed || l->kind == LINES_SSE || l->line.len == 0)
        return;
    l->feeding = true;
    end_line(l);
    l->feeding = false;
    if (l->destroyed)
        lines_destroy(l);
}
