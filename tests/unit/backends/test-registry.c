/* The registry, `auto`, the promises of every call (deferred, once, cancellable), and the comparison of vocabularies.
 */
#include "got.h"
#include "tests.h"

#include <string.h>

#include "base/mem.h"

static void registry_kinds(void **state)
{
    for (size_t i = 1; backend_kinds[i] != NULL; i++)
        assert_true(strcmp(backend_kinds[i - 1]->name, backend_kinds[i]->name) < 0);
    assert_non_null(backend_kind("node"));
    assert_null(backend_kind("nodes"));
    struct config_server cfg = {.url = "http://x", .backend = "vllm"};
    char *cause = NULL;
    assert_null(backend_create(NULL, NULL, &cfg, &cause));
    assert_contains(cause, "vllm");
    free(cause);
    backend_destroy(NULL);
    backend_session_close(NULL);
    backend_cancel(NULL);
}

static void destroy_backend(struct got *g)
{
    struct bench *t = g->extra;
    backend_destroy(t->b);
    t->b = NULL;
}

/* A backend may be destroyed in a callback; the other calls are gone without one. */
static void registry_destroy_in_callback(void **state)
{
    struct bench t;
    struct got a = {.in_callback = destroy_backend}, b = {0}, c = {0};
    struct sampler_params p;
    sampler_params_init(&p);
    bench_init(&t, "ollama", NULL, NULL);
    a.extra = &t;
    backend_session_open(t.b, &p, 0);
    fake_hang(t.fake, "GET /api/version");
    backend_probe(t.b, 0, got_probe, &b);
    backend_tokenize(t.b, "x", 1, false, got_tokens, &a);
    backend_detokenize(t.b, NULL, 0, got_text, &c);
    backend_cancel(backend_render(t.b, NULL, got_tokens, &c));
    assert_false(a.done);
    loop_until(t.base, &a.done);
    assert_got_error(&a, BACKEND_UNSUPPORTED);
    assert_contains(a.message, "ollama");
    loop_for(t.base, 20);
    assert_int_equal(b.calls, 0);
    assert_true(c.calls <= 1);
    sampler_params_finish(&p);
    bench_finish(&t);
}

static void registry_auto(void **state)
{
    static const struct {
        const char *key, *reply, *kind;
    } cases[] = {
        {"GET /v1/node", "{\"protocol\":1,\"n_vocab\":8,\"fingerprint\":\"\"}", "node"},
        {"GET /props", "{\"default_generation_settings\":{\"n_ctx\":9}}", "llamacpp"},
        {"GET /api/version", "{\"version\":\"1\"}", "ollama"},
        {"GET /v1/models", "{\"data\":[{\"id\":\"m\"}]}", "openai"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench t;
        struct got g;
        bench_init(&t, "auto", NULL, NULL);
        fake_always(t.fake, cases[i].key, 200, cases[i].reply);
        fake_always(t.fake, "GET /health", 200, "{}");
        fake_always(t.fake, "GET /api/tags", 200, "{\"models\":[{\"name\":\"m\"}]}");
        fake_always(t.fake, "POST /api/show", 200, "{}");
        if (i == 1)
            fake_always(t.fake, "GET /v1/models", 200, "{\"data\":[]}");
        bench_probe(&t, t.b, &g);
        assert_string_equal(t.b->ops->name, cases[i].kind);
        bench_probe(&t, t.b, &g);
        bench_finish(&t);
    }
}

static void registry_auto_finds_nothing(void **state)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "auto", NULL, NULL);
    backend_probe(t.b, 1000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "Ollama");
    memset(&g, 0, sizeof(g));
    backend_tokenize(t.b, "x", 1, false, got_tokens, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    /* then Ollama is started there, and later a node takes its place */
    fake_reply(t.fake, "GET /api/version", 200, "{\"version\":\"1\"}");
    fake_reply(t.fake, "GET /api/version", 200, "{\"version\":\"1\"}");
    fake_reply(t.fake, "GET /api/tags", 200, "{\"models\":[{\"name\":\"m\"}]}");
    fake_always(t.fake, "POST /api/show", 200, "{}");
    bench_probe(&t, t.b, &g);
    assert_string_equal(t.b->ops->name, "ollama");
    fake_always(t.fake, "GET /v1/node", 200, "{\"protocol\":1,\"n_vocab\":8,\"fingerprint\":\"\"}");
    memset(&g, 0, sizeof(g));
    backend_probe(t.b, 1000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    bench_probe(&t, t.b, &g);
    assert_string_equal(t.b->ops->name, "node");
    bench_finish(&t);
}

static void registry_auto_hangs(void **state)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "auto", NULL, NULL);
    fake_hang(t.fake, "GET /v1/node");
    backend_probe(t.b, 80, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    /* the kind is known, the rest of the probe hangs */
    memset(&g, 0, sizeof(g));
    fake_always(t.fake, "GET /props", 200, "{\"default_generation_settings\":{\"n_ctx\":9}}");
    fake_hang(t.fake, "GET /health");
    backend_probe(t.b, 200, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    bench_finish(&t);
}

#define PRINT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PRINT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void compare_prints(const char *print_a, int n_a, const char *print_b, int n_b, const char *prefix_reply,
                           enum backend_vocab_match match, const char *words)
{
    struct bench t, u;
    struct got g;
    char *info = xasprintf("{\"protocol\":1,\"n_vocab\":%d,\"fingerprint\":\"%s\"}", n_a, print_a);
    bench_init(&t, "node", NULL, NULL);
    u = t;
    u.fake = fake_create(t.base);
    u.b = bench_backend(&t, "node", fake_url(u.fake), NULL);
    fake_always(t.fake, "GET /v1/node", 200, info);
    free(info);
    info = xasprintf("{\"protocol\":1,\"n_vocab\":%d,\"fingerprint\":\"%s\"}", n_b, print_b);
    fake_always(u.fake, "GET /v1/node", 200, info);
    free(info);
    fake_always(t.fake, "GET /v1/node/vocab?n=640", 200, prefix_reply);
    fake_always(u.fake, "GET /v1/node/vocab?n=640", 200, prefix_reply);
    bench_probe(&t, t.b, &g);
    bench_probe(&t, u.b, &g);
    memset(&g, 0, sizeof(g));
    backend_compare_vocab(t.b, u.b, got_vocab, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_int_equal(g.match, match);
    assert_contains(g.message, words);
    backend_destroy(u.b);
    fake_destroy(u.fake);
    bench_finish(&t);
}

static void registry_vocab_by_print(void **state)
{
    static const char same[] = "{\"n\":640,\"fingerprint\":\"" PRINT_A "\"}";
    compare_prints(PRINT_A, 640, PRINT_A, 640, "", BACKEND_VOCAB_SAME, "640");
    compare_prints(PRINT_A, 640, PRINT_B, 640, "", BACKEND_VOCAB_DIFFERENT, "not the same");
    compare_prints(PRINT_A, 640, PRINT_B, 704, same, BACKEND_VOCAB_PADDED, "64 of padding");
    compare_prints(PRINT_B, 704, PRINT_A, 640, same, BACKEND_VOCAB_PADDED, "64 of padding");
    compare_prints(PRINT_B, 640, PRINT_A, 704, same, BACKEND_VOCAB_DIFFERENT, "differ");
    compare_prints(PRINT_A, 640, PRINT_B, 704, "{\"n\":640}", BACKEND_VOCAB_UNKNOWN, "cannot be compared");
}

static void registry_vocab_sampled(void **state)
{
    static const char llama_props[] = "{\"default_generation_settings\":{\"n_ctx\":9},\"total_slots\":1}";
    static const struct {
        const char *n_vocab, *tokens;
        enum backend_vocab_match match;
        const char *words;
    } cases[] = {
        {"640", "{\"tokens\":[1,2]}", BACKEND_VOCAB_SAMPLED, "tokenize alike"},
        {"704", "{\"tokens\":[1,2]}", BACKEND_VOCAB_SAMPLED, "tokenize alike"},
        {"640", "{\"tokens\":[1,3]}", BACKEND_VOCAB_DIFFERENT, "other ids"},
        {"640", "{\"tokens\":[1,2,3]}", BACKEND_VOCAB_DIFFERENT, "2 and 3"},
        {"32000", "{\"tokens\":[1,2]}", BACKEND_VOCAB_DIFFERENT, "32000"},
        {"640", "{}", BACKEND_VOCAB_UNKNOWN, "cannot be asked"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench t;
        struct got g;
        bench_init(&t, "node", NULL, NULL);
        fake_always(t.fake, "GET /v1/node", 200, "{\"protocol\":1,\"n_vocab\":640,\"fingerprint\":\"" PRINT_A "\"}");
        fake_always(t.fake, "POST /v1/node/tokenize", 200, "{\"tokens\":[1,2]}");
        fake_always(t.fake, "GET /health", 200, "{}");
        fake_always(t.fake, "GET /props", 200, llama_props);
        char *list = xasprintf("{\"data\":[{\"id\":\"m\",\"meta\":{\"n_vocab\":%s}}]}", cases[i].n_vocab);
        fake_always(t.fake, "GET /v1/models", 200, list);
        free(list);
        fake_reply(t.fake, "POST /tokenize", 200, "{\"tokens\":[1]}");
        fake_always(t.fake, "POST /tokenize", 200, cases[i].tokens);
        struct backend *d = bench_backend(&t, "llamacpp", fake_url(t.fake), NULL);
        bench_probe(&t, t.b, &g);
        bench_probe(&t, d, &g);
        memset(&g, 0, sizeof(g));
        backend_compare_vocab(t.b, d, got_vocab, &g);
        loop_until(t.base, &g.done);
        assert_int_equal(g.match, cases[i].match);
        assert_contains(g.message, cases[i].words);
        backend_cancel(backend_compare_vocab(t.b, d, got_vocab, &g));
        struct backend_call *c = backend_compare_vocab(t.b, d, got_vocab, &g);
        loop_for(t.base, 1);
        if (g.calls == 1)
            backend_cancel(c);
        backend_destroy(d);
        bench_finish(&t);
    }
}

const struct CMUnitTest registry_tests[] = {
    cmocka_unit_test(registry_kinds),         cmocka_unit_test(registry_destroy_in_callback),
    cmocka_unit_test(registry_auto),          cmocka_unit_test(registry_auto_finds_nothing),
    cmocka_unit_test(registry_auto_hangs),    cmocka_unit_test(registry_vocab_by_print),
    cmocka_unit_test(registry_vocab_sampled),
};
const size_t registry_count = ARRAY_LEN(registry_tests);
