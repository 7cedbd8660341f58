/* A stock llama-server as a backend: what it is found to be able to do, drafts by token ids, slots, its own chat. */
#include "got.h"
#include "tests.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char props[] = "{\"default_generation_settings\":{\"n_ctx\":512},\"total_slots\":2,\"model_path\":"
                            "\"/models/draft.gguf\",\"build_info\":\"b11669\",\"chat_template\":\"{{x}}\"}";
static const char models[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"/models/draft.gguf\",\"meta\":{\"n_vocab\":640}}]}";
static const int32_t path[] = {5, 6, 7};

static void script_probe(struct bench *t)
{
    fake_always(t->fake, "GET /health", 200, "{\"status\":\"ok\"}");
    fake_always(t->fake, "GET /props", 200, props);
    fake_always(t->fake, "GET /v1/models", 200, models);
    fake_reply(t->fake, "POST /tokenize", 200, "{\"tokens\":[97]}");
    fake_reply(t->fake, "POST /completion", 200, "{\"tokens\":[1]}");
    fake_reply(t->fake, "POST /completion", 200, "{\"tokens\":[1]}");
}

static struct backend_session *open_session(struct bench *t, double repeat_penalty)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.repeat_penalty = repeat_penalty;
    p.repeat_last_n = 64;
    struct backend_session *s = backend_session_open(t->b, &p, 3);
    sampler_params_finish(&p);
    return s;
}

static void llamacpp_probe(void **state)
{
    struct bench t;
    struct got g;
    bench_init(&t, "llamacpp", NULL, "secret");
    script_probe(&t);
    bench_probe(&t, t.b, &g);
    const struct backend_info *i = &t.b->info;
    assert_string_equal(i->model, "draft");
    assert_string_equal(i->version, "llama-server b11669");
    assert_int_equal(i->n_vocab, 640);
    assert_int_equal(i->n_ctx, 512);
    assert_int_equal(i->slots, 2);
    assert_true(i->caps.draft_tokens && i->caps.chat && i->caps.tokenize && i->caps.templated);
    assert_false(i->caps.verify || i->caps.generate || i->caps.shared_noise || i->caps.draft_text);
    assert_contains(i->cannot_verify, "does not tell the candidates");
    assert_contains(fake_head(t.fake, "GET /props", 0), "Authorization: Bearer secret");
    /* the same server again: nothing is tried again */
    bench_probe(&t, t.b, &g);
    assert_int_equal(fake_count(t.fake, "POST /completion"), 2);
    assert_int_equal(fake_count(t.fake, "GET /v1/models"), 1);
    assert_string_equal(t.b->info.model, "draft");
    bench_finish(&t);
}

/* A server that is too old to return tokens cannot draft; one that loads is waited for. */
static void llamacpp_found_by_asking(void **state)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "llamacpp", NULL, NULL);
    fake_reply(t.fake, "GET /health", 503, "{\"error\":{\"message\":\"Loading model\",\"code\":503}}");
    backend_probe(t.b, 1000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OVERLOADED);
    assert_contains(g.message, "Loading model");
    fake_always(t.fake, "GET /health", 200, "{\"status\":\"ok\"}");
    fake_always(t.fake, "GET /props", 200, "{\"default_generation_settings\":{},\"total_slots\":1}");
    fake_always(t.fake, "GET /v1/models", 200, models);
    fake_reply(t.fake, "POST /completion", 200, "{\"content\":\"a\"}");
    bench_probe(&t, t.b, &g);
    assert_false(t.b->info.caps.draft_tokens || t.b->info.caps.tokenize || t.b->info.caps.templated);
    assert_true(t.b->info.caps.chat);
    assert_string_equal(t.b->info.model, "draft");
    bench_finish(&t);

    static const char *const nonsense[] = {"[]", "{\"total_slots\":\"two\"}", "{\"total_slots\":-1}",
                                           "{\"model_path\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        bench_init(&t, "llamacpp", NULL, NULL);
        memset(&g, 0, sizeof(g));
        fake_always(t.fake, "GET /health", 200, "{\"status\":\"ok\"}");
        fake_always(t.fake, "GET /props", 200, nonsense[i]);
        backend_probe(t.b, 1000, got_probe, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_BROKEN);
        bench_finish(&t);
    }
}

static void llamacpp_draft(void **state)
{
    struct bench t;
    struct got g;
    bench_init(&t, "llamacpp", NULL, NULL);
    script_probe(&t);
    bench_probe(&t, t.b, &g);
    memset(&g, 0, sizeof(g));
    fake_reply(t.fake, "POST /completion", 200, "{\"tokens\":[1,2,3]}");
    struct backend_session *s = open_session(&t, 1);
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 1, 2, 3);
    assert_false(g.has_probs);
    assert_string_equal(fake_body(t.fake, "POST /completion", 2),
                        "{\"prompt\":[5,6,7],\"n_predict\":4,\"temperature\":0,\"return_tokens\":true,"
                        "\"cache_prompt\":true,\"id_slot\":0,\"response_fields\":[\"tokens\"]}");
    /* cut before the first token that the drafter itself hardly believes in; one has no probability told */
    memset(&g, 0, sizeof(g));
    fake_reply(t.fake, "POST /completion", 200,
               "{\"tokens\":[1,2,3,4],\"completion_probabilities\":[{\"id\":1,\"logprob\":-0.1},{\"id\":3,\"logprob\":"
               "-0.6},{\"id\":4,\"logprob\":-0.8}]}");
    backend_draft(s, path, 3, 4, 0.5f, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 1, 2, 3);
    assert_true(g.has_probs && isnan(g.probs[1]) && g.probs[2] > 0.54f && g.probs[2] < 0.56f);
    assert_contains(fake_body(t.fake, "POST /completion", 3), "\"completion_probabilities\"],\"n_probs\":1}");
    /* none wanted: the server would make one */
    memset(&g, 0, sizeof(g));
    backend_draft(s, path, 3, 0, 0, 1000, got_draft, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(fake_count(t.fake, "POST /completion"), 4);

    static const char *const nonsense[] = {
        "{}", "{\"tokens\":[640]}", "{\"tokens\":[1,2,3,4,5]}", "{\"tokens\":\"x\"}", "", "{\"tokens\":[null]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        memset(&g, 0, sizeof(g));
        fake_reply(t.fake, "POST /completion", 200, nonsense[i]);
        backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_BROKEN);
    }
    memset(&g, 0, sizeof(g));
    fake_reply(
        t.fake, "POST /completion", 400,
        "{\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\",\"n_ctx\":512}}");
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TOO_LONG);
    /* what it cannot do is said, not tried */
    memset(&g, 0, sizeof(g));
    backend_verify(s, path, 3, path, 1, -1, 1000, got_verify, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    backend_session_close(s);
    bench_finish(&t);
}

/* Each session has a slot of its own while there are slots; then the server chooses. */
static void llamacpp_slots(void **state)
{
    static const char *const slot[] = {"\"id_slot\":0", "\"id_slot\":1", "\"id_slot\":-1", "\"id_slot\":1"};
    struct bench t;
    struct got g;
    struct backend_session *s[4];
    bench_init(&t, "llamacpp", NULL, NULL);
    script_probe(&t);
    bench_probe(&t, t.b, &g);
    fake_always(t.fake, "POST /completion", 200, "{\"tokens\":[]}");
    for (size_t i = 0; i < 4; i++) {
        if (i == 3)
            backend_session_close(s[1]);
        s[i] = open_session(&t, 1.5);
        memset(&g, 0, sizeof(g));
        backend_draft(s[i], path, 3, 4, 0, 1000, got_draft, &g);
        loop_until(t.base, &g.done);
        assert_contains(fake_body(t.fake, "POST /completion", i + 2), slot[i]);
        assert_contains(fake_body(t.fake, "POST /completion", i + 2), "\"repeat_penalty\":1.5,\"repeat_last_n\":64");
    }
    backend_session_close(s[0]);
    bench_finish(&t); /* closes the others */
}

static void llamacpp_tokenizer(void **state)
{
    struct bench t;
    struct got g;
    bench_init(&t, "llamacpp", NULL, NULL);
    script_probe(&t);
    bench_probe(&t, t.b, &g);
    memset(&g, 0, sizeof(g));
    fake_reply(t.fake, "POST /apply-template", 200, "{\"prompt\":\"<user>hi\"}");
    fake_reply(t.fake, "POST /tokenize", 200, "{\"tokens\":[1,2]}");
    fake_reply(t.fake, "POST /detokenize", 200, "{\"content\":\"hi\"}");
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", "hi");
    backend_render(t.b, messages, got_tokens, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 1, 2);
    assert_string_equal(fake_body(t.fake, "POST /tokenize", 1),
                        "{\"content\":\"<user>hi\",\"add_special\":true,\"parse_special\":true}");
    memset(&g, 0, sizeof(g));
    backend_detokenize(t.b, path, 2, got_text, &g);
    loop_until(t.base, &g.done);
    assert_string_equal(g.text, "hi");
    memset(&g, 0, sizeof(g));
    backend_tokenize(t.b, "\xff", 1, false, got_tokens, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    json_decref(messages);
    bench_finish(&t);
}

const struct CMUnitTest llamacpp_tests[] = {
    cmocka_unit_test(llamacpp_probe), cmocka_unit_test(llamacpp_found_by_asking), cmocka_unit_test(llamacpp_draft),
    cmocka_unit_test(llamacpp_slots), cmocka_unit_test(llamacpp_tokenizer),
};
const size_t llamacpp_count = ARRAY_LEN(llamacpp_tests);
