/* An OpenAI API as a backend: where its endpoints are, what it can do beside chatting (found by asking), and drafts
 * verified through echo. */
#include "got.h"
#include "tests.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"a/big\"},{\"id\":\"small\"}]}";

/* The prompt [97, 97] as echo brings it back, and what is generated after it. */
static const char echo_reply[] =
    "{\"choices\":[{\"text\":\"aab\",\"finish_reason\":\"length\",\"logprobs\":{"
    "\"tokens\":[\"token_id:97\",\"token_id:97\",\"token_id:98\"],\"token_logprobs\":[null,-1,-0.5],"
    "\"top_logprobs\":[null,{\"token_id:99\":-0.5,\"token_id:97\":-1},{\"token_id:98\":-0.5}]}}]}";

static void probe_fails(const char *model, int status, const char *reply, enum backend_error error, const char *words)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "openai", model, NULL);
    fake_reply(t.fake, "GET /v1/models", status, reply);
    backend_probe(t.b, 1000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, error);
    assert_contains(g.message, words);
    bench_finish(&t);
}

static void openai_plain(void **state)
{
    struct bench t;
    struct got g;
    bench_init(&t, "openai", "big", "key");
    fake_always(t.fake, "GET /v1/models", 200, models);
    bench_probe(&t, t.b, &g);
    assert_string_equal(t.b->info.model, "a/big");
    assert_true(t.b->info.caps.chat);
    assert_false(t.b->info.caps.verify || t.b->info.caps.tokenize || t.b->info.caps.draft_tokens);
    assert_contains(t.b->info.cannot_verify, "no tokenizer");
    /* asked once only */
    size_t n = fake_count(t.fake, "POST /tokenize");
    bench_probe(&t, t.b, &g);
    assert_int_equal(fake_count(t.fake, "POST /tokenize"), n);
    assert_string_equal(t.b->info.model, "a/big");
    bench_finish(&t);
    probe_fails("huge", 200, models, BACKEND_REFUSED, "it has: a/big, small");
    probe_fails(NULL, 200, "{\"data\":[]}", BACKEND_REFUSED, "no model");
    probe_fails(NULL, 200, "{\"data\":{}}", BACKEND_BROKEN, "list of models");
    probe_fails(NULL, 200, "{\"data\":[{\"id\":4}]}", BACKEND_REFUSED, "no model");
    probe_fails(NULL, 401, "{\"error\":{\"message\":\"bad key\"}}", BACKEND_REFUSED, "api_key");
}

/* https://host/v1, https://host and https://host/v1beta/openai all work. */
static void openai_addresses(void **state)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "openai", NULL, NULL);
    fake_always(t.fake, "GET /v1/models", 200, models);
    fake_always(t.fake, "GET /odd/models", 200, models);
    fake_always(t.fake, "POST /odd/chat/completions", 200, "data: [DONE]\n\n");
    char *url = xasprintf("%s/v1", fake_url(t.fake));
    struct backend *b = bench_backend(&t, "openai", url, NULL);
    bench_probe(&t, b, &g);
    backend_destroy(b);
    free(url);
    url = xasprintf("%s/odd", fake_url(t.fake));
    b = bench_backend(&t, "openai", url, NULL);
    bench_probe(&t, b, &g);
    memset(&g, 0, sizeof(g));
    json_t *request = json_object();
    backend_chat(b, request, true, 1000, got_chat_text, got_chat_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    json_decref(request);
    backend_destroy(b);
    free(url);
    bench_finish(&t);
}

/* Each thing that is missing for verifying is named. */
static void openai_why_not(void **state)
{
    static const struct {
        const char *path, *tokenize, *echo, *words;
        bool tokenizes;
    } cases[] = {
        {"POST /tokenize", "{\"tokens\":[\"a\"]}", "", "no tokenizer", false},
        {"POST /tokenize", "{\"tokens\":[97]}", "{\"choices\":[{\"text\":\"b\"}]}", "no log probabilities", true},
        {"POST /tokenize", "{\"tokens\":[97]}",
         "{\"choices\":[{\"logprobs\":{\"tokens\":[\"a\",\"a\",\"b\"],\"token_logprobs\":[null,-1,-1],"
         "\"top_logprobs\":[null,{\"a\":-1},{\"b\":-1}]}}]}",
         "which token ids", true},
        {"POST /tokenize", "{\"tokens\":[97]}", echo_reply, "exact bytes", true},
        {"POST /v1/node/tokenize", "{\"tokens\":[97]}", echo_reply, "vocabulary", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench t;
        struct got g;
        bench_init(&t, "openai", NULL, NULL);
        fake_always(t.fake, "GET /v1/models", 200, models);
        fake_always(t.fake, cases[i].path, 200, cases[i].tokenize);
        fake_always(t.fake, "POST /v1/completions", 200, cases[i].echo);
        bench_probe(&t, t.b, &g);
        assert_false(t.b->info.caps.verify);
        assert_int_equal(t.b->info.caps.tokenize, cases[i].tokenizes);
        assert_contains(t.b->info.cannot_verify, cases[i].words);
        bench_finish(&t);
    }
}

static struct backend_session *open_session(struct bench *t, double temperature)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = temperature;
    struct backend_session *s = backend_session_open(t->b, &p, 1);
    sampler_params_finish(&p);
    return s;
}

static void verify(struct bench *t, struct got *g, struct backend_session *s, const char *reply)
{
    static const int32_t path[] = {97}, draft[] = {99, 98};
    memset(g, 0, sizeof(*g));
    fake_reply(t->fake, "POST /v1/completions", 200, reply);
    backend_verify(s, path, 1, draft, 2, 1, 1000, got_verify, g);
    assert_false(g->done);
    loop_until(t->base, &g->done);
}

/* An API that turns out to be able to verify. */
static void setup_verifying(struct bench *t)
{
    struct got g;
    struct buf pieces;
    bench_init(t, "openai", NULL, NULL);
    fake_always(t->fake, "GET /v1/models", 200, models);
    fake_always(t->fake, "POST /v1/node/tokenize", 200, "{\"tokens\":[97]}");
    fake_reply(t->fake, "POST /v1/completions", 200, echo_reply);
    fake_always(t->fake, "GET /v1/node", 200, "{\"n_vocab\":100,\"eog\":[96],\"n_ctx\":64,\"slots\":2}");
    buf_init(&pieces, 4096);
    buf_adds(&pieces, "{\"text\":\"\",\"pieces\":[");
    for (int i = 0; i < 100; i++)
        buf_printf(&pieces, "%s\"<%d>\"", i > 0 ? "," : "", i);
    buf_adds(&pieces, "]}");
    fake_always(t->fake, "POST /v1/node/detokenize", 200, pieces.data);
    buf_finish(&pieces);
    bench_probe(t, t->b, &g);
}

static void openai_verify(void **state)
{
    struct bench t;
    struct got g;
    setup_verifying(&t);
    assert_true(t.b->info.caps.verify && t.b->info.caps.verify_greedy_only);
    assert_null(t.b->info.cannot_verify);
    assert_int_equal(t.b->info.n_vocab, 100);

    struct backend_session *s = open_session(&t, 0);
    /* the first token of the draft is right, the second is not */
    verify(&t, &g, s,
           "{\"choices\":[{\"logprobs\":{\"tokens\":[\"token_id:97\",\"token_id:99\",\"token_id:98\",\"token_id:1\"],"
           "\"token_logprobs\":[null,-0.1,-3,-1],\"top_logprobs\":[null,{\"token_id:99\":-0.1,\"token_id:3\":-0.6},"
           "{\"token_id:98\":-3,\"token_id:4\":-0.25},{\"token_id:1\":-1}]}}]}");
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.accepted, 1);
    assert_got(&g, 99, 4);
    assert_string_equal(g.text, "<99><4>");
    assert_true(fabsf(g.margin - 0.5f) < 1e-6f);
    assert_true(g.has_logprob && g.logprob == -0.25f && g.top_id == 4);
    assert_false(g.end);
    assert_contains(fake_body(t.fake, "POST /v1/completions", 1), "{\"prompt\":[97,99,98],\"max_tokens\":1,");
    /* all right, then the end; equal probabilities: the lower id */
    verify(&t, &g, s,
           "{\"choices\":[{\"logprobs\":{\"tokens\":[\"token_id:97\",\"token_id:99\",\"token_id:98\",\"token_id:96\"],"
           "\"token_logprobs\":[null,-0.1,-1,-1],\"top_logprobs\":[null,{\"token_id:99\":-0.1},"
           "{\"token_id:98\":-1,\"token_id:99\":-1},{\"token_id:96\":-1}]}}]}");
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.accepted, 2);
    assert_got(&g, 99, 98, 96);
    assert_true(g.end && g.margin == 0);
    assert_string_equal(g.piece[2], "");

    static const char *const nonsense[] = {
        "{}",
        "{\"choices\":[{}]}",
        "[]",
        echo_reply,
        "{\"choices\":[{\"logprobs\":{\"tokens\":[1,2,3],\"token_logprobs\":[1,2,3],\"top_logprobs\":[1,2,3]}}]}",
        "{\"choices\":[{\"logprobs\":{\"tokens\":[\"token_id:97\",\"token_id:99\",\"token_id:98\",\"token_id:1\"],"
        "\"token_logprobs\":[null,-0.1,-3,-1],\"top_logprobs\":[null,{\"token_id:100\":-0.1},{\"x\":-3},{}]}}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        verify(&t, &g, s, nonsense[i]);
        assert_got_error(&g, BACKEND_BROKEN);
    }
    struct backend_session *warm = open_session(&t, 0.7);
    size_t asked = fake_count(t.fake, "POST /v1/completions");
    memset(&g, 0, sizeof(g));
    backend_verify(warm, (int32_t[]){97}, 1, NULL, 0, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    assert_contains(g.message, "temperature 0");
    assert_int_equal(fake_count(t.fake, "POST /v1/completions"), asked);
    backend_session_close(s);
    backend_session_close(warm);
    bench_finish(&t);
}

#define LP(token, more)                                                                                                \
    "data: {\"choices\":[{\"text\":\"\",\"logprobs\":{\"tokens\":[\"" token "\"],\"token_logprobs\":" more "}]}\n\n"
#define STOP(why) "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"" why "\"}]}\n\ndata: [DONE]\n\n"

static void openai_generate(void **state)
{
    static const struct {
        const char *parts[3];
        size_t n_tokens, wanted;
        bool end;
        enum backend_error error;
    } cases[] = {
        {{LP("token_id:3", "[-1],\"top_logprobs\":[{\"token_id:3\":-1}]}"), LP("token_id:4", "[-1]}"), STOP("length")},
         2,
         2,
         false,
         BACKEND_OK},
        {{LP("token_id:3", "[-1]}"), LP("token_id:96", "[-1]}"), STOP("stop")}, 2, 9, true, BACKEND_OK},
        {{LP("token_id:3", "[-1]}"), LP("token_id:4", "[-1]}"), STOP("stop")}, 3, 9, true, BACKEND_OK},
        {{LP("token_id:3", "[-1]}"), LP("token_id:4", "[-1]}"), STOP("length")}, 2, 9, false, BACKEND_TOO_LONG},
        {{LP("token_id:3", "[-1]}"), LP("token_id:4", "[-1]}"), "data: [DONE]\n\n"}, 2, 9, false, BACKEND_BROKEN},
        {{LP("token_id:3", "[-1]}"), LP("x", "[-1]}"), STOP("stop")}, 1, 9, false, BACKEND_BROKEN},
        {{LP("token_id:3", "[-1]}"), LP("token_id:100", "[-1]}"), STOP("stop")}, 1, 9, false, BACKEND_BROKEN},
        {{LP("token_id:3", "[-1]}"), LP("token_id:4", "[]}"), STOP("stop")}, 1, 9, false, BACKEND_BROKEN},
        {{LP("token_id:3", "[-1]}"), "data: {\"error\":{\"message\":\"hot\"}}\n\n", STOP("stop")},
         1,
         9,
         false,
         BACKEND_BROKEN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases) * 2; i++) {
        struct bench t;
        struct got g = {.pause_at = (int)(i % 2)};
        setup_verifying(&t);
        fake_stream(t.fake, "POST /v1/completions", "text/event-stream", cases[i / 2].parts, 3, true);
        struct backend_session *s = open_session(&t, 0);
        g.call = backend_generate(s, (int32_t[]){97, 5}, 2, cases[i / 2].wanted, -1, 2000, got_stream, got_done, &g);
        assert_false(g.done);
        while (g.pause_at != 0 && g.stream_calls == 0)
            loop_for(t.base, 2);
        if (g.pause_at != 0)
            backend_resume(g.call);
        loop_until(t.base, &g.done);
        assert_got_error(&g, cases[i / 2].error);
        assert_int_equal(g.n, cases[i / 2].n_tokens);
        assert_int_equal(g.tokens[0], 3);
        assert_int_equal(g.end, cases[i / 2].end);
        assert_memory_equal(g.text, "<3>", 3);
        assert_contains(fake_body(t.fake, "POST /v1/completions", 1), "{\"prompt\":[97,5],\"max_tokens\":");
        backend_session_close(s);
        bench_finish(&t);
    }
    struct bench t;
    struct got g = {0};
    setup_verifying(&t);
    struct backend_session *warm = open_session(&t, 0.5);
    backend_generate(warm, (int32_t[]){97}, 1, 4, -1, 1000, got_stream, got_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    bench_finish(&t);
}

const struct CMUnitTest openai_tests[] = {
    cmocka_unit_test(openai_plain),  cmocka_unit_test(openai_addresses), cmocka_unit_test(openai_why_not),
    cmocka_unit_test(openai_verify), cmocka_unit_test(openai_generate),
};
const size_t openai_count = ARRAY_LEN(openai_tests);
