/* What can't be asked of a llama-server is tried: whether a token's candidates are the same in a pass with others as
 * alone, and which flags are in the way of verifying through its slots. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/llamacpp.h"
#include "base/json.h"
#include "base/mem.h"

enum {
    CHECK_TIMEOUT_MS = 60 * 1000,
    PROMPTS = 4,           /* in one request, where there are so many slots */
    TOP = 8,               /* candidates compared of each */
    SHORT_PATH = 24,       /* tokens before the first prompt's end */
    LONG_PATH = 300,       /* where attention works in blocks, differences show late */
    ROOM = 64,             /* tokens that the prompts grow by */
    SAVING_US = 40 * 1000, /* beside the pass: slots that change their conversation save the old one first */
    SWITCHED = 16,         /* slots at most */
    QUICK_US = 150 * 1000, /* a round this fast is followed by one on the long path */
    SLOTS_WANTED = 9,      /* drafts of 8: what pays over pools */
};

static const float matters = -7;       /* log probability of a candidate that could be drawn */
static const double many_passes = 1.8; /* times the same number of tokens in one prompt */

static const char sample[] =
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on. Once upon a time there was "
    "a small town by a wide river. 3, 1, 4, 1, 5, 9, 2, 6 and 5 are digits. ";

enum stage { FILL, TOGETHER, ONE_LONG, ALONE, SWITCH };

struct check_call {
    struct backend_call c;
    int32_t *tokens;
    size_t n, base, prompts;
    enum stage stage;
    size_t next; /* ALONE: the prompt that is asked for */
    struct sampler_logprob top[PROMPTS][TOP];
    int64_t together_us;
    double noise;
    bool cleared, passes, saves, long_path;
};

static void release(struct backend_call *c)
{
    struct check_call *k = (struct check_call *)c;
    struct llamacpp *l = c->b->state;
    l->checking = false;
    free(k->tokens);
}

/* Nobody waits for it. */
static void no_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    (void)arg;
    (void)st;
    (void)tokens;
    (void)n;
}

/* The end of prompt i in each stage: first one token apart, then so that each slot has another number of tokens to
 * read, 1, 5, 9 and 13. */
static size_t length(const struct check_call *k, size_t i)
{
    return k->stage == FILL ? k->base + i : k->base + k->prompts + 3 * i;
}

static void ask_stage(struct check_call *k);

static char *advice(const struct check_call *k)
{
    const int32_t slots = k->c.b->info.slots;
    struct buf b;
    buf_init(&b, 1024);
    if (slots < SLOTS_WANTED)
        buf_printf(&b, "its %d slots check drafts of %d at most: --parallel %d", (int)slots, (int)slots - 1,
                   SLOTS_WANTED);
    if (k->passes)
        buf_printf(&b, "%sprompts of different lengths take a pass each: --kv-unified", b.len > 0 ? "; " : "");
    if (k->cleared || k->saves)
        buf_printf(&b, "%sslots are saved before they are used anew: --cache-ram 0", b.len > 0 ? "; " : "");
    if (b.len > 0)
        return buf_steal(&b);
    buf_finish(&b);
    return NULL;
}

void llamacpp_tell_check(const struct llamacpp *l, struct backend_info *info)
{
    info->noise = l->noise;
    info->batch_invariant_known = l->invariant_known;
    info->batch_invariant = l->invariant_known && l->noise == 0;
    free(info->advice);
    info->advice = xstrdup(l->advice);
}

static void end(struct check_call *k)
{
    struct llamacpp *l = k->c.b->state;
    l->checked = true;
    l->noise = k->noise;
    /* That nothing differs on a short path says little. */
    l->invariant_known = k->noise > 0 || k->long_path;
    free(l->advice);
    l->advice = advice(k);
    llamacpp_tell_check(l, &k->c.b->info);
    call_end_tokens(&k->c, NULL, 0);
}

static void compare(struct check_call *k, const struct sampler_logprob *alone)
{
    for (size_t i = 0; i < TOP; i++)
        for (size_t j = 0; j < TOP; j++) {
            double d = fabs((double)alone[i].logprob - (double)k->top[k->next][j].logprob);
            bool same = alone[i].token >= 0 && alone[i].token == k->top[k->next][j].token;
            if (same && d > k->noise && alone[i].logprob > matters)
                k->noise = d;
        }
}

static void read_top(const json_t *one, struct sampler_logprob *top)
{
    const json_t *cp = json_array_get(json_object_get(one, "completion_probabilities"), 0);
    for (size_t i = 0; i < TOP; i++) {
        const json_t *e = json_array_get(json_object_get(cp, "top_logprobs"), i);
        const json_t *id = json_object_get(e, "id");
        top[i].token = json_is_integer(id) ? (int32_t)json_integer_value(id) : -1;
        top[i].logprob = (float)json_number_value(json_object_get(e, "logprob"));
    }
}

static void read_together(struct check_call *k, const json_t *doc, int64_t elapsed_us)
{
    for (size_t i = 0; i < json_array_size(doc); i++) {
        const json_t *one = json_array_get(doc, i), *cached = json_object_get(one, "timings");
        json_int_t at = json_integer_value(json_object_get(one, "index"));
        if (at < 0 || (size_t)at >= k->prompts)
            continue;
        cached = json_object_get(cached, "cache_n");
        k->cleared = k->cleared || (json_is_integer(cached) && json_integer_value(cached) < (json_int_t)k->base / 2);
        read_top(one, k->top[at]);
    }
    k->together_us = elapsed_us;
}

/* Time beside the pass itself, which all prompts of a request share. */
static int64_t beside_pass_us(const json_t *doc, int64_t elapsed_us)
{
    double most = 0;
    for (size_t i = 0; i < json_array_size(doc); i++) {
        const json_t *timings = json_object_get(json_array_get(doc, i), "timings");
        double ms = json_number_value(json_object_get(timings, "prompt_ms"));
        most = ms > most ? ms : most;
    }
    return elapsed_us - (int64_t)(most * 1000);
}

/* One round: fill the slots, a request to all of them, as many tokens in one prompt, and each prompt alone. */
static void next_stage(struct check_call *k, const json_t *doc, int64_t elapsed_us)
{
    struct sampler_logprob alone[TOP];
    switch (k->stage) {
    case FILL:
        k->stage = TOGETHER;
        break;
    case TOGETHER:
        read_together(k, doc, elapsed_us);
        k->stage = ONE_LONG;
        break;
    case ONE_LONG:
        k->passes = (double)k->together_us > many_passes * (double)elapsed_us && !k->cleared;
        k->stage = ALONE;
        k->next = 0;
        break;
    case ALONE:
        read_top(json_is_array(doc) ? json_array_get(doc, 0) : doc, alone);
        compare(k, alone);
        k->next++;
        break;
    case SWITCH:
        if (k->next > k->prompts) { /* the second time: all slots hold something else then */
            k->saves = beside_pass_us(doc, elapsed_us) > SAVING_US;
            end(k);
            return;
        }
        k->next++;
    }
    if (k->stage == ALONE && k->next == k->prompts) {
        if (k->long_path || k->together_us > QUICK_US || k->n < LONG_PATH + ROOM) {
            k->stage = SWITCH;
            ask_stage(k);
            return;
        }
        k->long_path = true;
        k->base = LONG_PATH;
        k->stage = FILL;
    }
    ask_stage(k);
}

static void on_reply(struct backend_call *c, const struct httpc_result *r)
{
    struct check_call *k = (struct check_call *)c;
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    json_t *doc = e == BACKEND_OK ? json_parse_nul(r->body, r->len, NULL) : NULL;
    free(message);
    if (doc == NULL) {
        call_fail(c, BACKEND_BROKEN, "the check was not answered");
        return;
    }
    next_stage(k, doc, r->elapsed_us);
    json_decref(doc);
}

static void add_prompt(struct buf *b, const struct check_call *k, size_t n)
{
    if (b->data[b->len - 1] == ']')
        buf_addc(b, ',');
    wire_add_tokens(b, k->tokens, n < k->n ? n : k->n);
}

static void ask_stage(struct check_call *k)
{
    const struct llamacpp *l = k->c.b->state;
    size_t more = 2 * k->prompts * k->prompts - k->prompts; /* 1 + 5 + 9 + 13 */
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_adds(&body, "{\"prompt\":[");
    if (k->stage == ONE_LONG)
        add_prompt(&body, k, k->base + k->prompts + 3 * (k->prompts - 1) + more);
    else if (k->stage == ALONE)
        add_prompt(&body, k, length(k, k->next));
    for (size_t i = 0; i < k->prompts && k->stage <= TOGETHER; i++)
        add_prompt(&body, k, length(k, i));
    for (int32_t i = 0; i < k->c.b->info.slots && i < SWITCHED && k->stage == SWITCH; i++) {
        buf_adds(&body, i > 0 ? "," : "");
        /* other beginnings than the path's, all of them different */
        wire_add_tokens(&body, k->tokens + 1 + 3 * i + (k->next > k->prompts ? 1 : 0), SHORT_PATH);
    }
    buf_printf(&body, "],\"n_predict\":1,\"n_probs\":%d,\"post_sampling_probs\":false,\"logit_bias\":[[%d,1000]],", TOP,
               (int)l->filler);
    llamacpp_add_greedy(&body);
    buf_adds(&body, ",\"response_fields\":[\"index\",\"completion_probabilities\",\"timings\"]}");
    call_post_text(&k->c, "/completion", body.data, body.len, on_reply);
    buf_finish(&body);
}

static void on_tokens(struct backend_call *c, const struct httpc_result *r)
{
    struct check_call *k = (struct check_call *)c;
    char *cause = NULL;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    int ok = wire_get_tokens(json_object_get(o, "tokens"), "tokens", c->b->info.n_vocab, SIZE_MAX, &k->tokens, &k->n,
                             &cause);
    json_decref(o);
    free(cause);
    if (c->b->info.n_ctx > 0 && k->n > (size_t)c->b->info.n_ctx - 1)
        k->n = (size_t)c->b->info.n_ctx - 1;
    if (ok < 0 || k->n < SHORT_PATH + ROOM)
        call_fail(c, BACKEND_BROKEN, "too few tokens to check with");
    else
        ask_stage(k);
}

static void begin(struct backend_call *c)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 10; i++)
        buf_adds(&text, sample);
    call_post(c, "/tokenize", json_pack("{s:s,s:b}", "content", text.data, "add_special", 1), on_tokens);
    buf_finish(&text);
}

void llamacpp_check(struct backend *b)
{
    struct llamacpp *l = b->state;
    if (l->checked || l->checking || !b->info.caps.verify || b->sessions != NULL)
        return;
    l->checking = true;
    l->checked = true; /* once is enough, whatever comes of it */
    struct check_call *k = call_create(sizeof(*k), b, NULL, CALL_TOKENS, CHECK_TIMEOUT_MS, NULL);
    k->c.cb.tokens = no_tokens;
    k->c.release = release;
    k->c.aside = true;
    k->base = SHORT_PATH;
    k->prompts = b->info.slots < PROMPTS ? (size_t)b->info.slots : PROMPTS;
    call_defer(&k->c, begin);
}
