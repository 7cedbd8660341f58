#include "node/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/grove.h"

void session_table_init(struct session_table *t, size_t max)
{
    *t = (struct session_table){.list = xcalloc(max, sizeof(*t->list)), .id = xcalloc(max, sizeof(*t->id)), .max = max};
}

void session_table_finish(struct session_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        session_free(t->list[i]);
    free(t->list);
    free(t->id);
    *t = (struct session_table){0};
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    sampler_params_finish(&s->params);
    grove_destroy(s->grove);
    free(s->path);
    free(s);
}

void session_remove(struct session_table *t, struct session *s)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->list[i] != s)
            continue;
        t->n--;
        t->list[i] = t->list[t->n];
        t->id[i] = t->id[t->n];
        return;
    }
}

static struct session *least_used(const struct session_table *t)
{
    struct session *oldest = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (t->list[i]->head == NULL && (oldest == NULL || t->list[i]->used < oldest->used))
            oldest = t->list[i];
    return oldest;
}

struct session *session_add(struct session_table *t, int64_t id, struct sampler_params *params, size_t prompt_len,
                            struct session **lost)
{
    *lost = NULL;
    if (t->n == t->max) {
        *lost = least_used(t);
        if (*lost == NULL)
            return NULL;
        session_remove(t, *lost);
    }
    struct session *s = xmalloc(sizeof(*s));
    *s = (struct session){.id = id, .params = *params, .prompt_len = prompt_len, .epoch = INT64_MIN, .used = ++t->turn};
    t->list[t->n] = s;
    t->id[t->n++] = id;
    return s;
}

struct session *session_find(struct session_table *t, int64_t id)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->id[i] == id) {
            t->list[i]->used = ++t->turn;
            return t->list[i];
        }
    }
    return NULL;
}

int32_t *session_room(struct session *s, size_t n)
{
    if (s->n_path + n > s->cap) {
        s->cap = (s->n_path + n) * 3 / 2 + 64;
        s->path = xreallocarray(s->path, s->cap, sizeof(*s->path));
    }
    return s->path + s->n_path;
}

void session_set_path(struct session *s, size_t keep, const int32_t *tokens, size_t n)
{
    if (s->grove != NULL)
        grove_clear(s->grove);
    s->n_path = keep;
    int32_t *to = session_room(s, n);
    if (n > 0)
        memcpy(to, tokens, n * sizeof(*to));
    s->n_path += n;
}
