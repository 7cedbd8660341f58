/* Chats that are passed on: text as it comes, pause and resume, usage, errors before and in the middle of the stream.
 */
#include "got.h"
#include "tests.h"

#include <string.h>

#include "base/mem.h"

#define DELTA(text)                                                                                                    \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]}\n\n"
#define FINISH(why) "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
#define DONE "data: [DONE]\n\n"

static json_t *make_request(void)
{
    return json_pack("{s:s,s:[{s:s,s:s}],s:i}", "model", "given by the client", "messages", "role", "user", "content",
                     "hi", "max_tokens", 3);
}

static void ask(struct bench *t, struct got *g)
{
    json_t *request = make_request();
    g->call = backend_chat(t->b, request, true, 1000, got_chat_text, got_chat_done, g);
    json_decref(request);
    assert_false(g->done);
}

static void chat_passes_on(void **state)
{
    static const char *const parts[] = {DELTA("He"), "data: {\"choices\":[{\"delta\":{\"conte", "nt\":\"llo\"}}]}\n\n",
                                        FINISH("length") USAGE, DONE};
    struct bench t;
    struct got g = {0};
    bench_init(&t, "openai", "gpt", "key");
    fake_stream(t.fake, "POST /v1/chat/completions", "text/event-stream", parts, ARRAY_LEN(parts), true);
    ask(&t, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(g.text, "Hello");
    assert_string_equal(g.finish, "length");
    assert_int_equal(g.prompt_tokens, 7);
    assert_int_equal(g.completion_tokens, 3);
    const char *body = fake_body(t.fake, "POST /v1/chat/completions", 0);
    assert_contains(body, "\"model\":\"gpt\"");
    assert_contains(body, "\"stream\":true");
    assert_contains(body, "\"include_usage\":true");
    assert_contains(fake_head(t.fake, "POST /v1/chat/completions", 0), "Bearer key");
    bench_finish(&t);
}

static void chat_pause(void **state)
{
    static const char *const parts[] = {DELTA("a") DELTA("b"), DELTA("c"), FINISH("stop"), DONE};
    for (int at = 1; at <= 3; at++) {
        struct bench t;
        struct got g = {.pause_at = at};
        bench_init(&t, "openai", NULL, NULL);
        fake_stream(t.fake, "POST /v1/chat/completions", "text/event-stream", parts, ARRAY_LEN(parts), true);
        ask(&t, &g);
        loop_for(t.base, 60);
        assert_false(g.done);
        backend_resume(g.call);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_OK);
        assert_string_equal(g.text, "abc");
        assert_string_equal(g.finish, "stop");
        assert_int_equal(g.completion_tokens, -1);
        bench_finish(&t);
    }
}

static void chat_errors(void **state)
{
    static const struct {
        const char *parts[2];
        bool ends;
        const char *words;
    } cases[] = {
        {{DELTA("a"), "data: {\"error\":{\"message\":\"overheated\"}}\n\n"}, true, "overheated"},
        {{DELTA("a"), "data: {\"error\":\"overheated\"}\n\n"}, true, "overheated"},
        {{DELTA("a"), "data: {\"choices\"\n\n"}, true, "not JSON"},
        {{DELTA("a"), DELTA("b")}, true, "breaks off"},
        {{DELTA("a"), DELTA("b")}, false, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench t;
        struct got g = {0};
        bench_init(&t, "openai", NULL, NULL);
        fake_stream(t.fake, "POST /v1/chat/completions", "text/event-stream", cases[i].parts, 2, cases[i].ends);
        ask(&t, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_BROKEN);
        assert_contains(g.message, cases[i].words);
        assert_int_equal(g.text[0], 'a');
        bench_finish(&t);
    }
    struct bench t;
    struct got g = {0};
    bench_init(&t, "openai", NULL, NULL);
    fake_reply(t.fake, "POST /v1/chat/completions", 429, "{\"error\":{\"message\":\"slow down\"}}");
    ask(&t, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OVERLOADED);
    assert_contains(g.message, "slow down");
    /* shapes that are wrong are not text */
    static const char *const odd[] = {"data: {\"choices\":7}\n\ndata: {\"choices\":[{\"delta\":{\"content\":7}}]}\n\n"
                                      "data: {\"choices\":[{\"delta\":[]}],\"usage\":{\"prompt_tokens\":-1}}\n\n" DONE};
    memset(&g, 0, sizeof(g));
    fake_stream(t.fake, "POST /v1/chat/completions", "text/event-stream", odd, 1, true);
    ask(&t, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.text_len, 0);
    assert_int_equal(g.prompt_tokens, -1);
    bench_finish(&t);
}

/* A server that does not know stream_options is asked again without. */
static void chat_old_server(void **state)
{
    static const char *const parts[] = {DELTA("a") FINISH("stop") DONE};
    struct bench t;
    struct got g = {0};
    bench_init(&t, "openai", NULL, NULL);
    fake_reply(t.fake, "POST /v1/chat/completions", 400, "{\"error\":{\"message\":\"unknown stream_options\"}}");
    fake_stream(t.fake, "POST /v1/chat/completions", "text/event-stream", parts, 1, true);
    ask(&t, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(g.text, "a");
    assert_null(strstr(fake_body(t.fake, "POST /v1/chat/completions", 1), "stream_options"));
    bench_finish(&t);
}

static void cancel_call(struct got *g)
{
    backend_cancel(g->call);
    g->in_callback = NULL;
}

static void chat_cancel(void **state)
{
    static const char *const parts[] = {DELTA("a") DELTA("b"), DELTA("c"), FINISH("stop"), DONE};
    struct bench t;
    struct got g = {.in_callback = cancel_call};
    bench_init(&t, "openai", NULL, NULL);
    fake_stream(t.fake, "POST /v1/chat/completions", "text/event-stream", parts, ARRAY_LEN(parts), true);
    ask(&t, &g);
    loop_for(t.base, 50);
    assert_string_equal(g.text, "a");
    assert_int_equal(g.calls, 0);
    assert_int_equal(fake_open(t.fake), 0);
    bench_finish(&t);
}

const struct CMUnitTest chat_tests[] = {
    cmocka_unit_test(chat_passes_on),  cmocka_unit_test(chat_pause),  cmocka_unit_test(chat_errors),
    cmocka_unit_test(chat_old_server), cmocka_unit_test(chat_cancel),
};
const size_t chat_count = ARRAY_LEN(chat_tests);
