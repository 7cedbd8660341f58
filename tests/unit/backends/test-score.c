/* How likely given tokens are: only what is new crosses the wire, a lost session is opened again, and a reply that does
 * not fit the tokens fails its call. */
#include "got.h"
#include "tests.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char node_info[] = "{\"protocol\":1,\"model\":\"tiny\",\"n_vocab\":640,\"n_ctx\":512,\"slots\":4,"
                                "\"eog\":[638,639],\"chat_template\":true}";
static const char lost[] = "{\"error\":{\"message\":\"gone\",\"code\":\"session_lost\"},\"have\":0}";
static const int32_t path[] = {5, 6, 7, 8, 9};

static struct backend_session *open_session(struct bench *t, double temperature)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = temperature;
    struct backend_session *s = backend_session_open(t->b, &p, 3);
    sampler_params_finish(&p);
    return s;
}

static void score(struct bench *t, struct backend_session *s, size_t n_path, size_t n, struct got *g)
{
    memset(g, 0, sizeof(*g));
    backend_score(s, path, n_path, n, 1000, got_score, g);
    assert_false(g->done);
    loop_until(t->base, &g->done);
}

static void setup_node(struct bench *t)
{
    struct got g;
    bench_init(t, "node", NULL, NULL);
    fake_always(t->fake, "GET /v1/node", 200, node_info);
    fake_always(t->fake, "POST /v1/node/session", 200, "{\"session\":1}");
    bench_probe(t, t->b, &g);
}

static const char *asked(const struct bench *t, size_t i)
{
    return fake_body(t->fake, "POST /v1/node/score", i);
}

static void score_node(void **state)
{
    struct bench t;
    struct got g;
    setup_node(&t);
    assert_true(t.b->info.caps.score);
    assert_int_equal(t.b->info.n_eog, 2);
    assert_int_equal(t.b->info.eog[1], 639);
    struct backend_session *s = open_session(&t, 0);
    fake_reply(t.fake, "POST /v1/node/score", 200, "{\"logprobs\":[-0.5,-1e9],\"gaps\":[0,null]}");
    score(&t, s, 5, 2, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.n, 2);
    assert_true(g.probs[0] == -0.5f && g.probs[1] == -1e9f && g.gaps[0] == 0 && isnan(g.gaps[1]));
    /* the prompt goes along, and is not scored */
    assert_string_equal(asked(&t, 0), "{\"session\":1,\"keep\":0,\"tokens\":[5,6,7,8,9],\"n\":2}");
    /* the server has all of it: those that are scored are sent, and no number is needed */
    fake_reply(t.fake, "POST /v1/node/score", 200, "{\"logprobs\":[-0.5,-0.25,-2],\"gaps\":[0,0,1.5]}");
    score(&t, s, 5, 3, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(asked(&t, 1), "{\"session\":1,\"keep\":2,\"tokens\":[7,8,9]}");
    /* it forgot: once more, whole */
    fake_reply(t.fake, "POST /v1/node/score", 409, lost);
    fake_reply(t.fake, "POST /v1/node/score", 200, "{\"logprobs\":[-0.5],\"gaps\":[0]}");
    score(&t, s, 4, 1, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(asked(&t, 2), "{\"session\":1,\"keep\":3,\"tokens\":[8]}");
    assert_string_equal(asked(&t, 3), "{\"session\":1,\"keep\":0,\"tokens\":[5,6,7,8],\"n\":1}");
    /* a verify after it sends only what is new */
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    memset(&g, 0, sizeof(g));
    backend_verify(s, path, 5, NULL, 0, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 0), "\"keep\":4,\"tokens\":[9],");
    backend_session_close(s);
    bench_finish(&t);
}

static void score_node_nonsense(void **state)
{
    static const char *const replies[] = {
        "{}",
        "[]",
        "{\"logprobs\":[-1,-2]}",
        "{\"logprobs\":[-1],\"gaps\":[0]}",
        "{\"logprobs\":[-1,-2,-3],\"gaps\":[0,0,0]}",
        "{\"logprobs\":[-1,null],\"gaps\":[0,0]}",
        "{\"logprobs\":[-1,\"x\"],\"gaps\":[0,0]}",
        "{\"logprobs\":[-1,-2],\"gaps\":[0,true]}",
        "{\"logprobs\":{},\"gaps\":[0,0]}",
        "not JSON",
    };
    struct bench t;
    struct got g;
    setup_node(&t);
    struct backend_session *s = open_session(&t, 0);
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        fake_reply(t.fake, "POST /v1/node/score", 200, replies[i]);
        score(&t, s, 5, 2, &g);
        assert_got_error(&g, BACKEND_BROKEN);
        assert_false(g.has_probs);
    }
    fake_reply(t.fake, "POST /v1/node/score", 400, "{\"error\":{\"message\":\"full\",\"code\":\"context_full\"}}");
    score(&t, s, 5, 2, &g);
    assert_got_error(&g, BACKEND_TOO_LONG);
    /* nothing stands before them, there are none, or they are no tokens */
    size_t n = fake_count(t.fake, "POST /v1/node/score");
    score(&t, s, 5, 5, &g);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    score(&t, s, 5, 0, &g);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    memset(&g, 0, sizeof(g));
    backend_score(s, (int32_t[]){1, 640}, 2, 1, 1000, got_score, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    assert_int_equal(fake_count(t.fake, "POST /v1/node/score"), n);
    /* given up with its session */
    fake_hang(t.fake, "POST /v1/node/score");
    memset(&g, 0, sizeof(g));
    backend_score(s, path, 5, 2, 1000, got_score, &g);
    loop_for(t.base, 20);
    backend_session_close(s);
    loop_for(t.base, 20);
    assert_false(g.done);
    bench_finish(&t);
}

static void score_unsupported(void **state)
{
    struct bench t;
    struct got g;
    bench_init(&t, "ollama", "small", NULL);
    struct backend_session *s = open_session(&t, 0);
    score(&t, s, 5, 2, &g);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    assert_contains(g.message, "how likely");
    backend_session_close(s);
    bench_finish(&t);
}

/* An API whose echo tells the ids of tokens and their bytes. */
static void setup_api(struct bench *t)
{
    struct got g;
    struct buf pieces;
    bench_init(t, "openai", NULL, NULL);
    fake_always(t->fake, "GET /v1/models", 200, "{\"data\":[{\"id\":\"m\"}]}");
    fake_always(t->fake, "POST /v1/node/tokenize", 200, "{\"tokens\":[7]}");
    fake_reply(t->fake, "POST /v1/completions", 200,
               "{\"choices\":[{\"logprobs\":{\"tokens\":[\"token_id:7\",\"token_id:7\"],\"token_logprobs\":[null,-1],"
               "\"top_logprobs\":[null,{\"token_id:7\":-1}]}}]}");
    fake_always(t->fake, "GET /v1/node", 200, "{\"n_vocab\":10,\"eog\":[3],\"n_ctx\":64,\"slots\":2}");
    buf_init(&pieces, 4096);
    buf_adds(&pieces, "{\"text\":\"\",\"pieces\":[");
    for (int i = 0; i < 10; i++)
        buf_printf(&pieces, "%s\"<%d>\"", i > 0 ? "," : "", i);
    buf_adds(&pieces, "]}");
    fake_always(t->fake, "POST /v1/node/detokenize", 200, pieces.data);
    buf_finish(&pieces);
    bench_probe(t, t->b, &g);
}

static void score_openai(void **state)
{
    struct bench t;
    struct got g;
    setup_api(&t);
    assert_true(t.b->info.caps.score && t.b->info.n_eog == 1 && t.b->info.eog[0] == 3);
    struct backend_session *s = open_session(&t, 0.7); /* its parameters do not matter here */
    fake_reply(t.fake, "POST /v1/completions", 200,
               "{\"choices\":[{\"logprobs\":{\"tokens\":[\"token_id:5\",\"token_id:6\",\"token_id:7\",\"token_id:8\"],"
               "\"token_logprobs\":[null,-0.5,-3,-1],\"top_logprobs\":[null,{\"token_id:6\":-0.5},"
               "{\"token_id:4\":-1,\"token_id:2\":-2},{\"token_id:8\":-1}]}}]}");
    score(&t, s, 3, 2, &g);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.n, 2);
    assert_true(g.probs[0] == -0.5f && g.probs[1] == -3 && g.gaps[0] == 0 && g.gaps[1] == 2);
    assert_contains(fake_body(t.fake, "POST /v1/completions", 1), "{\"prompt\":[5,6,7],");
    /* of other tokens than those asked about */
    fake_reply(
        t.fake, "POST /v1/completions", 200,
        "{\"choices\":[{\"logprobs\":{\"tokens\":[\"token_id:5\",\"token_id:6\",\"token_id:9\"],"
        "\"token_logprobs\":[null,-0.5,-3],\"top_logprobs\":[null,{\"token_id:6\":-0.5},{\"token_id:4\":-1}]}}]}");
    score(&t, s, 3, 2, &g);
    assert_got_error(&g, BACKEND_BROKEN);
    fake_reply(t.fake, "POST /v1/completions", 200, "{\"choices\":[{\"text\":\"x\"}]}");
    score(&t, s, 3, 2, &g);
    assert_got_error(&g, BACKEND_BROKEN);
    fake_reply(t.fake, "POST /v1/completions", 503, "{\"error\":{\"message\":\"busy\"}}");
    score(&t, s, 3, 2, &g);
    assert_got_error(&g, BACKEND_OVERLOADED);
    score(&t, s, 3, 3, &g);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    backend_session_close(s);
    bench_finish(&t);
}

const struct CMUnitTest score_tests[] = {
    cmocka_unit_test(score_node),
    cmocka_unit_test(score_node_nonsense),
    cmocka_unit_test(score_unsupported),
    cmocka_unit_test(score_openai),
};
const size_t score_count = ARRAY_LEN(score_tests);
