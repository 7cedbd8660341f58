#include "engines/compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    COMPARE_TOKENS = 8, /* of a draft */
    TEXT_MAX = 16 * 1024 * 1024,
};

enum compare_state {
    COMPARE_RENDER,   /* the drafter turns the prompt into tokens */
    COMPARE_IDLE,     /* the next text starts a draft */
    COMPARE_TOKENIZE, /* the target's text so far becomes tokens */
    COMPARE_DRAFT,
    COMPARE_PIECES, /* the draft becomes text, token by token */
    COMPARE_WAIT,   /* for enough of the target's text */
    COMPARE_OFF,    /* something failed: no more of it for this answer */
};

struct compare {
    struct proxy_answer *a;
    struct member *member;
    enum compare_state state;
    struct backend_call *call;
    struct backend_session *session;
    int32_t *prompt, *path, draft[COMPARE_TOKENS];
    size_t n_prompt, n_path, n_draft;
    size_t piece_end[COMPARE_TOKENS]; /* where each drafted token ends in drafted */
    size_t n_pieces;
    struct buf text;    /* the target's, all of it */
    size_t base;        /* bytes of it that the draft continues */
    struct buf drafted; /* the draft as text */
};

static void start_draft(struct compare *c);

static bool failed(struct compare *c, const struct backend_status *st)
{
    c->call = NULL;
    if (st->error != BACKEND_OK)
        c->state = COMPARE_OFF;
    return st->error != BACKEND_OK;
}

static void check(struct compare *c)
{
    size_t have = c->text.len - c->base;
    if (have < c->drafted.len)
        return;
    size_t accepted = 0;
    while (accepted < c->n_pieces && memcmp(c->text.data + c->base, c->drafted.data, c->piece_end[accepted]) == 0)
        accepted++;
    proxy_count_compared(c->a, c->member, c->n_pieces, accepted);
    c->state = COMPARE_IDLE;
}

static void on_piece(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct compare *c = arg;
    if (failed(c, st))
        return;
    /* Each answer is the text of one more token of the draft than the one before. */
    buf_clear(&c->drafted);
    buf_add(&c->drafted, text, len);
    c->piece_end[c->n_pieces++] = len;
    if (c->n_pieces < c->n_draft) {
        c->call = backend_detokenize(c->member->backend, c->draft, c->n_pieces + 1, on_piece, c);
        return;
    }
    c->state = COMPARE_WAIT;
    check(c);
}

static void on_draft(void *arg, const struct backend_status *st, const struct backend_draft *d)
{
    struct compare *c = arg;
    if (failed(c, st))
        return;
    member_ok(c->member, st->elapsed_us, d->n);
    c->n_draft = d->n < COMPARE_TOKENS ? d->n : COMPARE_TOKENS;
    c->n_pieces = 0;
    if (c->n_draft == 0) {
        c->state = COMPARE_OFF;
        return;
    }
    memcpy(c->draft, d->tokens, c->n_draft * sizeof(*c->draft));
    c->state = COMPARE_PIECES;
    c->call = backend_detokenize(c->member->backend, c->draft, 1, on_piece, c);
}

static void on_tokenized(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct compare *c = arg;
    if (failed(c, st))
        return;
    c->n_path = c->n_prompt + n;
    c->path = xreallocarray(c->path, c->n_path, sizeof(*c->path));
    memcpy(c->path, c->prompt, c->n_prompt * sizeof(*c->path));
    if (n > 0)
        memcpy(c->path + c->n_prompt, tokens, n * sizeof(*c->path));
    c->state = COMPARE_DRAFT;
    c->call = backend_draft(c->session, c->path, c->n_path, COMPARE_TOKENS, 0.0f,
                            (int)proxy_settings(c->a->proxy)->draft_timeout_ms, on_draft, c);
}

static void start_draft(struct compare *c)
{
    c->base = c->text.len;
    c->state = COMPARE_TOKENIZE;
    c->call = backend_tokenize(c->member->backend, c->text.data, c->text.len, false, on_tokenized, c);
}

static void on_prompt(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct compare *c = arg;
    if (failed(c, st))
        return;
    c->prompt = xmemdup(tokens, n * sizeof(*tokens));
    c->n_prompt = n;
    c->session = backend_session_open(c->member->backend, &c->a->req.sampling, n);
    c->state = COMPARE_IDLE;
    start_draft(c);
}

struct compare *compare_create(struct proxy_answer *a)
{
    struct member *m = proxy_compare_drafter(a->proxy);
    if (m == NULL || !a->req.chat)
        return NULL;
    struct compare *c = xcalloc(1, sizeof(*c));
    c->a = a;
    c->member = m;
    buf_init(&c->text, TEXT_MAX);
    buf_init(&c->drafted, TEXT_MAX);
    c->call = backend_render(m->backend, a->req.messages, on_prompt, c);
    return c;
}

void compare_destroy(struct compare *c)
{
    if (c == NULL)
        return;
    if (c->call != NULL)
        backend_cancel(c->call);
    backend_session_close(c->session);
    buf_finish(&c->text);
    buf_finish(&c->drafted);
    free(c->prompt);
    free(c->path);
    free(c);
}

struct member *compare_member(const struct compare *c)
{
    return c->member;
}

void compare_text(struct compare *c, const char *text, size_t len)
{
    if (c->state == COMPARE_OFF || len < c->text.len || !buf_add(&c->text, text + c->text.len, len - c->text.len))
        return;
    if (c->state == COMPARE_WAIT)
        check(c);
    if (c->state == COMPARE_IDLE && c->session != NULL)
        start_draft(c);
}
