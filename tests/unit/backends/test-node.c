/* tightwad-node as a backend: only what is new crosses the wire, a lost session is opened again, and no reply, however
 * broken, does more than fail its call. */
#include "got.h"
#include "tests.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char info_reply[] =
    "{\"protocol\":1,\"version\":\"0.1.0\",\"llama\":\"0.7.0\",\"model\":\"tiny\",\"architecture\":\"llama\","
    "\"fingerprint\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"n_vocab\":640,"
    "\"n_ctx\":512,\"slots\":4,\"batch_invariant\":true,\"noise\":0.0,\"eog\":[638],\"chat_template\":true}";

static const int32_t path[] = {5, 6, 7, 8, 9};

static struct backend_session *open_session(struct bench *t)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = 0;
    p.seed = 42;
    struct backend_session *s = backend_session_open(t->b, &p, 3);
    sampler_params_finish(&p);
    return s;
}

static void setup_probed(struct bench *t, struct got *g)
{
    bench_init(t, "node", NULL, NULL);
    fake_always(t->fake, "GET /v1/node", 200, info_reply);
    bench_probe(t, t->b, g);
    memset(g, 0, sizeof(*g));
}

static void node_probe(void **state)
{
    struct bench t;
    struct got g;
    bench_init(&t, "node", NULL, NULL);
    fake_always(t.fake, "GET /v1/node", 200, info_reply);
    bench_probe(&t, t.b, &g);
    const struct backend_info *i = &t.b->info;
    assert_string_equal(i->model, "tiny");
    assert_string_equal(i->architecture, "llama");
    assert_contains(i->version, "0.1.0");
    assert_int_equal(i->n_vocab, 640);
    assert_int_equal(i->n_ctx, 512);
    assert_int_equal(i->slots, 4);
    assert_int_equal(strlen(i->fingerprint), 64);
    assert_true(i->batch_invariant_known && i->batch_invariant);
    assert_true(i->noise == 0);
    assert_true(i->caps.verify && i->caps.draft_tokens && i->caps.generate && i->caps.tokenize);
    assert_true(i->caps.templated && i->caps.shared_noise && !i->caps.verify_greedy_only);
    assert_true(i->caps.score && i->n_eog == 1 && i->eog[0] == 638);
    assert_true(i->rtt_us > 0);
    assert_true(g.bytes_out > 0 && g.bytes_in > strlen(info_reply));
    bench_finish(&t);
}

static void node_probe_refuses(void **state)
{
    static const struct {
        int status;
        const char *body, *words;
        enum backend_error error;
    } cases[] = {
        {200, "{\"protocol\":2,\"n_vocab\":1}", "version 2", BACKEND_BROKEN},
        {200, "{}", "version", BACKEND_BROKEN},
        {200, "[]", "JSON", BACKEND_BROKEN},
        {200, "", "JSON", BACKEND_BROKEN},
        {200, "{\"protocol\":1}", "vocabulary", BACKEND_BROKEN},
        {200, "{\"protocol\":1,\"n_vocab\":-4}", "n_vocab", BACKEND_BROKEN},
        {200, "{\"protocol\":1,\"n_vocab\":\"many\"}", "n_vocab", BACKEND_BROKEN},
        {200, "{\"protocol\":1,\"n_vocab\":640,\"model\":7}", "model", BACKEND_BROKEN},
        {503, "{\"error\":{\"message\":\"loading\"}}", "loading", BACKEND_OVERLOADED},
        {401, "{\"error\":{\"message\":\"no key\"}}", "api_key", BACKEND_REFUSED},
        {404, "<html>", "404", BACKEND_REFUSED},
        {500, "{\"error\":\"boom\"}", "boom", BACKEND_BROKEN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench t;
        struct got g = {0};
        bench_init(&t, "node", NULL, NULL);
        fake_reply(t.fake, "GET /v1/node", cases[i].status, cases[i].body);
        backend_probe(t.b, 5000, got_probe, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, cases[i].error);
        assert_contains(g.message, cases[i].words);
        assert_false(t.b->info.known);
        bench_finish(&t);
    }
}

static void node_nothing_listens(void **state)
{
    struct bench t;
    struct got g = {0};
    bench_init(&t, "node", NULL, NULL);
    struct backend *b = bench_backend(&t, "node", "http://127.0.0.1:1", NULL);
    backend_probe(b, 5000, got_probe, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNREACHABLE);
    backend_destroy(b);
    bench_finish(&t);
}

/* The first request brings the whole path, the next only what differs. */
static void node_draft_sends_difference(void **state)
{
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":77}");
    fake_reply(t.fake, "POST /v1/node/draft", 200, "{\"tokens\":[1,2],\"probs\":[0.5,0.25]}");
    fake_reply(t.fake, "POST /v1/node/draft", 200, "{\"tokens\":[],\"probs\":[]}");
    fake_reply(t.fake, "POST /v1/node/draft", 200, "{\"tokens\":[3]}");
    struct backend_session *s = open_session(&t);

    backend_draft(s, path, 5, 4, 0, 1000, got_draft, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 1, 2);
    assert_true(g.has_probs && g.probs[1] == 0.25f);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/session", 0),
                        "{\"sampling\":{\"seed\":42,\"temperature\":0},\"prompt\":3}");
    assert_string_equal(fake_body(t.fake, "POST /v1/node/draft", 0),
                        "{\"session\":77,\"keep\":0,\"tokens\":[5,6,7,8,9],\"epoch\":1,\"n\":4}");

    /* longer */
    memset(&g, 0, sizeof(g));
    backend_draft(s, (int32_t[]){5, 6, 7, 8, 9, 1, 2}, 7, 4, 0.5f, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.n, 0);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/draft", 1),
                        "{\"session\":77,\"keep\":6,\"tokens\":[2],\"epoch\":2,\"n\":4,\"p_min\":0.5}");

    /* another way, shorter, and a token is always sent */
    memset(&g, 0, sizeof(g));
    backend_draft(s, (int32_t[]){5, 6, 7}, 3, 4, 0, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 3);
    assert_false(g.has_probs);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/draft", 2),
                        "{\"session\":77,\"keep\":2,\"tokens\":[7],\"epoch\":3,\"n\":4}");
    assert_int_equal(fake_count(t.fake, "POST /v1/node/session"), 1);
    backend_session_close(s);
    bench_finish(&t);
}

/* A newer draft while the older still runs: both are answered, and the difference is taken to what both agree on. */
static void node_draft_supersedes(void **state)
{
    struct bench t;
    struct got g, older = {0}, newer = {0};
    static const char *const late[] = {"{\"tokens\":[4]}"};
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":7}");
    fake_reply(t.fake, "POST /v1/node/draft", 200, "{\"tokens\":[1]}");
    fake_stream(t.fake, "POST /v1/node/draft", "application/json", late, 1, true);
    fake_reply(t.fake, "POST /v1/node/draft", 200, "{\"tokens\":[2,3]}");
    struct backend_session *s = open_session(&t);
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
    loop_until(t.base, &g.done);

    backend_draft(s, path, 5, 4, 0, 1000, got_draft, &older);
    backend_draft(s, (int32_t[]){5, 6, 7, 8, 1, 1}, 6, 4, 0, 1000, got_draft, &newer);
    loop_until(t.base, &newer.done);
    loop_until(t.base, &older.done);
    assert_got_error(&older, BACKEND_OK);
    assert_got_error(&newer, BACKEND_OK);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/draft", 1),
                        "{\"session\":7,\"keep\":3,\"tokens\":[8,9],\"epoch\":2,\"n\":4}");
    /* 4 tokens are common, but whether the older request has arrived is not known: 3 are */
    assert_string_equal(fake_body(t.fake, "POST /v1/node/draft", 2),
                        "{\"session\":7,\"keep\":3,\"tokens\":[8,1,1],\"epoch\":3,\"n\":4}");
    backend_session_close(s);
    bench_finish(&t);
}

static void node_lost_session(void **state)
{
    static const char lost[] = "{\"error\":{\"message\":\"gone\",\"code\":\"session_lost\"},\"have\":0}";
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":2}");
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":9,\"text\":[\"x\"],\"margin\":1}");
    fake_reply(t.fake, "POST /v1/node/verify", 409, lost);
    fake_reply(t.fake, "POST /v1/node/verify", 200,
               "{\"accepted\":2,\"next\":3,\"text\":[\"a\",\"b\",\"c\"],\"margin\":0.5}");
    struct backend_session *s = open_session(&t);
    backend_verify(s, path, 4, (int32_t[]){1}, 1, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    memset(&g, 0, sizeof(g));
    backend_verify(s, path, 5, (int32_t[]){1, 2}, 2, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 1, 2, 3);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/verify", 1),
                        "{\"session\":1,\"keep\":4,\"tokens\":[9],\"draft\":[1,2]}");
    assert_string_equal(fake_body(t.fake, "POST /v1/node/verify", 2),
                        "{\"session\":2,\"keep\":0,\"tokens\":[5,6,7,8,9],\"draft\":[1,2]}");
    assert_int_equal(fake_count(t.fake, "POST /v1/node/session"), 2);

    /* lost again and again: an end is made of it */
    memset(&g, 0, sizeof(g));
    fake_always(t.fake, "POST /v1/node/session", 200, "{\"session\":3}");
    fake_always(t.fake, "POST /v1/node/verify", 409, lost);
    backend_verify(s, path, 5, (int32_t[]){1, 2}, 2, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_REFUSED);
    assert_contains(g.message, "gone");
    backend_session_close(s);
    bench_finish(&t);
}

/* 409 with what is left: no new session, only the missing part. */
static void node_shortened_session(void **state)
{
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":1,\"next\":9,\"text\":[\"x\",\"y\"],\"margin\":1}");
    fake_reply(t.fake, "POST /v1/node/verify", 409, "{\"error\":{\"code\":\"session_lost\"},\"have\":2}");
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"],\"margin\":0.5}");
    struct backend_session *s = open_session(&t);
    backend_verify(s, path, 3, path + 3, 1, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    memset(&g, 0, sizeof(g));
    backend_verify(s, path, 5, NULL, 0, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 3);
    /* the accepted token of the first draft is the server's already */
    assert_string_equal(fake_body(t.fake, "POST /v1/node/verify", 1),
                        "{\"session\":1,\"keep\":4,\"tokens\":[9],\"draft\":[]}");
    assert_string_equal(fake_body(t.fake, "POST /v1/node/verify", 2),
                        "{\"session\":1,\"keep\":2,\"tokens\":[7,8,9],\"draft\":[]}");
    assert_int_equal(fake_count(t.fake, "POST /v1/node/session"), 1);
    backend_session_close(s);
    bench_finish(&t);
}

static void node_verdict(void **state)
{
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_reply(
        t.fake, "POST /v1/node/verify", 200,
        "{\"accepted\":1,\"next\":638,\"text\":[[226,130],\"\"],\"margin\":0.125,\"eog\":true,\"logprobs\":["
        "{\"logprob\":-0.5,\"top\":[[1,-0.5,\"a\"]]},{\"logprob\":-0.25,\"top\":[[638,-0.25,[200]],[3,-2,\"z\"]]}]}");
    struct backend_session *s = open_session(&t);
    backend_verify(s, path, 3, (int32_t[]){1, 2}, 2, 2, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.accepted, 1);
    assert_got(&g, 1, 638);
    assert_true(g.end);
    assert_int_equal(g.text_len, 2);
    assert_memory_equal(g.text, "\xe2\x82", 2);
    assert_true(g.margin == 0.125f && g.has_logprob && g.logprob == -0.25f);
    assert_int_equal(g.n_top, 2);
    assert_int_equal(g.top_id, 638);
    assert_string_equal(g.top_piece, "\xc8");
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 0), "\"logprobs\":2");
    backend_session_close(s);
    bench_finish(&t);
}

/* The drafter's vocabulary may be longer: what the target does not know ends the draft. */
static void node_foreign_ids(void **state)
{
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    struct backend_session *s = open_session(&t);
    backend_verify(s, path, 3, (int32_t[]){1, 640, 2}, 3, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_true(isnan(g.margin));
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 0), "\"draft\":[1]}");
    memset(&g, 0, sizeof(g));
    backend_draft(s, (int32_t[]){1, 700}, 2, 3, 0, 1000, got_draft, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_UNSUPPORTED);
    assert_contains(g.message, "700");
    backend_session_close(s);
    bench_finish(&t);
}

static void node_nonsense(void **state)
{
    static const char *const drafts[] = {
        "",
        "nonsense",
        "[1,2]",
        "{}",
        "{\"tokens\":7}",
        "{\"tokens\":[1,2,3,4,5]}", /* more than asked for */
        "{\"tokens\":[640]}",
        "{\"tokens\":[-1]}",
        "{\"tokens\":[1.5]}",
        "{\"tokens\":[\"1\"]}",
        "{\"tokens\":[99999999999999999999]}",
        "{\"tokens\":[1,2],\"probs\":[1]}",
        "{\"tokens\":[[[[[[1]]]]]]}",
        "{\"tokens\":[1",
    };
    static const char *const verdicts[] = {
        "{}",
        "{\"accepted\":0}",
        "{\"accepted\":0,\"next\":1}",
        "{\"accepted\":0,\"next\":1,\"text\":\"a\"}",
        "{\"accepted\":0,\"next\":1,\"text\":[]}",
        "{\"accepted\":0,\"next\":640,\"text\":[\"a\"]}",
        "{\"accepted\":0,\"next\":-1,\"text\":[\"a\"]}",
        "{\"accepted\":3,\"next\":1,\"text\":[\"a\",\"b\",\"c\",\"d\"]}",
        "{\"accepted\":-1,\"next\":1,\"text\":[]}",
        "{\"accepted\":0,\"next\":1,\"text\":[7]}",
        "{\"accepted\":0,\"next\":1,\"text\":[[256]]}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"margin\":\"wide\"}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"eog\":1}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"logprobs\":[]}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"logprobs\":[{\"logprob\":\"x\"}]}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"logprobs\":[{\"logprob\":-1,\"top\":[[1]]}]}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"logprobs\":[{\"logprob\":-1,\"top\":[[641,-1,\"a\"]]}]}",
    };
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_always(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    struct backend_session *s = open_session(&t);
    for (size_t i = 0; i < ARRAY_LEN(drafts); i++) {
        memset(&g, 0, sizeof(g));
        fake_reply(t.fake, "POST /v1/node/draft", 200, drafts[i]);
        backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_BROKEN);
        assert_int_equal(g.n, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        memset(&g, 0, sizeof(g));
        fake_reply(t.fake, "POST /v1/node/verify", 200, verdicts[i]);
        backend_verify(s, path, 3, (int32_t[]){1, 2}, 2, -1, 1000, got_verify, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_BROKEN);
        assert_int_equal(g.n, 0);
    }
    backend_session_close(s);
    bench_finish(&t);
}

/* Not HTTP, half a reply, a reply that never comes, too much of it, a full context. */
static void node_broken_wire(void **state)
{
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tokens\":[1";
    static const char garbage[] = "\x16\x03\x01\x02\x00\x01 not http at all\r\n\r\n";
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_always(t.fake, "POST /v1/node/session", 200, "{\"session\":1}");
    struct backend_session *s = open_session(&t);

    fake_raw(t.fake, "POST /v1/node/draft", half, sizeof(half) - 1, true);
    backend_draft(s, path, 3, 4, 0, 2000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);

    memset(&g, 0, sizeof(g));
    fake_raw(t.fake, "POST /v1/node/draft", garbage, sizeof(garbage) - 1, true);
    backend_draft(s, path, 3, 4, 0, 2000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);

    memset(&g, 0, sizeof(g));
    fake_raw(t.fake, "POST /v1/node/draft", half, sizeof(half) - 1, false);
    backend_draft(s, path, 3, 4, 0, 100, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    /* the clock of the loop is a coarse one */
    assert_true(g.elapsed_us >= 90000 && g.elapsed_us < 1000000);

    memset(&g, 0, sizeof(g));
    size_t huge = 17 << 20;
    char *flood = xmalloc(huge);
    memset(flood, ' ', huge);
    memcpy(flood, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", 46);
    fake_raw(t.fake, "POST /v1/node/draft", flood, huge, false);
    free(flood);
    backend_draft(s, path, 3, 4, 0, 5000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);
    assert_contains(g.message, "too large");

    memset(&g, 0, sizeof(g));
    fake_hang(t.fake, "POST /v1/node/draft");
    backend_draft(s, path, 3, 4, 0, 100, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);

    memset(&g, 0, sizeof(g));
    fake_reply(t.fake, "POST /v1/node/draft", 400,
               "{\"error\":{\"message\":\"no room\",\"code\":\"context_full\"},\"n_ctx\":4}");
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_TOO_LONG);
    assert_contains(g.message, "no room");

    /* nothing that failed is relied upon afterwards */
    memset(&g, 0, sizeof(g));
    fake_reply(t.fake, "POST /v1/node/draft", 200, "{\"tokens\":[]}");
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_contains(fake_body(t.fake, "POST /v1/node/draft", 6), "\"keep\":0,\"tokens\":[5,6,7]");
    backend_session_close(s);
    bench_finish(&t);
}

/* A session that cannot be opened fails all that wait for it, each once, in time. */
static void node_session_refused(void **state)
{
    struct bench t;
    struct got g, a = {0}, b = {0}, c = {0};
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 500, "{\"error\":{\"message\":\"no memory\"}}");
    struct backend_session *s = open_session(&t);
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &a);
    backend_verify(s, path, 3, NULL, 0, -1, 1000, got_verify, &b);
    loop_until(t.base, &a.done);
    loop_until(t.base, &b.done);
    assert_got_error(&a, BACKEND_BROKEN);
    assert_got_error(&b, BACKEND_BROKEN);
    assert_contains(a.message, "no memory");

    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":\"x\"}");
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &c);
    loop_until(t.base, &c.done);
    assert_got_error(&c, BACKEND_BROKEN);

    memset(&c, 0, sizeof(c));
    fake_hang(t.fake, "POST /v1/node/session");
    backend_draft(s, path, 3, 4, 0, 80, got_draft, &c);
    loop_until(t.base, &c.done);
    assert_got_error(&c, BACKEND_TIMEOUT);
    backend_session_close(s);
    loop_until_closed(t.base, t.fake);
    bench_finish(&t);
}

static void close_session(struct got *g)
{
    backend_session_close(g->extra);
    g->extra = NULL;
    g->in_callback = NULL;
}

/* A callback may close its session while others wait for it. */
static void node_close_in_callback(void **state)
{
    struct bench t;
    struct got g, a = {0}, b = {0};
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 500, "{\"error\":{\"message\":\"no memory\"}}");
    struct backend_session *s = open_session(&t);
    a.extra = b.extra = s;
    a.in_callback = b.in_callback = close_session;
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &a);
    backend_draft(s, path, 3, 4, 0, 1000, got_draft, &b);
    loop_until(t.base, a.calls > 0 ? &a.done : &b.done);
    loop_for(t.base, 20);
    assert_int_equal(a.calls + b.calls, 1);
    bench_finish(&t);
}

static void node_start_in_one_trip(void **state)
{
    struct bench t;
    struct got g;
    struct sampler_params p;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":5,\"tokens\":[9,8,7]}");
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    fake_reply(t.fake, "POST /v1/node/session", 200, "{\"session\":6}");
    sampler_params_init(&p);
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", "hi");
    backend_session_start(t.b, &p, messages, NULL, 0, got_start, &g);
    assert_false(g.done);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_got(&g, 9, 8, 7);
    assert_contains(fake_body(t.fake, "POST /v1/node/session", 0), "\"messages\":[{");
    struct backend_session *s = g.session;
    memset(&g, 0, sizeof(g));
    backend_verify(s, (int32_t[]){9, 8, 7}, 3, NULL, 0, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(fake_count(t.fake, "POST /v1/node/session"), 1);
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 0), "\"session\":5,");
    memset(&g, 0, sizeof(g));
    backend_session_start(t.b, &p, NULL, "a text", 6, got_start, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);
    assert_null(g.session);
    assert_contains(fake_body(t.fake, "POST /v1/node/session", 1), "\"text\":\"a text\"");
    json_decref(messages);
    sampler_params_finish(&p);
    bench_finish(&t);
}

static void node_tokenizer(void **state)
{
    struct bench t;
    struct got g;
    setup_probed(&t, &g);
    fake_reply(t.fake, "POST /v1/node/tokenize", 200, "{\"tokens\":[4,5]}");
    fake_reply(t.fake, "POST /v1/node/tokenize", 200, "{\"tokens\":[4,5000]}");
    fake_reply(t.fake, "POST /v1/node/detokenize", 200, "{\"text\":[255,65],\"pieces\":[]}");
    fake_reply(t.fake, "POST /v1/node/template", 200, "{\"text\":\"x\",\"tokens\":[1]}");
    backend_tokenize(t.b, "hi", 2, true, got_tokens, &g);
    loop_until(t.base, &g.done);
    assert_got(&g, 4, 5);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/tokenize", 0),
                        "{\"text\":\"hi\",\"special\":true,\"bos\":true}");
    memset(&g, 0, sizeof(g));
    backend_tokenize(t.b, "hi", 2, false, got_tokens, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_BROKEN);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/tokenize", 1), "{\"text\":\"hi\"}");
    memset(&g, 0, sizeof(g));
    backend_detokenize(t.b, path, 2, got_text, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.text_len, 2);
    assert_memory_equal(g.text,
                        "\xff"
                        "A",
                        2);
    memset(&g, 0, sizeof(g));
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", "hi");
    backend_render(t.b, messages, got_tokens, &g);
    loop_until(t.base, &g.done);
    assert_got(&g, 1);
    json_decref(messages);
    bench_finish(&t);
}

const struct CMUnitTest node_tests[] = {
    cmocka_unit_test(node_probe),
    cmocka_unit_test(node_probe_refuses),
    cmocka_unit_test(node_nothing_listens),
    cmocka_unit_test(node_draft_sends_difference),
    cmocka_unit_test(node_draft_supersedes),
    cmocka_unit_test(node_lost_session),
    cmocka_unit_test(node_shortened_session),
    cmocka_unit_test(node_verdict),
    cmocka_unit_test(node_foreign_ids),
    cmocka_unit_test(node_nonsense),
    cmocka_unit_test(node_broken_wire),
    cmocka_unit_test(node_session_refused),
    cmocka_unit_test(node_close_in_callback),
    cmocka_unit_test(node_start_in_one_trip),
    cmocka_unit_test(node_tokenizer),
};
const size_t node_count = ARRAY_LEN(node_tests);
