/* A stock llama-server verifies a draft: one prompt for each of its positions (llamacpp-ask.c). */
#include <stdlib.h>

#include "backends/llamacpp.h"
#include "base/mem.h"

enum {
    JOIN_TOKENS = 400,    /* that slots which join may read at the beginning of an answer */
    JOIN_TOKENS_EACH = 6, /* and for each token of it: a pass costs some 25 times what reading a token does */
    SLACK = 8,
};

struct verify_call {
    struct llamacpp_ask a;
    size_t path_before; /* of the verify before, 0: none */
};

static void release(struct backend_call *c)
{
    llamacpp_ask_finish((struct llamacpp_ask *)c);
}

/* What each slot had to read at most when all held the path of the verify before. */
static bool is_cold(const struct verify_call *v)
{
    const struct llamacpp_ask *a = &v->a;
    size_t prompts = a->n_draft + 1, grown = a->n_path - v->path_before;
    return v->path_before == 0 || a->read > prompts * (grown + a->n_draft) + SLACK;
}

static void judged(struct llamacpp_ask *a)
{
    size_t prompts = a->n_draft + 1;
    struct backend_verdict v = {.accepted = a->t.n - 1,
                                .tokens = a->t.list,
                                .margin = a->margin,
                                .read = a->read > 0 ? a->read : prompts * prompts, /* older servers do not tell */
                                .cold = is_cold((struct verify_call *)a)};
    call_end_verify(&a->c, &v);
}

/* Sessions share the slots.  A slot that joins has to read the whole path first, which has to be earned by what is
 * written: with a long prompt only a long answer is worth it. */
size_t llamacpp_verify_most(const struct backend_session *s)
{
    const struct llamacpp_session *own = (const struct llamacpp_session *)s;
    const struct llamacpp *l = s->b->state;
    size_t sessions = 0, path_len = own->path_len > s->prompt_len ? own->path_len : s->prompt_len;
    for (const struct backend_session *one = s->b->sessions; one != NULL; one = one->next)
        sessions++;
    size_t share = (size_t)l->slots / (sessions > 0 ? sessions : 1);
    size_t earned = JOIN_TOKENS + JOIN_TOKENS_EACH * (path_len - s->prompt_len);
    size_t join = earned > own->joined ? (earned - own->joined) / (path_len > 0 ? path_len : 1) : 0;
    size_t prompts = (own->prompts > 0 ? own->prompts : 1) + join; /* the first one is needed anyway */
    if (prompts > share)
        prompts = share;
    return prompts > 0 ? prompts - 1 : 0;
}

struct backend_call *llamacpp_verify(struct backend_session *s, const int32_t *path, size_t n_path,
                                     const int32_t *draft, size_t n_draft, int n_logprobs, int timeout_ms,
                                     backend_verify_cb *cb, void *arg)
{
    struct llamacpp_session *own = (struct llamacpp_session *)s;
    struct verify_call *v = call_create(sizeof(*v), s->b, s, CALL_VERIFY, timeout_ms, arg);
    struct llamacpp_ask *a = &v->a;
    const struct backend_info *info = &s->b->info;
    size_t most = info->slots > 1 ? (size_t)info->slots - 1 : 0;
    a->c.cb.verify = cb;
    char *why = backend_check_tokens(s->b, path, n_path);
    if (!info->caps.verify || n_path == 0 || why != NULL) {
        call_fail_later(&a->c, BACKEND_UNSUPPORTED, "%s",
                        why != NULL                   ? why
                        : n_path == 0                 ? "nothing to continue: no token"
                        : info->cannot_verify != NULL ? info->cannot_verify
                                                      : "it has not been asked yet");
        free(why);
        return &a->c;
    }
    a->c.release = release;
    a->judged = judged;
    llamacpp_ask_init(a, path, n_path, draft, n_draft < most ? n_draft : most, n_logprobs);
    v->path_before = own->path_len <= n_path ? own->path_len : 0;
    own->path_len = n_path;
    if (a->n_draft + 1 > own->prompts) {
        own->joined += own->prompts > 0 ? (a->n_draft + 1 - own->prompts) * n_path : a->n_draft * n_path;
        own->prompts = a->n_draft + 1;
    }
    llamacpp_ask_send(a);
    return &a->c;
}
