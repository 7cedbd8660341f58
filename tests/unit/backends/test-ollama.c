/* Ollama as a backend: it drafts text, a model that is not there is named with its remedy, completions are raw text. */
#include "got.h"
#include "tests.h"

#include <string.h>

#include "base/mem.h"

static const char tags[] = "{\"models\":[{\"name\":\"qwen3:latest\"},{\"name\":\"llama3:8b\"}]}";
static const char show[] = "{\"details\":{\"family\":\"qwen3\"},\"model_info\":{\"general.architecture\":\"qwen3\","
                           "\"qwen3.context_length\":40960}}";

static void setup(struct bench *t, const char *model)
{
    bench_init(t, "ollama", model, NULL);
    fake_always(t->fake, "GET /api/version", 200, "{\"version\":\"0.9.0\"}");
    fake_always(t->fake, "GET /api/tags", 200, tags);
    fake_always(t->fake, "POST /api/show", 200, show);
}

static void ollama_probe(void **state)
{
    struct bench t;
    struct got g;
    setup(&t, "qwen3");
    bench_probe(&t, t.b, &g);
    const struct backend_info *i = &t.b->info;
    assert_string_equal(i->model, "qwen3:latest");
    assert_string_equal(i->architecture, "qwen3");
    assert_string_equal(i->version, "Ollama 0.9.0");
    assert_int_equal(i->n_ctx, 40960);
    assert_true(i->caps.draft_text && i->caps.chat);
    assert_false(i->caps.verify || i->caps.draft_tokens || i->caps.tokenize);
    assert_contains(i->cannot_verify, "tightwad node -m ollama:");
    bench_finish(&t);
}

static void ollama_model_missing(void **state)
{
    struct bench t;
    struct got g = {0};
    setup(&t, "gemma3:4b");
    backend_probe(t.b, 1000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "`ollama pull gemma3:4b`");
    assert_contains(g.message, "llama3:8b");
    bench_finish(&t);

    memset(&g, 0, sizeof(g));
    bench_init(&t, "ollama", NULL, NULL);
    fake_always(t.fake, "GET /api/version", 200, "{\"version\":\"0.9.0\"}");
    fake_always(t.fake, "GET /api/tags", 200, "{\"models\":[]}");
    backend_probe(t.b, 1000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "ollama pull");
    bench_finish(&t);
}

static void ollama_draft_text(void **state)
{
    struct bench t;
    struct got g;
    struct sampler_params p;
    setup(&t, "qwen3");
    bench_probe(&t, t.b, &g);
    memset(&g, 0, sizeof(g));
    fake_reply(t.fake, "POST /api/generate", 200, "{\"response\":\" 4.\",\"done\":true,\"done_reason\":\"stop\"}");
    fake_reply(t.fake, "POST /api/generate", 404, "{\"error\":\"model 'qwen3' not found\"}");
    fake_reply(t.fake, "POST /api/generate", 200, "{\"response\":7}");
    sampler_params_init(&p);
    p.seed = 9;
    struct backend_session *s = backend_session_open(t.b, &p, 3);
    backend_draft_text(s, "2 + 2 =", 7, 8, 1000, got_draft, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(g.text, " 4.");
    const char *body = fake_body(t.fake, "POST /api/generate", 0);
    assert_contains(body, "\"model\":\"qwen3:latest\"");
    assert_contains(body, "\"prompt\":\"2 + 2 =\"");
    assert_contains(body, "\"raw\":true");
    assert_contains(body, "\"stream\":false");
    assert_contains(body, "\"num_predict\":8,\"temperature\":0,\"seed\":9");
    memset(&g, 0, sizeof(g));
    backend_draft_text(s, "a", 1, 8, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "not found");
    memset(&g, 0, sizeof(g));
    backend_draft_text(s, "a", 1, 8, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);
    memset(&g, 0, sizeof(g));
    backend_draft(s, (int32_t[]){1}, 1, 4, 0, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    backend_session_close(s);
    sampler_params_finish(&p);
    bench_finish(&t);
}

static void ollama_completion(void **state)
{
    static const char *const parts[] = {
        "{\"response\":\"a\",\"done\":false}\n{\"respo",
        "nse\":\"b\",\"done\":false}\n",
        "{\"response\":\"\",\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":5,\"eval_count\":2}\n",
    };
    struct bench t;
    struct got g;
    setup(&t, "qwen3");
    bench_probe(&t, t.b, &g);
    memset(&g, 0, sizeof(g));
    fake_stream(t.fake, "POST /api/generate", "application/x-ndjson", parts, ARRAY_LEN(parts), true);
    json_t *request = json_pack("{s:s,s:s,s:i,s:s,s:f}", "model", "x", "prompt", "one", "max_tokens", 2, "stop", "z",
                                "temperature", 0.5);
    backend_chat(t.b, request, false, 1000, got_chat_text, got_chat_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(g.text, "ab");
    assert_string_equal(g.finish, "length");
    assert_int_equal(g.prompt_tokens, 5);
    assert_int_equal(g.completion_tokens, 2);
    const char *body = fake_body(t.fake, "POST /api/generate", 0);
    assert_contains(body, "\"stop\":[\"z\"]");
    assert_contains(body, "\"num_predict\":2");
    assert_contains(body, "\"stream\":true");
    assert_contains(body, "\"model\":\"qwen3:latest\"");
    json_decref(request);
    bench_finish(&t);
}

static void ollama_chat(void **state)
{
    static const char *const parts[] = {
        "{\"message\":{\"role\":\"assistant\",\"content\":\"He\"},\"done\":false}\n",
        "{\"message\":{\"content\":\"llo\"},\"done\":false}\n{\"message\":{\"thinking\":\"hm\"},\"done\":false}\n",
        "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":5,\"eval_count\":"
        "2}\n",
    };
    struct bench t;
    struct got g;
    setup(&t, "qwen3");
    bench_probe(&t, t.b, &g);
    memset(&g, 0, sizeof(g));
    fake_stream(t.fake, "POST /api/chat", "application/x-ndjson", parts, ARRAY_LEN(parts), true);
    json_t *request = json_pack("{s:s,s:[{s:s,s:[{s:s,s:s},{s:s,s:s}]}],s:i,s:i,s:{},s:b}", "model", "x", "messages",
                                "role", "user", "content", "type", "text", "text", "a", "type", "text", "text", "b",
                                "max_completion_tokens", 9, "top_k", 40, "logit_bias", "logprobs", 0);
    backend_chat(t.b, request, true, 1000, got_chat_text, got_chat_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(g.text, "Hello");
    assert_string_equal(g.finish, "stop");
    const char *body = fake_body(t.fake, "POST /api/chat", 0);
    assert_contains(body, "\"messages\":[{\"role\":\"user\",\"content\":\"ab\"}]");
    assert_contains(body, "\"num_predict\":9");
    assert_contains(body, "\"top_k\":40");
    /* what it would ignore is refused by name */
    json_object_set_new(request, "logit_bias", json_pack("{s:i}", "5", 10));
    memset(&g, 0, sizeof(g));
    backend_chat(t.b, request, true, 1000, got_chat_text, got_chat_done, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "logit_bias");
    json_decref(request);
    request = json_pack("{s:[i,i]}", "prompt", 1, 2);
    memset(&g, 0, sizeof(g));
    backend_chat(t.b, request, false, 1000, got_chat_text, got_chat_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    json_decref(request);
    bench_finish(&t);
}

const struct CMUnitTest ollama_tests[] = {
    cmocka_unit_test(ollama_probe),      cmocka_unit_test(ollama_model_missing), cmocka_unit_test(ollama_draft_text),
    cmocka_unit_test(ollama_completion), cmocka_unit_test(ollama_chat),
};
const size_t ollama_count = ARRAY_LEN(ollama_tests);
