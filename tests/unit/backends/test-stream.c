/* Generation by the target alone: tokens whatever the borders of the chunks, pause and resume, cancellation, and
 * streams that break off. */
#include "got.h"
#include "tests.h"

#include <string.h>

#include "base/mem.h"

static const int32_t path[] = {5, 6, 7};

static struct backend_session *open_session(struct bench *t)
{
    struct sampler_params p;
    sampler_params_init(&p);
    struct backend_session *s = backend_session_open(t->b, &p, 3);
    sampler_params_finish(&p);
    return s;
}

static void setup_stream(struct bench *t, const char *const *parts, size_t n, bool ends)
{
    bench_init(t, "node", NULL, NULL);
    fake_always(t->fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_stream(t->fake, "POST /v1/node/generate", "application/x-ndjson", parts, n, ends);
}

static void stream_generate(void **state)
{
    static const char *const parts[] = {
        "{\"t\":[1],\"s\":[\"a\"]}\n{\"t\":[2,3],\"s\":[\"b\",[195",
        "]]}\n",
        "{\"t\":[4],\"s\":[\"\"],\"eog\":true}\n{\"done\":tr",
        "ue,\"n\":4,\"reason\":\"eog\"}\n",
    };
    struct bench t;
    struct got g = {0};
    setup_stream(&t, parts, ARRAY_LEN(parts), true);
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    struct backend_session *s = open_session(&t);
    backend_generate(s, path, 3, 16, -1, 1000, got_stream, got_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 1, 2, 3, 4);
    assert_true(g.end);
    assert_string_equal(g.text, "ab\xc3");
    assert_string_equal(fake_body(t.fake, "POST /v1/node/generate", 0),
                        "{\"session\":1,\"keep\":0,\"tokens\":[5,6,7],\"n\":16}");
    /* what was generated is the session's: it is not sent again */
    memset(&g, 0, sizeof(g));
    backend_verify(s, (int32_t[]){5, 6, 7, 1, 2, 3, 9}, 7, NULL, 0, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 0), "\"keep\":6,\"tokens\":[9]");
    backend_session_close(s);
    bench_finish(&t);
}

static void stream_logprobs(void **state)
{
    static const char *const parts[] = {
        "{\"t\":[1],\"s\":[\"a\"],\"p\":[{\"logprob\":-0.5,\"top\":[[1,-0.5,\"a\"],[2,-1,\"b\"]]}]}\n",
        "{\"done\":true,\"n\":1,\"reason\":\"n\"}\n",
    };
    struct bench t;
    struct got g = {0};
    setup_stream(&t, parts, ARRAY_LEN(parts), true);
    struct backend_session *s = open_session(&t);
    backend_generate(s, path, 3, 1, 2, 1000, got_stream, got_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_true(g.has_logprob && g.logprob == -0.5f);
    assert_int_equal(g.n_top, 2);
    assert_contains(fake_body(t.fake, "POST /v1/node/generate", 0), "\"logprobs\":2");
    backend_session_close(s);
    bench_finish(&t);
}

static void stream_pause(void **state)
{
    static const char *const parts[] = {
        "{\"t\":[1],\"s\":[\"a\"]}\n",
        "{\"t\":[2],\"s\":[\"b\"]}\n",
        "{\"t\":[3],\"s\":[\"c\"]}\n",
        "{\"done\":true,\"n\":3,\"reason\":\"n\"}\n",
    };
    for (int at = 1; at <= 3; at++) {
        struct bench t;
        struct got g = {.pause_at = at};
        setup_stream(&t, parts, ARRAY_LEN(parts), true);
        struct backend_session *s = open_session(&t);
        g.call = backend_generate(s, path, 3, 3, -1, 0, got_stream, got_done, &g);
        loop_for(t.base, 60);
        assert_false(g.done);
        assert_int_equal(g.stream_calls, at);
        backend_resume(g.call);
        assert_int_equal(g.stream_calls, at);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_OK);
        assert_got(&g, 1, 2, 3);
        backend_session_close(s);
        bench_finish(&t);
    }
}

static void stream_breaks_off(void **state)
{
    static const struct {
        const char *parts[2];
        bool ends;
        enum backend_error error;
        const char *words;
    } cases[] = {
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"t\":[2]"}, false, BACKEND_BROKEN, ""},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"t\":[2],\"s\":[\"b\"]}\n"}, true, BACKEND_BROKEN, "breaks off"},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "nonsense\n"}, true, BACKEND_BROKEN, "stream from"},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"t\":[1,2],\"s\":[\"a\"]}\n"}, true, BACKEND_BROKEN, "do not go together"},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"t\":[-2],\"s\":[\"a\"]}\n"}, true, BACKEND_BROKEN, "token id"},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"t\":7,\"s\":[\"a\"]}\n"}, true, BACKEND_BROKEN, "do not go together"},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"error\":{\"message\":\"decode failed\"}}\n"},
         true,
         BACKEND_BROKEN,
         "decode failed"},
        {{"{\"t\":[1],\"s\":[\"a\"]}\n", "{\"done\":true,\"n\":1,\"reason\":\"ctx\"}\n"},
         true,
         BACKEND_TOO_LONG,
         "full"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench t;
        struct got g = {0};
        setup_stream(&t, cases[i].parts, 2, cases[i].ends);
        struct backend_session *s = open_session(&t);
        backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, cases[i].error);
        assert_contains(g.message, cases[i].words);
        assert_int_equal(g.tokens[0], 1);
        backend_session_close(s);
        bench_finish(&t);
    }
}

static void stream_silence(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct bench t;
    struct got g = {0};
    bench_init(&t, "node", NULL, NULL);
    fake_always(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_raw(t.fake, "POST /v1/node/generate", head, sizeof(head) - 1, false);
    struct backend_session *s = open_session(&t);
    backend_generate(s, path, 3, 3, -1, 80, got_stream, got_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    backend_session_close(s);
    bench_finish(&t);
}

static void cancel_call(struct got *g)
{
    backend_cancel(g->call);
    g->in_callback = NULL;
}

static void close_session(struct got *g)
{
    backend_session_close(g->extra);
    g->extra = NULL;
    g->in_callback = NULL;
}

/* Cancelled inside its own stream callback: no callback any more, and the server sees its connection close. */
static void stream_cancel_inside(void **state)
{
    static const char *const parts[] = {"{\"t\":[1],\"s\":[\"a\"]}\n{\"t\":[2],\"s\":[\"b\"]}\n"};
    for (int closing = 0; closing < 2; closing++) {
        struct bench t;
        struct got g = {0};
        bench_init(&t, "node", NULL, NULL);
        fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
        static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2f\r\n";
        char *bytes = xasprintf("%s%s\r\n", head, parts[0]);
        fake_raw(t.fake, "POST /v1/node/generate", bytes, strlen(bytes), false);
        free(bytes);
        struct backend_session *s = open_session(&t);
        g.extra = s;
        g.in_callback = closing ? close_session : cancel_call;
        g.call = backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g);
        loop_for(t.base, 50);
        assert_int_equal(g.stream_calls, 1);
        assert_int_equal(g.calls, 0);
        assert_true(fake_open(t.fake) <= 1); /* the one that is kept alive */
        backend_session_close(g.extra);
        bench_finish(&t);
    }
}

/* Cancelled while it waits for the session, and while it waits for the reply. */
static void stream_cancel_outside(void **state)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "node", NULL, NULL);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_hang(t.fake, "POST /v1/node/generate");
    struct backend_session *s = open_session(&t);
    backend_cancel(backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g));
    struct backend_call *c = backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g);
    loop_for(t.base, 50);
    assert_int_equal(fake_count(t.fake, "POST /v1/node/generate"), 1);
    size_t before = fake_open(t.fake);
    backend_cancel(c);
    loop_for(t.base, 50);
    assert_int_equal(g.calls, 0);
    assert_int_equal(fake_open(t.fake), before - 1);
    backend_session_close(s);
    bench_finish(&t);
}

const struct CMUnitTest stream_tests[] = {
    cmocka_unit_test(stream_generate),       cmocka_unit_test(stream_logprobs), cmocka_unit_test(stream_pause),
    cmocka_unit_test(stream_breaks_off),     cmocka_unit_test(stream_silence),  cmocka_unit_test(stream_cancel_inside),
    cmocka_unit_test(stream_cancel_outside),
};
const size_t stream_count = ARRAY_LEN(stream_tests);
