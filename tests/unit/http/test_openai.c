/* Clients in the field read these shapes and send anything: what is wrong is refused by name, never ignored. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/openai.h"

static const struct oai_limits limits = {.max_tokens = 1000};

static int parse(struct oai_request *r, bool chat, const char *text, struct oai_error *e)
{
    return oai_request_parse(r, chat, text, strlen(text), &limits, e);
}

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void test_defaults(void **state)
{
    struct oai_request r, s;
    struct oai_error e;

    assert_int_equal(parse(&r, true, "{" M "}", &e), 0);
    assert_true(r.chat);
    assert_null(r.model);
    assert_false(r.stream || r.include_usage || r.echo || r.seed_given);
    assert_int_equal(r.max_tokens, -1);
    assert_int_equal(r.logprobs, -1);
    assert_int_equal(r.n_stops, 0);
    assert_true(r.sampling.temperature == 1 && r.sampling.top_p == 1);
    assert_int_equal(json_array_size(r.messages), 1);
    assert_int_equal(parse(&s, true, "{" M ",\"unknown\":null,\"seed\":null,\"tools\":null}", &e), 0);
    assert_int_not_equal(r.sampling.seed, s.sampling.seed); /* random, unless 1 in 2^31 */
    oai_request_finish(&r);
    oai_request_finish(&s);
    assert_int_equal(parse(&r, false, "{\"prompt\":\"\"}", &e), 0);
    assert_string_equal(r.prompt, "");
    oai_request_finish(&r);
}

static void test_everything_taken(void **state)
{
    struct oai_request r;
    struct oai_error e;

    assert_int_equal(
        parse(
            &r, true,
            "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"be\"},"
            "{\"role\":\"user\",\"name\":\"x\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
            "\"text\":\"\xc3\xa9\"}]},"
            "{\"role\":\"assistant\",\"content\":\"ok\",\"refusal\":null,\"tool_calls\":[]}],"
            "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_completion_tokens\":7,\"temperature\":0,"
            "\"top_p\":0.5,\"top_k\":40,\"min_p\":0.05,\"repeat_penalty\":1.1,\"frequency_penalty\":-2,\"presence_"
            "penalty\":2,"
            "\"logit_bias\":{\"5\":-100,\"0\":1.5},\"seed\":-1,\"stop\":[\"a\",\"b\"],\"logprobs\":true,\"top_"
            "logprobs\":3,"
            "\"user\":\"u\",\"metadata\":{},\"store\":false,\"n\":1,\"response_format\":{\"type\":\"text\"},\"tools\":["
            "],"
            "\"tool_choice\":\"none\",\"parallel_tool_calls\":true,\"service_tier\":\"auto\",\"modalities\":[\"text\"]"
            "}",
            &e),
        0);
    assert_string_equal(r.model, "m");
    char *messages = json_dumps(r.messages, JSON_COMPACT);
    assert_string_equal(messages,
                        "[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"a\xc3\xa9\"},"
                        "{\"role\":\"assistant\",\"content\":\"ok\"}]");
    free(messages);
    assert_true(r.stream && r.include_usage && r.seed_given);
    assert_int_equal(r.max_tokens, 7);
    assert_true(r.sampling.seed == UINT64_MAX);
    assert_true(r.sampling.temperature == 0 && r.sampling.top_p == 0.5 && r.sampling.min_p == 0.05);
    assert_int_equal(r.sampling.top_k, 40);
    assert_int_equal(r.sampling.repeat_last_n, 64);
    assert_int_equal(r.sampling.n_bias, 2);
    assert_int_equal(r.sampling.bias[0].token, 5);
    assert_true(r.sampling.bias[0].bias == -100 && r.sampling.bias[1].bias == 1.5f);
    assert_int_equal(r.n_stops, 2);
    assert_string_equal(r.stops[1], "b");
    assert_int_equal(r.logprobs, 3);
    assert_int_equal(json_object_size(r.original), 27);
    oai_request_finish(&r);
    oai_request_finish(&r);

    assert_int_equal(parse(&r, false,
                           "{\"prompt\":[1,2,3],\"echo\":true,\"logprobs\":0,\"max_tokens\":0,\"suffix\":\"\","
                           "\"best_of\":1,\"stop\":\"x\",\"return_tokens_as_token_ids\":true}",
                           &e),
                     0);
    assert_int_equal(r.n_prompt_tokens, 3);
    assert_int_equal(r.prompt_tokens[2], 3);
    assert_true(r.echo && r.tokens_as_ids);
    assert_int_equal(r.logprobs, 0);
    assert_int_equal(r.max_tokens, 0);
    assert_string_equal(r.stops[0], "x");
    oai_request_finish(&r);
    assert_int_equal(parse(&r, false, "{\"prompt\":[\"one\"]}", &e), 0);
    assert_string_equal(r.prompt, "one");
    oai_request_finish(&r);
    assert_int_equal(parse(&r, false, "{\"prompt\":[[4,5]]}", &e), 0);
    assert_int_equal(r.n_prompt_tokens, 2);
    oai_request_finish(&r);
}

static const struct {
    bool chat;
    const char *param; /* NULL: none */
    const char *text;
} wrong[] = {
    {true, NULL, ""},
    {true, NULL, "[]"},
    {true, NULL, "{"},
    {true, NULL, "{\"a\":1,\"a\":2}"},
    {true, NULL, "{\"model\":\"\xff\"}"},
    {true, NULL, "{\"model\":\"\\u0000\"}"},
    {true, "messages", "{}"},
    {true, "messages", "{\"messages\":null}"},
    {true, "messages", "{\"messages\":[]}"},
    {true, "messages", "{\"messages\":\"hi\"}"},
    {true, "messages[0]", "{\"messages\":[1]}"},
    {true, "messages[0].role", "{\"messages\":[{\"content\":\"x\"}]}"},
    {true, "messages[0].role", "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}"},
    {true, "messages[0].role", "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}"},
    {true, "messages[0].content", "{\"messages\":[{\"role\":\"user\"}]}"},
    {true, "messages[0].content", "{\"messages\":[{\"role\":\"user\",\"content\":null}]}"},
    {true, "messages[0].content", "{\"messages\":[{\"role\":\"user\",\"content\":5}]}"},
    {true, "messages[0].content", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}"},
    {true, "messages[0].content", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}"},
    {true, "messages[0].content", "{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}"},
    {true, "messages[0].tool_calls",
     "{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[{\"id\":\"1\"}]}]}"},
    {true, "model", "{" M ",\"model\":5}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":-1}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":0}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":1001}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":1.5}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":\"5\"}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":9223372036854775807}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":99999999999999999999999999}"},
    {true, "max_tokens", "{" M ",\"max_tokens\": -99999999999999999999999999}"},
    {true, "max_tokens", "{" M ",\"max_tokens\":5,\"max_completion_tokens\":6}"},
    {true, "max_completion_tokens", "{" M ",\"max_completion_tokens\":0}"},
    {true, "max_completion_tokens", "{" M ",\"max_completion_tokens\":1001}"},
    {true, "temperature", "{" M ",\"temperature\":-0.1}"},
    {true, "temperature", "{" M ",\"temperature\":2.01}"},
    {true, "temperature", "{" M ",\"temperature\" : 1e999}"},
    {true, "temperature", "{" M ",\"temperature\":true}"},
    {true, "top_p", "{" M ",\"top_p\":1.1}"},
    {true, "top_k", "{" M ",\"top_k\":-2}"},
    {true, "min_p", "{" M ",\"min_p\":-1}"},
    {true, "repeat_penalty", "{" M ",\"repeat_penalty\":0}"},
    {true, "repeat_last_n", "{" M ",\"repeat_last_n\":-2}"},
    {true, "frequency_penalty", "{" M ",\"frequency_penalty\":2.5}"},
    {true, "presence_penalty", "{" M ",\"presence_penalty\":-2.5}"},
    {true, "seed", "{" M ",\"seed\":1.5}"},
    {true, "seed", "{" M ",\"seed\":9223372036854775808}"},
    {true, "stop", "{" M ",\"stop\":\"\"}"},
    {true, "stop", "{" M ",\"stop\":5}"},
    {true, "stop", "{" M ",\"stop\":[\"a\",5]}"},
    {true, "stop",
     "{" M ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\",\"m\",\"n\",\"o\","
     "\"p\",\"q\"]}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":[]}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"x\":1}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"-1\":1}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"\":1}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"2147483648\":1}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"99999999999\":1}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"01\":1}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"1\":101}}"},
    {true, "logit_bias", "{" M ",\"logit_bias\":{\"1\":\"x\"}}"},
    {true, "logprobs", "{" M ",\"logprobs\":5}"},
    {true, "top_logprobs", "{" M ",\"top_logprobs\":5}"},
    {true, "top_logprobs", "{" M ",\"logprobs\":true,\"top_logprobs\":21}"},
    {true, "stream", "{" M ",\"stream\":\"yes\"}"},
    {true, "stream_options", "{" M ",\"stream_options\":{\"include_usage\":true}}"},
    {true, "stream_options", "{" M ",\"stream\":true,\"stream_options\":5}"},
    {true, "stream_options", "{" M ",\"stream\":true,\"stream_options\":{\"include_usage\":5}}"},
    {true, "stream_options", "{" M ",\"stream\":true,\"stream_options\":{\"more\":true}}"},
    {true, "n", "{" M ",\"n\":2}"},
    {true, "tools", "{" M ",\"tools\":[{\"type\":\"function\"}]}"},
    {true, "tool_choice", "{" M ",\"tool_choice\":\"required\"}"},
    {true, "functions", "{" M ",\"functions\":[{}]}"},
    {true, "response_format", "{" M ",\"response_format\":{\"type\":\"json_object\"}}"},
    {true, "audio", "{" M ",\"audio\":{}}"},
    {true, "modalities", "{" M ",\"modalities\":[\"text\",\"audio\"]}"},
    {true, "reasoning_effort", "{" M ",\"reasoning_effort\":\"high\"}"},
    {true, "web_search_options", "{" M ",\"web_search_options\":{}}"},
    {true, "mirostat", "{" M ",\"mirostat\":2}"},
    {true, "prompt", "{" M ",\"prompt\":\"x\"}"},
    {true, "echo", "{" M ",\"echo\":true}"},
    {false, "prompt", "{}"},
    {false, "prompt", "{\"prompt\":[]}"},
    {false, "prompt", "{\"prompt\":5}"},
    {false, "prompt", "{\"prompt\":[\"a\",\"b\"]}"},
    {false, "prompt", "{\"prompt\":[[1],[2]]}"},
    {false, "prompt", "{\"prompt\":[1,-2]}"},
    {false, "prompt", "{\"prompt\":[1,\"a\"]}"},
    {false, "prompt", "{\"prompt\":[1.5]}"},
    {false, "prompt", "{\"prompt\":[4294967296]}"},
    {false, "messages", "{\"prompt\":\"a\"," M "}"},
    {false, "logprobs", "{\"prompt\":\"a\",\"logprobs\":true}"},
    {false, "logprobs", "{\"prompt\":\"a\",\"logprobs\":-1}"},
    {false, "best_of", "{\"prompt\":\"a\",\"best_of\":2}"},
    {false, "suffix", "{\"prompt\":\"a\",\"suffix\":\"x\"}"},
    {false, "top_logprobs", "{\"prompt\":\"a\",\"top_logprobs\":2}"},
};

static void test_wrong(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct oai_request r;
        struct oai_error e;

        if (parse(&r, wrong[i].chat, wrong[i].text, &e) != -1)
            fail_msg("accepted: %s", wrong[i].text);
        assert_int_equal(e.status, 400);
        if ((e.param == NULL) != (wrong[i].param == NULL) || (e.param && strcmp(e.param, wrong[i].param) != 0))
            fail_msg("%s: %s: %s", wrong[i].text, e.param, e.message);
        assert_true(strlen(e.message) > 5);
        if (e.param && strchr(e.param, '[') == NULL && strcmp(e.param, "prompt") != 0)
            assert_non_null(strstr(e.message, e.param));
        oai_error_finish(&e);
        oai_request_finish(&r); /* harmless */
    }
}

static void test_nested(void **state)
{
    enum { DEPTH = 10000 };
    char *text = xmalloc(2 * DEPTH + 100);
    struct oai_request r;
    struct oai_error e;

    strcpy(text, "{" M ",\"metadata\":");
    size_t at = strlen(text);
    memset(text + at, '[', DEPTH);
    memset(text + at + DEPTH, ']', DEPTH);
    strcpy(text + at + 2 * DEPTH, "}");
    assert_int_equal(parse(&r, true, text, &e), -1);
    assert_int_equal(e.status, 400);
    assert_non_null(strstr(e.message, "nested"));
    oai_error_finish(&e);
    free(text);
}

static json_t *event(const char *text, size_t index)
{
    for (;; index--) {
        const char *end = strstr(text, "\n\n");
        json_t *o;

        assert_non_null(end);
        assert_memory_equal(text, "data: ", 6);
        if (index == 0) {
            o = json_loadb(text + 6, (size_t)(end - text - 6), 0, NULL);
            assert_non_null(o);
            return o;
        }
        text = end + 2;
    }
}

static const char *at(json_t *o, const char *path)
{
    static char *text;
    json_t *v = o;
    char *copy = xstrdup(path);

    for (char *key = strtok(copy, "."); key; key = strtok(NULL, "."))
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
    free(copy);
    free(text);
    text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : xstrdup("(absent)");
    return text;
}

static const struct oai_top tops[] = {{7, " a", 2, -0.25f}, {8, "\xe2\x82", 2, -INFINITY}};
static const struct oai_token tokens[] = {
    {5, "h\xc3\xa9", 3, -0.123456789f, tops, 2},
    {6, "\xff", 1, NAN, NULL, 0},
};

static struct oai_reply reply(bool chat, const char *extra)
{
    struct oai_request q;
    struct oai_error e;
    struct oai_reply r;
    char *text = xasprintf("{%s,\"seed\":11%s}", chat ? M : "\"prompt\":\"x\"", extra);

    assert_int_equal(parse(&q, chat, text, &e), 0);
    oai_reply_init(&r, &q, "model \"x\"");
    oai_request_finish(&q);
    free(text);
    return r;
}

static const struct oai_usage usage = {10, 5, 8, 3}, no_draft = {10, 5, -1, -1};

static void test_chat_stream(void **state)
{
    struct oai_reply r = reply(true, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    char *a = oai_stream_chunk(&r, "he\"y", 4, tokens, 2), *b = oai_stream_chunk(&r, "you\xff", 4, NULL, 0);
    char *c = oai_stream_end(&r, ANSWER_LENGTH, &usage);
    json_t *o = event(a, 0);

    assert_string_equal(at(o, "object"), "\"chat.completion.chunk\"");
    assert_string_equal(at(o, "model"), "\"model \\\"x\\\"\"");
    assert_string_equal(at(o, "choices.0.delta"), "{\"role\":\"assistant\",\"content\":\"he\\\"y\"}");
    assert_string_equal(at(o, "choices.0.finish_reason"), "null");
    assert_string_equal(at(o, "choices.0.index"), "0");
    assert_string_equal(at(o, "usage"), "null");
    assert_string_equal(at(o, "choices.0.logprobs.content.0"),
                        "{\"token\":\"h\xc3\xa9\",\"logprob\":-0.123457,\"bytes\":[104,195,169],\"top_logprobs\":["
                        "{\"token\":\" a\",\"logprob\":-0.25,\"bytes\":[32,97]},"
                        "{\"token\":\"\\\\xe2\\\\x82\",\"logprob\":-9999.0,\"bytes\":[226,130]}]}");
    assert_string_equal(at(o, "choices.0.logprobs.content.1.bytes"), "[255]");
    assert_string_equal(at(o, "choices.0.logprobs.refusal"), "null");
    char *id = xstrdup(at(o, "id"));
    assert_memory_equal(id, "\"chatcmpl-", 10);
    json_decref(o);

    o = event(b, 0);
    assert_string_equal(at(o, "id"), id);
    assert_string_equal(at(o, "choices.0.delta"), "{\"content\":\"you\xef\xbf\xbd\"}");
    assert_string_equal(at(o, "choices.0.logprobs"), "null");
    json_decref(o);

    o = event(c, 0);
    assert_string_equal(at(o, "choices.0.delta"), "{}");
    assert_string_equal(at(o, "choices.0.finish_reason"), "\"length\"");
    assert_string_equal(at(o, "tightwad.seed"), "11");
    json_decref(o);
    o = event(c, 1);
    assert_string_equal(at(o, "choices"), "[]");
    assert_string_equal(at(o, "usage.total_tokens"), "15");
    assert_string_equal(at(o, "usage.completion_tokens_details"),
                        "{\"accepted_prediction_tokens\":3,\"rejected_prediction_tokens\":5}");
    json_decref(o);
    assert_string_equal(c + strlen(c) - 14, "data: [DONE]\n\n");
    free(id);
    free(a);
    free(b);
    free(c);
    oai_reply_finish(&r);

    r = reply(true, ",\"stream\":true"); /* an empty answer still has its role */
    a = oai_stream_end(&r, ANSWER_STOP, &no_draft);
    o = event(a, 0);
    assert_string_equal(at(o, "choices.0.delta.role"), "\"assistant\"");
    assert_string_equal(at(o, "usage"), "(absent)");
    json_decref(o);
    o = event(a, 1);
    assert_string_equal(at(o, "choices.0.finish_reason"), "\"stop\"");
    json_decref(o);
    free(a);
    oai_reply_finish(&r);
}

static void test_chat_whole(void **state)
{
    struct oai_reply r = reply(true, ",\"logprobs\":true");
    json_t *o;

    oai_reply_add_tokens(&r, tokens, 1);
    oai_reply_add_tokens(&r, tokens + 1, 1);
    o = oai_reply_json(&r, "text", 4, ANSWER_STOP, &no_draft);
    assert_string_equal(at(o, "object"), "\"chat.completion\"");
    assert_string_equal(at(o, "choices.0.message"), "{\"role\":\"assistant\",\"content\":\"text\",\"refusal\":null}");
    assert_string_equal(at(o, "choices.0.logprobs.content.1.token"), "\"\\\\xff\"");
    assert_string_equal(at(o, "usage"), "{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}");
    assert_string_equal(at(o, "tightwad.seed"), "11");
    json_decref(o);
    oai_reply_finish(&r);
}

static void test_completions(void **state)
{
    struct oai_reply r = reply(false, ",\"stream\":true,\"logprobs\":2");
    char *a = oai_stream_chunk(&r, "one", 3, tokens, 1), *b = oai_stream_chunk(&r, "two", 3, tokens, 2);
    char *c = oai_stream_end(&r, ANSWER_STOP, &usage);
    json_t *o = event(a, 0);

    assert_string_equal(at(o, "object"), "\"text_completion\"");
    assert_memory_equal(at(o, "id"), "\"cmpl-", 6);
    assert_string_equal(at(o, "choices.0.text"), "\"one\"");
    assert_string_equal(at(o, "choices.0.logprobs"),
                        "{\"tokens\":[\"h\xc3\xa9\"],\"token_logprobs\":[-0.123457],\"top_logprobs\":[{\" a\":-0.25,"
                        "\"bytes:\\\\xe2\\\\x82\":-9999.0,\"h\xc3\xa9\":-0.123457}],\"text_offset\":[0]}");
    json_decref(o);
    o = event(b, 0);
    assert_string_equal(at(o, "choices.0.logprobs.text_offset"), "[2,4]");
    assert_string_equal(at(o, "choices.0.logprobs.token_logprobs.1"), "null");
    assert_string_equal(at(o, "choices.0.logprobs.top_logprobs.1"), "null");
    json_decref(o);
    o = event(c, 0);
    assert_string_equal(at(o, "choices.0.text"), "\"\"");
    assert_string_equal(at(o, "choices.0.finish_reason"), "\"stop\"");
    json_decref(o);
    free(a);
    free(b);
    free(c);
    oai_reply_finish(&r);

    r = reply(false, ",\"logprobs\":1,\"return_tokens_as_token_ids\":true");
    oai_reply_add_tokens(&r, tokens, 2);
    o = oai_reply_json(&r, "text", 4, ANSWER_LENGTH, &usage);
    assert_string_equal(at(o, "choices.0.text"), "\"text\"");
    assert_string_equal(at(o, "choices.0.logprobs.tokens"), "[\"token_id:5\",\"token_id:6\"]");
    assert_string_equal(at(o, "choices.0.logprobs.top_logprobs.0"),
                        "{\"token_id:7\":-0.25,\"token_id:8\":-9999.0,\"token_id:5\":-0.123457}");
    assert_string_equal(at(o, "usage.tightwad"), "{\"drafted_tokens\":8,\"accepted_tokens\":3}");
    json_decref(o);
    oai_reply_finish(&r);
}

static void test_error_event(void **state)
{
    char *a = oai_stream_error("server_error", "it \"broke\"");
    json_t *o = event(a, 0);

    assert_string_equal(at(o, "error"),
                        "{\"message\":\"it \\\"broke\\\"\",\"type\":\"server_error\",\"param\":null,\"code\":null}");
    json_decref(o);
    free(a);
}

const struct CMUnitTest openai_tests[] = {
    cmocka_unit_test(test_defaults),    cmocka_unit_test(test_everything_taken), cmocka_unit_test(test_wrong),
    cmocka_unit_test(test_nested),      cmocka_unit_test(test_chat_stream),      cmocka_unit_test(test_chat_whole),
    cmocka_unit_test(test_completions), cmocka_unit_test(test_error_event),
};
const size_t openai_count = sizeof(openai_tests) / sizeof(openai_tests[0]);
