#include "config/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/origin.h"
#include "config/url.h"
#include "config/value.h"

static void no_url(struct loader *l, const struct seen *s)
{
    bool target = s->server == &l->config->proxy.target;
    const struct config_server *v = s->server;
    char *key = xasprintf("%s.url", s->key);
    bool told = walk_was_wrong(l, key, s->index);
    free(key);
    if (told)
        return;
    if (s->line)
        findings_add(l->findings, true, l->name, s->line, "%s has no url", s->key);
    else if (v->model_name || v->api_key || strcmp(v->backend, "auto") != 0)
        findings_add(l->findings, true, "environment", 0, "TIGHTWAD_%s_… variables are set, but not TIGHTWAD_%s_URL",
                     target ? "TARGET" : "DRAFT", target ? "TARGET" : "DRAFT");
}

static const struct config_origin *url_origin(const struct loader *l, const struct seen *s)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->type != OPTION_URL || option_value(o, l->config, s->index) != (void *)&s->server->url)
            continue;
        const struct config_origin *at = origin_get(l->config, o, s->index);
        if (at)
            return at;
    }
    return NULL;
}

static bool is_ngram(const struct config_server *v)
{
    return (v->type && strcmp(v->type, "ngram") == 0) || strcmp(v->backend, "ngram") == 0;
}

/* A drafter without a server: `type: ngram` is kept as its backend too, which is what the engines look at. */
static void check_ngram(struct loader *l, struct seen *s)
{
    struct config_server *v = s->server;
    s->named = v->name != NULL;
    if (v->url || v->model_name || v->api_key)
        findings_add(l->findings, true, l->name, s->line,
                     "%s: a drafter of type ngram has no server: leave out url, model_name and api_key", s->key);
    if (strcmp(v->backend, "auto") != 0 && strcmp(v->backend, "ngram") != 0)
        findings_add(l->findings, true, l->name, s->line, "%s: type ngram and backend %s do not go together", s->key,
                     v->backend);
    free(v->backend);
    free(v->type);
    v->backend = xstrdup("ngram");
    v->type = xstrdup("ngram");
    if (!v->name)
        v->name = xstrdup("ngram");
}

void check_server(struct loader *l, struct seen *s)
{
    struct config_server *v = s->server;
    if (is_ngram(v)) {
        check_ngram(l, s);
        return;
    }
    if (!v->url) {
        no_url(l, s);
        return;
    }
    s->named = v->name != NULL;
    if (!v->name)
        v->name = url_host_port(v->url);
    const struct config_origin *at = url_origin(l, s);
    if (at && !url_has_port(v->url) && strncmp(v->url, "http://", 7) == 0)
        findings_add(l->findings, false, at->file, at->line,
                     "%s.url: http without a port means port 80; a node listens on 8081, llama-server on 8080 or 9931, "
                     "Ollama on 11434",
                     s->key);
    if (strlen(v->name) > 63)
        findings_add(l->findings, true, l->name, s->line, "%s.name is longer than 63 bytes", s->key);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

void check_twins(struct loader *l, struct seen *list, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct config_server *a = list[i].server;
        size_t same = 0;
        for (size_t j = 0; j < i; j++) {
            const struct config_server *b = list[j].server;
            if (is_ngram(a) && is_ngram(b)) {
                findings_add(l->findings, true, l->name, list[i].line,
                             "%s: one drafter of type ngram is enough: also in "
                             "line %zu",
                             list[i].key, list[j].line);
                continue;
            }
            if (!a->name || !b->name)
                continue;
            if (a->url && b->url && same_text(a->url, b->url) && same_text(a->model_name, b->model_name))
                findings_add(l->findings, true, l->name, list[i].line,
                             "%s is the same server and model as %s in line %zu", list[i].key, list[j].key,
                             list[j].line);
            else if (strcmp(a->name, b->name) == 0 && list[i].named && list[j].named)
                findings_add(l->findings, true, l->name, list[i].line,
                             "the name \"%s\" is taken by the one in line %zu", a->name, list[j].line);
            else if (strcmp(a->name, b->name) == 0)
                same++;
        }
        if (same > 0) {
            char *name = xasprintf("%s#%zu", a->name, same + 1);
            free(a->name);
            a->name = name;
        }
    }
}

void check_config(struct loader *l)
{
    struct config_proxy *p = &l->config->proxy;
    struct seen target = {&p->target, "proxy.target", 0, l->target_line, false};
    struct seen list[CONFIG_DRAFTERS_MAX];
    check_server(l, &target);
    for (size_t i = 0; i < p->n_drafters; i++) {
        list[i] = (struct seen){&p->drafters[i], l->drafters_line ? "proxy.drafters[]" : "proxy.draft", i,
                                l->drafter_line[i], false};
        check_server(l, &list[i]);
    }
    check_twins(l, list, p->n_drafters);
    check_modes(l);
    check_pool(l);
    check_swarm(l);
}

/* "models[1].path" for an option of a list.  Owned by the caller. */
static char *label(const struct option *o, size_t index)
{
    const char *first = strstr(o->key, "[]"), *second = first ? strstr(first + 2, "[]") : NULL;
    if (!first)
        return xstrdup(o->key);
    size_t a = second ? index / CONFIG_GPUS_MAX : index;
    char *text = xasprintf("%.*s[%zu]", (int)(first - o->key), o->key, a);
    if (second) {
        char *longer = xasprintf("%s%.*s[%zu]", text, (int)(second - first - 2), first + 2, index % CONFIG_GPUS_MAX);
        free(text);
        text = longer;
        first = second;
    }
    char *all = xasprintf("%s%s", text, first + 2);
    free(text);
    return all;
}

static void add_difference(struct buf *b, const struct option *o, size_t index, const void *x, const void *y)
{
    char *was = x ? value_text(o, x) : NULL, *is = y ? value_text(o, y) : NULL, *key = NULL;
    if (!was && !is)
        return; /* an entry that came or went had nothing here */
    key = label(o, index);
    if (o->type == OPTION_SECRET)
        buf_printf(b, "%s%s", b->len ? ", " : "", key);
    else
        buf_printf(b, "%s%s (%s → %s)", b->len ? ", " : "", key, was ? was : "none", is ? is : "none");
    free(was);
    free(is);
    free(key);
}

char *config_restart_needed(const struct config *from, const struct config *to)
{
    struct buf b;
    buf_init(&b, 65536);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->reloadable)
            continue;
        size_t n = option_entries(o, from), m = option_entries(o, to);
        for (size_t k = 0; k < (n > m ? n : m); k++) {
            const void *x = option_value(o, (struct config *)from, k), *y = option_value(o, (struct config *)to, k);
            /* A name that is made from the url needs no mention of its own. */
            bool made = (o->place == OPTION_IN_TARGET || o->place == OPTION_IN_VERIFIER) &&
                        o->offset == offsetof(struct config_server, name) && !origin_get(from, o, 0) &&
                        !origin_get(to, o, 0);
            if (!made && x != y && (!x || !y || !value_equal(o, x, y)))
                add_difference(&b, o, k, x, y);
        }
    }
    if (b.len)
        return buf_steal(&b);
    buf_finish(&b);
    return NULL;
}
