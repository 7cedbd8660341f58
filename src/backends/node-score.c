/* tightwad-node as a backend: how likely given tokens are. */
#include <math.h>
#include <stdlib.h>

#include "backends/node.h"
#include "base/cause.h"
#include "base/mem.h"

/* A number for each token; null (what lies below the best by more than a number can say) where that is allowed. */
static int read_list(const json_t *list, const char *what, bool null_allowed, float *out, size_t n, char **cause)
{
    if (json_array_size(list) != n)
        return cause_set(cause, "%zu %s for %zu tokens", json_array_size(list), what, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_number(v) && !(null_allowed && json_is_null(v)))
            return cause_set(cause, "%s[%zu] is no number", what, i);
        out[i] = json_is_number(v) ? (float)json_number_value(v) : NAN;
    }
    return 0;
}

void node_on_score(struct backend_call *c, const struct httpc_result *r)
{
    struct node_call *n = (struct node_call *)c;
    char *cause = NULL;
    json_t *o;
    if (!node_call_check(n, r) || (o = call_reply_object(c, r)) == NULL)
        return;
    float *logprobs = xcalloc(n->n, sizeof(*logprobs)), *gaps = xcalloc(n->n, sizeof(*gaps));
    if (read_list(json_object_get(o, "logprobs"), "logprobs", false, logprobs, n->n, &cause) < 0 ||
        read_list(json_object_get(o, "gaps"), "gaps", true, gaps, n->n, &cause) < 0) {
        call_fail(c, BACKEND_BROKEN, "score from %s: %s", c->b->cfg.url, cause);
    } else {
        node_call_settled(n, NULL, 0);
        call_end_score(c, logprobs, gaps, n->n);
    }
    json_decref(o);
    free(cause);
    free(logprobs);
    free(gaps);
}

struct backend_call *node_score(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, int timeout_ms,
                                backend_score_cb *cb, void *arg)
{
    struct node_call *call = node_call_create(s, CALL_SCORE, path, n_path, timeout_ms, arg);
    call->c.cb.score = cb;
    call->n = n;
    char *why = backend_check_tokens(s->b, path, n_path);
    if (why != NULL)
        call_fail_later(&call->c, BACKEND_UNSUPPORTED, "%s", why);
    else if (n == 0 || n >= n_path)
        call_fail_later(&call->c, BACKEND_UNSUPPORTED, "%zu of %zu tokens cannot be scored: one stands before them", n,
                        n_path);
    else
        node_call_send(call);
    free(why);
    return &call->c;
}
