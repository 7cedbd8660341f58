/* The same paths as against the script, against a stock llama-server with a demo model. */
#include "got.h"
#include "real.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct setup {
    struct bench t;
    struct real server;
    struct backend *b;
};

static struct setup *need(void)
{
    static struct setup s;
    if (s.b != NULL)
        return &s;
    if (!real_llama_server(&s.server, "draft", (const char *const[]){"--api-key", "secret", NULL})) {
        print_message("# no llama-server here\n");
        skip();
    }
    bench_init(&s.t, "llamacpp", NULL, NULL);
    struct config_server cfg = {.url = s.server.url, .backend = "auto", .api_key = "secret"};
    s.b = backend_create(s.t.base, s.t.http, &cfg, NULL);
    assert_non_null(s.b);
    return &s;
}

static void render(struct setup *s, struct got *g, const char *text)
{
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", text);
    memset(g, 0, sizeof(*g));
    backend_render(s->b, messages, got_tokens, g);
    loop_until(s->t.base, &g->done);
    assert_got_error(g, BACKEND_OK);
    json_decref(messages);
}

static void real_llama_probe(void **state)
{
    struct setup *s = need();
    struct got g = {0};
    struct backend *keyless = bench_backend(&s->t, "llamacpp", s->server.url, NULL);
    backend_probe(keyless, 5000, got_probe, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "api_key");
    backend_destroy(keyless);
    bench_probe(&s->t, s->b, &g);
    const struct backend_info *i = &s->b->info;
    assert_string_equal(s->b->ops->name, "llamacpp");
    assert_string_equal(i->model, "draft");
    assert_int_equal(i->n_vocab, 640);
    assert_int_equal(i->slots, 2);
    assert_true(i->n_ctx > 0);
    assert_true(i->caps.draft_tokens && i->caps.chat && i->caps.tokenize && i->caps.templated);
    assert_true(i->caps.verify && i->caps.generate && i->verify_max == 1);
    assert_null(i->cannot_verify);
}

static void real_llama_tokenizer(void **state)
{
    struct setup *s = need();
    struct got g = {0}, text = {0};
    backend_tokenize(s->b, "What is 2 + 2? <|im_end|>", 25, true, got_tokens, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.tokens[0], 637); /* BOS */
    size_t with = g.n;
    backend_detokenize(s->b, g.tokens + 1, g.n - 1, got_text, &text);
    loop_until(s->t.base, &text.done);
    assert_string_equal(text.text, "What is 2 + 2? <|im_end|>");
    memset(&g, 0, sizeof(g));
    backend_tokenize(s->b, "What is 2 + 2? <|im_end|>", 25, false, got_tokens, &g);
    loop_until(s->t.base, &g.done);
    assert_true(g.n > with); /* the special token is plain text here */
}

static void real_llama_draft(void **state)
{
    struct setup *s = need();
    struct got p, g = {0}, again = {0}, text = {0};
    struct sampler_params params;
    sampler_params_init(&params);
    render(s, &p, "What is 2 + 2?");
    struct backend_session *session = backend_session_open(s->b, &params, p.n);
    backend_draft(session, p.tokens, p.n, 6, 0, 5000, got_draft, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.n, 6);
    backend_detokenize(s->b, g.tokens, g.n, got_text, &text);
    loop_until(s->t.base, &text.done);
    assert_true(text.text_len > 0);
    /* the same from two tokens further on: greedy drafts continue each other */
    p.tokens[p.n] = g.tokens[0];
    p.tokens[p.n + 1] = g.tokens[1];
    backend_draft(session, p.tokens, p.n + 2, 4, 0, 5000, got_draft, &again);
    loop_until(s->t.base, &again.done);
    assert_got_error(&again, BACKEND_OK);
    assert_int_equal(again.n, 4);
    assert_memory_equal(again.tokens, g.tokens + 2, 4 * sizeof(int32_t));
    /* as far as the drafter believes in it */
    memset(&again, 0, sizeof(again));
    backend_draft(session, p.tokens, p.n, 6, 0.05f, 5000, got_draft, &again);
    loop_until(s->t.base, &again.done);
    assert_got_error(&again, BACKEND_OK);
    assert_true(again.has_probs && again.n > 0);
    assert_memory_equal(again.tokens, g.tokens, again.n * sizeof(int32_t));
    for (size_t i = 0; i < again.n; i++)
        assert_true(again.probs[i] >= 0.05f && again.probs[i] <= 1.001f);
    /* to the end: the last token ends the generation */
    memset(&g, 0, sizeof(g));
    backend_draft(session, p.tokens, p.n, 200, 0, 5000, got_draft, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_true(g.n < 200);
    memset(&text, 0, sizeof(text));
    backend_detokenize(s->b, &g.tokens[g.n - 1], 1, got_text, &text);
    loop_until(s->t.base, &text.done);
    assert_string_equal(text.text, "<|im_end|>");
    backend_session_close(session);
    sampler_params_finish(&params);
}

static void real_llama_too_long(void **state)
{
    struct setup *s = need();
    struct got g = {0};
    struct sampler_params params;
    size_t n = (size_t)s->b->info.n_ctx + 8;
    int32_t *path = xcalloc(n, sizeof(*path));
    for (size_t i = 0; i < n; i++)
        path[i] = 40;
    sampler_params_init(&params);
    struct backend_session *session = backend_session_open(s->b, &params, n);
    backend_draft(session, path, n, 4, 0, 5000, got_draft, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_TOO_LONG);
    backend_session_close(session);
    sampler_params_finish(&params);
    free(path);
}

static void real_llama_chat(void **state)
{
    struct setup *s = need();
    struct got g = {0}, c = {0};
    json_t *request = json_pack("{s:[{s:s,s:s}],s:i,s:i,s:b,s:i}", "messages", "role", "user", "content",
                                "What is 2 + 2?", "max_tokens", 12, "temperature", 0, "logprobs", 1, "top_logprobs", 2);
    backend_chat(s->b, request, true, 5000, got_chat_text, got_chat_done, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_true(g.text_len > 0);
    assert_true(g.has_logprob);
    assert_true(g.prompt_tokens > 5 && g.completion_tokens > 0);
    assert_true(strcmp(g.finish, "length") == 0 || strcmp(g.finish, "stop") == 0);
    json_decref(request);
    request = json_pack("{s:s,s:i,s:i}", "prompt", "One two three", "max_tokens", 5, "temperature", 0);
    backend_chat(s->b, request, false, 5000, got_chat_text, got_chat_done, &c);
    loop_until(s->t.base, &c.done);
    assert_got_error(&c, BACKEND_OK);
    assert_int_equal(c.completion_tokens, 5);
    assert_string_equal(c.finish, "length");
    json_decref(request);
}

/* Hung, then dead: each call ends in its time, and says which it was. */
static void real_llama_lost(void **state)
{
    struct setup *s = need();
    struct got g = {0};
    real_pause(&s->server);
    backend_probe(s->b, 200, got_probe, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    real_continue(&s->server);
    bench_probe(&s->t, s->b, &g);
    real_kill(&s->server);
    memset(&g, 0, sizeof(g));
    backend_probe(s->b, 2000, got_probe, &g);
    loop_until(s->t.base, &g.done);
    assert_true(g.error == BACKEND_UNREACHABLE || g.error == BACKEND_BROKEN);
    assert_false(s->b->info.known);
    backend_destroy(s->b);
    s->b = NULL;
    bench_finish(&s->t);
    real_free(&s->server);
}

const struct CMUnitTest real_llama_tests[] = {
    cmocka_unit_test(real_llama_probe),    cmocka_unit_test(real_llama_tokenizer), cmocka_unit_test(real_llama_draft),
    cmocka_unit_test(real_llama_too_long), cmocka_unit_test(real_llama_chat),      cmocka_unit_test(real_llama_lost),
};
const size_t real_llama_count = ARRAY_LEN(real_llama_tests);
