/* An OpenAI API that tells how likely given tokens are: they are its prompt, with echo.  The log probabilities are of
 * the raw distribution, so this works whatever the parameters of the session. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/echo.h"
#include "backends/openai.h"
#include "base/mem.h"

struct score_call {
    struct backend_call c;
    int32_t *path;
    size_t n_path, n;
};

static void release(struct backend_call *c)
{
    free(((struct score_call *)c)->path);
}

/* False when it speaks of other tokens. */
static bool read_entries(const struct score_call *s, const struct echo_answer *a, float *logprobs, float *gaps)
{
    size_t first = s->n_path - s->n;
    if (!a->ids)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct echo_entry *e = &a->list[first + i];
        if (e->id != s->path[first + i])
            return false;
        double gap = e->top[0].logprob - e->logprob; /* logits and log probabilities differ by the same */
        logprobs[i] = (float)e->logprob;
        gaps[i] = gap > 0 ? (float)gap : 0;
    }
    return true;
}

static void on_reply(struct backend_call *c, const struct httpc_result *r)
{
    struct score_call *s = (struct score_call *)c;
    const struct openai *o = c->b->state;
    struct echo_answer a;
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    if (e != BACKEND_OK) {
        call_fail(c, e, "%s", message);
        free(message);
        return;
    }
    float *logprobs = xcalloc(s->n, sizeof(*logprobs)), *gaps = xcalloc(s->n, sizeof(*gaps));
    if (echo_read(r, s->n_path, o->n_vocab, &a) < 0 || !read_entries(s, &a, logprobs, gaps))
        call_fail(c, BACKEND_BROKEN, "score from %s: log probabilities that are not those of the tokens",
                  c->b->cfg.url);
    else
        call_end_score(c, logprobs, gaps, s->n);
    echo_finish(&a);
    free(logprobs);
    free(gaps);
}

struct backend_call *openai_score(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                  int timeout_ms, backend_score_cb *cb, void *arg)
{
    struct backend *b = s->b;
    struct openai *o = b->state;
    struct score_call *call = call_create(sizeof(*call), b, s, CALL_SCORE, timeout_ms, arg);
    call->c.cb.score = cb;
    call->c.release = release;
    char *why = !o->caps.score ? xstrdup(o->cannot_verify != NULL ? o->cannot_verify : "it has not been asked yet")
                               : backend_check_tokens(b, path, n_path);
    if (why == NULL && (n == 0 || n >= n_path))
        why = xasprintf("%zu of %zu tokens cannot be scored: one stands before them", n, n_path);
    if (why != NULL) {
        call_fail_later(&call->c, BACKEND_UNSUPPORTED, "%s", why);
        free(why);
        return &call->c;
    }
    call->path = xmemdup(path, n_path * sizeof(*path));
    call->n_path = n_path;
    call->n = n;
    char url[64],
        *body = echo_body(b->cfg.model_name != NULL ? b->cfg.model_name : b->info.model, call->path, n_path, 2);
    snprintf(url, sizeof(url), "%s/completions", o->prefix);
    call_post_text(&call->c, url, body, strlen(body), on_reply);
    free(body);
    return &call->c;
}
