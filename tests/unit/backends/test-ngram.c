/* A drafter without a server must be one like any other: up at once, for any target, answering from the loop. */
#include "got.h"
#include "tests.h"

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
    assert_true(b->info.known && b->info.caps.any_vocabulary);
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

const struct CMUnitTest ngram_tests[] = {
    cmocka_unit_test(ngram_is_up),
};
const size_t ngram_count = ARRAY_LEN(ngram_tests);
