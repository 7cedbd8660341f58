/* A stock llama-server checks a draft through its slots: one request with K + 1 prompts, the path and the path with the
 * first, the first two … tokens of the draft; the slots share their passes.  Of each prompt the server tells the most
 * likely next tokens (n_probs), and our own sampler draws from them: so the tokens are those of base/sampler.h at any
 * temperature, and none of the server's own sampling parameters matters.
 *
 * What the server itself "generates" is always the same filler token, forced by logit_bias: it tells no candidates
 * where its own choice ends inside of a character.  Candidates are from before the bias. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/llamacpp.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sampler-known.h"

enum {
    CANDIDATES = 64,              /* where nothing says how many will do */
    CANDIDATES_TOP_K = 512,       /* top_k up to which all that it keeps are asked for at once */
    CANDIDATES_AT_ONCE = 1 << 18, /* most of a request, over all its prompts */
};

void llamacpp_ask_init(struct llamacpp_ask *a, const int32_t *path, size_t n_path, const int32_t *draft, size_t n_draft,
                       int n_logprobs)
{
    int32_t n_vocab = a->c.b->info.n_vocab;
    a->tokens = xmalloc((n_path + n_draft) * sizeof(*a->tokens));
    memcpy(a->tokens, path, n_path * sizeof(*path));
    a->n_path = n_path;
    /* an id that the target does not have ends the draft: it could not be accepted */
    while (a->n_draft < n_draft && draft[a->n_draft] >= 0 && (n_vocab == 0 || draft[a->n_draft] < n_vocab)) {
        a->tokens[n_path + a->n_draft] = draft[a->n_draft];
        a->n_draft++;
    }
    a->n_logprobs = n_logprobs;
    a->pos = xcalloc(a->n_draft + 1, sizeof(*a->pos));
    a->wanted = xcalloc(a->n_draft + 1, sizeof(*a->wanted));
    a->unknown = -1;
    wire_tokens_init(&a->t);
}

static void drop_positions(struct llamacpp_ask *a)
{
    for (size_t i = 0; a->pos != NULL && i <= a->n_draft; i++) {
        json_decref(a->pos[i].list);
        free(a->pos[i].top);
        a->pos[i] = (struct llamacpp_position){0};
    }
}

void llamacpp_ask_finish(struct llamacpp_ask *a)
{
    drop_positions(a);
    free(a->pos);
    free(a->wanted);
    free(a->tokens);
    wire_tokens_finish(&a->t);
}

void llamacpp_ask_advance(struct llamacpp_ask *a, const int32_t *tokens, size_t n)
{
    drop_positions(a);
    wire_tokens_clear(&a->t);
    a->n_draft = 0;
    a->tokens = xreallocarray(a->tokens, a->n_path + n, sizeof(*a->tokens));
    memcpy(a->tokens + a->n_path, tokens, n * sizeof(*tokens));
    a->n_path += n;
}

void llamacpp_add_greedy(struct buf *b)
{
    buf_adds(b, "\"seed\":1,\"temperature\":0,\"samplers\":[\"temperature\"],\"mirostat\":0,\"ignore_eos\":false,"
                "\"backend_sampling\":false,\"cache_prompt\":true");
}

static size_t first_candidates(const struct llamacpp_ask *a)
{
    const struct sampler_params *p = &a->c.s->params;
    bool adjusted = p->n_bias > 0 || p->repeat_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0;
    size_t n = CANDIDATES;
    if (p->temperature < 1e-6)
        n = adjusted ? CANDIDATES / 2 : 2;
    else if (p->top_k > 0 && p->top_k <= CANDIDATES_TOP_K)
        n = (size_t)p->top_k + (adjusted ? CANDIDATES : 1);
    return a->n_logprobs > (int)n ? (size_t)a->n_logprobs : n;
}

/* ---- the result ---- */

static const json_t *entry_of(const struct llamacpp_position *pos, int32_t token, float *logprob)
{
    for (size_t i = 0; i < pos->n; i++)
        if (pos->top[i].token == token) {
            *logprob = pos->top[i].logprob;
            return json_array_get(pos->list, i);
        }
    return NULL;
}

static void add_logprobs(struct llamacpp_ask *a, const struct llamacpp_position *pos, float logprob)
{
    struct backend_token *tok = &a->t.list[a->t.n - 1];
    size_t n = (size_t)a->n_logprobs < pos->n ? (size_t)a->n_logprobs : pos->n;
    struct sampler_logprob *top = wire_tokens_own(&a->t, xcalloc(n + 1, sizeof(*top)));
    const char **pieces = wire_tokens_own(&a->t, xcalloc(n + 1, sizeof(*pieces)));
    size_t *lens = wire_tokens_own(&a->t, xcalloc(n + 1, sizeof(*lens)));
    for (size_t i = 0; i < n; i++) {
        char *text = NULL;
        top[i] = pos->top[i];
        json_piece_get(json_object_get(json_array_get(pos->list, i), "bytes"), &text, &lens[i]);
        pieces[i] = text != NULL ? wire_tokens_own(&a->t, text) : "";
    }
    tok->has_logprob = true;
    tok->logprob = logprob;
    tok->top = top;
    tok->top_piece = pieces;
    tok->top_len = lens;
    tok->n_top = n;
}

/* Adds a drawn token.  False when it has to be looked up first: it has no text, and may be the end. */
static bool add_token(struct llamacpp_ask *a, const struct llamacpp_position *pos, int32_t token)
{
    const struct llamacpp *l = a->c.b->state;
    float logprob = NAN;
    const json_t *bytes = json_object_get(entry_of(pos, token, &logprob), "bytes");
    bool silent = json_array_size(bytes) == 0;
    uint8_t end = !silent || token >= l->n_ends ? LLAMACPP_GOES_ON : l->ends[token];
    if (end == LLAMACPP_NOT_ASKED) {
        a->unknown = token;
        return false;
    }
    wire_tokens_add(&a->t, token, bytes, end == LLAMACPP_ENDS, NULL, a->c.b->info.n_vocab, NULL);
    if (a->n_logprobs >= 0)
        add_logprobs(a, pos, logprob);
    return true;
}

/* Draws along the draft while the target agrees with it.  False: some candidates are missing (a->wanted, *n of each),
 * or a token has to be looked up (a->unknown). */
static bool judge(struct llamacpp_ask *a, size_t *n)
{
    const struct backend_session *s = a->c.s;
    float margin = INFINITY;
    a->n_wanted = 0;
    a->unknown = -1;
    wire_tokens_clear(&a->t);
    for (size_t i = 0;; i++) {
        const struct llamacpp_position *pos = &a->pos[i];
        if (pos->n == 0) { /* left out before, because there would have been too many */
            *n = *n > 0 ? *n : first_candidates(a);
            a->wanted[a->n_wanted++] = i;
            break;
        }
        struct sampler_known known = {pos->top, pos->n, (size_t)a->c.b->info.n_vocab};
        struct sampler_draw d = sampler_pick_known(&s->params, &known, a->tokens, a->n_path + i, s->prompt_len);
        if (!d.proven) {
            *n = d.ask > *n ? d.ask : *n;
            a->wanted[a->n_wanted++] = i;
        }
        if (a->n_wanted == 0 && !add_token(a, pos, d.pick.token))
            return false;
        if (d.pick.margin < margin)
            margin = d.pick.margin;
        if (i == a->n_draft || d.pick.token != a->tokens[a->n_path + i] ||
            (a->n_wanted == 0 && a->t.list[a->t.n - 1].end))
            break;
    }
    a->margin = isinf(margin) ? NAN : margin;
    return a->n_wanted == 0;
}

/* ---- the requests ---- */

static int read_candidates(struct llamacpp_position *pos, json_t *list, int32_t n_vocab, char **cause)
{
    size_t n = json_array_size(list);
    if (n == 0)
        return cause_set(cause, "a prompt without candidates for its next token");
    struct sampler_logprob *top = xcalloc(n, sizeof(*top));
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, i), *id = json_object_get(e, "id"), *lp = json_object_get(e, "logprob");
        json_int_t token = json_is_integer(id) ? json_integer_value(id) : -1;
        if (token < 0 || token >= n_vocab || !json_is_number(lp) || !json_is_array(json_object_get(e, "bytes"))) {
            free(top);
            return cause_set(cause, "candidate %zu is not an id of the vocabulary with logprob and bytes", i);
        }
        top[i] = (struct sampler_logprob){(int32_t)token, (float)json_number_value(lp)};
    }
    json_decref(pos->list);
    free(pos->top);
    *pos = (struct llamacpp_position){json_incref(list), top, n};
    return 0;
}

/* An array of the replies to several prompts, or the reply to one. */
static int read_positions(struct llamacpp_ask *a, json_t *doc, char **cause)
{
    size_t n = json_is_array(doc) ? json_array_size(doc) : 1, got = 0;
    if (n != a->n_wanted)
        return cause_set(cause, "%zu replies to %zu prompts", n, a->n_wanted);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(doc) ? json_array_get(doc, i) : doc;
        const json_t *index = json_object_get(one, "index");
        json_int_t at = json_is_integer(index) ? json_integer_value(index) : -1;
        if (at < 0 || (size_t)at >= n)
            return cause_set(cause, "a reply without the \"index\" of its prompt");
        json_int_t read = json_integer_value(json_object_get(one, "timings/prompt_n"));
        a->read += read > 0 ? (uint64_t)read : 0;
        json_t *first = json_array_get(json_object_get(one, "completion_probabilities"), 0);
        if (read_candidates(&a->pos[a->wanted[n - 1 - (size_t)at]], json_object_get(first, "top_logprobs"),
                            a->c.b->info.n_vocab, cause) < 0)
            return -1;
        got++;
    }
    return got == n ? 0 : -1;
}

static void go_on(struct llamacpp_ask *a);

static void on_candidates(struct backend_call *c, const struct httpc_result *r)
{
    struct llamacpp_ask *a = (struct llamacpp_ask *)c;
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    json_t *doc = NULL;
    if (e == BACKEND_OK && (doc = json_parse_nul(r->body, r->len, &message)) == NULL)
        e = BACKEND_BROKEN;
    if (e == BACKEND_OK && read_positions(a, doc, &message) < 0)
        e = BACKEND_BROKEN;
    json_decref(doc);
    if (e != BACKEND_OK)
        call_fail(c, e, "%s", message);
    else
        go_on(a);
    free(message);
}

static void ask_candidates(struct llamacpp_ask *a, size_t n)
{
    const struct llamacpp *l = a->c.b->state;
    struct buf body;
    if (n > (size_t)a->c.b->info.n_vocab)
        n = (size_t)a->c.b->info.n_vocab;
    /* What is left out is asked for when its turn comes. */
    while (a->n_wanted > 1 && a->n_wanted * n > CANDIDATES_AT_ONCE)
        a->n_wanted--;
    buf_init(&body, LLAMACPP_BODY_MAX);
    buf_adds(&body, "{\"prompt\":[");
    /* The longest first: prompts take the slots in order, each the one that holds most of it.  So after a draft that
     * was accepted every slot has equally many tokens to read, and a server that gives each length a pass of its own
     * (without
     * --kv-unified) needs one. */
    for (size_t i = a->n_wanted; i-- > 0;) {
        wire_add_tokens(&body, a->tokens, a->n_path + a->wanted[i]);
        buf_adds(&body, i > 0 ? "," : "");
    }
    buf_printf(&body, "],\"n_predict\":1,\"n_probs\":%zu,\"post_sampling_probs\":false,\"logit_bias\":[[%d,1000]],", n,
               (int)l->filler);
    llamacpp_add_greedy(&body);
    if (!buf_adds(&body, ",\"response_fields\":[\"index\",\"completion_probabilities\",\"timings/prompt_n\"]}")) {
        call_fail_later(&a->c, BACKEND_TOO_LONG, "a request of more than %d bytes", LLAMACPP_BODY_MAX);
    } else {
        struct httpc_opts o = {
            .body = body.data, .len = body.len, .max_reply = LLAMACPP_REPLY_MAX, .idle_timeout_ms = a->idle_timeout_ms};
        call_request(&a->c, "/completion", &o, on_candidates);
    }
    buf_finish(&body);
}

static void on_looked_up(struct backend_call *c, const struct httpc_result *r)
{
    struct llamacpp_ask *a = (struct llamacpp_ask *)c;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    const char *why = json_string_value(json_object_get(o, "stop_type"));
    llamacpp_set_end(c->b->state, a->unknown, why != NULL && strcmp(why, "eos") == 0);
    json_decref(o);
    go_on(a);
}

/* Is it a token that ends generation?  The server is made to generate it. */
static void look_up(struct llamacpp_ask *a)
{
    const struct llamacpp *l = a->c.b->state;
    struct buf body;
    buf_init(&body, 1024);
    buf_printf(&body, "{\"prompt\":[%d],\"n_predict\":1,\"logit_bias\":[[%d,1000]],", (int)l->filler, (int)a->unknown);
    llamacpp_add_greedy(&body);
    buf_adds(&body, ",\"response_fields\":[\"stop_type\"]}");
    struct httpc_opts o = {.body = body.data, .len = body.len, .idle_timeout_ms = a->idle_timeout_ms};
    call_request(&a->c, "/completion", &o, on_looked_up);
    buf_finish(&body);
}

static void go_on(struct llamacpp_ask *a)
{
    size_t n = 0;
    if (judge(a, &n))
        a->judged(a);
    else if (a->unknown >= 0)
        look_up(a);
    else
        ask_candidates(a, n);
}

void llamacpp_ask_send(struct llamacpp_ask *a)
{
    for (a->n_wanted = 0; a->n_wanted <= a->n_draft; a->n_wanted++)
        a->wanted[a->n_wanted] = a->n_wanted;
    ask_candidates(a, first_candidates(a));
}
