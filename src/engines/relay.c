/* The relay: a target that can't verify writes by itself, and its text is passed on as it comes.  Should it go away in
 * the middle, the request is sent again with the same seed; what it repeats is skipped, and a text that is no longer
 * the same ends the answer with an error rather than with a mixture. */
#include "engines/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/compare.h"

enum { TEXT_MAX = 16 * 1024 * 1024 };

struct relay {
    struct proxy_answer *a;
    struct backend_call *call;
    json_t *request; /* as it is sent on */
    struct buf text; /* everything the client has */
    size_t replayed; /* bytes of it that the target has repeated since it came back */
    bool replaying;
    struct compare *compare; /* measures what a drafter would have got right; NULL: none */
};

static void ask(struct relay *r);

/* ---- logprobs, from the server's JSON to tokens ---- */

struct lp_tokens {
    struct oai_token *list;
    size_t n;
};

static struct oai_top top_of(const json_t *o)
{
    const json_t *text = json_object_get(o, "token"), *lp = json_object_get(o, "logprob");
    return (struct oai_top){.id = -1,
                            .piece = json_is_string(text) ? json_string_value(text) : "",
                            .len = json_string_length(text),
                            .logprob = (float)json_number_value(lp)};
}

/* most: alternatives that the client asked for; servers are known to give more. */
static struct lp_tokens tokens_of(const json_t *logprobs, int most)
{
    const json_t *content = json_object_get(logprobs, "content");
    struct lp_tokens t = {.n = json_array_size(content)};
    t.list = t.n > 0 ? xcalloc(t.n, sizeof(*t.list)) : NULL;
    for (size_t i = 0; i < t.n; i++) {
        const json_t *o = json_array_get(content, i), *top = json_object_get(o, "top_logprobs");
        struct oai_top self = top_of(o);
        size_t n = json_array_size(top);
        if (n > (size_t)(most > 0 ? most : 0))
            n = (size_t)(most > 0 ? most : 0);
        struct oai_top *tops = n > 0 ? xcalloc(n, sizeof(*tops)) : NULL;
        for (size_t k = 0; k < n; k++)
            tops[k] = top_of(json_array_get(top, k));
        t.list[i] = (struct oai_token){
            .id = -1, .piece = self.piece, .len = self.len, .logprob = self.logprob, .top = tops, .n_top = n};
    }
    return t;
}

static void free_tokens(struct lp_tokens *t)
{
    for (size_t i = 0; i < t->n; i++)
        free((void *)t->list[i].top);
    free(t->list);
}

/* ---- the target writes ---- */

/* Skips what the client has already.  False when the target now writes something else. */
static bool skip_known(struct relay *r, const char **text, size_t *len)
{
    size_t known = r->text.len - r->replayed, n = *len < known ? *len : known;
    if (memcmp(*text, r->text.data + r->replayed, n) != 0)
        return false;
    r->replayed += n;
    *text += n;
    *len -= n;
    r->replaying = r->replayed < r->text.len;
    return true;
}

static bool on_text(void *arg, const char *text, size_t len, json_t *logprobs)
{
    struct relay *r = arg;
    struct proxy_answer *a = r->a;
    if (a->paused || a->ended)
        return false;
    if (r->replaying && !skip_known(r, &text, &len)) {
        proxy_answer_fail(a, 502, "server_error", "target_changed_its_text",
                          "the target came back and wrote something else than before: the answer cannot be finished");
        return true;
    }
    if (len == 0 && logprobs == NULL)
        return true;
    buf_add(&r->text, text, len);
    a->state = REQUEST_RUNNING;
    proxy_answer_tell_start(a, 0);
    struct lp_tokens t = tokens_of(logprobs, a->req.logprobs);
    bool *drafted = t.n > 0 ? xcalloc(t.n, sizeof(*drafted)) : NULL;
    if (!proxy_answer_tell_text(a, text, len, t.list, drafted, t.n))
        a->paused = true;
    free(drafted);
    free_tokens(&t);
    if (r->compare != NULL)
        compare_text(r->compare, r->text.data, r->text.len);
    return true;
}

static void on_done(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                    int64_t completion_tokens)
{
    struct relay *r = arg;
    struct proxy_answer *a = r->a;
    r->call = NULL;
    if (a->ended)
        return;
    if (st->error == BACKEND_OK) {
        member_ok(a->target, st->elapsed_us, 0);
        if (completion_tokens > 0) {
            a->tokens = completion_tokens;
            proxy_count_tokens(a, (size_t)completion_tokens);
        }
        proxy_answer_tell_start(a, prompt_tokens);
        proxy_answer_done(a, prompt_tokens, completion_tokens,
                          finish != NULL && strcmp(finish, "length") == 0 ? ANSWER_LENGTH : ANSWER_STOP);
        return;
    }
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_UNSUPPORTED || st->error == BACKEND_TOO_LONG) {
        proxy_answer_fail_backend(a, st);
        return;
    }
    log_warn("request %llu: the target was lost after %zu bytes and is waited for: %s", (unsigned long long)a->id,
             r->text.len, st->message);
    a->state = REQUEST_WAITING;
    a->lost_us = a->lost_us != 0 ? a->lost_us : clock_us();
    r->replaying = r->text.len > 0;
    r->replayed = 0;
    member_failed(a->target, st);
}

static void ask(struct relay *r)
{
    struct proxy_answer *a = r->a;
    a->lost_us = 0;
    a->state = REQUEST_PREFILL;
    r->call = backend_chat(a->target->backend, r->request, a->req.chat, member_deadline_ms(a->target, 0), on_text,
                           on_done, r);
}

/* ---- the runner ---- */

static void relay_start(struct proxy_answer *a)
{
    struct relay *r = xcalloc(1, sizeof(*r));
    r->a = a;
    a->run = r;
    buf_init(&r->text, TEXT_MAX);
    r->request = json_deep_copy(a->req.original);
    json_object_del(r->request, "model");
    /* The same seed every time it is asked, or a text that was broken off could not be taken up again. */
    json_object_set_new(r->request, "seed", json_integer((json_int_t)(a->req.sampling.seed & 0x7fffffff)));
    if (a->mode == PROXY_EXACT)
        r->compare = compare_create(a);
    ask(r);
}

static void relay_resume(struct proxy_answer *a)
{
    struct relay *r = a->run;
    if (r->call != NULL)
        backend_resume(r->call);
}

static void relay_member_changed(struct proxy_answer *a, struct member *m, bool going)
{
    struct relay *r = a->run;
    if (m == a->target && going) {
        proxy_answer_fail(a, 503, "server_error", "draft_gone", "%s was removed", m->name);
    } else if (m == a->target && a->lost_us != 0 && member_up(m)) {
        proxy_count_resumed(a->proxy);
        ask(r);
    } else if (r->compare != NULL && compare_member(r->compare) == m && (going || !member_up(m))) {
        compare_destroy(r->compare);
        r->compare = NULL;
    }
}

static void relay_stop(struct proxy_answer *a)
{
    struct relay *r = a->run;
    if (r == NULL)
        return;
    if (r->call != NULL)
        backend_cancel(r->call);
    compare_destroy(r->compare);
    json_decref(r->request);
    buf_finish(&r->text);
    free(r);
    a->run = NULL;
}

const struct runner relay_runner = {
    .name = "relay",
    .start = relay_start,
    .resume = relay_resume,
    .member_changed = relay_member_changed,
    .stop = relay_stop,
};
