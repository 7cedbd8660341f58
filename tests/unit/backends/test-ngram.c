/* A drafter without a server must be one like any other: up at once, for any target, answering from the loop. */
#include "got.h"
#include "tests.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static struct backend *ngram_backend(struct bench *t)
{
    struct config_server cfg = {.backend = "ngram"};
    char *cause = NULL;
    struct backend *b = backend_create(t->base, t->http, &cfg, &cause);
    assert_non_null(b);
    return b;
}

static void ngram_is_up(void **state)
{
    struct bench t;
    struct got g = {0}, same = {0}, no = {0};
    bench_init(&t, "node", NULL, NULL);
    struct backend *b = ngram_backend(&t);
    assert_string_equal(b->cfg.name, "ngram");
    assert_string_equal(b->cfg.url, "");
    backend_probe(b, 100, got_probe, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_true(b->info.known && b->info.caps.draft_tokens && b->info.caps.draft_stream);
    assert_false(b->info.caps.verify || b->info.caps.generate || b->info.caps.tokenize);
    /* the same vocabulary as any target's, which is not asked */
    t.b->info.known = true;
    t.b->info.n_vocab = 640;
    strcpy(t.b->info.fingerprint, "abc");
    backend_compare_vocab(t.b, b, got_vocab, &same);
    loop_until(t.base, &same.done);
    assert_int_equal(same.match, BACKEND_VOCAB_SAME);
    assert_int_equal(fake_open(t.fake), 0);
    backend_tokenize(b, "x", 1, false, got_tokens, &no);
    loop_until(t.base, &no.done);
    assert_got_error(&no, BACKEND_UNSUPPORTED);
    assert_contains(no.message, "ngram");
    backend_destroy(b);
    bench_finish(&t);
}

static void ngram_drafts(void **state)
{
    static const int32_t path[] = {9, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3};
    struct bench t;
    struct got g = {0}, none = {0}, sure = {0};
    struct sampler_params p;
    sampler_params_init(&p);
    bench_init(&t, "node", NULL, NULL);
    struct backend *b = ngram_backend(&t);
    struct backend_session *s = backend_session_open(b, &p, ARRAY_LEN(path));
    backend_draft(s, path, ARRAY_LEN(path), 4, 0, 1000, got_draft, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 4, 5, 6, 7);
    assert_true(g.has_probs && g.probs[0] > 0 && g.probs[0] < 1);
    backend_draft(s, path, 8, 4, 0, 1000, got_draft, &none); /* a path that was cut back, and repeats nothing */
    loop_until(t.base, &none.done);
    assert_got_error(&none, BACKEND_OK);
    assert_int_equal(none.n, 0);
    backend_draft(s, path, ARRAY_LEN(path), 4, 0.999f, 1000, got_draft, &sure);
    loop_until(t.base, &sure.done);
    assert_int_equal(sure.n, 0);
    backend_session_close(s);
    backend_destroy(b);
    bench_finish(&t);
    sampler_params_finish(&p);
}

struct line {
    int32_t tokens[16];
    float probs[16];
    size_t n;
};

static void on_drafted(void *arg, const struct backend_drafted *d)
{
    struct line *l = arg;
    assert_int_equal(d->branch, 0);
    assert_int_equal(d->index, l->n);
    for (size_t i = 0; i < d->n && l->n < ARRAY_LEN(l->tokens); i++) {
        l->tokens[l->n] = d->tokens[i];
        l->probs[l->n++] = d->probs[i];
    }
}

static void on_over(void *arg, const struct backend_status *st)
{
    assert_int_equal(st->error, BACKEND_OK);
    ((struct line *)arg)->probs[15] = -1;
}

static void stream(struct bench *t, struct backend_session *s, const int32_t *path, size_t n_path, size_t known,
                   size_t n, struct line *l)
{
    struct backend_draft_ask ask = {.n = n, .from = known, .first = n};
    *l = (struct line){0};
    backend_draft_stream(s, path, n_path, &ask, 1000, on_drafted, on_over, l);
    assert_int_equal(l->n, 0);
    while (l->probs[15] >= 0)
        event_base_loop(t->base, EVLOOP_ONCE);
}

/* What is drafted behind a draft that turned out wrong taught nothing: only what is known to be right does. */
static void ngram_learns_what_is_right(void **state)
{
    static const int32_t prompt[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    int32_t path[400], wrong = 1000;
    struct bench t;
    struct line l;
    struct sampler_params p;
    sampler_params_init(&p);
    bench_init(&t, "node", NULL, NULL);
    struct backend *b = ngram_backend(&t);
    struct backend_session *s = backend_session_open(b, &p, ARRAY_LEN(prompt));
    memcpy(path, prompt, sizeof(prompt));
    size_t n = ARRAY_LEN(prompt);
    float first = 0;
    /* Each time 1 2 3 is followed by something new, though the draft says otherwise, and a longer draft yet. */
    for (int round = 0; round < 30; round++) {
        memcpy(path + n, prompt, 3 * sizeof(*path));
        n += 3;
        stream(&t, s, path, n, n, 2, &l);
        assert_int_equal(l.n, 2);
        if (round == 0)
            first = l.probs[0];
        float newest = l.probs[0];
        memcpy(path + n, l.tokens, l.n * sizeof(*path));
        stream(&t, s, path, n + l.n, n, 4, &l);
        assert_true(round < 29 || newest < first / 3);
        path[n++] = wrong++;
    }
    struct backend_call *c =
        backend_draft_stream(s, path, n, &(struct backend_draft_ask){.n = 8}, 0, on_drafted, on_over, &l);
    backend_cancel(c);
    backend_draft_stream(s, path, n, &(struct backend_draft_ask){.n = 8}, 0, on_drafted, on_over, &l);
    backend_session_close(s);
    loop_for(t.base, 10);
    backend_destroy(b);
    bench_finish(&t);
    sampler_params_finish(&p);
}

const struct CMUnitTest ngram_tests[] = {
    cmocka_unit_test(ngram_is_up),
    cmocka_unit_test(ngram_drafts),
    cmocka_unit_test(ngram_learns_what_is_right),
};
const size_t ngram_count = ARRAY_LEN(ngram_tests);
