/* A stock llama-server verifies through its slots: what is asked of it, what is made of its candidates, and what it may
 * answer instead. */
#include "got.h"
#include "tests.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char models[] = "{\"data\":[{\"id\":\"target.gguf\",\"meta\":{\"n_vocab\":640}}]}";
static const char tells[] = "[{\"index\":0,\"completion_probabilities\":[{\"id\":97,\"top_logprobs\":[{\"id\":5,"
                            "\"bytes\":[104],\"logprob\":-1}]}]},"
                            "{\"index\":1,\"completion_probabilities\":[{\"id\":97,\"top_logprobs\":[{\"id\":5,"
                            "\"bytes\":[104],\"logprob\":-1}]}]}]";
static const int32_t path[] = {5, 6, 7}, draft[] = {8, 9};

/* The reply of one prompt: two candidates. */
#define ONE(index, id1, bytes1, lp1, id2, lp2)                                                                         \
    "{\"index\":" index ",\"completion_probabilities\":[{\"id\":97,\"top_logprobs\":[{\"id\":" id1                     \
    ",\"bytes\":" bytes1 ",\"logprob\":" lp1 "},{\"id\":" id2 ",\"bytes\":[66],\"logprob\":" lp2                       \
    "}]}],\"timings/prompt_n\":1}"

static void begin(struct bench *t, int slots)
{
    struct got g;
    char *props =
        xasprintf("{\"default_generation_settings\":{\"n_ctx\":512},\"total_slots\":%d,\"model_path\":\"target."
                  "gguf\",\"build_info\":\"b1\",\"eos_token\":\"</s>\"}",
                  slots);
    bench_init(t, "llamacpp", NULL, NULL);
    fake_always(t->fake, "GET /health", 200, "{\"status\":\"ok\"}");
    fake_always(t->fake, "GET /props", 200, props);
    fake_always(t->fake, "GET /v1/models", 200, models);
    fake_reply(t->fake, "POST /tokenize", 200, "{\"tokens\":[97]}");
    fake_reply(t->fake, "POST /completion", 200, "{\"tokens\":[1]}");
    fake_reply(t->fake, "POST /completion", 200, tells);
    fake_reply(t->fake, "POST /tokenize", 200, "{\"tokens\":[639]}"); /* the end token */
    bench_probe(t, t->b, &g);
    while (t->b->calls != NULL) /* the check in the background, which gets no answer here */
        event_base_loop(t->base, EVLOOP_ONCE);
    free(props);
}

static struct backend_session *session(struct bench *t, double temperature)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = temperature;
    p.seed = 1;
    return backend_session_open(t->b, &p, 3);
}

static void verify(struct bench *t, struct backend_session *s, size_t n, int n_logprobs, struct got *g)
{
    memset(g, 0, sizeof(*g));
    backend_verify(s, path, 3, draft, n, n_logprobs, 1000, got_verify, g);
    assert_false(g->done);
    loop_until(t->base, &g->done);
}

static void slots_decide(void **state)
{
    struct bench t;
    struct got g;
    begin(&t, 1);
    assert_false(t.b->info.caps.verify || t.b->info.caps.generate);
    assert_contains(t.b->info.cannot_verify, "--parallel 9");
    struct backend_session *s = session(&t, 0);
    verify(&t, s, 2, -1, &g);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    assert_contains(g.message, "--parallel 9");
    bench_finish(&t);
    begin(&t, 5);
    const struct backend_info *i = &t.b->info;
    assert_true(i->caps.verify && i->caps.generate && i->caps.relay_alone && i->verify_max == 4);
    assert_null(i->cannot_verify);
    s = session(&t, 0);
    size_t alone = backend_verify_most(s);
    assert_true(alone >= 1 && alone <= 4);
    for (int k = 0; k < 4; k++)
        session(&t, 0);
    assert_int_equal(backend_verify_most(s), 0); /* a slot for each of them */
    bench_finish(&t);
}

static void slots_verify(void **state)
{
    struct bench t;
    struct got g;
    begin(&t, 5);
    size_t asked = fake_count(t.fake, "POST /completion");
    struct backend_session *s = session(&t, 0);
    /* prompts and replies are the longest first; replies name their prompt */
    fake_reply(t.fake, "POST /completion", 200,
               "[" ONE("2", "8", "[104,195]", "-0.1", "3", "-3") "," ONE("0", "50", "[90]", "-0.5", "3", "-2") "," ONE(
                   "1", "11", "[169]", "-0.5", "3", "-0.75") "]");
    verify(&t, s, 2, 1, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.accepted, 1);
    assert_got(&g, 8, 11);
    assert_string_equal(g.text, "h\xc3\xa9"); /* the bytes of a character in two tokens */
    assert_true(fabsf(g.margin - 0.25f) < 1e-5f);
    assert_true(g.has_logprob && fabsf(g.logprob + 0.5f) < 1e-5f);
    assert_int_equal(g.n_top, 1);
    assert_string_equal(
        fake_body(t.fake, "POST /completion", asked),
        "{\"prompt\":[[5,6,7,8,9],[5,6,7,8],[5,6,7]],\"n_predict\":1,\"n_probs\":2,"
        "\"post_sampling_probs\":false,\"logit_bias\":[[97,1000]],\"seed\":1,\"temperature\":0,\"samplers\":"
        "[\"temperature\"],\"mirostat\":0,\"ignore_eos\":false,\"backend_sampling\":false,"
        "\"cache_prompt\":true,\"response_fields\":[\"index\",\"completion_probabilities\","
        "\"timings/prompt_n\"]}");
    /* a token without text is looked up once: does it end? */
    fake_reply(t.fake, "POST /completion", 200, ONE("0", "638", "[]", "-0.1", "3", "-3"));
    fake_reply(t.fake, "POST /completion", 200, "{\"stop_type\":\"limit\"}");
    verify(&t, s, 0, -1, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_true(g.tokens[0] == 638 && !g.end && g.text_len == 0 && !g.has_logprob);
    assert_contains(fake_body(t.fake, "POST /completion", asked + 2), "\"logit_bias\":[[638,1000]]");
    fake_reply(t.fake, "POST /completion", 200, ONE("0", "638", "[]", "-0.1", "3", "-3"));
    verify(&t, s, 0, -1, &g);
    assert_int_equal(fake_count(t.fake, "POST /completion"), asked + 4);
    /* the end token is known, and is never accepted */
    fake_reply(t.fake, "POST /completion", 200, ONE("0", "639", "[]", "-0.1", "3", "-3"));
    verify(&t, s, 0, -1, &g);
    assert_true(g.tokens[0] == 639 && g.end && g.accepted == 0);
    bench_finish(&t);
}

/* Where a draw is not proven by the candidates, more of them are asked for. */
static void slots_ask_again(void **state)
{
    struct bench t;
    struct got g;
    begin(&t, 5);
    size_t asked = fake_count(t.fake, "POST /completion");
    struct backend_session *s = session(&t, 1.5);
    fake_reply(t.fake, "POST /completion", 200,
               "[" ONE("1", "8", "[104]", "-3.1", "3", "-3.1") "," ONE("0", "3", "[90]", "-3", "4", "-3.2") "]");
    struct buf many;
    buf_init(&many, 1 << 20);
    buf_adds(&many, "{\"index\":0,\"completion_probabilities\":[{\"id\":97,\"top_logprobs\":[");
    for (int i = 0; i < 640; i++)
        buf_printf(&many, "%s{\"id\":%d,\"bytes\":[65],\"logprob\":%g}", i > 0 ? "," : "", i, i == 8 ? -0.001 : -30.0);
    buf_adds(&many, "]}]}");
    fake_reply(t.fake, "POST /completion", 200, many.data);
    fake_reply(t.fake, "POST /completion", 200, many.data);
    verify(&t, s, 1, -1, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.tokens[0], 8);
    assert_contains(fake_body(t.fake, "POST /completion", asked), "\"n_probs\":64,");
    assert_contains(fake_body(t.fake, "POST /completion", asked + 1), "{\"prompt\":[[5,6,7]],");
    buf_finish(&many);
    bench_finish(&t);
}

static void slots_nonsense(void **state)
{
    static const char *const nonsense[] = {
        "",
        "{}",
        "[]",
        "{\"index\":1}",
        "{\"index\":0,\"completion_probabilities\":[]}",
        "{\"index\":0,\"completion_probabilities\":[{\"top_logprobs\":[{\"id\":640,\"bytes\":[],\"logprob\":-1}]}]}",
        "{\"index\":0,\"completion_probabilities\":[{\"top_logprobs\":[{\"id\":6,\"bytes\":\"a\",\"logprob\":-1}]}]}",
        "{\"index\":0,\"completion_probabilities\":[{\"top_logprobs\":[{\"id\":6,\"bytes\":[],\"logprob\":null}]}]}",
    };
    struct bench t;
    struct got g;
    begin(&t, 5);
    struct backend_session *s = session(&t, 0);
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        fake_reply(t.fake, "POST /completion", 200, nonsense[i]);
        verify(&t, s, 0, -1, &g);
        assert_got_error(&g, BACKEND_BROKEN);
    }
    fake_reply(t.fake, "POST /completion", 400,
               "{\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\"}}");
    verify(&t, s, 0, -1, &g);
    assert_got_error(&g, BACKEND_TOO_LONG);
    fake_hang(t.fake, "POST /completion");
    memset(&g, 0, sizeof(g));
    backend_verify(s, path, 3, draft, 2, -1, 50, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    bench_finish(&t);
}

#define PART(id, text, told)                                                                                           \
    "data: {\"content\":\"" text "\",\"tokens\":[" id "],\"stop\":false,\"tokens_predicted\":" told "}\n\n"

/* At temperature 0 a stream; what it leaves out is drawn, one token a request. */
static void slots_generate(void **state)
{
    static const char *const to_the_end[] = {
        PART("10", "he", "1"),
        PART("11", "llo", "2") PART("639", "", "3"),
        "data: {\"stop\":true,\"stop_type\":\"eos\",\"tokens_predicted\":3}\n\n",
    };
    static const char *const gap[] = {PART("10", "a", "1"), PART("12", "\xc3\xa9", "3")};
    static const char *const broken[] = {PART("10", "a", "1")};
    struct bench t;
    struct got g = {0};
    begin(&t, 5);
    struct backend_session *s = session(&t, 0);
    fake_stream(t.fake, "POST /completion", "text/event-stream", to_the_end, 3, true);
    backend_generate(s, path, 3, 100, -1, 1000, got_stream, got_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 10, 11, 639);
    assert_true(g.end);
    assert_string_equal(g.text, "hello");

    memset(&g, 0, sizeof(g));
    g.pause_at = 2;
    fake_stream(t.fake, "POST /completion", "text/event-stream", gap, 2, true);
    fake_reply(t.fake, "POST /completion", 200, ONE("0", "195", "[195]", "-0.1", "3", "-3"));
    fake_reply(t.fake, "POST /completion", 200, ONE("0", "169", "[169]", "-0.1", "3", "-3"));
    g.call = backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g);
    loop_for(t.base, 50);
    assert_false(g.done); /* paused */
    backend_resume(g.call);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 10, 195, 169);
    assert_string_equal(g.text, "a\xc3\xa9");

    memset(&g, 0, sizeof(g));
    fake_stream(t.fake, "POST /completion", "text/event-stream", broken, 1, true);
    backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);

    memset(&g, 0, sizeof(g));
    fake_hang(t.fake, "POST /completion");
    g.call = backend_generate(s, path, 3, 3, -1, 1000, got_stream, got_done, &g);
    loop_for(t.base, 30);
    backend_cancel(g.call);
    loop_until_closed(t.base, t.fake);
    assert_false(g.done);
    bench_finish(&t);
}

const struct CMUnitTest llamacpp_slots_tests[] = {
    cmocka_unit_test(slots_decide),   cmocka_unit_test(slots_verify),   cmocka_unit_test(slots_ask_again),
    cmocka_unit_test(slots_nonsense), cmocka_unit_test(slots_generate),
};
const size_t llamacpp_slots_count = ARRAY_LEN(llamacpp_slots_tests);
