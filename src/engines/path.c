#include "engines/path.h"

#include "base/mem.h"
#include "engines/engine.h"

void path_push(struct path *p, int32_t token)
{
    if (p->n == p->size) {
        p->size = p->size * 2 + 256;
        p->tokens = xreallocarray(p->tokens, p->size, sizeof(*p->tokens));
    }
    p->tokens[p->n++] = token;
}

bool path_is_full(const struct path *p)
{
    return p->n_ctx != 0 && p->n >= p->n_ctx;
}

size_t path_room(const struct path *p, const struct proxy_answer *a)
{
    int64_t left = a->req.max_tokens - a->tokens;
    if (p->n_ctx != 0 && left > (int64_t)(p->n_ctx - p->n))
        left = (int64_t)(p->n_ctx - p->n);
    return left > 0 ? (size_t)left : 0;
}

bool path_begin(struct path *p, struct proxy_answer *a, const int32_t *tokens, size_t n)
{
    const struct backend_info *info = &a->target->backend->info;
    p->n_ctx = info->n_ctx > 0 ? (size_t)info->n_ctx : 0;
    p->n = 0;
    p->prompt_len = n;
    if (n == 0) {
        proxy_answer_fail(a, 400, "invalid_request_error", NULL, "the prompt is empty");
        return false;
    }
    if (p->n_ctx != 0 && n >= p->n_ctx) {
        proxy_answer_fail(a, 400, "invalid_request_error", "context_length_exceeded",
                          "the prompt has %zu tokens, and the context of %s holds %zu", n, info->model, p->n_ctx);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || (info->n_vocab > 0 && tokens[i] >= info->n_vocab)) {
            proxy_answer_fail(a, 400, "invalid_request_error", "invalid_token",
                              "prompt: token %d is not in the vocabulary of %s (%d tokens)", (int)tokens[i],
                              info->model, (int)info->n_vocab);
            return false;
        }
        path_push(p, tokens[i]);
    }
    if (a->req.max_tokens < 0) {
        a->req.max_tokens = proxy_default_tokens(a->proxy);
        if (p->n_ctx != 0 && a->req.max_tokens > (int64_t)(p->n_ctx - n))
            a->req.max_tokens = (int64_t)(p->n_ctx - n);
    }
    a->text = answer_create((const char *const *)a->req.stops, a->req.n_stops, a->req.max_tokens);
    proxy_answer_tell_start(a, (int64_t)n);
    return true;
}
