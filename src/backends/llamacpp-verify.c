/* A stock llama-server verifies a draft: one prompt for each of its positions (llamacpp-ask.c). */
#include <stdlib.h>

#include "backends/llamacpp.h"

enum { WARM_TOKENS = 2048 }; /* prompt tokens that slots which join may cost in one verify */

static void release(struct backend_call *c)
{
    llamacpp_ask_finish((struct llamacpp_ask *)c);
}

static void judged(struct llamacpp_ask *a)
{
    struct backend_verdict v = {.accepted = a->t.n - 1, .tokens = a->t.list, .margin = a->margin};
    call_end_verify(&a->c, &v);
}

/* Sessions share the slots.  A slot that joins has to read the whole path first: with long prompts they join one at a
 * time, so that no verify takes too long. */
size_t llamacpp_verify_most(const struct backend_session *s)
{
    const struct llamacpp_session *own = (const struct llamacpp_session *)s;
    const struct llamacpp *l = s->b->state;
    size_t sessions = 0, slots = (size_t)l->slots, path_len = own->path_len > 0 ? own->path_len : s->prompt_len;
    for (const struct backend_session *one = s->b->sessions; one != NULL; one = one->next)
        sessions++;
    size_t share = slots / (sessions > 0 ? sessions : 1), join = path_len > 0 ? WARM_TOKENS / path_len : WARM_TOKENS;
    size_t warm = own->prompts + (join > 0 ? join : 1);
    size_t prompts = share < warm ? share : warm;
    return prompts > 1 ? prompts - 1 : 1;
}

struct backend_call *llamacpp_verify(struct backend_session *s, const int32_t *path, size_t n_path,
                                     const int32_t *draft, size_t n_draft, int n_logprobs, int timeout_ms,
                                     backend_verify_cb *cb, void *arg)
{
    struct llamacpp_session *own = (struct llamacpp_session *)s;
    struct llamacpp_ask *a = call_create(sizeof(*a), s->b, s, CALL_VERIFY, timeout_ms, arg);
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
    own->path_len = n_path;
    if (a->n_draft + 1 > own->prompts)
        own->prompts = a->n_draft + 1;
    llamacpp_ask_send(a);
    return &a->c;
}
