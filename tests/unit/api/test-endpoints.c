#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>

#include "base/clock.h"

static const char chat[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
static const char chat_stream[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,\"stream_"
                                  "options\":{\"include_usage\":true}}";
static const char *const words[] = {"One", " two", " three", NULL};

static const char *path_string(const json_t *o, const char *a, const char *b)
{
    return json_string_value(json_object_get(json_object_get(o, a), b));
}

static void answers_in_one_piece(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script.pieces = words;
    struct reply r = call(fx, "/v1/chat/completions", chat, NULL);
    assert_int_equal(r.status, 200);
    json_t *choice = json_array_get(json_object_get(r.json, "choices"), 0);
    assert_string_equal(path_string(choice, "message", "content"), "One two three");
    assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), "stop");
    assert_string_equal(json_string_value(json_object_get(r.json, "model")), "demo/tiny");
    json_t *usage = json_object_get(r.json, "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "prompt_tokens")), 7);
    assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 3);
    reply_finish(&r);

    r = call(fx, "/v1/completions", "{\"model\":\"demo/tiny@target\",\"prompt\":\"hi\"}", NULL);
    assert_int_equal(r.status, 200);
    choice = json_array_get(json_object_get(r.json, "choices"), 0);
    assert_string_equal(json_string_value(json_object_get(choice, "text")), "One two three");
    assert_string_equal(fx->proxy->model_asked, "demo/tiny@target");
    reply_finish(&r);
}

static void streams(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script.pieces = words;
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    raw_expect(raw, "data: [DONE]\n\n");
    assert_non_null(strstr(raw->got.data, "200"));
    assert_non_null(strcasestr(raw->got.data, "content-type: text/event-stream"));
    assert_non_null(strcasestr(raw->got.data, "x-tightwad-mode: exact"));
    const char *one = strstr(raw->got.data, "\"One\""), *two = strstr(raw->got.data, "\" two\"");
    assert_non_null(one);
    assert_non_null(two);
    assert_true(one < two);
    assert_non_null(strstr(raw->got.data, "\"usage\""));
    assert_null(strstr(raw->got.data, "\"logprob\""));
    assert_null(strstr(raw->got.data, "\"pieces\""));
    raw_close(raw);
}

/* What was done stands in the head and in the reply: nobody takes an approximate answer for an exact one. */
static void tells_how_it_was_served(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script = (struct fake_script){
        .pieces = words, .error_after = -1, .mode = PROXY_GATE, .outcome = "approved", .agent = "lap\"t\303\266p"};
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    raw_expect(raw, "data: [DONE]\n\n");
    assert_non_null(strcasestr(raw->got.data, "x-tightwad-mode: gate\r\n"));
    assert_non_null(strcasestr(raw->got.data, "x-tightwad-exactness: approximate\r\n"));
    assert_null(strcasestr(raw->got.data, "waiting"));
    raw_close(raw);

    struct reply r = call(fx, "/v1/chat/completions", chat, NULL);
    json_t *about = json_object_get(r.json, "tightwad");
    assert_string_equal(json_string_value(json_object_get(about, "mode")), "gate");
    assert_string_equal(json_string_value(json_object_get(about, "exactness")), "approximate");
    assert_string_equal(json_string_value(json_object_get(about, "gate")), "approved");
    assert_string_equal(json_string_value(json_object_get(about, "agent")), "lap\"t\303\266p");
    assert_true(json_is_integer(json_object_get(about, "seed")));
    reply_finish(&r);

    text = raw_post("/v1/chat/completions", chat);
    raw = raw_open(fx, text);
    free(text);
    raw_expect(raw, "One two three");
    assert_non_null(strcasestr(raw->got.data, "x-tightwad-gate: approved\r\n"));
    assert_non_null(strcasestr(raw->got.data, "x-tightwad-agent: lap\"t??p\r\n"));
    raw_close(raw);

    fx->proxy->script.mode = PROXY_EXACT;
    fx->proxy->script.outcome = fx->proxy->script.agent = NULL;
    r = call(fx, "/v1/chat/completions", chat, NULL);
    about = json_object_get(r.json, "tightwad");
    assert_string_equal(json_string_value(json_object_get(about, "mode")), "exact");
    assert_null(json_object_get(about, "exactness"));
    assert_null(json_object_get(about, "gate"));
    reply_finish(&r);
}

/* A stream that waits for a review is kept alive by comments; what becomes known later stands in its last chunk. */
static void waits_audibly(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script = (struct fake_script){
        .pieces = words, .error_after = -1, .waits = 2, .mode = PROXY_GATE, .outcome = "corrected", .agent = "a"};
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    raw_expect(raw, "data: [DONE]\n\n");
    const char *comment = strstr(raw->got.data, ": waiting\n\n");
    assert_non_null(comment);
    comment = strstr(comment + 1, ": waiting\n\n");
    assert_non_null(comment);
    assert_true(comment < strstr(raw->got.data, "\"One\""));
    assert_non_null(strcasestr(raw->got.data, "x-tightwad-mode: gate\r\n"));
    assert_null(strcasestr(raw->got.data, "x-tightwad-gate:"));
    assert_non_null(strstr(raw->got.data, "\"gate\":\"corrected\""));
    assert_non_null(strstr(raw->got.data, "\"agent\":\"a\""));
    raw_close(raw);

    struct reply r = call(fx, "/v1/chat/completions", chat, NULL);
    assert_int_equal(r.status, 200); /* nothing to hear where it comes in one piece */
    reply_finish(&r);

    fx->proxy->script.error_after = 0;
    fx->proxy->script.error_status = 503;
    r = call(fx, "/v1/chat/completions", chat_stream, NULL);
    assert_int_equal(r.status, 200); /* chosen with the first comment */
    assert_non_null(strstr(r.body, "\"error\":{\"message\":\"the target is gone\""));
    reply_finish(&r);
}

static void streams_detail_when_asked(void **state)
{
    struct fixture *fx = *state;
    static const char *const headers[] = {"x-tightwad-detail: 1", NULL};
    fx->proxy->script.pieces = words;
    struct reply r = call(fx, "/v1/chat/completions", chat_stream, headers);
    assert_non_null(strstr(r.body, "\"tightwad\":{\"pieces\":[[\"One\",0]]}}\n\n"));
    assert_non_null(strstr(r.body, "\"tightwad\":{\"pieces\":[[\" two\",1]]}}\n\n"));
    /* what was added must leave valid JSON */
    char *line = strstr(r.body, "data: {");
    assert_non_null(line);
    *strstr(line, "\n\n") = '\0';
    json_t *chunk = json_loads(line + 6, 0, NULL);
    assert_non_null(chunk);
    json_decref(chunk);
    reply_finish(&r);
}

static void gives_logprobs(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script.pieces = words;
    struct reply r = call(fx, "/v1/chat/completions",
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":true,"
                          "\"top_logprobs\":2}",
                          NULL);
    assert_int_equal(r.status, 200);
    json_t *choice = json_array_get(json_object_get(r.json, "choices"), 0);
    json_t *content = json_object_get(json_object_get(choice, "logprobs"), "content");
    assert_int_equal(json_array_size(content), 3);
    assert_int_equal(json_array_size(json_object_get(json_array_get(content, 0), "top_logprobs")), 2);
    reply_finish(&r);
    r = call(fx, "/v1/chat/completions",
             "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":true,\"stream\":true}", NULL);
    assert_non_null(strstr(r.body, "\"logprob\""));
    reply_finish(&r);
}

static void errors_keep_their_status_before_any_token(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script = (struct fake_script){.pieces = words, .error_after = 0, .error_status = 503};
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    raw_expect(raw, "the target is gone");
    assert_non_null(strstr(raw->got.data, "HTTP/1.1 503"));
    assert_non_null(strcasestr(raw->got.data, "retry-after:"));
    assert_non_null(strstr(raw->got.data, "\"target_lost\""));
    raw_close(raw);
}

static void errors_after_tokens_are_events(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script = (struct fake_script){.pieces = words, .error_after = 2, .error_status = 503};
    struct reply r = call(fx, "/v1/chat/completions", chat_stream, NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.error, HTTPC_OK); /* the body is complete */
    assert_non_null(strstr(r.body, "\" two\""));
    assert_non_null(strstr(r.body, "\"error\""));
    assert_non_null(strstr(r.body, "the target is gone"));
    assert_null(strstr(r.body, "[DONE]"));
    reply_finish(&r);
    r = call(fx, "/v1/chat/completions", chat, NULL); /* in one piece there is always a status */
    assert_int_equal(r.status, 503);
    assert_null(strstr(r.body, "One"));
    reply_finish(&r);
}

static void refusals_are_passed_on(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script.refuse_status = 429;
    fx->proxy->script.refuse_message = "the queue is full";
    struct reply r = call(fx, "/v1/chat/completions", chat, NULL);
    assert_int_equal(r.status, 429);
    assert_string_equal(path_string(r.json, "error", "message"), "the queue is full");
    reply_finish(&r);
}

static void bad_requests_never_reach_the_proxy(void **state)
{
    struct fixture *fx = *state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"messages\":1}",
        "{\"messages\":[]}",
        "{\"messages\":[{\"role\":\"user\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":-1}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":1e300}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":16385}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":\"hot\"}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":2}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct reply r = call(fx, "/v1/chat/completions", bad[i], NULL);
        if (r.status != 400)
            fail_msg("%s: %d %s", bad[i], r.status, r.body);
        assert_non_null(path_string(r.json, "error", "message"));
        assert_string_equal(path_string(r.json, "error", "type"), "invalid_request_error");
        reply_finish(&r);
    }
    struct reply r = call(fx, "/v1/completions", "{\"prompt\":\"hi\",\"echo\":true}", NULL);
    assert_int_equal(r.status, 400);
    assert_string_equal(path_string(r.json, "error", "param"), "echo");
    reply_finish(&r);
    assert_int_equal(fx->proxy->submitted, 0);
}

static bool was_submitted(void *arg)
{
    return ((struct proxy *)arg)->submitted > 0;
}

static bool was_cancelled(void *arg)
{
    return ((struct proxy *)arg)->cancelled > 0;
}

static void a_client_that_goes_is_noticed_before_the_reply(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script.hang = true;
    char *text = raw_post("/v1/chat/completions", chat);
    struct raw *raw = raw_open(fx, text);
    free(text);
    run_until(fx, was_submitted, fx->proxy);
    raw_close(raw);
    run_until(fx, was_cancelled, fx->proxy);
    assert_int_equal(fx->proxy->open, 0);
}

static void a_client_that_goes_is_noticed_in_a_stream(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script = (struct fake_script){.repeat = 1000000000, .bulk = 10, .error_after = -1};
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    raw_expect(raw, "xxxxx");
    raw_close(raw);
    run_until(fx, was_cancelled, fx->proxy);
    assert_int_equal(fx->proxy->open, 0);
}

static bool was_paused(void *arg)
{
    return ((struct proxy *)arg)->paused > 0;
}

struct standstill {
    struct proxy *proxy;
    size_t given;
    int64_t since_us;
};

/* No piece was given for 200 ms. */
static bool nothing_new(void *arg)
{
    struct standstill *s = arg;
    if (s->given != s->proxy->pieces_given) {
        s->given = s->proxy->pieces_given;
        s->since_us = clock_us();
    }
    return clock_us() - s->since_us > 200000;
}

static void a_slow_reader_pauses_the_answer(void **state)
{
    struct fixture *fx = *state;
    enum { PIECE = 10000, PIECES = 1500 };
    fx->proxy->script =
        (struct fake_script){.repeat = PIECES, .bulk = PIECE, .error_after = -1, .finish = ANSWER_LENGTH};
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    bufferevent_disable(raw->bev, EV_READ);
    run_until(fx, was_paused, fx->proxy);
    run_until(fx, nothing_new, &(struct standstill){.proxy = fx->proxy});
    /* the sockets' buffers hold a few MB, the api itself no more than its high water */
    assert_true(fx->proxy->pieces_given < PIECES);
    bufferevent_setwatermark(raw->bev, EV_READ, 0, 0);
    bufferevent_enable(raw->bev, EV_READ);
    raw_expect(raw, "data: [DONE]\n\n");
    assert_int_equal(fx->proxy->pieces_given, PIECES);
    assert_true(fx->proxy->resumed > 0);
    size_t x = 0;
    for (size_t i = 0; i < raw->got.len; i++)
        x += raw->got.data[i] == 'x' && raw->got.data[i + 1] == 'x';
    assert_int_equal(x, (size_t)PIECES * (PIECE - 1)); /* nothing lost, nothing twice */
    raw_close(raw);
}

static void lists_models(void **state)
{
    struct fixture *fx = *state;
    struct reply r = call(fx, "/v1/models", NULL, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(json_string_value(json_object_get(r.json, "object")), "list");
    json_t *data = json_object_get(r.json, "data");
    assert_int_equal(json_array_size(data), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(data, 1), "id")), "demo/tiny@target");
    assert_true(json_is_integer(json_object_get(json_array_get(data, 0), "created")));
    reply_finish(&r);
    r = call(fx, "/v1/models/demo/tiny%40draft", NULL, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(json_string_value(json_object_get(r.json, "id")), "demo/tiny@draft");
    reply_finish(&r);
    r = call(fx, "/v1/models/nothing", NULL, NULL);
    assert_int_equal(r.status, 404);
    reply_finish(&r);
}

static void stopping_ends_open_requests(void **state)
{
    struct fixture *fx = *state;
    fx->proxy->script.hang = true;
    char *text = raw_post("/v1/chat/completions", chat);
    struct raw *raw = raw_open(fx, text);
    free(text);
    run_until(fx, was_submitted, fx->proxy);
    fixture_close(fx);
    assert_int_equal(fx->proxy->cancelled, 1);
    raw_expect_close(raw);
    raw_close(raw);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void draining_finishes_what_is_open(void **state)
{
    struct fixture *fx = *state;
    bool drained = false;
    fx->proxy->script = (struct fake_script){.repeat = 1000, .bulk = 10, .error_after = -1};
    char *text = raw_post("/v1/chat/completions", chat_stream);
    struct raw *raw = raw_open(fx, text);
    free(text);
    run_until(fx, was_submitted, fx->proxy);
    api_drain(fx->api, on_drained, &drained);
    struct reply r = call(fx, "/v1/chat/completions", chat, NULL);
    assert_int_equal(r.status, 503);
    reply_finish(&r);
    r = call(fx, "/health", NULL, NULL);
    assert_int_equal(r.status, 503);
    reply_finish(&r);
    run_until(fx, is_true, &drained);
    fixture_close(fx);
    raw_expect_close(raw);
    assert_non_null(strstr(raw->got.data, "data: [DONE]\n\n"));
    assert_int_equal(fx->proxy->cancelled, 0);
    raw_close(raw);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

const struct CMUnitTest endpoints_tests[] = {
    TEST(answers_in_one_piece),
    TEST(streams),
    TEST(tells_how_it_was_served),
    TEST(waits_audibly),
    TEST(streams_detail_when_asked),
    TEST(gives_logprobs),
    TEST(errors_keep_their_status_before_any_token),
    TEST(errors_after_tokens_are_events),
    TEST(refusals_are_passed_on),
    TEST(bad_requests_never_reach_the_proxy),
    TEST(a_client_that_goes_is_noticed_before_the_reply),
    TEST(a_client_that_goes_is_noticed_in_a_stream),
    TEST(a_slow_reader_pauses_the_answer),
    TEST(lists_models),
    TEST(stopping_ends_open_requests),
    TEST(draining_finishes_what_is_open),
};
const size_t endpoints_count = sizeof(endpoints_tests) / sizeof(*endpoints_tests);
