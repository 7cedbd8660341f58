/* What sessions and the info of all kinds have in common. */
#include "backends/calls.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

void *session_create(size_t size, struct backend *b, const struct sampler_params *p, size_t prompt_len)
{
    struct backend_session *s = xcalloc(1, size);
    s->b = b;
    s->ops = b->ops;
    s->next = b->sessions;
    s->link = &b->sessions;
    if (s->next != NULL)
        s->next->link = &s->next;
    b->sessions = s;
    sampler_params_copy(&s->params, p);
    s->prompt_len = prompt_len;
    return s;
}

void session_finish(struct backend_session *s)
{
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    sampler_params_finish(&s->params);
    free(s);
}

void backend_info_set_string(char **to, const char *s)
{
    char *copy = xstrdup(s);
    free(*to);
    *to = copy;
}

void backend_info_reset(struct backend_info *info)
{
    free(info->model);
    free(info->architecture);
    free(info->version);
    free(info->cannot_verify);
    free(info->advice);
    free(info->eog);
    json_decref(info->raw);
    *info = (struct backend_info){.noise = NAN, .rtt_us = -1};
}

char *backend_check_tokens(const struct backend *b, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (b->info.n_vocab > 0 && tokens[i] >= b->info.n_vocab))
            return xasprintf("token %d is not in the vocabulary of %s (%d tokens)", tokens[i], b->cfg.url,
                             b->info.n_vocab);
    return NULL;
}
