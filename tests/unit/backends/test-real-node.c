/* The same paths as against the script, against real tightwad-nodes with the demo models: rounds of draft and verify
 * are what the target writes alone, in few bytes, whatever is lost on the way. */
#include "got.h"
#include "real.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { ROUND = 16, PATH_MAX_TOKENS = 512 };

struct setup {
    struct bench t;
    struct real target_node, draft_node;
    struct backend *target, *draft;
};

static struct setup *need(void)
{
    static struct setup s;
    struct got g;
    if (s.target != NULL)
        return &s;
    if (!real_node(&s.target_node, "target", NULL) || !real_node(&s.draft_node, "draft", NULL)) {
        print_message("# no tightwad-node here\n");
        skip();
    }
    bench_init(&s.t, "node", NULL, NULL);
    s.target = bench_backend(&s.t, "auto", s.target_node.url, NULL);
    s.draft = bench_backend(&s.t, "node", s.draft_node.url, NULL);
    bench_probe(&s.t, s.target, &g);
    bench_probe(&s.t, s.draft, &g);
    return &s;
}

static struct backend_session *open_session(struct backend *b, double temperature, size_t prompt_len)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = temperature;
    p.seed = 11;
    struct backend_session *s = backend_session_open(b, &p, prompt_len);
    sampler_params_finish(&p);
    return s;
}

static void render(struct setup *s, struct got *g, const char *text)
{
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", text);
    memset(g, 0, sizeof(*g));
    backend_render(s->target, messages, got_tokens, g);
    loop_until(s->t.base, &g->done);
    assert_got_error(g, BACKEND_OK);
    json_decref(messages);
}

/* What the target alone writes. */
static void alone(struct setup *s, double temperature, const struct got *prompt, size_t n, struct got *g)
{
    struct backend_session *t = open_session(s->target, temperature, prompt->n);
    memset(g, 0, sizeof(*g));
    backend_generate(t, prompt->tokens, prompt->n, n, -1, 5000, got_stream, got_done, g);
    loop_until(s->t.base, &g->done);
    assert_got_error(g, BACKEND_OK);
    backend_session_close(t);
}

static void real_node_probe(void **state)
{
    struct setup *s = need();
    const struct backend_info *i = &s->target->info;
    assert_string_equal(s->target->ops->name, "node");
    assert_non_null(i->model);
    assert_int_equal(i->n_vocab, 640);
    assert_int_equal(strlen(i->fingerprint), 64);
    assert_true(i->n_ctx > 0 && i->slots > 0);
    assert_true(i->caps.verify && i->caps.templated && i->caps.shared_noise);
    assert_true(i->batch_invariant_known && !isnan(i->noise));
}

static void real_node_tokenizer(void **state)
{
    static const char text[] = "What is 2 + 2? \xe2\x82\xac";
    struct setup *s = need();
    struct got g = {0}, back = {0};
    backend_tokenize(s->target, text, sizeof(text) - 1, false, got_tokens, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    backend_detokenize(s->target, g.tokens, g.n, got_text, &back);
    loop_until(s->t.base, &back.done);
    assert_got_error(&back, BACKEND_OK);
    assert_string_equal(back.text, text);
    memset(&back, 0, sizeof(back));
    backend_detokenize(s->target, (int32_t[]){640}, 1, got_text, &back);
    loop_until(s->t.base, &back.done);
    assert_got_error(&back, BACKEND_REFUSED);
}

struct rounds {
    struct got out; /* tokens and text of all rounds */
    size_t rounds, drafted, accepted;
    uint64_t bytes;
    int64_t draft_us, verify_us;
};

static void run_rounds(struct setup *s, double temperature, const struct got *prompt, size_t want, struct rounds *r,
                       void (*between)(struct setup *s, size_t round))
{
    struct backend_session *t = open_session(s->target, temperature, prompt->n);
    struct backend_session *d = open_session(s->draft, temperature, prompt->n);
    int32_t path[PATH_MAX_TOKENS];
    size_t n = prompt->n;
    bool end = false;
    memset(r, 0, sizeof(*r));
    memcpy(path, prompt->tokens, n * sizeof(*path));
    while (!end && n - prompt->n < want) {
        struct got draft = {0}, verdict = {0};
        if (between != NULL)
            between(s, r->rounds);
        backend_draft(d, path, n, ROUND, 0, 20000, got_draft, &draft);
        loop_until(s->t.base, &draft.done);
        assert_got_error(&draft, BACKEND_OK);
        assert_true(draft.n > 0 && draft.has_probs);
        backend_verify(t, path, n, draft.tokens, draft.n, -1, 20000, got_verify, &verdict);
        loop_until(s->t.base, &verdict.done);
        assert_got_error(&verdict, BACKEND_OK);
        assert_memory_equal(verdict.tokens, draft.tokens, verdict.accepted * sizeof(int32_t));
        memcpy(path + n, verdict.tokens, verdict.n * sizeof(*path));
        memcpy(r->out.tokens + r->out.n, verdict.tokens, verdict.n * sizeof(*path));
        memcpy(r->out.text + r->out.text_len, verdict.text, verdict.text_len);
        r->out.n += verdict.n;
        r->out.text_len += verdict.text_len;
        n += verdict.n;
        end = verdict.end;
        r->drafted += draft.n;
        r->accepted += verdict.accepted;
        if (r->rounds++ > 0) /* the first round is the prefill */
            r->bytes += draft.bytes_out + draft.bytes_in + verdict.bytes_out + verdict.bytes_in;
        r->draft_us += draft.elapsed_us;
        r->verify_us += verdict.elapsed_us;
    }
    backend_session_close(t);
    backend_session_close(d);
}

static void assert_same(const struct rounds *r, const struct got *alone_)
{
    size_t n = alone_->n < r->out.n ? alone_->n : r->out.n;
    assert_true(n > 0);
    assert_memory_equal(r->out.tokens, alone_->tokens, n * sizeof(int32_t));
    assert_true(r->out.n >= alone_->n);
    assert_memory_equal(r->out.text, alone_->text, alone_->text_len);
}

static void real_node_rounds(void **state)
{
    static const char *const prompts[] = {"What is 2 + 2?", "Tell me a story about a cat.", "Count from one to ten."};
    struct setup *s = need();
    struct rounds r;
    struct got prompt, g;
    size_t tokens = 0, rounds = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < ARRAY_LEN(prompts); i++)
        for (int warm = 0; warm < 2; warm++) {
            render(s, &prompt, prompts[i]);
            alone(s, warm * 0.8, &prompt, 96, &g);
            run_rounds(s, warm * 0.8, &prompt, 96, &r, NULL);
            assert_same(&r, &g);
            bytes += r.bytes;
            rounds += r.rounds - 1;
            tokens += r.out.n - r.out.n / r.rounds;
            print_message("# T %.1f: %zu tokens, %zu rounds, %.0f %% accepted, draft %.2f ms, verify %.2f ms a round\n",
                          warm * 0.8, r.out.n, r.rounds, 100.0 * (double)r.accepted / (double)r.drafted,
                          (double)r.draft_us / 1e3 / (double)r.rounds, (double)r.verify_us / 1e3 / (double)r.rounds);
        }
    if (rounds > 0) {
        print_message("# %.0f bytes a round, %.0f a token\n", (double)bytes / (double)rounds,
                      (double)bytes / (double)tokens);
        assert_true(bytes < 150 * tokens);
    }
}

static void lose(struct setup *s, size_t round)
{
    struct real *r = round == 1 ? &s->target_node : &s->draft_node;
    if (round != 1 && round != 2)
        return;
    real_kill(r);
    real_restart(r);
}

/* Killed and started again between rounds: the sessions are opened again, the answer is the same. */
static void real_node_lost(void **state)
{
    struct setup *s = need();
    struct rounds r;
    struct got prompt, g;
    render(s, &prompt, "Tell me a story about a cat.");
    alone(s, 0.8, &prompt, 64, &g);
    run_rounds(s, 0.8, &prompt, 64, &r, lose);
    assert_true(r.rounds > 2);
    assert_same(&r, &g);
}

static void cancel_call(struct got *g)
{
    if (g->n < 8)
        return;
    backend_cancel(g->call);
    g->in_callback = NULL;
    g->done = true;
}

/* The target alone, broken off in the middle, goes on in rounds; and a stream that pauses loses nothing. */
static void real_node_turns(void **state)
{
    struct setup *s = need();
    struct got prompt, whole, g = {.in_callback = cancel_call}, v = {0}, p = {.pause_at = 1};
    int32_t path[PATH_MAX_TOKENS];
    render(s, &prompt, "Tell me a story about a cat.");
    alone(s, 0, &prompt, 64, &whole);
    struct backend_session *t = open_session(s->target, 0, prompt.n);
    g.call = backend_generate(t, prompt.tokens, prompt.n, 200, -1, 5000, got_stream, got_done, &g);
    loop_until(s->t.base, &g.done);
    assert_true(g.n >= 8);
    memcpy(path, prompt.tokens, prompt.n * sizeof(*path));
    memcpy(path + prompt.n, whole.tokens, whole.n * sizeof(*path));
    backend_verify(t, path, prompt.n + 8, whole.tokens + 8, 8, 2, 5000, got_verify, &v);
    loop_until(s->t.base, &v.done);
    assert_got_error(&v, BACKEND_OK);
    assert_int_equal(v.accepted, 8);
    assert_int_equal(v.tokens[8], whole.tokens[16]);
    assert_true(v.has_logprob && v.n_top == 2);
    backend_session_close(t);

    t = open_session(s->target, 0, prompt.n);
    p.call = backend_generate(t, prompt.tokens, prompt.n, 64, -1, 5000, got_stream, got_done, &p);
    while (p.stream_calls == 0)
        loop_for(s->t.base, 5);
    loop_for(s->t.base, 50);
    assert_false(p.done);
    backend_resume(p.call);
    loop_until(s->t.base, &p.done);
    assert_got_error(&p, BACKEND_OK);
    assert_got_tokens(&p, whole.tokens, whole.n);
    backend_session_close(t);
}

/* The newer draft is answered, and so is the older, with what it had. */
static void real_node_supersedes(void **state)
{
    struct setup *s = need();
    struct got prompt, older = {0}, newer = {0};
    render(s, &prompt, "Tell me a story about a cat.");
    struct backend_session *d = open_session(s->draft, 0, prompt.n);
    backend_draft(d, prompt.tokens, prompt.n, 300, 0, 5000, got_draft, &older);
    loop_for(s->t.base, 3);
    backend_draft(d, prompt.tokens, prompt.n - 1, 8, 0, 5000, got_draft, &newer);
    loop_until(s->t.base, &older.done);
    loop_until(s->t.base, &newer.done);
    assert_got_error(&older, BACKEND_OK);
    assert_got_error(&newer, BACKEND_OK);
    assert_true(newer.n > 0 && newer.n <= 8);
    backend_session_close(d);
}

static void real_node_full(void **state)
{
    struct setup *s = need();
    size_t n = (size_t)s->target->info.n_ctx;
    struct got g = {0};
    int32_t *path = xcalloc(n + 8, sizeof(*path));
    for (size_t i = 0; i < n + 8; i++)
        path[i] = 40;
    struct backend_session *t = open_session(s->target, 0, n);
    backend_verify(t, path, n + 8, NULL, 0, -1, 20000, got_verify, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_TOO_LONG);
    backend_session_close(t);
    free(path);
}

/* The node's OpenAI endpoints returns log probabilities for echo: it verifies as any API does that returns them. */
static void real_node_as_api(void **state)
{
    struct setup *s = need();
    struct got prompt, whole, g = {0}, chat = {0};
    struct backend *api = bench_backend(&s->t, "openai", s->target_node.url, NULL);
    int32_t draft[6];
    bench_probe(&s->t, api, &g);
    if (!api->info.caps.verify)
        print_message("# %s\n", api->info.cannot_verify);
    assert_true(api->info.caps.verify && api->info.caps.verify_greedy_only && api->info.caps.tokenize);
    assert_int_equal(api->info.n_vocab, 640);
    render(s, &prompt, "What is 2 + 2?");
    alone(s, 0, &prompt, 32, &whole);
    memcpy(draft, whole.tokens, 4 * sizeof(*draft));
    draft[4] = whole.tokens[4] == 40 ? 41 : 40;
    draft[5] = 42;
    struct backend_session *t = open_session(api, 0, prompt.n);
    memset(&g, 0, sizeof(g));
    backend_verify(t, prompt.tokens, prompt.n, draft, 6, -1, 5000, got_verify, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.accepted, 4);
    assert_got_tokens(&g, whole.tokens, 5);
    assert_memory_equal(g.text, whole.text, g.text_len);
    /* to the end of the answer */
    memset(&g, 0, sizeof(g));
    if (whole.end) {
        backend_verify(t, prompt.tokens, prompt.n, whole.tokens, whole.n, -1, 5000, got_verify, &g);
        loop_until(s->t.base, &g.done);
        assert_got_error(&g, BACKEND_OK);
        assert_true(g.end);
        assert_int_equal(g.accepted, whole.n - 1);
        assert_got_tokens(&g, whole.tokens, whole.n);
    }
    /* it writes alone too, with ids */
    memset(&g, 0, sizeof(g));
    backend_generate(t, prompt.tokens, prompt.n, 32, -1, 5000, got_stream, got_done, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.n, whole.n);
    assert_memory_equal(g.tokens, whole.tokens, (whole.n - 1) * sizeof(int32_t)); /* which end token: not told */
    assert_int_equal(g.end, whole.end);
    assert_string_equal(g.text, whole.text);
    json_t *request = json_pack("{s:[{s:s,s:s}],s:i,s:i}", "messages", "role", "user", "content", "What is 2 + 2?",
                                "max_tokens", 32, "temperature", 0);
    backend_chat(api, request, true, 5000, got_chat_text, got_chat_done, &chat);
    loop_until(s->t.base, &chat.done);
    assert_got_error(&chat, BACKEND_OK);
    assert_string_equal(chat.text, whole.text);
    assert_int_equal(chat.prompt_tokens, prompt.n);
    json_decref(request);
    backend_session_close(t);
    backend_destroy(api);
}

static void compare(struct setup *s, struct backend *draft, enum backend_vocab_match match)
{
    struct got g = {0};
    backend_compare_vocab(s->target, draft, got_vocab, &g);
    loop_until(s->t.base, &g.done);
    print_message("# %s\n", g.message);
    assert_int_equal(g.match, match);
}

static void real_node_vocab(void **state)
{
    struct setup *s = need();
    struct got g;
    struct real llama;
    compare(s, s->draft, BACKEND_VOCAB_SAME);
    if (!real_llama_server(&llama, "draft", NULL))
        return;
    struct backend *b = bench_backend(&s->t, "auto", llama.url, NULL);
    bench_probe(&s->t, b, &g);
    compare(s, b, BACKEND_VOCAB_SAMPLED);
    backend_destroy(b);
    real_free(&llama);
}

/* The score of a token is the log probability that verify tells of it, of a node and of an API with echo alike. */
static void real_node_score(void **state)
{
    struct setup *s = need();
    struct got prompt, whole, v, g = {0}, echo = {0}, probe;
    int32_t path[PATH_MAX_TOKENS];
    render(s, &prompt, "What is 12 + 7?");
    alone(s, 0, &prompt, 32, &whole);
    size_t n = prompt.n;
    memcpy(path, prompt.tokens, n * sizeof(*path));
    memcpy(path + n, whole.tokens, whole.n * sizeof(*path));
    path[n + 2] = 40; /* not what it would write */
    struct backend_session *t = open_session(s->target, 0.7, n);
    backend_score(t, path, n + whole.n, whole.n, 5000, got_score, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_int_equal(g.n, whole.n);
    struct backend *api = bench_backend(&s->t, "openai", s->target_node.url, NULL);
    bench_probe(&s->t, api, &probe);
    assert_true(api->info.caps.score);
    assert_int_equal(api->info.n_eog, s->target->info.n_eog);
    struct backend_session *e = open_session(api, 0, n);
    backend_score(e, path, n + whole.n, whole.n, 5000, got_score, &echo);
    loop_until(s->t.base, &echo.done);
    assert_got_error(&echo, BACKEND_OK);
    for (size_t i = 0; i < whole.n; i++) {
        memset(&v, 0, sizeof(v));
        backend_verify(t, path, n + i, NULL, 0, 20, 5000, got_verify, &v);
        loop_until(s->t.base, &v.done);
        assert_got_error(&v, BACKEND_OK);
        if (i < 2)
            assert_true(g.gaps[i] == 0);
        else if (i == 2)
            assert_true(g.probs[i] < -5 && g.gaps[i] > 4);
        if (v.tokens[0] == path[n + i])
            assert_true(fabsf(v.logprob - g.probs[i]) < 1e-4f);
        assert_true(fabsf(echo.probs[i] - g.probs[i]) < 1e-3f);
    }
    /* from the middle of what the server has, and with all of it there: the same */
    struct got again = {0};
    backend_score(t, path, n + whole.n, 3, 5000, got_score, &again);
    loop_until(s->t.base, &again.done);
    assert_got_error(&again, BACKEND_OK);
    assert_int_equal(again.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(fabsf(again.probs[i] - g.probs[whole.n - 3 + i]) < 1e-4f);
    backend_session_close(e);
    backend_session_close(t);
    backend_destroy(api);
}

/* Stopped, it is a timeout; and what waits on a call is not more than the time that was given. */
static void real_node_hangs(void **state)
{
    struct setup *s = need();
    struct got prompt, g = {0};
    render(s, &prompt, "What is 2 + 2?");
    struct backend_session *t = open_session(s->target, 0, prompt.n);
    real_pause(&s->target_node);
    backend_verify(t, prompt.tokens, prompt.n, NULL, 0, -1, 150, got_verify, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_TIMEOUT);
    assert_true(g.elapsed_us < 1000000);
    real_continue(&s->target_node);
    memset(&g, 0, sizeof(g));
    backend_verify(t, prompt.tokens, prompt.n, NULL, 0, -1, 5000, got_verify, &g);
    loop_until(s->t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    backend_session_close(t);
    backend_destroy(s->target);
    backend_destroy(s->draft);
    s->target = NULL;
    bench_finish(&s->t);
    real_free(&s->target_node);
    real_free(&s->draft_node);
}

const struct CMUnitTest real_node_tests[] = {
    cmocka_unit_test(real_node_probe),      cmocka_unit_test(real_node_tokenizer), cmocka_unit_test(real_node_rounds),
    cmocka_unit_test(real_node_lost),       cmocka_unit_test(real_node_turns),     cmocka_unit_test(real_node_full),
    cmocka_unit_test(real_node_supersedes), cmocka_unit_test(real_node_as_api),    cmocka_unit_test(real_node_vocab),
    cmocka_unit_test(real_node_score),      cmocka_unit_test(real_node_hangs),
};
const size_t real_node_count = ARRAY_LEN(real_node_tests);
