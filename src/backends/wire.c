#include "backends/wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

void wire_add_int(struct buf *b, int64_t v)
{
    char text[24], *p = text + sizeof(text);
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0)
        *--p = '-';
    buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

void wire_add_tokens(struct buf *b, const int32_t *tokens, size_t n)
{
    buf_addc(b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_addc(b, ',');
        wire_add_int(b, tokens[i]);
    }
    buf_addc(b, ']');
}

static int read_id(const json_t *v, const char *what, size_t i, int32_t n_vocab, int32_t *out, char **cause)
{
    json_int_t id = json_integer_value(v);
    if (!json_is_integer(v))
        return cause_set(cause, "%s[%zu] is not a token id", what, i);
    if (id < 0 || id > INT32_MAX || (n_vocab > 0 && id >= n_vocab))
        return cause_set(cause, "%s[%zu] is %lld, outside of the vocabulary of %d tokens", what, i, (long long)id,
                         n_vocab);
    *out = (int32_t)id;
    return 0;
}

int wire_get_tokens(const json_t *list, const char *what, int32_t n_vocab, size_t max, int32_t **out, size_t *n,
                    char **cause)
{
    if (!json_is_array(list))
        return cause_set(cause, "\"%s\" is %s where a list of token ids is expected", what,
                         list == NULL ? "missing" : "something else");
    size_t len = json_array_size(list);
    if (len > max)
        return cause_set(cause, "\"%s\" has %zu tokens where at most %zu were asked for", what, len, max);
    int32_t *ids = xmalloc((len > 0 ? len : 1) * sizeof(*ids));
    for (size_t i = 0; i < len; i++)
        if (read_id(json_array_get(list, i), what, i, n_vocab, &ids[i], cause) < 0) {
            free(ids);
            return -1;
        }
    *out = ids;
    *n = len;
    return 0;
}

void wire_tokens_init(struct wire_tokens *t)
{
    memset(t, 0, sizeof(*t));
}

void wire_tokens_clear(struct wire_tokens *t)
{
    for (size_t i = 0; i < t->n_owned; i++)
        free(t->owned[i]);
    t->n_owned = 0;
    t->n = 0;
}

void wire_tokens_finish(struct wire_tokens *t)
{
    wire_tokens_clear(t);
    free(t->owned);
    free(t->list);
    wire_tokens_init(t);
}

void *wire_tokens_own(struct wire_tokens *t, void *p)
{
    if (t->n_owned == t->size_owned) {
        t->size_owned = t->size_owned > 0 ? t->size_owned * 2 : 16;
        t->owned = xreallocarray(t->owned, t->size_owned, sizeof(*t->owned));
    }
    t->owned[t->n_owned++] = p;
    return p;
}

/* null: the model gave none that is a number */
static bool is_logprob(const json_t *v)
{
    return json_is_number(v) || json_is_null(v);
}

static int read_top(struct wire_tokens *t, struct backend_token *tok, const json_t *list, int32_t n_vocab, char **cause)
{
    size_t n = json_array_size(list);
    if (n == 0)
        return 0;
    if (n > 1000)
        return cause_set(cause, "%zu alternatives for one token", n);
    struct sampler_logprob *top = wire_tokens_own(t, xcalloc(n, sizeof(*top)));
    const char **pieces = wire_tokens_own(t, xcalloc(n, sizeof(*pieces)));
    size_t *lens = wire_tokens_own(t, xcalloc(n, sizeof(*lens)));
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        const json_t *lp = json_array_get(one, 1);
        char *piece = NULL;
        if (read_id(json_array_get(one, 0), "top", i, n_vocab, &top[i].token, cause) < 0)
            return -1;
        if (!is_logprob(lp) || json_piece_get(json_array_get(one, 2), &piece, &lens[i]) < 0)
            return cause_set(cause, "top[%zu] is not [id, logprob, piece]", i);
        top[i].logprob = json_is_null(lp) ? NAN : (float)json_number_value(lp);
        pieces[i] = wire_tokens_own(t, piece);
    }
    tok->top = top;
    tok->top_piece = pieces;
    tok->top_len = lens;
    tok->n_top = n;
    return 0;
}

static int read_logprob(struct wire_tokens *t, struct backend_token *tok, const json_t *v, int32_t n_vocab,
                        char **cause)
{
    const json_t *lp = json_is_object(v) ? json_object_get(v, "logprob") : v;
    if (!is_logprob(lp))
        return cause_set(cause, "a log probability that is not a number");
    tok->has_logprob = true;
    tok->logprob = json_is_null(lp) ? NAN : (float)json_number_value(lp);
    return read_top(t, tok, json_object_get(v, "top"), n_vocab, cause);
}

int wire_tokens_add(struct wire_tokens *t, int32_t id, const json_t *piece, bool end, const json_t *logprob,
                    int32_t n_vocab, char **cause)
{
    struct backend_token tok = {.id = id, .piece = "", .end = end, .logprob = NAN};
    if (id < 0 || (n_vocab > 0 && id >= n_vocab))
        return cause_set(cause, "token %d is outside of the vocabulary of %d tokens", id, n_vocab);
    if (piece != NULL) {
        char *text = NULL;
        if (json_piece_get(piece, &text, &tok.len) < 0)
            return cause_set(cause, "the text of token %d is neither a string nor a list of bytes", id);
        tok.piece = wire_tokens_own(t, text);
    }
    if (logprob != NULL && read_logprob(t, &tok, logprob, n_vocab, cause) < 0)
        return -1;
    if (t->n == t->size) {
        t->size = t->size > 0 ? t->size * 2 : 32;
        t->list = xreallocarray(t->list, t->size, sizeof(*t->list));
    }
    t->list[t->n++] = tok;
    return 0;
}
