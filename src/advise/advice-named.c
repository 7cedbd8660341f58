#include "advise/making.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static bool is_file(const char *name)
{
    size_t n = strlen(name);
    return strchr(name, '/') == name || strncmp(name, "~/", 2) == 0 || strncmp(name, "./", 2) == 0 ||
           strncmp(name, "ollama:", 7) == 0 || (n > 5 && strcasecmp(name + n - 5, ".gguf") == 0);
}

bool making_is_called(const struct advice_model *m, const char *name)
{
    size_t n = strlen(name);
    return strcasecmp(m->name, name) == 0 || (m->path && strcmp(m->path, name) == 0) ||
           (strncasecmp(m->name, name, n) == 0 && strcasecmp(m->name + n, ":latest") == 0);
}

static bool is_there(const struct making *k, const char *name)
{
    for (size_t i = 0; i < k->a->n_models; i++) {
        if (making_is_called(&k->a->model[i], name))
            return true;
    }
    return false;
}

/* The machine that suits a model that is still to be fetched: for a target the one with the most memory, for a drafter
 * the one with the most after that. */
static int best_machine(const struct making *k, enum advice_role role)
{
    int best = ADVICE_NONE, second = ADVICE_NONE;
    int64_t most = -1, next = -1;
    for (size_t i = 0; i < k->n; i++) {
        const struct advice_machine *m = &k->a->machine[i];
        bool reachable = (int)i == k->here || k->list[i].address[0];
        if (!making_may(k, (int)i, role) || !reachable)
            continue;
        int64_t has = m->gpus > 0 ? m->memory : 0; /* a CPU comes after any GPU */
        if (has > most || best < 0) {
            second = best;
            next = most;
            best = (int)i;
            most = has;
        } else if (has > next || second < 0) {
            second = (int)i;
            next = has;
        }
    }
    return role == ADVICE_ROLE_DRAFTER && second >= 0 && !making_fixed(k) ? second : best;
}

static void add_named(struct making *k, const char *name, enum advice_role role)
{
    int i = best_machine(k, role);
    if (is_file(name)) {
        struct advice_model *m = making_add_model(k, ADVICE_HERE, k->here);
        const char *slash = strrchr(name, '/');
        m->name = xstrdup(strncmp(name, "ollama:", 7) == 0 ? name + 7 : slash ? slash + 1 : name);
        m->path = xstrdup(name);
        m->backend = "node";
        m->rtt_us = 0;
        making_complete(k, m);
        return;
    }
    if (i < 0)
        return;
    const struct machine_service *ollama = making_service(&k->list[i], SERVICE_OLLAMA);
    struct advice_model *m = making_add_model(k, ADVICE_NAMED, i);
    m->name = xstrdup(name);
    m->path = xasprintf("ollama:%s", name);
    if (ollama && (role == ADVICE_ROLE_DRAFTER || k->list[i].origin == MACHINE_SEEN)) {
        m->url = making_url(ollama);
        m->backend = "ollama";
        m->model_name = xstrdup(name);
        m->verifies = false;
        m->cannot = making_ollama_cannot;
    } else {
        m->backend = "node";
        if (i != k->here)
            m->url = xasprintf("http://%s:%d", k->list[i].address, ADVICE_NODE_PORT);
    }
    making_complete(k, m);
}

/* A server that is given by its address: one of those that were found, or a new candidate. */
static void add_given(struct making *k, const char *url, const char *name)
{
    for (size_t i = 0; i < k->a->n_models; i++) {
        const struct advice_model *m = &k->a->model[i];
        if (m->url && strcmp(m->url, url) == 0 && (!name || making_is_called(m, name)))
            return;
    }
    const char *host = strstr(url, "://");
    struct advice_model *m = making_add_model(k, ADVICE_RUNS, ADVICE_NONE);
    m->name = name ? xstrdup(name) : xasprintf("the model at %s", host ? host + 3 : url);
    m->model_name = xstrdup(name);
    m->url = xstrdup(url);
    making_complete(k, m);
    m->missing = 0;
}

static void add_cloud(struct making *k, const struct advice_wish *w)
{
    struct advice_model *m = making_add_model(k, ADVICE_API, ADVICE_NONE);
    m->name = xstrdup(w->cloud_model ? w->cloud_model : "the API's model");
    m->model_name = xstrdup(w->cloud_model);
    m->url = xstrdup(w->cloud_url);
    m->backend = "openai";
    m->key = xstrdup(w->cloud_key);
    m->verifies = false;
    m->cannot =
        "an API checks a draft only where it returns the log probabilities of a prompt, which few do; the others "
        "answer by themselves";
    making_complete(k, m);
    m->missing = 0;
}

void making_named(struct making *k)
{
    const struct advice_wish *w = k->wish;
    if (w->target_url)
        add_given(k, w->target_url, w->target_name);
    else if (w->target_name && !is_there(k, w->target_name))
        add_named(k, w->target_name, ADVICE_ROLE_TARGET);
    if (w->draft_url)
        add_given(k, w->draft_url, w->draft_name);
    else if (w->draft_name && !is_there(k, w->draft_name))
        add_named(k, w->draft_name, ADVICE_ROLE_DRAFTER);
    if (w->cloud_url)
        add_cloud(k, w);
}
