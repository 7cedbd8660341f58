/* tightwad-node as a backend: draft and verify. */
#include "backends/node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

static int read_draft(struct node_call *n, const json_t *o, struct backend_draft *d, char **cause)
{
    int32_t *tokens;
    if (wire_get_tokens(json_object_get(o, "tokens"), "tokens", n->c.b->info.n_vocab, n->n, &tokens, &d->n, cause) < 0)
        return -1;
    d->tokens = tokens;
    const json_t *probs = json_object_get(o, "probs");
    if (probs == NULL)
        return 0;
    if (json_array_size(probs) != d->n)
        return cause_set(cause, "%zu probabilities for %zu tokens", json_array_size(probs), d->n);
    float *p = xmalloc((d->n + 1) * sizeof(*p));
    for (size_t i = 0; i < d->n; i++) {
        const json_t *v = json_array_get(probs, i);
        p[i] = json_is_number(v) ? (float)json_number_value(v) : NAN;
    }
    d->probs = p;
    return 0;
}

void node_on_draft(struct backend_call *c, const struct httpc_result *r)
{
    struct node_call *n = (struct node_call *)c;
    struct backend_draft d = {0};
    char *cause = NULL;
    json_t *o;
    if (!node_call_check(n, r) || (o = call_reply_object(c, r)) == NULL)
        return;
    int ok = read_draft(n, o, &d, &cause);
    json_decref(o);
    if (ok < 0) {
        call_fail(c, BACKEND_BROKEN, "draft from %s: %s", c->b->cfg.url, cause);
    } else {
        node_call_settled(n, d.tokens, d.n); /* what was drafted is part of the server's path */
        call_end_draft(c, &d);
    }
    free(cause);
    free((void *)d.tokens);
    free((void *)d.probs);
}

struct backend_call *node_draft(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                int timeout_ms, backend_draft_cb *cb, void *arg)
{
    struct node_call *d = node_call_create(s, CALL_DRAFT, path, n_path, timeout_ms, arg);
    d->c.cb.draft = cb;
    d->n = n;
    d->p_min = p_min;
    d->epoch = ++((struct node_session *)s)->epoch;
    char *why = backend_check_tokens(s->b, path, n_path);
    if (why != NULL || n_path == 0)
        call_fail_later(&d->c, BACKEND_UNSUPPORTED, "%s", why != NULL ? why : "nothing to continue: no token");
    else
        node_call_send(d);
    free(why);
    return &d->c;
}

/* Which branch the accepted path goes into (*b, NULL: none), and how long that path is. */
static int read_branch(const struct node_call *n, const json_t *o, struct backend_verdict *v, size_t *most,
                       const struct backend_branch **b, char **cause)
{
    int64_t branch = -1, used = 0;
    *most = n->n_draft;
    *b = NULL;
    if (json_get_int(o, "branch", 0, INT32_MAX, &branch, cause) < 0 ||
        json_get_int(o, "branches", 0, (int64_t)n->n_branches, &used, cause) < 0)
        return -1;
    if (branch >= (int64_t)n->n_branches)
        return cause_set(cause, "branch %lld of %zu", (long long)branch, n->n_branches);
    v->branches = (size_t)used;
    if (branch < 0)
        return 0;
    *b = &n->branches[branch];
    *most = (*b)->at + (*b)->n;
    v->branch = 1 + n->branch_of[branch];
    return 0;
}

static int read_verdict(struct node_call *n, const json_t *o, struct wire_tokens *t, struct backend_verdict *v,
                        char **cause)
{
    int64_t accepted = -1, next = -1;
    bool eog = false;
    double margin = NAN;
    size_t most;
    const struct backend_branch *b;
    if (read_branch(n, o, v, &most, &b, cause) < 0 ||
        json_get_int(o, "accepted", 0, (int64_t)most, &accepted, cause) < 0 ||
        json_get_int(o, "next", 0, INT32_MAX, &next, cause) < 0 || json_get_bool(o, "eog", &eog, cause) < 0 ||
        json_get_double(o, "margin", -HUGE_VAL, HUGE_VAL, &margin, cause) < 0)
        return -1;
    const json_t *text = json_object_get(o, "text"), *lps = json_object_get(o, "logprobs");
    if (accepted < 0 || next < 0)
        return cause_set(cause, "no \"accepted\" or no \"next\"");
    if (json_array_size(text) != (size_t)accepted + 1)
        return cause_set(cause, "%zu texts for %lld tokens", json_array_size(text), (long long)accepted + 1);
    if (lps != NULL && json_array_size(lps) != (size_t)accepted + 1)
        return cause_set(cause, "%zu log probabilities for %lld tokens", json_array_size(lps), (long long)accepted + 1);
    for (size_t i = 0; i <= (size_t)accepted; i++) {
        bool last = i == (size_t)accepted;
        int32_t id = last ? (int32_t)next : b != NULL && i >= b->at ? b->tokens[i - b->at] : n->draft[i];
        if (wire_tokens_add(t, id, json_array_get(text, i), last && eog, json_array_get(lps, i), n->c.b->info.n_vocab,
                            cause) < 0)
            return -1;
    }
    v->accepted = (size_t)accepted;
    v->tokens = t->list;
    v->margin = (float)margin;
    return 0;
}

static void settle_verdict(struct node_call *n, const struct backend_verdict *v)
{
    int32_t *ids = xmalloc((v->accepted + 1) * sizeof(*ids));
    for (size_t i = 0; i < v->accepted; i++)
        ids[i] = v->tokens[i].id;
    node_call_settled(n, ids, v->accepted);
    free(ids);
}

void node_on_verify(struct backend_call *c, const struct httpc_result *r)
{
    struct node_call *n = (struct node_call *)c;
    struct backend_verdict v = {.margin = NAN};
    struct wire_tokens t;
    char *cause = NULL;
    json_t *o;
    if (!node_call_check(n, r) || (o = call_reply_object(c, r)) == NULL)
        return;
    wire_tokens_init(&t);
    int ok = read_verdict(n, o, &t, &v, &cause);
    json_decref(o);
    if (ok < 0) {
        call_fail(c, BACKEND_BROKEN, "verdict from %s: %s", c->b->cfg.url, cause);
    } else {
        settle_verdict(n, &v);
        call_end_verify(c, &v);
    }
    free(cause);
    wire_tokens_finish(&t);
}

/* An id that the target does not have ends a draft: it could not be accepted. */
static size_t known_tokens(const struct backend *b, const int32_t *tokens, size_t n)
{
    size_t i = 0;
    while (i < n && tokens[i] >= 0 && (b->info.n_vocab == 0 || tokens[i] < b->info.n_vocab))
        i++;
    return i;
}

/* Takes over the branches that the server can look at. */
static void take_branches(struct node_call *n, const struct backend_tree *tree)
{
    const struct backend *b = n->c.b;
    if (!b->info.caps.verify_branches)
        return;
    n->branches = xcalloc(BACKEND_BRANCHES_MAX, sizeof(*n->branches));
    for (size_t i = 0; i < tree->n_branches && n->n_branches < BACKEND_BRANCHES_MAX; i++) {
        const struct backend_branch *from = &tree->branches[i];
        size_t len = known_tokens(b, from->tokens, from->n);
        if (from->at >= n->n_draft || len == 0)
            continue;
        n->branch_of[n->n_branches] = i;
        n->branches[n->n_branches++] = (struct backend_branch){
            .at = from->at, .tokens = xmemdup(from->tokens, len * sizeof(*from->tokens)), .n = len};
    }
}

struct backend_call *node_verify(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                 size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg)
{
    struct backend_tree tree = {.draft = draft, .n_draft = n_draft};
    return node_verify_tree(s, path, n_path, &tree, n_logprobs, timeout_ms, cb, arg);
}

struct backend_call *node_verify_tree(struct backend_session *s, const int32_t *path, size_t n_path,
                                      const struct backend_tree *tree, int n_logprobs, int timeout_ms,
                                      backend_verify_cb *cb, void *arg)
{
    struct node_call *n = node_call_create(s, CALL_VERIFY, path, n_path, timeout_ms, arg);
    n->c.cb.verify = cb;
    n->n_draft = known_tokens(s->b, tree->draft, tree->n_draft);
    n->draft =
        xmemdup(n->n_draft > 0 ? tree->draft : &(int32_t){0}, (n->n_draft > 0 ? n->n_draft : 1) * sizeof(int32_t));
    take_branches(n, tree);
    n->n_logprobs = n_logprobs;
    if (n_path == 0)
        call_fail_later(&n->c, BACKEND_UNSUPPORTED, "nothing to continue: no token");
    else
        node_call_send(n);
    return &n->c;
}
