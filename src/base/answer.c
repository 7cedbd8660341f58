#include "base/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Far above any context in use; a bug that feeds without end stops here rather than in swap. */
enum { TEXT_MAX = 1 << 30 };

struct stop {
    char *text;
    size_t len;
};

struct answer {
    struct stop *stops;
    size_t n_stops;
    int64_t max_tokens, tokens;
    enum answer_finish state;
    char tail[3]; /* beginning of a character whose rest is not there yet */
    size_t n_tail;
    struct buf text; /* whole characters only; cut before the stop string once one is found */
    size_t taken;    /* bytes of text given by answer_take */
    size_t open;     /* bytes of text that may be given: what follows could belong to a stop string */
};

struct answer *answer_create(const char *const *stops, size_t n_stops, int64_t max_tokens)
{
    struct answer *a = xcalloc(1, sizeof(*a));

    a->stops = xcalloc(n_stops ? n_stops : 1, sizeof(*a->stops));
    for (size_t i = 0; i < n_stops; i++) {
        size_t len = strlen(stops[i]);

        /* The text is valid UTF-8 at all times, so a stop string that is not can't occur in it. */
        if (len == 0 || !utf8_valid(stops[i], len))
            continue;
        a->stops[a->n_stops].text = xmemdup(stops[i], len);
        a->stops[a->n_stops++].len = len;
    }
    a->max_tokens = max_tokens;
    buf_init(&a->text, TEXT_MAX);
    if (max_tokens <= 0)
        a->state = ANSWER_LENGTH;
    return a;
}

void answer_destroy(struct answer *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_stops; i++)
        free(a->stops[i].text);
    free(a->stops);
    buf_finish(&a->text);
    free(a);
}

/* Cuts the text before the stop string that was complete first (the longest of those that end together).  Taking the
 * first to be complete makes the result the same however the bytes are grouped.  from: length of the text before the
 * last addition; no stop string was complete then. */
static bool cut_at_stop(struct answer *a, size_t from)
{
    size_t best_start = 0, best_end = SIZE_MAX;

    for (size_t i = 0; i < a->n_stops; i++) {
        const struct stop *s = &a->stops[i];
        size_t begin = from >= s->len ? from - s->len + 1 : 0;
        const char *hit;

        if (a->text.len < begin + s->len)
            continue;
        hit = memmem(a->text.data + begin, a->text.len - begin, s->text, s->len);
        if (hit) {
            size_t start = (size_t)(hit - a->text.data), end = start + s->len;

            if (end < best_end || (end == best_end && start < best_start)) {
                best_start = start;
                best_end = end;
            }
        }
    }
    if (best_end == SIZE_MAX)
        return false;
    a->text.len = best_start;
    a->text.data[best_start] = '\0';
    return true;
}

/* The longest end of the text that is the beginning of a stop string. */
static size_t held_back(const struct answer *a)
{
    size_t most = 0;

    for (size_t i = 0; i < a->n_stops; i++) {
        const struct stop *s = &a->stops[i];
        size_t n = s->len - 1 < a->text.len ? s->len - 1 : a->text.len;

        for (; n > most; n--) {
            if (memcmp(a->text.data + a->text.len - n, s->text, n) == 0) {
                most = n;
                break;
            }
        }
    }
    return most;
}

/* True when a stop string is complete. */
static bool add_text(struct answer *a, const char *s, size_t len)
{
    size_t from = a->text.len;

    if (!utf8_add_repaired(&a->text, s, len))
        return false;
    return cut_at_stop(a, from);
}

static void finish(struct answer *a, enum answer_finish state)
{
    a->state = state;
    if (a->n_tail && add_text(a, a->tail, a->n_tail))
        a->state = ANSWER_STOP;
    a->n_tail = 0;
    a->open = a->text.len;
}

enum answer_finish answer_feed(struct answer *a, const char *piece, size_t len, bool end)
{
    size_t n;

    if (a->state != ANSWER_OPEN)
        return a->state;
    a->tokens++;
    if (end) {
        finish(a, ANSWER_STOP);
        return a->state;
    }
    if (len) {
        char *joined = xmalloc(a->n_tail + len);
        bool stop;

        memcpy(joined, a->tail, a->n_tail);
        memcpy(joined + a->n_tail, piece, len);
        len += a->n_tail;
        n = utf8_incomplete_tail(joined, len);
        memcpy(a->tail, joined + len - n, n);
        a->n_tail = n;
        stop = add_text(a, joined, len - n);
        free(joined);
        if (stop) {
            a->n_tail = 0;
            finish(a, ANSWER_STOP);
            return a->state;
        }
    }
    if (a->tokens >= a->max_tokens) {
        finish(a, ANSWER_LENGTH);
        return a->state;
    }
    a->open = a->text.len - held_back(a);
    return a->state;
}

void answer_cut(struct answer *a)
{
    if (a->state == ANSWER_OPEN)
        finish(a, ANSWER_LENGTH);
}

const char *answer_take(struct answer *a, size_t *len)
{
    const char *s = a->text.data + a->taken;

    *len = a->open - a->taken;
    a->taken = a->open;
    return s;
}

enum answer_finish answer_state(const struct answer *a)
{
    return a->state;
}

const char *answer_finish_name(enum answer_finish f)
{
    switch (f) {
    case ANSWER_STOP:
        return "stop";
    case ANSWER_LENGTH:
        return "length";
    case ANSWER_OPEN:
        break;
    }
    return NULL;
}

int64_t answer_tokens(const struct answer *a)
{
    return a->tokens;
}

const char *answer_text(const struct answer *a, size_t *len)
{
    *len = a->open;
    return a->text.data;
}
