#include "advise/making.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise/family.h"
#include "base/mem.h"

/* A word as a shell reads it; owned by the caller. */
static char *shell_word(const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-:+=,@";
    if (*word && strspn(word, safe) == strlen(word))
        return xstrdup(word);
    char *out = xstrdup("'");
    for (const char *at = word; *at; at++) {
        char *longer = *at == '\'' ? xasprintf("%s'\\''", out) : xasprintf("%s%c", out, *at);
        free(out);
        out = longer;
    }
    char *whole = xasprintf("%s'", out);
    free(out);
    return whole;
}

/* HOST, with the port where it is not the usual one; owned by the caller. */
static char *agent_place(const struct machine_service *agent)
{
    enum { USUAL = 9191 };
    bool v6 = strchr(agent->host, ':') != NULL;
    if (agent->port == USUAL)
        return xstrdup(agent->host);
    return xasprintf("%s%s%s:%d", v6 ? "[" : "", agent->host, v6 ? "]" : "", agent->port);
}

/* An agent starts it, told from here; else somebody types it there. */
static void task_of_node(struct making *k, const struct advice_model *m, const char *role)
{
    const struct machine_service *agent = m->machine >= 0 ? making_service(&k->list[m->machine], SERVICE_AGENT) : NULL;
    const char *colon = strrchr(m->url, ':');
    char *at = agent ? agent_place(agent) : NULL;
    /* An agent knows what lies there by its name as well. */
    bool told = agent && m->source == ADVICE_THERE;
    char *path = shell_word(told && strncmp(m->path, "ollama:", 7) == 0 ? m->path + 7 : m->path);
    if (m->machine < 0 || m->machine == k->here)
        making_task(k, m->machine, xasprintf("tightwad node -m %s --listen 127.0.0.1%s", path, colon), "serve it as %s",
                    role);
    else if (told)
        making_task(k, k->here, xasprintf("tightwad agent start %s node %s port=%s", at, path, colon + 1),
                    "have the agent of %s serve it as %s", k->list[m->machine].name, role);
    else
        making_task(k, m->machine, xasprintf("tightwad node -m %s --listen 0.0.0.0%s", path, colon), "serve it as %s",
                    role);
    free(path);
    free(at);
}

static void task_of_model(struct making *k, const struct advice_model *m, const char *role)
{
    if (m->source == ADVICE_NAMED && m->path && strncmp(m->path, "ollama:", 7) == 0) {
        char *name = shell_word(m->path + 7);
        making_task(k, m->machine, xasprintf("ollama pull %s", name), "fetch %s", m->path + 7);
        free(name);
    }
    bool waits = m->source == ADVICE_NAMED || m->source == ADVICE_THERE || m->source == ADVICE_HERE;
    if (waits && m->url && m->path && strcmp(m->backend, "node") == 0)
        task_of_node(k, m, role);
}

static void task_of_workers(struct making *k)
{
    const struct advice *a = k->a;
    for (size_t i = 0; i < a->n_workers; i++) {
        const struct machine *m = &k->list[a->worker[i]];
        const struct machine_service *agent = making_service(m, SERVICE_AGENT);
        if (making_service(m, SERVICE_WORKER))
            continue;
        if (agent) {
            char *at = agent_place(agent);
            making_task(k, k->here, xasprintf("tightwad agent start %s worker allow=NETWORK", at),
                        "have the agent of %s lend its memory; NETWORK is the one that may use it, as 192.168.1.0/24",
                        m->name);
            free(at);
        } else {
            making_task(k, a->worker[i],
                        xasprintf("tightwad worker --listen 0.0.0.0:%d --allow NETWORK", ADVICE_WORKER_PORT),
                        "lend its memory to the pool; NETWORK is the one that may use it, as 192.168.1.0/24");
        }
    }
}

/* A size of a family that can be fetched by its name. */
static const struct offer {
    const char *family;
    double b;
    const char *name;
} offers[] = {
    {"qwen3", 0.6, "qwen3:0.6b"},
    {"qwen3", 1.7, "qwen3:1.7b"},
    {"qwen3", 4, "qwen3:4b"},
    {"qwen3", 8, "qwen3:8b"},
    {"qwen3", 14, "qwen3:14b"},
    {"qwen3", 32, "qwen3:32b"},
    {"qwen2.5", 0.5, "qwen2.5:0.5b"},
    {"qwen2.5", 1.5, "qwen2.5:1.5b"},
    {"qwen2.5", 3, "qwen2.5:3b"},
    {"qwen2.5", 7, "qwen2.5:7b"},
    {"llama3", 1, "llama3.2:1b"},
    {"llama3", 3, "llama3.2:3b"},
    {"llama3", 8, "llama3.1:8b"},
    {"gemma3", 1, "gemma3:1b"},
    {"gemma3", 4, "gemma3:4b"},
    {"mistral", 7, "mistral:7b"},
    {"deepseek-qwen", 1.5, "deepseek-r1:1.5b"},
};

/* The largest offer of the family up to that size, NULL: none. */
static const struct offer *offer_of(const char *family, double most)
{
    const struct offer *best = NULL;
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        if (strcmp(offers[i].family, family) == 0 && offers[i].b <= most * 1.05 && (!best || offers[i].b > best->b))
            best = &offers[i];
    }
    return best;
}

/* Where a drafter would go: the machine with the best use for one that is not the target's. */
static int drafting_machine(const struct making *k, const struct advice_model *t)
{
    int best = ADVICE_NONE;
    for (size_t i = 0; i < k->n; i++) {
        bool ours = t && t->machine == (int)i;
        if (ours || !making_may(k, (int)i, ADVICE_ROLE_DRAFTER) || !k->a->machine[i].known)
            continue;
        if (best < 0 || k->a->machine[i].model_max > k->a->machine[best].model_max)
            best = (int)i;
    }
    return best >= 0 ? best : t && t->machine >= 0 ? t->machine : k->here;
}

static void task_of_drafter(struct making *k, const struct advice_model *t)
{
    const struct family *f = t->family;
    const struct pair_row *row = pair_row_of((double)t->parameters / 1e9);
    int at = drafting_machine(k, t);
    if (!f || !row || at < 0)
        return;
    double most = fmin(row->draft_max, (double)t->parameters / 1e9 / 4);
    if (!isnan(k->a->machine[at].model_max))
        most = fmin(most, k->a->machine[at].model_max);
    /* Beside the target it takes what that leaves; a thousand million parameters are some 0.66 GB with their cache. */
    const struct advice_machine *m = &k->a->machine[at];
    if (at == t->machine && m->gpus > 0 && m->memory > 0 && t->need > 0)
        most = fmin(most, (double)(m->memory - t->need) / 0.66e9);
    const struct offer *o = offer_of(f->id, most);
    if (o)
        making_task(k, at, xasprintf("ollama pull %s", o->name), "a small %s there could draft for %s", f->words,
                    t->name);
}

/* Machines that could take part in what is wished for, and have nothing to do it with. */
static void task_of_idle(struct making *k, const struct advice_model *t)
{
    bool gate = k->wish->mode == ADVICE_GATE;
    const char *family = t->family ? t->family->id : gate ? "qwen3" : NULL;
    double most = t->parameters > 0 ? (double)t->parameters / 1e9 : INFINITY;
    for (size_t i = 0; family && i < k->n; i++) {
        const struct advice_machine *m = &k->a->machine[i];
        if ((int)i == t->machine || !m->known || m->role != ADVICE_ROLE_NONE || isnan(m->model_max) ||
            !making_may(k, (int)i, ADVICE_ROLE_DRAFTER))
            continue;
        const struct offer *o = offer_of(family, fmin(m->model_max, gate ? most : most / 4));
        if (o)
            making_task(k, (int)i, xasprintf("ollama pull %s", o->name),
                        gate ? "it could write as an agent, too" : "it could vote, too");
    }
}

/* Nothing is there: what would be worth fetching. */
static void task_of_beginning(struct making *k)
{
    int best = ADVICE_NONE;
    for (size_t i = 0; i < k->n; i++) {
        const struct advice_machine *m = &k->a->machine[i];
        if (m->known && (best < 0 || m->model_max > k->a->machine[best].model_max))
            best = (int)i;
    }
    const struct offer *o = best < 0 ? NULL : offer_of("qwen3", k->a->machine[best].model_max);
    if (o)
        making_task(k, best, xasprintf("ollama pull %s", o->name),
                    "no model was found; this one suits it (any family and any GGUF file will do)");
}

void making_tasks(struct making *k)
{
    struct advice *a = k->a;
    const struct advice_model *t = a->target >= 0 ? &a->model[a->target] : NULL;
    if (!t) {
        task_of_beginning(k);
        return;
    }
    task_of_model(k, t, "the target");
    task_of_workers(k);
    if (a->n_drafters == 0)
        task_of_drafter(k, t);
    for (size_t i = 0; i < a->n_drafters; i++)
        task_of_model(k, &a->model[a->drafter[i]], "a drafter");
    for (size_t i = 0; a->mode == ADVICE_GATE && i < a->n_agents; i++) {
        if (!making_drafts(a, a->agent[i]))
            task_of_model(k, &a->model[a->agent[i]], "an agent");
    }
    if (k->wish->mode != ADVICE_EXACT)
        task_of_idle(k, t);
}
