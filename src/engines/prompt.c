#include "engines/prompt.h"

bool prompt_take(struct proxy_answer *a, const int32_t *tokens, size_t n, size_t *n_ctx)
{
    const struct backend_info *info = &a->target->backend->info;
    *n_ctx = info->n_ctx > 0 ? (size_t)info->n_ctx : 0;
    if (n == 0) {
        proxy_answer_fail(a, 400, "invalid_request_error", NULL, "the prompt is empty");
        return false;
    }
    if (*n_ctx != 0 && n >= *n_ctx) {
        proxy_answer_fail(a, 400, "invalid_request_error", "context_length_exceeded",
                          "the prompt has %zu tokens, and the context of %s holds %zu", n, info->model, *n_ctx);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || (info->n_vocab > 0 && tokens[i] >= info->n_vocab)) {
            proxy_answer_fail(a, 400, "invalid_request_error", "invalid_token",
                              "prompt: token %d is not in the vocabulary of %s (%d tokens)", (int)tokens[i],
                              info->model, (int)info->n_vocab);
            return false;
        }
    }
    if (a->req.max_tokens < 0) {
        a->req.max_tokens = proxy_default_tokens(a->proxy);
        if (*n_ctx != 0 && a->req.max_tokens > (int64_t)(*n_ctx - n))
            a->req.max_tokens = (int64_t)(*n_ctx - n);
    }
    a->text = answer_create((const char *const *)a->req.stops, a->req.n_stops, a->req.max_tokens);
    proxy_answer_tell_start(a, (int64_t)n);
    return true;
}
